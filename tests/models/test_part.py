"""Landing a file: nothing but the promised bytes ever has the final name."""

import errno
import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llorch.errors import Busy, DiskFull, IntegrityError
from llorch.models.part import AlreadyThere, landing, landing_by
from tests.conftest import as_mortal, program, sha256

DATA = b"the right bytes"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the file of these tests belongs; its folders are not there yet."""
    return tmp_path / "models" / "a.gguf"


def names(place: Path) -> list[str]:
    """Return what is in the file's folder."""
    return sorted(path.name for path in place.parent.iterdir())


def land(place: Path, *chunks: bytes, size: int | None = len(DATA), digest: str | None = sha256(DATA)) -> None:
    """Land chunks at a place, promising the right bytes unless told otherwise."""
    with landing(place, "a.gguf", size=size, sha256=digest) as part:
        for chunk in chunks:
            part.write(chunk)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as a disk that is full after that many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [len(DATA), None])
@pytest.mark.parametrize("digest", [sha256(DATA), None])
@pytest.mark.parametrize("chunks", [(DATA,), (DATA[:4], DATA[4:]), (DATA, b"")])
def test_the_right_bytes_land(place: Path, chunks: tuple[bytes, ...], size: int | None, digest: str | None) -> None:
    """What is as promised, or promised nothing, has its name at the end, alone in folders made for it."""
    land(place, *chunks, size=size, digest=digest)
    assert (place.read_bytes(), names(place)) == (DATA, ["a.gguf"])


def test_a_part_knows_what_was_written(place: Path) -> None:
    """Size and digest are those of all bytes so far."""
    with landing(place, "a.gguf", size=None, sha256=None) as part:
        assert (part.size, part.sha256) == (0, sha256(b""))
        part.write(DATA[:4])
        part.write(DATA[4:])
        assert (part.size, part.sha256) == (len(DATA), sha256(DATA))


@pytest.mark.parametrize(
    ("written", "size", "digest", "expected", "actual"),
    [
        (DATA[:-1], len(DATA), None, "15 bytes", "14 bytes"),
        (b"", len(DATA), sha256(DATA), "15 bytes", "0 bytes"),
        (DATA + b"!", len(DATA), sha256(DATA), "15 bytes", "more"),
        (DATA.upper(), len(DATA), sha256(DATA), f"sha256 {sha256(DATA)}", f"sha256 {sha256(DATA.upper())}"),
        (DATA.upper(), None, sha256(DATA), f"sha256 {sha256(DATA)}", f"sha256 {sha256(DATA.upper())}"),
    ],
)
@pytest.mark.parametrize("there", [None, b"what was there before"])
def test_other_bytes_are_refused(
    place: Path, written: bytes, size: int | None, digest: str | None, expected: str, actual: str, there: bytes | None
) -> None:
    """What is not as promised is gone, and what was there before is kept, under its name if nothing came at all."""
    if there is not None:
        place.parent.mkdir()
        place.write_bytes(there)
    with pytest.raises(IntegrityError) as caught:
        land(place, written, size=size, digest=digest)
    assert (caught.value.path, caught.value.expected, caught.value.actual) == ("a.gguf", expected, actual)
    kept = "a.gguf.replaced" if written and actual != "more" else "a.gguf"
    assert names(place) == ([] if there is None else [kept])
    assert there is None or place.with_name(kept).read_bytes() == there
    is_aside = there is not None and kept != "a.gguf"
    assert ("`a.gguf.replaced`" in str(caught.value.hint)) == is_aside


def test_more_than_promised_is_not_even_written(place: Path) -> None:
    """A source without an end is refused at the first byte too many."""

    def write_without_end() -> None:
        with landing(place, "a.gguf", size=len(DATA), sha256=None) as part:
            for _ in range(100):
                part.write(b"!")
                assert part.size <= len(DATA)

    with pytest.raises(IntegrityError, match="expected 15 bytes, found more"):
        write_without_end()
    assert names(place) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_write_that_ends_early_leaves_no_file(place: Path, error: type[BaseException]) -> None:
    """Whatever ends the writing passes through, and nothing of the file is left."""

    def end_early() -> None:
        with landing(place, "a.gguf", size=None, sha256=None) as part:
            part.write(DATA)
            assert names(place) == ["a.gguf.part"]
            raise error

    with pytest.raises(error):
        end_early()
    assert names(place) == []


