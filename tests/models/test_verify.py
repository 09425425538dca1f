"""Verifying: every file state, and the receipt that is written of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.errors import DiskFull, IntegrityError, Malformed
from llorch.models.catalog import Convert, Entry, File, Model
from llorch.models.receipt import Made
from llorch.models.verify import FileReport, verify, write_receipt
from llorch.state import sha256_of
from tests.conftest import as_mortal, sha256
from tests.models.gguf_files import good_gguf, good_safetensors, safetensors

DATA = b"the right bytes"
RIGHT, WRONG = sha256(DATA), sha256(DATA.upper())


class Bench:
    """A workspace with one model, whose digests are read from the bytes."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root=root, declared=True)
        self.folder = root / ".test-models/tiny"
        self.receipt = self.folder / "receipt.json"
        self.folder.mkdir(parents=True)

    def model(self, *files: File, source: str = "file:src") -> Model:
        """Return a model of these files."""
        return Model("tiny", Entry(files=files, source=source), ".test-models/tiny")

    def digest(self, path: str) -> str:
        """Return a file's sha256."""
        return sha256_of(self.workspace.path(path))

    def verify(self, model: Model) -> list[FileReport]:
        """Verify a model."""
        return verify(model, self.workspace, self.digest)

    def write_receipt(self, model: Model) -> bool:
        """Write a model's receipt."""
        return write_receipt(model, self.workspace, self.digest)


@pytest.fixture
def bench(workspace: Path) -> Bench:
    """A workspace with the folder of a model."""
    return Bench(workspace)


CASES = [
    (DATA, 15, RIGHT, "ok", "", None),
    (DATA, None, RIGHT, "ok", "", None),
    (b"", 0, sha256(b""), "ok", "", None),
    (None, 15, RIGHT, "missing", "is not there", ("a file", "nothing")),
    (None, None, None, "missing", "is not there", ("a file", "nothing")),
    (DATA[:4], 15, RIGHT, "truncated", "has 4 of 15 bytes", ("15 bytes", "4 bytes")),
    (b"", 15, None, "truncated", "has 0 of 15 bytes", ("15 bytes", "0 bytes")),
    (DATA + b"!!", 15, RIGHT, "corrupt", "has 17 bytes, 2 too many", ("15 bytes", "17 bytes")),
    (
        DATA.upper(),
        15,
        RIGHT,
        "corrupt",
        f"has sha256 {WRONG}, not {RIGHT}",
        (f"sha256 {RIGHT}", f"sha256 {WRONG}"),
    ),
    (DATA[:4], None, RIGHT, "corrupt", f"has sha256 {sha256(DATA[:4])}, not {RIGHT}", None),
    (DATA, None, None, "unpinned", "seen here for the first time; the catalog has no sha256", None),
    (DATA, 15, None, "unpinned", "seen here for the first time; the catalog has no sha256", None),
]


@pytest.mark.parametrize(("data", "size", "digest", "state", "detail", "difference"), CASES)
def test_a_file_is_reported_as_it_is(
    bench: Bench,
    data: bytes | None,
    size: int | None,
    digest: str | None,
    state: str,
    detail: str,
    difference: tuple[str, str] | None,
) -> None:
    """Each report says what should be and what is, and the receipt is written only if all is well."""
    if data is not None:
        (bench.folder / "a.bin").write_bytes(data)
    model = bench.model(File(path="a.bin", size=size, sha256=digest))
    (report,) = bench.verify(model)
    assert (report.state, report.detail, report.ok) == (state, detail, state in ("ok", "unpinned"))
    assert (report.path, report.file) == (".test-models/tiny/a.bin", model.entry.files[0])
    assert (report.expected_size, report.expected_sha256) == (size, digest)
    assert report.size == (None if data is None else len(data))
    read = data is not None and size in (None, len(data))
    assert report.sha256 == (sha256(data or b"") if read else None)
    if report.ok:
        assert bench.write_receipt(model)
        return
    with pytest.raises(IntegrityError) as caught:
        bench.write_receipt(model)
    assert caught.value.hint == "`llorch models download tiny` fetches it again"
    assert difference in (None, (caught.value.expected, caught.value.actual))
    assert not bench.receipt.exists()


def test_a_file_of_the_wrong_size_is_not_read(bench: Bench) -> None:
    """Gigabytes are not hashed to find what the size has told."""
    (bench.folder / "a.bin").write_bytes(DATA)
    model = bench.model(File(path="a.bin", size=3, sha256=RIGHT))
    assert [report.state for report in verify(model, bench.workspace, lambda path: pytest.fail(path))] == ["corrupt"]


def test_a_receipt_is_written_once(bench: Bench) -> None:
    """A receipt that says what was found stays as it is; another origin, another file or rubbish is replaced."""
    (bench.folder / "a.bin").write_bytes(DATA)
    file = File(path="a.bin", size=15, sha256=RIGHT)
    assert bench.write_receipt(bench.model(file))
    first = bench.receipt.stat()
    assert not bench.write_receipt(bench.model(file))
    assert bench.receipt.stat() == first
    assert bench.write_receipt(bench.model(file, source="file:other"))
    (bench.folder / "b.bin").write_bytes(b"b")
    assert bench.write_receipt(bench.model(file, File(path="b.bin"), source="file:other"))
    bench.receipt.write_text("rubbish")
    assert bench.write_receipt(bench.model(file))
    document = json.loads(bench.receipt.read_text())
    assert (document["id"], document["source"]) == ("tiny", "file:src")
    assert [{**each, "verified_at": ""} for each in document["files"]] == [
        {"path": "a.bin", "size": 15, "sha256": RIGHT, "verified_at": ""}
    ]


