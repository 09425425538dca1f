"""Bring a file into its place: nothing has its final name before it is whole and verified.

It grows as `<name>.part` beside its place. A wrong file that was there becomes `<name>.replaced` until the new one is
whole.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from llorch.errors import Busy, DiskFull, IntegrityError
from llorch.landing import give_name, open_part, part_of, share_blocks
from llorch.models.catalog import REPLACED
from llorch.progress import Progress
from llorch.state import CHUNK
from llorch.switches import is_on


class AlreadyThere(Exception):
    """Raised within `landing` to leave the place as it is: another process has put the right file there."""


class Part:
    """A file on its way, and what it is to become."""

    def __init__(self, file: BinaryIO, name: str, place: Path) -> None:
        """Go on after what `file` has, reading it for its digest."""
        self.name = name
        self._place = place
        self._began = False
        self._file = file
        self._digest = hashlib.sha256()
        self._size: int | None = None
        self._sha256: str | None = None
        self._git_oid: str | None = None
        self.size = 0
        while chunk := file.read(CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)

    def promise(self, *, size: int | None = None, sha256: str | None = None, git_oid: str | None = None) -> None:
        """Fix what the file is to become, as far as that is still open.

        Raises:
            IntegrityError: it is to become something else already.
        """
        for words, was, now in (("{} bytes", self._size, size), ("sha256 {}", self._sha256, sha256)):
            if was is not None and now is not None and was != now:
                raise self.wrong(words.format(was), words.format(now) + " at the source")
        self._size = self._size if size is None else size
        self._sha256 = self._sha256 or sha256
        self._git_oid = git_oid or self._git_oid

    def write(self, chunk: bytes | memoryview) -> None:
        """Add bytes at the end.

        Raises:
            IntegrityError: that is more than the file may have.
            OSError: as `file.write`; `landing` makes a message of it.
        """
        if self._size is not None and self.size + len(chunk) > self._size:
            raise self.wrong(f"{self._size} bytes", "more")
        if not chunk:
            return
        if not self._began and os.path.lexists(self._place):
            # Something comes, so what has the name, and is wrong, must not have it any longer, nor be lost.
            os.replace(self._place, self._replaced)
        self._began = True
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]  # the last bytes that fit on a disk are a short write, not an error
        self._digest.update(chunk)
        self.size += len(chunk)

    def take(self, source: IO[bytes]) -> None:
        """Take all of another file, sharing its blocks where the file system can (ioctl_ficlone(2))."""
        self.write(source.read(1))  # sets aside what has the name
        if not share_blocks(self._file, source):
            while chunk := source.read(CHUNK):
                self.write(chunk)
            return
        self._digest = hashlib.sha256()
        self.size = 0
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._digest.update(chunk)
            self.size += len(chunk)

    def restart(self) -> None:
        """Drop all that is there."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of all that is there."""
        return self._digest.hexdigest()

    @property
    def provable(self) -> bool:
        """Tell whether the whole can be told from another file of its size, so that parts of two are never mixed."""
        return bool(self._sha256 or self._git_oid)

    @property
    def whole(self) -> int | None:
        """The bytes that it is to have in the end, None while that is not known."""
        return self._size

    @property
    def missing(self) -> int:
        """The bytes that have not come yet, as far as it is known how many there are."""
        return 0 if self._size is None else self._size - self.size

    def difference(self) -> tuple[str, str] | None:
        """Return what was promised and what is there instead, or None."""
        if self._size is not None and self.size != self._size:
            return f"{self._size} bytes", f"{self.size} bytes"
        if self._sha256 is not None and self.sha256 != self._sha256:
            return f"sha256 {self._sha256}", f"sha256 {self.sha256}"
        if self._git_oid is not None and self._sha256 is None and self._oid() != self._git_oid:
            return f"git id {self._git_oid}", f"git id {self._oid()}"
        return None

    def wrong(self, expected: str, actual: str) -> IntegrityError:
        """Return the error of what came and is not what was promised."""
        kept = f", and what was there before is `{self.name}{REPLACED}`" if os.path.lexists(self._replaced) else ""
        return IntegrityError(
            self.name, expected, actual, hint=f"what came was dropped{kept}; if it stays so, ask the source"
        )

    @property
    def _replaced(self) -> Path:
        return self._place.with_name(self._place.name + REPLACED)

    def _oid(self) -> str:
        self._file.seek(0)
        return git_oid(self._file, self.size)


