"""The switches of the environment."""

from typing import TYPE_CHECKING

import pytest

from llorch.switches import is_on

if TYPE_CHECKING:
    from llorch.switches import Switch


@pytest.mark.parametrize("switch", ["LLORCH_DRY_RUN", "LLORCH_NO_CACHE", "LLORCH_NO_WAIT", "LLORCH_OFFLINE"])
@pytest.mark.parametrize(
    ("value", "on"),
    [
        (None, False),
        ("", False),
        ("  ", False),
        ("0", False),
        ("false", False),
        ("No", False),
        ("OFF", False),
        (" 0 ", False),
        ("1", True),
        ("yes", True),
        ("2", True),
    ],
)
def test_words_for_no_are_off(switch: "Switch", value: str | None, on: bool) -> None:
    """A switch is on unless it is not set, empty, or says no."""
    assert is_on(switch, {} if value is None else {switch: value}) is on


@pytest.mark.parametrize(("value", "on"), [(None, False), ("", False), ("true", True), ("0", True), ("false", True)])
def test_ci_with_any_value_is_on(value: str | None, on: bool) -> None:
    """CI is on whatever it says, as everywhere."""
    assert is_on("CI", {} if value is None else {"CI": value}) is on


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, the environment of the process counts, as it is now."""
    assert not is_on("LLORCH_OFFLINE")
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    assert is_on("LLORCH_OFFLINE")
