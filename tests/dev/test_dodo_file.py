"""A dodo.py is looked at and not run."""

import os
from pathlib import Path

import pytest

from llorch.config import find_workspace
from llorch.dev.dodo_file import check_dodo
from llorch.errors import ConfigError


def complaint(workspace: Path, source: bytes | None = None) -> str:
    """Return what is said of a dodo.py."""
    if source is not None:
        (workspace / "dodo.py").write_bytes(source)
    with pytest.raises(ConfigError) as caught:
        check_dodo(find_workspace(workspace))
    (problem,) = caught.value.problems
    return str(problem)


def test_what_is_right_is_not_run(workspace: Path) -> None:
    """None at all is right, too, and warnings are its own."""
    check_dodo(find_workspace(workspace))
    (workspace / "dodo.py").write_text("'\\d'\nraise SystemExit('it was run')\n")
    check_dodo(find_workspace(workspace))


def test_what_is_no_source_is_told(workspace: Path) -> None:
    """It may be anything: its line is told where it has one."""
    assert complaint(workspace, b"x = 1\ndef f(:\n") == "dodo.py:2: is not Python: invalid syntax"
    assert complaint(workspace, b"x = '\0'\n").startswith("dodo.py")
    assert complaint(workspace, b"x = " + b"-" * 200_000 + b"1").startswith("dodo.py")
    (workspace / "dodo.py").unlink()
    (workspace / "dodo.py").mkdir()
    assert complaint(workspace) == "dodo.py: cannot be read: Is a directory"
    (workspace / "dodo.py").rmdir()
    os.mkfifo("dodo.py")
    assert complaint(workspace) == "dodo.py: cannot be read: Not a file"
    (workspace / "dodo.py").unlink()
    (workspace / "dodo.py").symlink_to("shared/dodo.py")
    assert complaint(workspace) == "dodo.py: is a link to `shared/dodo.py`, which is not there"
