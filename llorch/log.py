"""Write what a run does into a log of its own, a file in `.llorch/log/`. Reading logs is the business of `runs`.

A line is an event: `TIME LEVEL EVENT NAME=VALUE…`. Each is written at once, so that a killed run has left what it did
until then; while a run goes on, it has the kernel's lock on its log. What hinders the log never hinders the run.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress

from llorch import __version__, ui
from llorch.errors import ConfigError, Problem
from llorch.secrets import HIDDEN, Hider
from llorch.switches import is_on
from llorch.text import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from llorch.errors import LlorchError
    from llorch.workspace import Workspace

    Value = str | int | float | None

LEVELS = ("debug", "info", "warning", "error", "off")
"""What LLORCH_LOG_LEVEL may be, from the one that says most."""
DOING = ("program-begins", "program", "task-begins", "host")
"""Events that tell of something that is done; a mere look, or an error before anything, makes no folder."""
FOLDER = (".llorch", "log")
SUFFIX = ".log"
MOST_RUNS = 100
MOST_BYTES = 20_000_000
"""What all logs of a workspace may take when one begins; the oldest go first."""
LARGEST = 4_000_000
"""Bytes of one log from which on it takes no more than warnings, errors and the end."""
LONGEST = 2_000
"""Characters of one value."""


def begin(workspace: Workspace, words: Sequence[str], *, makes: bool = False) -> bool:
    """Begin the log of this run, which `shell` and `ui` tell what they do from then on; tell whether there was none.

    Args:
        words: the command line.
        makes: the run makes `.llorch/` itself, also where no file declares a workspace.

    Raises:
        ConfigError: LLORCH_LOG_LEVEL is no level.
    """
    level = wanted_level()
    makes = (makes or workspace.declared) and not is_on("LLORCH_DRY_RUN")
    if level == "off":
        return False
    if ui.log is not None:
        ui.log.makes = ui.log.makes or makes
        return False
    ui.log = Log(workspace.place, level, words, makes=makes)
    return True


def wanted_level(environ: Mapping[str, str] = os.environ) -> str:
    """Return what LLORCH_LOG_LEVEL says, or `info`.

    Raises:
        ConfigError: it is no level.
    """
    level = environ.get("LLORCH_LOG_LEVEL") or "info"
    if level not in LEVELS:
        message = f"`{shown(level)}` is no level; give one of {', '.join(LEVELS)}"
        raise ConfigError([Problem("LLORCH_LOG_LEVEL", None, "", message)])
    return level


class Log:
    """The log of one run.

    Its lines are held back where there is no `.llorch/`, until somebody makes that; the log does, if it `makes` one,
    once something is done.
    """

    def __init__(self, root: str, level: str, words: Sequence[str], *, makes: bool) -> None:
        """Take the workspace's folder, the level and the command line."""
        self.makes = makes
        self._folder = os.path.join(root, *FOLDER)
        self._level = LEVELS.index(level)
        self._hider = Hider()
        self._began = time.time()
        self._file: int | None = None
        self._held: list[bytes] = []
        self._lock = threading.RLock()
        self._size = 0
        self._is_closed = False
        head: dict[str, Value] = {"command": self._text(words), "pid": os.getpid(), "version": __version__, "cwd": root}
        self._head = self._line("info", "run", head)
        if self._level <= LEVELS.index("info"):
            self._put("run", self._head)
        self._running: dict[object, tuple[float, str, str | None]] = {}

    def event(self, level: str, name: str, /, **values: Value) -> None:
        """Write an event, if its level is wanted. Values may have anything in them; None is left out."""
        if LEVELS.index(level) >= self._level and (self._size < LARGEST or level in ("warning", "error")):
            self._write(level, name, values)

    def end(self, code: int) -> None:
        """Write how the run ended, if anything is to be written, and close the log."""
        if self._file is not None or self._held:
            self._write("info", "end", {"exit": code, "seconds": time.time() - self._began})
        with self._lock:
            self._is_closed = True
            if self._file is not None:
                os.close(self._file)
        ui.log = None

    def warning(self, text: str) -> None:
        """Write a warning."""
        self.event("warning", "warning", text=text)

    def error(self, error: LlorchError) -> None:
        """Write an error."""
        self.event("error", "error", code=error.code, text=error.message, hint=error.hint)

    def bug(self, error: BaseException) -> None:
        """Write an error that nobody has foreseen; its traceback is on the terminal."""
        self.event("error", "error", code="bug", text=f"{type(error).__name__}: {error}")

    def program_begins(self, key: object, command: Sequence[str], cwd: object = None, *, brief: bool = False) -> None:
        """Take note that a program begins, and write it unless it is a brief one."""
        folder = None if cwd is None else str(cwd)
        self._running[key] = (time.monotonic(), self._text(command), folder)
        self.event("debug" if brief else "info", "program-begins", command=self._text(command), cwd=folder)

    def program_ends(self, key: object, code: int | None) -> None:
        """Write how a program ended that began; what is told again, or never began, is no event."""
        if key in self._running:
            began, command, folder = self._running.pop(key)
            self.event("info", "program", exit=code, seconds=time.monotonic() - began, command=command, cwd=folder)

    def program_missing(self, command: Sequence[str]) -> None:
        """Write that there is no such program."""
        self.event("info", "program", command=self._text(command), text="not installed, or not in PATH")

    def program_says(self, said: str | bytes) -> None:
        """Write what a program has written, a line each."""
        if self._level == 0:
            for line in (said if isinstance(said, str) else said.decode(errors="replace")).splitlines():
                self.event("debug", "output", text=line)

    def _write(self, level: str, name: str, values: Mapping[str, Value]) -> None:
        before = self._size
        self._put(name, self._line(level, name, values))
        if before < LARGEST <= self._size:
            self.warning(f"after {LARGEST} bytes this log takes warnings, errors and the end alone")

    def _text(self, command: Sequence[str]) -> str:
        """Return a command line without its secrets, which quotes would make others."""
        from shlex import join, quote

        return join(self._hider.hide(str(word)) for word in command).replace(quote(HIDDEN), HIDDEN)

    def _put(self, name: str, line: bytes) -> None:
        """Write the line of an event, and those that were held back before, or hold it back too."""
        with self._lock:
            if self._is_closed:
                return
            self._held.append(line)
            self._size += len(line)
            if self._file is None and not self._open(name):
                return
            assert self._file is not None, "it is open"
            try:
                for each in self._held:
                    os.write(self._file, each)
            except OSError as error:  # the disk is full
                self._give_up(error)
            self._held.clear()

    def _line(self, level: str, name: str, values: Mapping[str, Value]) -> bytes:
        now = time.time()
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        pairs = " ".join(f"{key}={self._value(value)}" for key, value in values.items() if value is not None)
        return f"{seconds}.{int(now % 1 * 1000):03}Z {level:<7} {name:<14} {pairs}\n".encode()

    def _value(self, value: Value) -> str:
        if not isinstance(value, str):
            return f"{value:.3f}" if isinstance(value, float) else str(value)
        text = self._hider.hide(value)
        if len(text) > LONGEST:
            text = text[:LONGEST] + "…"
        if text and text.isprintable() and text[0] not in "-0123456789" and not any(c in ' "=\\' for c in text):
            return text
        return '"' + shown(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'

    def _open(self, event: str) -> bool:
        """Make the file, unless there is no place for it yet, or it cannot be made."""
        import fcntl

        is_there = os.path.isdir(os.path.dirname(self._folder))
        if not is_there and not (self.makes and event in DOING):
            return False
        moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._began))
        name = f"{moment}.{int(self._began % 1 * 1e6):06}Z-{os.getpid()}{SUFFIX}"
        try:
            self._file = _create(self._folder, name)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            self._give_up(error)
            return False
        with suppress(OSError):  # another run removes them too
            remove_oldest(self._folder)
        if self._held[0] != self._head:  # which is below the level, and belongs into each log
            self._held.insert(0, self._head)
        return True

    def _give_up(self, error: OSError) -> None:
        """Write no more, and say so if the user has asked for a log."""
        self._is_closed = True
        if os.environ.get("LLORCH_LOG_LEVEL"):
            ui.warn(f"this run's log cannot be written: `{error.filename or self._folder}`: {error.strerror}")


