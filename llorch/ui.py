"""The door to the terminal: data on stdout, talk on stderr. The bars that are drawn while tasks work are `board`'s.

Colour never carries meaning alone. Questions need a terminal; without one they are refused. rich is loaded when a table
is drawn.
"""

from __future__ import annotations

import os
import sys

from llorch.errors import LlorchError, Refused
from llorch.switches import is_on
from llorch.text import json_text, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import IO, Any, Literal

    from rich.console import Console

    from llorch.log import Log

    Style = Literal["good", "bad", "dim", "bold", "note"]
_CODES: Mapping[Style, str] = {"good": "32", "bad": "31", "dim": "2", "bold": "1", "note": "33"}


class Mode:
    """How this run talks."""

    __slots__ = ("color", "json", "quiet", "verbose", "yes")

    def __init__(self) -> None:
        self.json = self.quiet = self.verbose = self.yes = False
        self.color = True


mode = Mode()
log: Log | None = None
"""Is told of warnings and errors, and of programs, in a run that has a log."""


def emit(text: str) -> None:
    """Write data to stdout."""
    sys.stdout.write(text + "\n")


def emit_json(document: Mapping[str, Any]) -> None:
    """Write the one JSON document of this run to stdout."""
    import json

    emit(json_text(json.dumps({"schema": 1, **document}, indent=2, ensure_ascii=False)))


def tell(text: str) -> None:
    """Write talk to stderr, unless this run is quiet or a program reads it."""
    if not mode.quiet and not mode.json:
        print_err(text)


def warn(text: str) -> None:
    """Write a warning to stderr."""
    if log is not None:
        log.warning(text)
    print_err(style("warning:", "note", sys.stderr) + f" {text}")


def show_error(error: LlorchError) -> None:
    """Write an error and its hint: as JSON to stdout in JSON mode, else to stderr."""
    if log is not None:
        log.error(error)
    if mode.json:
        emit_json({"error": error.as_json()})
        return
    print_err(style("error:", "bad", sys.stderr) + f" {harmless(error.message)}")
    if error.hint:
        print_err(f"\nhint: {harmless(error.hint)}")


def harmless(message: str) -> str:
    """Return a message with lines of its own, in which names may be of others, so that no terminal obeys those."""
    return shown(message, keep="\n\t")


def print_err(text: str) -> None:
    """Write a line to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def is_terminal(stream: IO[str]) -> bool:
    """Tell whether a person may be looking at the stream, here or, if another llorch runs this one, at its end."""
    return is_drawable(stream) or _is_terminal_there(stream)


def is_drawable(stream: IO[str]) -> bool:
    """Tell whether the stream is a terminal, on which bars can be drawn over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not is_on("CI")


def _is_terminal_there(stream: IO[str]) -> bool:
    """Tell what LLORCH_FORWARDED says of the stream: the llorch that runs this one names those that are terminals."""
    names = os.environ.get("LLORCH_FORWARDED", "").split(",")
    return any(stream is getattr(sys, name) for name in names if name in ("stdout", "stderr"))


def columns() -> int:
    """Return how many characters a line may have."""
    import shutil

    return shutil.get_terminal_size().columns


def has_color(stream: IO[str]) -> bool:
    """Tell whether the stream takes colours and the user wants them (https://no-color.org)."""
    unwanted = os.environ.get("NO_COLOR") or os.environ.get("LLORCH_NO_COLOR")
    return mode.color and not unwanted and is_terminal(stream)


def style(text: str, name: Style, stream: IO[str] | None = None) -> str:
    """Return the text in a style, if the stream (stdout unless given) takes colours."""
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m" if has_color(stream or sys.stdout) else text


def confirm(question: str, lost: str) -> None:
    """Ask before something is destroyed; `lost` says what.

    Raises:
        Refused: the answer is no, or nobody can be asked.
    """
    if mode.yes:
        return
    if not can_ask():
        raise Refused(f"{lost}, and nobody can be asked here", hint="repeat it with `--yes` if you mean it")
    if not agrees(f"{lost}\n{question}"):
        raise Refused("nothing was changed")


def agrees(question: str) -> bool:
    """Ask a person; no is the answer where nobody can be asked."""
    if not can_ask():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def can_ask() -> bool:
    """Tell whether there is a person to ask."""
    return not is_on("CI") and not mode.json and sys.stdin.isatty() and sys.stderr.isatty()


def ask_secret(question: str) -> str | None:
    """Ask for a secret, whose letters are not shown; None where nobody can be asked."""
    if not can_ask():
        return None
    import atexit
    import termios
    from functools import partial
    from getpass import getpass

    restore = partial(termios.tcsetattr, sys.stdin, termios.TCSAFLUSH, termios.tcgetattr(sys.stdin))
    atexit.register(restore)  # an interrupt ends the run, though it be in a thread that the answer is waited for
    try:
        return getpass(question, sys.stderr)
    except EOFError:
        return None
    finally:
        atexit.unregister(restore)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows to stdout: columns that fit the window on a terminal, tabs between the values elsewhere.

    Without rows nothing is written: a header alone tells nothing.
    """
    rows = list(rows)
    if not rows:
        return
    if not is_terminal(sys.stdout):
        for row in rows:
            emit("\t".join(row))
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold" if has_color(sys.stdout) else "")
    for index, column in enumerate(columns):
        right = column.endswith(">")
        grid.add_column(
            column.rstrip(">"), justify="right" if right else "left", no_wrap=index == 0 or right, overflow="fold"
        )
    for row in rows:
        grid.add_row(*map(Text, row))
    console(sys.stdout).print(grid)


def bytes_text(size: int) -> str:
    """Return a size for people, in decimal units.

    >>> bytes_text(98362432)
    '98.4 MB'
    """
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.95:
            return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def seconds_text(seconds: float) -> str:
    """Return a duration for people.

    >>> seconds_text(0.04), seconds_text(75.2)
    ('0.0 s', '1 min 15 s')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def console(stream: IO[str]) -> Console:
    """Return what rich draws with on a stream; nothing in a text has a meaning of its own."""
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=is_terminal(stream),
        no_color=not has_color(stream),
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )
