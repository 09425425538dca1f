"""The state of a repository without the command line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.git.quick import quick_status
from tests.conftest import BIN, Run, in_terminal, program, program_of
from tests.git.conftest import World, add_submodule, repository


def test_it_shows_what_the_command_shows(world: World, llorch: Callable[..., Run]) -> None:
    """Both have the same words."""
    (world.work / "reference/candle/README").write_text("changed")
    assert quick_status() == llorch("git", "status").out.removesuffix("\n")


def test_it_leaves_what_is_wrong_to_the_command(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a declared workspace, without a repository and with a wrong root there is no answer."""
    assert quick_status() is None
    (workspace / "llorch.toml").touch()
    assert quick_status() is None
    monkeypatch.setenv("LLORCH_REPO_ROOT", "/nowhere")
    assert quick_status() is None


def quick(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run `llorch git status` in a folder, with more of a script before it."""
    code = "import os, sys\nos._exit = sys.exit\n"  # so that there is an end to tell at
    code += f"before = set(sys.modules)\nfrom llorch.__main__ import main\n{script}\n"
    code += "try:\n    main()\nfinally:\n    "
    slow = {
        "click",
        "collections",
        "contextlib",
        "dataclasses",
        "functools",
        "llorch.config",
        "pathlib",
        "re",
        "signal",
        "subprocess",
        "threading",
        "typing",
    }
    code += f"sys.stderr.write(str(sorted({slow!r} & set(sys.modules) - before)))"
    command = [sys.executable, "-c", code, "git", "status"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_state_of_the_repository_needs_no_command_line(tmp_path: Path) -> None:
    """`llorch git status` alone loads neither click nor what else is slow, and shows what the command line does."""
    root = repository(tmp_path / "r")
    (root / "llorch.toml").touch()
    add_submodule(root, repository(tmp_path / "source"), "reference/one")
    done = quick(root, "")
    assert (done.returncode, done.stderr) == (0, "[]")
    assert "1 submodule, 1 as recorded" in done.stdout
    assert done.stdout == program("llorch", "git", "status", "--no-color", cwd=root).out
    terminal = in_terminal("sh", "-c", f"cd '{root}' && '{sys.executable}' -m llorch git status")
    assert terminal.out.startswith("\x1b[1mmain\x1b[0m, without an upstream\n")


def test_where_there_is_more_to_say_the_command_line_says_it(tmp_path: Path) -> None:
    """An undeclared workspace, and what is wrong, are told as ever."""
    root = repository(tmp_path / "r")
    done = program("llorch", "git", "status", cwd=root)
    assert (done.code, "no llorch.toml" in done.err) == (0, True)
    (root / "llorch.toml").touch()
    (root / ".git/HEAD").write_text("nonsense")
    failed = program("llorch", "git", "status", cwd=root)
    assert (failed.code, failed.out) == (6, "")
    assert failed.err.startswith("error: ")


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    """Where no file can be opened any more there is one message, and no traceback."""
    root = repository(tmp_path / "r")
    (root / "llorch.toml").touch()
    done = program_of("sh", "-c", f"ulimit -n 8; exec '{BIN / 'llorch'}' git status", cwd=root)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: too many files are open at once\n")


INTERRUPT = "import llorch.git.quick as q\ndef fail(): raise KeyboardInterrupt\nq.quick_status = fail"
READER_GONE = "import os\nreader, writer = os.pipe()\nos.close(reader)\nos.dup2(writer, 1)"


@pytest.mark.parametrize(
    ("script", "code", "told"), [(INTERRUPT, 130, "interrupted\n[]"), (READER_GONE, 141, "[]")], ids=["key", "reader"]
)
def test_its_end_is_that_of_any_command(tmp_path: Path, script: str, code: int, told: str) -> None:
    """An interrupt and a reader that has gone have their codes, without a traceback."""
    root = repository(tmp_path / "r")
    (root / "llorch.toml").touch()
    done = quick(root, script)
    assert (done.returncode, done.stderr) == (code, told)
