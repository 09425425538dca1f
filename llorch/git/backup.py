"""What a command would destroy, kept before it does: a commit like those of git-stash(1), under a ref of ours.

The commit's parents are HEAD, what was staged, and the files that git does not track, so that `git stash apply --index`
brings all of it back once HEAD is where it was.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from llorch.errors import Refused
from llorch.git.disk import in_the_way, untracked_files
from llorch.git.failures import busy
from llorch.git.porcelain import LOG, Commit, Status, fields, parse_log
from llorch.git.repo import Repo, listed
from llorch.git.status import load_operation, load_status
from llorch.text import quoted

_OURS = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "llorch"), ("EMAIL", "llorch@localhost"))
}
"""Who writes the backup: users without a name in git's settings get theirs too."""


_AS_IT_IS = ("-c", "core.autocrlf=false")
"""Has git keep a file's bytes and give them back, unless its attributes say otherwise."""

_ROOM = 100_000
"""Bytes of paths in one command; Linux and macOS have room for more than twice that."""

Head = Literal["reset", "leaves", "stays"]
"""What becomes of HEAD: its branch moves with it, or it leaves the branch, or it and all that git tracks stay."""


class Loss(NamedTuple):
    """What a work tree would lose: commits, changes of tracked files, and files that git does not track.

    Attributes:
        target, untracked: what it was found for, see `find_loss`.
    """

    repo: Repo
    status: Status
    head: Head
    commits: tuple[Commit, ...] = ()
    changes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    target: str = ""
    untracked: bool = False

    @property
    def is_none(self) -> bool:
        """Tell whether nothing would be lost."""
        return not (self.commits or self.changes or self.files)

    def is_as(self, other: "Loss") -> bool:
        """Tell whether the same would be lost, from the same place."""
        mine, theirs = self.status, other.status
        at = (mine.commit, mine.branch) == (theirs.commit, theirs.branch)
        return at and (self.commits, self.changes, self.files) == (other.commits, other.changes, other.files)


class Backup(NamedTuple):
    """Where a loss is kept, and the command that brings it back."""

    repo: Repo
    ref: str
    restore: str


def now() -> str:
    """Return the time as our refs have it, in UTC."""
    seconds = time.time()
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06}Z"


def check_calm(repo: Repo, status: Status) -> None:
    """Make sure that what there is can be kept.

    Raises:
        Busy: another git is changing the index; git itself does not always tell so.
        Refused: something is in progress, or files wait for a decision, which a commit cannot have.
    """
    lock = repo.folder / "index.lock"
    if lock.exists():
        raise busy(repo.root, f"there is `{lock}`")
    operation = load_operation(repo)
    if operation is not None:
        ways = f"`git {operation} --continue` or `git {operation} --abort`"
        hint = f"end it first, in `{repo.root}`: " + ("`git bisect reset`" if operation == "bisect" else ways)
        raise Refused(f"a {operation} is in progress in `{repo.root}`", hint=hint)
    if status.conflicted:
        hint = "decide on each and `git add` it, or `git reset` to keep the files as they are with their marks"
        raise Refused(f"files in `{repo.root}` are in conflict: {listed(status.conflicted)}", hint=hint)


def find_loss(repo: Repo, target: str, head: Head, *, untracked: bool) -> Loss:
    """Return what is lost when a work tree is made exactly what the commit `target` has.

    Args:
        head: a branch that moves loses commits; one that is left loses none, and only what nothing reaches is lost.
        untracked: files that git does not track go too, not only those in the way of `target`, or of what HEAD has;
            ignored ones stay.

    Raises:
        Refused: see `check_calm`.
    """
    status = load_status(repo)
    check_calm(repo, status)
    kept = () if head == "reset" else ("--branches", "--tags", "--remotes")
    commits = log(repo, "HEAD", "--not", target, *kept) if status.commit else ()
    files = set(untracked_files(repo) if untracked else ())
    for commit in {target, status.commit or target}:  # where the way back would write over them, too
        files.update(in_the_way(repo, commit))
    return Loss(repo, status, head, commits, status.tracked, tuple(sorted(files)), target, untracked)


