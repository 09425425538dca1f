"""The door to other programs, each run to its end: argument lists, never a shell string. Others are `beside`."""

from __future__ import annotations

import _thread  # `threading` takes 3 ms to import: it is imported where it is needed
import os

from llorch import ui
from llorch.errors import CommandFailed, TimedOut, ToolMissing
from llorch.program import TAIL, Program, Reader
from llorch.signals import uninterrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import TypeVar

    Variables = Mapping[str, str | None]
    Answer = TypeVar("Answer")
    Talk = Generator[tuple[Sequence[str], Variables], bytes, Answer]
    Process = TypeVar("Process", "subprocess.Popen[str]", Program)

_running: set[subprocess.Popen[str] | Program] = set()
_starting = 0
_stopped = False
_lock = _thread.allocate_lock()


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
    from collections import deque

    tail: deque[str] = deque(maxlen=TAIL)
    process: subprocess.Popen[str] | None = None
    try:
        with uninterrupted():
            process = _start(command, lambda: _open(command, cwd, env, inherit), hint, cwd)
        assert process.stdout is not None
        with _Limited(process, command, timeout, hint):
            for line in process.stdout:
                tail.append(line.rstrip("\n"))
                if ui.log is not None:
                    ui.log.program_says(tail[-1])
                if on_line is not None:
                    on_line(tail[-1])
            returncode = process.wait()
    finally:
        if process is not None:
            _finish(process)
            assert process.stdout is not None
            process.stdout.close()
    if returncode:
        raise CommandFailed(command, returncode, "\n".join(tail), hint=hint)


def _open(
    command: Sequence[str], cwd: Path | None, env: Variables | None, inherit: Collection[int]
) -> subprocess.Popen[str]:
    import subprocess  # it takes 8 ms

    return subprocess.Popen(
        command,
        cwd=cwd,
        env=_variables(env, os.environ),
        pass_fds=inherit,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        errors="replace",
    )


def output(
    command: Sequence[str],
    *,
    env: Mapping[str, str | None] | None = None,
    timeout: float | None = None,
    hint: str | None = None,
) -> bytes:
    """Run a program to its end as `run` does, in the current folder, and return what it wrote to stdout.

    Raises:
        ToolMissing: there is no such program.
        TimedOut: it was not done in time.
        CommandFailed: it exited with anything but 0; the error has the last lines of its stderr.
    """
    program: Program | None = None
    try:
        with uninterrupted():
            program = _begin(command, _variables(env, os.environ), hint)
        with _Limited(program, command, timeout, hint):
            reader = Reader()
            reader.add(program)
            reader.next().wait()
    finally:
        if program is not None:
            _finish(program)
    return program.answer(hint)


def talk(talk: Talk[Answer], *, hint: str | None = None) -> Answer:
    """Run the programs that a talk yields, send it what each wrote, or raise its error there; return its end."""
    said: bytes | CommandFailed | None = None
    while True:
        try:
            command, env = _turn(talk, said)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # typeshed has Any there
        try:
            said = output(command, env=env, hint=hint)
        except CommandFailed as error:
            said = error


def talk_at_once(talks: Iterable[Talk[Answer]], at_once: int, *, hint: str | None = None) -> list[Answer]:
    """Do the same with so many talks at once, in this thread, and return their ends in order.

    The first error that one of them does not catch ends them all.
    """
    answers: dict[int, Answer] = {}
    turns: list[tuple[int, Talk[Answer], bytes | CommandFailed | None]] = []
    turns.extend((index, talk, None) for index, talk in enumerate(talks))
    turns.reverse()
    running: dict[Program, tuple[int, Talk[Answer]]] = {}
    reader = Reader()
    inherited = dict(os.environ)
    try:
        while turns or running:
            while turns and len(running) < at_once:
                index, talk, said = turns.pop()
                try:
                    command, env = _turn(talk, said)
                except StopIteration as end:
                    answers[index] = end.value
                    continue
                with uninterrupted():
                    program = _begin(command, _variables(env, inherited), hint)
                    running[program] = index, talk
                reader.add(program)
            if running:
                program = reader.next()
                program.wait()
                _finish(program)
                index, talk = running.pop(program)
                try:
                    turns.append((index, talk, program.answer(hint)))
                except CommandFailed as error:
                    turns.append((index, talk, error))
    finally:
        for program in running:
            _finish(program)
    return [answers[index] for index in range(len(answers))]


