"""What may come next on a command line."""

import os
from pathlib import Path

import pytest

from llorch.dev.complete import complete
from llorch.table import MODELS, TOP


def words(line: str) -> list[str]:
    """Return what may come next after a line's words, the last one included."""
    return [offer.word for offer in complete(line.split(" "))]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("", [*TOP]),
        ("models ", [*MODELS]),
        ("-q --json models ", [*MODELS]),
        ("nothing ", []),
        ("remote hosts ", ["list", "add", "remove", "check"]),
        ("models download ti", ["tinyllama", "made"]),
        ("models download tinyllama ", ["made"]),
        ("models info tinyllama ", []),
        ("models push made --to ", ["mac", "workstation", "@cuda", "@gpu", "all"]),
        ("models push made --to mac,wo", ["mac,workstation", "mac,@cuda", "mac,@gpu", "mac,all"]),
        ("--remote=m", ["--remote=mac", "--remote=workstation", "--remote=@cuda", "--remote=@gpu", "--remote=all"]),
        ("--remote mac models info ", ["tinyllama", "made"]),
        ("--remote=mac models info ", ["tinyllama", "made"]),
        ("models pull made --from ", ["mac", "workstation"]),
        ("models check --prompt ", []),
        ("models check --prompt x ", ["tinyllama", "made"]),
        ("build ", ["list", "clean", "tool", "plain"]),
        ("build tool ", ["cpu", "vulkan"]),
        ("build tool cpu ", []),
        ("build clean tool ", ["cpu", "vulkan"]),
        ("test lint --backend ", ["slow", "fast"]),
        ("test lint ", []),
        ("graph --format ", ["mermaid", "dot", "svg"]),
        ("graph --format=s", ["--format=mermaid", "--format=dot", "--format=svg"]),
        ("remote exec mac ", []),
        ("remote exec mac ls -", []),
        ("models info -- -", ["tinyllama", "made"]),
        ("models add x --id=", []),
        ("models nothing ", []),
    ],
)
def test_what_comes_next_is_what_the_command_takes(rich: Path, line: str, offered: list[str]) -> None:
    """Commands, names of the right kind and choices; nothing where only the user knows."""
    assert words(line) == offered


def test_options_come_where_a_dash_is(rich: Path) -> None:
    """Those of the command and those of all, with what they do; `--remote` where it works."""
    offered = {offer.word: offer.about for offer in complete(["models", "info", "-"])}
    assert offered["--tensors"] == "List the tensors of the GGUF file."
    assert {"-C", "--directory", "-h", "--help", "--json", "--remote"} <= {*offered}
    assert "--remote" not in words("remote info -")
    assert "--check" in words("remote hosts list --ch")


@pytest.mark.parametrize("option", [["-C", "{}"], ["-qC", "{}"], ["-qC{}"], ["--directory={}"], ["--directory", "{}"]])
def test_another_folder_is_looked_at(
    rich: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    """`-C` counts in each form, alone and among other letters."""
    monkeypatch.chdir(tmp_path)
    line = [*(word.format(rich) for word in option), "models", "info", ""]
    assert [offer.word for offer in complete(line)] == ["tinyllama", "made"]


@pytest.mark.parametrize(
    ("line", "kind"), [("test lint --junit ", "file"), ("-C ", "folder"), ("models -C ", "folder")]
)
def test_files_are_the_shells(rich: Path, line: str, kind: str) -> None:
    """What the shell completes better is told by one offer without a word."""
    assert complete(line.split(" ")) == [("", kind)]


def test_a_file_in_the_same_word_is_nobodys(rich: Path) -> None:
    """After `--junit=` nothing is offered that would stand in the place of the option."""
    assert words("test lint --junit=x") == []


def test_what_a_terminal_would_obey_is_not_offered(rich: Path) -> None:
    """A name with a control character is left out."""
    assert words("git submodules reset ") == ['libs/my "odd" lib', "libs/it's $HOME", "libs/größe!"]


def test_broken_files_offer_nothing(rich: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a wrong or unreadable file would declare is not offered; commands and options are."""
    (rich / "hosts.toml").write_text("no TOML [")
    assert words("remote info ") == []
    (rich / "llorch.toml").write_text("nonsense = 1")
    assert words("models info ") == words("why ") == words("build tool ") == []
    assert words("build ") == ["list", "clean"]
    assert "--json" in words("models info -")
    (rich / "llorch.toml").unlink()
    (rich / "llorch.toml").mkdir()
    assert words("models info ") == []
    (rich / "llorch.toml").rmdir()
    for name in ("llorch.toml", "hosts.toml", "dodo.py", ".gitmodules"):
        (rich / name).unlink(missing_ok=True)
        os.mkfifo(rich / name)  # reading it would wait for ever
    assert words("models info ") == words("why ") == words("remote info ") == words("git submodules reset ") == []
    monkeypatch.setenv("LLORCH_REPO_ROOT", "/nowhere")
    assert words("remote info ") == []
