"""Read the table of tensors of a `pytorch_model.bin`, executing nothing that its pickle names.

`torch.save` writes a zip archive of stored entries since torch 1.6: `data.pkl` says what there is, `data/<key>` are the
storages (torch/serialization.py, `_save`; caffe2/serialize/inline_container.cc). The pickle is walked opcode by opcode;
what a state dict does not need is refused, whatever it would mean.
"""

import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from llorch.errors import Malformed
from llorch.models.header import Wrong
from llorch.models.safetensors import DTYPES, NAME_LIMIT, NUMBER_LIMIT, RANK_LIMIT, Tensor

DIRECTORY_LIMIT = 1 << 20
"""Bytes of the archive's directory: about 15,000 storages."""
PICKLE_LIMIT = 4 << 20
"""Bytes; a tensor takes about 130, and its name."""
OPCODES_LIMIT = 400_000
"""A tensor takes 32, or 38 if it is a parameter: as many as 10,000 of them."""
STACK_LIMIT = 4096
"""Values; a pickler sets 1,000 items of a dictionary at once."""
MARKS_LIMIT = 16

_ENTRY = re.compile(
    r"(?P<prefix>(?!\.\.?/)[^/]+)/(?P<name>data\.pkl|data/(0|[1-9][0-9]{0,8})|byteorder|version"
    r"|\.format_version|\.storage_alignment|\.data/serialization_id)"
)
_LOCAL = struct.Struct("<4s22xHH")
"""Of an entry's local header: the magic, the lengths of the name and of the extra field."""
_FLAGS = 0x0808
"""An entry's flags that change nothing: the sizes follow the data, the name is UTF-8."""
_OLD_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_HINT = (
    "use the repository's `model.safetensors`, or load the file with a current torch where that is safe, "
    "make its tensors `.contiguous()` and save it anew"
)

# torch/storage.py: a storage says its dtype, or, for newer dtypes, the tensor does and the storage counts bytes.
_TYPES = {
    "BF16": ("torch BFloat16Storage", "torch bfloat16"),
    "BOOL": ("torch BoolStorage", "torch bool"),
    "C64": ("torch ComplexFloatStorage", "torch complex64"),
    "F16": ("torch HalfStorage", "torch float16"),
    "F32": ("torch FloatStorage", "torch float32"),
    "F64": ("torch DoubleStorage", "torch float64"),
    "F8_E4M3": (None, "torch float8_e4m3fn"),
    "F8_E5M2": (None, "torch float8_e5m2"),
    "F8_E8M0": (None, "torch float8_e8m0fnu"),
    "I16": ("torch ShortStorage", "torch int16"),
    "I32": ("torch IntStorage", "torch int32"),
    "I64": ("torch LongStorage", "torch int64"),
    "I8": ("torch CharStorage", "torch int8"),
    "U16": (None, "torch uint16"),
    "U32": (None, "torch uint32"),
    "U64": (None, "torch uint64"),
    "U8": ("torch ByteStorage", "torch uint8"),
}
_STORAGES = {storage: word for word, (storage, _) in _TYPES.items() if storage}
_DTYPES = {dtype: word for word, (_, dtype) in _TYPES.items()}
_UNTYPED = "torch.storage UntypedStorage"
_FUNCTIONS = (
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
)
_CONSTANTS: Mapping[str, Any] = {"EMPTY_TUPLE": (), "NONE": None, "NEWTRUE": True, "NEWFALSE": False}

Places = Mapping[str, tuple[int, int]]
"""Where each entry's data begin, and their bytes."""


@dataclass(frozen=True, slots=True)
class _Global:
    """A name of the pickle's, which stays a name."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str
    key: str
    count: Any


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor as the pickle says it, of which nothing is checked."""

    storage: _Storage
    dtype: str
    offset: Any
    shape: tuple[Any, ...]
    strides: tuple[Any, ...]


