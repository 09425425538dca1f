"""`typing.NamedTuple` without `typing` and `eval`, which take longer than `llorch git status` may."""

from __future__ import annotations

__all__ = ["Record"]

TYPE_CHECKING = False  # as it is to who checks types, see PEP 484
if TYPE_CHECKING:
    from typing import Any
    from typing import NamedTuple as Record
else:

    class Record(tuple):
        """A named tuple: the fields are what has an annotation, and a value is a default. It may have methods."""

        __slots__ = ()
        _fields: tuple[str, ...] = ()
        _defaults: dict[str, Any] = {}  # noqa: RUF012 - what it is said with has to be imported from `typing`

        def __init_subclass__(cls) -> None:
            """Make properties of what is annotated."""
            cls._fields = tuple(cls.__annotations__)
            cls._defaults = {field: vars(cls)[field] for field in cls._fields if field in vars(cls)}
            for index, field in enumerate(cls._fields):
                setattr(cls, field, property(lambda self, index=index: self[index]))

        def __new__(cls, *values: Any, **named: Any) -> Record:
            """Take the values by place or by name."""
            if len(values) < len(cls._fields):
                rest = cls._fields[len(values) :]
                values += tuple(named.pop(field) if field in named else cls._default(field) for field in rest)
            if named or len(values) > len(cls._fields):
                raise TypeError(f"{cls.__name__} has {', '.join(cls._fields)}, and no more")
            return super().__new__(cls, values)

        @classmethod
        def _default(cls, field: str) -> Any:
            if field not in cls._defaults:
                raise TypeError(f"{cls.__name__} lacks {field}")
            return cls._defaults[field]

        def __getnewargs__(self) -> tuple[Any, ...]:
            """Return what makes an equal one, for copies and pickles."""
            return tuple(self)

        def __repr__(self) -> str:
            """Return it with the fields' names."""
            values = ", ".join(f"{field}={value!r}" for field, value in self._asdict().items())
            return f"{type(self).__name__}({values})"

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changes: Any) -> Record:
            return type(self)(**{**self._asdict(), **changes})
