"""Bringing a file from a store into its place: verified before it has its name, and nothing else touched."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from llorch.cache import land
from llorch.cache.folder import FolderStore
from llorch.cache.land import bring, copy
from llorch.cache.local import LocalStore
from llorch.cache.store import Store
from llorch.errors import Busy, DiskFull, Malformed, NotFound
from llorch.landing import give_name, open_part
from llorch.progress import Silent
from tests.cache.test_local import DATA, KEY
from tests.conftest import as_mortal, sha256
from tests.models.test_part import room_for

DIGEST = sha256(DATA)


@pytest.fixture(params=["own", "shared"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of each kind, with a file in it."""
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    found = LocalStore(folder) if request.param == "own" else FolderStore(folder)
    file = tmp_path / "file"
    file.write_bytes(DATA)
    found.create(KEY, file)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the file belongs; its folders are not there yet."""
    return tmp_path / "a/b/app"


def fetch(store: Store, place: Path, *, size: int = len(DATA), mode: int = 0o755) -> bool:
    """Bring the file."""
    return bring(store, DIGEST, size, mode, place, Silent())


@pytest.mark.parametrize(
    ("mode", "umask", "own"),
    [(0o755, 0o022, 0o755), (0o755, 0o077, 0o700), (0o644, 0o022, 0o644), (0o4777, 0o022, 0o755), (0, 0o027, 0o640)],
)
def test_the_file_comes(store: Store, place: Path, mode: int, umask: int, own: int) -> None:
    """It has its bytes, rights as any new file has, and may be run if the first could; nothing else is there."""
    before = os.umask(umask)
    try:
        assert fetch(store, place, mode=mode)
    finally:
        os.umask(before)
    assert (place.read_bytes(), stat.S_IMODE(place.stat().st_mode)) == (DATA, own)
    assert [path.name for path in place.parent.iterdir()] == ["app"]


def test_a_link_is_replaced_and_not_written_through(store: Store, place: Path, tmp_path: Path) -> None:
    """Cargo's own copy, which the binary is a hard link of, stays as it is; so does what a symbolic link leads to."""
    place.parent.mkdir(parents=True)
    for link in (os.link, os.symlink):
        twin = tmp_path / "twin"
        twin.write_bytes(b"cargo's")
        link(twin, place)
        assert fetch(store, place)
        assert (twin.read_bytes(), place.read_bytes(), place.is_symlink()) == (b"cargo's", DATA, False)
        place.unlink()


@pytest.mark.parametrize("wrong", [DATA[:-1], DATA + b"x", b"", DATA[:-1] + b"y"])
def test_what_is_wrong_never_has_the_name(store: Store, place: Path, tmp_path: Path, wrong: bytes) -> None:
    """Fewer, more and other bytes are refused by the object's name, and what was there is as it was."""
    path = tmp_path / "store" / KEY
    path.chmod(0o600)
    path.write_bytes(wrong)
    place.parent.mkdir(parents=True)
    place.write_text("as it was")
    with pytest.raises(Malformed) as caught:
        fetch(store, place)
    assert caught.value.path == f"{store.name}: {KEY}"
    assert [(path.name, path.read_text()) for path in place.parent.iterdir()] == [("app", "as it was")]


def test_what_is_not_there(store: Store, place: Path) -> None:
    """It is told as such, and no part is left."""
    store.delete(KEY)
    with pytest.raises(NotFound):
        fetch(store, place)
    assert list(place.parent.iterdir()) == []


def test_a_full_disk_is_told_as_the_places(store: Store, place: Path) -> None:
    """It is not taken for a fault of the store's; nothing is left."""
    with room_for(1_000_000), pytest.raises(DiskFull, match=f"`{place}` cannot be written"):
        fetch(store, place)
    assert list(place.parent.iterdir()) == []


def test_a_place_that_refuses(store: Store, place: Path, tmp_path: Path) -> None:
    """A folder that is somebody else's, or a folder in its place, is told."""
    place.mkdir(parents=True)
    with pytest.raises(DiskFull, match="Is a directory"):
        fetch(store, place)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(DiskFull, match="Permission denied"):
        as_mortal(lambda: fetch(store, closed / "app"))


def test_another_writer_is_left_alone(store: Store, place: Path) -> None:
    """While another process writes the same file, this one does not."""
    place.parent.mkdir(parents=True)
    with open_part(place.with_name("app.part")) as other:
        other.write(b"its")
        with pytest.raises(Busy):
            fetch(store, place)
    assert place.with_name("app.part").read_bytes() == b"its"


def test_a_name_that_was_taken_meanwhile(store: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If cargo gives the name to a file of its own at that moment, ours is not said to be there."""
    give = give_name

    def then_cargo(path: Path, place: Path) -> None:
        give(path, place)
        place.unlink()
        place.write_bytes(b"cargo's")

    monkeypatch.setattr(land, "give_name", then_cargo)
    assert not fetch(store, place)


@pytest.mark.parametrize("how", ["clone", "kernel", "by hand"])
def test_what_was_written_is_what_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Whichever way it is copied, the digest is of the copy, and all its bytes are counted."""
    data = os.urandom(5_000_001)
    (tmp_path / "a").write_bytes(data)
    monkeypatch.setattr(land, "AT_ONCE", 1_000_000)

    def clone(file: object, source: object) -> bool:
        (tmp_path / "b").write_bytes(data)
        return how == "clone"

    monkeypatch.setattr(land, "share_blocks", clone if how == "clone" else lambda file, source: False)
    if how == "by hand":
        monkeypatch.setattr(os, "copy_file_range", refuse_to_copy, raising=False)
    advanced: list[int] = []
    with open(tmp_path / "a", "rb", buffering=0) as source, open(tmp_path / "b", "w+b", buffering=0) as file:
        assert copy(source, file, advanced.append) == sha256(data)
    assert ((tmp_path / "b").read_bytes(), sum(advanced)) == (data, len(data))


def refuse_to_copy(*arguments: object) -> int:
    """Stand for a kernel that cannot copy between these files."""
    raise OSError(18, "not between these")


def test_an_interrupt_ends_the_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is raised on the way comes out, and the rest is not copied."""
    (tmp_path / "a").write_bytes(b"x" * 5_000_000)
    monkeypatch.setattr(land, "share_blocks", lambda file, source: False)
    calls: list[int] = []

    def steps() -> Iterator[int]:
        while True:
            calls.append(1)
            yield 100_000

    step = steps()
    copied = os.copy_file_range
    monkeypatch.setattr(os, "copy_file_range", lambda source, file, size: copied(source, file, next(step)))

    def interrupt(size: int) -> None:
        raise KeyboardInterrupt

    with open(tmp_path / "a", "rb", buffering=0) as source, open(tmp_path / "b", "w+b", buffering=0) as file:
        with pytest.raises(KeyboardInterrupt):
            copy(source, file, interrupt)
        assert os.fstat(file.fileno()).st_size == len(calls) * 100_000 or len(calls) <= 51


def test_a_copy_that_somebody_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shorter than what was copied has no digest."""
    (tmp_path / "a").write_bytes(b"data")
    monkeypatch.setattr(land, "share_blocks", lambda file, source: True)
    with open(tmp_path / "a", "rb", buffering=0) as source, open(tmp_path / "b", "w+b", buffering=0) as file:
        file.write(b"data")
        preadv = os.preadv
        monkeypatch.setattr(os, "preadv", lambda *arguments: preadv(*arguments) and 0)
        assert copy(source, file) == ""
