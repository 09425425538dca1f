"""How git's commands tell of what they found and did: in words for people, and in JSON."""

from __future__ import annotations

import os
import sys
import time

from llorch import ui
from llorch.git.repo import as_argument, listed
from llorch.text import quoted, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from llorch.git.backup import Loss
    from llorch.git.porcelain import Commit
    from llorch.git.repo import Repo
    from llorch.git.status import Declared, Repository, Submodule
    from llorch.git.submodules import Move

NAMED = 5
"""Files of a kind that `status` names, and the rest it counts, unless everything is asked for with `-v`."""
_STYLES: dict[str, ui.Style] = {"ok": "good", "broken": "bad", "uninitialized": "dim"}


def commit_json(commit: Commit) -> dict[str, Any]:
    """Return a commit as JSON documents have it."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(commit.time))
    return {"commit": commit.id, "time": when, "author": commit.author, "subject": commit.subject}


def submodule_json(submodule: Submodule) -> dict[str, Any]:
    """Return a submodule's state as JSON documents have it."""
    status = submodule.status
    return {
        "path": submodule.path,
        "state": submodule.state,
        "commit": status.commit,
        "recorded": submodule.declared.recorded,
        "branch": status.branch,
        "ahead": submodule.ahead,
        "behind": submodule.behind,
        "changed": len(status.tracked),
        "untracked": len(status.untracked),
        "operation": submodule.operation,
        "error": submodule.error or submodule.unfetched,
    }


def describe(submodule: Submodule) -> str:
    """Return where a submodule is, in words."""
    status = submodule.status
    if submodule.error:
        return shown(submodule.error.splitlines()[0])
    # The reason without git's words for it, which JSON has.
    unfetched = (
        [f"could not be fetched: {shown(submodule.unfetched.partition(': ')[0])}"] if submodule.unfetched else []
    )
    if submodule.state == "uninitialized" and unfetched:
        return unfetched[0]
    if submodule.state == "uninitialized" and submodule.declared.unasked:
        return f"not cloned unless asked for: {_asking(submodule.declared)} does it"
    if submodule.state == "uninitialized":
        return f"`llorch git submodules update --pinned {as_argument(submodule.path)}` clones it"
    where = shown(status.branch) if status.branch else "detached at " + (status.commit or "nothing")[:9]
    if submodule.ahead is None:
        away = f"recorded {submodule.declared.recorded[:9]}, which is not here"
    else:
        away = distance(submodule.ahead, submodule.behind, f"recorded {submodule.declared.recorded[:9]}")
    counts = (
        (len(status.tracked), "changed"),
        (len(status.untracked), "untracked"),
        (len(status.conflicted), "in conflict"),
    )
    changes = [f"{count} {word}" for count, word in counts if count]
    doing = [f"{submodule.operation} in progress"] if submodule.operation else []
    return ", ".join([where, *([away] if away else []), *changes, *doing, *unfetched])


def distance(ahead: int, behind: int | None, what: str) -> str:
    """Return how far something is from another in words, nothing if it is not.

    >>> distance(2, 1, "origin/main")
    '2 ahead of and 1 behind origin/main'
    """
    ways = [f"{ahead} ahead of"] * (ahead > 0) + [f"{behind} behind"] * bool(behind)
    return f"{' and '.join(ways)} {what}" if ways else ""


def render_status(repository: Repository, submodules: Sequence[Submodule]) -> str:
    """Return the state of a repository and its submodules in words; of those as recorded only how many, unless `-v`."""
    lines = list(_lines(repository))
    if submodules:
        told = [each for each in submodules if each.state != "ok" or each.unfetched or ui.mode.verbose]
        fine = sum(each.state == "ok" for each in submodules)
        lines += ["", f"{count(len(submodules), 'submodule')}, {fine} as recorded"]
        width = max((len(shown(each.path)) for each in told), default=0)
        for each in told:
            word = ui.style(f"{each.state:<13}", _STYLES.get(each.state, "note"))
            lines.append(f"{shown(each.path):<{width}}  {word}  {describe(each)}")
    return "\n".join(lines)


def names(paths: Sequence[str], most: int | None = None) -> str:
    """Return paths in a line, the first `most` of them if there are more."""
    rest = len(paths) - len(paths[:most])
    return listed(paths[:most]) + (f" and {rest} more" if rest else "")


def count(number: int, what: str) -> str:
    """Return a number of things.

    >>> count(1, "commit"), count(2, "changed file")
    ('1 commit', '2 changed files')
    """
    return f"{number} {what}" + ("s" if number != 1 else "")


def tell_lost(repo: Repo, losses: Sequence[Loss]) -> None:
    """Say exactly what would be lost, of each repository; also to a quiet run, if it is asked about it."""
    if ui.mode.json or (ui.mode.quiet and ui.mode.yes):
        return
    for loss in losses:
        where = shown(place_of(repo, loss.repo))
        for commit in loss.commits:
            ui.print_err(f"{where}: commit {commit.id[:9]} {shown(commit.subject)}")
        for path in loss.changes:
            ui.print_err(f"{where}: changes of {shown(path)}")
        for path in loss.files:
            ui.print_err(f"{where}: the file {shown(path)}, which git does not track")


