"""`llorch remote sync`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cli import Command, dry_run_option, yes_option
from llorch.remote.change_cli import change
from llorch.remote.cli import HERE
from llorch.session import session
from llorch.text import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llorch.git.repo import Repo
    from llorch.remote.sync import Plan
    from llorch.remote.there import There


@click.command(cls=Command, local=HERE, example="llorch remote sync workstation\nllorch remote sync @cuda --changes")
@click.argument("host", metavar="[HOST]", default="")
@click.option("--changes", is_flag=True, help="Bring also what is not committed, and new files that are not ignored.")
@click.option("--force", is_flag=True, help="The same as --yes.")
@yes_option
@dry_run_option
def sync(host: str, changes: bool, force: bool) -> int:
    """Bring the repository of a host, or of several (`mac,box`, `@TAG`, `all`), to the commit that is HEAD here.

    It needs no way to where the repository comes from: the commits come from here, those of submodules too, and the
    first ones as well. What a host would lose is named and asked about, kept there, and a command brings it back.
    """
    from llorch.git.repo import find_repo
    from llorch.remote import sync as rules
    from llorch.remote.parts import find_parts, offered

    ui.mode.yes = ui.mode.yes or force
    run = session()
    repo = find_repo(Path.cwd())
    ours = [run.workspace.path(run.settings.paths.models), run.workspace.state]
    parts = find_parts(repo, changes=changes, without=ours)
    origin = _origin(repo)

    def plan(there: "There") -> "Plan":
        return rules.plan_sync(there, parts)

    def carry_out(plan: "Plan", there: "There") -> "Mapping[str, Any]":
        return rules.carry_out(plan, there, origin)

    with offered(parts):
        return change(host, plan, carry_out)


def _origin(repo: "Repo") -> str | None:
    """Return where the repository comes from, without secrets, unless only this machine knows it."""
    if not repo.says_yes("config", "remote.origin.url"):
        return None
    url = without_credentials(repo.line("config", "remote.origin.url"))
    if url.startswith(("/", ".", "~", "file:")):
        return None
    return re.sub(r"[?#].*", "", url) if "://" in url else url  # in what scp takes they are part of a path
