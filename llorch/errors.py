"""Every error that llorch raises on purpose, and the exit code each one ends in.

    LlorchError            1  a task or check failed
    ├── TaskFailure        1  several tasks failed, or a task of the user's own
    ├── Busy               1  another run is making the same target, and waiting was declined
    ├── DiskFull           1  no room, or no right, to write
    ├── NotFound           1  a server has no such repository, revision or file
    ├── AccessDenied       1  a server wants a token, or another one
    ├── Unreachable        1  a server does not answer, or not as it should
    ├── Offline            1  something is to be fetched while fetching is switched off
    ├── Unsupported        1  a conversion that is not proven here
    ├── Unshared           1  what a task makes cannot be told from what it would be elsewhere
    ├── Conflict           1  local work contradicts what came, and somebody has to decide
    ├── ConfigError        3  a configuration file is wrong; carries every problem found
    ├── UnknownName        3  no such model, task, host, …
    ├── NotInWorkspace     3  what is to be built is not in this workspace
    ├── ToolMissing        4  a program or package is missing or too old
    ├── CommandFailed      5  another program failed
    ├── TimedOut           5  another program was not done in time
    ├── IntegrityError     6  size or checksum differs from what was promised
    ├── Malformed          6  a file is not what its format says a file must be
    ├── ConnectionFailed   7  no connection to a host: unreachable, or it does not let us in
    │   └── HostKeyRefused 7  a host's key is unknown, changed or revoked
    └── Refused            8  refused for safety: would destroy, overwrite or leave the workspace

Usage errors end in 2 (click) and an interrupt in 130. What does not derive from `LlorchError` is a bug and keeps
its traceback.
"""

from __future__ import annotations

import errno

from llorch.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, ClassVar, Literal

    Severity = Literal["error", "warn"]

INTERRUPTED = 130


class LlorchError(Exception):
    """Say what went wrong, and in `hint` what to do next."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def details(self) -> Mapping[str, Any]:
        """Return what `--json` adds to code, message and hint."""
        return {}

    def as_json(self) -> dict[str, Any]:
        """Return the value of `error` in the JSON document (see docs/json.md)."""
        return {"code": self.code, "message": self.message, "hint": self.hint, **self.details()}


class TaskFailure(LlorchError):
    """Report a failure that is not one of llorch's own errors."""

    code = "task-failed"


class Busy(LlorchError):
    """Refuse to wait for another run that is making the same target."""

    code = "busy"


class DiskFull(LlorchError):
    """Report that a file cannot be written where it belongs."""

    code = "disk"


class NotFound(LlorchError):
    """Report that a server does not have what was asked for."""

    code = "not-found"


class AccessDenied(LlorchError):
    """Report that a server does not let us in."""

    code = "access-denied"


class Unreachable(LlorchError):
    """Report that a server does not answer, or answers as something else."""

    code = "unreachable"


class Offline(LlorchError):
    """Report that something is needed from a server while fetching is switched off."""

    code = "offline"


class Unsupported(LlorchError):
    """Refuse a conversion that would be a guess."""

    code = "unsupported"


class Unshared(LlorchError):
    """Report that a task's targets cannot come from a store, or go into one."""

    code = "unshared"


class Conflict(LlorchError):
    """Report local work that contradicts what came; the hint has the ways out."""

    code = "conflict"


class Problem(Record):
    """One mistake in a configuration file, or something that is there and may be one (`warn`)."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        """Render as one line.

        >>> str(Problem("llorch.toml", 3, "paths.models", "must be a string, not an integer"))
        'llorch.toml:3: paths.models: must be a string, not an integer'
        """
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        text = f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(LlorchError):
    """Report every mistake of the configuration at once, a line each."""

    code = "config"
    exit_code = 3

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        super().__init__("\n".join(map(str, problems)), hint=hint)
        self.problems = tuple(problems)

    def details(self) -> Mapping[str, Any]:
        """Return the problems one by one."""
        return {"problems": [problem._asdict() for problem in self.problems]}


class UnknownName(LlorchError):
    """Report a name that nothing is declared under, with the nearest that exists."""

    code = "unknown-name"
    exit_code = 3

    def __init__(self, kind: str, name: str, known: Sequence[str], *, hint: str | None = None) -> None:
        near = nearest(name, known)
        super().__init__(
            f"there is no {kind} `{name}`" + (f"; did you mean `{near}`?" if near else ""),
            hint=hint,
        )


class NotInWorkspace(LlorchError):
    """Report that the workspace does not have what is to be built or tested."""

    code = "not-in-workspace"
    exit_code = 3


class ToolMissing(LlorchError):
    """Report a program or package that is needed and not there."""

    code = "tool-missing"
    exit_code = 4


class CommandFailed(LlorchError):
    """Report another program's failure with the end of what it said."""

    code = "command-failed"
    exit_code = 5

    def __init__(self, command: Sequence[str], returncode: int, tail: str, *, hint: str | None = None) -> None:
        end = f"was ended by signal {-returncode}" if returncode < 0 else f"exited with {returncode}"
        super().__init__(f"`{command[0]}` {end}" + (f":\n{tail}" if tail else ""), hint=hint)
        self.command = tuple(command)
        self.returncode = returncode
        self.tail = tail

    def details(self) -> Mapping[str, Any]:
        """Return the command line and its exit code."""
        return {"command": list(self.command), "returncode": self.returncode}


