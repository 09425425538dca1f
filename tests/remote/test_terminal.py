"""The terminal at this end; with a program on a host it is in test_cli."""

import os
import sys

import pytest

from llorch.remote.terminal import raw, this_terminal


def test_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none it has the size of the oldest ones, and nothing is changed for it."""
    monkeypatch.delenv("TERM", raising=False)
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert this_terminal() == ("dumb", 80, 24)
        with raw(lambda terminal: None):
            pass
