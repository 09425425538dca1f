"""Connections by paramiko: made through all hops within one deadline, with the host's key checked, and run upon."""

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from llorch import beside
from llorch.errors import ConnectionFailed
from llorch.parallel import after
from llorch.remote.command import SIGNAL, script
from llorch.remote.known_hosts import Line, append, judge, load_known_hosts, load_revoked, preferred_types, refusal
from llorch.remote.login import Ask, log_in
from llorch.remote.route import Route
from llorch.remote.streams import CHUNK, SIGNALS, Beginning, Pumps, Request, Sink, Terminal, new_mark, not_begun
from llorch.remote.transport import Deadline, Socket, connect_tcp, keep_alive, load_paramiko, negotiate, socket_of

if TYPE_CHECKING:
    import paramiko

_UNKNOWN_SIGNAL = 255
"""What ssh(1) exits with for a signal, whichever."""
_FOR_A_SESSION = 2.0
"""Seconds that a server has to take note that a program has ended."""
_FOR_A_SIGNAL = 5.0
"""Seconds that a server has to pass on a signal."""


class SshConnection:
    """A connection to a host and the hops that it goes through."""

    def __init__(self, host: str, transports: Sequence["paramiko.Transport"], timeout: float) -> None:
        """Take the transports to each hop and the host; `timeout` is how many seconds a script has to begin."""
        self.host = host
        self.timeout = timeout
        self._transports = tuple(transports)

    def start(self, request: Request, out: Sink, err: Sink) -> "SshProcess":
        """Start a script; see `streams.Connection`."""
        mark = new_mark()

        def begin(channel: "paramiko.Channel") -> None:
            if request.terminal is not None:
                channel.get_pty(*request.terminal)
            # Bytes, since an argument may be any.
            channel.exec_command(os.fsencode(script(request.text, mark, *request.arguments)))

        channel = self._open(begin)
        return SshProcess(self, channel, Beginning(mark, out, err), err, request)

    def open_subsystem(self, name: str) -> "paramiko.Channel":
        """Start a program that the server knows by a name; see `streams.Connection`."""
        return self._open(lambda channel: channel.invoke_subsystem(name))

    def _open(self, begin: Callable[["paramiko.Channel"], None]) -> "paramiko.Channel":
        """Return a channel on which something has begun."""
        from paramiko import ChannelException, SSHException

        try:
            channel = self._open_session()
            with after(self.timeout, channel.close):  # paramiko itself waits for an answer without end
                begin(channel)
        except ChannelException as error:
            reason = f"the server does not start a program: {error.text}"
            raise ConnectionFailed(
                self.host, reason, hint="`MaxSessions` in its sshd_config has to be 2 at least"
            ) from None
        except (SSHException, EOFError, OSError) as error:
            raise self.broken(f"the server does not start a program: {error or 'it hung up'}") from None
        return channel

    def _open_session(self) -> "paramiko.Channel":
        """Open a channel, once the server has taken note that others have ended if it allows but a few."""
        from paramiko import ChannelException

        until = time.monotonic() + _FOR_A_SESSION
        while True:
            try:
                return self._transports[-1].open_session(timeout=self.timeout)
            except ChannelException:
                if time.monotonic() > until:
                    raise
            time.sleep(0.02)

    def signal(self, name: str, pid: int) -> bool:
        """Send a signal to a process of ours, over a channel of its own: servers take none for root, or at all.

        Returns:
            Whether it could be sent in time.
        """
        from paramiko import SSHException

        with suppress(SSHException, EOFError, OSError):  # then hanging up comes next
            channel = self._transports[-1].open_session(timeout=_FOR_A_SIGNAL)
            with closing(channel), after(_FOR_A_SIGNAL, channel.close):
                channel.exec_command(script(SIGNAL, name, str(pid)))
                while channel.recv(CHUNK):  # a login shell that has no reader may end before it is done
                    pass
                return bool(channel.eof_received)
        return False

    def broken(self, reason: str | None = None) -> ConnectionFailed:
        """Return the error of a connection that does not work any more."""
        for transport in self._transports:
            silence = socket_of(transport).silence
            if silence is not None:
                reason = f"nothing came from it for {silence:.0f} s"
        return ConnectionFailed(
            self.host,
            reason or "the connection broke",
            hint="what was started there may go on; check the machine and the network",
        )

    def close(self) -> None:
        """Hang up, the last hop first."""
        for transport in reversed(self._transports):
            transport.close()


