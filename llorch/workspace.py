"""Find the workspace. What its files say is `config`'s business; this is all that a look at git needs, and is light."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from llorch.errors import ConfigError, Problem

MARKERS = ("llorch.toml", "catalog.toml", "dodo.py")


class Workspace(NamedTuple):
    """The folder that llorch works in.

    `declared` is false where no file says that it is one, and the current folder was taken.
    """

    root: Path
    declared: bool

    @property
    def state(self) -> Path:
        """Where records, locks and logs are; safe to delete at any time."""
        return self.root / ".llorch"

    def path(self, path: str | Path) -> Path:
        """Return a path of the workspace as an absolute one, `~` expanded."""
        return self.root / os.path.expanduser(path)

    def name(self, path: str | Path) -> str:
        """Return how a path is called: relative inside the workspace, absolute outside.

        >>> Workspace(root=Path("/w"), declared=True).name("/w/a/../b")
        'b'
        """
        clean = os.path.normpath(self.path(path))
        return clean.removeprefix(os.path.join(self.root, ""))


def find_workspace(folder: Path | None = None, environ: Mapping[str, str] = os.environ) -> Workspace:
    """Return the workspace of `folder` (the current one unless given): the nearest upwards that has a marker file.

    Raises:
        ConfigError: `LLORCH_REPO_ROOT`, or `folder`, is not a folder.
    """
    named = str(folder) if folder is not None else environ.get("LLORCH_REPO_ROOT")
    if named:
        start = Path(os.path.abspath(os.path.expanduser(named)))
        if not start.is_dir():
            source = "-C" if folder is not None else "LLORCH_REPO_ROOT"
            raise ConfigError([Problem(source, None, "", f"`{named}` is not a folder")])
    else:
        start = Path.cwd()
    if named and folder is None:
        return Workspace(root=start, declared=True)
    for candidate in (start, *start.parents):
        if any((candidate / marker).is_file() for marker in MARKERS):
            return Workspace(root=candidate, declared=True)
    return Workspace(root=start, declared=False)