_GLOBALS = {name: _Global(name) for name in (*_STORAGES, _UNTYPED, *_DTYPES, *_FUNCTIONS)}


class _Bounded(FileIO):
    """A file of which one read takes no more than a directory may have."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > DIRECTORY_LIMIT:
            raise Wrong(f"its directory has {size:,} bytes, more than {DIRECTORY_LIMIT:,}")
        return super().read(size)


def load_pickled(path: Path, name: str) -> tuple[Tensor, ...]:
    """Read which tensors a file has, by their place; `offset` counts from the beginning of the file.

    Args:
        name: how messages call the file.

    Raises:
        Malformed: it is no such file, a wrong one, or one that says more than a state dict does, or cannot be read.
    """
    try:
        with _Bounded(path) as file:
            _check_format(os.pread(file.fileno(), 512, 0))
            places = _places(file)
            if "byteorder" in places and _read(file, places, "byteorder", 8) != b"little":
                raise Wrong("its `byteorder` is not little")
            views = _walk(_read(file, places, "data.pkl", PICKLE_LIMIT))
            tensors = [_tensor(key, view, places) for key, view in views.items()]
            return tuple(sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size)))
    except Wrong as error:
        raise Malformed(name, str(error), hint=_HINT) from None
    except OSError as error:
        raise Malformed(name, f"it cannot be read: {error.strerror}") from None


def _check_format(head: bytes) -> None:
    if head.startswith(b"PK\3\4"):
        return
    if _OLD_MAGIC in head[:32]:
        raise Wrong("it has the format of before torch 1.6, which cannot be read without executing what it names")
    if head[257:262] == b"ustar":
        raise Wrong("it has the tar format of torch's first versions, which is not read")
    raise Wrong("it is no zip archive, as torch writes them")


def _read(file: FileIO, places: Places, name: str, limit: int) -> bytes:
    if name not in places:
        raise Wrong(f"it has no `{name}`")
    start, size = places[name]
    if size > limit:
        raise Wrong(f"its `{name}` has {size:,} bytes, more than {limit:,}")
    return os.pread(file.fileno(), size, start)


def _places(file: _Bounded) -> Places:
    """Return the entries by their names without the prefix; none is in another."""
    from zipfile import ZIP_STORED, BadZipFile, ZipFile

    try:
        entries = sorted(ZipFile(file).infolist(), key=lambda entry: entry.header_offset)
    # `zipfile` raises these too; it warns of odd names, which is an exception where warnings are errors.
    except (BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, Warning) as error:
        raise Wrong(f"its directory is wrong: {error}") from None
    found: dict[str, tuple[int, int]] = {}
    prefix, end, size = "", 0, os.fstat(file.fileno()).st_size
    for entry in entries:
        shown = repr(entry.filename[:60])
        match = _ENTRY.fullmatch(entry.filename)
        if not match or prefix not in ("", match["prefix"]):
            raise Wrong(f"its entry {shown} is none of torch's")
        if entry.compress_type != ZIP_STORED or entry.compress_size != entry.file_size:
            raise Wrong(f"its entry {shown} is compressed")
        if entry.flag_bits & ~_FLAGS:
            raise Wrong(f"its entry {shown} is encrypted, or has other flags that torch does not set")
        if match["name"] in found:
            raise Wrong(f"it has two entries {shown}")
        if entry.header_offset < end:
            raise Wrong(f"its entry {shown} begins within another")
        start = _data_start(file, min(entry.header_offset, size), entry.filename)
        prefix, end = match["prefix"], start + entry.file_size
        if end > size:
            raise Wrong(f"its entry {shown} ends beyond the file")
        found[match["name"]] = start, entry.file_size
    return found


def _data_start(file: _Bounded, at: int, name: str) -> int:
    raw = name.encode()
    header = os.pread(file.fileno(), _LOCAL.size + len(raw), at)
    if len(header) == _LOCAL.size + len(raw):
        magic, length, extra = _LOCAL.unpack_from(header)
        if magic == b"PK\3\4" and length == len(raw) and header.endswith(raw):
            return at + len(header) + int(extra)
    raise Wrong(f"its entry {name[:60]!r} is not where the directory says")


def _walk(pickle: bytes) -> dict[str, Any]:
    """Return the dictionary that a pickle describes."""
    from pickletools import genops

    if not pickle.startswith(b"\x80\x02"):
        raise Wrong("its pickle is not of protocol 2")
    machine, at = _Machine(), 0
    body = pickle[2:]
    try:
        for count, (opcode, argument, position) in enumerate(genops(body)):
            if count == OPCODES_LIMIT:
                raise Wrong(f"its pickle has more than {OPCODES_LIMIT:,} opcodes")
            machine.step(opcode.name, argument)
            at = position or 0
    except (ValueError, Warning) as error:  # a wrong argument; the warning is of escapes, where warnings are errors
        raise Wrong(f"its pickle is wrong: {str(error)[:100]}") from None
    if at + 1 < len(body):
        raise Wrong("its pickle ends before its entry does")
    if len(machine.stack) != 1 or machine.marks or not isinstance(machine.stack[0], dict):
        raise Wrong("its pickle is no dictionary of tensors")
    return machine.stack[0]


class _Machine:
    """What an unpickler keeps, of names and plain values alone."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: list[Any] = []

    def step(self, opcode: str, argument: Any) -> None:
        """Do what one opcode says."""
        value: Any
        match opcode:
            case "BINPUT" | "LONG_BINPUT":
                (value,) = self._pop(1)
                if argument > len(self.memo):
                    raise Wrong(f"its pickle puts {argument:,} into a memo of {len(self.memo):,}")
                self.memo[argument : argument + 1] = [value]
            case "BINGET" | "LONG_BINGET":
                if argument >= len(self.memo):
                    raise Wrong(f"its pickle takes {argument:,} from a memo of {len(self.memo):,}")
                value = self.memo[argument]
            case "BININT1" | "BININT2" | "BININT" | "LONG1" | "BINUNICODE":
                value = argument
            case "EMPTY_TUPLE" | "NONE" | "NEWTRUE" | "NEWFALSE":
                value = _CONSTANTS[opcode]
            case "EMPTY_DICT":
                value = {}
            case "TUPLE":
                value = tuple(self._from_mark())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                value = tuple(self._pop(int(opcode[-1])))
            case "GLOBAL":
                if argument not in _GLOBALS:
                    raise Wrong(f"its pickle names {argument[:60]!r}, which a state dict has no use for")
                value = _GLOBALS[argument]
            case "BINPERSID":
                value = _storage(*self._pop(1))
            case "REDUCE":
                value = _call(*self._pop(2))
            case "BUILD":
                value = _build(*self._pop(2))
            case "SETITEM":
                target, *items = self._pop(3)
                value = _set(target, items)
            case "SETITEMS":
                items = self._from_mark()
                value = _set(self._pop(1)[0], items)
            case "MARK":
                self._mark()
                return
            case "STOP":
                return
            case _:
                raise Wrong(f"its pickle has the opcode {opcode}, which a state dict has no use for")
        self.stack.append(value)
        if len(self.stack) > STACK_LIMIT:
            raise Wrong(f"its pickle has more than {STACK_LIMIT:,} values at once")

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise Wrong("its pickle takes from an empty stack")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def _mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []
        if len(self.marks) > MARKS_LIMIT:
            raise Wrong(f"its pickle has more than {MARKS_LIMIT} marks at once")

    def _from_mark(self) -> list[Any]:
        if not self.marks:
            raise Wrong("its pickle goes back to a mark that is not there")
        found, self.stack = self.stack, self.marks.pop()
        return found


