"""Programs whose output is read as a whole."""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from llorch.errors import CommandFailed
from llorch.program import Program, Reader

PYTHON = sys.executable


def output(command: Sequence[str]) -> bytes:
    """Run a program to its end."""
    program = Program(command, os.environ)
    reader = Reader()
    reader.add(program)
    assert reader.next() is program
    program.wait()
    program.close()
    return program.answer(None)


def test_it_is_alone_with_its_signals(workspace: Path) -> None:
    """It has a session of its own, no input, no file of ours, and a broken pipe ends it as it would from a shell."""
    with open("kept", "w") as kept:
        script = "import os, signal, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == ''"
        script += f", os.path.exists('/dev/fd/{kept.fileno()}'))"
        assert output([PYTHON, "-c", script]) == b"True True False\n"
    with pytest.raises(CommandFailed) as caught:
        output(["sh", "-c", "kill -PIPE $$"])
    assert caught.value.returncode == -signal.SIGPIPE


def test_its_end_does_not_depend_on_the_signals_of_children() -> None:
    """Where this process was started with SIGCHLD ignored, nobody knows how programs end, and what they say counts."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert output(["echo", "here"]) == b"here\n"
    finally:
        signal.signal(signal.SIGCHLD, before)
