"""`llorch cache …`: targets by content, shared between machines."""

import click

from llorch.cli import Table
from llorch.table import CACHE


@click.group(cls=Table, table=CACHE, example="llorch cache status\nllorch cache push")
def cache() -> None:
    """Share targets between machines, by content."""
