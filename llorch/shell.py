"""The only door to other programs: argument lists, never a shell string."""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from llorch.errors import CommandFailed, TimedOut, ToolMissing

PIPE = subprocess.PIPE
Started = subprocess.Popen[bytes]
TAIL = 40
"""Lines of a program's output that an error repeats."""

_running: set[subprocess.Popen[Any]] = set()
_starting = 0
_lock = threading.Condition(threading.Lock())


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    inherit: Collection[int] = (),
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,
    hint: str | None = None,
) -> None:
    """Run a program to its end, giving each line it writes, to either stream, to `on_line`.

    The program has no terminal and no input, and ends with its children when this process is told to end.

    Args:
        env: variables set for it besides those of this process; None takes one away.
        inherit: open files that it has too, and with them their locks, should it outlive this process.
        timeout: seconds after which it is ended with its children.

    Raises:
        ToolMissing: there is no such program.
        TimedOut: it was not done in time.
        CommandFailed: it exited with anything but 0; the error has the last lines it wrote.
    """
    variables = _variables(env)
    tail: deque[str] = deque(maxlen=TAIL)
    process: subprocess.Popen[str] | None = None
    timer: threading.Timer | None = None
    expired = threading.Event()
    try:
        with uninterrupted():
            process = _start(
                command, hint, cwd, variables, inherit, stderr=subprocess.STDOUT, text=True, errors="replace"
            )
        assert process.stdout is not None
        if timeout is not None:
            timer = threading.Timer(timeout, _expire, [process, expired])
            timer.start()
        for line in process.stdout:
            tail.append(line.rstrip("\n"))
            if on_line is not None:
                on_line(tail[-1])
        returncode = process.wait()
    finally:
        if timer is not None:
            timer.cancel()
        if process is not None:
            _finish(process)
    if timeout is not None and expired.is_set():
        raise TimedOut(command, timeout, hint=hint)
    if returncode:
        raise CommandFailed(command, returncode, "\n".join(tail), hint=hint)


def output(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str | None] | None = None,
    hint: str | None = None,
) -> bytes:
    """Run a program to its end as `run` does, and return what it wrote to stdout.

    Raises:
        ToolMissing: there is no such program.
        CommandFailed: it exited with anything but 0; the error has the last lines of its stderr.
    """
    variables = _variables(env)
    process: subprocess.Popen[bytes] | None = None
    try:
        with uninterrupted():
            process = _start(command, hint, cwd, variables, stderr=subprocess.PIPE)
        out, err = process.communicate()
    finally:
        if process is not None:
            _finish(process)
    if process.returncode:
        tail = "\n".join(err.decode(errors="replace").splitlines()[-TAIL:])
        raise CommandFailed(command, process.returncode, tail, hint=hint)
    return out


def _variables(env: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return the variables that a program is to have."""
    return {name: value for name, value in {**os.environ, **(env or {})}.items() if value is not None}


def _start(
    command: Sequence[str],
    hint: str | None,
    cwd: Path | None,
    env: Mapping[str, str],
    inherit: Collection[int] = (),
    **more: Any,
) -> subprocess.Popen[Any]:
    """Start a program. Several can be started at once, which takes a millisecond each; `end_all` waits for them."""
    global _starting
    with _lock:
        _starting += 1
    process: subprocess.Popen[Any] | None = None
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            pass_fds=inherit,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            **more,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if error.filename != command[0]:
            raise  # the folder is not there
        raise ToolMissing(f"`{command[0]}` is not installed, or not in PATH", hint=hint) from None
    finally:
        with _lock:
            _starting -= 1
            if process is not None:
                _running.add(process)
            _lock.notify_all()
    return process


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back what ends this process until a program that is being started is known, or nobody would end that."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers run in the main thread alone
        return
    held: list[int] = []
    ours = [number for number in (signal.SIGINT, signal.SIGTERM) if callable(signal.getsignal(number))]
    handlers = {number: signal.signal(number, lambda number, _: held.append(number)) for number in ours}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for came in held:
        signal.raise_signal(came)


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
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=stdout, stderr=stderr, env=env
        )
    except (FileNotFoundError, PermissionError):
        raise ToolMissing(f"`{command[0]}` is not installed, or not in PATH", hint=hint) from None


def hang_up(process: Started) -> None:
    """End a program that `start` started, as a terminal that goes away does."""
    for request in (signal.SIGHUP, signal.SIGKILL):
        process.send_signal(request)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)


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


def terminate(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM: exit as shells tell of a signal, so that `run` ends what it runs on the way out."""
    raise SystemExit(128 + number)


@contextmanager
def terminated() -> Iterator[None]:
    """Leave on SIGTERM and SIGHUP as on Ctrl-C, so that what was begun is ended on the way out."""
    handlers = {number: signal.signal(number, terminate) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def end_all() -> None:
    """End every program that is still running, with its children."""
    with _lock:
        _lock.wait_for(lambda: not _starting)
        running = list(_running)
    for process in running:
        _end(process)


def _expire(process: subprocess.Popen[Any], expired: threading.Event) -> None:
    expired.set()
    _end(process)
    # Children that it left behind, and that keep its output open; macOS may refuse where only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _finish(process: subprocess.Popen[Any]) -> None:
    """Leave nothing of a program: no process, and no open file."""
    _end(process)
    with _lock:
        _running.discard(process)
    if process.stdout is not None:
        process.stdout.close()


def _end(process: subprocess.Popen[Any], patience: float = 2.0) -> None:
    for request in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):  # it may end of itself meanwhile
            os.killpg(process.pid, request)
            process.wait(patience)
