"""Branches: which there are, and switching a submodule to one."""

from typing import Any, NamedTuple

from llorch.errors import LlorchError, Refused, UnknownName
from llorch.git.backup import check_calm, check_kept, rescue
from llorch.git.porcelain import LOG, REFS, Commit, Ref, parse_log, parse_refs
from llorch.git.repo import Repo, as_argument
from llorch.git.status import Declared, check_place, load_status
from llorch.git.submodules import check_out, fetch_branch
from llorch.text import shown

LAST = "-20"
"""Commits that `log` shows."""


class Branch(NamedTuple):
    """A branch of this repository or, as fetched last, of a remote."""

    ref: Ref

    @property
    def local(self) -> bool:
        """Tell whether it is this repository's own."""
        return self.ref.name.startswith("refs/heads/")

    @property
    def short(self) -> str:
        """Its name as git's commands take it."""
        return self.ref.name.removeprefix("refs/heads/").removeprefix("refs/remotes/")

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON documents have it."""
        ref = self.ref
        known = {"ahead": ref.ahead, "behind": ref.behind} if ref.upstream and not ref.gone else {}
        return {
            "name": self.short,
            "local": self.local,
            "commit": ref.commit,
            "upstream": ref.upstream,
            "gone": ref.gone,
            "ahead": None,
            "behind": None,
            **known,
            "subject": ref.subject,
        }


def load_branches(repo: Repo) -> list[Branch]:
    """Return all branches, this repository's first."""
    refs = repo.look("for-each-ref", f"--format={REFS}", "refs/heads", "refs/remotes")
    return [Branch(ref) for ref in parse_refs(refs)]


def load_log(repo: Repo) -> tuple[Commit, ...]:
    """Return the last commits."""
    return parse_log(repo.look("log", LAST, "-z", LOG)) if repo.has("HEAD") else ()


def draw_log(repo: Repo) -> str:
    """Return the last commits as git draws them for people."""
    if not repo.has("HEAD"):
        return "no commits yet"
    return repo.line("log", LAST, "--oneline", "--graph", "--decorate", "--color=never")


def switch(declared: Declared, branch: str, *, create: bool) -> str | None:
    """Fetch, and switch a submodule to a branch, its own or one of origin; or to a new one at the commit it is at.

    Returns:
        The ref that keeps commits which no branch, tag or remote has, if there are any.

    Raises:
        UnknownName: there is no such branch.
        Refused: local changes would be lost, something is in progress, or the new branch is there already.
        LlorchError: it cannot be fetched, or git fails.
    """
    repo = declared.repo
    check_place(declared)
    if not declared.is_there:
        hint = f"`llorch git submodules update --pinned {as_argument(declared.path)}` clones it"
        raise LlorchError(f"`{shown(declared.path)}` is not initialized", hint=hint)
    if not repo.says_yes("check-ref-format", f"refs/heads/{branch}"):
        raise UnknownName("branch", branch, (), hint="a branch's name has no spaces and none of ~^:?*[\\")
    if create:
        _create(repo, branch)
        return None
    known = {each.ref.name for each in load_branches(repo)}
    here, there = f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"
    try:
        fetch_branch(repo, branch)
    except UnknownName:
        if here not in known:
            names = sorted({each.short.removeprefix("origin/") for each in load_branches(repo)})
            hint = f"`llorch git submodules branch {as_argument(declared.path)}` lists them; `--create` makes one"
            raise UnknownName("branch", branch, names, hint=hint) from None
    check_kept(repo, here if here in known else there)
    kept = rescue(repo)
    if here in known:
        error = check_out(repo, "switch", "-q", "--no-overwrite-ignore", branch)
    else:
        _follow(repo, branch)
        error = check_out(repo, "switch", "-q", "--no-overwrite-ignore", "-c", branch, "--track", f"origin/{branch}")
    if error is not None:
        error.message += f"\ncommits that no branch has are kept as `{kept}`" if kept else ""
        raise error
    return kept


def _follow(repo: Repo, branch: str) -> None:
    """Have git fetch a branch of origin from now on: a shallow clone, or one of a single branch, leaves out others."""
    specs = repo.line("config", "--get-all", "remote.origin.fetch").split("\n")
    if not {"+refs/heads/*:refs/remotes/origin/*", f"+refs/heads/{branch}:refs/remotes/origin/{branch}"} & set(specs):
        repo.run("remote", "set-branches", "--add", "origin", branch)


def _create(repo: Repo, branch: str) -> None:
    check_calm(repo, load_status(repo))
    if repo.says_yes("show-ref", "--verify", "-q", f"refs/heads/{branch}"):
        raise Refused(f"the branch `{branch}` is there already", hint="without `--create` you switch to it")
    error = check_out(repo, "switch", "-q", "-c", branch)
    if error is not None:
        raise error