def _storage(identity: Any) -> _Storage:
    match identity:
        case "storage", _Global(kind), str(key), str(), count if kind in _STORAGES or kind == _UNTYPED:
            return _Storage(kind, key, count)
    raise Wrong("its pickle refers to something that is no storage")


def _call(function: Any, arguments: Any) -> Any:
    """Return what a function would, as far as a table needs it; there is no other that is known.

    A further argument would be the view's metadata: that its values are to be negated, or conjugated.
    """
    match function, arguments:
        case _Global("collections OrderedDict"), ():
            return {}
        case _Global("torch._utils _rebuild_parameter"), (_View() as view, bool(), dict()):
            return view
        case (
            _Global("torch._utils _rebuild_tensor_v2"),
            (_Storage(kind) as storage, offset, tuple(shape), tuple(strides), bool(), dict()),
        ) if kind in _STORAGES:
            return _View(storage, _STORAGES[kind], offset, shape, strides)
        case (
            _Global("torch._utils _rebuild_tensor_v3"),
            (_Storage(kind) as storage, offset, tuple(shape), tuple(strides), bool(), dict(), _Global(dtype)),
        ) if kind == _UNTYPED and dtype in _DTYPES:
            return _View(storage, _DTYPES[dtype], offset, shape, strides)
        case _Global(name), _:
            raise Wrong(f"its pickle calls {name!r} with something that torch does not give it")
    raise Wrong("its pickle calls what is no function")


