"""Writing files anew: whole or not at all, one after the other, and tables taken out of TOML."""

import os
import stat
import threading
from pathlib import Path

import pytest

from llorch.errors import DiskFull
from llorch.rewrite import edited, rewrite, without_table
from tests.conftest import as_mortal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_a_file_is_made_or_edited(folder: Path) -> None:
    """The first edit makes it, the next keeps its rights and line ends, and nothing is left beside it."""
    place = folder / "f.toml"
    rewrite(place, "f.toml", lambda old: f"{old}\n")
    assert place.read_bytes() == b"None\n"
    place.write_bytes("ä\r\nb\r\n".encode())
    place.chmod(0o640)
    rewrite(place, "f.toml", lambda old: old.replace("b", "c") + "d\n" if old else "")
    assert place.read_bytes().decode() == "ä\r\nc\r\nd\r\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert os.listdir(folder) == ["f.toml"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\ufeffa\n", "\ufeffA\n+\n"),
        ("\ufeffa\r\n", "\ufeffA\r\n+\r\n"),
        ("a\r\nb\r\nc\n", "A\r\nB\r\nC\r\n+\r\n"),
        ("a\r\nb\nc\n", "A\nB\nC\n+\n"),
    ],
)
def test_marks_and_line_ends_stay(folder: Path, old: str, new: str) -> None:
    """A byte order mark is not for who edits; of mixed line ends those that most lines have are kept."""
    (folder / "f.toml").write_bytes(old.encode())
    assert edited(folder / "f.toml", lambda text: f"{(text or '').upper()}+\n").decode() == new


def test_what_would_be_written_can_be_asked(folder: Path) -> None:
    """Asking for the outcome writes nothing."""
    assert edited(folder / "f.toml", lambda old: f"{old}\n") == b"None\n"
    assert os.listdir(folder) == []


def test_an_edit_that_fails_changes_nothing(folder: Path) -> None:
    """What the edit raises leaves the file as it was, and no part beside it."""
    place = folder / "f.toml"
    place.write_text("mine\n")

    def refuse(old: str | None) -> str:
        raise ValueError(old)

    with pytest.raises(ValueError, match="mine"):
        rewrite(place, "f.toml", refuse)
    assert (place.read_text(), os.listdir(folder)) == ("mine\n", ["f.toml"])


def test_edits_at_the_same_time_are_all_there(folder: Path) -> None:
    """Each waits for the one before it, and begins with what that one wrote."""
    place = folder / "f.toml"
    lines = [f"{number}\n" for number in range(16)]

    def work(line: str) -> None:
        rewrite(place, "f.toml", lambda old: (old or "") + line)

    threads = [threading.Thread(target=work, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(place.read_text().splitlines(keepends=True)) == sorted(lines)


def test_what_cannot_be_written_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to write, or room, the file stays as it was; a part that is a link is not written through."""
    place = folder / "f.toml"
    place.write_text("mine\n")
    (folder / "f.toml.part").symlink_to(place)
    with pytest.raises(DiskFull, match=r"`f\.toml` cannot be written: Too many levels"):
        rewrite(place, "f.toml", lambda old: "")
    (folder / "f.toml.part").unlink()
    folder.chmod(0o500)
    with pytest.raises(DiskFull, match=r"`f\.toml` cannot be written: Permission denied"):
        as_mortal(lambda: rewrite(place, "f.toml", lambda old: ""))
    folder.chmod(0o700)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match=r"the disk is full: `f\.toml` cannot be written"):
        rewrite(place, "f.toml", lambda old: "")
    assert (place.read_text(), os.listdir(folder)) == ("mine\n", ["f.toml"])


def test_a_table_goes_with_its_own_lines() -> None:
    """Its subtables go too; comments on what follows, tables of other names and arrays stay."""
    text = '# top\n[a."x.y"] # one\nk = [\n[1],\n]\n# of b\n\n# of z\n[a.z]\n[a."x.y".deep]\n[[a."x.y".list]]\n[b]\n'
    assert without_table(text, ("a", "x.y")) == "# top\n# of b\n\n# of z\n[a.z]\n[b]\n"
    assert without_table(text, ("a",)) == "# top\n# of b\n\n# of z\n[b]\n"
    assert without_table(text, ("a", "x")) == text
