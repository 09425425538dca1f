"""How programs are asked, and how commands of ours are named."""

import sys
from pathlib import Path

import pytest

from llorch.dev import finding
from llorch.dev.finding import ask, own
from llorch.errors import CommandFailed, TimedOut
from tests.dev.conftest import Programs
from tests.remote.conftest import is_there


def test_a_program_that_hangs_is_ended(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is gone with what it has started, and that is said."""
    programs.link("sleep")
    programs.write("nvcc", f"sleep 600 & echo $! >{tmp_path}/pid; echo begun; wait")
    monkeypatch.setattr(finding, "PATIENCE", 0.5)
    with pytest.raises(TimedOut, match=r"`nvcc` was not done after 0\.5 s"):
        ask(["nvcc"])
    assert not is_there(int((tmp_path / "pid").read_text()))


def test_both_streams_are_heard(programs: Programs, tmp_path: Path) -> None:
    """What a program says on either stream, in English, and in the folder it is asked in."""
    programs.write("tool", "echo out $LC_ALL $MORE; echo err >&2; pwd")
    assert ask(["tool"], cwd=tmp_path, env={"MORE": "more"}) == f"out C more\nerr\n{tmp_path}"
    programs.write("tool", "exit 3")
    with pytest.raises(CommandFailed):
        ask(["tool"])


def test_our_commands_are_named_so_that_a_shell_finds_them(programs: Programs) -> None:
    """By their name where PATH has them, else by where they are; one that is nowhere keeps its name."""
    assert own("hf", "auth", "login") == f"{Path(sys.executable).parent}/hf auth login"
    programs.write("hf", "exit 0")
    assert own("hf", "a b") == "hf 'a b'"
    assert own("no-such-program") == "no-such-program"
