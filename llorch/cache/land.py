"""Bring a store's file into its place: whole and with the promised digest before it has its name, or not at all."""

import hashlib
import os
import queue
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

from llorch.cache.keys import blob_key
from llorch.cache.local import LocalStore
from llorch.cache.store import Store
from llorch.errors import DiskFull, Malformed
from llorch.landing import give_name, open_part, part_of, share_blocks
from llorch.progress import Progress
from llorch.state import CHUNK, Advance

AT_ONCE = 16 << 20
"""Bytes that the kernel copies in one call."""


def bring(store: Store, digest: str, size: int, mode: int, place: Path, progress: Progress) -> bool:
    """Put the file of a sha256 in its place, over what is there.

    Args:
        mode: what chmod takes; only whether it may be run is taken over, the rest is as for any new file.

    Returns:
        Whether the file that has the name now is the one that was brought, and not yet another.

    Raises:
        NotFound: the store does not have it.
        Malformed: what the store has is something else; the place is as it was.
        DiskFull: it cannot be written there.
        Busy: another process is writing it.
        LlorchError: as the store.
    """
    path = part_of(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with open_part(path) as file:
            try:
                _fill(store, digest, size, file, progress)
                if mode & 0o100:
                    own = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                    os.fchmod(file.fileno(), own | (own & 0o444) >> 2)
                give_name(path, place)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return os.path.samestat(os.fstat(file.fileno()), os.stat(place))
    except OSError as error:
        hint = f"check the room on the disk, and who may write to `{place.parent}`"
        raise DiskFull(f"`{place}` cannot be written: {error.strerror}", hint=hint) from None


def _fill(store: Store, digest: str, size: int, file: BinaryIO, progress: Progress) -> None:
    key = blob_key(digest)
    progress.total(size)
    if isinstance(store, LocalStore):
        with store.lend(key) as source:
            found = os.fstat(source.fileno()).st_size
            actual = copy(source, file, progress.advance) if found == size else ""
    else:
        found, actual = _write(store.read(key), file, size, progress.advance)
    if (found, actual) != (size, digest):
        what = f"it has {found} bytes, not {size}" if found != size else "its bytes are not what its name says"
        raise Malformed(f"{store.name}: {key}", what)


def copy(source: IO[bytes], file: BinaryIO, advance: Advance | None = None) -> str:
    """Make an empty file another's clone or copy, and return the sha256 of what has been written."""
    if share_blocks(file, source):
        return _digest(file, iter([os.fstat(file.fileno()).st_size]), advance)
    copied: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()

    def work() -> None:
        try:
            while not stopped.is_set() and (size := _copy_some(source, file)):
                copied.put(size)
            os.fsync(file.fileno())  # while the last of it is being read
            copied.put(0)
        except BaseException as error:  # raised by whoever waits
            copied.put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        return _digest(file, _sizes(copied), advance)
    finally:
        stopped.set()
        thread.join()


def _sizes(copied: "queue.SimpleQueue[int | BaseException]") -> Iterator[int]:
    while size := copied.get():
        if isinstance(size, BaseException):
            raise size
        yield size


def _copy_some(source: IO[bytes], file: BinaryIO) -> int:
    """Copy from where both files are, within the kernel where it can; return the bytes, 0 at the end."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source.fileno(), file.fileno(), AT_ONCE)
        except OSError:
            pass  # not between these file systems; what hinders writing comes up below
    chunk = source.read(CHUNK)
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]
    return len(chunk)


def _digest(file: BinaryIO, sizes: Iterator[int], advance: Advance | None) -> str:
    """Return the sha256 of a file of which more and more is there to be read."""
    digest = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    offset = 0
    for size in sizes:
        end = offset + size
        while offset < end:
            got = os.preadv(file.fileno(), [view[: min(CHUNK, end - offset)]], offset)
            if not got:
                return ""  # somebody has cut it
            digest.update(view[:got])
            offset += got
            if advance is not None:
                advance(got)
    return digest.hexdigest()


def _write(chunks: Iterator[bytes], file: BinaryIO, size: int, advance: Advance) -> tuple[int, str]:
    """Write what comes, up to one byte too many, and return how much it was and its sha256."""
    digest = hashlib.sha256()
    written = 0
    for chunk in chunks:
        written += len(chunk)
        if written > size:
            return written, ""
        digest.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[file.write(rest) :]
        advance(len(chunk))
    return written, digest.hexdigest()
