"""Write small GGUF and safetensors files, right ones and wrong ones, spoil them at random, and read a GGUF's keys."""

import json
import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llorch.models.ggml import TYPES

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
_LAYOUTS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
TOKENS = 8
WIDTH = 32


def text(value: str | bytes) -> bytes:
    """Return a string as it stands in the file."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def scalar(kind: int, value: float) -> bytes:
    """Return a value and its type."""
    return struct.pack("<I" + _LAYOUTS[kind], kind, value)


def string(value: str | bytes) -> bytes:
    """Return a text and its type."""
    return struct.pack("<I", STRING) + text(value)


def array(kind: int, data: bytes, length: int) -> bytes:
    """Return an array of values that are written already, and its type."""
    return struct.pack("<IIQ", ARRAY, kind, length) + data


def strings(*values: str) -> bytes:
    """Return an array of texts."""
    return array(STRING, b"".join(map(text, values)), len(values))


def numbers(kind: int, *values: float) -> bytes:
    """Return an array of numbers."""
    return array(kind, struct.pack(f"<{len(values)}{_LAYOUTS[kind]}", *values), len(values))


@dataclass
class Plan:
    """One tensor of a file to write; without `offset` it comes behind the one before."""

    name: str | bytes
    shape: Sequence[int]
    type: int = 0
    offset: int | None = None
    rank: int | None = None
    data: bytes = b""
    """Its first bytes; the others are zero."""

    @property
    def size(self) -> int:
        """Its bytes, as far as its type is known."""
        _, elements, size = TYPES.get(self.type, ("", 1, 0))
        count = 1
        for length in self.shape:
            count *= length
        return min(count // elements * size, 1 << 20)


@dataclass
class GgufFile:
    """A GGUF file to write."""

    keys: list[tuple[str | bytes, bytes]] = field(default_factory=list)
    tensors: list[Plan] = field(default_factory=list)
    magic: bytes = b"GGUF"
    version: int = 3
    alignment: int = 32
    counts: tuple[int, int] | None = None
    tail: bytes = b""
    end: int | None = None
    """Where to cut the file off."""

    def put(self, key: str | bytes, value: bytes) -> None:
        """Set a key, or add it."""
        names = [name for name, _ in self.keys]
        if key in names:
            self.keys[names.index(key)] = (key, value)
        else:
            self.keys.append((key, value))

    def drop(self, *keys: str) -> None:
        """Leave keys out."""
        self.keys = [(key, value) for key, value in self.keys if key not in keys]

    def tensor(self, name: str) -> Plan:
        """Return one of the tensors."""
        return next(plan for plan in self.tensors if plan.name == name)

    def header(self) -> bytes:
        """Return all that comes before the data."""
        tensors, keys = self.counts or (len(self.tensors), len(self.keys))
        parts = [self.magic, struct.pack("<IQQ", self.version, tensors, keys)]
        parts += [text(key) + value for key, value in self.keys]
        offset = 0
        for plan in self.tensors:
            begin = offset if plan.offset is None else plan.offset
            rank = len(plan.shape) if plan.rank is None else plan.rank
            parts.append(text(plan.name) + struct.pack(f"<I{len(plan.shape)}Q", rank, *plan.shape))
            parts.append(struct.pack("<IQ", plan.type, begin))
            offset += -(-plan.size // self.alignment) * self.alignment
        return b"".join(parts)

    def render(self) -> bytes:
        """Return the file."""
        header = self.header()
        padding = -len(header) % self.alignment if self.tensors else 0
        data = b"".join(
            plan.data.ljust(-(-plan.size // self.alignment) * self.alignment, b"\0") for plan in self.tensors
        )
        return (header + bytes(padding) + data + self.tail)[: self.end]


def read_keys(path: Path) -> dict[str, Any]:
    """Return the values of a right file's header.

    GGUFReader makes an array of NumPy of each token and each merge: seconds for a real vocabulary.
    """
    data, at = path.read_bytes(), 24

    def take(layout: str) -> Any:
        nonlocal at
        (found,) = struct.unpack_from("<" + layout, data, at)
        at += struct.calcsize("<" + layout)
        return found

    def value(kind: int) -> Any:
        nonlocal at
        if kind == ARRAY:
            kind, length = take("I"), take("Q")
            return [value(kind) for _ in range(length)]
        if kind == STRING:
            length = take("Q")
            at += length
            return data[at - length : at].decode()
        return bool(take("B")) if kind == BOOL else take(_LAYOUTS[kind])

    _, _, _, count = struct.unpack_from("<4sIQQ", data)
    return {value(STRING): value(take("I")) for _ in range(count)}


def good_gguf() -> GgufFile:
    """Return a small file in which nothing is wrong."""
    file = GgufFile()
    for key, value in (
        ("general.architecture", string("llama")),
        ("general.name", string("Tiny")),
        ("general.file_type", scalar(U32, 7)),
        ("general.tags", array(ARRAY, strings("a", "b")[4:] + numbers(U8, 1, 2, 3)[4:], 2)),
        ("llama.block_count", scalar(U32, 2)),
        ("llama.context_length", scalar(U32, 64)),
        ("llama.embedding_length", scalar(U32, WIDTH)),
        ("llama.rope.freq_base", scalar(F32, 10000.0)),
        ("tokenizer.ggml.model", string("gpt2")),
        ("tokenizer.ggml.pre", string("smollm")),
        ("tokenizer.ggml.tokens", strings(*(f"token{number}" for number in range(TOKENS)))),
        ("tokenizer.ggml.scores", numbers(F32, *([0.5] * TOKENS))),
        ("tokenizer.ggml.token_type", numbers(I32, *([1] * TOKENS))),
        ("tokenizer.ggml.merges", strings("t o", "to k", "tok en")),
        ("tokenizer.ggml.bos_token_id", scalar(U32, 1)),
        ("tokenizer.ggml.eos_token_id", scalar(U32, TOKENS - 1)),
        ("tokenizer.ggml.padding_token_id", scalar(U32, 0xFFFFFFFF)),
        ("tokenizer.ggml.add_bos_token", scalar(BOOL, 1)),
        ("tokenizer.chat_template", string("{% for message in messages %}\n{{ message }}{% endfor %}")),
    ):
        file.put(key, value)
    file.tensors = [
        Plan("token_embd.weight", (WIDTH, TOKENS), 8),
        Plan("blk.0.ffn_up.weight", (WIDTH, 5), 8),
        Plan("blk.1.ffn_up.weight", (WIDTH, 5), 8),
        Plan("output_norm.weight", (WIDTH + 1,), 0),
    ]
    return file


END = 256
"""The token that ends a text, in `loadable_gguf`; those before are bytes."""
STEP = 2.0
"""How much larger than all others the logit of the token is that `loadable_gguf` says."""


def floats(value: float, count: int = WIDTH) -> bytes:
    """Return a number, several times, as F32."""
    return struct.pack(f"<{count}f", *([value] * count))


def loadable_gguf(says: int = ord("x"), blocks: int = 1) -> GgufFile:
    """Return a llama of a few kilobytes that llama.cpp loads, and that says the same token whatever it is asked.

    Its block adds nothing; the embeddings, which give the logits too, are ones, and a little more for the one token.
    """
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}  # GPT-2's letters for bytes: themselves, or above 255
    others = iter(range(256, 512))
    letters = [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]
    file = GgufFile()
    for key, value in (
        ("general.architecture", string("llama")),
        ("llama.block_count", scalar(U32, blocks)),
        ("llama.context_length", scalar(U32, 64)),
        ("llama.embedding_length", scalar(U32, WIDTH)),
        ("llama.feed_forward_length", scalar(U32, WIDTH)),
        ("llama.attention.head_count", scalar(U32, 2)),
        ("llama.attention.layer_norm_rms_epsilon", scalar(F32, 1e-9)),
        ("tokenizer.ggml.model", string("gpt2")),
        ("tokenizer.ggml.pre", string("gpt-2")),
        ("tokenizer.ggml.tokens", strings(*letters, "<end>")),
        ("tokenizer.ggml.token_type", numbers(I32, *([1] * END), 3)),
        ("tokenizer.ggml.merges", strings("t h")),
        ("tokenizer.ggml.bos_token_id", scalar(U32, END)),
        ("tokenizer.ggml.eos_token_id", scalar(U32, END)),
    ):
        file.put(key, value)
    rows = [floats(1 + STEP / WIDTH if token == says else 1) for token in range(END + 1)]
    file.tensors = [Plan("token_embd.weight", (WIDTH, END + 1), data=b"".join(rows))]
    file.tensors.append(Plan("output_norm.weight", (WIDTH,), data=floats(1)))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        file.tensors.append(Plan(f"blk.0.{name}.weight", (WIDTH, WIDTH)))
    file.tensors += [Plan(f"blk.0.{name}.weight", (WIDTH,), data=floats(1)) for name in ("attn_norm", "ffn_norm")]
    return file


def gguf_around(data: bytes) -> bytes:
    """Return a right file whose one tensor has these bytes."""
    file = GgufFile(keys=[("general.architecture", string("test"))], tensors=[Plan("data", (len(data),), 24)])
    header = file.header()
    return header + bytes(-len(header) % file.alignment) + data


def safetensors(header: Mapping[str, Any] | bytes, data: int, length: int | None = None) -> bytes:
    """Return a safetensors file with this many bytes of data."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data)


