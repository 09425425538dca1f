"""What a command line is at the other end."""

import pytest

from llorch.remote.forward import COMPATIBLE, forward_request, without_host
from llorch.remote.hosts import Host


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("git status --remote mac", "git status"),
        ("--remote=mac git status --json", "git status --json"),
        ("-C /w models list -v", "models list -v"),
        ("-C/w models list", "models list"),
        ("-qvC /w models list", "-qv models list"),
        ("--directory /w --remote a,b test unit -- --remote x -C y", "test unit -- --remote x -C y"),
        ("--directory=/w build list", "build list"),
        ("git log --remotely", "git log --remotely"),
    ],
)
def test_what_is_for_this_end_stays_here(given: str, kept: str) -> None:
    """The host and the folder here are left out, wherever they stand; all else is kept."""
    assert without_host(given.split()) == kept.split()


def test_a_request_says_where_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder, the llorch, which versions will do, and the terminal come before the command's own words."""
    host = Host(name="mac", host="mac", llorch="~/bin/llorch")
    request = forward_request(host, ["git", "log"], ["stdout"], 99)
    expected = ("~/Projects/llama-orch", "~/bin/llorch", COMPATIBLE, "stdout", "99", "git", "log")
    assert request.arguments == expected
    assert request.stdin is None
    assert forward_request(host, [], [], 80).arguments[3] == "none"
