"""Read TOML files into frozen dataclasses, and say every mistake with its file, line and key.

What the dataclasses accept is `typed`'s business.
"""

import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llorch.errors import Problem
from llorch.text import shown, without_credentials
from llorch.typed import UNKNOWN, Key, convert, describe, render_key
from llorch.workspace import read_file

if TYPE_CHECKING:
    from llorch.errors import Severity

T = TypeVar("T")
LOCATED = 200
"""Mistakes of one file whose lines are looked for; nobody mends more at once, and each costs some parsing."""
_HEADER = re.compile(r"""\s*\[\[?[\w\s."'-]+\]\]?\s*(#.*)?""")


class Document:
    """A TOML file's values and the mistakes found in it so far."""

    def __init__(self, name: str, text: str) -> None:
        """Parse `text`; `name` is how messages call the file.

        A table with a syntax error, a second one of the same name and a second value of one key are left out and
        reported, so that the rest can still be checked.
        """
        self.name = name
        self.problems: list[Problem] = []
        self.left_out: set[Key] = set()
        """What mistakes have taken out of the values: keys that are in the file all the same, or may be."""
        self._text = text.replace("\r\n", "\n")
        self._found: list[tuple[int, list[str], dict[str, Any]]] | None = None
        self._read: dict[tuple[int, int], dict[str, Any]] = {}
        self.data = self._parse()

    def complain(self, key: Key, message: str, hint: str | None = None) -> None:
        """Record a mistake in the value at `key`."""
        self.problems.append(self.problem(key, message, hint, located=len(self.problems) < LOCATED))

    def problem(
        self, key: Key, message: str, hint: str | None = None, severity: "Severity" = "error", *, located: bool = True
    ) -> Problem:
        """Return what is to be said of the value at `key`."""
        line = self.line_of(key) if located else None
        return Problem(
            self.name, line, shown(render_key(key)), shown(without_credentials(message)), hint and shown(hint), severity
        )

    def read(self, cls: type[T], depth: int = 2) -> T:
        """Return the document as a `cls`, whose fields all have defaults.

        What is wrong is complained of and left out, here and in `data`: an unknown key, or else what is so many tables
        deep, with 2 for `models.a.files[0].path` the table `models.a`. A table that needs it goes with it.
        """
        version = self.data.pop("version", 1)
        if type(version) is not int or version != 1:
            hint = "update llorch" if type(version) is int and version > 1 else "write `version = 1`"
            self.complain(("version",), f"is {describe(version)}; this llorch reads version 1", hint)
        wrong: list[Key] = []

        def complain(key: Key, message: str, hint: str | None) -> None:
            self.complain(key, message, hint)
            wrong.append(key if message == UNKNOWN else key[:depth])

        value = convert(cls, self.data, (), complain)
        while wrong:
            for key in wrong:
                self.left_out.add(_drop(self.data, key))
            wrong.clear()
            value = convert(cls, self.data, (), lambda key, *_: wrong.append(key))
        right: T = value
        return right

    def has(self, key: Key) -> bool:
        """Tell whether there is a value at `key`."""
        return _has(self.data, key)

    def line_of(self, key: Key) -> int | None:
        """Return the line (from 1) that sets the value at `key`, or its nearest parent.

        tomli tells no positions, so this finds the table that has the key, and in it the shortest beginning that does.
        """
        while key:
            for start, lines, data in self._tables():
                if _has(data, key):
                    return start + self._first_with(start, lines, key)
            key = key[:-1]
        return None

    def _first_with(self, start: int, lines: list[str], key: Key) -> int:
        """Return how many lines of a table it takes until the key has its value."""
        low, high = 1, len(lines)
        while low < high:
            middle = (low + high) // 2
            if (start, middle) not in self._read:
                if len(self._read) > 64:  # the first steps of each search are the same
                    self._read.clear()
                self._read[start, middle] = _beginning(lines, middle)
            low, high = (low, middle) if _has(self._read[start, middle], key) else (middle + 1, high)
        return low

    def _tables(self) -> list[tuple[int, list[str], dict[str, Any]]]:
        """Return each table's lines before it, its lines and its values, read on the first complaint."""
        if self._found is None:
            lines = _lines(self._text)
            # `[[x]]` goes on with the table above it, so that its index counts
            headers = (
                n for n, line in enumerate(lines) if n and _is_header(line) and not line.lstrip().startswith("[[")
            )
            starts = [0, *headers, len(lines)]
            parts = [(start, lines[start:end]) for start, end in itertools.pairwise(starts)]
            self._found = [(start, part, _beginning(part, len(part))) for start, part in parts]
        return self._found

    def _parse(self) -> dict[str, Any]:
        import tomli

        while True:
            try:
                return tomli.loads(self._text)
            except tomli.TOMLDecodeError as error:
                lines = _lines(self._text)
                at, message = min(error.lineno, len(lines)), _syntax_message(error.msg)
                if self._has_left_out_second(lines, at, error.msg):
                    continue
                if at > 1 and _is_header(lines[at - 1]) and error.msg.startswith("Invalid value"):
                    at, message = at - 1, "is not valid TOML: an array is not closed"
                start = next((n for n in range(at, 0, -1) if _is_header(lines[n - 1])), 1)
                end = next((n for n in range(max(at, start), len(lines)) if _is_header(lines[n])), len(lines))
                key = _header_key(lines[start - 1])
                self.problems.append(Problem(self.name, at, shown(render_key(key)), message))
                self.left_out.add(key)
                lines[start - 1 : end] = [""] * (end - start + 1)
                self._text = "\n".join(lines)
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
                self.problems.append(Problem(self.name, None, "", f"is not TOML that can be read: {error}"))
                self.left_out.add(())
                self._text = ""

    def _has_left_out_second(self, lines: list[str], at: int, message: str) -> bool:
        """Leave out a value that ends in line `at`, if what is wrong is that its key has one already."""
        start = next((n for n in range(at, 0, -1) if _is_header(lines[n - 1])), 0)
        for first in range(at, start, -1) if message == "Cannot overwrite a value" else ():
            key = _only_key("\n".join(lines[first - 1 : at]))
            if key:
                key = (*(_header_key(lines[start - 1]) if start else ()), *key)
                self.problems.append(Problem(self.name, first, shown(render_key(key)), "is set twice"))
                lines[first - 1 : at] = [""] * (at - first + 1)
                self._text = "\n".join(lines)
                return True
        return False


