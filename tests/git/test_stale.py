"""Locks of a git that was killed, in real repositories."""

import os
import subprocess
import time
from pathlib import Path

from llorch.git.repo import Repo
from llorch.git.stale import OLD, find_stale_locks


def lock(path: Path, *, age: float = OLD + 60) -> str:
    """Write a lock of this age."""
    path.touch()
    os.utime(path, (time.time() - age,) * 2)
    return str(path)


def test_old_locks_are_found_in_submodules_too(workspace: Path) -> None:
    """Those that git itself would stumble over, and no other file; a young one may be held."""
    for folder in ("inner", "sub", "."):
        subprocess.run(["git", "init", "-q", folder], check=True)
    git = Path(os.path.realpath(workspace)) / ".git"
    for parent, name in ((git, "sub"), (git / "modules/sub", "deep/inner")):
        (parent / "modules" / name).parent.mkdir(parents=True)
        os.rename(workspace / os.path.basename(name) / ".git", parent / "modules" / name)
    repo = Repo(git.parent)
    assert find_stale_locks(repo) == []
    lock(git / "HEAD.lock", age=OLD - 60)
    lock(git / "mine.lock")
    (git / "config.lock").symlink_to("gone")
    expected = [
        lock(git / "index.lock"),
        lock(git / "modules/sub/index.lock"),
        lock(git / "modules/sub/modules/deep/inner/packed-refs.lock"),
    ]
    assert find_stale_locks(repo) == expected
    run = subprocess.run(["git", "add", "."], capture_output=True, text=True, check=False)
    assert (run.returncode, "index.lock" in run.stderr) == (128, True)