def _create(folder: str, name: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
    path = os.path.join(folder, name)
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        from pathlib import Path

        from llorch.workspace import make_folder

        make_folder(Path(folder).parent)
        os.makedirs(folder, exist_ok=True)
        return os.open(path, flags, 0o600)


def remove_oldest(folder: str) -> None:
    """Remove logs until there are no more than may be, oldest first; none that a run is writing.

    Raises:
        OSError: one of them is gone meanwhile.
    """
    logs = [os.path.join(folder, name) for name in list_logs(folder)]
    sizes = dict(zip(logs, map(os.path.getsize, logs), strict=True))
    for path in logs:
        if len(sizes) <= MOST_RUNS and sum(sizes.values()) <= MOST_BYTES:
            return
        with suppress(PermissionError):  # another user's, who may be writing it
            if not is_being_written(path):
                os.unlink(path)
                del sizes[path]


def list_logs(folder: str | Path) -> list[str]:
    """Return the names of the logs that are in a folder, in the order in which they began. A link is none.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(e.name for e in os.scandir(folder) if is_log(e.name) and e.is_file(follow_symlinks=False))


def is_log(name: str) -> bool:
    """Tell whether a file's name is a log's: when its run began, in UTC, and the number of its process."""
    moment, _, number = name.removesuffix(SUFFIX).partition("Z-")
    return name.endswith(SUFFIX) and len(moment) == len("20260102T030405.678901") and number.isdecimal()


def is_being_written(path: str) -> bool:
    """Tell whether the run of a log goes on: it has the kernel's lock on it."""
    import fcntl

    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
