"""The only door to other programs: argument lists, never a shell string."""

import os
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from llorch.errors import CommandFailed, ToolMissing

TAIL = 40
"""Lines of a program's output that an error repeats."""

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    hint: str | None = None,
) -> None:
    """Run a program to its end, giving each line it writes, to either stream, to `on_line`.

    The program has no terminal and no input, and ends with its children when this process is told to end.

    Args:
        env: variables set for it besides those of this process.

    Raises:
        ToolMissing: there is no such program.
        CommandFailed: it exited with anything but 0; the error has the last lines it wrote.
    """
    if shutil.which(command[0], path=(env or os.environ).get("PATH", os.environ.get("PATH"))) is None:
        raise ToolMissing(f"`{command[0]}` is not installed, or not in PATH", hint=hint)
    tail: deque[str] = deque(maxlen=TAIL)
    started: list[subprocess.Popen[str]] = []
    try:
        with _lock, _undisturbed():
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            started.append(process)
            _running.add(process)
        assert process.stdout is not None
        for line in process.stdout:
            tail.append(line.rstrip("\n"))
            if on_line is not None:
                on_line(tail[-1])
        returncode = process.wait()
    finally:
        for process in started:
            _end(process)
            with _lock:
                _running.discard(process)
            if process.stdout is not None:
                process.stdout.close()
    if returncode:
        raise CommandFailed(command, returncode, "\n".join(tail), hint=hint)


def run_interactive(command: Sequence[str]) -> None:
    """Run a program that has the terminal to itself.

    Raises:
        ToolMissing: there is no such program.
        CommandFailed: it exited with anything but 0.
    """
    try:
        returncode = subprocess.run(command, check=False).returncode
    except (FileNotFoundError, PermissionError):
        raise ToolMissing(f"`{command[0]}` is not installed, or not in PATH") from None
    if returncode:
        raise CommandFailed(command, returncode, "")


def end_all() -> None:
    """End every program that is still running, with its children."""
    with _lock:
        running = list(_running)
    for process in running:
        _end(process)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and a request to end: between a program's start and our knowing of it nobody would end it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    known = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in known:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


def _end(process: subprocess.Popen[str], patience: float = 2.0) -> None:
    for request in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):  # it may end of itself meanwhile
            os.killpg(process.pid, request)
            process.wait(patience)
