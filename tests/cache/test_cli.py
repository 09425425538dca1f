"""The group `llorch cache`."""

from collections.abc import Callable

from llorch.table import CACHE
from tests.conftest import Run


def test_help_lists_each_command(llorch: Callable[..., Run]) -> None:
    """Each command is told with what it does."""
    said = llorch("cache", "--help").out
    assert all(f"  {name} " in said for name in CACHE)
