"""Walking through a header: chunks, bounds, and a file that changes meanwhile."""

import struct
from pathlib import Path

import pytest

from llorch.models import header
from llorch.models.header import SKIPPED, Array, Reader, Values, Wrong, read_values
from tests.models.gguf_files import (
    ARRAY,
    BOOL,
    F64,
    I8,
    I16,
    STRING,
    U8,
    U16,
    array,
    numbers,
    scalar,
    string,
    strings,
    text,
)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every few bytes in another chunk."""
    monkeypatch.setattr(header, "CHUNK", 5)


def read(path: Path, data: bytes, count: int) -> Values:
    """Read this many keys of a file."""
    path.write_bytes(data)
    with open(path, "rb", buffering=0) as file:
        return read_values(Reader(file), count)


def test_every_kind_of_value(tmp_path: Path, small_chunks: None) -> None:
    """Numbers are read, texts only where they are of use, and of arrays type and length, whatever the chunks."""
    values = {
        "a": (scalar(I8, -1), -1),
        "b": (scalar(F64, 0.5), 0.5),
        "c": (scalar(BOOL, 1), True),
        "d": (string("not of use"), SKIPPED),
        "general.type": (string("mödel"), "mödel"),
        "e": (strings("one", "", "three"), Array(STRING, 3)),
        "f": (numbers(I16, -1, 2, 3), Array(I16, 3, (-1, 2, 3))),
        "g": (array(ARRAY, numbers(U8, 1)[4:] + strings("x")[4:], 2), Array(ARRAY, 2)),
        "h": (scalar(U16, 65535), 65535),
    }
    data = b"".join(text(key) + value for key, (value, _) in values.items())
    assert read(tmp_path / "a", data, len(values)) == {key: expected for key, (_, expected) in values.items()}


def test_every_end_is_noticed(tmp_path: Path, small_chunks: None) -> None:
    """Wherever the file is cut off, the reason is that it ends."""
    data = b"".join(text(key) + value for key, value in (("a", strings("one", "two")), ("general.type", string("x"))))
    assert read(tmp_path / "a", data, 2) == {"a": Array(STRING, 2), "general.type": "x"}
    for end in range(len(data)):
        with pytest.raises(Wrong, match="the file ends within"):
            read(tmp_path / "a", data[:end], 2)


def test_a_file_that_gets_shorter(tmp_path: Path) -> None:
    """A file that another process cuts off while it is read is refused."""
    path = tmp_path / "a"
    path.write_bytes(struct.pack("<Q", 1) * 2)
    with open(path, "rb", buffering=0) as file:
        reader = Reader(file)
        path.write_bytes(b"")
        with pytest.raises(Wrong, match="the file is getting shorter"):
            reader.u64()


def test_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header's bytes, and the strings in all its arrays together, are bounded."""
    data = text("a") + strings("x", "y") + text("b") + strings("z")
    monkeypatch.setattr(header, "STRINGS_LIMIT", 3)
    assert len(read(tmp_path / "a", data, 2)) == 2
    monkeypatch.setattr(header, "STRINGS_LIMIT", 2)
    with pytest.raises(Wrong, match="there are more than 2 strings, up to `b`"):
        read(tmp_path / "a", data, 2)
    monkeypatch.setattr(header, "HEADER_LIMIT", 20)
    with pytest.raises(Wrong, match="the header has more than 0 MiB"):
        read(tmp_path / "a", data, 2)
