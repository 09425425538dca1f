"""Walk through the header of a GGUF file: its bytes, names and values, each compared with the file before it is used.

What the values mean is for `gguf`.
"""

import os
import struct
from io import FileIO
from typing import Any, NamedTuple

CHUNK = 1 << 20
HEADER_LIMIT = 256 << 20
"""Bytes; ten times what the biggest vocabularies take."""
STRINGS_LIMIT = 1 << 22
"""Strings in all arrays together; the biggest tokenizers have 0.8 million."""
ARRAY_COST = 16
"""An array in an array counts as so many strings, as it takes as long."""
NAME_LIMIT = 256
"""Bytes of a key or name; llama.cpp itself takes 63 for a tensor."""
INTEGERS_LIMIT = 4096
"""Integers of an array that are kept: one for each block."""
TEXT_LIMIT = 1 << 20
"""Bytes of a text that is shown, as the chat template."""
DEPTH_LIMIT = 4

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_BOOL, STRING, _ARRAY = 7, 8, 9
INTEGERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
SCALARS = {kind: struct.Struct(layout) for kind, layout in {**INTEGERS, 6: "<f", _BOOL: "<B", 12: "<d"}.items()}
_TEXTS = (
    "general.architecture",
    "general.type",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.chat_template",
)


class Wrong(Exception):
    """What is wrong with the file."""


class Array(NamedTuple):
    """An array, of whose values only the type and the number are kept, and a few integers themselves."""

    kind: int
    length: int
    integers: tuple[int, ...] = ()


SKIPPED = object()
"""Stands for a text that is not kept."""

Values = dict[str, Any]


class Reader:
    """A file that is read forwards in chunks, never beyond its end or the header's limit."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        self._buffer = b""
        self._base = self._at = 0
        self._strings = STRINGS_LIMIT
        self.where = "its first bytes"

    @property
    def at(self) -> int:
        """Where the next byte comes from."""
        return self._base + self._at

    def claim(self, size: int) -> None:
        """Refuse more bytes than there are."""
        if size > self.size - self.at:
            raise Wrong(f"the file ends within {self.where}")
        if self.at + size > HEADER_LIMIT:
            raise Wrong(f"the header has more than {HEADER_LIMIT >> 20} MiB")

    def skip(self, size: int) -> None:
        """Go on behind some bytes."""
        self.claim(size)
        self._at += size

    def take(self, size: int) -> bytes:
        """Return the next bytes, which are few."""
        if len(self._buffer) - self._at < size:
            self._fill(size)
        self._at += size
        return self._buffer[self._at - size : self._at]

    def _fill(self, size: int) -> None:
        self.claim(size)
        self._base, self._at = self.at, 0
        self._file.seek(self._base)
        self._buffer = self._file.read(max(CHUNK, size))
        if len(self._buffer) < size:
            raise Wrong("the file is getting shorter")

    def u32(self) -> int:
        """Return the next number of 32 bits."""
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        """Return the next number of 64 bits."""
        return int(_U64.unpack(self.take(8))[0])

    def text(self, limit: int) -> str:
        """Return the next string."""
        length = self.u64()
        self.claim(length)
        if length > limit:
            raise Wrong(f"{self.where} has {length:,} bytes, more than {limit:,}")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise Wrong(f"{self.where} is not UTF-8") from None

    def name(self) -> str:
        """Return the next string, which is to be a name."""
        found = self.text(NAME_LIMIT)
        if not found or not found.isprintable():
            raise Wrong(f"{self.where} is called {found!r}")
        return found

    def spend(self, count: int, cost: int = 1) -> None:
        """Count strings or arrays in an array, each of 8 bytes at least."""
        self.claim(8 * count)
        self._strings -= count * cost
        if self._strings < 0:
            raise Wrong(f"there are more than {STRINGS_LIMIT:,} strings, up to {self.where}")

    def skip_strings(self, count: int) -> None:
        """Go on behind some strings."""
        self.spend(count)
        unpack = _U64.unpack_from
        buffer, at, end = self._buffer, self._at, len(self._buffer) - 8
        for _ in range(count):
            if at > end:
                self._at = at
                self._fill(8)
                buffer, at, end = self._buffer, 0, len(self._buffer) - 8
            at += 8 + unpack(buffer, at)[0]
        self._at = at
        self.claim(0)


def read_values(reader: Reader, count: int) -> Values:
    """Read this many keys and their values; of texts only those that are of use."""
    values: Values = {}
    for number in range(count):
        reader.where = f"key {number + 1}"
        key = reader.name()
        if key in values:
            raise Wrong(f"there are two keys `{key}`")
        reader.where = f"`{key}`"
        values[key] = _read_value(reader, key, reader.u32())
    return values


def _read_value(reader: Reader, key: str, kind: int) -> Any:
    if kind in SCALARS:
        layout = SCALARS[kind]
        value = layout.unpack(reader.take(layout.size))[0]
        if kind == _BOOL and value > 1:
            raise Wrong(f"`{key}` is neither true nor false")
        return bool(value) if kind == _BOOL else value
    if kind == STRING:
        if key in _TEXTS:
            return reader.text(TEXT_LIMIT)
        reader.skip(reader.u64())
        return SKIPPED
    if kind == _ARRAY:
        return _read_array(reader, 1)
    raise Wrong(f"`{key}` has the unknown type {kind}")


def _read_array(reader: Reader, depth: int) -> Array:
    kind, count = reader.u32(), reader.u64()
    if kind in INTEGERS and count <= INTEGERS_LIMIT:
        layout = SCALARS[kind].format
        return Array(kind, count, struct.unpack(f"<{count}{layout[1:]}", reader.take(count * SCALARS[kind].size)))
    if kind in SCALARS:
        reader.skip(count * SCALARS[kind].size)
    elif kind == STRING:
        reader.skip_strings(count)
    elif kind != _ARRAY:
        raise Wrong(f"{reader.where} is an array of the unknown type {kind}")
    elif depth == DEPTH_LIMIT:
        raise Wrong(f"{reader.where} has arrays more than {DEPTH_LIMIT} deep")
    else:
        reader.spend(count, ARRAY_COST)
        for _ in range(count):
            _read_array(reader, depth + 1)
    return Array(kind, count)
