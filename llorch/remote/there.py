"""A host to work on: scripts run on it one after the other, over one connection that is kept meanwhile."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import TracebackType
from typing import Self

from llorch import shell
from llorch.errors import CommandFailed, ToolMissing
from llorch.remote import forward
from llorch.remote.command import OK
from llorch.remote.hosts import Host
from llorch.remote.reach import Hold, Reach, run_on
from llorch.remote.streams import Request

BEGIN = OK + r' printf "\0" >&2;'
"""Says that a script begins its work, on stderr too, where the login shell may have said something."""
Say = Callable[[str], None]
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
        held: bool = True,
    ) -> bytes:
        """Run a script in a folder, the repository's unless given, and return what it writes to stdout.

        Args:
            what: the program that it is about, for messages.
            stdin: an open file that it reads, or None for nothing.
            held: whether an interrupt ends it; not so where it puts in order what an interrupt has left.

        Raises:
            ConnectionFailed: the connection broke.
            NotInWorkspace: there is no such folder.
            ToolMissing: a program is not there.
            CommandFailed: it did not end with 0; the error has the last lines of its stderr.
        """
        out = bytearray()
        said: dict[int, bytearray] = {}  # by the thread that took it, since each stream has one

        def err(data: bytes) -> None:
            said.setdefault(threading.get_ident(), bytearray()).extend(data)

        hold = self._hold if held else lambda _: nullcontext()
        where = self.host.repository if folder is None else folder
        ended = run_on(self._connection, Request(text, (where, *arguments), stdin), out.extend, err, hold)
        code = ended.code
        if ended.state != "ok":
            forward.judge(self.host, ended)
        if code == _NO_PROGRAM:
            raise ToolMissing(f"there is no `{what}` on `{self.host.name}`", hint="install it there")
        if code:
            after = b"".join(text.partition(b"\0")[2] for text in said.values()).decode(errors="replace")
            failed = CommandFailed((what,), code, "\n".join(after.splitlines()[-shell.TAIL :]))
            failed.message = f"on `{self.host.name}`: {failed.message}"
            raise failed
        return bytes(out)
