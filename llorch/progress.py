"""What a rule tells of its progress while it works; who draws it is not its business."""

from typing import Protocol


class Progress(Protocol):
    """Take news of one task's work. Every method may raise `KeyboardInterrupt` when the run is being ended."""

    def total(self, size: int) -> None:
        """Announce the bytes of work in all."""

    def advance(self, size: int) -> None:
        """Count `size` more bytes as done."""

    def say(self, text: str) -> None:
        """Name what is being done now."""


class Silent:
    """A `Progress` that nobody watches."""

    def total(self, size: int) -> None:
        """Drop it."""

    def advance(self, size: int) -> None:
        """Drop it."""

    def say(self, text: str) -> None:
        """Drop it."""
