"""The only door to the terminal: data on stdout, talk and progress on stderr.

Colour never carries meaning alone. Bars and questions need a terminal; without one there are plain lines, and a
question is refused. rich is loaded when a table or a bar is drawn.
"""

from __future__ import annotations

import os
import sys
import time

from llorch.errors import LlorchError, Refused
from llorch.switches import is_on
from llorch.text import json_text, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import IO, Any, Literal, Self

    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

    from llorch.log import Log

    Style = Literal["good", "bad", "dim", "bold", "note"]
_CODES: Mapping[Style, str] = {"good": "32", "bad": "31", "dim": "2", "bold": "1", "note": "33"}
DRAW_EVERY = 0.05
"""Seconds between two looks at the progress of one task."""
PLAIN_EVERY = 10.0
"""Seconds between two lines on the progress of one task where there are no bars."""


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
    _console(sys.stdout).print(grid)


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


def _console(stream: IO[str]) -> Console:
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


class Board:
    """Shows the tasks of a run while they work: a bar each on a terminal, plain lines elsewhere."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        """Draw on `stream` (stderr unless given)."""
        import threading  # 3 ms that `llorch git status` does without

        self._stream = stream
        self.lock = threading.RLock()
        self._working = 0
        self._ended = threading.Condition(self.lock)
        self._bars: Progress | None = None
        self._lines = 0
        self._total: TaskID | None = None
        self._size = self._done = 0
        self._closed = False
        self.width = 0
        """Columns that task names take."""

    @property
    def stream(self) -> IO[str]:
        """Where it draws."""
        return self._stream or sys.stderr

    def start(self, name: str) -> Line:
        """Begin to show a task."""
        with self.lock:
            self._working += 1
        return Line(self, name)

    def end(self) -> None:
        """Take note that a task that was shown has ended."""
        with self._ended:
            self._working -= 1
            self._ended.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait for the tasks that are shown to end, but not longer than this."""
        with self._ended:
            self._ended.wait_for(lambda: not self._working, seconds)

    def print(self, text: str) -> None:
        """Write a line above the bars."""
        with self.lock:
            if self._bars is not None:
                from rich.text import Text

                # rich's thread that draws the bars anew takes this lock, and print does not: each would go up as many
                # lines as there were before the other drew, and erase a line of ours or leave a bar.
                with self._bars.live._lock:
                    self._bars.console.print(Text.from_ansi(text), soft_wrap=True)
            else:
                self.stream.write(text + "\n")
                self.stream.flush()

    def warn(self, text: str) -> None:
        """Write a warning above the bars."""
        if log is not None:
            log.warning(text)
        self.print(style("warning:", "note", sys.stderr) + f" {harmless(text)}")

    def bars(self) -> Progress | None:
        """Return the bars, started when the first is needed; None where there are none."""
        with self.lock:
            if self._bars is None and not self._closed and is_drawable(self.stream) and not mode.quiet:
                from rich import progress
                from rich.table import Column

                class Known(progress.ProgressColumn):
                    """Shows amounts where there are any: not all work is counted in bytes."""

                    def __init__(self, column: progress.ProgressColumn) -> None:
                        super().__init__()
                        self.column = column

                    def render(self, task: progress.Task) -> RenderableType:
                        return self.column.render(task) if task.total or task.completed else ""

                # Twelve columns of bar leave room for a name and a path at 80 columns.
                self._bars = progress.Progress(
                    progress.TextColumn("{task.fields[name]}", markup=False),
                    progress.TextColumn(
                        "{task.description}",
                        markup=False,
                        style="dim" if has_color(self.stream) else "none",
                        table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
                    ),
                    progress.BarColumn(bar_width=12),
                    *map(Known, (progress.DownloadColumn(), progress.TransferSpeedColumn())),
                    Known(progress.TimeRemainingColumn(compact=True)),
                    console=_console(self.stream),
                    refresh_per_second=10,
                    expand=True,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._bars.start()
            return self._bars

    def add(self, name: str, text: str) -> TaskID:
        """Add a bar, and below all of them one for their sum once there are two."""
        with self.lock:
            bars = self.bars()
            assert bars is not None, "asked for only where there are bars"
            bar = bars.add_task(text, name=f"{name:<{self.width}}", total=None)
            self._lines += 1
            if self._total is not None:
                bars.remove_task(self._total)
            if self._lines > 1:
                self._total = bars.add_task(
                    "", name=f"{'in all':<{self.width}}", total=self._size, completed=self._done
                )
            return bar

    def count(self, size: int, done: int) -> None:
        """Add to the bytes of work in all, and to those that are done."""
        with self.lock:
            self._size += size
            self._done += done
            if self._bars is not None and self._total is not None:
                self._bars.update(self._total, total=self._size, completed=self._done)

    def close(self) -> None:
        """Take the bars away, for good."""
        with self.lock:
            self._closed = True
            if self._bars is not None:
                self._bars.stop()
                self._bars = None


class Line:
    """One task, or one file of a task, on the board."""

    def __init__(self, board: Board, name: str) -> None:
        self._board = board
        self._name = name
        self._told = time.monotonic()
        self._drawn = 0.0
        self._done = self._size = 0
        self._bar: TaskID | None = None
        self._text = ""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the bar away."""
        self._board.end()
        bars = self._board.bars() if self._bar is not None else None
        if bars is not None and self._bar is not None:
            bars.remove_task(self._bar)
            self._bar = None

    def say(self, text: str, *, plain: bool = True) -> None:
        """Name what is being done now; without bars, write it on a line of its own if `plain`."""
        self._text = text
        bars = self._draw()
        if bars is None and plain:
            self._tell(text)

    def total(self, size: int, done: int = 0) -> None:
        """Announce the bytes of work in all, of which some are done already."""
        self._board.count(size - self._size, done - self._done)
        self._done, self._size = done, size
        bars = self._draw()
        if bars is not None and self._bar is not None:
            bars.reset(self._bar, total=size or None, completed=done, description=self._text)

    def advance(self, size: int) -> None:
        """Count bytes as done."""
        with self._board.lock:
            self._board.count(0, size)
            self._done += size
        if time.monotonic() - self._drawn < DRAW_EVERY:
            return
        self._drawn = time.monotonic()
        bars = self._draw()
        if bars is None and time.monotonic() - self._told > PLAIN_EVERY:
            of = f" of {bytes_text(self._size)}" if self._size else ""
            self._tell(f"{self._text}: {bytes_text(self._done)}{of}")

    def _tell(self, text: str) -> None:
        self._told = time.monotonic()
        if not mode.quiet and not mode.json:
            self._board.print(f"{self._name:<{self._board.width}}  {text}")

    def _draw(self) -> Progress | None:
        bars = self._board.bars()
        if bars is not None:
            if self._bar is None:
                self._bar = self._board.add(self._name, self._text)
            bars.update(self._bar, completed=self._done, description=self._text)
        return bars
