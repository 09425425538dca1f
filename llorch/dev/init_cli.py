"""`llorch init`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from llorch import ui
from llorch.cli import Command, dry_run_option
from llorch.dev.crates import find_packages
from llorch.dev.declare import plan_builds, plan_suites
from llorch.dev.init import SETTINGS, Step, check_place, plan_files, write_files
from llorch.switches import is_on
from llorch.text import shown
from llorch.workspace import find_workspace

NAMED = 5
"""Things left out that are named, and the rest is counted, unless `-v` is given."""


class New(Command):
    """A command for a folder that is to be a workspace of its own, whatever is above it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Take the folder that is named, or `-C`'s, or the current one."""
        meta = ctx.find_root().meta
        folder = ctx.params["folder"] or meta.get("directory") or os.environ.get("LLORCH_REPO_ROOT") or os.getcwd()
        if os.path.isdir(folder):
            meta["directory"] = None
            os.environ["LLORCH_REPO_ROOT"] = folder
        return super().invoke(ctx)


@click.command(cls=New, example="llorch init\nllorch init ~/src/project --dry-run")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False))
@dry_run_option
def init(folder: str | None) -> None:
    """Make the files of a workspace in DIR, or here: llorch.toml, catalog.toml, hosts.toml, dodo.py.

    The binaries of cargo packages are found and declared. A file that is there stays as it is; .gitignore gets lines
    for the model folder and for what Python makes of dodo.py.
    """
    here = Path.cwd()
    above = find_workspace(here.parent, {})
    steps, left_out, submodules = plan(here)
    dry = is_on("LLORCH_DRY_RUN")
    if not dry:
        write_files(here, steps)
    if ui.mode.json:
        files = files_json(steps)
        ui.emit_json(
            {"dry_run": dry, "folder": str(here), "files": files, "left_out": left_out, "submodules": submodules}
        )
        return
    tell_files(steps, dry=dry)
    for text in left_out if ui.mode.verbose else left_out[:NAMED]:
        ui.tell(f"left out: {text}")
    if len(left_out) > NAMED and not ui.mode.verbose:
        ui.tell(f"left out: {len(left_out) - NAMED} more; `-v` names them")
    if above.declared:
        ui.tell(f"{above.root} is a workspace too; from here down this one counts")
    if submodules:
        ui.tell(f"submodules: {', '.join(map(shown, submodules))}; `llorch dev setup` fetches those that are not there")
    ui.tell("next: `llorch list` shows the tasks, `llorch dev setup` gets what they need")


class Plan(NamedTuple):
    """What becomes of the files, what of the folder was left out, and its submodules."""

    steps: tuple[Step, ...]
    left_out: tuple[str, ...]
    submodules: tuple[str, ...]


def plan(folder: Path) -> Plan:
    """Return what is to be done in a folder.

    Raises:
        ConfigError: its own Cargo.toml, or its llorch.toml, is wrong.
        Refused: it is not to be a workspace.
    """
    from llorch.build.plan import COMMANDS, DEFAULTS
    from llorch.git.modules import submodule_paths
    from llorch.test.plan import ALL
    from llorch.test.plan import DEFAULTS as SUITES

    check_place(folder)
    found = find_packages(folder) if not os.path.lexists(folder / SETTINGS) else None
    packages, left_out = (found.packages, found.left_out) if found is not None else ((), ())
    builds, suites = plan_builds(packages, DEFAULTS, COMMANDS), plan_suites(packages, SUITES, (ALL,))
    return Plan(plan_files(folder, builds, suites), left_out, tuple(submodule_paths(os.path.realpath(folder))))


def tell_files(steps: Sequence[Step], *, dry: bool) -> None:
    """Write what has become of the files, or would."""
    verbs = {"made": "would be made" if dry else "made", "changed": "would be changed" if dry else "changed"}
    ui.table(
        ["file", "outcome", "what it says"],
        [[step.name, verbs.get(step.outcome, "kept"), step.about] for step in steps],
    )


def files_json(steps: Sequence[Step]) -> list[dict[str, str]]:
    """Return the files as JSON documents have them."""
    return [{"path": step.name, "outcome": step.outcome} for step in steps]
