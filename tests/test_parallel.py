"""Work in threads."""

import threading

import pytest

from llorch.parallel import after, in_parallel, in_time


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


def test_what_goes_on_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is done then, and never else, also where the clock itself is interrupted as it begins."""
    late = threading.Event()
    with after(0.01, late.set):
        assert late.wait(10)
    clocks: list[threading.Timer] = []

    class Clock(threading.Timer):
        def start(self) -> None:
            clocks.append(self)
            super().start()
            raise KeyboardInterrupt

    monkeypatch.setattr(threading, "Timer", Clock)
    with pytest.raises(KeyboardInterrupt), after(1000, late.set):
        pass
    clocks[0].join(10)
    assert not clocks[0].is_alive()
