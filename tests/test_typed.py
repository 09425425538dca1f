"""Making dataclasses of TOML's values, apart from any file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest

from llorch.typed import WRONG, Key, convert, render_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A table that needs a key."""

    x: int
    unit: Literal["mm", "cm"] = "mm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A table of tables."""

    points: Mapping[str, Point] = field(default_factory=dict)
    size: Point | None = None


def converted(data: object) -> tuple[object, list[tuple[Key, str, str | None]]]:
    """Return what is made of a value, and the complaints."""
    said: list[tuple[Key, str, str | None]] = []
    return convert(Drawing, data, (), lambda *complaint: said.append(complaint)), said


def test_right_values_become_the_dataclass() -> None:
    """Tables in tables become dataclasses in a mapping."""
    value, said = converted({"points": {"a": {"x": 1, "unit": "cm"}}, "size": {"x": 2}})
    assert (value, said) == (Drawing(points={"a": Point(x=1, unit="cm")}, size=Point(x=2)), [])


def test_every_mistake_is_said_and_a_mapping_keeps_the_rest() -> None:
    """A wrong element is left out of a mapping; a wrong value makes its table wrong."""
    value, said = converted({"points": {"a": {"y": 1}, "b": {"x": 1}, "c": {"x": True, "unit": "km"}}})
    assert value == Drawing(points={"b": Point(x=1)})
    assert said == [
        (("points", "a", "y"), "unknown key", "known keys: x, unit"),
        (("points", "a"), "`x` is missing", None),
        (("points", "c", "x"), "must be an integer, not true", None),
        (("points", "c", "unit"), "must be one of 'mm', 'cm', not the string 'km'", None),
    ]
    assert converted({"size": {}})[0] is WRONG


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ((), ""),
        (("a", "b-c", "d_1"), "a.b-c.d_1"),
        (("a.b", 0, 'say "x"', 12), '"a.b"[0]."say \\"x\\""[12]'),
        (("", "é"), '""."é"'),
    ],
)
def test_keys_are_rendered_as_toml_writes_them(key: Key, text: str) -> None:
    """A key path looks as in a file, with quotes where a file needs them."""
    assert render_key(key) == text
