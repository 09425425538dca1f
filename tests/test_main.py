"""Where the program begins."""

import os
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


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["--help"], 0), (["nope"], 2)])
def test_the_exit_code_is_the_commands(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """The program ends with the code of what it ran."""
    monkeypatch.setattr(sys, "argv", ["llorch", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert (caught.value.code or 0) == code
