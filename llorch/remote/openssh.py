"""Connections by the system's own `ssh`, for what paramiko lacks: host certificates, ControlMaster, PKCS#11, GSSAPI."""

import os
import shutil
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from llorch import beside, shell
from llorch.errors import CommandFailed, ConnectionFailed, HostKeyRefused, TimedOut, ToolMissing
from llorch.remote.command import SIGNAL, script
from llorch.remote.hosts import Host
from llorch.remote.known_hosts import append, judge, load_known_hosts, preferred_types, refusal
from llorch.remote.route import TOO_MANY_KEYS, hop_to, options_for, settings_of, target
from llorch.remote.ssh_config import Settings
from llorch.remote.streams import SIGNALS, Beginning, Pumps, Request, Sink, Terminal, new_mark, not_begun
from llorch.remote.transport import Deadline

_UNINTERRUPTED = ("/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""Keeps Ctrl-C from ssh, which would leave what runs on the host alone; ssh heeds that (clientloop.c)."""
_HINT = "install it: `apt install openssh-client`, `dnf install openssh-clients`; or leave out `transport`"
FAILED = 255
"""What ssh(1) exits with when it fails itself."""
_TO_SAY_WHY = 5.0
"""Seconds that ssh has to end by itself when its connection has."""
_MESSAGE = 1 << 16
"""Bytes beyond which what comes before the script is no message of ssh's, but the login shell's talk."""
_SETTINGS = {
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "StrictHostKeyChecking": "yes",
    "ForwardAgent": "no",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
}
_DEFAULTS = {"SessionType": "default", "StdinNull": "no", "ForkAfterAuthentication": "no"}
"""What a user's configuration may say otherwise for a session of his own; ssh(1) knows of it since 8.7."""
_REFUSED = "Host key verification failed"
"""What ssh(1) says where it does not trust a host's key, or a hop does not."""
_TOO_MANY = "Too many authentication failures"
"""What servers say to those that offer more keys than they take."""
_PRESENTED = {
    "BatchMode": "yes",
    "ControlPath": "none",
    "PreferredAuthentications": "none",
    "StrictHostKeyChecking": "accept-new",
    "GlobalKnownHostsFile": "/dev/null",
    "CheckHostIP": "no",
    "HashKnownHosts": "no",
    "UpdateHostKeys": "no",
    "VerifyHostKeyDNS": "no",
}
"""Has ssh(1) write a host's key into a file and go no further, whatever it would think of that key."""
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
        settings: Settings,
        is_asked: bool,
        refused: Callable[[], HostKeyRefused | None],
    ) -> None:
        """Take what ssh(1) is to be called with.

        Args:
            name: how messages call the host.
            options: what stands for the rest of its entry in hosts.toml.
            timeout: seconds for the connection to stand.
            settings: what its configuration says.
            is_asked: a person may answer its questions, for which there is no limit of time.
            refused: says which key it is that ssh does not trust.

        Raises:
            ToolMissing: there is no ssh.
        """
        if shutil.which("ssh") is None:
            raise ToolMissing("`ssh` is not installed, or not in PATH", hint=_HINT)
        self.name = name
        self.refused = refused
        self.limit = None if is_asked else timeout
        self._timeout = timeout
        self._running: list[beside.Started] = []
        self._env = _unsent(settings)
        self._destination = destination
        ours = {**_SETTINGS, "ConnectTimeout": f"{timeout:.0f}", **_defaults(_DEFAULTS, settings)}
        self._command = ["ssh", *options, *_words(ours), *([] if is_asked else ["-o", "BatchMode=yes"])]

    def start(self, request: Request, out: Sink, err: Sink) -> "OpenSshProcess":
        """Start a script; see `streams.Connection`."""
        mark = new_mark()
        kind = "-tt" if request.terminal is not None else "-T"
        command = [*self._command, kind, "--", self._destination, script(request.text, mark, *request.arguments)]
        process = beside.start([*_UNINTERRUPTED, *command], stdin=request.stdin, stderr=beside.PIPE, env=self._env)
        self._running = [*(each for each in self._running if each.poll() is None), process]
        return OpenSshProcess(self, process, Beginning(mark, out, err), err)

    def open_subsystem(self, name: str) -> "_Pipe":
        """Start a program that the server knows by a name; see `streams.Connection`."""
        command = ["ssh", "-s", *self._command[1:], "-T", "--", self._destination, name]  # `-s` before SessionType
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = beside.start(
                    [*_UNINTERRUPTED, *command],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=beside.PIPE,
                    env=self._env,
                    hint=_HINT,
                )
            except BaseException:
                ours.close()
                raise
        return _Pipe(self.name, ours, process)

    def signal(self, name: str, pid: int) -> bool:
        """Send a signal to a process of ours on the host; tell whether it could be sent in time."""
        command = [*self._command, "-T", "-o", "BatchMode=yes", "--", self._destination, script(SIGNAL, name, str(pid))]
        with open(os.devnull, "wb") as nowhere:
            out = nowhere.fileno()
            process = beside.start([*_UNINTERRUPTED, *command], stdout=out, stderr=out, env=self._env)
        if not beside.end_within(process, self._timeout):  # ssh waits for a master of connections without end
            beside.hang_up(process)
            return False
        return process.returncode != FAILED

    def close(self) -> None:
        """End what still runs: each program has its own connection, or its master's, which is ssh's to close."""
        for process in self._running:
            if process.poll() is None:
                beside.hang_up(process)


