"""Completion in real shells, with a real terminal: what is typed, and the words that the shell makes of it."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import BIN, IN_CI, in_terminal, program
from tests.dev.conftest import rich

__all__ = ["rich"]  # a fixture

SHELLS = {
    "bash": ("bash", "--rcfile", "{home}/bashrc", "-i"),
    "zsh": ("zsh", "-i"),
    "fish": ("fish", "-i"),
}
SETUP = {
    "bash": ("bashrc", 'eval "$(llorch dev completion bash)"\n'),
    "zsh": (".zshrc", 'autoload -Uz compinit\ncompinit -u\neval "$(llorch dev completion zsh)"\n'),
}
TO_BEGIN = "\x01"
"""The key that moves to the beginning of the line in all of them."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shell whose own files set completion up as the help says."""
    name = str(request.param)
    if not IN_CI and shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    home = tmp_path / "home"
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    if name in SETUP:
        file, text = SETUP[name]
        (home / file).write_text(text)
    else:
        folder = home / ".config/fish/completions"
        folder.mkdir(parents=True)
        (folder / "llorch.fish").write_text(program("llorch", "dev", "completion", "fish").out)
    show = home / "show"
    show.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" >'{home}/shown'\n")
    show.chmod(0o755)
    return name


def typed(shell: str, home: Path, line: str) -> list[str]:
    """Type a line, where `⇥` is the Tab key; return the words that a program gets when it is sent."""
    command = [word.format(home=home) for word in SHELLS[shell]]
    keys = line.replace("⇥", "\t") + TO_BEGIN + f"{home}/show \rexit\r"
    run = in_terminal("timeout", "60", "setsid", "--ctty", "--wait", *command, typed=keys)
    shown = home / "shown"
    assert shown.exists(), run.out
    words = shown.read_text().split("\0")[:-1]
    shown.unlink()
    return words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("llorch models download ti⇥", "llorch models download tinyllama"),
        ("llorch mod⇥down⇥--al⇥", "llorch models download --all"),
        ("llorch git subm⇥res⇥--dr⇥", "llorch git submodules reset --dry-run"),
        ("llorch why models:ti⇥", "llorch why models:tinyllama"),
        ("llorch doit dig⇥", "llorch doit digest"),
        ("llorch build too⇥vul⇥", "llorch build tool vulkan"),
        ("llorch test li⇥--backend sl⇥", "llorch test lint --backend slow"),
        ("llorch models list --remote wo⇥", "llorch models list --remote workstation"),
        ("llorch models list --remote=wo⇥", "llorch models list --remote=workstation"),
        ("llorch remote info @g⇥", "llorch remote info @gpu"),
        ("llorch models push made --to mac,wor⇥", "llorch models push made --to mac,workstation"),
        ("llorch test other --junit cata⇥", "llorch test other --junit catalog.toml"),
    ],
)
def test_words_are_completed(rich: Path, shell: str, line: str, words: str) -> None:
    """Commands, options and names of each kind, one key press each."""
    assert typed(shell, Path.home(), line) == words.split(" ")


@pytest.mark.parametrize(
    ("begun", "name"),
    [
        ("libs/my", 'libs/my "odd" lib'),
        ("libs/it", "libs/it's $HOME"),
        ('"libs/it', "libs/it's $HOME"),
        ("'libs/it", "libs/it's $HOME"),
        ("libs/gr", "libs/größe!"),
        ('libs/my\\ \\"', 'libs/my "odd" lib'),
    ],
)
def test_awkward_names_arrive_whole(rich: Path, shell: str, begun: str, name: str) -> None:
    """Blanks, quotes, dollars and letters of other alphabets come out as the name, however the word was begun."""
    assert typed(shell, Path.home(), f"llorch git submodules reset {begun}⇥") == [
        *["llorch", "git", "submodules", "reset"],
        name,
    ]


@pytest.mark.parametrize(("folder", "word"), [("~/its", "tinyllama"), ("~/gone", "ti")])
def test_a_path_to_llorch_is_found(rich: Path, shell: str, folder: str, word: str) -> None:
    """An llorch that is not in PATH completes, too; one that is not there says nothing."""
    (Path.home() / "its").symlink_to(BIN)
    first, *words = typed(shell, Path.home(), f"{folder}/llorch models download ti⇥")
    assert (first, words) == (f"{Path.home()}{folder[1:]}/llorch", ["models", "download", word])


def test_broken_files_say_nothing(rich: Path, shell: str) -> None:
    """A wrong catalog leaves the line as it was typed, without a message in it."""
    (rich / "catalog.toml").write_text("[[[")
    assert typed(shell, Path.home(), "llorch models download ti⇥") == ["llorch", "models", "download", "ti"]


@pytest.mark.parametrize("shell", ["zsh"], indirect=True)
def test_zsh_finds_the_script_in_its_path(rich: Path, shell: str) -> None:
    """Written to a folder of `fpath`, the script is loaded when it is first needed."""
    home = Path.home()
    (home / "functions").mkdir()
    (home / "functions/_llorch").write_text(program("llorch", "dev", "completion", "zsh").out)
    (home / ".zshrc").write_text("fpath=(~/functions $fpath)\nautoload -Uz compinit\ncompinit -u\n")
    assert typed(shell, home, "llorch why verify:ti⇥") == ["llorch", "why", "verify:tinyllama"]
