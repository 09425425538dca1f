"""What a binary has in itself of this checkout or this machine, so that it is right for no other.

That is the checkout's path, instructions of this very processor where somebody has asked for them, and files that were
made with it and that it needs when it runs.
"""

import mmap
import os
import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from llorch.share import CPU, WORKSPACE
from llorch.workspace import repository_of

_NATIVE = re.compile(r"(?:target[-_]cpu|m(?:arch|cpu|tune))=native")
_FLAGS = re.compile(r".*(?:RUST|C|CXX)FLAGS.*", re.ASCII)
MADE = "{made}"
"""Stands for files that cargo or a build script has made besides the binary: without them it does not run."""

_SHARED = re.compile(r".*\.(?:so(?:\.[\d.]+)?|dylib)")
"""Names of libraries that are looked for when a program starts."""
_SAID = re.compile(rb"([^\0\n]*\.(?:c|cc|cpp|cu|cxx|h|hh|hpp|inl|m|mm))\0")
"""A source's path, as assertions in C tell it where they fail."""
_PATH_MAX = 4096
_DEBUG = re.compile(rb"\.z?debug_")


def find_bounds(
    executable: Path,
    workspace: str,
    used: Iterable[str],
    made: Iterable[str],
    notes: Mapping[str, Collection[str]],
    files: Iterable[str],
    said: Iterable[str],
    environ: Mapping[str, str],
) -> tuple[str, ...]:
    """Return which of `WORKSPACE` and `CPU` a binary is bound to.

    Args:
        used: the files that it was made of, those outside the workspace with absolute paths.
        made: the folders that cargo has written into.
        notes: the variables that its sources have asked for, with the values they had.
        files: manifests and cargo's configuration.
        said: what its build scripts have written.
    """
    top = repository_of(workspace)
    texts = [_text(path) for path in files]
    # OUT_DIR is asked for to include what is in it; whether it is in the binary itself, its bytes tell.
    asked = any(top in value for name, values in notes.items() if name != "OUT_DIR" for value in values)
    checkout = asked or any(top in text for text in texts)
    checkout = checkout or any(_is_beside(path, top, environ) for path in used)
    checkout = checkout or any(_has(executable, os.fsencode(folder)) for folder in dict.fromkeys((top, *made)))
    flags = [value for name, value in environ.items() if _FLAGS.fullmatch(name)]
    native = any(_NATIVE.search(text) for text in (*flags, *texts, *said))
    return (*((WORKSPACE,) if checkout else ()), *((CPU,) if native else ()))


def needs_made(executable: Path, made: Iterable[str], sources: Iterable[str], folders: Iterable[str]) -> bool:
    """Tell whether a binary names files that were made with it: what is in OUT_DIR, or a library that it is linked to.

    Args:
        made: the folders that cargo and build scripts have written into.
        sources: files of which it was compiled: their names are in it where a panic would tell its place.
        folders: those of them in which libraries may be.
    """
    compiled = tuple(map(os.fsencode, sources))
    with _mapped(executable) as data:
        for folder in map(os.fsencode, made):
            for at in _places(data, folder):
                begin = data[at : at + _PATH_MAX]
                said = _SAID.match(begin)
                if not begin.startswith(compiled) and not (said and os.path.isfile(said[1])):
                    return True
        libraries = {name for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)}
        return any(True for name in libraries if _SHARED.fullmatch(name) for _ in _places(data, os.fsencode(name)))


def _is_beside(path: str, top: str, environ: Mapping[str, str]) -> bool:
    """Tell whether what is named in the checkout by `../path` may be meant: another checkout has another file there.

    >>> _is_beside("/srv/lib/a.rs", "/srv/w", {}), _is_beside("/srv/w/a.rs", "/srv/w", {})
    (True, False)
    >>> _is_beside("/usr/include/a.h", "/srv/w", {}), _is_beside("src/a.rs", "/srv/w", {})
    (False, False)
    >>> _is_beside("/lib/a.rs", "/w", {})
    True
    """
    own = (top, environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))
    if not os.path.isabs(path) or any(path.startswith(os.path.join(folder, "")) for folder in own):
        return False
    return os.path.commonpath((path, top)) != os.sep or os.path.dirname(top) == os.sep


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="surrogateescape")
    except OSError:
        return ""


def _has(executable: Path, text: bytes) -> bool:
    """Tell whether a binary has a text, other than for debuggers."""
    with _mapped(executable) as data:
        return any(True for _ in _places(data, text))


@contextmanager
def _mapped(executable: Path) -> Iterator[mmap.mmap | bytes]:
    """Yield what is in a binary."""
    if not executable.stat().st_size:
        yield b""  # somebody has emptied it, and nothing cannot be mapped
        return
    with open(executable, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _places(data: mmap.mmap | bytes, text: bytes) -> Iterator[int]:
    """Yield where a binary has a text, other than for debuggers."""
    try:
        debug = list(_debug_sections(data))
    except struct.error:
        debug = []  # somebody has cut it
    at = data.find(text)
    while at >= 0:
        end = next((end for start, end in debug if start <= at < end), None)
        if end is None:
            yield at
        at = data.find(text, end or at + 1)


def _debug_sections(data: mmap.mmap | bytes) -> Iterator[tuple[int, int]]:
    """Yield where an ELF file has what is for debuggers (elf(5)); none of another file, as others keep it elsewhere."""
    if data[:6] != b"\x7fELF\x02\x01":  # 64 bits, the low byte first
        return
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    sections = [struct.unpack_from("<II4Q", data, table + number * size) for number in range(count)]
    if names >= count:
        return
    base = sections[names][4]
    for name, _, _, _, offset, length in sections:
        if _DEBUG.match(data, base + name):
            yield offset, offset + length
