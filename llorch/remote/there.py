"""A host to work on: scripts run on it one after the other, over one connection that is kept meanwhile."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Self

from llorch.errors import CommandFailed, DiskFull, LlorchError, ToolMissing
from llorch.program import TAIL
from llorch.remote import forward
from llorch.remote.command import OK
from llorch.remote.facts import Facts, parse_facts
from llorch.remote.hosts import Host
from llorch.remote.reach import Hold, Reach, run_on
from llorch.remote.streams import Request, Sink

BEGIN = OK + r' printf "\0" >&2;'
"""Says that a script begins its work, on stderr too, where the login shell may have said something."""
READY = ' printf "ready\\0yes\\0"; cat >/dev/null;'
"""Says that a script is ready, and waits for the end of those that run beside it."""
Say = Callable[[str], None]
_FULL = re.compile("No space left on device|Disk quota exceeded")
_NO_PROGRAM = 127
"""What a shell exits with when it does not find a program."""


class There:
    """A host, and the connection to it.

    Attributes:
        say: tells a person what is being done.
    """

    def __init__(self, reach: Reach, host: Host, hold: Hold, say: Say) -> None:
        """Connect.

        Raises:
            ConnectionFailed: there is no connection.
        """
        self.host = host
        self.say = say
        self._hold = hold
        self._connection = reach.connect(host)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Hang up."""
        self._connection.close()

    def run(
        self,
        what: str,
        text: str,
        *arguments: str,
        folder: str | None = None,
        stdin: int | None = None,
        take: Sink = lambda _: None,
        held: bool = True,
    ) -> bytes:
        """Run a script in a folder, the repository's unless given, and return what it writes to stdout.

        Args:
            what: the program that it is about, for messages.
            stdin: an open file that it reads, or None for nothing.
            take: is given what it writes to stdout as it comes.
            held: whether an interrupt ends it.

        Raises:
            ConnectionFailed: the connection broke.
            NotInWorkspace: there is no such folder.
            ToolMissing: a program is not there.
            DiskFull: there is no room on the host.
            CommandFailed: it did not end with 0; the error has the last lines of its stderr.
        """
        out = bytearray()
        said: dict[int, bytearray] = {}  # by the thread that took it, since each stream has one

        def err(data: bytes) -> None:
            said.setdefault(threading.get_ident(), bytearray()).extend(data)

        def both(data: bytes) -> None:
            out.extend(data)
            take(data)

        hold = self._hold if held else lambda _: nullcontext()
        where = self.host.repository if folder is None else folder
        ended = run_on(self._connection, Request(text, (where, *arguments), stdin), both, err, hold)
        if ended.state != "ok":
            forward.judge(self.host, ended)
        if ended.code:
            after = b"".join(text.partition(b"\0")[2] for text in said.values()).decode(errors="replace")
            raise self._failure(what, ended.code, after)
        return bytes(out)

    def _failure(self, what: str, code: int, said: str) -> LlorchError:
        """Return the error that a script's end is, by its code and what it has said to stderr."""
        name = self.host.name
        if code == _NO_PROGRAM:
            return ToolMissing(f"there is no `{what}` on `{name}`", hint="install it there")
        if _FULL.search(said):
            return DiskFull(
                f"the disk of `{name}` is full: `{what}` cannot write",
                hint=f"make room there; `llorch remote info {name}` shows what there is",
            )
        failed = CommandFailed((what,), code, "\n".join(said.splitlines()[-TAIL:]))
        failed.message = f"on `{name}`: {failed.message}"
        return failed

    @contextmanager
    def beside(self, what: str, text: str, *arguments: str, folder: str | None = None) -> Iterator[Facts]:
        """Have a script at work on the host beside the block, and give what it has told of itself.

        It has `READY` at the place where it is to wait for the end of the block. That comes also if this process is
        killed, so what follows puts in order what the others have left. A script that ends before is no failure.

        Raises:
            LlorchError: as `run`, if it comes from what precedes `READY`.
        """
        told = bytearray()
        failed: list[BaseException] = []
        ready, ended = threading.Event(), threading.Event()
        reading, writing = os.pipe()

        def take(data: bytes) -> None:
            told.extend(data)
            if told.endswith(b"ready\0yes\0"):
                ready.set()

        def work() -> None:
            try:
                self.run(what, text, *arguments, folder=folder, stdin=reading, take=take, held=False)
            except BaseException as error:  # handed to the thread that waits for this one
                failed.append(error)
            finally:
                ended.set()
                ready.set()

        threading.Thread(target=work, daemon=True).start()
        try:
            ready.wait()
            if failed:
                raise failed[0]
            yield parse_facts(bytes(told))
        finally:
            os.close(writing)
            ended.wait()  # if it has failed by now, so has what ran beside it
            os.close(reading)
