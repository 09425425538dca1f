"""`typing.NamedTuple` without `typing`, whose import takes longer than that of all of `llorch git status`."""

from collections import namedtuple

__all__ = ["Record"]

TYPE_CHECKING = False  # as it is to who checks types, see PEP 484
if TYPE_CHECKING:
    from typing import Any
    from typing import NamedTuple as Record
else:

    class _Kind(type):
        """Makes classes of named tuples: the fields are what has an annotation, and a value is a default."""

        def __new__(cls, name: str, bases: "tuple[type, ...]", members: "dict[str, Any]") -> type:
            if not bases:
                return super().__new__(cls, name, bases, members)
            fields = tuple(members["__annotations__"])
            defaults = [members.pop(field) for field in fields if field in members]
            made = namedtuple(name, fields, defaults=defaults, module=members["__module__"])
            return type(name, (made,), {"__slots__": (), **members})

    class Record(metaclass=_Kind):
        """A named tuple, in modules with `from __future__ import annotations`, that may have methods."""
