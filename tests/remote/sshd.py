"""A real sshd on loopback, with keys, settings and a home of its own: `Sshd`. Nothing of the machine's is touched."""

import getpass
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import pytest

from tests.conftest import IN_CI

SSHD = "/usr/sbin/sshd"  # it starts itself anew for each connection, and wants to know where it is
KEY_TYPES = ("ed25519", "ecdsa")
_ATTEMPTS = 20


def make_key(path: Path, kind: str = "ed25519", *, passphrase: str = "") -> Path:
    """Make a key pair, `path` and `path.pub`, and return the private one's path."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", f"{kind} of a test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


class Sshd:
    """A server that the current user may log in to with `client_key`; started on entry, gone with its children after.

    A test that uses one is skipped where OpenSSH is not installed, but fails in CI.

    Args:
        folder: made if it is not there; all of the server's files are in it.
        options: lines for sshd_config(5), which win over ours. A second `SetEnv` would take away the home.
    """

    def __init__(self, folder: Path, *, options: Sequence[str] = ()) -> None:
        if not (os.access(SSHD, os.X_OK) or IN_CI):
            pytest.skip("there is no sshd")
        self.folder = folder
        self.options = tuple(options)
        self.address = "127.0.0.1"
        self.port = 0
        self.user = getpass.getuser()
        self.home = folder / "home"
        """HOME of what it runs; the current folder is still that of the user's entry in passwd(5)."""
        self.log = folder / "sshd.log"
        self.authorized_keys = folder / "authorized_keys"
        self.known_hosts = folder / "known_hosts"
        """For clients: has all its host keys."""
        self.home.mkdir(parents=True)
        self.client_key = make_key(folder / "client_key")
        self.host_keys = {kind: make_key(folder / f"host_{kind}", kind) for kind in KEY_TYPES}
        self.authorized_keys.write_bytes(self.client_key.with_suffix(".pub").read_bytes())

    def __enter__(self) -> Self:
        """Start it, and return when it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it locks up its unprivileged half
        for _ in range(_ATTEMPTS):
            if self._starts():
                break
        else:
            raise AssertionError(self.log.read_text())
        self.known_hosts.write_text("".join(self.known_hosts_line(kind) for kind in self.host_keys))
        return self

    def __exit__(self, *_: object) -> None:
        """End it and all that it has started."""
        self._process.send_signal(signal.SIGSTOP)  # so that no connection comes while they are counted
        for pid in _descendants(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have it answer nothing: it, and all that it has started, is stopped meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        stopped = [self._process.pid, *_descendants(self._process.pid)]
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in stopped:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def known_hosts_line(self, kind: str = "ed25519", name: str | None = None) -> str:
        """Return the line of a host key, under its address and port or another name."""
        type, blob, *_ = self.host_keys[kind].with_suffix(".pub").read_text().split()
        return f"{name or f'[{self.address}]:{self.port}'} {type} {blob}\n"

    def ssh(self, *options: str, known_hosts: Path | None = None) -> list[str]:
        """Return the command line of a client that uses nothing of the user's; options given win over ours."""
        settings = {
            "IdentityFile": self.client_key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": known_hosts or self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        ours = [part for name, value in settings.items() for part in ("-o", f'{name}="{value}"')]
        return ["ssh", "-F", "none", *options, *ours, "-p", str(self.port), f"{self.user}@{self.address}"]

    def _starts(self) -> bool:
        """Start it on a port that was free a moment ago; tell whether it listens, or somebody else was quicker."""
        with socket.socket() as free:
            free.bind((self.address, 0))
            self.port = free.getsockname()[1]
        config = self.folder / "sshd_config"
        config.write_text("\n".join([*self.options, *self._settings()]) + "\n")
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while "Server listening" not in self.log.read_text():
            try:
                self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            said = self.log.read_text()
            assert "Address already in use" in said, said
            return False
        return True

    def _settings(self) -> list[str]:
        return [
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            *(f'HostKey "{key}"' for key in self.host_keys.values()),
            f'AuthorizedKeysFile "{self.authorized_keys}"',
            f'PidFile "{self.folder / "sshd.pid"}"',
            f'SetEnv "HOME={self.home}"',
            "LogLevel VERBOSE",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "PermitUserRC no",
            "PrintMotd no",
            "PrintLastLog no",
            "MaxStartups 100",
            "MaxSessions 100",
            "Subsystem sftp internal-sftp",
        ]


def _descendants(pid: int) -> list[int]:
    """Return the processes below one, which each have a session of their own: no signal reaches all of them."""
    children: dict[int, list[int]] = {}
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
