"""The state of a repository and of its submodules, looked at all at once. Changing anything is not this file's job."""

from __future__ import annotations

import os
import stat

from llorch.errors import CommandFailed, DiskFull, LlorchError, Malformed, Refused
from llorch.git.porcelain import LOG, Commit, Status, parse_config, parse_links, parse_log, parse_status
from llorch.git.repo import Repo, as_argument, look_alone, look_together
from llorch.git.unfetched import load_unfetched
from llorch.record import Record
from llorch.text import without_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Literal

    from llorch.shell import Talk

    State = Literal["ok", "moved", "dirty", "uninitialized", "broken"]
_STATUS = (
    "status", "--porcelain=v2", "--branch", "--show-stash", "-z", "--untracked-files=normal",
    "--ignore-submodules=dirty",
)  # fmt: skip
_OPERATIONS = {
    "rebase-merge": "rebase",
    "rebase-apply/applying": "am",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""What git keeps in its folder while something is in progress, as its own wt-status.c looks for it."""


class Repository(Record):
    """The state of a repository but for its submodules."""

    status: Status
    commit: Commit | None
    origin: str | None
    operation: str | None


class Declared(Record):
    """A submodule that an index or a tree has.

    Attributes:
        path: from the top repository's folder, also of one in a submodule.
        inner: its path in `parent`.
        recorded: the commit that `parent` has for it.
        name, url, follows: of `.gitmodules`; `follows` is the branch that it names, or empty.
        unasked: `.gitmodules` wants nobody to have it who does not ask for it (`update = none`).
        error: why it cannot be used, whatever is in its folder.
    """

    path: str
    inner: str
    parent: Repo
    recorded: str
    name: str = ""
    url: str = ""
    follows: str = ""
    unasked: bool = False
    error: str = ""

    @property
    def repo(self) -> Repo:
        """Its own repository, if it is there."""
        return self.parent.inside(self.inner)

    @property
    def is_there(self) -> bool:
        """Tell whether it has a work tree, or something that may not be looked at."""
        try:
            os.lstat(os.path.join(self.repo.place, ".git"))
        except OSError as error:
            return isinstance(error, PermissionError)
        return True


class Submodule(Record):
    """The state of a submodule; `ahead` and `behind` count from the recorded commit, None where that is not here."""

    declared: Declared
    state: State
    status: Status = Status()
    ahead: int | None = None
    behind: int | None = None
    operation: str | None = None
    error: str | None = None
    unfetched: str | None = None
    """Why it could not be fetched when that was tried last."""

    @property
    def is_usable(self) -> bool:
        """Tell whether git can work in it."""
        return self.state not in ("uninitialized", "broken")

    @property
    def path(self) -> str:
        """Where it is, from the top repository's folder."""
        return self.declared.path


def load_status(repo: Repo) -> Status:
    """Return what git says of a work tree, whose submodules may have moved but are not looked into."""
    return look_alone(_status(repo))


def load_all(repo: Repo) -> tuple[Repository, tuple[Submodule, ...]]:
    """Return the state of a repository and of all its submodules, also of those in submodules, ordered by path.

    Raises:
        LlorchError: git cannot tell of the repository. What is wrong with a submodule is part of its state.
    """
    looks: list[Talk[Any]] = [_declared(repo), _origin(repo)]
    level, origin = look_together(looks)
    looks = [_repository(repo, origin), *map(_state, level)]
    repository, *states = look_together(looks)
    return repository, _with_inner(states)


def load_submodules(repo: Repo) -> tuple[Submodule, ...]:
    """Return the state of all submodules of a repository, ordered by path."""
    return _with_inner(load_states(load_declared(repo)))


def load_declared(repo: Repo, prefix: str = "", tree: str | None = None) -> tuple[Declared, ...]:
    """Return the submodules of a repository's index, or of a commit's tree, but not those in them."""
    return look_alone(_declared(repo, prefix, tree))


def load_states(chosen: Iterable[Declared]) -> list[Submodule]:
    """Return the states of submodules, in which an error is a state too."""
    return look_together(map(_state, chosen))


def _with_inner(states: list[Submodule]) -> tuple[Submodule, ...]:
    """Return submodules and all that are in them, ordered by path."""
    found = []
    while states:
        found += states
        inside = [
            _declared(state.declared.repo, state.path + "/")
            for state in states
            if state.is_usable and os.path.isfile(os.path.join(state.declared.repo.place, ".gitmodules"))
        ]
        states = load_states(inner for declared in look_together(inside) for inner in declared)
    return tuple(sorted(found, key=lambda submodule: submodule.path))


def _status(repo: Repo) -> Talk[Status]:
    try:
        return parse_status((yield from repo.looks(*_STATUS)))
    except LlorchError:
        # A submodule that git cannot look into must not be in the way of all else; its own state will say so.
        links = parse_links((yield from repo.looks("ls-files", "-s", "-z")))
        if not links:
            raise
        others = (f":(exclude,literal){path}" for path in links)
        return parse_status((yield from repo.looks(*_STATUS, "--", ".", *others)))


def _origin(repo: Repo) -> Talk[str | None]:
    url = parse_config((yield from repo.looks("config", "-z", "--list"))).get("remote.origin.url")
    return without_credentials(url) if url else None


def _repository(repo: Repo, origin: str | None) -> Talk[Repository]:
    status = yield from _status(repo)
    commit = parse_log((yield from repo.looks("log", "-1", "-z", LOG)))[0] if status.commit else None
    return Repository(status=status, commit=commit, origin=origin, operation=load_operation(repo))


def _declared(repo: Repo, prefix: str = "", tree: str | None = None) -> Talk[tuple[Declared, ...]]:
    listing = ("ls-files", "-s", "-z") if tree is None else ("ls-tree", "-r", "-z", "--full-tree", tree)
    links = parse_links((yield from repo.looks(*listing)))
    if not links:
        return ()
    modules, error = yield from _modules(repo, tree)
    return tuple(
        Declared(
            path=prefix + path,
            inner=path,
            parent=repo,
            recorded=commit,
            **modules.get(path, {}),
            error=error or ("" if path in modules else "`.gitmodules` has no entry for it"),
        )
        for path, commit in links.items()
    )


def _state(declared: Declared) -> Talk[Submodule]:
    repo = declared.repo
    try:
        yield from _check_place(declared)
        if not declared.is_there:
            if declared.error:
                return Submodule(declared=declared, state="broken", error=declared.error)
            return Submodule(declared=declared, state="uninitialized", unfetched=load_unfetched(declared))
        # Threads of each git's own would only be in the way of the other submodules' gits.
        said = yield from repo.looks("-c", "core.preloadIndex=false", *_STATUS, "--no-ahead-behind")
        status = parse_status(said)
        ahead, behind = yield from _distance(repo, declared.recorded, status.commit)
        operation = load_operation(repo)
    except (LlorchError, OSError) as error:
        return Submodule(declared=declared, state="broken", error=str(error))
    moved = status.commit != declared.recorded
    dirty = status.tracked or status.untracked
    return Submodule(
        declared=declared,
        state="dirty" if dirty else "moved" if moved else "ok",
        status=status,
        ahead=ahead,
        behind=behind,
        operation=operation,
        unfetched=load_unfetched(declared),
    )


def check_place(declared: Declared) -> None:
    """Make sure that a submodule's folder, if there is one, is its own: git would work in whatever a link leads to.

    Raises:
        Refused: it, or one above it, is a link or no folder at all; or its `.git` leads to another's repository.
    """
    look_alone(_check_place(declared))


def _check_place(declared: Declared) -> Talk[None]:
    place = declared.parent.place
    for part in declared.inner.split("/"):
        place = os.path.join(place, part)
        try:
            mode = os.lstat(place).st_mode
        except OSError:  # there is none, or none that may be looked at
            return
        if not stat.S_ISDIR(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no folder"
            raise Refused(f"`{place}` is {what}, in the place of a submodule", hint="move it away, then repeat")
    if declared.is_there and not (yield from _has_own(declared)):
        hint = (
            f"move `{place}` away; `llorch git submodules update --pinned {as_argument(declared.path)}` clones it anew"
        )
        raise Refused(f"`{os.path.join(place, '.git')}` leads to another's repository", hint=hint)


def _has_own(declared: Declared) -> Talk[bool]:
    """Tell whether a submodule's repository is not that of another place; what cannot be read is for git to tell of."""
    repo, above = declared.repo, declared.parent.git_folder
    try:
        folder = repo.git_folder
        if not os.path.islink(folder) and folder in (repo.place + "/.git", f"{above}/modules/{declared.name}"):
            return True
        if os.path.samefile(folder, above):
            return False
    except OSError:
        return True
    return (yield from repo.looks("rev-parse", "--show-toplevel")) == os.fsencode(repo.place) + b"\n"


def load_operation(repo: Repo) -> str | None:
    """Return what is in progress, such as a rebase, or None."""
    folder = repo.git_folder
    there = set(os.listdir(folder))
    marks = (mark for mark in _OPERATIONS if mark.partition("/")[0] in there)
    return next((_OPERATIONS[mark] for mark in marks if os.path.exists(os.path.join(folder, mark))), None)


def _distance(repo: Repo, recorded: str, commit: str | None) -> Talk[tuple[int | None, int | None]]:
    if commit == recorded:
        return 0, 0
    if commit is None:
        return None, None
    try:
        # A partial clone would have git fetch it, and looking needs no network.
        yield from repo.looks("cat-file", "-e", recorded + "^{commit}", GIT_ALLOW_PROTOCOL="none")
    except CommandFailed:
        return None, None  # it is not here
    counts = yield from repo.looks("rev-list", "--left-right", "--count", f"{recorded}...{commit}")
    behind, ahead = counts.split(b"\t")
    return int(ahead), int(behind)


def _modules(repo: Repo, tree: str | None) -> Talk[tuple[Mapping[str, dict[str, Any]], str]]:
    """Return what `.gitmodules` says by path, and what is wrong with it."""
    source = ("--file", ".gitmodules") if tree is None else ("--blob", f"{tree}:.gitmodules")
    if tree is None and not os.path.isfile(os.path.join(repo.place, ".gitmodules")):
        return {}, ""
    try:
        values = parse_config((yield from repo.looks("config", "-z", *source, "--list")))
    except Malformed as error:
        return {}, f"`.gitmodules` cannot be read: {error.reason}"
    except DiskFull:
        return {}, "`.gitmodules` may not be read"
    except LlorchError:
        if tree is None:
            raise
        return {}, ""  # the tree has none
    found = {}
    for key, path in values.items():
        if key.startswith("submodule.") and key.endswith(".path"):
            table = key.removesuffix(".path")
            name = table.removeprefix("submodule.")
            url, follows = values.get(table + ".url", ""), values.get(table + ".branch", "")
            unasked = values.get(table + ".update") == "none"
            found[path] = {"name": name, "url": without_credentials(url), "follows": follows, "unasked": unasked}
    return found, ""