class SshProcess:
    """A script that runs on a host; see `streams.Process`."""

    def __init__(
        self, connection: SshConnection, channel: "paramiko.Channel", beginning: Beginning, err: Sink, request: Request
    ) -> None:
        self.beginning = beginning
        self._connection = connection
        self._channel = channel
        self._pumps = Pumps(self._hang_up)
        self._pumps.start(channel.recv, beginning.feed, beginning.finish)
        self._pumps.start(channel.recv_stderr, err)
        # One of its own, as a program would have it: the caller may close his.
        self._stdin = None if request.stdin is None else os.dup(request.stdin)

    def _send(self, stdin: int | None) -> None:
        """Pass on what is read until its end."""
        from paramiko import SSHException

        with suppress(OSError, EOFError, SSHException):  # the program has ended, or reads no more
            try:
                while stdin is not None:
                    select.select([stdin], [], [])  # it may be one that does not wait by itself
                    data = os.read(stdin, CHUNK)
                    if not data:
                        break
                    self._channel.sendall(data)
            finally:
                if stdin is not None:
                    os.close(stdin)
                self._channel.shutdown_write()

    def wait(self) -> int:
        """Wait for the end of the output and the program; see `streams.Process`."""
        from paramiko import SSHException

        # Not before: the terminal at this end may have been made ready for its keys in between.
        threading.Thread(target=self._send, args=[self._stdin], daemon=True).start()
        if not self.beginning.came.wait(self._connection.timeout):
            self._channel.close()
            raise not_begun(self._connection.host, self._connection.timeout)
        try:
            self._pumps.wait()
        except SSHException as error:
            raise self._connection.broken(f"the connection broke: {error}") from None
        self._channel.status_event.wait()
        name = getattr(self._channel, "exit_signal", None)
        code = self._channel.exit_status
        self._channel.close()
        if name is not None:
            number = getattr(signal, f"SIG{name}", None)
            return _UNKNOWN_SIGNAL if number is None else 128 + int(number)
        if code < 0:
            raise self._connection.broken()
        return code

    def interrupt(self) -> None:
        """End the program; see `streams.Process`."""
        for name, patience in SIGNALS:
            if self.beginning.pid and not self._connection.signal(name, self.beginning.pid):
                break
            self._pumps.end_within(patience)
        self._hang_up()

    def _hang_up(self) -> None:
        from paramiko import SSHException

        with suppress(SSHException):  # as where it waits for new keys; it is closed for us in any case
            self._channel.close()

    def resize(self, terminal: Terminal) -> None:
        """Tell of the terminal's new size."""
        from paramiko import SSHException

        with suppress(OSError, EOFError, SSHException):  # it has ended, or its input has
            self._channel.resize_pty(terminal.columns, terminal.lines)


def connect(route: Route, deadline: Deadline, ask: Ask) -> SshConnection:
    """Return a connection to a host, all within a deadline but for a person's answers.

    Raises:
        ConnectionFailed: it cannot be reached, its key is not known, or it does not let us in.
    """
    load_paramiko()
    transports: list[paramiko.Transport] = []
    try:
        for hop in (*route.jumps, route):
            deadline.at = f" at the hop `{hop.hostname}`" if hop is not route else ""
            known = load_known_hosts((*hop.user_known_hosts, *hop.global_known_hosts))
            known += load_revoked(hop.revoked_host_keys) if hop.revoked_host_keys is not None else ()
            sock = _open(hop, transports[-1] if transports else None, deadline)
            transports.append(_secure(sock, hop, known, deadline, ask, is_hop=hop is not route))
    except BaseException:
        for transport in reversed(transports):
            transport.close()
        raise
    return SshConnection(deadline.host, transports, deadline.seconds)


def _open(hop: Route, before: "paramiko.Transport | None", deadline: Deadline) -> Socket:
    """Return what carries bytes to a hop: a socket, a channel of the hop before it, or a program's ends."""
    from paramiko import SSHException

    if before is None:
        if hop.proxy_command:
            return _open_by_program(hop.proxy_command)
        return connect_tcp(hop.hostname, hop.port, deadline)
    try:
        seconds = deadline.left("connecting through a hop")
        channel = before.open_channel("direct-tcpip", (hop.hostname, hop.port), ("127.0.0.1", 0), timeout=seconds)
    except SSHException as error:
        deadline.left("connecting through a hop")
        raise ConnectionFailed(
            deadline.host,
            f"{hop.hostname} port {hop.port} cannot be reached from the hop before it: {error}",
            hint="check the address as that hop sees it, and that its sshd allows forwarding (AllowTcpForwarding)",
        ) from None
    return Socket(channel)


def _secure(
    sock: Socket, hop: Route, known: Sequence[Line], deadline: Deadline, ask: Ask, *, is_hop: bool
) -> "paramiko.Transport":
    name, port = hop.entry
    transport = negotiate(sock, preferred_types(known, name, port), deadline)
    try:
        key = transport.get_remote_server_key()
        verdict = judge(known, name, port, key.get_name(), key.asbytes())
        if verdict.kind != "trusted":
            files = hop.user_known_hosts
            add = partial(append, name=name, port=port, key_type=key.get_name(), blob=key.asbytes(), hashed=hop.hashed)
            accept = partial(add, files[0]) if files else None
            raise refusal(deadline.host, verdict, accept, hop=is_hop)
        log_in(transport, hop, deadline, ask)
        keep_alive(transport)
    except BaseException:
        transport.close()
        raise
    return transport


def _open_by_program(command: str) -> Socket:
    """Return a socket whose other end is the stdin and stdout of a ProxyCommand, which ssh gives to a shell as well."""
    ours, theirs = socket.socketpair()
    with theirs:
        program = beside.start(["/bin/sh", "-c", f"exec {command}"], stdin=theirs.fileno(), stdout=theirs.fileno())
    return Socket(ours, program)
