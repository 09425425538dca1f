"""`llorch dev completion`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.dev.shells import SHELLS, script
from tests.conftest import Run, program


@pytest.mark.parametrize("shell", SHELLS)
def test_it_writes_the_script(llorch: Callable[..., Run], workspace: Path, shell: str) -> None:
    """The script of the shell that is named is all of stdout."""
    (workspace / "llorch.toml").touch()
    done = llorch("dev", "completion", shell)
    assert (done.code, done.out, done.err) == (0, script(shell), "")


def test_help_says_where_it_belongs(llorch: Callable[..., Run]) -> None:
    """For each shell there is a line to copy."""
    said = " ".join(llorch("dev", "completion", "--help").out.split())
    assert all(line in said for line in ("~/.bashrc", "~/.zshrc", "~/.config/fish/completions/llorch.fish"))


def test_another_shell_is_a_mistake(llorch: Callable[..., Run], workspace: Path) -> None:
    """A shell that it knows nothing of, and words that no script sends, are told."""
    assert llorch("dev", "completion", "tcsh").code == 2
    wrong = program("llorch", "dev", "completion", "bash", "--", "models", "download", "ti", cwd=workspace)
    assert (wrong.code, wrong.out, "unexpected extra arguments" in wrong.err) == (2, "", True)


def test_the_program_answers_without_a_word_on_what_is_wrong(rich: Path) -> None:
    """What the script asks is answered by the program itself, and broken files say nothing."""
    asked = ("llorch", "dev", "completion", "fish", "--", "models", "download", "ti")
    done = program(*asked, cwd=rich)
    assert (done.code, done.out, done.err) == (0, "tinyllama\tTinyLlama\nmade\t\n", "")
    (rich / "catalog.toml").write_text("[[[")
    broken = program(*asked, cwd=rich)
    assert (broken.code, broken.out, broken.err) == (0, "", "")