def test_a_killed_write_leaves_no_final_name(place: Path) -> None:
    """After SIGKILL there is a `.part` and no file, and the next run lands it."""
    script = (
        "import os, signal, sys; from pathlib import Path; from llorch.models.part import AlreadyThere, landing\n"
        "with landing(Path(sys.argv[1]), 'a.gguf', size=None, sha256=None) as part:\n"
        "    part.write(b'longer than what is to come'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert program("python", "-c", script, str(place)).code == -9
    assert names(place) == ["a.gguf.part"]
    land(place, DATA)
    assert (place.read_bytes(), names(place)) == (DATA, ["a.gguf"])


@pytest.mark.parametrize("chunks", [(DATA,), (DATA[:4], DATA[4:])])
def test_a_disk_that_fills_up_leaves_no_file(place: Path, chunks: tuple[bytes, ...]) -> None:
    """A write that the system takes only in part is no success, even if it is the last one."""
    with pytest.raises(DiskFull, match=r"`a.gguf` cannot be written: File too large"), room_for(len(DATA) - 1):
        land(place, *chunks)
    assert names(place) == []


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full: `a.gguf` cannot be written"),
        (errno.EDQUOT, "the disk is full: `a.gguf` cannot be written"),
        (errno.EROFS, "`a.gguf` cannot be written: Read-only file system"),
        (errno.EACCES, "`a.gguf` cannot be written: Permission denied"),
    ],
)
def test_what_the_system_refuses_is_said(place: Path, number: int, message: str) -> None:
    """A full disk is told apart from other reasons, and each message has a hint with the folder."""
    with pytest.raises(DiskFull) as caught, landing(place, "a.gguf", size=None, sha256=None):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == message
    assert str(place.parent) in (caught.value.hint or "")
    assert names(place) == []


def test_a_folder_that_cannot_be_made_is_said(place: Path) -> None:
    """A file where a folder belongs is in the way of landing, and stays."""
    place.parent.write_text("a file")
    with pytest.raises(DiskFull, match=r"`a.gguf` cannot be written: File exists"):
        land(place, DATA)
    assert place.parent.read_text() == "a file"


@pytest.mark.parametrize("name", ["models", "models/sub"])
def test_a_link_that_leads_nowhere_is_said(tmp_path: Path, name: str) -> None:
    """As when the disk that the models are on is not connected; the link is named."""
    link = tmp_path / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to("/mnt/none")
    with (
        pytest.raises(DiskFull, match=f"`{link}` is a link to `/mnt/none`, which is not there"),
        landing(tmp_path / "models/sub/a.gguf", "a.gguf", size=1, sha256=None),
    ):
        raise AssertionError("nothing can be written")


def test_a_folder_that_may_not_be_written_is_said(place: Path) -> None:
    """A read-only folder is no place to land in, and stays as it is."""
    place.parent.mkdir(mode=0o555)
    with pytest.raises(DiskFull, match=r"`a.gguf` cannot be written: Permission denied"):
        as_mortal(lambda: land(place, DATA))
    assert names(place) == []


def test_a_link_as_part_is_refused(place: Path, tmp_path: Path) -> None:
    """Nothing is written through a link that someone has put where the file grows."""
    place.parent.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place.with_name("a.gguf.part").symlink_to(victim)
    with pytest.raises(DiskFull, match=r"`a.gguf` cannot be written"):
        land(place, DATA)
    assert (victim.read_text(), names(place)) == ("precious", ["a.gguf.part"])


