"""Copies of models on other machines: what one is made of, which are worth copying, and how one lands here.

How the bytes travel is not known here.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llorch.config import Workspace
from llorch.errors import IntegrityError, LlorchError, NotFound, Refused, UnknownName
from llorch.models.catalog import Model, check_path
from llorch.models.fetch import expected_files, usable_receipt
from llorch.models.part import Part, landing
from llorch.models.receipt import Receipt, origin_of
from llorch.models.status import status_of
from llorch.state import State


class Copy(NamedTuple):
    """A file of a model, by its path in the model's folder; `size` in bytes."""

    name: str
    size: int
    sha256: str


class Elsewhere(NamedTuple):
    """A model on another machine.

    Attributes:
        folder: its path below the model folder there.
        vouched: the digests that the llorch there knows, by the files' names; None where none declares the model.
    """

    folder: str
    vouched: Mapping[str, str] | None


def whole(model: Model, workspace: Workspace, state: State) -> list[Copy]:
    """Return all files of a model, what was made of them too.

    Raises:
        Refused: one is not here, or not verified.
    """
    status = status_of(model, workspace, state)
    if status.state != "ok" or usable_receipt(model, workspace) is None:
        what = "not on disk" if status.state == "missing" else f"not whole and verified here: {status.state}"
        raise Refused(f"`{model.id}` is {what}", hint=f"`llorch models download {model.id}` has it so")
    return [Copy(model.made_name(file.path), file.size or 0, file.sha256 or "") for file in status.files]


def find_elsewhere(model: Model, base: str, document: Mapping[str, Any] | None, host: str) -> Elsewhere:
    """Return where a model is on another machine.

    Args:
        base: the model folder here.
        document: what `models catalog --json` says there, None where there is no llorch.
        host: how messages call the machine.

    Raises:
        Refused: the model is another one there.
        LlorchError: the document is not what a llorch writes.
    """
    own = Elsewhere(model.folder.removeprefix(f"{base}/"), None)
    if document is None:
        return own
    try:
        entry = next((each for each in document["models"] if each["id"] == model.id), None)
        if entry is None:
            return own
        folder = entry["folder"].removeprefix(f"{document['folder']}/")
        names = {file["path"].removeprefix(f"{entry['folder']}/"): file for file in entry["files"]}
        vouched = {name: str(file["sha256"]) for name, file in names.items() if file["state"] == "ok"}
        origin = (entry["source"], entry["repo"], entry["revision"])
        wrong = check_path(folder)
    except (KeyError, TypeError, AttributeError):
        wrong = "is not a list of models"
    if wrong is not None:
        raise LlorchError(f"what the llorch of `{host}` says cannot be used: {wrong}")
    if origin != origin_of(model) or set(names) != set(map(model.made_name, (*model.paths, *model.made))):
        hint = f"make the catalogs alike: `llorch remote sync {host}`"
        raise Refused(f"`{model.id}` is another model in the catalog of `{host}`", hint=hint)
    return Elsewhere(folder, vouched)


def promised(
    model: Model, workspace: Workspace, receipt: Receipt | None, sizes: Mapping[str, int], host: str
) -> list[Copy]:
    """Return what the files of a model must be that come from another machine.

    Args:
        receipt: the one there, which vouches for what neither the catalog nor the receipt here does.
        sizes: bytes of the files there, by their names.

    Raises:
        NotFound: a file is not there.
        LlorchError: nothing vouches for a file.
    """
    hint = f"`llorch models download {model.id} --remote {host}` has it there"
    if receipt is not None and receipt.origin != origin_of(model):
        receipt = None
    found: list[Copy] = []
    expected = {model.path(file): expected_files(model, workspace)[file.path] for file in model.entry.files}
    claims = {model.path(file): receipt.files.get(file.path) for file in model.entry.files if receipt is not None}
    for path in (*model.paths, *model.made):
        name = model.made_name(path)
        made = receipt.made.get(name) if receipt is not None else None
        sha256 = made.sha256 if path in model.made and made else claims.get(path)
        size = sizes.get(name, -1)
        if path in expected:
            sha256, size = expected[path].sha256 or sha256, expected[path].size or size
        if sizes.get(name, -1) < 0:
            raise NotFound(f"`{host}` has no `{name}` of `{model.id}`", hint=hint)
        if sha256 is None:
            raise NotFound(f"`{host}` has no receipt of `{model.id}` that vouches for `{name}`", hint=hint)
        found.append(Copy(name, size, sha256))
    return found


def is_here(model: Model, copy: Copy, workspace: Workspace, state: State) -> bool:
    """Tell whether a file is in its place, and right."""
    path = f"{model.folder}/{copy.name}"
    place = workspace.path(path)
    return place.is_file() and place.stat().st_size == copy.size and state.digest(path) == copy.sha256


def land(
    model: Model, copy: Copy, workspace: Workspace, state: State, fill: Callable[[Part], None] = lambda _: None
) -> None:
    """Give a file that came from another machine its name, if it is the promised one.

    Args:
        fill: adds what its `.part` lacks.

    Raises:
        IntegrityError: it is not what the catalog or the other machine says.
        UnknownName: it is no file of the model.
        LlorchError: as `landing`, or `fill`.
    """
    path = f"{model.folder}/{copy.name}"
    pins = {model.path(file): file.sha256 for file in model.entry.files}
    if path not in (*model.paths, *model.made):
        raise UnknownName(f"file of `{model.id}`", copy.name, list(map(model.made_name, model.paths)))
    if pins.get(path) not in (None, copy.sha256):
        hint = "make the catalogs of both machines alike"
        raise IntegrityError(path, f"sha256 {pins[path]}, as the catalog says", f"sha256 {copy.sha256}", hint=hint)
    if is_here(model, copy, workspace, state):
        return
    with landing(workspace.path(path), path, size=copy.size, sha256=copy.sha256, resume=True) as part:
        fill(part)
    state.learn(path, copy.sha256)
