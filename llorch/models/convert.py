"""Make a GGUF file of a checkpoint, without torch: numpy turns the numbers, gguf knows the format.

Tensors go through one after the other, a few rows at a time, so that memory does not grow with the model. What they
are and what they mean is for `architectures`, what text becomes for `vocabulary`; the file gets its name when its
header has been read back and found right.
"""

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llorch.errors import Malformed, Unsupported
from llorch.models.architectures import Piece, Plan, plan_conversion
from llorch.models.catalog import PART, Outtype
from llorch.models.checkpoint import Files, Stored, open_checkpoint
from llorch.models.gguf import load_gguf
from llorch.models.part import landing
from llorch.models.space import room
from llorch.models.vocabulary import Vocabulary, load_vocabulary
from llorch.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

Type = Literal["F32", "F16", "BF16", "Q8_0"]

CHUNK = 16 << 20
"""Bytes of a tensor, as F32, that are turned at once."""

_TYPES: Mapping[Outtype, Type] = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
_LAYOUTS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
# GGMLQuantizationType, LlamaFileType and GGML_QUANT_SIZES of gguf: number, number for the file, elements and bytes of
# a block.
_NUMBERS: Mapping[Type, tuple[int, int, int, int]] = {
    "F32": (0, 0, 1, 4),
    "F16": (1, 1, 1, 2),
    "BF16": (30, 32, 1, 2),
    "Q8_0": (8, 7, 32, 34),
}
_ALIGNMENT = 32
_NOTHING = 3.8e-37
"""A block of Q8_0 whose numbers are all nearer to 0 has no scale that F32 could divide by; F16 has 0 for that scale."""


def convert(files: Files, place: Path, name: str, *, model: str, outtype: Outtype, progress: Progress) -> None:
    """Make a GGUF file of a checkpoint.

    Args:
        name: how messages call the file.
        model: what the file calls the model.

    Raises:
        NotFound: the checkpoint lacks a file.
        Malformed: a file is wrong, or two contradict each other.
        Unsupported: it is a checkpoint of a kind that is not proven here.
        DiskFull: the file cannot be written there.
        Busy: another process is writing the same file.
    """
    checkpoint = open_checkpoint(files)
    plan = plan_conversion(checkpoint)
    vocabulary = load_vocabulary(files, checkpoint.config, plan.vocabulary)
    _check_stored(plan)
    main = _TYPES.get(outtype) or _main_type(plan)
    types = {piece.name: _type_of(piece, main) for piece in plan.pieces}
    header = _header(plan, vocabulary, types, model, main)
    sizes = {piece.name: _size(piece, types[piece.name]) for piece in plan.pieces}
    total = sum(_padded(size) for size in (len(header), *sizes.values()))
    progress.say(f"{len(plan.pieces)} tensors, {main}")
    progress.total(total)
    with room(model, {place: total}), landing(place, name, size=total, sha256=None) as part:

        def write(data: bytes | memoryview) -> None:
            part.write(data)
            progress.advance(len(data))

        write(header.ljust(_padded(len(header)), b"\0"))
        for piece in plan.pieces:
            for chunk in _read_errors_told(_chunks(piece, types[piece.name]), piece.source.file.name):
                write(chunk.data.cast("B"))
            write(bytes(_padded(sizes[piece.name]) - sizes[piece.name]))
        load_gguf(place.with_name(place.name + PART), name)


def _check_stored(plan: Plan) -> None:
    for piece in plan.pieces:
        if piece.source.dtype not in _LAYOUTS:
            raise Unsupported(
                f"`{piece.source.file.name}` has a tensor for `{piece.name}` of {piece.source.dtype}, which is none of"
                f" {', '.join(_LAYOUTS)}",
                hint="take a checkpoint that is not quantized",
            )


def _main_type(plan: Plan) -> Type:
    """Return the type that the checkpoint itself has for matrices, F16 where that is F32, as llama.cpp's converter."""
    stored = next(piece.source.dtype for piece in plan.pieces if len(piece.source.shape) > 1)
    return "BF16" if stored == "BF16" else "F16"


def _type_of(piece: Piece, main: Type) -> Type:
    if piece.exact:
        return "F32"
    # Rows that do not fill blocks stay F16, as in llama.cpp's converter.
    return "F16" if piece.shape[-1] % _NUMBERS[main][2] else main


