"""What is told to those who type a word that is no command, or an option that there is not."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.dev.replaced import ACTIONS
from llorch.meant import BACKENDS, ON_A_HOST, OPTIONS, WORDS, commands
from llorch.meant import option as option_hint
from llorch.table import TABLES
from tests.conftest import Run
from tests.pages import flaw

Llorch = Callable[..., Run]


def meant(line: str, group: str = "") -> list[str]:
    """Return what is suggested for a line without its `llorch`."""
    return list(commands(group, shlex.split(line), TABLES))


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("doctor", ["llorch dev doctor"]),
        ("catalog", ["llorch models catalog"]),
        ("catalogue", ["llorch models catalog"]),
        ("submodule", ["llorch git submodules"]),
        ("clean", ["llorch build clean", "llorch git clean"]),
        ("sync", ["llorch git sync", "llorch remote sync"]),
        ("unit", ["llorch test unit"]),
        ("modles", ["models"]),
        ("models-list", ["llorch models list"]),
        ("git:submodules-status", ["llorch git submodules status"]),
        ("models:tinyllama", ["llorch doit models:tinyllama"]),
        ("mac.lan build metal", ["llorch build worker metal --remote mac.lan"]),
        ("mac.lan metal build", ["llorch build worker metal --remote mac.lan"]),
        ("mac.lan other build", []),
        ("gti status", ["git"]),
        ("biuld clean", ["build"]),
        ("modls info tinyllama", ["models"]),
        ("submodules status", ["llorch git submodules"]),
        ("zzz", []),
    ],
)
def test_words_at_the_top(line: str, lines: list[str]) -> None:
    """A command of a group is found without it, joined to it, or misspelt; so are a task and a script's action."""
    assert meant(line) == lines


@pytest.mark.parametrize(
    ("group", "line", "lines"),
    [
        ("git", "submodule-branch --submodule candle", ["llorch git submodules branch NAME [BRANCH]"]),
        ("git", "submodules-list", ["llorch git submodules list"]),
        ("git", "stauts", ["status"]),
        ("remote", "hots info", ["hosts"]),
        ("git", "reset candle", ["llorch git submodules reset"]),
        ("git", "doctor", ["llorch dev doctor"]),
        ("git submodules", "doctor", ["llorch dev doctor"]),
        ("models", "rm tinyllama", ["llorch models delete"]),
        ("models", "status", []),
        ("remote hosts", "rm mac", ["llorch remote hosts remove"]),
        ("remote", "add mac", ["llorch remote hosts add"]),
        ("remote", "mac status", ["llorch git status --remote mac"]),
        ("remote", "status mac", ["llorch git status --remote mac"]),
        ("remote", "status", ["llorch git status --remote HOST"]),
        ("remote", "mac test", ["llorch test all --backend BACKEND --remote mac"]),
        ("remote", "mac cuda smoke", ["llorch test smoke --backend cuda --remote mac"]),
        ("remote", "mac models-download qwen --force", ["llorch models download qwen --remote mac"]),
        ("remote", "models-info mac qwen", ["llorch models info qwen --remote mac"]),
        ("remote", "mac models-info", ["llorch models info ID --remote mac"]),
        ("remote", "uname mac", []),
    ],
)
def test_words_in_a_group(group: str, line: str, lines: list[str]) -> None:
    """Its own commands come first, then those below it; of others only the one that is alone."""
    assert meant(line, group) == lines


@pytest.mark.parametrize("action", sorted(ACTIONS["llorch-remote"]))
@pytest.mark.parametrize("line", ["box {action}", "box {action} cuda", "box cuda {action}"])
def test_every_action_on_a_host_is_answered(action: str, line: str) -> None:
    """By a line that can be typed, for this host and this backend."""
    (said,) = meant(line.format(action=action), "remote")
    assert "box" in said
    assert "cuda" in said or "cuda" not in line or "{backend}" not in ON_A_HOST[action]
    assert [found for each in said.split(" && ") if (found := flaw(each))] == []


@pytest.mark.parametrize(("script", "group"), [("llorch-git", "git"), ("llorch-models", "models")])
def test_every_action_of_the_local_scripts_is_a_command_or_is_answered(script: str, group: str) -> None:
    """With the line that stands for it."""
    for action in ACTIONS[script] - set(TABLES[group]):
        (said,) = meant(action, group)
        assert flaw(said) is None


def test_what_is_suggested_is_there() -> None:
    """Each line of the tables names commands, and each option's command is one that has no such option."""
    lines = [f"llorch {line}" for words in WORDS.values() for line in words.values()]
    assert [found for line in lines if (found := flaw(line))] == []
    for command, option in OPTIONS:
        assert flaw(f"llorch {command}") is None
        assert flaw(f"llorch {command} {option}") is not None
    assert option_hint("build worker", "--release") == OPTIONS["build", "--release"]
    assert option_hint("git log", "--release") is None
    assert set(ON_A_HOST) == ACTIONS["llorch-remote"]
    assert not set(BACKENDS) & set(ON_A_HOST)


def test_what_is_meant_is_told(workspace: Path, llorch: Llorch) -> None:
    """Two lines have `or` between them; an option of the scripts has the way there is now for its hint."""
    assert llorch("sync").err.startswith(
        "error: there is no command `sync`; did you mean `llorch git sync` or `llorch remote sync`?\n\nhint: "
    )
    forced = llorch("models", "download", "tinyllama", "--force")
    assert (forced.code, forced.err.splitlines()[-1]) == (2, f"hint: {OPTIONS['models download', '--force']}")
    assert llorch("git", "--version", "--json").json["error"]["hint"] == "`llorch --version` tells it"


def test_a_command_of_this_machine_names_itself(workspace: Path, llorch: Llorch) -> None:
    """Where `--remote` is refused, the hint has the command that refuses it."""
    refused = llorch("dev", "completion", "bash", "--remote", "box")
    assert (refused.code, refused.err.splitlines()[-1]) == (
        2,
        "hint: `llorch dev completion --help` shows what it takes",
    )
