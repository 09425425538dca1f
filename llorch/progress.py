"""What a rule tells of its progress while it works; who draws it is not its business."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Take news of one task's work. Every method may raise `KeyboardInterrupt` when the run is being ended."""

    def total(self, size: int, done: int = 0) -> None:
        """Announce the bytes of work in all, of which some are done already."""

    def advance(self, size: int) -> None:
        """Count `size` more bytes as done."""

    def say(self, text: str) -> None:
        """Name what is being done now."""

    def pause(self, seconds: float, why: str) -> None:
        """Wait, saying why."""

    def child(self, text: str) -> AbstractContextManager["Progress"]:
        """Give a part of the work, such as one of several files, news of its own."""


class Silent:
    """A `Progress` that nobody watches."""

    def total(self, size: int, done: int = 0) -> None:
        """Drop it."""

    def advance(self, size: int) -> None:
        """Drop it."""

    def say(self, text: str) -> None:
        """Drop it."""

    def pause(self, seconds: float, why: str) -> None:
        """Wait."""
        time.sleep(seconds)

    @contextmanager
    def child(self, text: str) -> Iterator["Silent"]:
        """Watch nothing of a part either."""
        yield self
