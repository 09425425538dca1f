"""What is on disk of each model, as far as it can be told without reading big files."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from llorch.config import Workspace
from llorch.models.catalog import BY_CLIENT, PART, RECEIPT, REPLACED, Model
from llorch.models.fetch import expected_digests, usable_receipt
from llorch.state import State

WEIGHTS = (".gguf", ".safetensors")
Condition = Literal["ok", "partial", "missing", "unverified", "corrupt"]


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One file: `size` in bytes on disk, else as promised, None where neither is known."""

    path: str
    size: int | None
    sha256: str | None
    state: Condition
    present: bool


class Other(NamedTuple):
    """A file that no model of the catalog has; `size` in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Status:
    """One model."""

    model: Model
    state: Condition
    files: tuple[FileStatus, ...]

    @property
    def size(self) -> int:
        """Bytes of all files, as far as known."""
        return sum(file.size or 0 for file in self.files)

    @property
    def is_sized(self) -> bool:
        """Tell whether the size is known of all files that are not made here."""
        return all(file.size is not None for file in self.files if file.path not in self.model.made)

    @property
    def present(self) -> bool:
        """Tell whether anything of it is on disk."""
        return self.state != "missing"


def status_of(model: Model, workspace: Workspace, state: State) -> Status:
    """Return what is on disk of the model."""
    expected = expected_digests(model, workspace)
    files = tuple(
        _file(model.path(file), file.size, expected.get(file.path), workspace, state) for file in model.entry.files
    )
    receipt = usable_receipt(model, workspace) if model.made else None
    for path in model.made:
        made = receipt.made.get(model.made_name(path)) if receipt is not None else None
        size, sha256 = (made.size, made.sha256) if made is not None else (None, None)
        files += (_file(path, size, sha256, workspace, state),)
    states = {file.state for file in files}
    verdict: Condition
    if states == {"ok"}:
        verdict = "ok" if workspace.path(model.receipt).is_file() else "unverified"
    elif "corrupt" in states:
        verdict = "corrupt"
    elif states == {"missing"}:
        verdict = "missing"
    elif states & {"missing", "partial"}:
        verdict = "partial"
    else:
        verdict = "unverified"
    return Status(model, verdict, files)


def _file(path: str, promised: int | None, expected: str | None, workspace: Workspace, state: State) -> FileStatus:
    place = workspace.path(path)
    if not place.is_file():
        part = place.with_name(place.name + PART).exists()
        return FileStatus(path, promised, expected, "partial" if part else "missing", False)
    size = place.stat().st_size
    if promised is not None and size != promised:
        return FileStatus(path, size, expected, "corrupt", True)
    digest = state.known(path)
    if digest is None or expected is None:
        return FileStatus(path, size, digest or expected, "unverified", True)
    return FileStatus(path, size, digest, "ok" if digest == expected else "corrupt", True)


def leftovers(model: Model, workspace: Workspace) -> list[str]:
    """Return all that llorch has put on disk for the model: files, parts, what was replaced, the receipt."""
    names = [place + ending for place in (*model.paths, *model.made) for ending in ("", PART, REPLACED)]
    names += [f"{model.folder}/{RECEIPT}", f"{model.folder}/{RECEIPT}{PART}"]
    places = ((name, workspace.path(name)) for name in names)  # a folder in a file's place is not llorch's
    return [name for name, place in places if os.path.lexists(place) and (place.is_symlink() or not place.is_dir())]


def find_others(models: Iterable[Model], base: str, workspace: Workspace) -> list[Other]:
    """Return the weights in the model folder that no model of the catalog has, links not followed."""
    known = {os.path.realpath(workspace.path(path)) for model in models for path in (*model.paths, *model.made)}
    found = []
    for parent, folders, names in os.walk(workspace.path(base)):
        folders[:] = [folder for folder in folders if not folder.startswith(BY_CLIENT)]
        for path in (os.path.join(parent, name) for name in names if name.lower().endswith(WEIGHTS)):
            size = _size(path)
            if size is not None and os.path.realpath(path) not in known:
                found.append(Other(workspace.name(path), size))
    return sorted(found)


def other_folders(folders: Iterable[str], base: str, workspace: Workspace) -> list[Other]:
    """Return the folders right in the model folder that are no model's, nor on the way to one, with all in them."""
    known = {os.path.realpath(workspace.path(folder)) + os.sep for folder in folders}
    try:
        entries = [entry.path for entry in os.scandir(workspace.path(base)) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    free = (path for path in entries if not any(each.startswith(os.path.realpath(path) + os.sep) for each in known))
    return sorted(Other(workspace.name(path), folder_size(path, workspace)) for path in free)


def folder_size(folder: str, workspace: Workspace) -> int:
    """Return the bytes of all files below a folder, links not followed."""
    total = 0
    for parent, _, names in os.walk(workspace.path(folder)):
        total += sum(_size(os.path.join(parent, name)) or 0 for name in names)
    return total


def _size(path: str) -> int | None:
    """Return the bytes of a file, None if it has gone since it was listed."""
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return None