def test_a_second_writer_is_told_to_wait(place: Path) -> None:
    """Two runs never write into one file, and the first is not disturbed."""
    with landing(place, "a.gguf", size=len(DATA), sha256=sha256(DATA)) as part:
        part.write(DATA[:4])
        with pytest.raises(Busy, match="another process is writing"):
            land(place, b"others")
        part.write(DATA[4:])
    assert (place.read_bytes(), names(place)) == (DATA, ["a.gguf"])


@pytest.mark.parametrize("successor", [None, b"of a third run"])
def test_a_part_that_landed_meanwhile_is_opened_anew(
    place: Path, monkeypatch: pytest.MonkeyPatch, successor: bytes | None
) -> None:
    """A lock on a file that lost its name since it was opened is worth nothing, and another is taken."""
    path = place.with_name("a.gguf.part")
    flock = fcntl.flock
    locked: list[int] = []

    def lock(fd: int, operation: int) -> None:
        if not locked:
            path.unlink()
            if successor is not None:
                path.write_bytes(successor)
        locked.append(os.fstat(fd).st_ino)
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    land(place, DATA)
    assert (place.read_bytes(), names(place), len(locked)) == (DATA, ["a.gguf"], 2)


def test_what_was_replaced_goes_when_the_new_one_is_whole(place: Path) -> None:
    """A file set aside outlives failures, and goes with success."""
    place.parent.mkdir()
    place.write_bytes(b"wrong")
    with pytest.raises(IntegrityError):
        land(place, b"wrong again")
    assert names(place) == ["a.gguf.replaced"]
    assert place.with_name("a.gguf.replaced").read_bytes() == b"wrong"
    land(place, DATA)
    assert (place.read_bytes(), names(place)) == (DATA, ["a.gguf"])


def test_setting_aside_takes_the_link_and_not_its_target(place: Path, tmp_path: Path) -> None:
    """A link in the file's place is renamed; what it leads to is not touched."""
    place.parent.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"precious")
    place.symlink_to(tmp_path / "elsewhere")
    land(place, DATA)
    assert (place.is_symlink(), (tmp_path / "elsewhere").read_bytes()) == (False, b"precious")


def test_what_another_process_has_put_there_stays(place: Path) -> None:
    """When the right file turns out to be there already, the part goes and the file is not touched."""
    place.parent.mkdir()
    place.write_bytes(DATA)

    def look() -> None:
        raise AlreadyThere

    with landing(place, "a.gguf", size=len(DATA), sha256=sha256(DATA), resume=True):
        look()
    assert (place.read_bytes(), names(place)) == (DATA, ["a.gguf"])


def test_another_program_writes_a_file(place: Path) -> None:
    """What a program has put in the `.part` gets its name at the end, and what was there keeps its own until then."""
    place.parent.mkdir()
    place.write_bytes(b"stale")
    place.with_name("a.gguf.replaced").touch()
    with landing_by(place, "a.gguf") as (part, _):
        part.write_bytes(DATA)
        assert place.read_bytes() == b"stale"
        with pytest.raises(Busy), landing_by(place, "a.gguf"):
            raise AssertionError("two at once")
    assert (place.read_bytes(), names(place)) == (DATA, ["a.gguf"])


def test_what_another_program_cannot_write_is_told(place: Path) -> None:
    """A folder in the file's place, and a part that has vanished are told; nothing is left."""
    with pytest.raises(DiskFull, match="cannot be written: No such file"), landing_by(place, "a.gguf") as (part, _):
        part.unlink()
    assert names(place) == []
    place.mkdir()
    with pytest.raises(DiskFull, match="there is a folder in its place"), landing_by(place, "a.gguf"):
        raise AssertionError("no place")


def test_a_folder_in_the_place_of_a_file_stays(place: Path) -> None:
    """It is not set aside as if it were a file: that could be neither undone nor ended."""
    place.mkdir(parents=True)
    (place / "precious").touch()
    with pytest.raises(DiskFull, match="there is a folder in its place"):
        land(place, DATA)
    assert (names(place), (place / "precious").is_file()) == (["a.gguf"], True)
