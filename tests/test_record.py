"""Named tuples without `typing`."""

from __future__ import annotations

import pickle

import pytest

from llorch.record import Record


class Point(Record):
    """One with a default and a method."""

    x: int
    y: int = 2

    @property
    def sum(self) -> int:
        """Both together."""
        return self.x + self.y


def test_it_is_a_named_tuple() -> None:
    """Fields, defaults, methods, equality, `_replace` and the words for people are as ever."""
    point = Point(1)
    assert (point.x, point.y, point.sum, tuple(point)) == (1, 2, 3, (1, 2))
    assert point == Point(x=1, y=2) == point._replace(y=2) != Point(1, 3)
    assert (repr(point), hash(point)) == ("Point(x=1, y=2)", hash((1, 2)))
    assert (Point.__doc__, Point.__module__) == ("One with a default and a method.", __name__)
    assert pickle.loads(pickle.dumps(point)) == point


def test_it_cannot_be_changed_nor_lack_a_field() -> None:
    """What a type checker refuses is refused."""
    with pytest.raises(AttributeError):
        Point(1).x = 2  # type: ignore[misc]  # it is what is tested
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]  # it is what is tested
    with pytest.raises(TypeError):
        Point(1, z=3)  # type: ignore[call-arg]  # it is what is tested
    with pytest.raises(TypeError):
        Point(1, 2, 3)  # type: ignore[call-arg]  # it is what is tested
    with pytest.raises(TypeError):
        Point(1, 2, y=3)  # type: ignore[misc]  # it is what is tested
