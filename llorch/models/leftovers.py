"""Find and remove what runs that were killed have left: parts, files kept aside, temporary folders.

Never touched are files with a final name, what a running process holds, and what is behind a link. What an unfinished
download would go on with is no leftover.
"""

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llorch.config import Settings, Workspace
from llorch.errors import DiskFull
from llorch.models.adopt import hub_cache
from llorch.models.catalog import BY_CLIENT, PART, REPLACED, Model

INCOMPLETE = ".incomplete"
"""How the Hub client's unfinished files end; it never goes on with one."""
YOUNG = 24 * 60 * 60
"""Seconds for which an unfinished file of the Hub's client may be one that it is at."""
_HUB_FOLDER = (".cache", "huggingface", "download")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A file, or a temporary folder; `path` relative to the workspace or absolute, `size` in bytes."""

    path: str
    size: int
    identity: tuple[int, int, int]
    """What tells it from another that takes its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is left, and what is only unfinished."""

    leftovers: tuple[Leftover, ...]
    unfinished: tuple[Leftover, ...]


def find_leftovers(workspace: Workspace, settings: Settings, models: Mapping[str, Model]) -> Found:
    """Look for what can be removed, in the model folder, the Hub client's cache and `.llorch/tmp`."""
    final, wanted = set[str](), set[str]()
    for model in models.values():
        final |= {_real(workspace, path) for path in model.made}
        for path in model.paths:
            final.add(_real(workspace, path))
            if model.entry.source in ("hf", "https:") and not os.path.lexists(workspace.path(path)):
                wanted |= {_real(workspace, path + ending) for ending in (PART, REPLACED)}
    paths = [path for path in _in_models(str(workspace.path(settings.paths.models))) if _is_free(path)]
    paths += [*_in_cache(hub_cache()), *_in_tmp(workspace.state)]
    left: list[Leftover] = []
    unfinished: list[Leftover] = []
    for path in dict.fromkeys(paths):
        found = _leftover(path, workspace)
        real = os.path.realpath(path)
        if found is not None and not any(file == real or file.startswith(real + os.sep) for file in final):
            (unfinished if real in wanted else left).append(found)
    return Found(leftovers=tuple(left), unfinished=tuple(unfinished))


def remove(leftovers: Iterable[Leftover], workspace: Workspace) -> list[Leftover]:
    """Remove what was found, unless it has become something else or somebody holds it now; return what is gone.

    Raises:
        DiskFull: something cannot be removed; the rest is gone.
    """
    gone = []
    failures: list[tuple[str, OSError]] = []
    for item in leftovers:
        path = str(workspace.path(item.path))
        try:
            if _remove(path, item.identity):
                gone.append(item)
        except OSError as error:
            failures.append((item.path, error))
    if failures:
        path, reason = failures[0]
        more = f", nor can {len(failures) - 1} more" if len(failures) > 1 else ""
        raise DiskFull(
            f"`{path}` cannot be removed: {reason.strerror}{more}",
            hint=f"check who may write to `{os.path.dirname(workspace.path(path))}`",
        )
    return gone


def _remove(path: str, identity: tuple[int, int, int]) -> bool:
    try:
        if _identity(os.lstat(path)) != identity:
            return False
        if os.path.isdir(path):
            if _is_held(path):
                return False
            shutil.rmtree(path)
            return True
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # Held until it is gone: who opens a part looks, once it has the lock, whether the part still has its name.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(fd)
    return True


def _real(workspace: Workspace, path: str) -> str:
    return os.path.realpath(workspace.path(path))


def _leftover(path: str, workspace: Workspace) -> Leftover | None:
    """Return a regular file or a folder as a leftover; None for links, and for what is gone by now."""
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            inside = (os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names)
            size = sum(os.lstat(file).st_size for file in inside)
        elif stat.S_ISREG(status.st_mode):
            size = status.st_size
        else:
            return None
    except FileNotFoundError:
        return None
    return Leftover(path=workspace.name(path), size=size, identity=_identity(status))


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _in_models(base: str) -> Iterator[str]:
    """Yield the files and folders below the model folder whose names are of things on their way."""
    for parent, folders, names in os.walk(base):
        for folder in sorted(folder for folder in folders if folder.startswith(BY_CLIENT)):
            folders.remove(folder)
            yield os.path.join(os.path.normpath(parent), folder)
        parts = tuple(parent.split(os.sep))
        of_hub = any(parts[n : n + 3] == _HUB_FOLDER for n in range(len(parts)))
        for name in sorted(names):
            path = os.path.join(os.path.normpath(parent), name)
            if of_hub:
                if name.endswith(INCOMPLETE) and _is_old(path) and not _any_held(Path(parent)):
                    yield path
            elif name.endswith((PART, REPLACED)):  # a receipt's part among them
                yield path


def _in_cache(cache: Path) -> Iterator[str]:
    """Yield the files of the Hub client's cache that it has not finished and is not at."""
    for repo in sorted(cache.glob("models--*")):
        blobs = repo / "blobs"
        if repo.is_symlink() or blobs.is_symlink():
            continue
        for path in sorted(blobs.glob(f"*{INCOMPLETE}")):
            lock = cache / ".locks" / repo.name / f"{path.name.split('.')[0]}.lock"
            if _is_old(str(path)) and not _is_held(str(lock)):
                yield str(path)


def _in_tmp(state: Path) -> Iterator[str]:
    """Yield what is in the workspace's folder for temporary things, unless a run is at work."""
    folder = state / "tmp"
    if folder.is_symlink() or state.is_symlink() or _any_held(state / "locks"):
        return
    yield from map(str, sorted(folder.glob("*")))


def _is_free(path: str) -> bool:
    """Tell whether nobody holds a file, nor the part for which it was kept aside."""
    return not (_is_held(path) or (path.endswith(REPLACED) and _is_held(path.removesuffix(REPLACED) + PART)))


def _is_old(path: str) -> bool:
    try:
        return os.lstat(path).st_mtime < time.time() - YOUNG
    except FileNotFoundError:
        return False


def _any_held(folder: Path) -> bool:
    return any(_is_held(str(path)) for path in folder.glob("*.lock"))


def _is_held(path: str) -> bool:
    """Tell whether a process has the kernel's lock on a file, or it cannot be told."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:  # a link, or not ours to open
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
