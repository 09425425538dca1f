"""ssh, a real agent, and hosts that are a real server on loopback or nobody."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from llorch.dev.finding import Finding
from llorch.dev.ssh import check_agent, check_host, check_ssh, needs_ssh
from tests.dev.conftest import Programs, examined, look, needs_of
from tests.remote.conftest import configure, declare, entry, sshd
from tests.remote.sshd import Sshd

__all__ = ["sshd"]  # a fixture


@pytest.fixture
def hosts(workspace: Path) -> Path:
    """A workspace with two hosts."""
    declare(workspace, "[hosts.box]\n", '[hosts.tin]\ntransport = "openssh"\n')
    return workspace


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent of the test's own."""
    socket = tmp_path / "agent"
    said = subprocess.run(["ssh-agent", "-a", socket, "-s"], capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    os.kill(int(said.split("SSH_AGENT_PID=")[1].split(";")[0]), signal.SIGTERM)


def test_who_needs_it(workspace: Path) -> None:
    """A workspace that declares hosts."""
    assert needs_ssh(needs_of(workspace)) == ""
    declare(workspace, "[hosts.box]\n")
    assert needs_ssh(needs_of(workspace)) == "box"


def test_ssh(hosts: Path) -> None:
    """Its version."""
    (finding,) = look(check_ssh, hosts)
    assert finding.severity == "ok"
    assert finding.found.startswith("OpenSSH_")


def test_no_ssh(hosts: Path, programs: Programs) -> None:
    """A failure for hosts that are reached by it, a warning for the others; no agent is missed then."""
    (finding,) = look(check_ssh, hosts, "box, tin")
    assert (finding.severity, finding.needed_for) == ("error", "tin")
    assert finding.fix == ("sudo apt install openssh-client",)
    declare(hosts, "[hosts.box]\n")
    (finding,) = look(check_ssh, hosts, "box")
    assert (finding.severity, finding.needed_for) == ("warn", "box")
    assert look(check_agent, hosts) == []


def test_no_agent(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning: keys may have no passphrase."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (finding,) = look(check_agent, hosts)
    assert (finding.severity, finding.found, finding.safe) == ("warn", "none", False)
    assert finding.fix == ('eval "$(ssh-agent -s)"', "ssh-add")


def test_an_agent_that_does_not_answer(hosts: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose connection is dead: it can be done without."""
    monkeypatch.setattr("llorch.dev.finding.PATIENCE", 0.2)
    programs.link("sleep")
    programs.write("ssh-add", "exec sleep 600")
    (finding,) = look(check_agent, hosts)
    assert (finding.severity, finding.found) == ("warn", "no answer")
    assert "`ssh-add` was not done after 0.2 s" in finding.text


def test_an_agent(hosts: Path, agent: None, sshd: Sshd) -> None:
    """Without keys it helps nobody; with some they are counted."""
    (finding,) = look(check_agent, hosts)
    assert (finding.severity, finding.found, finding.fix) == ("warn", "no keys", ("ssh-add",))
    subprocess.run(["ssh-add", "-q", sshd.client_key], check=True)
    (finding,) = look(check_agent, hosts)
    assert (finding.severity, finding.found) == ("ok", "1 key")


def reached(root: Path) -> dict[str, Finding]:
    """Return what is said of each host."""
    needs = needs_of(root)
    findings = [finding for host in needs.hosts.values() for finding in check_host(host, needs, "it")]
    return {finding.id: finding for finding in findings}


def test_hosts(workspace: Path, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself: reached, not there, and one whose key is unknown, which a command shows and asks about."""
    configure(monkeypatch, tmp_path, sshd.known_hosts)
    declare(workspace, entry("box", sshd), entry("gone", sshd, port=1), entry("tin", sshd, transport="openssh"))
    findings = reached(workspace)
    assert {id: finding.severity for id, finding in findings.items()} == {
        "host:box": "ok",
        "host:gone": "error",
        "host:tin": "ok",
    }
    assert findings["host:box"].found.startswith("reached in ")
    assert "Connection refused" in findings["host:gone"].text
    assert findings["host:gone"].fix == ()
    configure(monkeypatch, tmp_path, tmp_path / "nobody")
    findings = reached(workspace)
    assert findings["host:box"].severity == "error"
    assert findings["host:box"].fix[0].endswith("llorch remote hosts check box")


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_a_host_that_hangs(
    workspace: Path, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """One whose login shell never begins is told, and holds up no other."""
    until_gone = "ForceCommand exec sh -c 'while kill -0 $PPID; do sleep 0.1; done' 2>/dev/null"
    with Sshd(tmp_path / "never", options=[until_gone]) as never:
        known = tmp_path / "known"
        known.write_bytes(sshd.known_hosts.read_bytes() + never.known_hosts.read_bytes())
        configure(monkeypatch, tmp_path, known)
        declare(workspace, entry("box", sshd), entry("never", never, transport=transport))
        code, findings = examined("--hosts")
    assert (code, findings["host:box"].severity, findings["host:never"].severity) == (1, "ok", "error")
    assert re.search("has not begun after 4 s|was not done after 5 s", findings["host:never"].text)


def test_hosts_are_reached_only_when_asked_for(
    workspace: Path, tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program goes to other machines with `--hosts` alone, which may be none."""
    configure(monkeypatch, tmp_path, sshd.known_hosts)
    assert examined("--hosts")[0] == 0
    declare(workspace, entry("gone", sshd, port=1))
    code, findings = examined()
    assert (code, "host:gone" in findings, findings["ssh"].severity) == (0, False, "ok")
    code, findings = examined("--hosts")
    assert (code, findings["host:gone"].severity) == (1, "error")
