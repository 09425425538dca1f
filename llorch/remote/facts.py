r"""What a script on a host tells of it: names and values, each ended by NUL, so that a value may be any text."""

from collections.abc import Iterable, Sequence

PUT = r' put() { printf "%s\0%s\0" "$1" "$2"; };'
"""Defines what tells a fact."""
TRY = ' try() { name=$1; shift; if value=$("$@" 2>/dev/null </dev/null); then put "$name" "$value"; fi; };'
"""Defines what tells a fact that is a program's output, unless the program is not there or fails."""


class Facts:
    """What was told: by each name its values, in their order."""

    def __init__(self, told: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in told:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
        """Return the last value, nothing if there is none."""
        return next(reversed(self.all(name)), "")

    def all(self, name: str) -> Sequence[str]:
        """Return the values."""
        return self._values.get(name, ())


def parse_facts(data: bytes) -> Facts:
    r"""Return the facts that a script has written; bytes that are no text are written out.

    >>> parse_facts(b"system\0Linux\0file\0a\0file\0b\xff\0").all("file")
    ['a', 'b\\xff']
    """
    parts = data.decode(errors="backslashreplace").split("\0")
    return Facts(zip(parts[0::2], parts[1::2], strict=False))  # what comes after the last NUL was cut off
