"""Connections by the system's own `ssh`, for what paramiko lacks: host certificates, ControlMaster, PKCS#11, GSSAPI."""

import os
import socket
import threading
from collections.abc import Mapping
from functools import partial

from llorch import shell
from llorch.errors import ConnectionFailed
from llorch.remote.command import SIGNAL, script
from llorch.remote.streams import SIGNALS, Beginning, Pumps, Request, Sink, Terminal, new_mark

_UNINTERRUPTED = ("/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""Keeps Ctrl-C from ssh, which would leave what runs on the host alone; ssh heeds that (clientloop.c)."""
_HINT = "install it: `apt install openssh-client`, `dnf install openssh-clients`; or leave out `transport`"
FAILED = 255
"""What ssh(1) exits with when it fails itself."""
_TO_SAY_WHY = 5.0
"""Seconds that ssh has to end by itself when its connection has."""
_SETTINGS = {
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "StrictHostKeyChecking": "yes",
    "ForwardAgent": "no",
    "ClearAllForwardings": "yes",
    # What a user's configuration may say for a session of his own, and old versions do not know.
    "IgnoreUnknown": "SessionType,StdinNull,ForkAfterAuthentication",
    "SessionType": "default",
    "StdinNull": "no",
    "ForkAfterAuthentication": "no",
    "RemoteCommand": "none",
}
BULK = ("-o", "BatchMode=yes", "-o", "Ciphers=^aes128-gcm@openssh.com")
"""Options for many bytes: nobody is asked anything, and the first cipher is the one that processors have."""


class OpenSshConnection:
    """A host as `ssh` reaches it: one `ssh` for each program, so ControlMaster pays."""

    def __init__(
        self,
        name: str,
        destination: str,
        options: tuple[str, ...],
        timeout: float,
        *,
        env: Mapping[str, str],
        is_asked: bool,
    ) -> None:
        """Take what ssh(1) is to be called with.

        Args:
            name: how messages call the host.
            options: what stands for the rest of its entry in hosts.toml.
            timeout: seconds for the connection to stand.
            env: the variables it has; its configuration may send any of them.
            is_asked: a person may answer its questions, for which there is no limit of time.
        """
        self.name = name
        self.limit = None if is_asked else timeout
        self._env = env
        self._destination = destination
        self._command = ["ssh", *options, "-o", f"ConnectTimeout={timeout:.0f}"]
        for name, value in _SETTINGS.items():
            self._command += ["-o", f"{name}={value}"]
        self._command += [] if is_asked else ["-o", "BatchMode=yes"]

    def start(self, request: Request, out: Sink, err: Sink) -> "OpenSshProcess":
        """Start a script; see `streams.Connection`."""
        mark = new_mark()
        kind = "-tt" if request.terminal is not None else "-T"
        command = [*self._command, kind, "--", self._destination, script(request.text, mark, *request.arguments)]
        process = shell.start(
            [*_UNINTERRUPTED, *command], stdin=request.stdin, stderr=shell.PIPE, env=self._env, hint=_HINT
        )
        return OpenSshProcess(self, process, Beginning(mark, out, err), err)

    def open_subsystem(self, name: str) -> "_Pipe":
        """Start a program that the server knows by a name; see `streams.Connection`."""
        command = ["ssh", "-s", *self._command[1:], "-T", "--", self._destination, name]  # `-s` before SessionType
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = shell.start(
                    [*_UNINTERRUPTED, *command],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=shell.PIPE,
                    env=self._env,
                    hint=_HINT,
                )
            except BaseException:
                ours.close()
                raise
        return _Pipe(self.name, ours, process)

    def signal(self, name: str, pid: int) -> None:
        """Send a signal to a process of ours on the host."""
        command = [*self._command, "-T", "-o", "BatchMode=yes", "--", self._destination, script(SIGNAL, name, str(pid))]
        process = shell.start([*_UNINTERRUPTED, *command], stderr=shell.PIPE, env=self._env, hint=_HINT)
        process.communicate()

    def close(self) -> None:
        """Do nothing: each program has its own connection, or its master's, which is ssh's to close."""


class _Pipe:
    """What carries bytes to a subsystem and back; see `streams.Pipe`."""

    def __init__(self, name: str, sock: socket.socket, process: "shell.Started") -> None:
        self._name = name
        self._sock = sock
        self._process = process
        self._has_begun = False
        self.settimeout = sock.settimeout

    def get_name(self) -> str:
        """Return how paramiko's log calls it."""
        return self._name

    def send(self, data: bytes) -> int:
        """Send, and tell what ssh says where nothing has ever come."""
        try:
            return self._sock.send(data)
        except ConnectionError:
            if self._has_begun:
                raise
            raise self._failure() from None

    def recv(self, size: int) -> bytes:
        """Receive, and tell what ssh says where nothing ever comes."""
        try:
            data = self._sock.recv(size)
        except ConnectionResetError:  # ssh has ended before it took all that was sent
            data = b""
        if not data and not self._has_begun:
            raise self._failure()
        self._has_begun = True
        return data

    def _failure(self) -> ConnectionFailed:
        return ConnectionFailed(self._name, self._reason() or "ssh does not say why", hint="`ssh -v` tells more")

    def _reason(self) -> str:
        """Return what ssh has said when it has ended, but do not wait for a master that it may leave behind."""
        assert self._process.stderr is not None, "it is a pipe"
        shell.end_within(self._process, _TO_SAY_WHY)
        os.set_blocking(self._process.stderr.fileno(), False)
        return (self._process.stderr.read() or b"").decode(errors="replace").strip()

    def close(self) -> None:
        """End ssh."""
        self._sock.close()
        shell.hang_up(self._process)
        assert self._process.stderr is not None, "it is a pipe"
        self._process.stderr.close()


class OpenSshProcess:
    """A script that runs on a host; see `streams.Process`."""

    def __init__(
        self, connection: OpenSshConnection, process: "shell.Started", beginning: Beginning, err: Sink
    ) -> None:
        self.beginning = beginning
        self._connection = connection
        self._process = process
        self._err = err
        self._said = b""
        self._lock = threading.Lock()
        beginning.begun = self._let_go
        self._pumps = Pumps(process.kill)
        assert process.stdout is not None, "both are pipes"
        assert process.stderr is not None, "both are pipes"
        self._pumps.start(partial(os.read, process.stdout.fileno()), beginning.feed, beginning.finish)
        self._pumps.start(partial(os.read, process.stderr.fileno()), self._take_err)

    def _take_err(self, data: bytes) -> None:
        """Hold what `ssh` itself says until the script runs: it may be why it does not."""
        with self._lock:
            self._said += data
        if self.beginning.state is not None:
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            said, self._said = self._said, b""
        if said:
            self._err(said)

    def wait(self) -> int:
        """Wait for the end of the output and the program; see `streams.Process`."""
        limit = self._connection.limit
        if not self.beginning.came.wait(limit):
            raise ConnectionFailed(
                self._connection.name,
                f"its login shell has not begun after {limit:g} s",
                hint="`ssh -v` tells how far it gets",
            )
        self._pumps.wait()
        code = self._close()
        if code == FAILED and self.beginning.state is None:
            reason = self._said.decode(errors="replace").strip() or "ssh does not say why"
            raise ConnectionFailed(self._connection.name, reason, hint="`ssh -v` tells more")
        self._let_go()
        return code if code >= 0 else 128 - code

    def interrupt(self) -> None:
        """End the program; see `streams.Process`."""
        for name, patience in SIGNALS:
            if self.beginning.pid:
                self._connection.signal(name, self.beginning.pid)
            self._pumps.end_within(patience)
        self._process.kill()
        self._close()

    def _close(self) -> int:
        code = self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None, "both are pipes"
            stream.close()
        return code

    def resize(self, terminal: Terminal) -> None:
        """Do nothing: ssh sees to the size of its terminal itself."""
