"""Files that git neither tracks nor ignores, taken away; what llorch keeps in a workspace is none of them."""

import os
from collections.abc import Sequence
from pathlib import Path

from llorch.git.backup import Loss, check_calm
from llorch.git.disk import untracked_files
from llorch.git.repo import Repo
from llorch.git.status import load_status


def plan_clean(repo: Repo, protected: Sequence[Path]) -> Loss:
    """Return what cleaning would take away: nothing that is one of the protected paths, or below one.

    Raises:
        Refused: something is in progress, so that what is there cannot be kept.
    """
    status = load_status(repo)
    check_calm(repo, status)
    kept = [os.path.realpath(path) for path in protected]
    files = tuple(path for path in untracked_files(repo) if not _is_below(os.path.join(repo.root, path), kept))
    return Loss(repo, status, "stays", files=files)


def _is_below(path: str, folders: Sequence[str]) -> bool:
    # Of a link it is the link that would go, not what it leads to.
    place = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return any(place == folder or place.startswith(os.path.join(folder, "")) for folder in folders)
