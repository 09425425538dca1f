"""Bring a file into its place: nothing has its final name before it is whole and verified.

It grows as `<name>.part` beside its place. A wrong file that was there becomes `<name>.replaced` until the new one is
whole.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from llorch.errors import Busy, DiskFull, IntegrityError
from llorch.models.catalog import PART, REPLACED


class Part:
    """A file on its way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add bytes at the end.

        Raises:
            OSError: as `file.write`; `landing` makes a message of it.
        """
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        """The digest of all that was written."""
        return self._digest.hexdigest()


@contextmanager
def landing(place: Path, name: str, *, size: int | None, sha256: str | None) -> Iterator[Part]:
    """Write a file by its `.part`, and give it its name if it has this size and sha256.

    Args:
        name: how messages call the file.

    Raises:
        IntegrityError: something else was written; it is gone, and the place as it was.
        DiskFull: the file cannot be written there.
        Busy: another process is writing the same file.
    """
    path = place.with_name(place.name + PART)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _open(path) as file:
            part = Part(file)
            try:
                yield part
            except BaseException:
                path.unlink(missing_ok=True)  # none of these sources can go on where it stopped
                raise
            file.flush()
            os.fsync(file.fileno())
            wrong = _difference(part, size, sha256)
            if wrong is not None:
                path.unlink()
                raise IntegrityError(name, *wrong, hint="nothing was kept; run again, and if it stays, ask the source")
            os.replace(path, place)
        place.with_name(place.name + REPLACED).unlink(missing_ok=True)
        _sync_folder(place.parent)
    except OSError as error:
        raise _cannot_write(error, name, place) from error


def set_aside(place: Path, name: str) -> None:
    """Rename a wrong file, so that it is neither taken for the right one nor lost.

    Raises:
        DiskFull: the folder cannot be changed.
    """
    try:
        os.replace(place, place.with_name(place.name + REPLACED))
    except OSError as error:
        raise _cannot_write(error, name, place) from error


def _open(path: Path) -> BinaryIO:
    """Open a `.part` from its beginning, locked, so that not even a run that shares no state writes into it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise Busy(f"another process is writing `{path}`", hint="wait for it, then run again") from None
        try:
            same = os.path.samestat(os.fstat(fd), os.stat(path))
        except FileNotFoundError:
            same = False
        if same:
            os.ftruncate(fd, 0)
            return os.fdopen(fd, "wb", buffering=0)
        os.close(fd)


def _difference(part: Part, size: int | None, sha256: str | None) -> tuple[str, str] | None:
    if size is not None and part.size != size:
        return f"{size} bytes", f"{part.size} bytes"
    if sha256 is not None and part.sha256 != sha256:
        return f"sha256 {sha256}", f"sha256 {part.sha256}"
    return None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cannot_write(error: OSError, name: str, place: Path) -> DiskFull:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"the disk is full: `{name}` cannot be written", hint=f"make room below `{place.parent}`")
    return DiskFull(
        f"`{name}` cannot be written: {error.strerror}",
        hint=f"check who may write to `{place.parent}`, or set LLORCH_MODEL_BASE_DIR to another folder",
    )