def _turn(talk: Talk[Answer], said: bytes | CommandFailed | None) -> tuple[Sequence[str], Variables]:
    if said is None:
        return next(talk)
    return talk.send(said) if isinstance(said, bytes) else talk.throw(said)


def _variables(env: Variables | None, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a program is to have."""
    return {name: value for name, value in {**inherited, **(env or {})}.items() if value is not None}


def _begin(command: Sequence[str], variables: Mapping[str, str], hint: str | None) -> Program:
    return _start(command, lambda: Program(command, variables), hint)


def _start(command: Sequence[str], start: Callable[[], Process], hint: str | None, cwd: Path | None = None) -> Process:
    """Start a program. Several can be started at once, which takes a millisecond each; `end_all` waits for them."""
    global _starting
    with _lock:
        _check_going_on()
        _starting += 1
    process: Process | None = None
    try:
        process = start()
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if error.filename != command[0]:
            raise  # the folder is not there
        raise missing(command, hint) from None
    finally:
        with _lock:
            _starting -= 1
            if process is not None:
                _running.add(process)
    if ui.log is not None:
        ui.log.program_begins(process, command, cwd, brief=isinstance(process, Program))
    return process


def _check_going_on() -> None:
    if _stopped:
        import threading

        if threading.current_thread() is not threading.main_thread():
            raise SystemExit  # which ends a thread and says nothing


def missing(command: Sequence[str], hint: str | None) -> ToolMissing:
    """Return the error for a program that is not there, of which the log is told."""
    if ui.log is not None:
        ui.log.program_missing(command)
    return ToolMissing(f"`{command[0]}` is not installed, or not in PATH", hint=hint)


def stop() -> None:
    """End every program that is still running, and have no thread start another: this process is about to end."""
    global _stopped
    _stopped = True
    end_all()


def end_all() -> None:
    """End every program that is still running, with its children."""
    _comes_true(lambda: not _starting, 2.0)
    with _lock:
        running = list(_running)
    for process in running:
        _end(process)


class _Limited:
    """Ends a program with its children when its time is over, and raises TimedOut then."""

    def __init__(
        self,
        process: subprocess.Popen[str] | Program,
        command: Sequence[str],
        timeout: float | None,
        hint: str | None,
    ) -> None:
        self._process = process
        self._expired = False
        self._clock: AbstractContextManager[None] | None = None
        if timeout is not None:
            from llorch.parallel import after  # `threading` again

            self._clock = after(timeout, self._expire)
            self._error = TimedOut(command, timeout, hint=hint)

    def __enter__(self) -> None:
        if self._clock is not None:
            self._clock.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._clock is not None:
            self._clock.__exit__(None, None, None)
            if kind is None and self._expired:
                raise self._error

    def _expire(self) -> None:
        import signal
        from contextlib import suppress

        self._expired = True
        _end(self._process)
        # Children that it left behind, and that keep its output open; macOS may refuse where only zombies are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _finish(process: subprocess.Popen[str] | Program) -> None:
    """Leave no process of a program."""
    _end(process)
    if isinstance(process, Program):
        process.close()
        if ui.log is not None:
            ui.log.program_says(b"".join(process.said()))
    if ui.log is not None:
        ui.log.program_ends(process, process.returncode)
    with _lock:
        _running.discard(process)


def _end(process: subprocess.Popen[str] | Program, patience: float = 2.0) -> None:
    if process.poll() is not None:
        return
    import signal
    from contextlib import suppress

    for request in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # it may end of itself meanwhile
            os.killpg(process.pid, request)
        if _comes_true(lambda: process.poll() is not None, patience):
            return


def _comes_true(is_so: Callable[[], bool], patience: float) -> bool:
    """Wait for something to be so, but not longer than that."""
    import time

    until = time.monotonic() + patience
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True
