"""`llorch dev …`: what this machine has and lacks."""

import click

from llorch.cli import Table
from llorch.table import DEV


@click.group(cls=Table, table=DEV, example="llorch dev doctor\nllorch dev setup")
def dev() -> None:
    """Make a new machine a working one, and see what is wrong with it."""