def find_again(loss: Loss) -> Loss:
    """Return the same loss as it is now: while somebody was asked about it, others may have gone on working.

    Raises:
        Refused: it is another than the one that was told; or see `find_loss`.
    """
    now = find_loss(loss.repo, loss.target, loss.head, untracked=loss.untracked)
    check_same(loss, now)
    return now


def check_same(told: Loss, now: Loss) -> None:
    """Make sure that what is lost now is what was told.

    Raises:
        Refused: it is not.
    """
    if not now.is_as(told):
        hint = "nothing was changed; repeat it, and what is there now is listed"
        raise Refused(f"what is in `{told.repo.root}` has changed since it was listed", hint=hint)


def check_kept(repo: Repo, target: str) -> None:
    """Make sure that a checkout of the commit `target` keeps all local changes.

    Raises:
        Refused: it would not, and these are the files; or something is in progress.
    """
    status = load_status(repo)
    check_calm(repo, status)
    differ = set(fields(repo.look("diff", "--name-only", "-z", "--no-renames", "HEAD", target, "--")))
    lost = sorted(differ.intersection(status.tracked)) + list(in_the_way(repo, target, differ))
    if lost:
        hint = f"commit or stash them, in `{repo.root}`, then repeat"
        raise Refused(f"changes in `{repo.root}` would be lost: {listed(lost)}", hint=hint)


def log(repo: Repo, *revisions: str) -> tuple[Commit, ...]:
    """Return commits, newest first."""
    return parse_log(repo.look("log", "-z", LOG, *revisions, "--"))


def unreachable(repo: Repo) -> tuple[Commit, ...]:
    """Return the commits of HEAD that no branch, tag or remote branch reaches."""
    return log(repo, "HEAD", "--not", "--branches", "--tags", "--remotes") if repo.has("HEAD") else ()


def rescue(repo: Repo) -> str | None:
    """Give the commits of HEAD that nothing else reaches a ref of ours, before HEAD moves; return its name."""
    if not unreachable(repo):
        return None
    ref = f"refs/llorch/rescue/{now()}"
    repo.run("update-ref", ref, "HEAD", "")
    return ref


def keep(loss: Loss, moment: str) -> Backup:
    """Keep what would be lost, and return how it comes back; the work tree and the index stay as they are.

    Raises:
        Refused: something that is listed could not be kept.
    """
    repo, status = loss.repo, loss.status
    ref = f"refs/llorch/backup/{moment}"
    base = status.commit or _commit(repo, repo.line("mktree"), [], "The empty repository")
    kept = _stash(repo, base, loss) if loss.changes or loss.files else base
    repo.run("update-ref", ref, kept, "")
    return Backup(repo, ref, " && ".join(_steps(loss, base, ref if kept != base else "")))


def way_back(loss: Loss) -> str | None:
    """Return the command that brings HEAD back where nothing else is lost, or None if it does not move."""
    base = loss.status.commit
    if base is None or base == loss.target:
        return None
    return _head_back(loss, base, gently=True)


def _stash(repo: Repo, base: str, loss: Loss) -> str:
    """Return a commit of the form that git-stash(1) makes, from a copy of the index."""
    status = loss.status
    with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
        tree = repo.line("rev-parse", f"{base}^{{tree}}")
        index = Path(folder, "index")
        if loss.head == "stays":
            staged = changed = tree
        else:
            staged = repo.line("write-tree")
            if os.path.exists(repo.folder / "index"):
                # With its time, by which git tells which files may have changed within the second it was written in.
                shutil.copy2(repo.folder / "index", index)
            # What is in the place of a file that is gone is no change of it, and may be a link to elsewhere.
            _index(repo, index, status.gone, "rm", "-q", "--cached", "-f")
            changes = [path for path in status.changed if path not in {*status.gone, *status.intended}]
            changed = _index(repo, index, changes, "add", "--update")
            differ = repo.look("diff-tree", "-r", "-z", "--name-only", "--no-renames", staged, changed)
            _check_kept_all(repo, changes, fields(differ))
        parents = [base, _commit(repo, staged, [base], "What was staged")]
        new = [*loss.files, *(() if loss.head == "stays" else status.intended)]
        if new:
            files = _tree(repo, Path(folder, "untracked"), new)
            _check_kept_all(repo, new, fields(repo.look("ls-tree", "-r", "-z", "--name-only", "--full-tree", files)))
            parents.append(_commit(repo, files, [], "Files that were not tracked"))
        return _commit(repo, changed, parents, "What was there before llorch changed it")


