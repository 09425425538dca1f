"""Find the workspace. What its files say is `config`'s business; this is all that a look at git needs, and is light."""

from __future__ import annotations

import errno
import os

from llorch.errors import ConfigError, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MARKERS = ("llorch.toml", "catalog.toml", "dodo.py")
VANISHED = (FileNotFoundError, FileExistsError)
"""What making something in a folder raises that is deleted meanwhile, as `.llorch/` may be at any time.

`mkdir(exist_ok=True)` raises FileExistsError where a folder that was there is gone when it looks again.
"""


class Workspace:
    """The folder that llorch works in.

    `declared` is false where no file says that it is one, and the current folder was taken.
    """

    __slots__ = ("declared", "place")

    def __init__(self, root: str | Path, declared: bool) -> None:
        self.place = os.fspath(root)
        """The root as text: what needs no more does without pathlib, whose import takes 3 ms."""
        self.declared = declared

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same folder, found in the same way."""
        return isinstance(other, Workspace) and (self.place, self.declared) == (other.place, other.declared)

    def __hash__(self) -> int:
        """Return what is equal for equal workspaces."""
        return hash((self.place, self.declared))

    @property
    def root(self) -> Path:
        """The folder."""
        from pathlib import Path

        return Path(self.place)

    @property
    def state(self) -> Path:
        """Where records, locks and logs are; safe to delete at any time."""
        return self.root / ".llorch"

    def path(self, path: str | Path) -> Path:
        """Return a path of the workspace as an absolute one, `~` expanded."""
        return self.root / os.path.expanduser(path)

    def name(self, path: str | Path) -> str:
        """Return how a path is called: relative inside the workspace, absolute outside.

        >>> Workspace(root="/w", declared=True).name("/w/a/../b")
        'b'
        """
        clean = os.path.normpath(self.path(path))
        return clean.removeprefix(os.path.join(self.place, ""))


def find_workspace(folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> Workspace:
    """Return the workspace of `folder` (the current one unless given): the nearest upwards that has a marker file.

    Raises:
        ConfigError: `LLORCH_REPO_ROOT`, or `folder`, is not a folder.
    """
    named = str(folder) if folder is not None else environ.get("LLORCH_REPO_ROOT")
    if named:
        # Without links, as getcwd has it: cargo tells files by such paths, which are to be seen to be in the workspace.
        start = os.path.realpath(os.path.expanduser(named))
        if not os.path.isdir(start):
            source = "-C" if folder is not None else "LLORCH_REPO_ROOT"
            raise ConfigError([Problem(source, None, "", f"`{named}` is not a folder")])
    else:
        start = os.getcwd()
    if named and folder is None:
        return Workspace(root=start, declared=True)
    for candidate in upwards(start):
        if any(os.path.isfile(os.path.join(candidate, marker)) for marker in MARKERS):
            return Workspace(root=candidate, declared=True)
    return Workspace(root=start, declared=False)


def make_folder(folder: Path) -> None:
    """Make a workspace's `.llorch/`, which git is to ignore.

    Raises:
        OSError: it cannot be made; one of `VANISHED` if it was deleted meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def read_file(path: str | Path) -> bytes:
    """Return what a file holds. Nothing is waited for: a pipe or a device in its place is none, but for `/dev/null`.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not os.path.isfile(fd) and not os.path.samestat(os.fstat(fd), os.stat(os.devnull)):
            raise OSError(errno.EINVAL, "Not a file", os.fspath(path))
        return file.read()


def repository_of(folder: str) -> str:
    """Return the nearest folder upwards that is a git repository, else the folder itself: what is moved as one."""
    return next((each for each in upwards(folder) if os.path.exists(os.path.join(each, ".git"))), folder)


def upwards(folder: str) -> Iterator[str]:
    """Yield an absolute folder and all above it.

    >>> list(upwards("/a/b"))
    ['/a/b', '/a', '/']
    """
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder:
            return
        folder = above
