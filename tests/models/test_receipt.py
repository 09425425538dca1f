"""Receipts: written and read back, and hostile ones that claim nothing."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llorch.errors import DiskFull
from llorch.models.catalog import Entry, File, Model
from llorch.models.receipt import LIMIT, Made, Receipt, load_receipt, origin_of, render_receipt, save_receipt

SHA = "a" * 64
MODEL = Model("tiny", Entry(files=(File(path="ü/a.gguf"),), source="pypi:tiny==1"), ".test-models/tiny")
HUB = Model("tiny", Entry(files=(File(path="a.gguf"),), repo="org/tiny", revision="abc"), ".test-models/tiny")
TEXT = render_receipt(MODEL, {"ü/a.gguf": (5, SHA)}, datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))


def changed(**changes: Any) -> dict[str, Any]:
    """Return a right receipt with some keys changed."""
    return {**json.loads(TEXT), **changes}


def entry(**changes: Any) -> dict[str, Any]:
    """Return a receipt whose only file has some keys changed."""
    return changed(files=[{**json.loads(TEXT)["files"][0], **changes}])


def test_a_receipt_has_the_promised_shape() -> None:
    """The document is the one that the docs describe, with letters as they are."""
    assert json.loads(TEXT) == {
        "schema": 1,
        "id": "tiny",
        "source": "pypi:tiny==1",
        "repo": "",
        "revision": "",
        "files": [{"path": "ü/a.gguf", "size": 5, "sha256": SHA, "verified_at": "2030-01-02T03:04:05Z"}],
        "made": [],
    }
    assert "ü" in TEXT
    assert TEXT.endswith("}\n")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """A receipt comes back as it was, and nothing else is left beside it, whatever lay there before."""
    place = tmp_path / "receipt.json"
    place.with_name("receipt.json.part").symlink_to(tmp_path / "elsewhere")
    place.write_text("old")
    save_receipt(place, "receipt.json", TEXT)
    assert load_receipt(place) == Receipt(
        origin=("pypi:tiny==1", "", ""),
        files={"ü/a.gguf": SHA},
        commit="",
        verified_at={"ü/a.gguf": "2030-01-02T03:04:05Z"},
    )
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["receipt.json"]


MADE = Made(
    path="x.gguf",
    size=9,
    sha256="b" * 64,
    task="convert:tiny",
    tool="llorch",
    version="1",
    options={"outtype": "f16"},
    sources={"ü/a.gguf": SHA},
)


def test_what_was_made_is_said_and_loaded(tmp_path: Path) -> None:
    """What was made of the files stands in the receipt: of what, by what and how."""
    text = render_receipt(MODEL, {"ü/a.gguf": (5, SHA)}, made=[MADE])
    assert json.loads(text)["made"] == [
        {
            "path": "x.gguf",
            "size": 9,
            "sha256": "b" * 64,
            "by": {"task": "convert:tiny", "tool": "llorch", "version": "1", "options": {"outtype": "f16"}},
            "from": [{"path": "ü/a.gguf", "sha256": SHA}],
        }
    ]
    save_receipt(tmp_path / "receipt.json", "receipt.json", text)
    found = load_receipt(tmp_path / "receipt.json")
    assert found is not None
    assert found.made == {"x.gguf": MADE}


@pytest.mark.parametrize(
    "made",
    [
        5,
        {},
        [5],
        [{}],
        [{**MADE.as_json(), "by": 5}],
        [{**MADE.as_json(), "from": 5}],
        [{**MADE.as_json(), "size": "x"}],
        [{**MADE.as_json(), "size": float("inf")}],
        [{**MADE.as_json(), "sha256": "\x1b[31m"}],
    ],
)
def test_a_receipt_that_says_it_wrongly_claims_nothing(tmp_path: Path, made: Any) -> None:
    """A receipt with something malformed in what was made is none at all."""
    (tmp_path / "receipt.json").write_text(json.dumps(changed(made=made)))
    found = load_receipt(tmp_path / "receipt.json")
    assert found is None or (made == {} and found.made == {})


def test_the_time_is_now_in_utc() -> None:
    """Without a time given, the receipt is of this moment."""
    before = datetime.now(UTC).replace(microsecond=0)
    at = json.loads(render_receipt(MODEL, {"a": (1, SHA)}))["files"][0]["verified_at"]
    assert before <= datetime.strptime(at, "%Y-%m-%dT%H:%M:%S%z") <= datetime.now(UTC)


@pytest.mark.parametrize(("model", "origin"), [(MODEL, ("pypi:tiny==1", "", "")), (HUB, ("hf", "org/tiny", "abc"))])
def test_the_origin_is_source_repository_and_revision(model: Model, origin: tuple[str, str, str]) -> None:
    """A revision belongs to a repository, and other sources have neither."""
    assert origin_of(model) == origin


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"schema": ' + b"9" * 5000 + b"}",
        b"null",
        b"[]",
        b'"schema"',
        b"{}",
        *(
            json.dumps(document).encode()
            for document in (
                changed(schema=2),
                changed(schema=None),
                changed(files=None),
                changed(files=5),
                changed(files=["a"]),
                changed(files={"a": "b"}),
                changed(files=[[]]),
                changed(files=[{}]),
                entry(sha256=None),
                entry(sha256=5),
                entry(sha256=SHA.upper()),
                entry(sha256=SHA + "\n"),
                entry(sha256={"a": 1}),
                {key: value for key, value in changed().items() if key != "source"},
                {key: value for key, value in changed().items() if key != "revision"},
            )
        ),
        TEXT.encode() + b" " * LIMIT,
    ],
    ids=lambda content: repr(content[:60]),
)
def test_a_receipt_that_is_none_claims_nothing(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, reading it is safe, and what is not a receipt counts as none."""
    place = tmp_path / "receipt.json"
    place.write_bytes(content)
    assert load_receipt(place) is None


@pytest.mark.parametrize("name", ["gone.json", "home", "file/receipt.json"])
def test_no_receipt_is_none(tmp_path: Path, name: str) -> None:
    """A file that is not there, or not a file, is no receipt."""
    (tmp_path / "file").touch()
    assert load_receipt(tmp_path / name) is None


def test_a_receipt_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The message names the receipt, and what is in the way; nothing is left of it."""
    (tmp_path / "receipt.json").mkdir()
    with pytest.raises(DiskFull, match=r"`tiny/receipt.json` cannot be written: Is a directory"):
        save_receipt(tmp_path / "receipt.json", "tiny/receipt.json", TEXT)
    assert not (tmp_path / "receipt.json.part").exists()
    (tmp_path / "file").touch()
    with pytest.raises(DiskFull, match=r"`tiny/receipt.json` cannot be written: Not a directory"):
        save_receipt(tmp_path / "file" / "receipt.json", "tiny/receipt.json", TEXT)
