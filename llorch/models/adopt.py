"""Take a file that is already on this machine instead of fetching it again.

Looked at are the model's own folder and the folders that the old scripts used, other models' folders, and the Hub
client's cache. What is taken has the promised contents. It is cloned where the file system can share blocks, else
copied: a link would tie two files together, and an edit of one would damage the other.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from llorch.config import Workspace
from llorch.errors import Busy
from llorch.models.catalog import File, Model
from llorch.models.hub import Remote
from llorch.models.part import AlreadyThere, git_oid, landing
from llorch.progress import Progress
from llorch.state import sha256_of


def adopt(model: Model, file: File, promise: Remote, workspace: Workspace, progress: Progress) -> str | None:
    """Put a file with the promised contents in its place, from elsewhere on this machine.

    Returns:
        Its sha256, or None if there is none, or another process is at the place.

    Raises:
        DiskFull: it cannot be put there.
    """
    name = model.path(file)
    place = workspace.path(name)
    for candidate in _candidates(model, file, promise, workspace):
        try:
            if promise.size is not None and candidate.stat().st_size != promise.size:
                continue
            progress.say(f"reading {candidate}")
            digest = _matching_digest(candidate, promise, progress)
            source = candidate.open("rb", buffering=0) if digest is not None else None
        except OSError:
            continue  # what cannot be read is not there for us
        if source is not None:
            try:
                with source, landing(place, name, size=None, sha256=digest) as part:
                    if place.is_file() and _matching_digest(place, promise, progress) is not None:
                        raise AlreadyThere
                    part.take(source)
            except Busy:
                return None  # fetching waits for who is at it
            return digest
    return None


def is_near(model: Model, file: File, promise: Remote, workspace: Workspace) -> bool:
    """Tell whether a file of the promised size is elsewhere on this machine, to be taken if its contents are right."""
    if promise.size is None or not (promise.sha256 or promise.git_oid):
        return False
    try:
        return any(path.stat().st_size == promise.size for path in _candidates(model, file, promise, workspace))
    except OSError:
        return False  # what cannot be read is not there for us


def _matching_digest(path: Path, promise: Remote, progress: Progress) -> str | None:
    """Return a file's sha256 if its contents are the promised ones, None if not, or if nothing is promised of them."""
    if promise.sha256 is not None:
        digest = sha256_of(path, progress.advance)
        return digest if digest == promise.sha256 else None
    if promise.git_oid is not None and git_oid_of(path) == promise.git_oid:
        return sha256_of(path, progress.advance)
    return None


def git_oid_of(path: Path) -> str:
    """Return the id that git gives a file's contents."""
    with path.open("rb") as file:
        return git_oid(file, path.stat().st_size)


def _candidates(model: Model, file: File, promise: Remote, workspace: Workspace) -> Iterator[Path]:
    folder, base = workspace.path(model.folder), workspace.path(model.folder).parent
    name = file.path.rsplit("/", 1)[-1]
    # The scripts kept the sources of a conversion in `pytorch`, and two models in one folder.
    near = [folder / file.path, folder / "pytorch" / file.path, *sorted(base.glob(f"*/{_literal(name)}"))]
    place = workspace.path(model.path(file))
    for path in dict.fromkeys(near):
        if path != place and path.is_file():
            yield path
    cached = _in_hub_cache(model, file, promise)
    if cached is not None:
        yield cached


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def hub_cache() -> Path:
    """Return the folder of the Hub client's cache, without loading the client."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()


def _in_hub_cache(model: Model, file: File, promise: Remote) -> Path | None:
    """Return the file in the Hub client's cache: `HF_HOME/hub/models--A--B/snapshots`."""
    if model.entry.source != "hf":
        return None
    repo = hub_cache() / ("models--" + model.entry.repo.replace("/", "--"))
    commits = [commit for commit in (promise.commit, model.entry.revision) if commit]
    found = (repo / "snapshots" / commit / file.path for commit in commits)
    blob = repo / "blobs" / (promise.sha256 or promise.git_oid or "-")
    return next((path.resolve() for path in (blob, *found) if path.is_file()), None)
