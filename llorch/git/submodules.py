"""Which submodules are meant, and moving them: to their recorded commits, to the tips that they follow, to branches.

Before one is moved, its commits that nothing else reaches get a ref of ours; its local changes are never overwritten,
except by `force`, whose caller has kept them.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

from llorch.errors import LlorchError, NotFound, Refused, UnknownName, of_system
from llorch.git.backup import check_calm, check_kept, rescue
from llorch.git.porcelain import parse_config
from llorch.git.repo import NETWORK, Repo, listed
from llorch.git.status import Declared, check_place, load_declared, load_status, load_submodules
from llorch.git.unfetched import remember
from llorch.parallel import in_parallel
from llorch.text import quoted, shown

Outcome = Literal["same", "moved", "cloned", "skipped", "failed"]


class Move(NamedTuple):
    """What became of a submodule.

    Attributes:
        before, after: commits; None where there is none.
        left: the branch that it was on and is not any more.
        rescue: the ref that keeps commits which nothing else reaches.
    """

    declared: Declared
    outcome: Outcome
    before: str | None = None
    after: str | None = None
    left: str | None = None
    rescue: str | None = None
    error: LlorchError | None = None


Act = Callable[[Declared], Move]
Urls = dict[str, str]


def choose(known: Sequence[Declared], names: Iterable[str]) -> list[Declared]:
    """Return the submodules that names mean, each once: whole paths, or ends of paths that only one has.

    Raises:
        UnknownName: there is no such submodule, or there are several.
    """
    found: dict[str, Declared] = {}
    for name in names:
        wanted = os.path.normpath(name).strip("/")
        exact = [each for each in known if each.path == wanted]
        meant = exact or [each for each in known if each.path.endswith("/" + wanted)]
        if not meant:
            ends = [each.path for each in known] + [each.path.rsplit("/", 1)[-1] for each in known]
            raise UnknownName("submodule", name, ends, hint="`llorch git submodules list` shows them")
        if len(meant) > 1:
            several = " and ".join(f"`{each.path}`" for each in meant)
            raise UnknownName("single submodule", name, (), hint=f"{several} end so: give more of the path")
        found[meant[0].path] = meant[0]
    return list(found.values())


def load_every(repo: Repo) -> list[Declared]:
    """Return all submodules of a repository, also those in others, ordered by path."""
    return [each.declared for each in load_submodules(repo)]


def outermost(chosen: Sequence[Declared]) -> list[Declared]:
    """Return the submodules that are in no other one of them."""
    paths = [each.path + "/" for each in chosen]
    return [each for each in chosen if not any(each.path.startswith(path) for path in paths)]


def load_urls(repo: Repo, prefix: str = "") -> Urls:
    """Return what `.gitmodules` has for URLs now, by the submodules' paths."""
    return {each.path: each.url for each in load_declared(repo, prefix)}


def move_all(level: Sequence[Declared], act: Act, inside: Act, before: Urls | None = None) -> list[Move]:
    """Move submodules, then those in them by `inside`; a failure stops none of the others.

    Args:
        before: the URLs that `.gitmodules` had. One that is another now is taken over, and so are those in submodules
            that move; a URL of the user's own stays as long as `.gitmodules` does not change.
    """
    urls = dict(before or {})
    moves: list[Move] = []
    while level:
        refused = _register(level, urls)
        moves += refused
        failed = {move.declared.path for move in refused}
        for each in level:
            with suppress(LlorchError):  # it is broken, as its move will say
                urls |= load_urls(each.repo, each.path + "/") if _has_modules(each) else {}
        done = in_parallel([each for each in level if each.path not in failed], _caught(act), NETWORK)
        moves += done
        for move in (*refused, *done):
            if move.outcome == "failed" and move.error is not None:
                remember(move.declared, move.error)
        level = [inner for move in done if move.outcome != "failed" for inner in _inside(move.declared)]
        act = inside
    return sorted(moves, key=lambda move: move.declared.path)


def has_new_url(declared: Declared, before: Urls) -> bool:
    """Tell whether `.gitmodules` has another URL for a submodule than it had before."""
    return bool(declared.url) and before.get(declared.path, declared.url) != declared.url


def to_recorded(declared: Declared, *, force: bool = False) -> Move:
    """Bring a submodule to the commit that is recorded for it, detached, unless it is there already.

    Raises:
        Refused: local changes would be lost, and `force` is not given; or something else is in its place.
        LlorchError: the commit cannot be had, or git fails.
    """
    check_place(declared)
    if not declared.is_there:
        return _clone(declared)
    fetch_commit(declared.repo, declared.recorded)
    return _checkout(declared, declared.recorded, force=force)


