"""`llorch remote setup`."""

from typing import TYPE_CHECKING, Any

import click

from llorch.cli import Command, dry_run_option, yes_option
from llorch.remote.change_cli import change
from llorch.remote.cli import HERE
from llorch.session import session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llorch.remote.setup import Plan
    from llorch.remote.there import There


@click.command(cls=Command, local=HERE, example="llorch remote setup workstation\nllorch remote setup mac,box --yes")
@click.argument("host", metavar="[HOST]", default="")
@yes_option
@dry_run_option
def setup(host: str) -> int:
    """Install this llorch on a host, or on several (`mac,box`, `@TAG`, `all`), and write into hosts.toml where it is.

    It goes into `.venv` of the repository there, without root. What it needs comes from the package index that pip
    there knows, or from here if it gets to none. What is there already is kept; another version is replaced.
    """
    import tempfile
    from pathlib import Path

    from llorch.remote import setup as rules
    from llorch.remote.wheels import own_wheel

    workspace = session().workspace
    with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
        wheel = own_wheel(Path(folder))

        def plan(there: "There") -> "Plan":
            return rules.plan_setup(there, wheel)

        def carry_out(plan: "Plan", there: "There") -> "Mapping[str, Any]":
            return rules.carry_out(there, wheel, workspace).as_json()

        return change(host, plan, carry_out)
