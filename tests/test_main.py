"""Where the program begins."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llorch import __version__
from llorch.__main__ import main
from tests.conftest import BIN, program, program_of
from tests.git.conftest import isolated, repository

__all__ = ["isolated"]  # a fixture


@pytest.mark.parametrize("command", [("llorch",), ("python", "-m", "llorch")])
def test_both_ways_to_begin(workspace: Path, command: tuple[str, ...]) -> None:
    """`llorch` and `python -m llorch` are the same program."""
    done = program(*command, "--version")
    assert (done.code, done.out, done.err) == (0, f"llorch {__version__}\n", "")
    failed = program(*command, "modles")
    assert (failed.code, "did you mean `models`?" in failed.err) == (2, True)


def test_the_version_needs_nothing(workspace: Path) -> None:
    """`llorch --version` loads no command line, and works where the configuration is wrong."""
    (workspace / "llorch.toml").write_text("wrong")
    script = "import sys\ntry:\n    main()\nfinally:\n    print('click' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", "from llorch.__main__ import main\n" + script, "--version"],
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"llorch {__version__}\nFalse\n"


@pytest.mark.parametrize("buffering", ["", "1"])
@pytest.mark.parametrize(
    "command", ["--version", "git status", "--help", "models catalog", "git log --json", "no --json"]
)
def test_what_cannot_be_written_is_said(tmp_path: Path, command: str, buffering: str) -> None:
    """Where stdout leads to a full disk, or nowhere, each command ends with one message that says so."""
    root = repository(tmp_path / "r")
    (root / "llorch.toml").touch()
    for where, told in ((">/dev/full", "No space left on device"), (">&-", "stdout is closed")):
        script = f"exec '{BIN / 'llorch'}' {command} {where}"
        done = program_of("sh", "-c", script, cwd=root, env={"PYTHONUNBUFFERED": buffering})
        assert (done.code, told in done.err, done.err.count("error: ")) == (1, True, 1)
        assert "Traceback" not in done.err


def test_closed_streams_are_nobodys(tmp_path: Path) -> None:
    """Without a stdin and a stderr a command works, and no file that it opens takes their numbers."""
    root = repository(tmp_path / "r")
    (root / "llorch.toml").touch()
    done = program_of("sh", "-c", f"exec '{BIN / 'llorch'}' git log <&- 2>&-", cwd=root)
    assert (done.code, done.out.endswith("Write README\n")) == (0, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["git status", "git branches", "git pull"])
def test_an_end_is_one_for_the_gits_too(tmp_path: Path, command: str, number: signal.Signals) -> None:
    """Where git hangs, a command that is told to end has it end too, and says at most that it was interrupted."""
    root = repository(tmp_path / "r")
    (root / "llorch.toml").touch()
    os.mkfifo(tmp_path / "alive")
    hanging = tmp_path / "bin/git"
    hanging.parent.mkdir()
    hanging.write_text(f"#!/bin/sh\nexec 3>'{tmp_path / 'alive'}'\necho begun >&3\nexec sleep 1000\n")
    hanging.chmod(0o755)
    environ = {**os.environ, "PATH": f"{hanging.parent}:{os.environ['PATH']}"}
    run = subprocess.Popen([BIN / "llorch", *command.split()], cwd=root, env=environ, stderr=subprocess.PIPE, text=True)
    with run, open(tmp_path / "alive") as alive:
        assert alive.readline() == "begun\n"
        run.send_signal(number)
        assert alive.read().replace("begun\n", "") == ""  # the end of the file: no git has it open any more
        _, err = run.communicate()
    assert (run.returncode, err.strip()) == (128 + number, "interrupted" if number == signal.SIGINT else "")


def test_an_interrupt_before_there_is_a_command_line_is_one_line(workspace: Path) -> None:
    """Ctrl-C while the program is being loaded leaves no traceback."""
    script = "import sys\nclass Slow:\n    def find_spec(self, name, *_):\n        if name == 'llorch.cli':\n"
    script += "            raise KeyboardInterrupt\nsys.meta_path.insert(0, Slow())\n"
    done = program("python", "-c", script + "from llorch.__main__ import main\nmain()", "list")
    assert (done.code, done.out, done.err) == (130, "", "interrupted\n")


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--help"], 0), (["nope"], 2)])
def test_the_exit_code_is_the_commands(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """The program ends with the code of what it ran."""
    monkeypatch.setattr(sys, "argv", ["llorch", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code or 0) == code
