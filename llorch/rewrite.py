"""Write a file of the user's anew: what stands in it stays as it is, and nobody ever sees half of it.

What is to be written, and what each file means, is the rooms' business.
"""

import errno
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llorch.errors import DiskFull

PART = ".part"

Edit = Callable[[str | None], str]
"""From what a file says, None where there is none, to what it is to say. Lines end in `\\n` on both sides, and
there is no byte order mark."""


def rewrite(place: Path, name: str, edit: Edit) -> None:
    """Edit a file, made if there is none, keeping its rights and line ends. Of two at once, one waits for the other.

    Args:
        place: where the file really is; a link would be replaced by a file.
        name: how messages call it.
        edit: what it raises leaves the file as it is.

    Raises:
        DiskFull: it cannot be written.
    """
    part = place.with_name(place.name + PART)
    try:
        with _locked(part) as fd:
            raw = edited(place, edit)
            os.ftruncate(fd, 0)
            if place.exists():
                os.fchmod(fd, place.stat().st_mode & 0o7777)
            with open(fd, "wb", closefd=False) as file:
                file.write(raw)
            os.fsync(fd)
            os.replace(part, place)
        sync_folder(place.parent)
    except OSError as error:
        raise _cannot_write(error, name, place) from error


def edited(place: Path, edit: Edit) -> bytes:
    """Return what a file is to hold after an edit, without writing it."""
    try:
        old = place.read_bytes().decode()
    except FileNotFoundError:
        return edit(None).encode()
    mark = "\ufeff" if old.startswith("\ufeff") else ""  # of some Windows editors
    text = edit(old.removeprefix(mark).replace("\r\n", "\n"))
    windows = 2 * old.count("\r\n") > old.count("\n")
    return (mark + (text.replace("\n", "\r\n") if windows else text)).encode()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def without_table(text: str, key: tuple[str, ...]) -> str:
    """Return a TOML text without the tables at and below `key`, but with all comments on what follows them."""
    lines = text.split("\n")
    headers = {n: keys for n, line in enumerate(lines) if (keys := _header(line))}
    for start, end in reversed([*itertools.pairwise([*headers, len(lines)])]):
        if headers[start][: len(key)] != key:
            continue
        rest = end
        while rest > start + 1 and lines[rest - 1].strip()[:1] in ("", "#"):
            rest -= 1
        while rest < end and not lines[rest].strip():
            rest += 1
        del lines[start:rest]
    return "\n".join(lines).rstrip() + "\n"


@contextmanager
def _locked(part: Path) -> Iterator[int]:
    """Open the file that is to take another's place, waiting for another run that has it."""
    while True:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(os.fstat(fd), os.lstat(part))
            except FileNotFoundError:  # the other run has given it its name
                same = False
            if not same:
                continue
            try:
                yield fd
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            return
        finally:
            os.close(fd)


def _cannot_write(error: OSError, name: str, place: Path) -> DiskFull:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"the disk is full: `{name}` cannot be written", hint="make room; it is as it was")
    return DiskFull(
        f"`{name}` cannot be written: {error.strerror}",
        hint=f"check who may write to `{place.parent}`; it is as it was",
    )


def _header(line: str) -> tuple[str, ...]:
    """Return the keys of a table's header, none for other lines.

    >>> _header('[[models."a.b".files]]'), _header("[1, 2],")
    (('models', 'a.b', 'files'), ())
    """
    import tomli

    if not line.lstrip().startswith("["):
        return ()
    try:
        data: Any = tomli.loads(line)
    except tomli.TOMLDecodeError:  # it goes on with an array
        return ()
    keys = []
    while isinstance(data, dict) and data:
        key, data = next(iter(data.items()))
        keys.append(key)
    return tuple(keys)