def load(path: Path, name: str) -> Document:
    """Read the file at `path`; one that cannot be read is a mistake like others.

    Raises:
        FileNotFoundError, NotADirectoryError: there is none.
    """
    try:
        return decode(read_file(path), name)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():  # what is meant to be there must not be taken for what nobody wrote
            return _unread(name, None, f"is a link to `{shown(os.readlink(path))}`, which is not there")
        raise
    except OSError as error:
        return _unread(name, None, f"cannot be read: {error.strerror}")


def left_out(documents: Iterable[Document], table: str) -> set[str] | None:
    """Return the tables of a table, by their names, that mistakes have left out; None if others may be lost too."""
    keys = {key for document in documents for key in document.left_out}
    if keys & {(), (table,)}:
        return None
    return {str(key[1]) for key in keys if key[0] == table}


def decode(raw: bytes, name: str) -> Document:
    """Read a file's bytes."""
    try:
        return Document(name, raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return _unread(name, line, "is not UTF-8 text", "save the file as UTF-8")


def _unread(name: str, line: int | None, message: str, hint: str | None = None) -> Document:
    document = Document(name, "")
    document.problems.append(Problem(name, line, "", message, hint))
    document.left_out.add(())
    return document


def _lines(text: str) -> list[str]:
    """Split where TOML does: `str.splitlines` also does at characters that strings and comments may have."""
    return text.removesuffix("\n").split("\n")


def _is_header(line: str) -> bool:
    return _HEADER.fullmatch(line) is not None


def _header_key(line: str) -> Key:
    return _only_key(line) if _is_header(line) else ()


def _only_key(text: str) -> Key:
    """Return the key that one statement sets, nothing if the text is none.

    >>> _only_key('[a."b.c"]'), _only_key("a.b = 1"), _only_key("1,")
    (('a', 'b.c'), ('a', 'b'), ())
    """
    import tomli

    try:
        data: Any = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return ()
    key: Key = ()
    while isinstance(data, dict) and len(data) == 1:
        name, data = next(iter(data.items()))
        key = (*key, name)
    return key


def _syntax_message(text: str) -> str:
    if text.startswith(("Cannot declare", "Cannot overwrite")):
        return "is declared twice"
    if text.startswith("Duplicate inline table key"):
        return f"sets `{text.split(maxsplit=4)[4].strip(chr(39))}` twice"
    return "is not valid TOML: " + text[0].lower() + text[1:]


def _beginning(lines: list[str], count: int) -> dict[str, Any]:
    """Parse the first `count` lines, or the most of them that can be parsed, closing what they leave open."""
    import tomli

    for end in range(count, 0, -1):
        text = "\n".join(lines[:end])
        for closing in ("", "\n]", "\n}", "\n}\n]"):
            try:
                return tomli.loads(text + closing)
            except tomli.TOMLDecodeError:
                continue
    return {}


def _drop(data: dict[str, Any], key: Key) -> Key:
    """Take a value out of the tables, if it is there still, and return its key; an array is taken out whole."""
    inner: Any = data
    for length, part in enumerate(key[:-1], 1):
        inner = inner.get(part, {})
        if isinstance(inner, list):
            return _drop(data, key[:length])
    inner.pop(key[-1], None)
    return key


def _has(value: Any, key: Key) -> bool:
    for part in key:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
