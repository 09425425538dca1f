"""Locks that a git which was killed has left: they have every later one refuse to work."""

import os
import stat
import time
from collections.abc import Iterator

from llorch.git.repo import Repo

OLD = 60 * 60
"""Seconds for which a lock may be one that a git holds, which works for long at times."""
NAMES = ("HEAD.lock", "config.lock", "index.lock", "packed-refs.lock", "shallow.lock")


def find_stale_locks(repo: Repo) -> list[str]:
    """Return the old locks of a repository and its submodules: absolute paths."""
    return [path for folder in _folders(repo.git_folder) for path in _locks(folder)]


def _folders(folder: str) -> Iterator[str]:
    """Yield a repository's own folder and those of its submodules (gitrepository-layout(5))."""
    yield folder
    modules = os.path.join(folder, "modules")
    for parent, names, _ in os.walk(modules):
        if parent != modules and "objects" in names:
            names.clear()
            yield from _folders(parent)


def _locks(folder: str) -> Iterator[str]:
    for name in NAMES:
        path = os.path.join(folder, name)
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mtime < time.time() - OLD:
            yield path
