"""Work on several things at once."""

from __future__ import annotations

import threading
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    Item = TypeVar("Item")
    Answer = TypeVar("Answer")


@contextmanager
def after(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    """Have a thread do something when a `with` goes on for longer than that."""
    timer = threading.Timer(seconds, act)
    timer.daemon = True  # nobody waits for it, should an interrupt come just now
    try:
        timer.start()
        yield
    finally:
        timer.cancel()


def in_time(work: Callable[[], Answer], seconds: float) -> Answer:
    """Return what a thread works out, which is left to itself when the time is over.

    Raises:
        TimeoutError: it is.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # handed to the thread that waits for this one
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]


def in_parallel(items: Iterable[Item], work: Callable[[Item], Answer], at_once: int) -> list[Answer]:
    """Work on items in threads and return the answers in order; raise the first error when all threads have ended.

    The threads are daemons, unlike those of `concurrent.futures`: an interrupted run ends, even if one of them waits
    for a dead server or reads a large file.
    """
    every = list(items)
    waiting = enumerate(every)  # threads may share it: each step is one of C
    answers: dict[int, Answer] = {}
    errors: list[BaseException] = []

    def run() -> None:
        try:
            for index, item in waiting:
                answers[index] = work(item)
        except BaseException as error:  # handed to the thread that waits for this one
            errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(at_once, len(every)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [answers[index] for index in range(len(every))]
