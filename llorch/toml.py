"""Read TOML into frozen dataclasses, and say every mistake with its file, line and key.

A field's type decides what is accepted: `str`, `int`, `bool`, `X | None`, `Literal[...]`, `tuple[X, ...]`,
`Mapping[str, X]` and dataclasses of these. A field's metadata may have `check`, a function from the value to a
complaint or None. What the values mean belongs to the rooms.
"""

import itertools
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from llorch.errors import Problem, nearest
from llorch.text import shown

Key = tuple[str | int, ...]
Complain = Callable[[Key, str, str | None], None]
T = TypeVar("T")
LOCATED = 200
"""Mistakes of one file whose lines are looked for; nobody mends more at once, and each costs some parsing."""
_WRONG: Any = object()
_HEADER = re.compile(r"""\s*\[\[?[\w\s."'-]+\]\]?\s*(#.*)?""")


class Document:
    """A TOML file's values and the mistakes found in it so far."""

    def __init__(self, name: str, text: str) -> None:
        """Parse `text`; `name` is how messages call the file.

        A table with a syntax error or a second one of the same name is left out and reported, so that the rest can
        still be checked.
        """
        self.name = name
        self.problems: list[Problem] = []
        self._text = text.replace("\r\n", "\n")
        self._found: list[tuple[int, list[str], dict[str, Any]]] | None = None
        self._read: dict[tuple[int, int], dict[str, Any]] = {}
        self.data = self._parse()

    def complain(self, key: Key, message: str, hint: str | None = None) -> None:
        """Record a mistake in the value at `key`."""
        line = self.line_of(key) if len(self.problems) < LOCATED else None
        self.problems.append(Problem(self.name, line, shown(render_key(key)), shown(message), hint))

    def read(self, cls: type[T]) -> T | None:
        """Return the whole document as a `cls`, or None after complaining."""
        data = dict(self.data)
        version = data.pop("version", 1)
        if type(version) is not int or version != 1:
            self.complain(("version",), f"is {_describe(version)}; this llorch reads version 1", "update llorch")
        value = convert(cls, data, (), self.complain)
        return None if value is _WRONG else value

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
                if at > 1 and _is_header(lines[at - 1]) and error.msg.startswith("Invalid value"):
                    at, message = at - 1, "is not valid TOML: an array is not closed"
                start = next((n for n in range(at, 0, -1) if _is_header(lines[n - 1])), 1)
                end = next((n for n in range(max(at, start), len(lines)) if _is_header(lines[n])), len(lines))
                self.problems.append(Problem(self.name, at, _header_key(lines[start - 1]), message))
                lines[start - 1 : end] = [""] * (end - start + 1)
                self._text = "\n".join(lines)
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, a thousand brackets
                self.problems.append(Problem(self.name, None, "", f"is not TOML that can be read: {error}"))
                self._text = ""


def load(path: Path, name: str) -> Document:
    """Read the file at `path`.

    Raises:
        OSError: the file cannot be read.
    """
    return decode(path.read_bytes(), name)


