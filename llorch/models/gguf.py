"""Read a GGUF file's header and check its structure, believing nothing that it says.

Every count and length is compared with the file before it is used. What the tensors contain is not looked at: GGUF has
no checksums, so a flipped bit in them is found by a sha256 alone. The format is described at
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llorch.errors import Malformed
from llorch.models.ggml import FILE_TYPES, GUESSED, TYPES
from llorch.models.header import INTEGERS, NAME_LIMIT, STRING, Array, Reader, Values, Wrong, read_values

KEYS_LIMIT = 1 << 16
TENSORS_LIMIT = 100_000
ALIGNMENT_LIMIT = 1 << 20
BLOCKS_LIMIT = 512
"""LLAMA_MAX_LAYERS of llama.cpp's src/llama-hparams.h, which ends the process where there are more."""

_NO_TOKEN = (-1, 0xFFFFFFFF)
_NO_VOCABULARY = ("no_vocab", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor: `shape` with the row's length first, `offset` in bytes from where the data begin."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many tensors are of one type, and their bytes."""

    type: str
    tensors: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """What the file calls its quantization, else the type of most bytes; and what there really is."""

    name: str
    types: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """The tokenizer's kind, how it splits text first, and how many tokens it has."""

    model: str
    pre: str
    vocabulary: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gguf:
    """What a GGUF file's header says."""

    version: int
    architecture: str
    parameters: int
    quantization: Quantization
    context_length: int | None
    tokenizer: Tokenizer | None
    chat_template: str | None
    split: tuple[int, int] | None
    """Which part this is, from 0, of how many; None for a whole file."""
    data_offset: int
    tensors: tuple[Tensor, ...]


def load_gguf(path: Path, name: str) -> Gguf:
    """Read a file's header.

    Args:
        name: how messages call the file.

    Raises:
        Malformed: it is no GGUF file, or a wrong one, or cannot be read.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return _parse(Reader(file))
    except Wrong as error:
        raise Malformed(name, str(error)) from None
    except OSError as error:
        raise Malformed(name, f"it cannot be read: {error.strerror}") from None


def _parse(reader: Reader) -> Gguf:
    version = _read_version(reader)
    reader.where = "its counts"
    tensor_count, key_count = reader.u64(), reader.u64()
    # The least that a tensor takes is 8 + 1 + 4 + 8 + 4 + 8 bytes, and a key 8 + 1 + 4 + 1.
    for count, what, least, limit in (
        (tensor_count, "tensors", 33, TENSORS_LIMIT),
        (key_count, "keys", 14, KEYS_LIMIT),
    ):
        if count * least > reader.size - reader.at:
            raise Wrong(f"it claims {count:,} {what}, more than fit in the file")
        if count > limit:
            raise Wrong(f"it has {count:,} {what}, more than {limit:,}")
    values = read_values(reader, key_count)
    tensors = _read_tensors(reader, tensor_count)
    alignment = _alignment(values)
    start = -(-reader.at // alignment) * alignment if tensors else reader.at
    _check_layout(tensors, start, reader.size, alignment)
    return _summary(version, values, tensors, start)


def _read_version(reader: Reader) -> int:
    magic = reader.take(4)
    if magic != b"GGUF":
        raise Wrong(f"it begins with {magic!r}, not with b'GGUF'")
    version = reader.u32()
    if version and not version & 0xFFFF:
        raise Wrong("it is big-endian; only little-endian files can be read")
    if version not in (2, 3):
        raise Wrong(f"its version is {version}; known are 2 and 3")
    return version


def _read_tensors(reader: Reader, count: int) -> tuple[Tensor, ...]:
    tensors: dict[str, Tensor] = {}
    for number in range(count):
        reader.where = f"tensor {number + 1}"
        name = reader.name()
        if name in tensors:
            raise Wrong(f"there are two tensors `{name}`")
        reader.where = f"the description of tensor `{name}`"
        rank = reader.u32()
        if not 1 <= rank <= 4:
            raise Wrong(f"tensor `{name}` has {rank:,} dimensions")
        shape = struct.unpack(f"<{rank}Q", reader.take(8 * rank))
        kind, offset = reader.u32(), reader.u64()
        if kind not in TYPES:
            raise Wrong(f"tensor `{name}` has the unknown type {kind}")
        type, elements, size = TYPES[kind]
        parameters = math.prod(shape)
        if not 0 < parameters < 1 << 63:
            raise Wrong(f"tensor `{name}` has an impossible shape, {' x '.join(map(str, shape))}")
        if shape[0] % elements:
            raise Wrong(f"tensor `{name}` has rows of {shape[0]:,}, and {type} needs a multiple of {elements}")
        tensors[name] = Tensor(name=name, shape=shape, type=type, offset=offset, size=parameters // elements * size)
    return tuple(tensors.values())


def _check_layout(tensors: Sequence[Tensor], start: int, size: int, alignment: int) -> None:
    """Check that the tensors fill the file from `start` on, each in a place of its own."""
    end, before = 0, ""
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset % alignment:
            raise Wrong(f"tensor `{tensor.name}` begins at {tensor.offset:,}, no multiple of {alignment}")
        if start + tensor.offset + tensor.size > size:
            missing = start + tensor.offset + tensor.size - size
            raise Wrong(f"the file ends {missing:,} bytes before the end of tensor `{tensor.name}`")
        if tensor.offset < end:
            raise Wrong(f"the tensors `{before}` and `{tensor.name}` overlap")
        if tensor.offset - end >= alignment:
            raise Wrong(f"{tensor.offset - end:,} bytes before tensor `{tensor.name}` belong to nothing")
        end, before = tensor.offset + tensor.size, tensor.name
    if size - start - end >= alignment:
        raise Wrong(f"{size - start - end:,} bytes at the end belong to nothing")


def _summary(version: int, values: Values, tensors: tuple[Tensor, ...], start: int) -> Gguf:
    split = _split(values)
    architecture = _text(values, "general.architecture")
    # Later parts of a split model leave what the first one says unsaid, and importance matrices are of no architecture.
    if not architecture and not (split and split[0]) and _text(values, "general.type") != "imatrix":
        raise Wrong("it has no `general.architecture`")
    tokenizer = _tokenizer(values)
    if split is None:
        _check_blocks(values, architecture, tensors)
        _check_attention(values, architecture, tensors)
    _check_embedding(values, architecture, tensors, tokenizer)
    return Gguf(
        version=version,
        architecture=architecture,
        parameters=sum(math.prod(tensor.shape) for tensor in tensors),
        quantization=_quantization(values, tensors),
        context_length=_integer(values, f"{architecture}.context_length"),
        tokenizer=tokenizer,
        chat_template=_text(values, "tokenizer.chat_template", shown=False) or None,
        split=split,
        data_offset=start,
        tensors=tensors,
    )


def _text(values: Values, key: str, *, shown: bool = True) -> str:
    """Return a text, empty if there is none; one that is shown is to be short and printable."""
    value = values.get(key, "")
    if not isinstance(value, str):
        raise Wrong(f"`{key}` is no text")
    if shown and (len(value) > NAME_LIMIT or not value.isprintable()):
        raise Wrong(f"`{key}` is no name")
    return value


def _integer(values: Values, key: str) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise Wrong(f"`{key}` is no count")
    return value


def _alignment(values: Values) -> int:
    alignment = _integer(values, "general.alignment")
    if alignment is None:
        return 32
    if alignment.bit_count() != 1 or alignment > ALIGNMENT_LIMIT:
        raise Wrong(f"`general.alignment` is {alignment:,}, and must be a power of two up to {ALIGNMENT_LIMIT:,}")
    return alignment


def _split(values: Values) -> tuple[int, int] | None:
    number, count = _integer(values, "split.no") or 0, _integer(values, "split.count") or 0
    if count < 2:
        return None
    if number >= count:
        raise Wrong(f"it is part {number + 1:,} of {count:,}")
    return number, count


def _tokenizer(values: Values) -> Tokenizer | None:
    """Return the tokenizer, after checking that its lists are of one length and its special tokens among them."""
    model = _text(values, "tokenizer.ggml.model")
    tokens = _list(values, "tokens", STRING)
    if tokens is None:
        if model and model not in _NO_VOCABULARY:
            raise Wrong(f"its tokenizer `{model}` has no tokens")
        return None
    if not model or not tokens:
        raise Wrong("its tokenizer has no `tokenizer.ggml.model`" if tokens else "its tokenizer has no tokens")
    for name, kinds in (("scores", (6,)), ("token_type", tuple(INTEGERS))):
        count = _list(values, name, *kinds)
        if count is not None and count != tokens:
            raise Wrong(f"it has {tokens:,} tokens, and {count:,} in `tokenizer.ggml.{name}`")
    if not _list(values, "merges", STRING) and model == "gpt2":
        raise Wrong("its tokenizer `gpt2` has no merges")
    for key in values:
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id") and values[key] not in _NO_TOKEN:
            token = _integer(values, key)
            if token is not None and token >= tokens:
                raise Wrong(f"`{key}` is {token:,}, and there are {tokens:,} tokens")
    return Tokenizer(model=model, pre=_text(values, "tokenizer.ggml.pre"), vocabulary=tokens)


def _list(values: Values, name: str, *kinds: int) -> int | None:
    """Return the length of one of the tokenizer's lists, None if it is not there."""
    key = f"tokenizer.ggml.{name}"
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, Array) or value.kind not in kinds:
        raise Wrong(f"`{key}` is of the wrong type")
    return value.length


