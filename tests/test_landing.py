"""How a file comes to its name: alone, whole, and without taking room where that can be had."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from llorch.errors import Busy
from llorch.landing import give_name, held, open_part, part_of, share_blocks


def test_a_part_has_its_name_beside_its_place() -> None:
    """It differs by its ending only."""
    assert part_of(Path("/m/a.gguf")) == Path("/m/a.gguf.part")


@pytest.mark.parametrize(("keep", "left"), [(True, b"old"), (False, b"")])
def test_a_part_is_ones_own(tmp_path: Path, keep: bool, left: bytes) -> None:
    """What is there is kept or not, and nobody else gets it meanwhile."""
    path = tmp_path / "a.part"
    path.write_bytes(b"old")
    with open_part(path, keep=keep) as file:
        assert file.read() == left
        with pytest.raises(Busy, match="another process is writing"):
            open_part(path)
    open_part(path).close()


def test_a_pipe_is_no_part(tmp_path: Path) -> None:
    """It would be read for ever."""
    os.mkfifo(tmp_path / "a.part")
    with pytest.raises(OSError, match="is no file"):
        open_part(tmp_path / "a.part", keep=True)


def test_a_part_that_was_given_its_name_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has waited for the lock opens what has the name of the part then."""
    path = tmp_path / "a.part"
    lock = fcntl.flock

    def first_rename(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        os.replace(path, tmp_path / "a")
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", first_rename)
    with open_part(path) as file:
        file.write(b"new")
    assert (path.read_bytes(), (tmp_path / "a").read_bytes()) == (b"new", b"")


def test_a_link_is_no_part(tmp_path: Path) -> None:
    """Nobody is led to another file by it."""
    (tmp_path / "a.part").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        open_part(tmp_path / "a.part")


def test_a_name_takes_the_place_of_what_has_it(tmp_path: Path) -> None:
    """What another name links to stays as it is."""
    (tmp_path / "kept").write_text("old")
    os.link(tmp_path / "kept", tmp_path / "a")
    (tmp_path / "a.part").write_text("new")
    give_name(tmp_path / "a.part", tmp_path / "a")
    assert ((tmp_path / "a").read_text(), (tmp_path / "kept").read_text()) == ("new", "old")


@pytest.mark.parametrize("can", [True, False])
def test_blocks_are_shared_where_that_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool) -> None:
    """The file system is asked by the two files, and may refuse."""
    asked = []

    def ioctl(to: int, request: int, source: int) -> None:
        asked.append((os.fstat(to).st_size, hex(request), os.fstat(source).st_size))
        if not can:
            raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    (tmp_path / "a").write_bytes(b"data")
    with open(tmp_path / "b", "wb") as file, open(tmp_path / "a", "rb") as source:
        assert share_blocks(file, source) is can
    assert asked == [(0, "0x40049409", 4)]


def test_a_folder_in_use_is_known_to_be(tmp_path: Path) -> None:
    """Who clears up finds the lock taken, until the work in it is done."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with held(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(fd)