def _check_kept_all(repo: Repo, told: Iterable[str], kept: Iterable[str]) -> None:
    missing = sorted(set(told).difference(kept))
    if missing:
        hint = "nothing was changed; move them away, then repeat"
        raise Refused(f"what is in `{repo.root}` cannot be kept: {listed(missing)}", hint=hint)


def _steps(loss: Loss, base: str, ref: str) -> Iterator[str]:
    """Yield the commands that bring back a loss, whose changes and files are in the commit of `ref` if it is given."""
    git = _git(loss.repo)
    if loss.head == "stays":
        # Not by git-stash(1), to which files that are to be added later are an obstacle.
        index = f"GIT_INDEX_FILE={quoted(str(loss.repo.folder / 'llorch.index'))}"
        yield f"{index} {git} read-tree {ref}^3"
        yield f"{index} {git} checkout-index -q --all"
        return
    yield _head_back(loss, base)
    if ref:
        yield f"{git} stash apply -q --index {ref}"
        if loss.status.intended:
            yield f"{git} add -N -- {' '.join(map(quoted, loss.status.intended))}"


def _head_back(loss: Loss, base: str, *, gently: bool = False) -> str:
    git, branch = _git(loss.repo), loss.status.branch
    if loss.head == "reset":
        return f"{git} reset -q {'--keep' if gently else '--hard'} {base}"
    return f"{git} checkout -q {'' if gently else '-f '}" + (f"{quoted(branch)} --" if branch else f"--detach {base}")


def _git(repo: Repo) -> str:
    return f"git -C {quoted(str(repo.root))} -c submodule.recurse=false {' '.join(_AS_IT_IS)}"


def _index(repo: Repo, index: Path, paths: Sequence[str], *command: str) -> str:
    """Change paths in an index by a command, and return its tree."""
    variables = {"GIT_INDEX_FILE": str(index), "GIT_LITERAL_PATHSPECS": "1"}
    if paths:
        names = index.with_suffix(".paths")
        names.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
        # What a sparse checkout leaves out may be there all the same. git knows the option since 2.34.
        sparse = ["--sparse"] if repo.says_yes("config", "core.sparseCheckout") else []
        exact = (*_AS_IT_IS, "-c", "core.safecrlf=false", command[0], *sparse, *command[1:])
        repo.run(*exact, f"--pathspec-from-file={names}", "--pathspec-file-nul", **variables)
    return os.fsdecode(repo.run("write-tree", **variables)).rstrip("\n")


def _tree(repo: Repo, index: Path, files: Sequence[str]) -> str:
    """Return a tree of files, put into a new index: `git add` would compare each name with each other one."""
    exact = (*_AS_IT_IS, "-c", "core.safecrlf=false", "update-index", "--add", "--")
    some, size = [], 0
    for number, path in enumerate(files, 1):
        some.append(path)
        size += len(os.fsencode(path)) + 9  # what it takes of the room that a command has
        if size > _ROOM or number == len(files):
            repo.run(*exact, *some, GIT_INDEX_FILE=str(index))
            some, size = [], 0
    return os.fsdecode(repo.run("write-tree", GIT_INDEX_FILE=str(index))).rstrip("\n")


def _commit(repo: Repo, tree: str, parents: Iterable[str], message: str) -> str:
    options = [option for parent in parents for option in ("-p", parent)]
    return os.fsdecode(repo.run("commit-tree", tree, *options, "-m", message, **_OURS)).rstrip("\n")
