"""What completion knows of the command line."""

import pytest

from docs.completion import SPEC, render_spec


def test_it_is_what_the_command_line_has() -> None:
    """The file is what would be written now; `./run python docs/completion.py` writes it."""
    assert SPEC.read_text() == render_spec()


def test_a_command_that_says_nothing_of_its_words_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument of a kind that nobody has decided on is an error, not a word that is never completed."""
    monkeypatch.setattr("docs.completion.KINDS", {})
    with pytest.raises(KeyError):
        render_spec()
