"""Making work trees exactly what a commit has: planned and told first, kept, and only then done."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from llorch.errors import LlorchError
from llorch.git.backup import Backup, Loss, find_again, find_loss, keep, now, way_back
from llorch.git.disk import remove
from llorch.git.failures import no_origin
from llorch.git.repo import GITS, Repo
from llorch.git.status import Declared, check_place, load_declared
from llorch.git.submodules import (
    Move,
    Urls,
    failure,
    fetch_branch,
    fetch_commit,
    has_new_url,
    load_urls,
    move_all,
    outermost,
    to_recorded,
)
from llorch.parallel import in_parallel

if TYPE_CHECKING:
    from llorch.git.repo import Say


class Plan(NamedTuple):
    """What is to be done: the repository's target if it moves itself, its submodules and what all of them lose."""

    repo: Repo
    target: str | None
    submodules: tuple[Declared, ...]
    losses: tuple[Loss, ...]
    failed: tuple[Move, ...]
    """Submodules that are left alone, and why."""

    @property
    def lost(self) -> tuple[Loss, ...]:
        """Where there is something to lose."""
        return tuple(loss for loss in self.losses if not loss.is_none)


class Result(NamedTuple):
    """What was done."""

    backups: tuple[Backup, ...]
    moves: tuple[Move, ...]
    restore: str | None
    """The one command that brings everything back, also what only moved; None if nothing was lost."""


def plan_sync(repo: Repo, branch: str) -> Plan:
    """Fetch a branch of origin (its default one if empty), and plan to make the work tree what that has.

    Raises:
        Refused: something is in progress.
        UnknownName: there is no such branch.
        LlorchError: it cannot be fetched.
    """
    check_origin(repo)
    target = fetch_branch(repo, branch)
    loss = find_loss(repo, target, "reset", untracked=False)
    level = load_declared(repo, tree=target)
    losses, failed = _find_losses(level, load_urls(repo), untracked=False)
    return Plan(repo, target, level, (loss, *losses), failed)


def plan_reset(repo: Repo, chosen: Sequence[Declared]) -> Plan:
    """Plan to make submodules, and those in them, what is recorded, without anything that is not tracked."""
    level = tuple(outermost(chosen))
    losses, failed = _find_losses(level, {}, untracked=True)
    return Plan(repo, None, level, losses, failed)


def carry_out(plan: Plan, tell: "Say | None" = None) -> Result:
    """Keep what is lost, then do what is planned.

    Args:
        tell: is given the way back before anything is taken away, so that it is known whatever happens then.

    Raises:
        Refused: what is there is not what was planned for, or cannot be kept.
        LlorchError: the repository itself could not be moved; the hint has the way back. Of submodules see the moves.
    """
    urls = load_urls(plan.repo) if plan.target is not None else {}
    losses = in_parallel(plan.losses, find_again, GITS)
    moment = now()
    kept = {loss.repo: keep(loss, moment) for loss in losses if not loss.is_none}
    backups = tuple(kept.values())
    back = [kept[loss.repo].restore if loss.repo in kept else way_back(loss) for loss in losses]
    restore = " && ".join(filter(None, back)) if kept else None
    if restore and tell:
        tell(restore)
    try:
        for loss in losses:
            remove(loss.repo, loss.files)
        if plan.target is not None:
            plan.repo.run("reset", "-q", "--hard", plan.target)
    except (LlorchError, OSError) as error:
        hint = f"what was taken away until then comes back with: {restore}" if restore else getattr(error, "hint", None)
        raise LlorchError(f"it could not be finished: {error}", hint=hint) from error
    failed = {move.declared.path: move for move in plan.failed}
    planned = {loss.repo.root for loss in plan.losses}

    def act(declared: Declared) -> Move:
        if declared.path in failed:
            return failed[declared.path]
        return to_recorded(declared, force=declared.repo.root in planned)

    return Result(backups, tuple(move_all(plan.submodules, act, act, urls)), restore)


def check_origin(repo: Repo) -> None:
    """Make sure that there is something to fetch from.

    Raises:
        LlorchError: there is no remote called origin.
    """
    if b"origin" not in repo.look("remote").split(b"\n"):
        raise no_origin(repo.root)


def _find_losses(
    level: Sequence[Declared], urls: Urls, *, untracked: bool
) -> tuple[tuple[Loss, ...], tuple[Move, ...]]:
    """Return what submodules and those in them would lose, and those that cannot be dealt with.

    One whose commit has to come from a URL that it does not have yet loses nothing: it is moved only if it need not.
    """
    losses: list[Loss] = []
    failed: list[Move] = []

    def look(declared: Declared) -> tuple[Declared, ...]:
        try:
            check_place(declared)
            if has_new_url(declared, urls) and not declared.repo.has(declared.recorded):
                return ()
            fetch_commit(declared.repo, declared.recorded)
            loss = find_loss(declared.repo, declared.recorded, "leaves", untracked=untracked)
            inner = load_declared(declared.repo, declared.path + "/", tree=declared.recorded)
        except (LlorchError, OSError) as error:
            failed.append(failure(declared, error))
            return ()
        losses.append(loss)
        return inner

    while level:
        found = in_parallel([each for each in level if each.is_there], look, GITS)
        level = [inner for inside in found for inner in inside]
    return tuple(sorted(losses, key=lambda loss: loss.repo.root)), tuple(failed)
