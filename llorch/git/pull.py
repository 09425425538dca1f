"""Taking over what origin has: local commits on top of it, local changes kept, submodules to what is recorded then."""

from typing import NamedTuple

from llorch.errors import CommandFailed, Conflict, LlorchError, Refused
from llorch.git.backup import check_calm, log
from llorch.git.disk import in_the_way
from llorch.git.porcelain import Commit, Status, fields
from llorch.git.repo import Repo
from llorch.git.status import load_declared, load_operation, load_status
from llorch.git.submodules import Move, move_all, to_recorded


class Pulled(NamedTuple):
    """What a pull brought; `before` is None where there was no commit."""

    branch: str
    before: str | None
    after: str
    commits: tuple[Commit, ...]
    files: tuple[str, ...]
    moves: tuple[Move, ...]


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
    urls = {each.path: each.url for each in load_declared(repo)}
    if commits:
        _check_free(repo, upstream)
        _rebase(repo, status, upstream)
    after = load_status(repo).commit
    assert after is not None, "a branch that was put on another has its commits"
    files = _files(repo, status.commit, after)
    moves = move_submodules(repo, urls)
    return Pulled(status.branch or "", status.commit, after, commits, files, tuple(moves))


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


def move_submodules(repo: Repo, urls: dict[str, str]) -> list[Move]:
    """Bring all submodules to what is recorded; those whose URL is not the one in `urls` any more get the new one."""
    level = load_declared(repo)
    for each in level:
        if each.is_there and urls.get(each.path, each.url) != each.url:
            repo.run("submodule", "--quiet", "sync", "--", each.inner)
    return move_all(level, to_recorded, to_recorded)


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
        raise Refused(f"files that git does not track are in the way: {', '.join(lost)}", hint=hint)


def _rebase(repo: Repo, status: Status, upstream: str) -> None:
    if status.commit is None:
        repo.run("merge", "-q", "--ff-only", upstream)
        return
    try:
        repo.run("rebase", "-q", "--autostash", upstream)
    except CommandFailed:
        now = load_status(repo)
        if not now.conflicted:  # a hook says no, or git knows no name for the commits
            if load_operation(repo) is not None:
                repo.run("rebase", "--abort")
            raise
        raise Conflict(
            f"your commits contradict what came from {_short(upstream)}: {_listed(now)}; the rebase waits",
            hint="either mend the files, `git add` them and `git rebase --continue`;"
            " or `git rebase --abort`, and all is as it was before, your changes too",
        ) from None
    now = load_status(repo)
    if now.stashes > status.stashes or now.conflicted:
        raise Conflict(
            f"the commits of {_short(upstream)} came, and your uncommitted changes contradict them: {_listed(now)};"
            " all of your changes are in `stash@{0}`",
            hint="either mend the files, `git add` them and `git stash drop`;"
            " or `git reset --hard`, and `git stash pop` when you are ready for them",
        )


def _listed(status: Status) -> str:
    return ", ".join(status.conflicted) or "see `git status`"


def _files(repo: Repo, before: str | None, after: str) -> tuple[str, ...]:
    if before is None:
        return tuple(fields(repo.look("ls-tree", "-r", "-z", "--name-only", "--full-tree", after)))
    return tuple(fields(repo.look("diff", "--name-only", "-z", before, after, "--")))


def _short(ref: str) -> str:
    return ref.removeprefix("refs/remotes/").removeprefix("refs/heads/")
