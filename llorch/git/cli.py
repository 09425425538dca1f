"""`llorch git …` on the repository itself; `submodules_cli` has what concerns its submodules."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cli import Command, Table, dry_run_option, yes_option
from llorch.git.repo import find_repo
from llorch.git.show import (
    NAMED,
    commit_json,
    count,
    distance,
    finish_moves,
    lost_json,
    names,
    render_status,
    submodule_json,
    tell_lost,
    tell_restore,
)  # fmt: skip
from llorch.switches import is_on
from llorch.table import GIT
from llorch.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llorch.config import Settings, Workspace
    from llorch.git.porcelain import Commit
    from llorch.git.status import Repository


@click.group(cls=Table, table=GIT, example="llorch git status\nllorch git pull")
def git() -> None:
    """See the state of the repository and its submodules, and bring both to another."""


@click.command(cls=Command, looks=True, example="llorch git status\nllorch git status --json")
def status() -> None:
    """Show the state of the repository and of all its submodules.

    A submodule is ok, moved (not at the commit that is recorded for it), dirty (with changes of its own),
    uninitialized, or broken.
    """
    from llorch.git.status import load_all

    repository, submodules = load_all(find_repo(Path.cwd()))
    if ui.mode.json:
        ui.emit_json({"repository": _document(repository), "submodules": [submodule_json(s) for s in submodules]})
        return
    ui.emit(render_status(repository, submodules))


@click.command(cls=Command, example="llorch git pull")
@dry_run_option
def pull() -> int:
    """Take over what the upstream has, your commits on top; then bring the submodules to what is recorded.

    Uncommitted changes are kept. A submodule that cannot be fetched stops none of the others.
    """
    from llorch.git import pull as rules

    repo = find_repo(Path.cwd())
    if is_on("LLORCH_DRY_RUN"):
        commits = rules.fetch(repo).commits
        if ui.mode.json:
            ui.emit_json({"dry_run": True, "commits": [commit_json(commit) for commit in commits]})
            return 0
        _list(commits)
        ui.tell(f"{count(len(commits), 'commit')} would come")
        return 0
    done = rules.pull(repo)
    if not ui.mode.json:
        _list(done.commits)
        ui.emit(f"{shown(done.branch)}: {count(len(done.commits), 'commit')}, {count(len(done.files), 'file')}")
        if done.files:
            ui.emit(names(done.files, None if ui.mode.verbose else NAMED))
        if done.flattened:
            hint = f"`git reset --keep {str(done.before)[:9]}` undoes it,"
            hint += " and `git config pull.rebase merges` has pull keep them"
            ui.warn(f"{count(len(done.flattened), 'merge commit')} of yours became a line of commits; {hint}")
    return finish_moves(
        done.moves,
        dry_run=False,
        branch=done.branch,
        before=done.before,
        after=done.after,
        commits=[commit_json(commit) for commit in done.commits],
        files=list(done.files),
        flattened=[commit_json(commit) for commit in done.flattened],
    )


@click.command(cls=Command, example="llorch git sync\nllorch git sync --branch release --yes")
@click.option("--branch", metavar="BRANCH", default="", help="Of origin; else `[git] branch`, else origin's default.")
@click.option("--force", is_flag=True, help="The same as --yes.")
@yes_option
@dry_run_option
def sync(branch: str, force: bool) -> int:
    """Make the branch, its files and the submodules what origin has: a hard reset.

    What would be lost is listed and kept aside, and a command that brings it back is printed. Files that git does not
    track stay, unless they are in the way.
    """
    from llorch.git.sync import carry_out, plan_sync

    ui.mode.yes = ui.mode.yes or force
    repo = find_repo(Path.cwd())
    plan = plan_sync(repo, branch or _workspace()[1].git.branch)
    assert plan.target is not None, "a plan to sync has one"
    lost = lost_json(repo, plan.lost)
    tell_lost(repo, plan.lost)
    if is_on("LLORCH_DRY_RUN"):
        if ui.mode.json:
            ui.emit_json({"dry_run": True, "target": plan.target, "lost": lost})
        return 0
    if plan.lost:
        ui.confirm("Go on?", f"this takes away {_sum(lost)}")
    result = carry_out(plan, tell_restore)
    ui.tell(f"the repository is at {plan.target[:9]}")
    return finish_moves(result.moves, result.restore, dry_run=False, target=plan.target, lost=lost)


@click.command(cls=Command, looks=True, example="llorch git branches")
def branches() -> None:
    """List the branches, here and of remotes as they were fetched last."""
    from llorch.git.branches import load_branches

    repo = find_repo(Path.cwd())
    found = load_branches(repo)
    if ui.mode.json:
        ui.emit_json({"branches": [branch.as_json() for branch in found]})
        return
    if not found:
        ui.tell("no branches yet")
    rows = []
    for branch in found:
        ref = branch.ref
        upstream = (ref.upstream or "").removeprefix("refs/remotes/").removeprefix("refs/heads/")
        ways = "gone" if ref.gone else distance(ref.ahead, ref.behind, "it")
        rows.append([shown(branch.short), ref.commit[:9], shown(upstream), ways, shown(ref.subject)])
    ui.table(["branch", "commit", "upstream", "distance", "last commit"], rows)


@click.command("log", cls=Command, looks=True, example="llorch git log")
def show_log() -> None:
    """Show the last 20 commits, as `git log --graph` draws them."""
    from llorch.git.branches import draw_log, load_log

    repo = find_repo(Path.cwd())
    if ui.mode.json:
        ui.emit_json({"commits": [commit_json(commit) for commit in load_log(repo)]})
        return
    for line in draw_log(repo).split("\n"):
        ui.emit(shown(line))


@click.command(cls=Command, example="llorch git clean --dry-run\nllorch git clean")
@click.option("--force", is_flag=True, help="The same as --yes.")
@yes_option
@dry_run_option
def clean(force: bool) -> None:
    """Remove files that git neither tracks nor ignores, after listing them and asking; a command brings them back.

    Models and llorch's own files stay, and so do repositories in the work tree.
    """
    from llorch.git.backup import check_same, keep, now
    from llorch.git.clean import plan_clean
    from llorch.git.disk import remove

    ui.mode.yes = ui.mode.yes or force
    repo = find_repo(Path.cwd())
    workspace, settings = _workspace()
    protected = [workspace.path(settings.paths.models), workspace.state]
    loss = plan_clean(repo, protected)
    dry = is_on("LLORCH_DRY_RUN")
    restore = None
    if loss.files and not dry:
        tell_lost(repo, [loss])
        ui.confirm("Remove them?", f"this removes {count(len(loss.files), 'file')}")
        check_same(loss, plan_clean(repo, protected))
        restore = keep(loss, now()).restore
        tell_restore(restore)
        remove(repo, loss.files)
    if ui.mode.json:
        ui.emit_json({"dry_run": dry, "removed": list(loss.files), "restore": restore})
        return
    for path in loss.files:
        ui.emit(f"{'would remove' if dry else 'removed'} {shown(path)}")
    if not loss.files:
        ui.tell("nothing to remove")


def _workspace() -> "tuple[Workspace, Settings]":
    from llorch.config import find_workspace, load_settings

    workspace = find_workspace()
    return workspace, load_settings(workspace)


def _list(commits: "Sequence[Commit]") -> None:
    for commit in commits:
        ui.emit(f"{commit.id[:9]} {shown(commit.subject)}")


def _sum(lost: list[dict[str, Any]]) -> str:
    counts = {kind: sum(len(each[kind]) for each in lost) for kind in ("commits", "changed", "untracked")}
    words = {"commits": "commit", "changed": "changed file", "untracked": "untracked file"}
    return "what is listed above: " + ", ".join(count(n, words[kind]) for kind, n in counts.items() if n)


def _document(repository: "Repository") -> dict[str, Any]:
    status = repository.status
    kinds = {
        "staged": status.staged,
        "changed": status.changed,
        "untracked": status.untracked,
        "conflicted": status.conflicted,
    }
    return {
        "branch": status.branch,
        "head": status.commit,
        "upstream": status.upstream,
        "ahead": status.ahead,
        "behind": status.behind,
        **{kind: len(paths) for kind, paths in kinds.items()},
        "files": {kind: list(paths) for kind, paths in kinds.items()},
        "stashes": status.stashes,
        "operation": repository.operation,
        "origin": repository.origin,
        "last_commit": repository.commit and commit_json(repository.commit),
    }
