"""Read a safetensors file's header and check its structure, believing nothing that it says.

The format is described at https://github.com/huggingface/safetensors#format
"""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llorch.errors import Malformed
from llorch.models.header import Wrong

HEADER_LIMIT = 10_000_000
"""Bytes. The format allows ten times as many, which would take more memory than a check should."""
VALUES_LIMIT = 500_000
"""Brackets, braces, colons and commas, which bound what the header takes in memory; enough for 30,000 tensors."""
NAME_LIMIT = 1024
RANK_LIMIT = 16
NUMBER_LIMIT = 1 << 63

# Bits of an element: Dtype of safetensors/src/tensor.rs.
DTYPES: Mapping[str, int] = {
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor: `offset` in bytes from where the data begin."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Safetensors:
    """What a safetensors file's header says."""

    parameters: int
    dtypes: tuple[str, ...]
    """Those that there are, of most bytes first."""
    metadata: Mapping[str, str]
    data_offset: int
    tensors: tuple[Tensor, ...]
    """By their offset."""


def load_safetensors(path: Path, name: str) -> Safetensors:
    """Read a file's header.

    Args:
        name: how messages call the file.

    Raises:
        Malformed: it is no safetensors file, or a wrong one, or cannot be read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 10:
                raise Wrong(f"it has {size} bytes, less than any such file")
            if length > size - 8:
                raise Wrong(f"its header is to have {length:,} bytes, and {size - 8:,} are there")
            if length > HEADER_LIMIT:
                raise Wrong(f"its header has {length:,} bytes, more than {HEADER_LIMIT:,}")
            return _summary(_parse(file.read(length)), 8 + length, size - 8 - length)
    except Wrong as error:
        raise Malformed(name, str(error)) from None
    except OSError as error:
        raise Malformed(name, f"it cannot be read: {error.strerror}") from None


def _parse(header: bytes) -> dict[str, Any]:
    """Return the header's object, in which no key is there twice and no number a fraction."""
    if not header.startswith(b"{"):
        raise Wrong("its header does not begin with `{`")
    if sum(map(header.count, (b"[", b"{", b":", b","))) > VALUES_LIMIT:
        raise Wrong(f"its header has more than {VALUES_LIMIT:,} values")
    try:
        found = json.loads(header.decode(), object_pairs_hook=_object, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and numbers of too many digits are ValueErrors too
        raise Wrong(f"its header is no JSON: {error}") from None
    assert isinstance(found, dict), "it begins with a brace"
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise Wrong(f"its header has two keys {_quote(max(counts, key=counts.__getitem__))}")
    return found


def _refuse(number: str) -> None:
    raise Wrong(f"its header has the number {_quote(number)}")


def _quote(text: str) -> str:
    """Return a text that may be anything, for a message.

    >>> _quote("a" * 100) == repr("a" * 60 + "…")
    True
    """
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _summary(header: dict[str, Any], start: int, size: int) -> Safetensors:
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Wrong("its `__metadata__` is no object of texts")
    tensors = sorted((_tensor(name, value) for name, value in header.items()), key=_place)
    _check_layout(tensors, size)
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
    return Safetensors(
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        dtypes=tuple(sorted(sizes, key=lambda dtype: -sizes[dtype])),
        metadata=metadata,
        data_offset=start,
        tensors=tuple(tensors),
    )


def _tensor(name: str, value: Any) -> Tensor:
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise Wrong(f"a tensor is called {_quote(name)}")
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise Wrong(f"tensor `{name}` has not just `dtype`, `shape` and `data_offsets`")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise Wrong(f"tensor `{name}` has the unknown dtype {_quote(str(dtype))}")
    if not _is_numbers(shape) or len(shape) > RANK_LIMIT:
        raise Wrong(f"tensor `{name}` has an impossible shape")
    if not _is_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Wrong(f"tensor `{name}` has impossible `data_offsets`")
    bits, size = math.prod(shape) * DTYPES[dtype], offsets[1] - offsets[0]
    if bits != 8 * size:
        raise Wrong(f"tensor `{name}` has {8 * size:,} bits, and its shape takes {bits:,}")
    return Tensor(name=name, shape=tuple(shape), dtype=dtype, offset=offsets[0], size=size)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < NUMBER_LIMIT for number in value)


def _place(tensor: Tensor) -> tuple[int, int]:
    return tensor.offset, tensor.size


def _check_layout(tensors: Sequence[Tensor], size: int) -> None:
    """Check that the tensors are the data, one after the other, from the first byte to the last."""
    end, before = 0, ""
    for tensor in tensors:
        if tensor.offset < end:
            raise Wrong(f"the tensors `{before}` and `{tensor.name}` overlap")
        if tensor.offset > end:
            raise Wrong(f"{tensor.offset - end:,} bytes before tensor `{tensor.name}` belong to nothing")
        end, before = tensor.offset + tensor.size, tensor.name
    if end > size:
        raise Wrong(f"the file ends {end - size:,} bytes before the end of tensor `{before}`")
    if end < size:
        raise Wrong(f"{size - end:,} bytes at the end belong to nothing")
