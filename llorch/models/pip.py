"""Call pip, under its own configuration (pip.conf, PIP_*); tell what it is at, and what went wrong."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from llorch import shell
from llorch.errors import CommandFailed, DiskFull, LlorchError, ToolMissing
from llorch.progress import Progress

_MARKS = ("ERROR: ", "\N{MULTIPLICATION SIGN} ")
"""What pip writes before what went wrong; behind it there may be advice for those who have called pip themselves."""


def run_pip(
    deed: Literal["download", "install"],
    arguments: Sequence[str],
    what: str,
    folder: Path,
    progress: Progress,
    env: Mapping[str, str] | None = None,
) -> None:
    """Have pip download or install something in `folder`: wheels only, as a source distribution would run its own code.

    Args:
        what: how messages call it.
        env: variables set for pip.

    Raises:
        ToolMissing: there is no pip.
        DiskFull: there is no room for it.
        LlorchError: pip cannot do it.
    """
    progress.say(f"{what} from PyPI")
    done = size = 0

    def on_line(line: str) -> None:
        nonlocal done, size
        words = line.split()
        if len(words) == 4 and words[0] == "Progress" and words[1].isdigit() and words[3].isdigit():
            if int(words[3]) != size or int(words[1]) < done:  # the next file
                done, size = 0, int(words[3])
                progress.total(size)
            progress.advance(int(words[1]) - done)
            done = int(words[1])
        elif deed == "install" and words[:1] == ["Installing"]:
            count = len(words) - 3
            progress.say(f"installing {count} package{'s' if count > 1 else ''}")
        elif deed == "install":
            wheel = next((word for word in words if word.endswith(".whl")), None)
            if wheel is not None:
                progress.say(wheel.rsplit("/", 1)[-1])

    command = [sys.executable, "-m", "pip", deed, "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=raw", *arguments]
    try:
        shell.run(command, on_line=on_line, cwd=folder, env=env)
    except CommandFailed as error:
        raise _pip_failed(error, deed, what) from error


def _pip_failed(error: CommandFailed, deed: str, what: str) -> LlorchError:
    if "No module named pip" in error.tail:
        return ToolMissing("pip is not in llorch's environment", hint="install llorch again; it declares pip")
    if "No space left" in error.tail:
        return DiskFull(f"the disk is full: pip could not {deed} {what}", hint="make room and run again")
    reasons = [line.removeprefix(mark) for line in error.tail.splitlines() for mark in _MARKS if line.startswith(mark)]
    why = reasons[0] if reasons else (error.tail.splitlines() or ["pip said nothing"])[-1]
    return LlorchError(
        f"pip could not {deed} {what}: {why}",
        hint="check the connection and the version; pip's own settings (pip.conf, PIP_*) are in force",
    )
