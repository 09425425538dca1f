"""The progress of tasks while they work: a bar each on a terminal, plain lines elsewhere.

Whether there is a terminal, and what this run may say on it, is known to `ui`. rich is loaded with the first bar.
"""

from __future__ import annotations

import sys
import time

from llorch import ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Self

    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

DRAW_EVERY = 0.05
"""Seconds between two looks at the progress of one task."""
PLAIN_EVERY = 10.0
"""Seconds between two lines on the progress of one task where there are no bars."""


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
        if ui.log is not None:
            ui.log.warning(text)
        self.print(ui.style("warning:", "note", sys.stderr) + f" {ui.harmless(text)}")

    def bars(self) -> Progress | None:
        """Return the bars, started when the first is needed; None where there are none."""
        with self.lock:
            if self._bars is None and not self._closed and ui.is_drawable(self.stream) and not ui.mode.quiet:
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
                        style="dim" if ui.has_color(self.stream) else "none",
                        table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
                    ),
                    progress.BarColumn(bar_width=12),
                    *map(Known, (progress.DownloadColumn(), progress.TransferSpeedColumn())),
                    Known(progress.TimeRemainingColumn(compact=True)),
                    console=ui.console(self.stream),
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
            of = f" of {ui.bytes_text(self._size)}" if self._size else ""
            self._tell(f"{self._text}: {ui.bytes_text(self._done)}{of}")

    def _tell(self, text: str) -> None:
        self._told = time.monotonic()
        if not ui.mode.quiet and not ui.mode.json:
            self._board.print(f"{self._name:<{self._board.width}}  {text}")

    def _draw(self) -> Progress | None:
        bars = self._board.bars()
        if bars is not None:
            if self._bar is None:
                self._bar = self._board.add(self._name, self._text)
            bars.update(self._bar, completed=self._done, description=self._text)
        return bars