def _check_blocks(values: Values, architecture: str, tensors: Sequence[Tensor]) -> None:
    """Compare the number of blocks with the tensors' names."""
    key = f"{architecture}.block_count"
    count = _integer(values, key)
    if count is None:
        return
    if count > BLOCKS_LIMIT:
        raise Wrong(f"`{key}` is {count:,}, more than {BLOCKS_LIMIT:,}")
    numbers = (re.match(r"blk\.([0-9]{1,9})\.", tensor.name) for tensor in tensors)
    blocks = {int(number[1]) for number in numbers if number is not None}
    if blocks and max(blocks) >= count:
        raise Wrong(f"`{key}` is {count:,}, and there are tensors of block {max(blocks):,}")
    # Some models have blocks without anything in them, and then say for each block what it has; and blocks that
    # predict further tokens may be left out.
    told = (f"{architecture}.attention.head_count", f"{architecture}.feed_forward_length")
    uneven = any(isinstance(values.get(each), Array) for each in told)
    if blocks and not uneven and not values.get(f"{architecture}.nextn_predict_layers"):
        missing = next((number for number in range(count) if number not in blocks), None)
        if missing is not None:
            raise Wrong(f"`{key}` is {count:,}, and there are no tensors of block {missing:,}")


def _check_attention(values: Values, architecture: str, tensors: Sequence[Tensor]) -> None:
    """Compare the blocks that are said to have no attention with the tensors.

    llama.cpp's converter says so of all blocks where it does not know the words of a hybrid's `layer_types`.
    """
    key = f"{architecture}.attention.head_count_kv"
    heads = values.get(key)
    if isinstance(heads, Array):
        for tensor in tensors:
            number = re.fullmatch(r"blk\.([0-9]{1,9})\.attn_k\.weight", tensor.name)
            if number is not None and heads.integers[int(number[1]) :][:1] == (0,):
                raise Wrong(
                    f"`{key}` says that block {number[1]} has no attention, and there is tensor `{tensor.name}`"
                )


