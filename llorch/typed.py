"""Make frozen dataclasses of TOML's values, and say each mistake with its key.

A field's type decides what is accepted: `str`, `int`, `bool`, `X | None`, `Literal[...]`, `tuple[X, ...]`,
`Mapping[str, X]` and dataclasses of these. A field's metadata may have `check`, a function from the value to a
complaint or None. What the values mean belongs to the rooms.
"""

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from llorch.errors import nearest

Key = tuple[str | int, ...]
Complain = Callable[[Key, str, str | None], None]
UNKNOWN = "unknown key"
WRONG: Any = object()
"""What a value becomes that was complained of."""


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
    """Return `value` as a `kind`, or `WRONG` after complaining."""
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
            complain(key, f"must be {_NAMES[kind]}, not {describe(value)}", None)
            return WRONG
        if isinstance(value, int) and value.bit_length() > 63:
            complain(key, "is too large", None)
            return WRONG
        if kind is str and _has_controls(str(value)):
            complain(key, "has control characters", None)
            return WRONG
        return value

    return read


def _choice(choices: tuple[Any, ...]) -> Callable[[object, Key, Complain], Any]:
    def read(value: object, key: Key, complain: Complain) -> Any:
        if value not in choices:
            complain(key, f"must be one of {', '.join(map(repr, choices))}, not {describe(value)}", None)
            return WRONG
        return value

    return read


def _array(item: Callable[[object, Key, Complain], Any]) -> Callable[[object, Key, Complain], Any]:
    def read(value: object, key: Key, complain: Complain) -> Any:
        if type(value) is not list:
            complain(key, f"must be an array, not {describe(value)}", None)
            return WRONG
        found = tuple(item(element, (*key, index), complain) for index, element in enumerate(value))
        return WRONG if WRONG in found else found

    return read


def _mapping(item: Callable[[object, Key, Complain], Any]) -> Callable[[object, Key, Complain], Any]:
    def read(value: object, key: Key, complain: Complain) -> Any:
        if type(value) is not dict:
            complain(key, f"must be a table, not {describe(value)}", None)
            return WRONG
        found = {name: item(element, (*key, name), complain) for name, element in value.items()}
        return {name: element for name, element in found.items() if element is not WRONG}

    return read


def _record(cls: Any) -> Callable[[object, Key, Complain], Any]:
    kinds: dict[str, Any] = {field.name: field.type for field in fields(cls)}
    plan = {field.name: _Field(_converter(kinds[field.name]), field.metadata.get("check")) for field in fields(cls)}
    required = [field.name for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING]

    def read(value: object, key: Key, complain: Complain) -> Any:
        if type(value) is not dict:
            complain(key, f"must be a table, not {describe(value)}", None)
            return WRONG
        arguments: dict[str, Any] = {}
        for name, element in value.items():
            field = plan.get(name)
            if field is None:
                near = nearest(name, list(plan))
                complain((*key, name), UNKNOWN, f"did you mean `{near}`?" if near else _known(plan))
                continue
            arguments[name] = converted = field.convert(element, (*key, name), complain)
            if field.check is not None and converted is not WRONG:
                complaint = field.check(converted)
                if complaint is not None:
                    complain((*key, name), complaint, None)
                    arguments[name] = WRONG
        missing = [name for name in required if name not in value]
        for name in missing:
            complain(key, f"`{name}` is missing", None)
        if missing or WRONG in arguments.values():
            return WRONG
        return cls(**arguments)

    return read


_NAMES: dict[Any, str] = {str: "a string", int: "an integer", bool: "true or false"}


def describe(value: object) -> str:
    """Return what a value is, in a few words."""
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
