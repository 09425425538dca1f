"""Requests to end."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from llorch import shell, signals
from llorch.parallel import in_parallel
from llorch.signals import terminated, uninterrupted


def test_requests_to_end_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of signals that come together the first counts; a later one counts, too, and one that is ignored never does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        for again in (False, True):
            monkeypatch.setattr(signals, "SAME", 0.0 if again else 60.0)
            monkeypatch.setattr(signals, "_until", 0.0)
            with terminated():
                signal.raise_signal(signal.SIGHUP)
                with pytest.raises(SystemExit) as left:
                    signal.raise_signal(signal.SIGTERM)
                assert left.value.code == 143
                with pytest.raises(KeyboardInterrupt) if again else nullcontext():
                    signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_waits_for_what_is_not_to_be_cut_short(number: signal.Signals) -> None:
    """It comes when that has ended, and the handlers from before are back."""
    before = signal.getsignal(number)
    done = []

    def work() -> None:
        with terminated(), uninterrupted():
            signal.raise_signal(number)
            done.append(True)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        work()
    assert done
    assert signal.getsignal(number) is before


def test_the_same_request_does_not_come_again_after_a_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes with a request that is being obeyed is a part of it, however long that takes."""
    monkeypatch.setattr(signals, "SAME", 60.0)
    with terminated():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with terminated(), uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            monkeypatch.setattr(signals, "_until", 0.0)


def stands_still(thread: int) -> None:
    """Return when a thread is at no other step than a thousand looks ago."""
    at: list[object] = []
    while len(at) < 1000:
        frame = sys._current_frames()[thread]
        step = (id(frame), frame.f_lasti)
        at = [*at, step] if step in at[-1:] else [step]
        os.stat(os.curdir)  # lets other threads go on


def never() -> None:
    """Wait for an event that does not come."""
    threading.Event().wait()


WAITS: dict[str, Callable[[], object]] = {
    "event": never,
    "threads": lambda: in_parallel([1], lambda _: never(), 1),
    "pipe": lambda: os.read(os.pipe()[0], 1),
    "program": lambda: shell.run(["sleep", "1000"]),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
@pytest.mark.parametrize("held", [False, True], ids=["", "held"])
def test_a_signal_that_wakes_nobody_comes_again(wait: Callable[[], object], held: bool) -> None:
    """One that another thread has taken ends the main thread's wait all the same; what is to end first does."""
    main = threading.get_ident()
    held_back = threading.Event()

    def take() -> None:
        if not held:
            stands_still(main)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        held_back.set()

    def work() -> None:
        with uninterrupted() if held else nullcontext():
            threading.Thread(target=take, daemon=True).start()
            assert not held or held_back.wait()
        wait()

    with terminated(), pytest.raises(SystemExit, match="143"):
        work()


def test_what_is_others_is_left_to_them() -> None:
    """A signal with another handler than ours does not come again."""
    main = threading.get_ident()
    came: list[int] = []

    def take() -> None:
        stands_still(main)
        for number in (signal.SIGUSR1, signal.SIGTERM):
            signal.pthread_kill(threading.get_ident(), number)

    def work() -> None:
        threading.Thread(target=take, daemon=True).start()
        never()

    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        with terminated(), pytest.raises(SystemExit, match="143"):
            work()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [signal.SIGUSR1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Python 3.12, for the threads that a child has not
def test_the_signals_of_a_forked_child_are_its_own() -> None:
    """They come into no pipe of its parent's."""
    with terminated():
        pid = os.fork()
        if pid == 0:
            os._exit(signal.set_wakeup_fd(-1) + 1)
        assert os.waitpid(pid, 0)[1] == 0
        descriptor = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        assert descriptor >= 0
