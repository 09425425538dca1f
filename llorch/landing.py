"""How a file comes to its name: it grows as `<name>.part` under the kernel's lock, and is renamed when it is whole.

What the file is to be, and what becomes of one that is in its place, is the business of who writes it.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from llorch.errors import Busy
from llorch.rewrite import PART as PART
from llorch.rewrite import sync_folder

_FICLONE = 0x40049409
"""Linux: have a file share another's blocks (ioctl_ficlone(2))."""


def part_of(place: Path) -> Path:
    """Return where a file grows."""
    return place.with_name(place.name + PART)


def open_part(path: Path, *, keep: bool = False) -> BinaryIO:
    """Open a `.part`, emptied unless it is to be kept, locked: not even a run that shares no state writes into it.

    Raises:
        Busy: another process has it.
        OSError: it cannot be made.
    """
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
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise OSError(errno.EINVAL, f"`{path}` is no file")  # reading a pipe would never end
            if not keep:
                os.ftruncate(fd, 0)
            return os.fdopen(fd, "r+b", buffering=0)
        os.close(fd)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have the kernel's lock on a temporary folder, for who clears up to know that it is in use."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def share_blocks(file: IO[bytes], source: IO[bytes]) -> bool:
    """Have an empty file be another's clone, which takes no room; False where the file system cannot do that."""
    try:
        fcntl.ioctl(file.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def give_name(path: Path, place: Path) -> None:
    """Let a whole file have its name, and both survive a power cut."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    os.replace(path, place)
    sync_folder(place.parent)
