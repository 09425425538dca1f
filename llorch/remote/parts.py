"""What a repository here has to bring to a host: its commit, its submodules' and, on request, uncommitted changes."""

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llorch import beside
from llorch.errors import CommandFailed, LlorchError, Refused

if TYPE_CHECKING:
    from llorch.git.repo import Repo

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST = 20_000
OUT = "refs/llorch/sync/out"
"""Below it: what is being sent, by the number of the process that does, and its commit."""


class Part(NamedTuple):
    """A repository: the whole, or a submodule in it.

    Attributes:
        path: from the whole's folder; empty for the whole.
        parent: the path of what it is a submodule of; None for the whole.
        branch: the one that the host is to be on; None for a detached HEAD, as submodules have.
        target: the commit that is to be HEAD.
        final: the commit that the work tree is to be; `target`, or one on top of it with the uncommitted changes.
    """

    repo: "Repo"
    path: str
    parent: str | None
    branch: str | None
    target: str
    final: str

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.path or "the repository"

    @property
    def ref(self) -> str:
        """What a bundle of it has."""
        return f"{OUT}/{os.getpid()}/{self.final}"


def find_parts(repo: "Repo", *, changes: bool, without: Sequence[Path] = ()) -> tuple[Part, ...]:
    """Return a repository and the submodules that are here, each after what it is in.

    Args:
        changes: with what is not committed, new files too but not ignored ones.
        without: folders whose new files stay here.

    Raises:
        Refused: there is no commit, or files are in conflict.
        LlorchError: a submodule does not have the commit that is recorded for it.
    """
    if not repo.says_yes("rev-parse", "-q", "--verify", "HEAD"):
        raise Refused(f"`{repo.root}` has no commit yet", hint="commit something first")
    branch = repo.line("symbolic-ref", "-q", "--short", "HEAD") if _has_branch(repo) else None
    parts = [_part(repo, "", None, branch, repo.line("rev-parse", "HEAD"), without if changes else None)]
    for part in parts:  # it grows
        for path, commit in _recorded(part):
            inner = part.repo.inside(path)
            if not os.path.lexists(inner.root / ".git"):
                continue
            place = os.path.join(part.path, path)
            if not inner.has(commit):
                hint = f"`llorch git submodules update --pinned {place}` gets it"
                raise LlorchError(
                    f"`{place}` does not have the commit that is recorded for it, {commit[:9]}", hint=hint
                )
            at_it = inner.line("rev-parse", "HEAD") == commit
            parts.append(_part(inner, place, part.path, None, commit, () if changes and at_it else None))
    return tuple(parts)


@contextmanager
def offered(parts: Sequence[Part]) -> Iterator[None]:
    """Have refs for bundles to name, and none of them afterwards, nor those that killed runs have left."""
    try:
        for part in parts:
            for left in part.repo.line("for-each-ref", "--format=%(refname)", OUT).split():
                if not _is_alive(left.removeprefix(f"{OUT}/").partition("/")[0]):
                    part.repo.run("update-ref", "-d", left)
            part.repo.run("update-ref", part.ref, part.final)
        yield
    finally:
        for part in parts:
            part.repo.run("update-ref", "-d", part.ref)


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    return True


def known(part: Part, refs: Sequence[str]) -> list[str]:
    """Return those commits of another repository that are here too, each once.

    Args:
        refs: what it says; no more than a command line has room for, and what is no id, as an option of git, is not
            looked for. Whatever is left out is only sent once more.
    """
    ids = [ref for ref in dict.fromkeys(refs) if _ID.fullmatch(ref)][:_MOST]
    return part.repo.line("rev-list", "--no-walk", "--ignore-missing", *ids).split() if ids else []


def is_lacking(part: Part, basis: Sequence[str]) -> bool:
    """Tell whether a repository with these commits lacks any.

    Raises:
        Refused: it lacks some that this one, a shallow clone, does not have either.
    """
    missing = set(part.repo.line("rev-list", part.final, "--not", *basis).split())
    shallow = Path(part.repo.line("rev-parse", "--path-format=absolute", "--git-path", "shallow"))
    if shallow.exists() and missing.intersection(shallow.read_text().split()):
        raise Refused(
            f"{part.name} is a shallow clone here, and what came before is not on the host either",
            hint=f"`git -C {shlex.quote(str(part.repo.root))} fetch --unshallow` gets it",
        )
    return bool(missing)


@contextmanager
def bundle(part: Part, basis: Sequence[str]) -> Iterator[int]:
    """Give an open file with what another repository lacks.

    Raises:
        CommandFailed: git cannot make it.
    """
    command = ["git", "-C", str(part.repo.root), "bundle", "create", "-q", "-", part.ref, "--not", *basis]
    process = beside.start(command, stderr=beside.PIPE)
    assert process.stdout is not None, "both are pipes"
    assert process.stderr is not None, "both are pipes"
    try:
        with process.stdout, process.stderr:
            try:
                yield process.stdout.fileno()
            except CommandFailed:
                while process.stdout.read(1 << 20):  # to see whether it was this end that failed
                    pass
                said = process.stderr.read().decode(errors="replace")
                if process.wait():
                    raise CommandFailed(["git bundle"], process.returncode, said) from None
                raise
    finally:
        process.wait()  # it ends when nobody reads any more


def _has_branch(repo: "Repo") -> bool:
    return repo.says_yes("symbolic-ref", "-q", "HEAD")


def _part(
    repo: "Repo", path: str, parent: str | None, branch: str | None, target: str, without: Sequence[Path] | None
) -> Part:
    final = target if without is None else _with_changes(repo, target, without)
    return Part(repo, path, parent, branch, target, final)


def _recorded(part: Part) -> Iterator[tuple[str, str]]:
    """Yield the path and the commit of each submodule."""
    for record in part.repo.look("ls-tree", "-r", "-z", part.final).split(b"\0")[:-1]:
        what, _, path = record.partition(b"\t")
        mode, _, commit = what.decode().split()
        if mode == "160000":
            yield os.fsdecode(path), commit


def _with_changes(repo: "Repo", target: str, without: Sequence[Path]) -> str:
    """Return a commit on top of one, with what is not committed; the same each time. The index stays as it is."""
    if repo.look("ls-files", "-u"):
        raise Refused(f"files in `{repo.root}` are in conflict", hint="decide on them and `git add` them first")
    left = tuple(os.fsencode(os.path.relpath(folder, repo.root)) + b"/" for folder in without)
    new = [path for path in repo.look("ls-files", "-o", "-z", "--exclude-standard").split(b"\0")[:-1]
           if not path.endswith(b"/") and not path.startswith(left)]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
        index, listed = Path(folder, "index"), Path(folder, "new")
        shutil.copyfile(repo.line("rev-parse", "--path-format=absolute", "--git-path", "index"), index)
        listed.write_bytes(b"".join(path + b"\0" for path in new))
        more: Mapping[str, str] = {"GIT_INDEX_FILE": str(index), "GIT_LITERAL_PATHSPECS": "1"}
        repo.run("add", "-u", **more)
        if new:
            repo.run("add", f"--pathspec-from-file={listed}", "--pathspec-file-nul", **more)
        tree = repo.run("write-tree", **more).decode().strip()
    if tree == repo.line("rev-parse", f"{target}^{{tree}}"):
        return target
    when = repo.line("log", "-1", "--format=%ct +0000", target)
    own = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER")
           for key, value in (("NAME", "llorch"), ("EMAIL", "llorch@localhost"), ("DATE", when))}  # fmt: skip
    return repo.run("commit-tree", tree, "-p", target, "-m", "What was not committed", **own).decode().strip()
