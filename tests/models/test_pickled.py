"""Reading the table of a `pytorch_model.bin`: a file of torch's, every way to be wrong, random faults, the memory."""

import io
import os
import pickle
import random
import struct
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llorch.errors import Malformed
from llorch.models.pickled import OPCODES_LIMIT, PICKLE_LIMIT, load_pickled
from llorch.models.safetensors import Tensor
from tests.conftest import ROOT, Run, program_of
from tests.models.gguf_files import spoil

MB = 1 << 20
REAL = Path(__file__).parent / "data" / "torch.bin"
"""Made by torch 2.13.0:

    module = nn.Sequential(nn.Embedding(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 4, bias=False))
    module[0].weight.data = torch.arange(12.0).reshape(4, 3) / 8
    module[2].weight = module[0].weight
    table = module.state_dict()
    table["view"] = torch.arange(24.0).reshape(4, 6)[1:3]
    table["parameter"] = nn.Parameter(torch.tensor([1.5, -2.0]))
    table["bf16"] = torch.tensor([1.0, -3.5, 2.0**100], dtype=torch.bfloat16)
    table["f16"] = torch.tensor([[0.5], [-65504.0]], dtype=torch.float16)
    table["bool"] = torch.tensor([True, False, True])
    table["u16"] = torch.tensor([1, 65535], dtype=torch.uint16)
    table["empty"] = torch.zeros(0, 7)
    torch.save(table, "torch.bin")
"""
# What `torch.load` makes of it: dtype, shape, and `.flatten().tolist()`.
VALUES: dict[str, tuple[str, tuple[int, ...], list[float]]] = {
    "0.weight": ("F32", (4, 3), [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375]),
    "1.weight": ("F32", (3,), [1.0, 1.0, 1.0]),
    "1.bias": ("F32", (3,), [0.0, 0.0, 0.0]),
    "1.running_mean": ("F32", (3,), [0.0, 0.0, 0.0]),
    "1.running_var": ("F32", (3,), [1.0, 1.0, 1.0]),
    "1.num_batches_tracked": ("I64", (), [0]),
    "2.weight": ("F32", (4, 3), [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375]),
    "view": ("F32", (2, 6), [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0]),
    "parameter": ("F32", (2,), [1.5, -2.0]),
    "bf16": ("BF16", (3,), [1.0, -3.5, 1.2676506002282294e30]),
    "f16": ("F16", (2, 1), [0.5, -65504.0]),
    "bool": ("BOOL", (3,), [True, False, True]),
    "u16": ("U16", (2,), [1, 65535]),
    "empty": ("F32", (0, 7), []),
}
FIELDS = {"flags": ("<H", 8), "method": ("<H", 10), "stored": ("<I", 20), "size": ("<I", 24), "offset": ("<I", 42)}
"""Of an entry in an archive's directory."""
LAYOUTS = {"F32": "f", "F16": "e", "I64": "q", "U16": "H", "BOOL": "?"}

# The pickle, written by hand.
PROTO = b"\x80\x02"
EMPTY = b"}"
ORDERED = b"ccollections\nOrderedDict\n)R"


def named(name: str) -> bytes:
    """Name a global, module first."""
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def text(value: str | bytes) -> bytes:
    """Write a string."""
    raw = value if isinstance(value, bytes) else value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    """Write a number, the longest too."""
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def tuple_of(*parts: bytes) -> bytes:
    """Write a tuple of what is written already."""
    return b"(" + b"".join(parts) + b"t"


def numbers(values: tuple[int, ...]) -> bytes:
    """Write a shape."""
    return tuple_of(*map(number, values))


def storage(kind: str = "torch FloatStorage", key: bytes = text("0"), count: int = 6) -> bytes:
    """Write a reference to a storage."""
    return tuple_of(text("storage"), named(kind), key, text("cuda:0"), number(count)) + b"Q"