class TimedOut(LlorchError):
    """Report another program that was ended because it took too long; `timeout` in seconds."""

    code = "timed-out"
    exit_code = 5

    def __init__(self, command: Sequence[str], timeout: float, *, hint: str | None = None) -> None:
        super().__init__(f"`{command[0]}` was not done after {timeout:g} s, and was ended", hint=hint)
        self.command = tuple(command)
        self.timeout = timeout

    def details(self) -> Mapping[str, Any]:
        """Return the command line and the time it had."""
        return {"command": list(self.command), "timeout": self.timeout}


class IntegrityError(LlorchError):
    """Report a file that is not what was promised."""

    code = "integrity"
    exit_code = 6

    def __init__(self, path: str, expected: str, actual: str, *, hint: str | None = None) -> None:
        super().__init__(f"`{path}` is not the promised file: expected {expected}, found {actual}", hint=hint)
        self.path = path
        self.expected = expected
        self.actual = actual

    def details(self) -> Mapping[str, Any]:
        """Return the path and both values."""
        return {"path": self.path, "expected": self.expected, "actual": self.actual}


class Malformed(LlorchError):
    """Report a file whose structure is wrong, with the one reason that was found first."""

    code = "malformed"
    exit_code = 6

    def __init__(self, path: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"`{path}` is malformed: {reason}", hint=hint)
        self.path = path
        self.reason = reason

    def details(self) -> Mapping[str, Any]:
        """Return the path and the reason."""
        return {"path": self.path, "reason": self.reason}


class ConnectionFailed(LlorchError):
    """Report that there is no connection to a host: it is unreachable, or does not let us in."""

    code = "connection-failed"
    exit_code = 7

    def __init__(self, host: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"no connection to `{host}`: {reason}", hint=hint)
        self.host = host
        self.reason = reason

    def details(self) -> Mapping[str, Any]:
        """Return the host and the reason."""
        return {"host": self.host, "reason": self.reason}


class HostKeyRefused(ConnectionFailed):
    """Refuse to talk to a host whose key is not trusted.

    Attributes:
        presented: the key's kind and fingerprint.
        recorded: those of the keys that are on record instead.
        accept: puts the key on record; None where that must not be done by a word.
    """

    code = "host-key"

    def __init__(
        self,
        host: str,
        reason: str,
        *,
        hint: str,
        presented: str,
        recorded: Sequence[str],
        accept: Callable[[], None] | None,
    ) -> None:
        super().__init__(host, reason, hint=hint)
        self.presented = presented
        self.recorded = tuple(recorded)
        self.accept = accept

    def details(self) -> Mapping[str, Any]:
        """Return the host, the reason and the keys."""
        return {**super().details(), "presented": self.presented, "recorded": list(self.recorded)}


class Refused(LlorchError):
    """Refuse for safety; nothing was changed."""

    code = "refused"
    exit_code = 8


_REFUSALS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOTDIR, errno.EISDIR,
    errno.ELOOP, errno.ENAMETOOLONG,
)  # fmt: skip


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a file refuses that is open: no name comes with it."""


def of_system(error: OSError) -> LlorchError | None:
    """Return our error for what the user's disk or rights refuse, None for what only a mistake of ours can cause."""
    if error.errno in _FULL and error.filename is None:
        hint = "check the room on the disk, and where stdout and stderr lead"
        return DiskFull(f"what llorch writes cannot be written: {error.strerror}", hint=hint)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return LlorchError("too many files are open at once", hint="`ulimit -n 4096` in this shell allows more")
    if error.errno not in _REFUSALS or error.filename is None:
        return None
    hint = "check who may read and write it, what is in its place, and the room on the disk"
    return DiskFull(f"`{error.filename}` cannot be used: {error.strerror}", hint=hint)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that `name` most likely means, or None.

    Of tasks' names only what comes behind the room is compared, where the room is right: it would make all its tasks
    alike.

    >>> nearest("tinylama", ["qwen", "tinyllama"]), nearest("models:nope", ["models:qwen"])
    ('tinyllama', None)
    """
    from difflib import get_close_matches  # 5 ms, and only on the way to an error

    room, colon, _ = name.partition(":")
    same = [each for each in known if colon and each.startswith(room + colon)]
    at = len(room + colon) if same else 0
    near = get_close_matches(name[at:], [each[at:] for each in same or known], n=1)
    return name[:at] + near[0] if near else None
