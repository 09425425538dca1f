"""`llorch git submodules …`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from llorch import ui
from llorch.cli import Command, Table, dry_run_option, yes_option
from llorch.errors import Refused
from llorch.git.repo import find_repo
from llorch.git.show import (
    count,
    describe,
    finish_moves,
    lost_json,
    submodule_json,
    tell_lost,
    tell_restore,
)
from llorch.git.status import Declared, load_states, load_submodules
from llorch.git.submodules import Move, choose, load_every, move_all, outermost, to_recorded, to_tip
from llorch.switches import is_on
from llorch.table import SUBMODULES
from llorch.text import shown


@click.group(cls=Table, table=SUBMODULES, example="llorch git submodules list\nllorch git submodules reset candle")
def submodules() -> None:
    """See submodules and move them. A name is a path, or the end of one that no other submodule has."""


@click.command("list", cls=Command, looks=True, example="llorch git submodules list")
def list_submodules() -> None:
    """List the submodules, also those in submodules: commit, branch, and where they come from."""
    found = load_submodules(find_repo(Path.cwd()))
    if ui.mode.json:
        more = [{"url": each.declared.url, "follows": each.declared.follows or None} for each in found]
        rows = [{**submodule_json(each), **extra} for each, extra in zip(found, more, strict=True)]
        ui.emit_json({"submodules": rows})
        return
    _tell_none(found)
    ui.table(
        ["path", "commit", "branch", "url"],
        [
            [
                shown(each.path),
                (each.status.commit or each.declared.recorded)[:9],
                shown(each.status.branch) if each.status.branch else "detached" if each.is_usable else each.state,
                shown(each.declared.url),
            ]
            for each in found
        ],
    )


@click.command(
    cls=Command, looks=True, example="llorch git submodules status\nllorch git submodules status candle --json"
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
def status(names: tuple[str, ...]) -> None:
    """Show the state of submodules, or of the named ones: ok, moved, dirty, uninitialized or broken."""
    known = load_every(find_repo(Path.cwd()))
    found = load_states(choose(known, names) if names else known)
    if ui.mode.json:
        ui.emit_json({"submodules": [submodule_json(each) for each in found]})
        return
    _tell_none(found)
    ui.table(["path", "state", "where it is"], [[shown(each.path), each.state, describe(each)] for each in found])


@click.command(cls=Command, example="llorch git submodules update candle\nllorch git submodules update --all --pinned")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All submodules.")
@click.option("--pinned", is_flag=True, help="To the commits that are recorded, not to the tips of branches.")
@dry_run_option
def update(names: tuple[str, ...], every: bool, pinned: bool) -> int:
    """Bring submodules to the tips of the branches that they follow; those in them to what is recorded there.

    The branch is that of .gitmodules, else the remote's default. Local changes are kept, or the submodule is not moved.
    """
    repo = find_repo(Path.cwd())
    if bool(names) == every:
        raise click.UsageError("name one or more submodules, or give --all", click.get_current_context())
    known = load_every(repo)
    chosen = [each for each in known if each.parent == repo] if every else choose(known, names)
    if not pinned and len(outermost(chosen)) < len(chosen):
        hint = "update one after the other: a submodule that moves has those in it at what it records"
        raise Refused("one of these submodules is in another one of them", hint=hint)
    chosen = outermost(chosen)
    act = to_recorded if pinned else to_tip
    if is_on("LLORCH_DRY_RUN"):
        return _tell_plan(chosen, pinned)
    moves = move_all(chosen, act, to_recorded)
    _tell_none(known)
    _tell_same(moves)
    return finish_moves(moves)


@click.command(cls=Command, example="llorch git submodules reset candle")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@yes_option
@dry_run_option
def reset(names: tuple[str, ...]) -> int:
    """Make submodules exactly what is recorded: their changes and new files are listed, kept aside, and gone.

    A command that brings everything back is printed. Ignored files stay.
    """
    from llorch.git.sync import carry_out, plan_reset

    repo = find_repo(Path.cwd())
    plan = plan_reset(repo, choose(load_every(repo), names))
    dry = is_on("LLORCH_DRY_RUN")
    tell_lost(repo, plan.lost)
    if dry:
        if ui.mode.json:
            ui.emit_json({"dry_run": True, "lost": lost_json(repo, plan.lost)})
        return 0
    if plan.lost:
        ui.confirm("Reset them?", f"this takes away what is listed above, from {count(len(plan.lost), 'submodule')}")
    result = carry_out(plan, tell_restore)
    if not plan.lost:
        _tell_same(result.moves)
    return finish_moves(result.moves, lost=lost_json(repo, plan.lost), restore=result.restore, dry_run=False)


@click.command(
    cls=Command, example="llorch git submodules branch candle\nllorch git submodules branch candle fix --create"
)
@click.argument("name", metavar="NAME")
@click.argument("branch", metavar="[BRANCH]", required=False)
@click.option("--create", is_flag=True, help="Make the branch, where the submodule is now.")
def branch(name: str, branch: str | None, create: bool) -> None:
    """Show a submodule's branches, or fetch and switch to one. Refuses if local changes would be lost."""
    from llorch.git.branches import load_branches, switch

    repo = find_repo(Path.cwd())
    (chosen,) = choose(load_every(repo), [name])
    if branch is None and create:
        raise click.UsageError("name the branch that --create is to make", click.get_current_context())
    kept = switch(chosen, branch, create=create) if branch is not None else None
    if kept:
        ui.warn(f"commits that no branch has are kept as `{kept}`")
    (now,) = load_states([chosen])
    branches = [] if not now.is_usable else load_branches(chosen.repo)
    if ui.mode.json:
        ui.emit_json(
            {
                "submodule": submodule_json(now),
                "branches": [each.short for each in branches],
                "rescue": kept,
            }
        )
        return
    ui.emit(f"{shown(now.path)}  {now.state}  {describe(now)}")
    if branch is None:
        for each in branches:
            ui.emit(f"{'*' if each.local and each.short == now.status.branch else ' '} {shown(each.short)}")


def _tell_none(found: Sequence[object]) -> None:
    if not found:
        ui.tell("there are no submodules here")


def _tell_same(moves: Sequence[Move]) -> None:
    if moves and not ui.mode.verbose and all(move.outcome == "same" for move in moves):
        what = shown(moves[0].declared.path) if len(moves) == 1 else count(len(moves), "submodule")
        ui.tell(f"nothing to do: {what} {'is' if len(moves) == 1 else 'are'} there already")


def _tell_plan(chosen: list[Declared], pinned: bool) -> int:
    states = load_states(chosen)
    rows: list[dict[str, Any]] = [
        {
            "path": each.path,
            "before": each.status.commit,
            "after": each.declared.recorded if pinned else None,
            "follows": None if pinned else each.declared.follows or None,
        }
        for each in states
    ]
    if ui.mode.json:
        ui.emit_json({"dry_run": True, "submodules": rows})
        return 0
    for row in rows:
        goal = row["after"][:9] if pinned else f"the tip of {row['follows'] or 'the default branch'}"
        ui.emit(f"would bring {shown(row['path'])} to {goal}")
    return 0
