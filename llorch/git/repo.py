"""A repository, and the one way to run git in it: for programs, in English, without a question.

What a failure of git means is `failures`' business.
"""

from __future__ import annotations

import os

from llorch import shell
from llorch.errors import CommandFailed, LlorchError
from llorch.parallel import in_parallel
from llorch.text import shown
from llorch.workspace import upwards

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import TypeVar

    Item = TypeVar("Item")
    Answer = TypeVar("Answer")
    Say = Callable[[str], None]

_ENVIRONMENT: dict[str, str | None] = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "SSH_ASKPASS_REQUIRE": "never",
    # What a hook of another repository would have us work in.
    **dict.fromkeys(("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")),
    **dict.fromkeys(("GIT_PREFIX", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS", "GIT_EXTERNAL_DIFF")),
}
_HINT = "install it: `apt install git`, `dnf install git` or `brew install git`"
NETWORK = 8
"""Submodules that are fetched at once: they wait for servers more than for this machine."""


class Repo:
    """The work tree of a repository. `root` has no links in it."""

    __slots__ = ("place",)

    def __init__(self, root: str | Path) -> None:
        self.place = os.fspath(root)
        """The root as text: a look at the repository does without pathlib, whose import takes 3 ms."""

    @property
    def root(self) -> Path:
        """The folder of the work tree."""
        from pathlib import Path

        return Path(self.place)

    @property
    def folder(self) -> Path:
        """Where git has its own files of this work tree (gitrepository-layout(5))."""
        from pathlib import Path

        return Path(self.git_folder)

    @property
    def git_folder(self) -> str:
        """The same as text."""
        place = os.path.join(self.place, ".git")
        if os.path.isdir(place):
            return place
        with open(place, "rb") as file:  # a linked work tree or a submodule: a file that says where
            leads = os.fsdecode(file.read()).removeprefix("gitdir: ").rstrip("\n")
        return os.path.normpath(os.path.join(self.place, leads))

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same work tree."""
        return isinstance(other, Repo) and self.place == other.place

    def __hash__(self) -> int:
        """Return what is equal for equal work trees."""
        return hash(self.place)

    def inside(self, path: str) -> Repo:
        """Return the repository that is in a folder of this one's work tree."""
        return Repo(os.path.join(self.place, path))

    def look(self, *arguments: str) -> bytes:
        """Run git where it only looks, so that it takes no lock. Raises as `run` does."""
        return self.run(*arguments, GIT_OPTIONAL_LOCKS="0")

    def line(self, *arguments: str) -> str:
        """Run git where it only looks and answers with one line."""
        return os.fsdecode(self.look(*arguments)).removesuffix("\n")

    def run(self, *arguments: str, **variables: str) -> bytes:
        """Run git in the repository, in no other above it, and return what it writes to stdout.

        Raises:
            ToolMissing: there is no git.
            LlorchError: it failed; the class says how, see `failures.own_error`.
        """
        env = {**_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": os.path.dirname(self.place), **variables}
        try:
            if ":" in os.path.dirname(self.place):
                self._check_own(env)
            # Else a reset would reach into submodules, of which each is dealt with by itself.
            command = ["git", "-C", self.place, "-c", "submodule.recurse=false", *arguments]
            return shell.output(command, env=env, hint=_HINT)
        except CommandFailed as error:
            from llorch.git.failures import own_error

            raise own_error(error, self.root) from None

    def _check_own(self, env: Mapping[str, str | None]) -> None:
        # Colons separate ceilings and cannot be in one. GIT_DIR would do too, but has git ask for no owner.
        command = ["git", "-C", self.place, "rev-parse", "--show-cdup"]
        if shell.output(command, env=env, hint=_HINT) != b"\n":
            raise CommandFailed(command, 128, "fatal: not a git repository")

    def has(self, commit: str) -> bool:
        """Tell whether a commit, or a ref's, is here."""
        return self.says_yes("cat-file", "-e", commit + "^{commit}")

    def says_yes(self, *arguments: str) -> bool:
        """Tell whether git, which only looks, ends well."""
        try:
            self.look(*arguments)
        except CommandFailed:
            return False
        return True


def find_repo(folder: str | Path) -> Repo:
    """Return the repository that a folder is in.

    Raises:
        LlorchError: it is in none.
    """
    for root in upwards(os.path.realpath(folder)):
        if os.path.lexists(os.path.join(root, ".git")):
            return Repo(root=root)
    raise LlorchError(f"`{folder}` is not in a git repository", hint="`git init` makes one; `-C DIR` works in another")


def listed(paths: Iterable[str]) -> str:
    """Return paths as a message names them."""
    return ", ".join(map(shown, paths))


def as_argument(path: str) -> str:
    """Return a path as a command in a hint takes it.

    >>> as_argument("a b"), as_argument("-x")
    ("'a b'", '-- -x')
    """
    from shlex import quote

    return ("-- " if path.startswith("-") else "") + quote(shown(path))


def at_once(items: Iterable[Item], work: Callable[[Item], Answer], threads: int) -> list[Answer]:
    """Work on items in threads, as `in_parallel` does, and end what they run if this one is interrupted."""
    try:
        return in_parallel(items, work, threads)
    except KeyboardInterrupt:
        shell.end_all()
        raise