def tensor(
    where: bytes = storage(),
    shape: tuple[int, ...] = (2, 3),
    strides: tuple[int, ...] = (3, 1),
    offset: int = 0,
    version: int = 2,
    end: bytes = b"",
) -> bytes:
    """Write a tensor."""
    arguments = tuple_of(where, number(offset), numbers(shape), numbers(strides), b"\x89", ORDERED, end)
    return named(f"torch._utils _rebuild_tensor_v{version}") + arguments + b"R"


def untyped(dtype: str, count: int = 24, shape: tuple[int, ...] = (2, 3), end: bytes = b"") -> bytes:
    """Write a tensor that says its own dtype."""
    where = storage("torch.storage UntypedStorage", count=count)
    return tensor(where, shape=shape, version=3, end=named(dtype) + end)


def table(values: Mapping[str | bytes, bytes], start: bytes = ORDERED) -> bytes:
    """Write a dictionary."""
    return start + b"(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def archive(data: bytes | None, storages: Mapping[str, bytes] | None = None, more: Mapping[str, bytes] = {}) -> bytes:
    """Write the zip archive around a pickle; there is a storage `0` of 24 bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        if data is not None:
            target.writestr("Modell ü/data.pkl", data)
        for key, value in ({"0": bytes(24)} if storages is None else storages).items():
            target.writestr(f"Modell ü/data/{key}", value)
        for name, value in more.items():
            target.writestr(name, value)
    return file.getvalue()


def around(value: bytes, **options: Any) -> bytes:
    """Write a file whose one tensor is this value."""
    return archive(PROTO + table({"x": value}) + b".", **options)


def entry(data: bytes, name: str, **fields: int) -> bytes:
    """Change what the directory says of an entry."""
    found, at = bytearray(data), data.rindex(name.encode()) - 46
    for field, value in fields.items():
        layout, place = FIELDS[field]
        struct.pack_into(layout, found, at + place, value)
    return bytes(found)


def zip64(data: bytes, *, size: int | None = None, offset: int | None = None, disks: int = 1) -> bytes:
    """Give an archive the longer end that torch writes."""
    old = struct.unpack("<4s4H2IH", data[-22:])
    sizes = (old[5] if size is None else size, old[6] if offset is None else offset)
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, old[4], old[4], *sizes)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(data) - 22, disks)
    return data[:-22] + record + locator + b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2)


def directory(entries: int) -> bytes:
    """Write an archive of many entries of which the shortest names would be torch's."""
    return archive(PROTO + b"}.", {str(key): b"" for key in range(entries)})


