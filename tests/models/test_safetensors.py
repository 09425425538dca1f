"""Reading safetensors headers: right files, every way to be wrong, random faults, and the memory that it takes."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from llorch.errors import Malformed
from llorch.models.safetensors import HEADER_LIMIT, VALUES_LIMIT, Safetensors, Tensor, load_safetensors
from tests.models.gguf_files import entry, good_safetensors, safetensors, spoil

MB = 1 << 20


def load(path: Path, data: bytes, *, size: int | None = None) -> Safetensors:
    """Read a file that has this content, and holes up to a size."""
    path.unlink(missing_ok=True)  # ext4 waits for the disk when a file is emptied and written anew
    path.write_bytes(data)
    if size is not None:
        with open(path, "r+b") as file:
            file.truncate(size)
    return load_safetensors(path, "a.safetensors")


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """All that a header says is there, the tensors by their place."""
    data = safetensors(good_safetensors(), 49)
    found = load(tmp_path / "a", data)
    assert (found.parameters, found.dtypes, found.metadata) == (19, ("F32", "BF16", "BOOL", "F16"), {"format": "pt"})
    assert [tensor.name for tensor in found.tensors] == ["a", "b", "none", "one"]
    assert found.tensors[1] == Tensor(name="b", shape=(4, 3), dtype="BF16", offset=24, size=24)
    assert found.data_offset == len(data) - 49


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({}, 0),
        (b"{}      ", 0),
        ({"__metadata__": {}}, 0),
        ({"x": entry("F4", [3, 2], 0, 3)}, 3),
        ({"x": entry("F6_E2M3", [4], 0, 3)}, 3),
        ({"schicht.ä": entry()}, 24),
        ({"a": entry("U8", [0], 0, 0), "b": entry("U8", [1], 0, 1), "c": entry("U8", [0], 1, 1)}, 1),
    ],
)
def test_what_may_be_is_taken(tmp_path: Path, header: Any, data: int) -> None:
    """Files that are rare, and right, are no error."""
    assert load(tmp_path / "a", safetensors(header, data)).data_offset > 8


def one(**changes: Any) -> dict[str, Any]:
    """Return a header with one tensor, of which something is not as it was."""
    return {"x": {**entry(), **changes}}


def without(key: str) -> dict[str, Any]:
    """Return a header with one tensor, of which something is not there."""
    return {"x": {name: value for name, value in entry().items() if name != key}}


HOSTILE: list[tuple[bytes, str]] = [
    # the length
    (b"", "has 0 bytes, less than any such file"),
    (b"\2\0\0\0\0\0\0\0{", "has 9 bytes, less than any such file"),
    (safetensors(b"{}", 0, 3), "is to have 3 bytes, and 2 are there"),
    (safetensors(b"{}", 0, (1 << 64) - 1), "is to have 18,446,744,073,709,551,615 bytes"),
    (safetensors(b"{}", 0, 1 << 63), "is to have 9,223,372,036,854,775,808 bytes"),
    (safetensors(b"{}", 0, 0), "does not begin with `{`"),
    (safetensors(b"{}", 0, 1), "no JSON"),
    # the JSON
    (safetensors(b"[]", 0), "does not begin with `{`"),
    (safetensors(b" {}", 0), "does not begin with `{`"),
    (safetensors(b"{}{}", 0), "no JSON"),
    (safetensors(b"{}\0\0", 0), "no JSON"),
    (safetensors(b'{"x": ', 0), "no JSON"),
    (safetensors(b'{"x": \xff}', 0), "no JSON"),
    (safetensors(b'{"a\nb": 1}', 0), "no JSON"),
    (safetensors(b'{"x":' + b"[" * 100_000, 0), "no JSON"),
    (safetensors(b'{"x":' * 100_000, 0), "no JSON"),
    (safetensors(b'{"x":' + b"9" * 5000 + b"}", 0), "no JSON"),
    (safetensors(b"{" + b'"a":1,' * 250_001 + b'"b":1}', 0), "more than 500,000 values"),
    (safetensors(b'{"x": 1.5}', 0), "has the number '1.5'"),
    (safetensors(b'{"x": 1e999}', 0), "has the number '1e999'"),
    (safetensors(b'{"x": NaN}', 0), "has the number 'NaN'"),
    (safetensors(b'{"x": -Infinity}', 0), "has the number '-Infinity'"),
    (safetensors(b'{"x": 1, "x": 1}', 0), "has two keys 'x'"),
    (safetensors(b'{"y": {"dtype": 1, "dtype": 2}}', 0), "has two keys 'dtype'"),
    (safetensors(b'{"\\u001b[2J": 1, "\\u001b[2J": 1}', 0), r"has two keys '\x1b[2J'"),
    # metadata
    (safetensors({"__metadata__": []}, 0), "`__metadata__` is no object of texts"),
    (safetensors({"__metadata__": {"a": 1}}, 0), "`__metadata__` is no object of texts"),
    (safetensors({"__metadata__": {"a": {}}}, 0), "`__metadata__` is no object of texts"),
    (safetensors({"__metadata__": None}, 0), "`__metadata__` is no object of texts"),
    # names
    (safetensors({"": entry()}, 24), "a tensor is called ''"),
    (safetensors({"a\x1b]0;": entry()}, 24), r"a tensor is called 'a\x1b]0;'"),
    (safetensors(b'{"\\ud800": {}}', 24), r"a tensor is called '\ud800'"),
    (safetensors({"x" * 2000: entry()}, 24), "a tensor is called 'xxxx"),
    # entries
    (safetensors({"x": 1}, 0), "has not just"),
    (safetensors({"x": []}, 0), "has not just"),
    (safetensors({"x": {}}, 0), "has not just"),
    (safetensors(without("dtype"), 24), "has not just"),
    (safetensors(without("shape"), 24), "has not just"),
    (safetensors(without("data_offsets"), 24), "has not just"),
    (safetensors(one(more=1), 24), "has not just"),
    (safetensors(one(dtype="F33"), 24), "unknown dtype 'F33'"),
    (safetensors(one(dtype="f32"), 24), "unknown dtype 'f32'"),
    (safetensors(one(dtype=32), 24), "unknown dtype '32'"),
    (safetensors(one(dtype=["F32"]), 24), "unknown dtype"),
    (safetensors(one(dtype="\x1b[2J" * 1000), 24), r"unknown dtype '\x1b[2J"),
    (safetensors(one(shape=6), 24), "impossible shape"),
    (safetensors(one(shape={}), 24), "impossible shape"),
    (safetensors(one(shape=[-2, -3]), 24), "impossible shape"),
    (safetensors(one(shape=["2", 3]), 24), "impossible shape"),
    (safetensors(one(shape=[True, 6]), 24), "impossible shape"),
    (safetensors(one(shape=[None]), 24), "impossible shape"),
    (safetensors(one(shape=[1 << 63]), 24), "impossible shape"),
    (safetensors(one(shape=[1] * 17), 24), "impossible shape"),
    (safetensors(one(shape=[1 << 62] * 16), 24), "tensor `x` has 192 bits, and its shape takes"),
    (safetensors(one(shape=[1 << 31, 1 << 31, 4]), 24), "and its shape takes 590,295,810,358,705,651,712"),
    (safetensors(one(shape=[2, 4]), 24), "tensor `x` has 192 bits, and its shape takes 256"),
    (safetensors(one(shape=[]), 24), "tensor `x` has 192 bits, and its shape takes 32"),
    (safetensors(one(dtype="F4", shape=[1]), 24), "and its shape takes 4"),
    # places
    (safetensors(one(data_offsets=[0]), 24), "impossible `data_offsets`"),
    (safetensors(one(data_offsets=[0, 24, 24]), 24), "impossible `data_offsets`"),
    (safetensors(one(data_offsets=[24, 0]), 24), "impossible `data_offsets`"),
    (safetensors(one(data_offsets=[-24, 0]), 24), "impossible `data_offsets`"),
    (safetensors(one(data_offsets="0-24"), 24), "impossible `data_offsets`"),
    (safetensors(one(data_offsets=[0, 1 << 64]), 24), "impossible `data_offsets`"),
    (safetensors(one(data_offsets=[1, 25]), 25), "1 bytes before tensor `x` belong to nothing"),
    (safetensors(one(), 23), "the file ends 1 bytes before the end of tensor `x`"),
    (safetensors(one(), 25), "1 bytes at the end belong to nothing"),
    (safetensors({}, 1), "1 bytes at the end belong to nothing"),
    (safetensors({"x": entry(), "y": entry()}, 24), "`x` and `y` overlap"),
    (safetensors({"x": entry(), "y": entry(begin=20, end=44)}, 44), "`x` and `y` overlap"),
    (safetensors({"x": entry(), "y": entry(begin=28, end=52)}, 52), "4 bytes before tensor `y` belong to nothing"),
    (safetensors({"x": entry(), "y": entry("U8", [0], 12, 12)}, 24), "`x` and `y` overlap"),
]


@pytest.mark.parametrize(("data", "reason"), HOSTILE, ids=[f"{n}: {reason}" for n, (_, reason) in enumerate(HOSTILE)])
def test_a_wrong_file_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    """Each fault has one reason, on one line and without control characters."""
    with pytest.raises(Malformed) as caught:
        load(tmp_path / "a", data)
    assert reason in caught.value.reason
    assert caught.value.message == f"`a.safetensors` is malformed: {caught.value.reason}"
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 1000


def test_there_are_sixty_cases_and_more() -> None:
    """The table is as long as it is meant to be."""
    assert len(HOSTILE) >= 60


def fill(piece: bytes) -> bytes:
    """Return a header full of something, as long as one may be."""
    start, end = b'{"x": [', b"0]}"
    return start + piece * ((HEADER_LIMIT - len(start) - len(end)) // len(piece)) + end


BIG = [
    b"{" + b",".join(b'"%d":1' % number for number in range(VALUES_LIMIT // 2 - 2)) + b"}" + b" " * 5_000_000,
    '{"🦙":['.encode() + b",".join(b'{"%d":1}' % number for number in range(VALUES_LIMIT // 3 - 2)) + b"]}",
    fill(b"[],"),
    fill(b'{"a":1},'),
    fill(b"0," * 10 + b" " * 400),
    fill(b'{"a":1},' + b" " * 60),
    fill(b'"' + b"x" * 1000 + b'",'),
    b'{"' + "🦙".encode() * (HEADER_LIMIT // 4 - 10) + b'": 1}',
]


def test_the_memory_is_bounded(tmp_path: Path) -> None:
    """No wrong header takes 100 MB, however it is filled, and a length beyond the limit is not even read."""
    tracemalloc.start()
    try:
        for data in [*(data for data, _ in HOSTILE), *(safetensors(header, 0) for header in BIG)]:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            with pytest.raises(Malformed):
                load(tmp_path / "a", data)
            assert tracemalloc.get_traced_memory()[1] - before < 100 * MB
        with pytest.raises(Malformed, match="more than 10,000,000"):
            load(tmp_path / "a", safetensors(b"{}", 0, 1 << 35), size=1 << 36)
    finally:
        tracemalloc.stop()


def test_many_tensors(tmp_path: Path) -> None:
    """A header with 30,000 tensors is read within the same memory."""
    header = {f"layers.{n}.weight": entry("U8", [1, 2, 2], 4 * n, 4 * n + 4) for n in range(30_000)}
    data = safetensors(header, 120_000)
    del header
    tracemalloc.start()
    try:
        assert load(tmp_path / "a", data).parameters == 120_000
        assert tracemalloc.get_traced_memory()[1] < 100 * MB
    finally:
        tracemalloc.stop()


def test_random_faults_end_in_our_error(tmp_path: Path) -> None:
    """Of 10,000 spoiled files each is read or refused, and nothing else happens."""
    chance, data = random.Random(4), safetensors(good_safetensors(), 49)
    refused = []
    for _ in range(10_000):
        try:
            load(tmp_path / "a", spoil(data, chance))
        except Malformed as error:
            refused.append(error.message)
    assert 5_000 < len(refused) < 10_000
    assert all(map(str.isprintable, refused))


def test_random_headers_end_in_our_error(tmp_path: Path) -> None:
    """JSON that is right, of values that are not, is read or refused."""
    chance = random.Random(4)
    odd: list[Any] = [
        None,
        True,
        -1,
        0,
        1,
        3,
        24,
        1 << 70,
        "",
        "F32",
        "x",
        [],
        [2, 3],
        [0, 24],
        [[]],
        {},
        {"dtype": "F32"},
    ]
    refused = []
    for _ in range(2_000):
        header = json.loads(json.dumps(good_safetensors()))
        target = header[chance.choice([*header])] if chance.random() < 0.8 else header
        target[chance.choice([*target, "y"])] = chance.choice(odd)
        try:
            load(tmp_path / "a", safetensors(header, chance.choice([49, 49, 48, 0])))
        except Malformed as error:
            refused.append(error.message)
    assert len(set(refused)) > 10
    assert all(map(str.isprintable, refused))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in its place, or nothing, is our error too."""
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(Malformed) as caught:
            load_safetensors(path, "a.safetensors")
        assert caught.value.reason == f"it cannot be read: {why}"