def place_of(repo: Repo, other: Repo) -> str:
    """Return where a submodule is from the repository's folder; a dot for itself."""
    return os.path.relpath(other.root, repo.root)


def lost_json(repo: Repo, losses: Sequence[Loss]) -> list[dict[str, Any]]:
    """Return what is lost as JSON documents have it."""
    return [
        {
            "path": place_of(repo, loss.repo),
            "commits": [commit_json(commit) for commit in loss.commits],
            "changed": list(loss.changes),
            "untracked": list(loss.files),
        }
        for loss in losses
    ]


def tell_restore(command: str) -> None:
    """Tell how what is about to be taken away comes back: before, so that it is there whatever ends the run."""
    if not ui.mode.json:
        ui.tell("what is taken away is kept; this brings it back:")
        ui.emit(command)
        sys.stdout.flush()


def finish_moves(moves: Sequence[Move], restore: str | None = None, **more: Any) -> int:
    """Tell what became of submodules; return the exit code, the first failure's.

    Args:
        restore: how lost work comes back, for JSON documents; people are told before, see `tell_restore`.
    """
    failed = [move for move in moves if move.error is not None]
    if ui.mode.json:
        ui.emit_json({**more, "restore": restore, "submodules": [_move_json(move) for move in moves]})
    else:
        for move in moves:
            if move.outcome != "same" or ui.mode.verbose:
                ui.emit(_sentence(move))
        for move in moves:
            if move.rescue:
                ui.warn(f"{shown(move.declared.path)}: commits that no branch has are kept as `{move.rescue}`")
        unmoved = [move for move in failed if move.outcome == "failed"]
        if unmoved:
            they = "it is as it was" if len(unmoved) == 1 else "they are as they were"
            ui.print_err(f"{len(unmoved)} of {count(len(moves), 'submodule')} could not be moved: {they}")
            _tell_failed(unmoved)
        _tell_failed([move for move in failed if move.outcome != "failed"])
    return next((move.error.exit_code for move in failed if move.error is not None), 0)


def _tell_failed(failed: Sequence[Move]) -> None:
    """Say why submodules could not be moved, or what failed then, once where several have one reason."""
    reasons: dict[tuple[str, str | None], list[str]] = {}
    for move in failed:
        assert move.error is not None, "only what failed is told here"
        reasons.setdefault((move.error.message, move.error.hint), []).append(move.declared.path)
    for (message, hint), paths in reasons.items():
        ui.print_err(f"  {listed(paths)}: {ui.harmless(message)}")
        if hint:
            ui.print_err(f"    hint: {ui.harmless(hint)}")


def _asking(declared: Declared) -> str:
    """Return the command that clones a submodule whose settings want it cloned by nobody who does not ask for it."""
    return f"`git -C {quoted(declared.parent.place)} submodule update --init --checkout {as_argument(declared.inner)}`"


def _sentence(move: Move) -> str:
    path = shown(move.declared.path)
    before, after = (move.before or "nothing")[:9], (move.after or "nothing")[:9]
    left = f"; it was on {shown(move.left)}" if move.left else ""
    return {
        "same": f"{path} is at {after} already",
        "moved": f"{path} moved from {before} to {after}{left}",
        "cloned": f"{path} cloned, at {after}",
        "skipped": f"{path} skipped, as its settings say; {_asking(move.declared)} clones it",
        "failed": f"{path} failed",
    }[move.outcome]


def _move_json(move: Move) -> dict[str, Any]:
    return {
        "path": move.declared.path,
        "outcome": move.outcome,
        "before": move.before,
        "after": move.after,
        "left": move.left,
        "rescue": move.rescue,
        "error": move.error and move.error.as_json(),
    }


def _lines(repository: Repository) -> Iterator[str]:
    status = repository.status
    yield ui.style(shown(status.branch) if status.branch else "detached", "bold") + _upstream(repository)
    if repository.commit is None:
        yield "no commits yet"
    else:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(repository.commit.time))
        yield f"{repository.commit.id[:9]} {when} {shown(repository.commit.subject)}"
    yield f"origin {shown(repository.origin)}" if repository.origin else "no origin"
    for word, paths in (
        ("in conflict", status.conflicted),
        ("staged", status.staged),
        ("changed", status.changed),
        ("untracked", status.untracked),
    ):
        if paths:
            yield f"{ui.style(f'{len(paths)} {word}', 'note')}: {names(paths, None if ui.mode.verbose else NAMED)}"
    if status.stashes:
        yield f"{status.stashes} stashed"
    if repository.operation:
        verb = repository.operation
        ways = f"`git {verb} --continue` goes on, `git {verb} --abort` gives it up"
        ways = "`git bisect reset` ends it" if verb == "bisect" else ways
        yield ui.style(f"{verb} in progress", "note") + f": {ways}"


def _upstream(repository: Repository) -> str:
    status = repository.status
    if status.upstream is None:
        return ", without an upstream" if status.branch else ""
    if status.ahead is None:
        return (
            f", its upstream {shown(status.upstream)} is gone"
            if status.commit
            else f", to follow {shown(status.upstream)}"
        )
    away = distance(status.ahead, status.behind, shown(status.upstream))
    return ", " + (away or f"even with {shown(status.upstream)}")