def tar() -> bytes:
    """Write what the first versions of torch did."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as target:
        target.addfile(tarfile.TarInfo("sys_info"))
    return file.getvalue()


def load(path: Path, data: bytes) -> tuple[Tensor, ...]:
    """Read a file that has this content."""
    path.unlink(missing_ok=True)  # ext4 waits for the disk when a file is emptied and written anew
    path.write_bytes(data)
    return load_pickled(path, "pytorch_model.bin")


def test_a_file_of_torch_is_read() -> None:
    """All tensors are there by their place, and their bytes are the values that torch loads."""
    tensors, data = load_pickled(REAL, "torch.bin"), REAL.read_bytes()
    assert {found.name for found in tensors} == VALUES.keys()
    assert [found.offset for found in tensors] == sorted(found.offset for found in tensors)
    for found in tensors:
        dtype, shape, values = VALUES[found.name]
        raw = data[found.offset : found.offset + found.size]
        if dtype == "BF16":
            raw, layout = b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2)), "f"
        else:
            layout = LAYOUTS[dtype]
        assert (found.dtype, found.shape) == (dtype, shape)
        assert list(struct.unpack(f"<{len(values)}{layout}", raw)) == values
    places = {found.name: found.offset for found in tensors}
    assert places["0.weight"] == places["2.weight"]


@pytest.mark.parametrize(
    ("data", "dtypes"),
    [
        (archive(PROTO + b"}."), []),
        (around(tensor()), ["F32"]),
        (archive(PROTO + table({"x": tensor()}, EMPTY) + b"."), ["F32"]),
        (archive(PROTO + ORDERED + text("x") + tensor() + b"s."), ["F32"]),
        (around(untyped("torch float32")), ["F32"]),
        (around(untyped("torch float8_e5m2", shape=(24,)).replace(numbers((3, 1)), numbers((1,)))), ["F8_E5M2"]),
        (around(tensor(shape=(), strides=(), offset=5)), ["F32"]),
        (around(tensor(shape=(1, 6), strides=(77, 1))), ["F32"]),
        (around(tensor(shape=(0, 1 << 40), strides=(5, 5))), ["F32"]),
        (zip64(around(tensor())), ["F32"]),
        (around(tensor(), more={"Modell ü/byteorder": b"little", "Modell ü/version": b"3\n"}), ["F32"]),
        (archive(PROTO + table({"x": tensor(), "y": tensor(shape=(1,), strides=(1,))}) + b"."), ["F32", "F32"]),
        (archive(PROTO + table({"x": tensor()}) + table({"_metadata": table({"": EMPTY})}, EMPTY) + b"b."), ["F32"]),
    ],
)
def test_what_may_be_is_taken(tmp_path: Path, data: bytes, dtypes: list[str]) -> None:
    """Files that are rare, and right, are no error."""
    assert [found.dtype for found in load(tmp_path / "a ü", data)] == dtypes


def test_many_tensors(tmp_path: Path) -> None:
    """A file with 3,000 tensors is read, within the memory that a wrong one may take."""
    values: dict[str | bytes, bytes] = {
        f"model.layers.{n}": tensor(storage("torch ByteStorage", text(str(n)), 2), (2,), (1,)) for n in range(3_000)
    }
    parts = [dict(list(values.items())[at : at + 1000]) for at in range(0, 3_000, 1000)]
    data = PROTO + ORDERED + b"".join(table(part, b"") for part in parts) + b"."
    data = archive(data, {str(n): b"ab" for n in range(3_000)})
    del values, parts
    tracemalloc.start()
    try:
        found = load(tmp_path / "a", data)
        assert tracemalloc.get_traced_memory()[1] < 100 * MB
    finally:
        tracemalloc.stop()
    assert len(found) == 3_000
    assert {data[one.offset : one.offset + one.size] for one in found} == {b"ab"}


GOOD = around(tensor())
REBUILD = named("torch._utils _rebuild_tensor_v2")
NAMES = "is none of torch's"
CALLS = "with something that torch does not give it"
UNKNOWN = "which a state dict has no use for"
IMPOSSIBLE = "tensor `x` has an impossible shape, stride, offset or storage"


def bare(data: bytes, end: bytes = b".") -> bytes:
    """Write a file with this pickle behind its protocol."""
    return archive(PROTO + data + end)


OPCODES = {
    b"ios\nsystem\n": "INST",
    b"(o": "OBJ",
    b")\x81": "NEWOBJ",
    b"\x93": "STACK_GLOBAL",
    b"\x82\1": "EXT1",
    b"Pid\n": "PERSID",
    b"2": "DUP",
    b"0": "POP",
    b"]": "EMPTY_LIST",
    b"S'a'\n": "STRING",
    b"G" + bytes(8): "BINFLOAT",
    b"\x8b\1\0\0\0\1": "LONG4",
    b"\x95" + bytes(8): "FRAME",
}
UNDERFLOWS = (b"R", b")R", b"\x86", b")\x86", b"b", b")b", b"}s", b"Q", b"q\0", b"(u", b"}(R")
FOREIGN = tuple_of(text("storage"), text("torch FloatStorage"), text("0"), text("cpu"), number(6)) + b"Q"
HOSTILE: list[tuple[bytes, str]] = [
    # other formats
    (b"", "no zip archive"),
    (b"version https://git-lfs.github.com/spec/v1\n", "no zip archive"),
    (pickle.dumps({}, 2), "no zip archive"),
    (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2), "the format of before torch 1.6"),
    (pickle.dumps(0x1950A86A20F9469CFC6C, 4) + pickle.dumps(1001, 4), "the format of before torch 1.6"),
    (tar(), "tar format"),
    # the archive
    (b"PK\3\4", "its directory is wrong: File is not a zip file"),
    (GOOD[:-1], "its directory is wrong"),
    (GOOD[: len(GOOD) // 2], "its directory is wrong"),
    (archive(None), "it has no `data.pkl`"),
    (archive(b""), "its pickle is not of protocol 2"),
    (archive(bytes(PICKLE_LIMIT + 1)), "its `data.pkl` has 4,194,305 bytes, more than 4,194,304"),
    (around(tensor(), more={"Modell ü/byteorder": b"big"}), "its `byteorder` is not little"),
    (around(tensor(), more={"Modell ü/byteorder": b"little" * 99}), "its `byteorder` has 594 bytes"),
    (around(tensor(), more={"other/version": b"3\n"}), f"its entry 'other/version' {NAMES}"),
    (around(tensor(), more={"Modell ü/code/a.py": b""}), f"its entry 'Modell ü/code/a.py' {NAMES}"),
    (around(tensor(), more={"Modell ü/data/../1": b""}), NAMES),
    (around(tensor(), more={"../../etc/passwd": b""}), f"its entry '../../etc/passwd' {NAMES}"),
    (around(tensor(), more={"/etc/passwd": b""}), NAMES),
    (around(tensor()).replace("Modell ü".encode(), b"../x/y/zz"), NAMES),
    (around(tensor()).replace("Modell ü/data".encode(), b"../data\0\0\0\0\0\0\0"), NAMES),
    (archive(None, {}, {"../data.pkl": PROTO + b"}."}), NAMES),
    (around(tensor(), more={"Modell ü/data/00": b""}), NAMES),
    (around(tensor(), more={"Modell ü/data/\u0661": b""}), NAMES),
    (around(tensor(), more={"Modell ü/data/1\n": b""}), NAMES),
    (around(tensor(), more={"x" * 60_000: b""}), NAMES),
    (around(tensor(), more={"\x1b]0;/version": b""}), NAMES),
    (entry(GOOD, "Modell ü/data.pkl", method=8), "its entry 'Modell ü/data.pkl' is compressed"),
    (entry(GOOD, "Modell ü/data/0", size=1 << 31), "its entry 'Modell ü/data/0' is compressed"),
    (entry(GOOD, "Modell ü/data/0", flags=0x801), "is encrypted, or has other flags"),
    (entry(GOOD, "Modell ü/data/0", offset=0), "its entry 'Modell ü/data/0' begins within another"),
    (entry(GOOD, "Modell ü/data.pkl", size=200, stored=200), "its entry 'Modell ü/data/0' begins within another"),
    (entry(GOOD, "Modell ü/data/0", size=1 << 30, stored=1 << 30), "'Modell ü/data/0' ends beyond the file"),
    (entry(GOOD, "Modell ü/data/0", offset=(1 << 32) - 2), "is not where the directory says"),
    (entry(GOOD, "Modell ü/data/0", offset=len(GOOD) - 30), "is not where the directory says"),
    (entry(GOOD, "Modell ü/data.pkl", offset=1), "is not where the directory says"),
    (GOOD.replace(b"/data/0", b"/data/1", 1), "is not where the directory says"),
    (around(tensor(), storages={"0": bytes(24), "1": b""}).replace(b"/data/1", b"/data/0"), "has two entries"),
    (zip64(GOOD, size=1 << 40), "its directory is wrong"),
    (zip64(GOOD, size=1), "its "),
    (zip64(GOOD, offset=1 << 63), "its "),
    (zip64(GOOD, offset=0), "its "),
    (zip64(GOOD, disks=2), "its directory is wrong"),
    (bytes(3 << 20).join((GOOD[:100], GOOD[100:-10] + struct.pack("<I", 2 << 20) + GOOD[-6:])), "its directory has"),
    (directory(20_000), "its directory has"),
    # the pickle
    (archive(b"\x80\x04" + b"}."), "its pickle is not of protocol 2"),
    (archive(b"}."), "its pickle is not of protocol 2"),
    (bare(b"\x80\x02}"), f"the opcode PROTO, {UNKNOWN}"),
    (bare(b""), "is no dictionary of tensors"),
    (bare(number(1)), "is no dictionary of tensors"),
    (bare(tensor()), "is no dictionary of tensors"),
    (bare(b"}}"), "is no dictionary of tensors"),
    (bare(b"(}"), "is no dictionary of tensors"),
    (bare(b"}", end=b""), "its pickle is wrong: pickle exhausted before seeing STOP"),
    (bare(b"}", end=b".."), "its pickle ends before its entry does"),
    (bare(b"\xff"), "its pickle is wrong: at position 0, opcode b'\\xff' unknown"),
    (bare(b"X\xff\xff\xff\xffab"), "its pickle is wrong: expected 4294967295 bytes"),
    (bare(text(b"\xff")), "its pickle is wrong: 'utf-8' codec"),
    (bare(b"cos"), "its pickle is wrong: no newline found"),
    (bare(b"L" + b"9" * 5000 + b"L\n"), "its pickle is wrong"),
    (bare(b"c\\d\nx\n"), "its pickle "),  # a warning of the interpreter's, or a global that nobody knows
    (bare(b"Iabc" * 1000 + b"\n"), "its pickle is wrong: invalid literal"),
    *((bare(b"}" + opcode), f"the opcode {name}, {UNKNOWN}") for opcode, name in OPCODES.items()),
    (bare(named("os system")), f"its pickle names 'os system', {UNKNOWN}"),
    (bare(named("os system") + tuple_of(text("true")) + b"R"), "its pickle names 'os system'"),
    (bare(named("builtins eval")), "its pickle names 'builtins eval'"),
    (bare(named("torch load")), "its pickle names 'torch load'"),
    (bare(named("collections OrderedDict.fromkeys")), "its pickle names 'collections OrderedDict.fromkeys'"),
    (bare(named("torch._tensor _rebuild_from_type_v2")), "_rebuild_from_type_v2'"),
    (bare(b"c" + b"x" * 100_000 + b"\n\n"), "its pickle names 'xxx"),
    (bare(b"c\x1b[2J\nx\n"), r"its pickle names '\x1b[2J x'"),
    (bare(text("x") + b")R"), "its pickle calls what is no function"),
    (bare(b"}}R"), "its pickle calls what is no function"),
    (bare(named("torch FloatStorage") + b")R"), CALLS),
    (bare(named("torch float32") + b")R"), CALLS),
    (bare(named("collections OrderedDict") + tuple_of(b")") + b"R"), CALLS),
    (bare(REBUILD + b")R"), CALLS),
    (bare(REBUILD + b"}R"), CALLS),
    (bare(tensor(number(1))), CALLS),
    (bare(tensor(storage("torch.storage UntypedStorage"))), CALLS),
    (bare(tensor(end=table({"neg": b"\x88"}, EMPTY))), CALLS),
    (bare(untyped("torch float32", end=EMPTY)), CALLS),
    (bare(untyped("torch FloatStorage")), CALLS),
    (bare(tensor(version=3, end=named("torch float32"))), CALLS),
    (bare(tensor().replace(numbers((2, 3)), number(6))), CALLS),
    (bare(named("torch._utils _rebuild_parameter") + tuple_of(EMPTY, b"\x88", ORDERED) + b"R"), CALLS),
    (bare(number(1) + b"Q"), "refers to something that is no storage"),
    (bare(tuple_of(text("module"), text("0")) + b"Q"), "refers to something that is no storage"),
    (bare(storage("torch float32")), "refers to something that is no storage"),
    (bare(storage(key=number(0))), "refers to something that is no storage"),
    (bare(FOREIGN), "refers to something that is no storage"),
    *((bare(opcode), "from an empty stack") for opcode in UNDERFLOWS),
    *((bare(opcode), "a mark that is not there") for opcode in (b"t", b"}u", b"}t")),
    (bare(b"h\0"), "takes 0 from a memo of 0"),
    (bare(b"}q\0h\1"), "takes 1 from a memo of 1"),
    (bare(b"}j\xff\xff\xff\xff"), "takes 4,294,967,295 from a memo of 0"),
    (bare(b"}r\xff\xff\xff\xff"), "puts 4,294,967,295 into a memo of 0"),
    (bare(b"}q\1"), "puts 1 into a memo of 0"),
    (bare(b")" * 4097), "more than 4,096 values at once"),
    (bare(b"(" * 17), "more than 16 marks at once"),
    (bare(b"}" + b"(t\x85" * (OPCODES_LIMIT // 3)), "more than 4,096 values"),
    (bare(b")" + b"\x85" * OPCODES_LIMIT), "more than 400,000 opcodes"),
    (bare(b"}q\0(" + text("x") + b"h\0u"), "`x` is no tensor"),
    (bare(b"})b"), "sets the state of what is no dictionary"),
    (bare(tensor() + b"}b"), "sets the state of what is no dictionary"),
    (bare(b"}(" + text("x") + b"u"), "sets items of what is no dictionary"),
    (bare(b")" + text("x") + b")s"), "sets items of what is no dictionary"),
    (bare(b"}" + number(1) + b")s"), "has a key that is no text"),
    (bare(b"}q\0h\0\x85q\1h\1s"), "has a key that is no text"),
    (bare(table({"x": tensor()}) + text("x") + tensor() + b"s"), "has two keys 'x'"),
    # the tensors
    (around(EMPTY), "`x` is no tensor"),
    (around(b"N"), "`x` is no tensor"),
    (around(storage()), "`x` is no tensor"),
    (bare(table({"": tensor()})), "a tensor is called ''"),
    (bare(table({"a\x1b]0;": tensor()})), r"a tensor is called 'a\x1b]0;'"),
    (bare(table({b"\xed\xa0\x80": tensor()})), r"a tensor is called '\ud800'"),
    (bare(table({"x" * 2000: tensor()})), "a tensor is called 'xxxx"),
    (around(tensor(shape=(1 << 31, 1 << 31), strides=(1 << 31, 1))), "takes the bytes up to 18,446,744,073,709"),
    (around(tensor(shape=(5_000_000_000,), strides=(1,))), "takes the bytes up to 20,000,000,000 of a storage of 24"),
    (around(tensor(shape=(1 << 2000,), strides=(1,))), IMPOSSIBLE),
    (around(tensor(shape=(1,) * 17, strides=(1,) * 17)), IMPOSSIBLE),
    (around(tensor(shape=(-2, -3))), IMPOSSIBLE),
    (around(tensor(shape=(6,))), IMPOSSIBLE),
    (around(tensor(strides=(-3, -1))), IMPOSSIBLE),
    (around(tensor(offset=-1)), IMPOSSIBLE),
    (around(tensor(storage(count=-6))), IMPOSSIBLE),
    (around(tensor().replace(number(3), b"\x88")), IMPOSSIBLE),
    (around(tensor().replace(numbers((2, 3)), tuple_of(text("2"), EMPTY))), IMPOSSIBLE),
    (around(tensor(strides=(1, 2))), "tensor `x` is a view whose elements do not follow one another"),
    (around(tensor(strides=(6, 2))), "is a view whose elements"),
    (around(tensor(strides=(0, 0))), "is a view whose elements"),
    (around(tensor(offset=1)), "takes the bytes up to 28 of a storage of 24"),
    (around(tensor(offset=1 << 62)), "of a storage of 24"),
    (around(tensor(storage(count=7))), "the storage of tensor `x` is to have 28 bytes, and has 24"),
    (around(tensor(storage("torch HalfStorage"))), "is to have 12 bytes, and has 24"),
    (around(untyped("torch float32", count=6)), "is to have 6 bytes, and has 24"),
    *((around(tensor(storage(key=text(key)))), "is in the storage") for key in ("1", "", "../0", "0/", "\x1b[2J")),
    (around(tensor(), storages={}), "is in the storage '0', which is not there"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), HOSTILE, ids=[f"{n}: {reason}" for n, (_, reason) in enumerate(HOSTILE)])
def test_a_wrong_file_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    """Each fault has one reason, on one line and without control characters, and words what to do."""
    with pytest.raises(Malformed) as caught:
        load(tmp_path / "a", data)
    assert reason in caught.value.reason
    assert caught.value.message == f"`pytorch_model.bin` is malformed: {caught.value.reason}"
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300
    assert "`model.safetensors`" in str(caught.value.hint)


class Harm:
    """Would run a command if it were unpickled."""

    def __reduce__(self) -> Any:
        """Return the call that does it."""
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    """A pickle that harms whoever loads it is refused, and has done nothing."""
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"x": Harm()}, protocol)
    with pytest.raises(Malformed, match=r"system|protocol"):
        load(tmp_path / "a", archive(data))
    assert not Path("harmed").exists()
    pickle.loads(data)
    assert Path("harmed").exists()


def fill(piece: bytes, start: bytes = b"") -> bytes:
    """Write a pickle full of something, as long as one may be."""
    return bare(start + piece * ((PICKLE_LIMIT - len(start) - 3) // len(piece)))


BIG = [
    fill(b"}\x86", b")"),
    fill(EMPTY + text("x") + b")s\x86", b")"),
    fill(b"9", b"L"),
    fill(b"\\", b"c"),
    fill(b"x", b"X\xff\xff\xff\xff"),
    directory(15_000).replace(b"PK\3\4", b"PK\3\5").replace(b"PK\3\5", b"PK\3\4", 1),
]


READ = """
import pathlib, resource, sys
from llorch.errors import Malformed
from llorch.models.pickled import load_pickled
mapped = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = mapped + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[2:]:
    try:
        load_pickled(pathlib.Path(path), "a.bin")
    except Malformed:
        print("refused")
