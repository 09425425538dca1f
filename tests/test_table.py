"""The tables of commands."""

from importlib import import_module

import click
import pytest

from llorch.table import TABLES, Place

PLACES = {f"{group} {name}".strip(): place for group, table in TABLES.items() for name, place in table.items()}


@pytest.mark.parametrize(("path", "place"), PLACES.items(), ids=PLACES)
def test_a_command_is_where_the_table_says(path: str, place: Place) -> None:
    """There is a command of that name; a group of commands that are in a table has its own, by its path."""
    command = getattr(import_module(place.module), place.name)
    assert isinstance(command, click.Command)
    assert command.name == path.rpartition(" ")[2]
    assert getattr(command, "table", None) is TABLES.get(path)
