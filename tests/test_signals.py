"""Requests to end."""

import signal
from contextlib import nullcontext

import pytest

from llorch import signals
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
