"""Taking over what origin has: local commits on top of it, local changes kept, submodules to what is recorded then."""

from typing import NamedTuple

from llorch.errors import Conflict, LlorchError, Refused
from llorch.git.backup import check_calm, log
from llorch.git.disk import in_the_way
from llorch.git.porcelain import Commit, Status, fields, parse_config
from llorch.git.repo import Repo, listed
from llorch.git.status import load_declared, load_operation, load_status
from llorch.git.submodules import Move, load_urls, move_all, to_recorded


class Pulled(NamedTuple):
    """What a pull brought; `before` is None where there was no commit."""

    branch: str
    before: str | None
    after: str
    commits: tuple[Commit, ...]
    files: tuple[str, ...]
    moves: tuple[Move, ...]
    flattened: tuple[Commit, ...]
    """Merge commits of the branch's own that are no more: what they had merged is in a line now."""


class Fetched(NamedTuple):
    """Where the branch is, its upstream, and the commits of that which it has not."""

    status: Status
    upstream: str
    commits: tuple[Commit, ...]


def fetch(repo: Repo) -> Fetched:
    """Fetch the branch's upstream.

    Raises:
        Refused: something is in progress, or there is no branch.
        LlorchError: the branch has no upstream, or it cannot be fetched.
    """
    status = load_status(repo)
    check_calm(repo, status)
    remote, upstream = find_upstream(repo, status)
    if remote:
        repo.run("fetch", "-q", "--no-recurse-submodules", remote)
    if not repo.has(upstream):
        hint = "`git branch --set-upstream-to origin/BRANCH` names another"
        raise LlorchError(f"the upstream of `{status.branch}` is gone: `{_short(upstream)}`", hint=hint)
    return Fetched(status, upstream, log(repo, upstream, *(["--not", "HEAD"] if status.commit else [])))


def pull(repo: Repo) -> Pulled:
    """Fetch the branch's upstream, put local commits on top of it, and bring the submodules to what is recorded.

    Raises:
        Refused: something is in progress, or files that are not tracked are in the way.
        Conflict: local commits or changes contradict what came; the message says in which state that is.
        LlorchError: see `fetch`; or git fails.
    """
    status, upstream, commits = fetch(repo)
    urls = load_urls(repo)
    merges: tuple[Commit, ...] = ()
    if commits:
        _check_free(repo, upstream)
        merges = _rebase(repo, status, upstream)
    after = load_status(repo).commit
    assert after is not None, "a branch that was put on another has its commits"
    files = _files(repo, status.commit, after)
    moves = move_all(load_declared(repo), to_recorded, to_recorded, urls)
    return Pulled(status.branch or "", status.commit, after, commits, files, tuple(moves), merges)


def find_upstream(repo: Repo, status: Status) -> tuple[str, str]:
    """Return the remote (empty if it is this repository) and the full name of the branch's upstream.

    Raises:
        LlorchError: HEAD is detached, or there is no upstream; the hint says how to have one.
    """
    if status.branch is None:
        raise Refused(f"`{repo.root}` is on no branch to pull", hint="`git switch BRANCH` goes to one")
    record = repo.look(
        "for-each-ref", "--format=%(upstream:remotename)%00%(upstream)%00", f"refs/heads/{status.branch}"
    )
    remote, upstream = tuple(fields(record)) if record else _of_unborn(repo, status)
    if not upstream:
        if not repo.look("remote"):
            raise LlorchError(f"`{repo.root}` has no remote to pull from", hint="`git remote add origin URL` names one")
        hint = f"`git branch --set-upstream-to origin/{status.branch}` names one; `git push -u origin HEAD` makes it"
        raise LlorchError(f"the branch `{status.branch}` has no upstream", hint=hint)
    return ("" if remote == "." else remote), upstream


def _of_unborn(repo: Repo, status: Status) -> tuple[str, str]:
    # A clone of an empty repository: its branch is in the settings and nowhere else.
    if not status.upstream:
        return "", ""
    remote, _, branch = status.upstream.partition("/")
    return remote, f"refs/remotes/{remote}/{branch}"


