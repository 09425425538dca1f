"""What is told of declared hosts before anybody connects: their keys' files, and the names of their jumps."""

import os
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.errors import ConnectionFailed
from llorch.remote import check
from llorch.remote.check import check_hosts, lookup
from llorch.remote.hosts import Declared, read_hosts
from tests.remote.configs import need_ssh, use_config


@pytest.fixture(autouse=True)
def _names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration of ssh with one alias, and a network that knows one name."""
    need_ssh()
    use_config(
        "Host gate\n  HostName gate.example.org\nHost behind\n  ProxyJump gate\nHost by\n  ProxyCommand nc %h %p\n",
        tmp_path,
        monkeypatch,
    )

    def look_up(hostname: str, port: int, deadline: object) -> object:
        if hostname != "router":
            raise ConnectionFailed(hostname, "not known")
        return []

    monkeypatch.setattr(check, "look_up", look_up)


def declared(root: Path, text: str) -> Declared:
    """Write hosts.toml and read it."""
    (root / "hosts.toml").write_text(text)
    return read_hosts(Workspace(root=root, declared=True))


def said(root: Path, text: str) -> list[str]:
    """Return what is wrong with hosts."""
    return [f"{problem.severity} {problem}" for problem in check_hosts(declared(root, text))]


NONE = "neither hosts.toml nor ssh's configuration has it, and it has no address"


def test_a_jump_is_a_host_or_known_to_ssh_or_to_the_network(workspace: Path) -> None:
    """Every other word leads nowhere, and the nearest declared one is said; of addresses nothing can be told."""
    text = """
[hosts.blep]
[hosts.a]
jump = "blep,gate,me@gate:22,behind,by,router"
[hosts.b]
jump = "10.0.0.1,me@gate.example.org,[fe80::1]:22"
[hosts.c]
jump = "NONE"
[hosts.d]
jump = "blpe,me@nowhere"
"""
    assert said(workspace, text) == [
        f"error hosts.toml:10: hosts.d.jump: there is no host `blpe`: {NONE} (did you mean `blep`?)",
        f"error hosts.toml:10: hosts.d.jump: there is no host `me@nowhere`: {NONE}"
        " (`llorch remote hosts add nowhere` declares it)",
    ]


def test_a_jump_to_a_wrong_entry_is_no_second_mistake(workspace: Path) -> None:
    """A host with a mistake is declared all the same; where a whole table is lost, nothing is said of names."""
    found = declared(
        workspace, '[hosts.blep]\nport = 0\n[hosts.a]\njump = "blep"\n[hosts.b]\njump = "c"\n[hosts.c]\nx = = 1'
    )
    assert (len(found.problems), check_hosts(found)) == (2, [])
    found = declared(workspace, 'version = = 1\n[hosts.a]\njump = "blep"\n')
    assert (len(found.problems), check_hosts(found)) == (1, [])


def test_what_ssh_does_not_understand_is_said(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jump that cannot be one has its reason, and so has a configuration that ssh refuses."""
    found = declared(workspace, '[hosts.a]\njump = "gate:99999"\n')
    assert [problem.message for problem in check_hosts(found)] == [
        "ssh's configuration: ProxyJump: `99999` is not a port"
    ]
    use_config("NoSuchWord yes\n", tmp_path, monkeypatch)
    assert "Bad configuration option" in str(lookup("word", found))


def test_a_configuration_that_is_not_there_is_said_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, not each host."""
    monkeypatch.setenv("LLORCH_SSH_CONFIG", "/gone")
    text = '[hosts.a]\njump = "x"\n[hosts.b]\njump = "y"\n'
    assert said(workspace, text) == ["error LLORCH_SSH_CONFIG: there is no file `/gone`"]


@pytest.mark.parametrize(
    ("mode", "problem"),
    [
        (0o600, None),
        (0o400, None),
        (0o640, "may be read by others (-rw-r-----), and ssh refuses it (`chmod 600 ~/key`)"),
        (0o604, "may be read by others (-rw----r--), and ssh refuses it (`chmod 600 ~/key`)"),
    ],
)
def test_a_key_is_its_owners_alone(workspace: Path, mode: int, problem: str | None) -> None:
    """A private key that others may read is one that ssh refuses."""
    key = Path(os.environ["HOME"]) / "key"
    key.touch()
    key.chmod(mode)
    found = said(workspace, '[hosts.a]\nuser = "me"\nidentity_file = "~/key"\n')
    assert found == ([] if problem is None else [f"error hosts.toml:3: hosts.a.identity_file: `~/key` {problem}"])


def test_a_key_that_is_not_here(workspace: Path) -> None:
    """It is a warning, as others may share the file; with its public half the agent may have it."""
    home = Path(os.environ["HOME"])
    (home / "agents.pub").touch(0o644)
    (home / "dir").mkdir()
    text = "".join(f'[hosts.{name}]\nidentity_file = "~/{name}"\n' for name in ("gone", "agents", "agents.pub", "dir"))
    assert said(workspace, text.replace("[hosts.agents.pub]", "[hosts.pub]")) == [
        "warn hosts.toml:2: hosts.gone.identity_file: `~/gone` cannot be used here: No such file or directory"
        " (keys of the agent, and those in ~/.ssh, are offered without being named)",
        "error hosts.toml:8: hosts.dir.identity_file: `~/dir` is not a file (name the file of a private key)",
    ]


def test_the_network_is_asked_in_time(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> None:
    """The system's own names are known; a resolver that does not answer is not waited for."""
    import threading

    monkeypatch.undo()
    assert check._has_address("localhost")
    never = threading.Event()
    monkeypatch.setattr(check, "PATIENCE", 0.01)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: never.wait())
    assert not check._has_address("router")
    never.set()
