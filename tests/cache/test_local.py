"""The user's own store: private, sharing blocks where it can, and left alone by `gc` where it is in use."""

import errno
import fcntl
import os
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from llorch import landing
from llorch.cache import local
from llorch.cache.folder import GROWING
from llorch.cache.keys import blob_key
from llorch.cache.local import LocalStore, store_folder
from llorch.errors import LlorchError, NotFound, Refused, Unshared
from tests.conftest import sha256

DATA = b"x" * 3_000_000
KEY = blob_key(sha256(DATA))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "a/store")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to be stored."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, "~/.cache/llorch/store"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/llorch/store"),
        ({"XDG_CACHE_HOME": "relative"}, "~/.cache/llorch/store"),
        ({"XDG_CACHE_HOME": "/x", "LLORCH_CACHE_DIR": "/y"}, "/y"),
        ({"LLORCH_CACHE_DIR": "~/y"}, "~/y"),
    ],
)
def test_where_it_is(environ: dict[str, str], place: str) -> None:
    """In the user's cache folder, unless a variable says otherwise."""
    assert store_folder(environ) == Path(place).expanduser()


def test_it_is_the_users_alone(store: LocalStore, file: Path, tmp_path: Path) -> None:
    """It is made so that nobody else can read it, and not used where others can write to it."""
    store.create(KEY, file)
    assert (tmp_path / "a/store").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a/store" / KEY).stat().st_mode & 0o777 == 0o400
    (tmp_path / "a/store").chmod(0o770)
    with pytest.raises(Refused, match="others than you may write to it"):
        LocalStore(tmp_path / "a/store")


def test_a_file_is_what_its_key_says(store: LocalStore, file: Path) -> None:
    """One that has changed since it was hashed, or is gone, is not stored, and nothing is left of it."""
    advanced: list[int] = []
    assert store.create(KEY, file, advanced.append)
    assert (b"".join(store.read(KEY)), sum(advanced)) == (DATA, len(DATA))
    assert not store.create(KEY, file)
    store.delete(KEY)
    file.write_bytes(DATA + b"more")
    with pytest.raises(Unshared, match="has changed, and is not kept"):
        store.create(KEY, file)
    file.unlink()
    with pytest.raises(Unshared, match="cannot be read"):
        store.create(KEY, file)
    assert store.size(KEY) is None
    assert list(store.items()) == []
    assert list(store.leftovers(time.time() + 1e6)) == []
    assert store.create("ac/1", b"record")


def test_a_clone_takes_no_room_or_is_none(
    store: LocalStore, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where blocks cannot be shared nothing is stored; where they can, what is stored has been read as well."""

    def ioctl(to: int, request: int, source: int) -> None:
        os.pwrite(to, os.pread(source, len(DATA) + 1, 0), 0)  # what a file system with shared blocks does

    def refuse(to: int, request: int, source: int) -> None:
        raise OSError

    monkeypatch.setattr(landing.fcntl, "ioctl", refuse)  # type: ignore[attr-defined]
    assert (store.clone(KEY, file), store.size(KEY)) == (False, None)
    monkeypatch.setattr(landing.fcntl, "ioctl", ioctl)  # type: ignore[attr-defined]
    assert store.clone(KEY, file)
    assert b"".join(store.read(KEY)) == DATA
    assert store.clone(KEY, file)
    file.write_bytes(b"other")
    with pytest.raises(Unshared, match="has changed"):
        store.clone(blob_key(sha256(b"another")), file)


def test_what_is_lent_is_used(store: LocalStore, file: Path, tmp_path: Path) -> None:
    """Lending gives it a new time and a lock, so that it is not evicted until it is given back."""
    store.create(KEY, file)
    path = tmp_path / "a/store" / KEY
    os.utime(path, (1, 1))
    with store.lend(KEY) as lent:
        assert lent.read(3) == b"xxx"
        assert path.stat().st_mtime > 1
        assert not store.evict(KEY)
    assert store.evict(KEY)
    assert not path.exists()
    assert store.evict(KEY)
    with pytest.raises(NotFound), store.lend(KEY):
        pass
    store.touch(KEY)


@pytest.mark.parametrize(("number", "lent"), [(errno.EROFS, True), (errno.EIO, False)])
def test_what_is_lent_of_a_disk_that_cannot_be_written(
    store: LocalStore, file: Path, monkeypatch: pytest.MonkeyPatch, number: int, lent: bool
) -> None:
    """It has no new time, and needs none, since nothing is evicted there; other errors of the disk are told."""
    store.create(KEY, file)

    def utime(place: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "utime", utime)
    with nullcontext() if lent else pytest.raises(LlorchError), store.lend(KEY) as source:
        assert source.read() == DATA


def test_what_hinders_the_borrower_is_not_the_stores(store: LocalStore, file: Path) -> None:
    """An error of whoever uses what is lent stays what it is."""
    store.create(KEY, file)
    with pytest.raises(OSError, match="the borrower's own"), store.lend(KEY):
        raise OSError(28, "the borrower's own")


def test_what_killed_writers_leave(store: LocalStore, file: Path, tmp_path: Path) -> None:
    """It is found when nobody has it any more, and it has not been written to for a while."""
    store.create(KEY, file)
    growing = tmp_path / "a/store" / GROWING
    for name in ("abandoned", "held"):
        (growing / name).write_bytes(b"half")
    later = time.time() + local.ABANDONED + 1
    with open(growing / "held") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(store.leftovers(later)) == [(growing / "abandoned", 4)]
    assert [path.name for path, _ in store.leftovers(later)] == ["abandoned", "held"]
    assert list(store.leftovers(time.time())) == []
