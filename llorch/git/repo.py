"""A repository, and the one way to run git in it: for programs, in English, without a question.

What a failure of git means is `failures`' business.
"""

from __future__ import annotations

import os

from llorch import shell
from llorch.errors import CommandFailed, LlorchError
from llorch.text import quoted, shown
from llorch.workspace import read_file, upwards

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeVar

    from llorch.shell import Talk

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
OLDEST = (2, 26)
"""The git that is needed: it takes the names of files from a file (`--pathspec-from-file`) in every command."""
GITS = (os.cpu_count() or 1) + 1
"""Gits that look at once: one starts while others work. With more, each would only wait for the others."""
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
        # A linked work tree or a submodule: a file that says where.
        leads = os.fsdecode(read_file(place)).removeprefix("gitdir: ").rstrip("\r\n")
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
        return look_alone(self.looks(*arguments))

    def looks(self, *arguments: str, **variables: str) -> Talk[bytes]:
        """Do the same in a talk."""
        return self._talk(arguments, {"GIT_OPTIONAL_LOCKS": "0", **variables})

    def line(self, *arguments: str) -> str:
        """Run git where it only looks and answers with one line."""
        return os.fsdecode(self.look(*arguments)).removesuffix("\n")

    def run(self, *arguments: str, **variables: str) -> bytes:
        """Run git in the repository, in no other above it, and return what it writes to stdout.

        Raises:
            ToolMissing: there is no git.
            LlorchError: it failed; the class says how, see `failures.own_error`.
        """
        return shell.talk(self._talk(arguments, variables), hint=_HINT)

    def _talk(self, arguments: Sequence[str], variables: Mapping[str, str]) -> Talk[bytes]:
        above = os.path.dirname(self.place)
        env = {**_ENVIRONMENT, "GIT_CEILING_DIRECTORIES": above, **variables}
        # Else a reset would reach into submodules, of which each is dealt with by itself.
        git = ("git", "-C", self.place, "-c", "submodule.recurse=false")
        try:
            # Colons separate ceilings and cannot be in one. GIT_DIR would do too, but has git ask for no owner.
            if ":" in above and (yield (*git, "rev-parse", "--show-cdup"), env) != b"\n":
                raise CommandFailed(git, 128, "fatal: not a git repository")
            return (yield (*git, *arguments), env)
        except CommandFailed as error:
            from llorch.git.failures import own_error

            raise own_error(error, self.root) from None

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
    return ("-- " if path.startswith("-") else "") + quoted(path)


def look_alone(look: Talk[Answer]) -> Answer:
    """Run the gits of a look, one after the other, and return what it found."""
    return shell.talk(look, hint=_HINT)


def look_together(looks: Iterable[Talk[Answer]]) -> list[Answer]:
    """Run the gits of several looks, some at once, and return what each look found; the first error ends them all."""
    return shell.talk_at_once(looks, GITS, hint=_HINT)
