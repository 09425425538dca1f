"""Programs that have the terminal, or are talked to, and how they end."""

import os
import signal
import sys
from pathlib import Path

import pytest

from llorch import beside
from llorch.errors import CommandFailed, ToolMissing
from tests.conftest import in_terminal

PYTHON = sys.executable


def test_an_interactive_program_has_the_terminal() -> None:
    """It reads what is typed and sees a terminal on every stream."""
    script = "import sys; print([s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)], input())"
    call = f"from llorch import beside; beside.run_interactive([{PYTHON!r}, '-c', {script!r}])"
    done = in_terminal(PYTHON, "-c", call, typed="typed\n")
    assert (done.code, done.out.splitlines()[-1]) == (0, "[True, True, True] typed")


def test_an_interactive_program_may_fail(workspace: Path) -> None:
    """Its exit code, and its absence, are errors like those of others."""
    with pytest.raises(CommandFailed, match="`sh` exited with 4"):
        beside.run_interactive(["sh", "-c", "exit 4"])
    Path("no-program").touch()
    for name in ("no-such-program", "./no-program"):
        with pytest.raises(ToolMissing, match=name):
            beside.run_interactive([name])


def test_a_program_is_talked_to(workspace: Path) -> None:
    """It reads what it is given, and nothing unless it is given something; it is in this process's group."""
    script = "import os, sys; print(input(), os.getpgrp()); print(os.environ['WORD'], file=sys.stderr)"
    env = {**os.environ, "WORD": "here"}
    Path("in").write_bytes(b"given\n")
    with open("in") as given, open("err", "wb") as err:
        told = beside.start([PYTHON, "-c", script], stdin=given.fileno(), stderr=err.fileno(), env=env)
        assert told.communicate()[0] == f"given {os.getpgrp()}\n".encode()
    assert Path("err").read_bytes() == b"here\n"
    assert beside.start(["cat"]).communicate()[0] == b""
    with pytest.raises(ToolMissing, match="no-such-program") as caught:
        beside.start(["no-such-program"], hint="install it")
    assert caught.value.hint == "install it"


def test_an_end_is_waited_for_as_long_as_is_said() -> None:
    """It is told whether it came."""
    reader, writer = os.pipe()
    program = beside.start(["cat"], stdin=reader)
    os.close(reader)
    assert not beside.end_within(program, 0.01)
    os.close(writer)
    assert beside.end_within(program, 60)
    assert program.communicate()[0] == b""


@pytest.mark.parametrize(("trap", "number"), [("", signal.SIGHUP), ("trap '' HUP; ", signal.SIGKILL)])
def test_who_hangs_up_ends_it(trap: str, number: int) -> None:
    """It is ended as by a terminal that goes away, and killed if it does not heed that."""
    with beside.start(["sh", "-c", trap + "echo ready; read line"], stdin=(pipe := os.pipe())[0]) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        beside.hang_up(program)
        assert program.returncode == -number
    for end in pipe:
        os.close(end)
