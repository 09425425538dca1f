"""What the system's ssh is called with; what it does is in test_connection, by the same tests as paramiko's way."""

from pathlib import Path

import pytest

from llorch.errors import ToolMissing
from llorch.remote.hosts import Host
from llorch.remote.reach import Reach
from llorch.remote.route import options_for


@pytest.fixture(autouse=True)
def _no_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no other configuration named."""
    monkeypatch.delenv("LLORCH_SSH_CONFIG", raising=False)


def test_a_hosts_entry_as_options(tmp_path: Path) -> None:
    """What hosts.toml says wins over ssh's configuration, and what it does not say is left to that."""
    host = Host(name="mac", host="me@mac.lan", port=2222, identity_file="~/my key")
    assert options_for(host, {}) == ("-p", "2222", "-i", str(tmp_path / "home" / "my key"))
    assert options_for(Host(name="mac", host="mac", user="you"), {}) == ("-l", "you")
    assert options_for(Host(name="mac", host="mac", jump="none"), {})[-1] == "ProxyJump=none"


def test_hops_keep_their_own_entries() -> None:
    """A hop is reached with its own key and port, through those before it."""
    hosts = {
        "gate": Host(name="gate", host="gate.lan", identity_file="/k 1"),
        "mid": Host(name="mid", host="10.0.0.2", port=22022, jump="gate"),
    }
    option, command = options_for(Host(name="far", host="far", jump="mid"), hosts)
    assert option == "-o"
    assert command.startswith("ProxyCommand=ssh -p 22022 -o ")
    assert command.endswith(" -W '[%h]:%p' -- 10.0.0.2")
    assert "[%%h]:%%p" in command
    assert "gate.lan" in command
    _, command = options_for(Host(name="far", host="far", jump="gate,you@mid.lan"), hosts)
    assert command.startswith("ProxyCommand=ssh -l you -o ")
    assert "gate.lan" in command


def test_no_ssh_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at once, with how to get it."""
    monkeypatch.setenv("PATH", "/nowhere")
    host = Host(name="tin", host="tin", transport="openssh")
    with pytest.raises(ToolMissing, match="`ssh` is not installed") as caught:
        Reach({}, 10, lambda _: None).connect(host)
    assert "apt install openssh-client" in str(caught.value.hint)
