"""Locks on targets, held by another process."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llorch.config import find_workspace
from llorch.errors import DiskFull
from llorch.locks import hold
from llorch.session import session
from tests.conftest import as_mortal

HOLDER = """
import sys
from llorch.config import find_workspace
from llorch.locks import hold
sys.argv = ["doit", "make:out"]
with hold(find_workspace(), "out", "make:out"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held() -> Iterator[subprocess.Popen[str]]:
    """Have another process hold the lock on `out`, until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        assert holder.stdin is not None
        holder.stdin.close()


def test_who_waits_can_be_interrupted(workspace: Path) -> None:
    """A run that is ended does not wait on."""
    session().cancelled.set()
    with held(), pytest.raises(KeyboardInterrupt):
        hold(find_workspace(), "out", "make:out")


def test_a_lock_that_cannot_be_made(workspace: Path) -> None:
    """Where nothing can be written, what could not be made first is named."""
    workspace.chmod(0o555)

    def use() -> None:
        with pytest.raises(DiskFull, match=r"/\.llorch` cannot be written: Permission denied"):
            hold(find_workspace(), "out", "make:out")

    as_mortal(use)
    workspace.chmod(0o755)


def test_the_state_goes_between_two_looks_at_it(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is there when it is made and gone when it is looked at again is made again."""
    is_dir, folder = Path.is_dir, find_workspace().state
    folder.mkdir()
    looks = [folder]

    def gone(path: Path) -> bool:
        if path in looks:
            shutil.rmtree(looks.pop())
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", gone)
    with hold(find_workspace(), "out", "make:out"):
        assert not looks
        assert folder.exists()


def test_a_file_in_the_place_of_the_state(workspace: Path) -> None:
    """What stays in the way is told."""
    (workspace / ".llorch").write_text("")
    with pytest.raises(DiskFull, match=r"/\.llorch` cannot be written: it is no folder"):
        hold(find_workspace(), "out", "make:out")