@contextmanager
def landing(place: Path, name: str, *, size: int | None, sha256: str | None, resume: bool = False) -> Iterator[Part]:
    """Write a file by its `.part`, and give it its name if it has this size and sha256.

    Args:
        name: how messages call the file.
        resume: go on with a `.part` that is there, and leave one that can be gone on with when the writing fails.

    Raises:
        IntegrityError: something else was written; it is gone, and the place as it was.
        DiskFull: the file cannot be written there.
        Busy: another process is writing the same file.
    """
    path = part_of(place)
    try:
        _refuse_folder(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        with open_part(path, keep=resume) as file:
            part = Part(file, name, place)
            part.promise(size=size, sha256=sha256)
            try:
                yield part
                wrong = part.difference()
                if wrong is not None:
                    raise part.wrong(*wrong)
            except AlreadyThere:
                path.unlink()
                return
            except BaseException as error:
                if not (resume and part.size and part.provable) or isinstance(error, IntegrityError):
                    path.unlink(missing_ok=True)
                raise
            file.flush()
            _give_name(path, place)
    except OSError as error:
        raise cannot_write(error, name, place) from error


class Place(NamedTuple):
    """Where another program is to write, and the lock on it, which that program is to inherit."""

    path: Path
    lock: int


@contextmanager
def landing_by(place: Path, name: str) -> Iterator[Place]:
    """Have another program write a file by its `.part`, and give it its name if the block ends well.

    The block is to look at what was written. What had the name before keeps it until then.

    Args:
        name: how messages call the file.

    Raises:
        DiskFull: the file cannot be written there.
        Busy: another process is writing the same file, be it one whose run was killed.
    """
    path = part_of(place)
    try:
        _refuse_folder(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        with open_part(path) as file:
            try:
                yield Place(path, file.fileno())
                _give_name(path, place)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise cannot_write(error, name, place) from error


def _refuse_folder(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        raise IsADirectoryError(errno.EISDIR, "there is a folder in its place")


def _give_name(path: Path, place: Path) -> None:
    """Let a whole file have its name, and what had it before go."""
    give_name(path, place)
    place.with_name(place.name + REPLACED).unlink(missing_ok=True)


def when_free(work: Callable[[], None], progress: Progress) -> None:
    """Do what writes a file, once no other process does: one of a run that shares no state, or that was killed.

    Raises:
        Busy: another process is at it, and LLORCH_NO_WAIT is set.
    """
    waited = False
    while True:
        try:
            return work()
        except Busy as error:
            if is_on("LLORCH_NO_WAIT"):
                raise
            if not waited:
                progress.say(f"waiting: {error.message}")
            waited = True
            progress.pause(0.5, error.message)


def git_oid(file: IO[bytes], size: int) -> str:
    """Return the id that git gives the contents of an open file of this size."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def cannot_write(error: OSError, name: str, place: Path) -> DiskFull:
    """Say why `name` cannot be written at `place`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"the disk is full: `{name}` cannot be written", hint=f"make room below `{place.parent}`")
    nowhere = next((folder for folder in place.parents if folder.is_symlink() and not folder.exists()), None)
    if nowhere is not None:
        return DiskFull(
            f"`{name}` cannot be written: `{nowhere}` is a link to `{nowhere.readlink()}`, which is not there",
            hint="connect what it is on, make that folder, or remove the link",
        )
    return DiskFull(
        f"`{name}` cannot be written: {error.strerror}",
        hint=f"check who may write to `{place.parent}`, or set LLORCH_MODEL_BASE_DIR to another folder",
    )