def _build(target: Any, state: Any) -> Any:
    """Return a dictionary without its attributes: `_metadata`, the versions of a module's parts."""
    if not isinstance(target, dict) or not isinstance(state, dict):
        raise Wrong("its pickle sets the state of what is no dictionary")
    return target


def _set(target: Any, items: list[Any]) -> dict[str, Any]:
    if not isinstance(target, dict) or len(items) % 2:
        raise Wrong("its pickle sets items of what is no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str):
            raise Wrong("its pickle has a key that is no text")
        if key in target:
            raise Wrong(f"its pickle has two keys {key[:60]!r}")
        target[key] = value
    return target


def _tensor(name: str, view: Any, places: Places) -> Tensor:
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise Wrong(f"a tensor is called {name[:60]!r}")
    if not isinstance(view, _View):
        raise Wrong(f"`{name}` is no tensor")
    storage, shape, strides = view.storage, view.shape, view.strides
    numbers = (storage.count, view.offset, *shape, *strides)
    if (
        len(shape) > RANK_LIMIT
        or len(strides) != len(shape)
        or any(type(n) is not int or not 0 <= n < NUMBER_LIMIT for n in numbers)
    ):
        raise Wrong(f"tensor `{name}` has an impossible shape, stride, offset or storage")
    if f"data/{storage.key}" not in places:
        raise Wrong(f"tensor `{name}` is in the storage {storage.key[:60]!r}, which is not there")
    start, there = places[f"data/{storage.key}"]
    width = DTYPES[view.dtype] // 8
    claimed = storage.count * (1 if storage.kind == _UNTYPED else width)
    if claimed != there:
        raise Wrong(f"the storage of tensor `{name}` is to have {claimed:,} bytes, and has {there:,}")
    if not _is_contiguous(shape, strides):
        raise Wrong(f"tensor `{name}` is a view whose elements do not follow one another, as of a transposed tensor")
    offset, size = view.offset * width, math.prod(shape) * width
    if offset + size > there:
        raise Wrong(f"tensor `{name}` takes the bytes up to {offset + size:,} of a storage of {there:,}")
    return Tensor(name=name, shape=shape, dtype=view.dtype, offset=start + offset, size=size)


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Tell whether elements lie in rows without gaps; the stride of one element, or of none, says nothing.

    >>> _is_contiguous((2, 1, 3), (3, 7, 1)), _is_contiguous((3, 2), (1, 3)), _is_contiguous((0, 2), (5, 5))
    (True, False, True)
    """
    expected = 1
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length != 1 and stride != expected and 0 not in shape:
            return False
        expected *= length
    return True