class _Pipe:
    """What carries bytes to a subsystem and back; see `streams.Pipe`."""

    def __init__(self, name: str, sock: socket.socket, process: "beside.Started") -> None:
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
        beside.end_within(self._process, _TO_SAY_WHY)
        os.set_blocking(self._process.stderr.fileno(), False)
        return (self._process.stderr.read() or b"").decode(errors="replace").strip()

    def close(self) -> None:
        """End ssh."""
        self._sock.close()
        beside.hang_up(self._process)
        assert self._process.stderr is not None, "it is a pipe"
        self._process.stderr.close()


class OpenSshProcess:
    """A script that runs on a host; see `streams.Process`."""

    def __init__(
        self, connection: OpenSshConnection, process: "beside.Started", beginning: Beginning, err: Sink
    ) -> None:
        self.beginning = beginning
        self._connection = connection
        self._process = process
        self._err = err
        self._said = bytearray()
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
        if self.beginning.state is not None or len(self._said) > _MESSAGE:
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            said, self._said = self._said, bytearray()
        if said:
            self._err(bytes(said))

    def wait(self) -> int:
        """Wait for the end of the output and the program; see `streams.Process`."""
        limit = self._connection.limit
        if not self.beginning.came.wait(limit):
            assert limit is not None, "without one it waits until it has come"
            raise not_begun(self._connection.name, limit)
        self._pumps.wait()
        code = self._close()
        if code == FAILED and self.beginning.state is None:
            reason = self._said.decode(errors="replace").replace("\r\n", "\n").strip() or "ssh does not say why"
            refused = self._connection.refused() if _REFUSED in reason or not self._said else None
            hint = TOO_MANY_KEYS if _TOO_MANY in reason else "`ssh -v` tells more"
            raise refused or ConnectionFailed(self._connection.name, reason, hint=hint)
        self._let_go()
        return code if code >= 0 else 128 - code

    def interrupt(self) -> None:
        """End the program; see `streams.Process`."""
        for name, patience in SIGNALS:
            if self.beginning.pid and not self._connection.signal(name, self.beginning.pid):
                break
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


def refused_key(
    host: Host, hosts: Mapping[str, Host], deadline: Deadline, *, is_hop: bool = False
) -> HostKeyRefused | None:
    """Return the error for the key of a host, or of a hop to it, that ssh(1) does not trust; None if that is not why.

    ssh says what is wrong, but not which key it was given. So it is asked for that, on the same way.

    Args:
        is_hop: it is a hop to the host that the deadline is for.

    Raises:
        ConfigError, CommandFailed, ConnectionFailed: as `route.resolve`.
    """
    import tempfile

    hop = hop_to(host, hosts)
    if hop is not None and (error := refused_key(hop, hosts, deadline, is_hop=True)) is not None:
        return error
    found = settings_of(host, deadline)
    route = target(host, found)
    known = load_known_hosts((*route.user_known_hosts, *route.global_known_hosts))
    types = ",".join(preferred_types(known, *route.entry))
    with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
        file = Path(folder, "key")
        settings = {**_PRESENTED, "UserKnownHostsFile": '"' + str(file).replace("%", "%%") + '"'}
        settings.update({"HostKeyAlgorithms": f"^{types}"} if types else {})
        settings.update(_defaults({"KnownHostsCommand": "none"}, found))
        command = ["ssh", *_words(settings), *options_for(host, hosts), "-T", "--", host.host, "true"]
        with suppress(CommandFailed, TimedOut):  # it does not log in, and may not even get there
            shell.output(command, env=_unsent(found), timeout=deadline.left("asking for its host key"))
        presented = load_known_hosts([file])
    for line in presented:
        name, port = route.entry
        verdict = judge(known, name, port, line.key_type, line.blob)
        if verdict.kind == "authority":  # ssh has seen no certificate of one, and asks then as for any other key
            verdict = verdict._replace(kind="unknown", lines=())
        if verdict.kind != "trusted":
            files = route.user_known_hosts
            add = partial(append, name=name, port=port, key_type=line.key_type, blob=line.blob, hashed=route.hashed)
            return refusal(deadline.host, verdict, partial(add, files[0]) if files else None, hop=is_hop)
    return None


def _defaults(defaults: Mapping[str, str], settings: Settings) -> Mapping[str, str]:
    """Return those that a configuration says otherwise, for not every ssh(1) knows them."""
    return {name: value for name, value in defaults.items() if settings.get(name.lower(), (value,)) != (value,)}


def _words(settings: Mapping[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _unsent(settings: Settings) -> Mapping[str, str]:
    """Return the variables without those that ssh's configuration sends to a host: a token may be among them.

    Those that say which language and which terminal stay.
    """
    patterns = " ".join(settings.get("sendenv", ())).split()

    def is_sent(variable: str) -> bool:
        harmless = variable in ("LANG", "LANGUAGE", "TERM", "COLORTERM") or variable.startswith("LC_")
        return not harmless and any(fnmatchcase(variable, pattern) for pattern in patterns)

    return {variable: value for variable, value in os.environ.items() if not is_sent(variable)}
