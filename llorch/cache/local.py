"""The user's own store, on this machine, for all workspaces: a folder that nobody else may write to.

Its files share blocks with what they were made of where the file system can do that. When one was last used is its
time; while it is being used it is locked, so that `gc` leaves it alone.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from llorch.cache.folder import GROWING, FolderStore
from llorch.cache.store import Advance
from llorch.errors import NotFound, Refused, Unshared
from llorch.landing import share_blocks
from llorch.state import CHUNK

ABANDONED = 60.0
"""Seconds after which what grows and is not locked is left over from a process that was killed."""


def store_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the user's own store is, or is to be (XDG base directories: a relative path counts for nothing)."""
    named = environ.get("LLORCH_CACHE_DIR")
    if named:
        return Path(os.path.abspath(os.path.expanduser(named)))
    base = environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "llorch" / "store"


class LocalStore(FolderStore):
    """The user's own store."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, made if it is not there.

        Raises:
            Refused: others may write to it.
            OSError: it cannot be made.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        super().__init__(folder)
        if self.shared:
            raise Refused(
                f"`{folder}` is not used: others than you may write to it",
                hint="`chmod go-w` it, or let LLORCH_CACHE_DIR name another folder; `[cache] url` is for a shared one",
            )

    def create(self, key: str, data: bytes | Path, advance: Advance | None = None) -> bool:
        """Store an object unless there is one; see `store.Store`. A file has the digest that its key names.

        Raises:
            Unshared: it has another.
        """
        if isinstance(data, bytes):
            return super().create(key, data, advance)
        return self._create(key, lambda file: _take(data, file, key, advance, only_clone=False))

    def clone(self, key: str, place: Path) -> bool:
        """Store a file if that takes no room, since the file system can share its blocks; tell whether it is there."""
        try:
            self._create(key, lambda file: _take(place, file, key, None, only_clone=True))
        except _TakesRoom:
            return False
        return True

    @contextmanager
    def lend(self, key: str) -> Iterator[FileIO]:
        """Open an object that is used, and have `gc` leave it alone meanwhile, and for longer than what is not used.

        Raises:
            NotFound: it is not there.
        """
        with ExitStack() as opened:
            with self._at(key) as (folder, name):
                file = opened.enter_context(_open(name, folder))
                self._check(os.fstat(file.fileno()))
                fcntl.flock(file, fcntl.LOCK_SH)
                try:
                    os.utime(file.fileno())
                except OSError as error:
                    if error.errno != errno.EROFS:  # where nothing can be removed, no time is needed
                        raise
            yield file  # only now, so that what hinders whoever uses it is not taken for the store's

    def touch(self, key: str) -> None:
        """Note that an object has been used, if it is there."""
        with suppress(NotFound), self.lend(key):
            pass

    def evict(self, key: str) -> bool:
        """Remove an object unless it is being used; tell whether it is gone."""
        with suppress(NotFound), self._at(key) as (folder, name), _open(name, folder) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            os.unlink(name, dir_fd=folder)
        return True

    def leftovers(self, now: float) -> Iterator[tuple[Path, int]]:
        """Yield what killed processes have left where objects grow, and its bytes."""
        folder = self._folder / GROWING
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            with suppress(OSError), open(path, "rb", buffering=0) as file:  # another may have removed it
                status = os.fstat(file.fileno())
                if now - status.st_mtime > ABANDONED:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield path, status.st_size


def _open(name: str, folder: int) -> FileIO:
    # Not waiting, or a pipe in its place would have us wait for ever.
    return FileIO(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder))


class _TakesRoom(Exception):
    """Raised where a file's blocks cannot be shared."""


def _take(place: Path, file: BinaryIO, key: str, advance: Advance | None, *, only_clone: bool) -> None:
    """Make an object of a file that is what its key says."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        source = FileIO(place)
    except OSError as error:
        raise Unshared(f"`{place}` cannot be read: {error.strerror}") from None
    with source:
        shares = share_blocks(file, source)
        if only_clone and not shares:
            raise _TakesRoom
        digest = hashlib.sha256()
        while chunk := (file if shares else source).read(CHUNK):
            digest.update(chunk)
            rest = memoryview(b"" if shares else chunk)
            while rest:
                rest = rest[file.write(rest) :]
            if advance is not None:
                advance(len(chunk))
    if digest.hexdigest() != key.rpartition("/")[2]:
        raise Unshared(f"`{place}` has changed, and is not kept")
