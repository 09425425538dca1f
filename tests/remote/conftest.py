"""A workspace with hosts that are real servers on loopback, and ways to them that nothing of this machine's is in."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llorch.config import find_workspace
from llorch.remote import login
from llorch.remote.hosts import load_hosts
from llorch.remote.reach import Ended, Reach
from llorch.remote.streams import Request
from tests.remote.sshd import Sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Run a server for the tests of a file."""
    with Sshd(tmp_path_factory.mktemp("sshd") / "its own") as server:
        yield server


def configure(monkeypatch: pytest.MonkeyPatch, folder: Path, known_hosts: Path, more: str = "") -> None:
    """Have ssh, and what does as ssh does, read a configuration of the test's own and no agent."""
    config = folder / "ssh_config"
    config.write_text(
        f'{more}Host *\nUserKnownHostsFile "{known_hosts}"\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\n'
    )
    monkeypatch.setenv("LLORCH_SSH_CONFIG", str(config))


def entry(name: str, sshd: Sshd, **more: object) -> str:
    """Return a host's table: as values of TOML, what `more` says before what leads to the server."""
    values = {"host": sshd.address, "port": sshd.port, "user": sshd.user, "identity_file": str(sshd.client_key)}
    lines = [f"{key} = {value!r}" for key, value in {**values, **more}.items()]
    return "\n".join([f"[hosts.{name}]", *lines, ""])


@pytest.fixture
def box(workspace: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the hosts `box` and, by the system's ssh, `tin`; both are the one server."""
    configure(monkeypatch, workspace.parent, sshd.known_hosts)
    (workspace / "llorch.toml").write_text("version = 1\n")
    declare(workspace, entry("box", sshd), entry("tin", sshd, transport="openssh", tags=["tag"]))
    monkeypatch.setattr(login, "_passphrases", {})
    return workspace


def declare(workspace: Path, *entries: str) -> None:
    """Write hosts.toml."""
    (workspace / "hosts.toml").write_text("version = 1\n" + "".join(entries))


def reach_of(workspace: Path, timeout: float = 10.0) -> Reach:
    """Return the way to a workspace's hosts, with nobody to ask."""
    return Reach(load_hosts(find_workspace(workspace)), timeout, lambda question: None)


class Heard:
    """What comes from a host."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.err = bytearray()

    def run(self, reach: Reach, name: str, request: Request) -> Ended:
        """Run a script on a host, keeping what comes."""
        return reach.run(reach.hosts[name], request, self.out.extend, self.err.extend)


def wait_for(happens: Callable[[], Any]) -> None:
    """Wait until something is so, at most ten seconds."""
    end = time.monotonic() + 10
    waiting = threading.Event()
    while not happens():
        assert time.monotonic() < end
        waiting.wait(0.005)


def is_there(pid: int) -> bool:
    """Tell whether a process runs, rather than being one that nobody has waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
