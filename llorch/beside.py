"""Programs beside this process, in its group and at its terminal, which whoever starts them talks to and ends.

Those that are run to their end, out of the terminal's reach, are `shell`'s.
"""

from __future__ import annotations

from llorch import shell, ui
from llorch.errors import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from typing import Any

    Started = subprocess.Popen[bytes]

PIPE = -1  # as subprocess has it; importing that takes 8 ms, so it is imported where it is needed


def start(
    command: Sequence[str],
    *,
    stdin: int | None = None,
    stdout: int = PIPE,
    stderr: int | None = None,
    env: Mapping[str, str] | None = None,
    hint: str | None = None,
) -> Started:
    """Start a program beside this process, in its group and at its terminal; the caller reads it and sees to its end.

    Args:
        stdin: an open file, or None for nothing.
        stdout: an open file, or `PIPE`.
        stderr: likewise, or None for this process's own.
        env: its variables, or None for this process's own.

    Raises:
        ToolMissing: there is no such program.
    """
    from subprocess import DEVNULL

    return _beside(command, hint, stdin=DEVNULL if stdin is None else stdin, stdout=stdout, stderr=stderr, env=env)


def end_within(process: Started, seconds: float) -> bool:
    """Wait for the end of a program that `start` started, and tell whether it came."""
    import subprocess
    from contextlib import suppress

    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def hang_up(process: Started) -> None:
    """End a program that `start` started, as a terminal that goes away does."""
    import signal

    for request in (signal.SIGHUP, signal.SIGKILL):
        process.send_signal(request)
        end_within(process, 1)


def run_interactive(command: Sequence[str]) -> None:
    """Run a program that has the terminal to itself.

    Raises:
        ToolMissing: there is no such program.
        CommandFailed: it exited with anything but 0.
    """
    process = _beside(command)
    with process:
        try:
            returncode = process.wait()
        except BaseException:
            process.kill()
            raise
    if returncode:
        raise CommandFailed(command, returncode, "")


def _beside(command: Sequence[str], hint: str | None = None, **more: Any) -> Started:
    """Start a program in this process's group, whose end the log is told when it is waited for."""
    import subprocess

    class Program(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            code = super().wait(timeout)
            if ui.log is not None:
                ui.log.program_ends(self, code)
            return code

    try:
        process = Program(command, **more)
    except (FileNotFoundError, PermissionError):
        raise shell.missing(command, hint) from None
    if ui.log is not None:
        ui.log.program_begins(process, command)
    return process
