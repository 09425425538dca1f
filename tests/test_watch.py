"""A task's progress, and how an ended run ends its tasks."""

import io
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llorch.board import Board
from llorch.watch import Watch


@pytest.mark.parametrize(
    "word", [lambda watch: watch.say("text"), lambda watch: watch.advance(1), lambda watch: watch.pause(0, "again")]
)
def test_a_cancelled_run_stops_its_tasks(workspace: Path, word: Callable[[Watch], None]) -> None:
    """Once a run is ended, its tasks' next word of progress ends them, in their parts too."""
    stream = io.StringIO()
    cancelled = threading.Event()
    with Watch(Board(stream), "make", cancelled) as watch, watch.child("part") as part:
        for each in (watch, part):
            word(each)
        cancelled.set()
        for each in (watch, part):
            with pytest.raises(KeyboardInterrupt):
                word(each)
    assert stream.getvalue().startswith("make  part\n")


def test_a_pause_can_be_ended(workspace: Path) -> None:
    """A task that waits says why and for how long, and stops waiting when the run is ended."""
    reader, writer = os.pipe()
    cancelled = threading.Event()

    def wait() -> None:
        with open(writer, "w") as stream, Watch(Board(stream), "make", cancelled) as watch:
            watch.pause(100_000, "no connection")

    with ThreadPoolExecutor(1) as pool, open(reader) as stream:
        waiting = pool.submit(wait)
        said = stream.readline()
        cancelled.set()
        assert said == "make  again in 100000 s: no connection\n"
        with pytest.raises(KeyboardInterrupt):
            waiting.result()
