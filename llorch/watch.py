"""Show a task's progress on the board, and end its work when the run is cancelled."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from llorch.board import Board


class Watch:
    """Passes progress on to the board until the run is cancelled."""

    def __init__(self, board: Board, name: str, cancelled: threading.Event) -> None:
        self._board = board
        self._name = name
        self._line = board.start(name)
        self._cancelled = cancelled

    def total(self, size: int, done: int = 0) -> None:
        """Announce the bytes of work in all, of which some are done already."""
        self._line.total(size, done)

    def advance(self, size: int) -> None:
        """Count bytes as done."""
        self._check()
        self._line.advance(size)

    def say(self, text: str) -> None:
        """Name what is being done now."""
        self._check()
        self._line.say(text)

    def pause(self, seconds: float, why: str) -> None:
        """Wait, counting down."""
        self._check()
        until = time.monotonic() + seconds
        self._line.say(f"again in {seconds:.0f} s: {why}", plain=seconds >= 1)
        while (rest := until - time.monotonic()) > 0:
            self._line.say(f"again in {rest:.0f} s: {why}", plain=False)
            if self._cancelled.wait(min(rest, 1)):
                raise KeyboardInterrupt

    @contextmanager
    def child(self, text: str) -> Iterator["Watch"]:
        """Give a part of the work, such as one of several files, a line of its own."""
        watch = Watch(self._board, self._name, self._cancelled)
        with watch:
            watch.say(text)
            yield watch

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Take the line away."""
        self._line.__exit__(kind, error, at)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise KeyboardInterrupt
