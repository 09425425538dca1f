"""The group `llorch dev`."""

from collections.abc import Callable

from llorch.table import DEV
from tests.conftest import Run


def test_help_lists_each_command(llorch: Callable[..., Run]) -> None:
    """Each command is told with what it does."""
    said = llorch("dev", "--help").out
    assert all(f"  {name} " in said for name in DEV)
