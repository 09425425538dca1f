"""What doctor tells of one thing, and how a program is asked that may hang. What is looked at is the other files'."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llorch import shell
from llorch.errors import LlorchError

Severity = Literal["ok", "warn", "error"]
PATIENCE = 4.0
"""Seconds that one program, or one question to a server, may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        id: stable, for programs.
        found: the version, the path or the amount; empty where there is none.
        needed_for: what of the workspace needs it; empty where nothing does.
        text: what is wrong, or worth knowing; empty where there is nothing to say.
        fix: the commands that mend it on this machine, as lines for a shell.
        safe: `--fix` may run them: they are plain argument lists that add what is missing, and take nothing away.
    """

    id: str
    severity: Severity = "ok"
    found: str = ""
    needed_for: str = ""
    text: str = ""
    fix: tuple[str, ...] = ()
    safe: bool = False


def listing(names: Sequence[str], most: int = 3) -> str:
    """Return names in a line, the first ones of many.

    >>> listing(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def words_of(error: LlorchError) -> str:
    """Return what an error says, and below it what to do."""
    return f"{error.message}\n{error.hint or ''}".strip()


def ask(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Return what a program says, on either stream, in English.

    Raises:
        ToolMissing: it is not there.
        TimedOut: it hangs, and was ended.
        CommandFailed: it exited with anything but 0.
    """
    lines: list[str] = []
    shell.run(command, cwd=cwd, env={"LC_ALL": "C", **(env or {})}, on_line=lines.append, timeout=PATIENCE)
    return "\n".join(lines)


def first_line(said: str) -> str:
    r"""Return the first line that says something, as far as it can be a version; it may be anything.

    >>> first_line("\n  cc 12.2 \nmore"), first_line("")
    ('cc 12.2', 'unknown')
    """
    return next((line.strip()[:100] for line in said.splitlines() if line.strip()), "unknown")


def own(*command: str) -> str:
    """Return a command of llorch's own environment, such as `llorch` or `hf`, so that a shell finds it."""
    beside = os.path.join(os.path.dirname(sys.executable), command[0])
    program = command[0] if shutil.which(command[0]) or not os.path.exists(beside) else beside
    return shlex.join([program, *command[1:]])
