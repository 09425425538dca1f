"""An SSH transport that keeps time: one deadline over all stages, no delays of TCP's, and a dead link that is noticed.

What is said over it is the business of `connection` and `channel`.
"""

import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

from llorch import beside
from llorch.errors import ConnectionFailed

if TYPE_CHECKING:
    import paramiko

ALIVE_INTERVAL = 15.0
"""Seconds of silence after which the server is asked whether it is there."""
ALIVE_COUNT = 3
"""Intervals of silence after which the link is dead, as with ssh's ServerAliveCountMax."""
_REKEY_BYTES, _REKEY_PACKETS = 1 << 37, 3 << 30
"""After how much new keys are asked for: somewhat more than OpenSSH's own limits (packet.c), so that servers do first.

A channel may stall while paramiko waits for the answer to its own request: its one thread has to answer what is still
coming of a channel's end, and waits for the new keys to do so. For a server's request there is nothing to wait for.
"""
_loading = threading.Lock()
_FIRST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Twice as quick as paramiko's first choice, where the processor has AES."""


class Deadline:
    """The one moment at which a connection has to stand.

    Attributes:
        at: where the stages are, in messages, if it is not the host itself.
    """

    def __init__(self, host: str, seconds: float) -> None:
        self.host = host
        self.seconds = seconds
        self.at = ""
        self._end = time.monotonic() + seconds

    def left(self, stage: str) -> float:
        """Return the seconds that are left for a stage.

        Raises:
            ConnectionFailed: none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed(stage)
        return left

    def extend(self, seconds: float) -> None:
        """Give back what a person took to answer."""
        self._end += seconds

    def passed(self, stage: str) -> ConnectionFailed:
        """Return the error of a stage that took too long."""
        return ConnectionFailed(
            self.host,
            f"{stage}{self.at} took too long: {self.seconds:g} s are over",
            hint="check that it is on and reachable; `[remote] connect_timeout` in llorch.toml has the seconds",
        )


class Socket:
    """A stream socket as paramiko uses it, which acknowledges at once, wakes its reader when closed, and keeps time.

    Attributes:
        heard: when something came last, by the monotonic clock.
        silence: seconds without a word after which the link was given up; None otherwise.
    """

    def __init__(self, sock: Any, program: "beside.Started | None" = None) -> None:
        """Take a socket or a channel, and the program at its other end if there is one."""
        self._sock = sock
        self._program = program
        self.heard = time.monotonic()
        self.silence: float | None = None
        self._quick = isinstance(sock, socket.socket) and sock.family in (socket.AF_INET, socket.AF_INET6)
        if self._quick:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, size: int) -> bytes:
        """Receive, and have the next bytes acknowledged at once, or Linux waits 40 ms for something to say."""
        data: bytes = self._sock.recv(size)
        self.heard = time.monotonic()
        if self._quick and hasattr(socket, "TCP_QUICKACK"):
            with suppress(OSError):  # it may be closed by now
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def close(self) -> None:
        """Close, end a `recv` that waits, and end the program, as ssh does."""
        for let_go in (lambda: self._sock.shutdown(socket.SHUT_RDWR), self._sock.close):
            with suppress(OSError, EOFError):  # it is closed already, or the hop that carries it
                let_go()
        if self._program is not None:
            beside.hang_up(self._program)

    def __getattr__(self, name: str) -> Any:
        """Return what else a socket has."""
        return getattr(self._sock, name)


def load_paramiko() -> Any:
    """Import paramiko without what only its reading of `Match exec` needs, which is a third of the time."""
    import logging
    import sys

    with _loading:
        if "paramiko" not in sys.modules:
            hidden = "invoke" not in sys.modules
            if hidden:
                sys.modules["invoke"] = None  # type: ignore[assignment] # how Python marks what must not be imported
            try:
                import paramiko
            finally:
                if hidden:
                    del sys.modules["invoke"]
            logging.getLogger("paramiko").addHandler(logging.NullHandler())  # or its tracebacks reach the terminal
    import paramiko

    return paramiko


def connect_tcp(hostname: str, port: int, deadline: Deadline) -> Socket:
    """Return a connection to the first address of a host that takes one.

    Raises:
        ConnectionFailed: the name is unknown, or no address takes one in time.
    """
    addresses = look_up(hostname, port, deadline)
    problem: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        # An address that swallows everything must not use up the time of the others.
        sock.settimeout(deadline.left("connecting") / (len(addresses) - number))
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
        else:
            sock.settimeout(None)
            return Socket(sock)
    if isinstance(problem, TimeoutError) or problem is None:
        raise deadline.passed("connecting")
    raise ConnectionFailed(
        deadline.host,
        f"{hostname} port {port}: {os.strerror(problem.errno or 0)}",
        hint="check that the machine is on, its address, and that sshd listens on that port",
    )


def look_up(hostname: str, port: int, deadline: Deadline) -> Sequence[tuple[Any, ...]]:
    """Return a name's addresses, as `getaddrinfo` does.

    Raises:
        ConnectionFailed: it has none, or they do not come in time.
    """
    found: list[Sequence[tuple[Any, ...]]] = []
    problems: list[OSError] = []

    def ask() -> None:
        try:
            found.append(socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            problems.append(error if isinstance(error, OSError) else OSError(0, "not a host name"))

    thread = threading.Thread(target=ask, daemon=True)  # the system's resolver knows no deadline
    thread.start()
    thread.join(deadline.left("looking up the name"))
    if problems:
        raise ConnectionFailed(
            deadline.host,
            f"the name `{hostname}` is not known: {problems[0].strerror}",
            hint="check `host` in hosts.toml or HostName in ~/.ssh/config, and the network",
        )
    if not found:
        raise deadline.passed("looking up the name")
    return found[0]


def negotiate(sock: Socket, key_types: Sequence[str], deadline: Deadline) -> "paramiko.Transport":
    """Return a transport whose encryption stands; whose host key it is has not been looked at yet.

    Args:
        sock: it is closed if this fails.
        key_types: kinds of host key to ask for first.

    Raises:
        ConnectionFailed: the server speaks no SSH that we do, or not in time.
    """
    transport = _make(sock)
    _prefer(transport, key_types)
    done = threading.Event()
    transport.banner_timeout = deadline.seconds  # both lie behind the deadline, which ends them
    transport.handshake_timeout = deadline.seconds
    transport.auth_timeout = deadline.seconds
    try:
        transport.start_client(event=done)
        if not done.wait(deadline.left("the start of SSH")):
            raise deadline.passed("the start of SSH")
    except ConnectionFailed:
        transport.close()
        raise
    if not transport.is_active():
        problem = transport.get_exception()
        transport.close()
        if isinstance(problem, load_paramiko().ssh_exception.IncompatiblePeer):
            raise ConnectionFailed(
                deadline.host,
                f"the server takes only algorithms that paramiko does not have: {problem}",
                hint='`transport = "openssh"` in hosts.toml has the system\'s ssh connect, which may have them',
            )
        raise ConnectionFailed(
            deadline.host,
            f"the server does not speak SSH as it should: {problem or 'it hung up'}",
            hint="check that an sshd listens on that port; `ssh -v` tells more",
        )
    return transport


def _prefer(transport: "paramiko.Transport", key_types: Sequence[str]) -> None:
    options = transport.get_security_options()
    options.ciphers = [
        *(cipher for cipher in _FIRST_CIPHERS if cipher in options.ciphers),
        *(cipher for cipher in options.ciphers if cipher not in _FIRST_CIPHERS),
    ]
    # An RSA key is asked for by the names of its signatures.
    wanted = [
        name for kind in key_types for name in (("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,))
    ]
    known = [name for name in wanted if name in options.key_types]
    options.key_types = [*known, *(name for name in options.key_types if name not in known)]


def _make(sock: Socket) -> "paramiko.Transport":
    transport: paramiko.Transport = _transport_class()(sock)
    transport.daemon = True
    transport.packetizer.REKEY_BYTES = _REKEY_BYTES
    transport.packetizer.REKEY_PACKETS = _REKEY_PACKETS
    return transport


def socket_of(transport: "paramiko.Transport") -> Socket:
    """Return what carries the transport."""
    return cast(Socket, transport.sock)


@cache
def _transport_class() -> Any:
    """Return a class of transports that also know of the signal that ended a program, which paramiko leaves out."""
    paramiko = load_paramiko()
    from paramiko.common import MSG_CHANNEL_REQUEST

    class Transport(paramiko.Transport):  # type: ignore[misc, name-defined] # the class is known only once it is loaded
        _channel_handler_table: ClassVar = {
            **paramiko.Transport._channel_handler_table,
            MSG_CHANNEL_REQUEST: _take_request,
        }

    return Transport


def _take_request(channel: Any, message: Any) -> None:
    """Take a channel's request; RFC 4254 has the signal's name, without SIG, in `exit-signal` (6.10)."""
    if message.get_text() == "exit-signal":
        message.get_boolean()
        channel.exit_signal = message.get_text()
        channel.status_event.set()
        return
    message.rewind()
    message.get_int()  # the channel's number, which the caller had read
    type(channel)._handle_request(channel, message)


def keep_alive(transport: "paramiko.Transport", interval: float = ALIVE_INTERVAL) -> None:
    """Ask the server again and again whether it is there, and close the transport when nothing comes any more."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(interval):
            with suppress(Exception):  # the transport may close at this moment, and `watch` tells
                transport.global_request("keepalive@openssh.com", wait=True)

    def watch() -> None:
        sock = socket_of(transport)
        while transport.is_active():
            silence = time.monotonic() - sock.heard
            if silence >= interval * ALIVE_COUNT:
                sock.silence = silence
                transport.close()
                break
            ended.wait(interval * ALIVE_COUNT - silence)
        ended.set()

    for work in (ask, watch):
        threading.Thread(target=work, daemon=True).start()