def entry(dtype: Any = "F32", shape: Any = (2, 3), begin: Any = 0, end: Any = 24) -> dict[str, Any]:
    """Return a tensor's entry in a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def good_safetensors() -> dict[str, Any]:
    """Return a header in which nothing is wrong, for 49 bytes of data."""
    return {
        "__metadata__": {"format": "pt"},
        "b": entry("BF16", [4, 3], 24, 48),
        "a": entry(),
        "none": entry("F16", [0, 7], 48, 48),
        "one": entry("BOOL", [], 48, 49),
    }


_EXTREMES = [
    0,
    1,
    2,
    255,
    256,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
]


def spoil(data: bytes, chance: random.Random) -> bytes:
    """Return a file with some random faults."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(found)) if found else 0
        fault = chance.randrange(7)
        if fault == 0 and found:
            found[at] ^= 1 << chance.randrange(8)
        elif fault == 1:
            found[at : at + 1] = bytes([chance.choice(b'\0\x01\x7f\x80\xff"{}[]:,0919-eE\\ ')])
        elif fault == 2:
            found[at : at + 8] = struct.pack("<Q", chance.choice(_EXTREMES))
        elif fault == 3:
            found[at : at + 4] = struct.pack("<I", chance.choice(_EXTREMES) & 0xFFFFFFFF)
        elif fault == 4:
            del found[at : at + chance.randint(1, 40)]
        elif fault == 5:
            found[at:at] = found[at : at + chance.randint(1, 40)]
        else:
            del found[at + chance.randrange(len(found) + 1) :]
    return bytes(found)
