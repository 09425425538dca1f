"""Files that git neither tracks nor ignores, taken away; what llorch keeps in a workspace is none of them."""

import os
from collections.abc import Sequence
from pathlib import Path

from llorch.git.backup import Loss, check_calm
from llorch.git.disk import untracked_files
from llorch.git.repo import Repo
from llorch.git.status import load_status


def plan_clean(repo: Repo, protected: Sequence[Path]) -> Loss:
    """Return what cleaning would take away: nothing that is one of the protected paths, below one, or a link to one.

    Raises:
        Refused: something is in progress, so that what is there cannot be kept.
    """
    status = load_status(repo)
    check_calm(repo, status)
    kept = [os.path.realpath(path) for path in protected]
    files = tuple(path for path in untracked_files(repo) if not _leads_to(os.path.join(repo.root, path), kept))
    return Loss(repo, status, "stays", files=files)


def _leads_to(path: str, kept: Sequence[str]) -> bool:
    """Tell whether a file is in what is kept, or is a link on the way to it: without it, the rest would be nobody's."""
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    goal = os.path.realpath(path)
    return any(_is_in(place, each) or (os.path.islink(path) and _is_in(each, goal)) for each in kept)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