def decode(raw: bytes, name: str) -> Document:
    """Read a file's bytes."""
    try:
        return Document(name, raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        document = Document(name, "")
        line = raw.count(b"\n", 0, error.start) + 1
        document.problems.append(Problem(name, line, "", "is not UTF-8 text", "save the file as UTF-8"))
        return document


def render_key(key: Key) -> str:
    """Render a key path.

    >>> render_key(("models", "a.b", "files", 0, "path"))
    'models."a.b".files[0].path'
    """
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
            text += ("." if text else "") + (part if plain else '"' + part.replace('"', '\\"') + '"')
    return text


def convert(kind: Any, value: object, key: Key, complain: Complain) -> Any:
    """Return `value` as a `kind`, or a marker that equals nothing after complaining."""
    reader: Callable[[object, Key, Complain], Any] = _converter(kind)
    return reader(value, key, complain)


class _Field(NamedTuple):
    convert: Callable[[object, Key, Complain], Any]
    check: Callable[[Any], str | None] | None


@cache
def _converter(kind: Any) -> Callable[[object, Key, Complain], Any]:
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _converter(next(arg for arg in args if arg is not types.NoneType))
    if origin is Literal:
        return _choice(args)
    if origin is tuple:
        return _array(_converter(args[0]))
    if origin is Mapping:
        return _mapping(_converter(args[1]))
    if isinstance(kind, type) and is_dataclass(kind):
        return _record(kind)
    return _scalar(kind)


def _scalar(kind: type) -> Callable[[object, Key, Complain], Any]:
    def read(value: object, key: Key, complain: Complain) -> Any:
        if type(value) is not kind:
            complain(key, f"must be {_NAMES[kind]}, not {_describe(value)}", None)
            return _WRONG
        if isinstance(value, int) and value.bit_length() > 63:
            complain(key, "is too large", None)
            return _WRONG
        if kind is str and _has_controls(str(value)):
            complain(key, "has control characters", None)
            return _WRONG
        return value

    return read


def _choice(choices: tuple[Any, ...]) -> Callable[[object, Key, Complain], Any]:
    def read(value: object, key: Key, complain: Complain) -> Any:
        if value not in choices:
            complain(key, f"must be one of {', '.join(map(repr, choices))}, not {_describe(value)}", None)
            return _WRONG
        return value

    return read


def _array(item: Callable[[object, Key, Complain], Any]) -> Callable[[object, Key, Complain], Any]:
    def read(value: object, key: Key, complain: Complain) -> Any:
        if type(value) is not list:
            complain(key, f"must be an array, not {_describe(value)}", None)
            return _WRONG
        found = tuple(item(element, (*key, index), complain) for index, element in enumerate(value))
        return _WRONG if _WRONG in found else found

    return read


def _mapping(item: Callable[[object, Key, Complain], Any]) -> Callable[[object, Key, Complain], Any]:
    def read(value: object, key: Key, complain: Complain) -> Any:
        if type(value) is not dict:
            complain(key, f"must be a table, not {_describe(value)}", None)
            return _WRONG
        found = {name: item(element, (*key, name), complain) for name, element in value.items()}
        return {name: element for name, element in found.items() if element is not _WRONG}

    return read


def _record(cls: Any) -> Callable[[object, Key, Complain], Any]:
    kinds: dict[str, Any] = {field.name: field.type for field in fields(cls)}
    plan = {field.name: _Field(_converter(kinds[field.name]), field.metadata.get("check")) for field in fields(cls)}
    required = [field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING]

    def read(value: object, key: Key, complain: Complain) -> Any:
        if type(value) is not dict:
            complain(key, f"must be a table, not {_describe(value)}", None)
            return _WRONG
        arguments: dict[str, Any] = {}
        for name, element in value.items():
            field = plan.get(name)
            if field is None:
                near = nearest(name, list(plan))
                complain((*key, name), "unknown key", f"did you mean `{near}`?" if near else _known(plan))
                continue
            arguments[name] = converted = field.convert(element, (*key, name), complain)
            if field.check is not None and converted is not _WRONG:
                complaint = field.check(converted)
                if complaint is not None:
                    complain((*key, name), complaint, None)
                    arguments[name] = _WRONG
        missing = [name for name in required if name not in value]
        for name in missing:
            complain(key, f"`{name}` is missing", None)
        if missing or _WRONG in arguments.values():
            return _WRONG
        return cls(**arguments)

    return read


_NAMES: dict[Any, str] = {str: "a string", int: "an integer", bool: "true or false"}


def _describe(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {value!r}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge integer"  # Python refuses to write out the longest
    for kind, name in ((int, "the integer"), (float, "the number")):
        if isinstance(value, kind):
            return f"{name} {value}"
    return "an array" if isinstance(value, list) else "a table" if isinstance(value, dict) else "a date or time"


def _known(plan: Iterable[str]) -> str:
    return "known keys: " + ", ".join(plan)


def _has_controls(text: str) -> bool:
    from unicodedata import category

    return not text.isprintable() and any(category(char) in ("Cc", "Cf") for char in text if char not in "\n\t")


def _lines(text: str) -> list[str]:
    """Split where TOML does: `str.splitlines` also does at characters that strings and comments may have."""
    return text.removesuffix("\n").split("\n")


def _is_header(line: str) -> bool:
    return _HEADER.fullmatch(line) is not None


def _header_key(line: str) -> str:
    return line.split("#")[0].strip().strip("[]").strip() if _is_header(line) else ""


def _syntax_message(text: str) -> str:
    if text.startswith("Cannot declare"):
        return "is declared twice"
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


def _has(value: Any, key: Key) -> bool:
    for part in key:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