def _size(piece: Piece, type: Type) -> int:
    _, _, elements, size = _NUMBERS[type]
    return math.prod(piece.shape) // elements * size


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _header(plan: Plan, vocabulary: Vocabulary, types: Mapping[str, Type], model: str, main: Type) -> bytes:
    """Return all of the file that comes before the tensors."""
    from gguf import GGUFWriter

    writer = GGUFWriter(None, plan.architecture)
    with tempfile.TemporaryDirectory(prefix="llorch-") as folder, closing(writer):
        writer.add_type("model")
        writer.add_name(model)
        writer.add_file_type(_NUMBERS[main][1])
        writer.add_quantization_version(2)
        for key, value in plan.parameters.items():
            _add(writer, f"{plan.architecture}.{key}", value)
        _add_vocabulary(writer, vocabulary)
        for piece in plan.pieces:
            _add_tensor(writer, piece, types[piece.name])
        path = Path(folder) / "header"
        writer.write_header_to_file(path)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        return path.read_bytes()


def _add(writer: "GGUFWriter", key: str, value: float | bool) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    else:
        writer.add_float32(key, value)


def _add_vocabulary(writer: "GGUFWriter", vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    for kind, id in vocabulary.special.items():
        getattr(writer, f"add_{kind}_token_id")(id)
    for kind, value in vocabulary.add.items():
        getattr(writer, f"add_add_{kind}_token")(value)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)


def _add_tensor(writer: "GGUFWriter", piece: Piece, type: Type) -> None:
    import numpy as np
    from gguf import GGMLQuantizationType

    number = GGMLQuantizationType(_NUMBERS[type][0])
    writer.add_tensor_info(piece.name, piece.shape, np.dtype(np.float32), _size(piece, type), raw_dtype=number)


def _read_errors_told(chunks: Iterator["Array"], name: str) -> Iterator["Array"]:
    """Yield the chunks; a file that cannot be read is not taken for one that cannot be written."""
    try:
        yield from chunks
    except OSError as error:
        raise Malformed(name, f"it cannot be read: {error.strerror}") from None


def _chunks(piece: Piece, type: Type) -> Iterator["Array"]:
    """Yield a tensor's rows as they stand in the file, a few at a time."""
    import numpy as np

    source = piece.source
    with open(source.file.place, "rb", buffering=0) as file:
        if piece.order == "transposed":
            yield _encode(np.ascontiguousarray(_read(source, file).T), type, piece)
            return
        rows, per_row = source.shape[0], math.prod(source.shape[1:])
        # Rows change places only within a head.
        unit = rows // piece.heads if piece.order == "rotary" else 1
        step = max(1, CHUNK // 4 // (per_row * unit)) * unit
        for first in range(0, rows, step):
            count = min(step, rows - first)
            values = _read(source.rows(first, count), file)
            if piece.twin is not None:
                _check_twin(values, piece.twin.rows(first, count), piece)
            if piece.order == "rotary":
                heads = values.reshape(-1, 2, unit // 2, *values.shape[1:])
                values = np.ascontiguousarray(heads.swapaxes(1, 2)).reshape(values.shape)
            yield _encode(values, type, piece)


def _check_twin(values: "Array", twin: Stored, piece: Piece) -> None:
    import numpy as np

    with open(twin.file.place, "rb", buffering=0) as file:
        if twin.dtype == piece.source.dtype and np.array_equal(_read(twin, file), values):
            return
    raise Unsupported(
        f"`{twin.file.name}` has an output that is not the embedding, and `tie_word_embeddings` says that it is",
        hint="set it to false in a config.json of your own, if the model was trained so",
    )


def _read(stored: Stored, file: FileIO) -> "Array":
    """Return a tensor, or some rows of it, as it is stored; BF16, which numpy does not know, as bits."""
    import numpy as np

    file.seek(stored.offset)
    values = np.fromfile(file, dtype=_LAYOUTS[stored.dtype], count=math.prod(stored.shape))
    if values.size != math.prod(stored.shape):
        raise Malformed(stored.file.name, "the file is getting shorter")
    return values.reshape(stored.shape)


def _encode(values: "Array", type: Type, piece: Piece) -> "Array":
    """Return values as a GGUF file has them."""
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    stored = piece.source.dtype
    finite = np.bitwise_and(values, 0x7F80) != 0x7F80 if stored == "BF16" else np.isfinite(values)
    if not finite.all():
        raise Malformed(piece.source.file.name, f"it has values for `{piece.name}` that are not finite")
    if stored == type:
        return values
    if stored == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    if type == "Q8_0":
        values = np.where(np.abs(values) < _NOTHING, values.dtype.type(0), values)
    try:
        with np.errstate(over="raise"):
            encoded: Array = quantize(values, GGMLQuantizationType(_NUMBERS[type][0]))
    except FloatingPointError:
        raise Unsupported(
            f"`{piece.source.file.name}` has values for `{piece.name}` that are too large for {type}",
            hint='set `outtype = "bf16"` or `"f32"` in the entry\'s `convert`',
        ) from None
    return encoded
