"""What a command would destroy, kept before it does: a commit like those of git-stash(1), under a ref of ours.

The commit's parents are HEAD, what was staged, and the files that git does not track, so that `git stash apply --index`
brings all of it back once HEAD is where it was.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple

from llorch.errors import Refused
from llorch.git.failures import busy
from llorch.git.porcelain import LOG, Commit, Status, fields, parse_log
from llorch.git.repo import Repo, listed
from llorch.git.status import load_operation, load_status

_OURS = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "llorch"), ("EMAIL", "llorch@localhost"))
}
"""Who writes the backup: users without a name in git's settings get theirs too."""


Head = Literal["reset", "leaves", "stays"]
"""What becomes of HEAD: its branch moves with it, or it leaves the branch, or it and all that git tracks stay."""


class Loss(NamedTuple):
    """What a work tree would lose: commits, changes of tracked files, and files that git does not track."""

    repo: Repo
    status: Status
    head: Head
    commits: tuple[Commit, ...] = ()
    changes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def is_none(self) -> bool:
        """Tell whether nothing would be lost."""
        return not (self.commits or self.changes or self.files)


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
        untracked: files that git does not track go too, not only those in the way; ignored ones stay.

    Raises:
        Refused: see `check_calm`.
    """
    status = load_status(repo)
    check_calm(repo, status)
    kept = () if head == "reset" else ("--branches", "--tags", "--remotes")
    commits = log(repo, "HEAD", "--not", target, *kept) if status.commit else ()
    files = set(in_the_way(repo, target)) | set(untracked_files(repo) if untracked else ())
    return Loss(repo, status, head, commits, status.tracked, tuple(sorted(files)))


def check_kept(repo: Repo, target: str) -> None:
    """Make sure that a checkout of the commit `target` keeps all local changes.

    Raises:
        Refused: it would not, and these are the files; or something is in progress.
    """
    status = load_status(repo)
    check_calm(repo, status)
    differ = set(fields(repo.look("diff", "--name-only", "-z", "--no-renames", "HEAD", target, "--")))
    lost = sorted(differ.intersection(status.tracked)) + list(in_the_way(repo, target))
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


def untracked_files(repo: Repo) -> tuple[str, ...]:
    """Return each file that git neither tracks nor ignores; repositories in the work tree are left alone."""
    return _files(repo, "--exclude-standard")


def in_the_way(repo: Repo, target: str) -> tuple[str, ...]:
    """Return files that git does not track, ignored or not, in places where a commit has something else."""
    tracked = set(fields(repo.look("ls-files", "-z")))
    records = fields(repo.look("ls-tree", "-r", "-z", "--full-tree", target))
    # A submodule's folder is filled by a clone, which takes nobody's place.
    coming = [path for what, _, path in (record.partition("\t") for record in records) if " commit " not in what]
    found: set[str] = set()
    folders: set[str] = set()
    for path in (path for path in coming if path not in tracked):
        place = repo.root / path
        if os.path.isdir(place) and not os.path.islink(place):
            folders.add(path)
        elif os.path.lexists(place) and not _through_link(repo.root, path):
            found.add(path)
        else:
            # A file where the commit has a folder.
            found |= {above for above in _above(path) if above not in tracked and _is_file(repo.root / above)}
    if folders:
        found |= set(_files(repo, "--", *(f":(literal,top){folder}" for folder in sorted(folders))))
    return tuple(sorted(found))


def remove(repo: Repo, files: Iterable[str]) -> None:
    """Delete files of a work tree, and the folders that are empty then."""
    for path in files:
        with suppress(FileNotFoundError):
            os.unlink(repo.root / path)
        for above in reversed(_above(path)):
            with suppress(OSError):  # it is not empty
                os.rmdir(repo.root / above)


def keep(loss: Loss, moment: str) -> Backup:
    """Keep what would be lost, and return how it comes back; the work tree and the index stay as they are."""
    repo, status = loss.repo, loss.status
    ref = f"refs/llorch/backup/{moment}"
    base = status.commit or _commit(repo, repo.line("mktree"), [], "The empty repository")
    kept = _stash(repo, base, loss) if loss.changes or loss.files else base
    repo.run("update-ref", ref, kept, "")
    git = f"git -C {quote(str(repo.root))}"
    steps = {
        "reset": [f"{git} reset -q --hard {base}"],
        "leaves": [f"{git} checkout -q -f " + (f"{quote(status.branch)} --" if status.branch else f"--detach {base}")],
        "stays": [],
    }[loss.head]
    if kept != base:
        steps.append(f"{git} stash apply -q {'' if loss.head == 'stays' else '--index '}{ref}")
    return Backup(repo, ref, " && ".join(steps))


def _stash(repo: Repo, base: str, loss: Loss) -> str:
    """Return a commit of the form that git-stash(1) makes, from a copy of the index."""
    with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
        tree = repo.line("rev-parse", f"{base}^{{tree}}")
        index = Path(folder, "index")
        if loss.head == "stays":
            staged = changed = tree
        else:
            staged = repo.line("write-tree")
            if os.path.exists(repo.folder / "index"):
                shutil.copyfile(repo.folder / "index", index)
            changed = _add(repo, index, loss.status.changed, "--update")
        parents = [base, _commit(repo, staged, [base], "What was staged")]
        if loss.files:
            files = _add(repo, Path(folder, "untracked"), loss.files, "--force")
            parents.append(_commit(repo, files, [], "Files that were not tracked"))
        return _commit(repo, changed, parents, "What was there before llorch changed it")


def _add(repo: Repo, index: Path, paths: Sequence[str], how: str) -> str:
    """Return the tree of an index after adding files to it."""
    if paths:
        listed = index.with_suffix(".paths")
        listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
        # What a sparse checkout leaves out may be there all the same. git knows the option since 2.34.
        sparse = ["--sparse"] if repo.says_yes("config", "core.sparseCheckout") else []
        more = ("add", *sparse, how, f"--pathspec-from-file={listed}", "--pathspec-file-nul")
        repo.run("-c", "advice.addEmbeddedRepo=false", *more, GIT_INDEX_FILE=str(index), GIT_LITERAL_PATHSPECS="1")
    return os.fsdecode(repo.run("write-tree", GIT_INDEX_FILE=str(index))).rstrip("\n")


def _commit(repo: Repo, tree: str, parents: Iterable[str], message: str) -> str:
    options = [option for parent in parents for option in ("-p", parent)]
    return os.fsdecode(repo.run("commit-tree", tree, *options, "-m", message, **_OURS)).rstrip("\n")


def _files(repo: Repo, *more: str) -> tuple[str, ...]:
    # A name that ends with a slash is a repository of its own.
    return tuple(path for path in fields(repo.look("ls-files", "-z", "--others", *more)) if not path.endswith("/"))


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _is_file(place: Path) -> bool:
    return os.path.islink(place) or os.path.isfile(place)


def _through_link(root: Path, path: str) -> bool:
    return any(os.path.islink(root / above) for above in _above(path))