def _check_embedding(values: Values, architecture: str, tensors: Sequence[Tensor], tokenizer: Tokenizer | None) -> None:
    """Compare the shape of the token embedding with the width and the tokens that there are to be."""
    shape = next((tensor.shape for tensor in tensors if tensor.name == "token_embd.weight"), None)
    widths = [_integer(values, f"{architecture}.{key}") for key in ("embedding_length", "features_length")]
    if shape is None or not any(widths):
        return
    if shape[0] not in widths:
        raise Wrong(f"tensor `token_embd.weight` has rows of {shape[0]:,}, not of {widths[0]:,}")
    rows = math.prod(shape[1:])
    if tokenizer is not None and rows != tokenizer.vocabulary:
        raise Wrong(f"tensor `token_embd.weight` has {rows:,} rows, and there are {tokenizer.vocabulary:,} tokens")


def _quantization(values: Values, tensors: Sequence[Tensor]) -> Quantization:
    counts: dict[str, list[int]] = {}
    for tensor in tensors:
        count = counts.setdefault(tensor.type, [0, 0])
        count[0] += 1
        count[1] += tensor.size
    shares = [Share(type=type, tensors=number, size=size) for type, (number, size) in counts.items()]
    shares.sort(key=lambda share: -share.size)
    said = _integer(values, "general.file_type")
    name = FILE_TYPES.get(said & ~GUESSED) if said is not None else None
    return Quantization(name=name or (shares[0].type if shares else ""), types=tuple(shares))
