"""Work in threads."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from llorch.parallel import in_parallel, in_time, wait
from llorch.remote.streams import Pumps


def test_answers_are_in_order() -> None:
    """Each item's answer is at its place, however many threads there are."""
    assert in_parallel(range(50), lambda number: number * 2, 8) == list(range(0, 100, 2))
    assert in_parallel([], lambda _: 1, 8) == []


def test_items_are_worked_on_at_once() -> None:
    """As many as are allowed meet at a barrier."""
    barrier = threading.Barrier(3, timeout=10)
    assert sorted(in_parallel(range(3), lambda _: barrier.wait(), 3)) == [0, 1, 2]


def test_the_first_error_is_raised_when_all_has_ended() -> None:
    """One failure does not keep the others from their end."""
    done: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ZeroDivisionError
        done.append(number)

    with pytest.raises(ZeroDivisionError):
        in_parallel(range(10), work, 2)
    assert sorted(done) == list(range(1, 10))


def test_what_takes_too_long_is_left_to_itself() -> None:
    """An answer or an error that comes in time is handed on; nothing is waited for after that."""
    never = threading.Event()
    with pytest.raises(TimeoutError):
        in_time(never.wait, 0.01)
    never.set()
    assert in_time(never.wait, 10) is True
    with pytest.raises(ZeroDivisionError):
        in_time(lambda: 1 / 0, 10)


@contextmanager
def unwoken() -> Iterator[None]:
    """Have another thread take SIGTERM, which raises in this one, so that it wakes no call that waits.

    What comes between Python's last look at signals and the wait itself is as unseen.
    """

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        signal.signal(signal.SIGTERM, before)


def pumped(work: Callable[[], None]) -> None:
    """Wait for a pump."""

    def receive(size: int) -> bytes:
        work()
        return b""

    pumps = Pumps(lambda: None)
    pumps.start(receive, bytearray().extend)
    pumps.wait()


def waited(work: Callable[[], None]) -> None:
    """Wait for an event that never comes."""
    threading.Thread(target=work, daemon=True).start()
    wait(threading.Event())


@pytest.mark.parametrize("waits", [lambda work: in_parallel([work], lambda work: work(), 1), pumped, waited])
def test_a_signal_that_wakes_nobody_is_heeded(waits: Callable[[Callable[[], None]], None]) -> None:
    """Whoever waits looks up now and then: the work itself would go on for ever."""
    never = threading.Event()

    def work() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        never.wait()

    with unwoken(), pytest.raises(SystemExit, match="143"):
        waits(work)
    never.set()


def test_a_wait_has_an_end() -> None:
    """An event that comes is told from a time that is over."""
    event = threading.Event()
    assert (wait(event, 0.01), wait(event, 0)) == (False, False)
    event.set()
    assert (wait(event, 0), wait(event)) == (True, True)