def to_tip(declared: Declared) -> Move:
    """Bring a submodule to the tip of the branch that it follows, detached.

    That is the branch of `.gitmodules` (`.` is the superproject's own), else the remote's default.

    Raises:
        Refused: local changes would be lost, or something else is in its place.
        UnknownName: the remote has no such branch.
        LlorchError: it cannot be fetched, or git fails.
    """
    check_place(declared)
    cloned = _clone(declared) if not declared.is_there else None
    if not declared.is_there:
        return Move(declared, "skipped")
    follows = declared.follows
    if follows == ".":
        follows = load_status(declared.parent).branch or ""
    move = _checkout(declared, fetch_branch(declared.repo, follows), force=False)
    if cloned is None:
        return move
    return move._replace(outcome="cloned", before=None, rescue=cloned.rescue, error=move.error or cloned.error)


def is_cut_off(declared: Declared) -> bool:
    """Tell whether a clone was ended before its first checkout, or in it.

    Git writes the index when all files are there. Where it has one no more, but had, the files may be somebody's work.
    """
    try:
        folder = declared.repo.git_folder
        has_head, has_index = (os.path.lexists(os.path.join(folder, name)) for name in ("HEAD", "index"))
        if not declared.is_there or not has_head or has_index:
            return False
        return os.listdir(declared.repo.root) == [".git"] or not _has_moved(folder)
    except OSError:  # it is broken, as git will say
        return False


def _has_moved(folder: str) -> bool:
    """Tell whether HEAD has been anywhere since the clone was made."""
    try:
        with open(os.path.join(folder, "logs", "HEAD"), "rb") as file:
            return len(file.readlines()) > 1
    except FileNotFoundError:
        return False


def fetch_commit(repo: Repo, commit: str) -> None:
    """Have a commit, from the remote if it is not here."""
    if not repo.has(commit):
        repo.run("fetch", "-q", "--no-recurse-submodules", "origin")
    if not repo.has(commit):
        repo.run("fetch", "-q", "--no-recurse-submodules", "origin", commit)


def fetch_branch(repo: Repo, branch: str) -> str:
    """Fetch a branch of the remote, its default one if the name is empty, and return the commit that it is at.

    Raises:
        UnknownName: the remote has no such branch.
        LlorchError: it cannot be fetched.
    """
    branch = branch or default_branch(repo)
    hint = f"`git -C {quoted(str(repo.root))} ls-remote --heads origin` lists them"
    if not repo.says_yes("check-ref-format", f"refs/heads/{branch}"):
        raise UnknownName("branch of origin", branch, (), hint=hint)
    try:
        spec = f"+refs/heads/{branch}:refs/remotes/origin/{branch}"
        repo.run("fetch", "-q", "--no-recurse-submodules", "origin", spec)
    except NotFound as error:
        heads = repo.line("for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin")
        if repo.look("ls-remote", "--heads", "origin", f"refs/heads/{branch}"):
            raise
        raise UnknownName("branch of origin", branch, heads.split(), hint=hint) from error
    return repo.line("rev-parse", "--verify", f"refs/remotes/origin/{branch}^{{commit}}")


def default_branch(repo: Repo) -> str:
    """Return the remote's default branch, as it says itself.

    Raises:
        NotFound: it has none.
    """
    for line in os.fsdecode(repo.look("ls-remote", "--symref", "origin", "HEAD")).splitlines():
        if line.startswith("ref: refs/heads/"):
            return line.removeprefix("ref: refs/heads/").partition("\t")[0]
    raise NotFound("origin does not say which branch is its default", hint="name one: `--branch`, or `[git] branch`")


def failure(declared: Declared, error: LlorchError | OSError) -> Move:
    """Return what became of a submodule that an error stopped; what only a mistake of ours can cause stays raised."""
    own = error if isinstance(error, LlorchError) else of_system(error)
    if own is None:
        raise error
    return Move(declared, "failed", error=own)


def _inside(declared: Declared) -> list[Declared]:
    return list(load_declared(declared.repo, declared.path + "/")) if declared.is_there else []


def _has_modules(declared: Declared) -> bool:
    return declared.is_there and os.path.isfile(declared.repo.root / ".gitmodules")


def _register(level: Sequence[Declared], before: Urls) -> list[Move]:
    """Let git know what it is to clone and from where, one after the other: it locks its settings for that."""
    failed = []
    for declared in level:
        move = _caught(partial(_init, renew=has_new_url(declared, before)))(declared)
        failed += [move] if move.error else []
    return failed