"""


def read_within(size: int, *paths: Path) -> Run:
    """Read files in a process that can have so many bytes more than it has at first."""
    return program_of(sys.executable, "-c", READ, str(size), *map(str, paths), cwd=ROOT)


def test_the_memory_is_bounded(tmp_path: Path) -> None:
    """No wrong file takes 100 MB, however it is filled."""
    paths = [tmp_path / str(number) for number in range(len(BIG))]
    for path, data in zip(paths, BIG, strict=True):
        path.write_bytes(data)
    run = read_within(100 * MB, *paths)
    assert (run.code, run.out) == (0, "refused\n" * len(BIG)), run.err
    assert "MemoryError" in read_within(2 * MB, *paths).err


def test_a_file_that_ends_early_is_refused(tmp_path: Path) -> None:
    """No beginning of a file of torch's passes for one."""
    data = REAL.read_bytes()
    for end in range(0, len(data), 7):
        with pytest.raises(Malformed):
            load(tmp_path / "a", data[:end])


def test_random_faults_end_in_our_error(tmp_path: Path) -> None:
    """Of 2,000 files with a spoiled archive or a spoiled pickle each is read or refused, and nothing else happens."""
    chance, data = random.Random(4), REAL.read_bytes()
    with zipfile.ZipFile(REAL) as file:
        table = file.read("torch/data.pkl")
        storages = {name[11:]: file.read(name) for name in file.namelist() if name.startswith("torch/data/")}
    refused = []
    for number in range(2_000):
        try:
            load(tmp_path / "a", archive(spoil(table, chance), storages) if number % 2 else spoil(data, chance))
        except Malformed as error:
            refused.append(error.message)
    assert 500 < len(refused) < 2_000
    assert len(set(refused)) > 100
    assert all(map(str.isprintable, refused))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in its place, or nothing, is our error too."""
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(Malformed) as caught:
            load_pickled(path, "a.bin")
        assert caught.value.reason == f"it cannot be read: {why}"