def _check_free(repo: Repo, upstream: str) -> None:
    lost = in_the_way(repo, upstream)
    if lost:
        hint = "move them away or delete them, then repeat"
        raise Refused(f"files that git does not track are in the way: {listed(lost)}", hint=hint)


def _rebase(repo: Repo, status: Status, upstream: str) -> tuple[Commit, ...]:
    """Put the branch's own commits on top of its upstream; return the merges that are in a line then."""
    if status.commit is None:
        repo.run("merge", "-q", "--ff-only", upstream)
        return ()
    keep = _keeps_merges(repo, status)
    merges = () if keep else log(repo, "--merges", "HEAD", "--not", upstream)
    try:
        repo.run("rebase", "-q", "--autostash", *(["--rebase-merges"] if keep else []), upstream)
    except LlorchError as error:
        raise _stopped(repo, status, upstream, error) from None
    now = load_status(repo)
    if now.stashes > status.stashes or now.conflicted:
        raise Conflict(
            f"the commits of {_short(upstream)} came, and your uncommitted changes contradict them: {_conflicts(now)};"
            " all of your changes are in `stash@{0}`",
            hint="either mend the files, `git add` them and `git stash drop`;"
            " or `git reset --hard`, and `git stash pop` when you are ready for them",
        )
    return merges


def _keeps_merges(repo: Repo, status: Status) -> bool:
    """Tell whether the user's settings want merges to stay merges, as git-pull(1) reads them."""
    settings = parse_config(repo.look("config", "-z", "--list"))
    how = settings.get(f"branch.{status.branch}.rebase") or settings.get("pull.rebase")
    return how in ("merges", "m")


def _stopped(repo: Repo, before: Status, upstream: str, error: LlorchError) -> LlorchError:
    """Return what a rebase that stopped means: it waits for a decision, and is undone where there is none to make.

    A hook that says no stops one, or a lock, or a disk that is full, or that git knows no name for the commits.
    """
    if load_operation(repo) is None:
        return error
    now = load_status(repo)
    if now.conflicted:
        return Conflict(
            f"your commits contradict what came from {_short(upstream)}: {_conflicts(now)}; the rebase waits",
            hint="either mend the files, `git add` them and `git rebase --continue`;"
            " or `git rebase --abort`, and all is as it was before, your changes too",
        )
    place = repo.folder / "rebase-merge"
    if not place.is_dir():
        place = repo.folder / "rebase-apply"  # with `rebase.backend` set to `apply`
    stash = place / "autostash"
    try:
        if (place / "head-name").exists():
            repo.run("rebase", "--abort")
            # Where the branch is locked git leaves HEAD beside it, and says that all went well.
            repo.run("symbolic-ref", "HEAD", f"refs/heads/{before.branch}")
            return error
        repo.run("rebase", "--quit")  # it could not even begin, and has put the changes aside
    except LlorchError as second:
        kept = f"; what was not committed is the commit in `{stash}`" if stash.exists() else ""
        hint = "mend what is in the way, then `git rebase --abort`;"
        hint += " where that fails `git rebase --quit` keeps the rest in `git stash list`"
        return LlorchError(f"{error.message}\nand the rebase could not be undone: {second.message}{kept}", hint=hint)
    return LlorchError(
        f"{error.message}\nnothing came, and all that was not committed is in `stash@{{0}}`",
        hint=f"{error.hint}; `git stash pop` brings back what `git status` does not show",
    )


def _conflicts(status: Status) -> str:
    return listed(status.conflicted) or "see `git status`"


def _files(repo: Repo, before: str | None, after: str) -> tuple[str, ...]:
    if before is None:
        return tuple(fields(repo.look("ls-tree", "-r", "-z", "--name-only", "--full-tree", after)))
    return tuple(fields(repo.look("diff", "--name-only", "-z", before, after, "--")))


def _short(ref: str) -> str:
    return ref.removeprefix("refs/remotes/").removeprefix("refs/heads/")
