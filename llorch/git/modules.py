"""The paths in a `.gitmodules`, read without git: for who cannot wait for a program.

Where it matters what is in a commit, and for all else that the file says, see `status`.
"""

from __future__ import annotations

import os
import re

from llorch.workspace import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The syntax of git-config(1): a key may stand behind its section's header, and a value may go on in the next line.
_HEADER = r'[ \t]*\[[^\]"\n]*(?:"(?:[^"\\\n]|\\.)*")?[ \t]*\]'
_VALUE = r'(?:[^\n\\"#;]|\\(?:\n|.)|"(?:[^"\\\n]|\\(?:\n|.))*")*'
_PATH = re.compile(rf"^(?:{_HEADER})?[ \t]*path[ \t]*=[ \t]*({_VALUE})", re.MULTILINE | re.IGNORECASE)
_CHARACTER = re.compile(r"\\?.", re.DOTALL)
_ESCAPED = {"\\n": "\n", "\\t": "\t", "\\b": "\b", "\\\n": ""}


def submodule_paths(root: str, prefix: str = "") -> Iterator[str]:
    """Yield the paths of a work tree's submodules and of those in them; none that leave it or lead through links.

    Args:
        root: the work tree, without links in it.
    """
    try:
        text = read_file(os.path.join(root, ".gitmodules")).decode(errors="surrogateescape")
    except OSError:
        return  # there is none, or none that may be read
    for path in dict.fromkeys(parse_paths(text)):
        place = os.path.join(root, path)
        if {"", ".", ".."}.isdisjoint(path.split("/")) and os.path.realpath(place) == place:
            yield prefix + path
            yield from submodule_paths(place, f"{prefix}{path}/")


def parse_paths(text: str) -> list[str]:
    r"""Return the values of `path`.

    >>> parse_paths('[submodule "a"]\n\tpath = a b # here\n[submodule "c"] path = "c \\"d\\" " \n')
    ['a b', 'c "d" ']
    """
    return [_plain(match[1]) for match in _PATH.finditer(text)]


def _plain(value: str) -> str:
    """Return a value without quotes and escapes, and without the spaces after it."""
    found: list[str] = []
    quoted, end = False, 0
    for character in _CHARACTER.findall(value):
        if character == '"':
            quoted = not quoted
            continue
        found.append(_ESCAPED.get(character, character[-1:]))
        if quoted or not character.isspace():
            end = len(found)
    return "".join(found[:end])