def test_unpinned_files_are_held_to_the_receipt(bench: Bench) -> None:
    """What was first seen is expected from then on, as long as the source is the same."""
    place = bench.folder / "a.bin"
    place.write_bytes(DATA)
    model = bench.model(File(path="a.bin"))
    bench.write_receipt(model)
    assert [(report.state, report.detail) for report in bench.verify(model)] == [
        ("unpinned", "as it was when first seen here; the catalog has no sha256")
    ]
    place.write_bytes(DATA.upper())
    assert [(report.state, report.expected_sha256) for report in bench.verify(model)] == [("corrupt", RIGHT)]
    moved = bench.model(File(path="a.bin"), source="file:other")
    assert [(report.state, report.expected_sha256) for report in bench.verify(moved)] == [("unpinned", None)]


@pytest.mark.parametrize(
    ("name", "data", "flaw"),
    [
        ("a.gguf", good_gguf().render(), ""),
        ("a.safetensors", safetensors(good_safetensors(), 49), ""),
        ("a.gguf", DATA, "it begins with b'the ', not with b'GGUF'"),
        ("a.GGUF", DATA, "it begins with b'the ', not with b'GGUF'"),
        ("a.safetensors", safetensors({}, 1), "1 bytes at the end belong to nothing"),
        ("sub/a.safetensors", b"", "it has 0 bytes, less than any such file"),
        ("a.bin", DATA, ""),
        ("gguf", DATA, ""),
    ],
)
def test_the_structure_of_what_nobody_promised_is_judged(bench: Bench, name: str, data: bytes, flaw: str) -> None:
    """A malformed file is corrupt if the catalog has no sha256, whatever the receipt says; a pinned one is ok."""
    place = bench.folder / name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(data)
    model = bench.model(File(path=name))
    (report,) = bench.verify(model)
    assert (report.flaw, report.ok, report.sha256) == (flaw, not flaw, sha256(data))
    if flaw:
        assert (report.state, report.detail) == ("corrupt", f"is malformed: {flaw}")
        with pytest.raises(Malformed) as caught:
            bench.write_receipt(model)
        assert (caught.value.path, caught.value.reason) == (f".test-models/tiny/{name}", flaw)
        assert not bench.receipt.exists()
    pinned = bench.model(File(path=name, sha256=sha256(data)))
    assert [(report.state, report.detail, report.flaw) for report in bench.verify(pinned)] == [("ok", "", "")]
    assert bench.write_receipt(pinned)
    (known,) = bench.verify(model)
    assert known.state == ("corrupt" if flaw else "unpinned")


def test_the_first_wrong_file_is_the_error(bench: Bench) -> None:
    """With one file right and one wrong, the wrong one is named and no receipt is written."""
    (bench.folder / "a.bin").write_bytes(DATA)
    model = bench.model(File(path="a.bin", sha256=RIGHT), File(path="b.bin"))
    assert [report.state for report in bench.verify(model)] == ["ok", "missing"]
    with pytest.raises(IntegrityError) as caught:
        bench.write_receipt(model)
    assert caught.value.path == ".test-models/tiny/b.bin"
    assert not bench.receipt.exists()


def test_a_receipt_that_cannot_be_written_is_said(bench: Bench) -> None:
    """A read-only model folder is an error that says so, with the receipt's name."""
    (bench.folder / "a.bin").write_bytes(DATA)
    bench.folder.chmod(0o555)
    with pytest.raises(DiskFull) as caught:
        as_mortal(lambda: bench.write_receipt(bench.model(File(path="a.bin"))))
    assert caught.value.message == "`.test-models/tiny/receipt.json` cannot be written: Permission denied"


def test_what_was_made_is_compared_with_its_receipt(bench: Bench) -> None:
    """A file that was made here is right if it is what the receipt says; without one its structure is judged."""
    data = good_gguf().render()
    model = replace(bench.model(File(path="a")), entry=Entry(files=(File(path="a"),), convert=Convert(to="c.gguf")))
    (bench.folder / "source").mkdir()
    (bench.folder / "source/a").write_bytes(DATA)
    place = bench.folder / "c.gguf"
    assert [report.state for report in bench.verify(model)] == ["unpinned", "missing"]
    place.write_bytes(data)
    assert [(report.state, report.made) for report in bench.verify(model)] == [("unpinned", False), ("unpinned", True)]
    made = Made(
        path="c.gguf", size=len(data), sha256=sha256(data), task="", tool="", version="", options={}, sources={}
    )
    assert write_receipt(model, bench.workspace, bench.digest, made=[made])
    assert not write_receipt(model, bench.workspace, bench.digest, made=[made])
    assert write_receipt(model, bench.workspace, bench.digest, made=[replace(made, version="2")])
    assert [report.state for report in bench.verify(model)] == ["unpinned", "ok"]
    place.write_bytes(data[:-1] + b"x")
    (report,) = (report for report in bench.verify(model) if report.made)
    assert (report.path, report.state) == (".test-models/tiny/c.gguf", "corrupt")
    with pytest.raises(IntegrityError) as caught:
        write_receipt(model, bench.workspace, bench.digest, made=[made])
    assert caught.value.hint == "`llorch models download tiny` makes it again"
    place.write_bytes(b"GGUF?")
    bench.receipt.unlink()
    assert [report.state for report in bench.verify(model)] == ["unpinned", "corrupt"]