def _init(declared: Declared, *, renew: bool) -> Move:
    if not declared.is_there:
        if declared.error:
            hint = "mend it, or take the submodule out: `git rm --cached`"
            raise LlorchError(f"`{shown(declared.path)}` cannot be cloned: {declared.error}", hint=hint)
        declared.parent.run("submodule", "--quiet", "init", "--", declared.inner)
    if renew:
        declared.parent.run("submodule", "--quiet", "sync", "--", declared.inner)
    return Move(declared, "same")


def _clone(declared: Declared) -> Move:
    root = declared.repo.root
    if root.is_dir() and os.listdir(root):
        # Where git has the repository still, it would write over them.
        hint = "move what is in it away, then repeat"
        raise Refused(f"`{root}` is to be cloned into, and is not empty", hint=hint)
    kept = _let_go(declared)
    # A submodule's remote is origin for us and for git itself, whatever the user's own clones call theirs.
    command = ("-c", "clone.defaultRemoteName=origin", "submodule", "--quiet", "update", "--", declared.inner)
    try:
        declared.parent.run(*command)
    except LlorchError as error:
        status = load_status(declared.repo) if declared.is_there else None
        if status is None or status.tracked or status.commit != declared.recorded:
            raise
        return Move(declared, "cloned", None, status.commit, rescue=kept, error=_of_hook(error))
    if not declared.is_there:
        return Move(declared, "skipped")  # its settings say `update = none`
    return Move(declared, "cloned", None, load_status(declared.repo).commit, rescue=kept)


def _let_go(declared: Declared) -> str | None:
    """Have nothing to lose where a submodule was that is to be elsewhere: it has one repository, and one index.

    Returns:
        The ref that keeps commits which nothing else reaches, if there are any.

    Raises:
        Refused: there are changes, or something is in progress.
    """
    folder = declared.parent.folder / "modules" / declared.name
    if ".." in declared.name.split("/") or not (folder / "config").is_file():
        return None  # git takes no such name either
    setting = parse_config(declared.parent.look("config", "-z", "--file", str(folder / "config"), "--list"))
    place = os.path.normpath(folder / setting.get("core.worktree", "."))
    before = Repo(place)
    if place == declared.repo.place or not os.path.lexists(os.path.join(place, ".git")):
        return None
    if not os.path.samefile(before.folder, folder):
        return None
    status = load_status(before)
    check_calm(before, status)
    if status.tracked:
        hint = f"commit or stash them, in `{place}`, then repeat"
        where = f"`{declared.repo.place}` is to have the repository of `{place}`"
        raise Refused(f"{where}, and changes there would be lost: {listed(status.tracked)}", hint=hint)
    return rescue(before)


def _checkout(declared: Declared, target: str, *, force: bool) -> Move:
    repo = declared.repo
    status = load_status(repo)
    cut_off = is_cut_off(declared)
    if status.commit == target and not cut_off:
        if force:
            repo.run("reset", "-q", "--hard")
        return Move(declared, "same", target, target)
    force = force or cut_off or os.listdir(repo.root) == [".git"]  # nothing to lose
    if not force:
        check_kept(repo, target)
    ref = None if force else rescue(repo)
    error = check_out(repo, "checkout", "-q", *(["-f"] if force else ["--no-overwrite-ignore"]), "--detach", target)
    if cut_off:
        return Move(declared, "cloned", None, target, error=error)
    return Move(declared, "moved", status.commit, target, status.branch, ref, error)


def check_out(repo: Repo, *command: str) -> LlorchError | None:
    """Run `git checkout` or `git switch`.

    Returns:
        The error of a hook that failed when all was done: the command fails by it, and nothing is undone.

    Raises:
        LlorchError: it was not done.
    """
    before = load_status(repo)
    try:
        repo.run(*command)
    except LlorchError as error:
        now = load_status(repo)
        # HEAD is the last that it moves; what was cut off may have been there already, without the files.
        if (now.commit, now.branch) == (before.commit, before.branch) and (now.tracked or not before.tracked):
            raise
        return _of_hook(error)
    return None


def _of_hook(error: LlorchError) -> LlorchError:
    said = [line for line in error.message.splitlines() if not line.startswith("fatal: Unable to checkout ")]
    error.message = "\n".join(["it is where it should be, but then git's hook `post-checkout` failed:", *said])
    error.hint = "`git rev-parse --git-path hooks` tells there where it is; mend it, and have it do what it is for"
    return error


def _caught(act: Act) -> Act:
    def move(declared: Declared) -> Move:
        try:
            return act(declared)
        except (LlorchError, OSError) as error:
            return failure(declared, error)

    return move
