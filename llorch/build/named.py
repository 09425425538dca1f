"""Files that flags of rustc and the linker name: objects, libraries, linker scripts, profiles, files with more flags.

Neither cargo nor rustc tells of them, and cargo does not look at them.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_VARIABLES = re.compile(r"(?:.*_)?RUSTFLAGS|CARGO_TARGET_\w+_LINKER|CARGO_BUILD_TARGET", re.ASCII)
_TABLES = ("build", "host", "profile", "target")
"""Tables of cargo's configuration that have flags and programs."""
_LINKED = re.compile(r"cargo::?rustc-(?:link-arg(?:-\w+)?|cdylib-link-arg|flags)=(.*)")
_GLUED = re.compile(r"@|-[A-Za-z]")
"""What stands before a path without a space: `@flags`, `-Tlink.x`, `-Llibs`."""
_WRITTEN = re.compile(r"--?(?:Map|map|dependency-file|dependency_info|out-implib|output-def|reproduce)")
"""Options of the linker that are followed by a file that it writes."""
_HANDED = re.compile(r"-Wl|-Xlinker|(?:-?C)?link-args?|-C")
"""What may stand between them and it."""
_SYSTEM = re.compile(r"(?:/usr)?/lib(?:32|64|x32)?(?:/.*)?", re.DOTALL)
"""Folders of libraries that the distribution vouches for."""


def named_files(
    configs: Iterable[str], said: Iterable[str], folders: Iterable[str], top: str, environ: Mapping[str, str]
) -> set[str]:
    """Return the files that flags name, and the static libraries of the folders that they name.

    A program outside of the repository is left out, as the C compiler is.

    Args:
        configs: files of cargo's configuration.
        said: what build scripts have written.
        folders: where rustc and the linker run.
        top: the repository.
    """
    flags = {(folder, value) for folder in folders for value in _of_all(said, environ)}
    for config in configs:
        flags |= {(folder, value) for value in _of_config(config) for folder in (*folders, _base(config))}
    found: set[str] = set()
    for folder, value in flags:
        for word in _paths(value):
            path = os.path.join(folder, word)
            if os.path.isfile(path) and (_is_in(path, top) or not os.access(path, os.X_OK)):
                found.add(path)
            elif os.path.isdir(path) and not _SYSTEM.fullmatch(os.path.normpath(path)):
                found |= {str(each) for each in Path(path).glob("lib*.a") if each.is_file()}
    return found


def _of_all(said: Iterable[str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the flags of the environment, and those that build scripts have the linker given."""
    yield from (value for name, value in environ.items() if _VARIABLES.fullmatch(name))
    yield "\x1f".join(match[1] for line in said if (match := _LINKED.fullmatch(line)))


def _of_config(config: str) -> Iterator[str]:
    import tomli

    try:
        data = tomli.loads(Path(config).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # it is not there, or no TOML, as the older rust-toolchain
    for table in _TABLES:
        yield from _texts(data.get(table))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key != "runner":  # runs what has been built
                yield from _texts(inner)
    elif isinstance(value, list):
        yield "\x1f".join(text for inner in value for text in _texts(inner))


def _base(config: str) -> str:
    """Return what paths in a file of cargo's configuration are relative to: the folder above its own."""
    return os.path.dirname(os.path.dirname(config))


def _paths(flags: str) -> set[str]:
    """Return the words of flags that may be paths.

    >>> sorted(_paths("-L native=libs"))
    [' native=libs', '-L', '-L native=libs', 'libs', 'native']
    >>> sorted(_paths("-Clink-arg=-Tl.x"))
    ['-Clink-arg', '-Clink-arg=-Tl.x', '-Tl.x', 'l.x', 'link-arg', 'link-arg=-Tl.x']
    >>> sorted(_paths("-Clink-arg=two words.o"))
    ['-Clink-arg', '-Clink-arg=two words.o', 'link-arg', 'link-arg=two words.o', 'two', 'two words.o', 'words.o']
    """
    words = re.split(r"[\s\x1f=,]+", flags)
    every = {*words, *(path for flag in flags.split("\x1f") for path in (flag, flag.rpartition("=")[2]))}
    every |= {word[match.end() :] for word in every if (match := _GLUED.match(word))}
    return {word for word in every if word and "\0" not in word} - set(_written(words))


def _written(words: Sequence[str]) -> Iterator[str]:
    """Yield the words that are files which the linker writes.

    >>> list(_written(["-Clink-arg", "-Map", "-Clink-arg", "a.map", "b.o"]))
    ['a.map']
    """
    is_next = False
    for word in words:
        if _WRITTEN.fullmatch(word):
            is_next = True
        elif is_next and not _HANDED.fullmatch(word):
            yield word
            is_next = False


def _is_in(path: str, top: str) -> bool:
    return os.path.normpath(path).startswith(os.path.join(top, ""))
