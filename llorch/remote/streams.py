"""Scripts that run on a host, however it is reached: what they are given, and what comes from them.

A login shell may print what it likes before our script begins. So the script first writes a line with a mark that
nobody can foresee, and with its process number; what comes before that is not its output.
"""

import re
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from llorch.errors import ConnectionFailed

Sink = Callable[[bytes], None]
CHUNK = 1 << 15
"""Bytes that are read at once: what a server puts into one packet."""
_BEGINNING = re.compile(r"(ok|no-folder|no-llorch|incompatible) (\d{1,9})(?: (.*))?", re.ASCII)
"""What follows the mark: how the script begins, the number of its process, and more words."""
SIGNALS = (("INT", 0.5), ("TERM", 0.5))
"""What ends a script, and the seconds that it then has. What sh has in the background heeds only the second."""


def new_mark() -> str:
    """Return a mark that no program writes by chance."""
    return f"llorch:{secrets.token_hex(16)}"


def not_begun(host: str, seconds: float) -> ConnectionFailed:
    """Return the error of a login shell that does not come to run what it is sent."""
    return ConnectionFailed(
        host,
        f"its login shell has not begun after {seconds:g} s",
        hint="`ssh -v` tells how far it gets; `[remote] connect_timeout` in llorch.toml has the seconds",
    )


class Beginning:
    """Takes what comes from a host's stdout, and passes on what follows the line with the mark.

    Attributes:
        state: the line's first word: `ok`, or why the program was not started; None before it has come.
        pid: the number of the process, which leads a group of its own.
        more: further words of the line.
    """

    def __init__(self, mark: str, out: Sink, err: Sink) -> None:
        """Pass on to `out`, and what the login shell says before the mark to `err`."""
        self.begun: Callable[[], None] = lambda: None
        """Called when the line has come, before anything that follows it."""
        self._mark = mark.encode() + b" "
        self._out = out
        self._err = err
        self._held = b""
        self.came = threading.Event()
        """Set when the line has come, or never will."""
        self.state: str | None = None
        self.pid = 0
        self.more: tuple[str, ...] = ()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self.state is not None:
            self._out(data)
            return
        self._held += data
        at = self._held.find(self._mark)
        end = self._held.find(b"\n", at) if at >= 0 else -1
        if end < 0:
            self._let_go(at if at >= 0 else max(0, len(self._held) - len(self._mark)))
            return
        line, rest = self._held[at + len(self._mark) : end], self._held[end + 1 :]
        found = _BEGINNING.fullmatch(line.decode(errors="replace").rstrip("\r"))  # a terminal adds it
        if found is None:  # it is in what a shell shows of the command that it runs
            self._let_go(end + 1)
            self.feed(b"")
            return
        self._let_go(at)
        self.state, self.pid, self.more, self._held = found[1], int(found[2]), tuple((found[3] or "").split()), b""
        self.came.set()
        self.begun()
        if rest:
            self._out(rest)

    def finish(self) -> None:
        """Take note that nothing more comes."""
        self._let_go(len(self._held))
        self.came.set()

    def _let_go(self, count: int) -> None:
        if count:
            self._err(self._held[:count])
            self._held = self._held[count:]


class Pumps:
    """Threads that pass on what comes from several streams, until each has ended."""

    def __init__(self, give_up: Callable[[], None]) -> None:
        """Take what is to be called, from a thread, when a stream or a sink fails."""
        self._give_up = give_up
        self._changed = threading.Condition()
        self._running = 0
        self._problems: list[BaseException] = []

    def start(self, receive: Callable[[int], bytes], sink: Sink, end: Callable[[], None] = lambda: None) -> None:
        """Pass on what is received, and call `end` after the last of it."""

        def run() -> None:
            try:
                while data := receive(CHUNK):
                    sink(data)
            except BaseException as error:  # handed to the thread that waits for this one
                self._problems.append(error)
                self._give_up()
            finally:
                try:
                    end()
                finally:
                    with self._changed:
                        self._running -= 1
                        self._changed.notify_all()

        with self._changed:
            self._running += 1
        threading.Thread(target=run, daemon=True).start()

    def end_within(self, seconds: float | None) -> bool:
        """Wait for the end of all streams, with no limit if None, and tell whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def wait(self) -> None:
        """Wait for the end of all streams; raise what a sink raised, such as BrokenPipeError."""
        self.end_within(None)
        if self._problems:
            raise self._problems[0]


class Terminal(NamedTuple):
    """The terminal that a program is to have: its kind, as in `$TERM`, and its size in characters."""

    kind: str
    columns: int
    lines: int


class Request(NamedTuple):
    """A script to run on a host, which begins by writing the mark that it has as its first argument.

    Attributes:
        arguments: those after the mark.
        stdin: an open file that it reads, or None for nothing.
        terminal: the one it is to have, its stderr coming with its stdout; or None.
    """

    text: str
    arguments: Sequence[str] = ()
    stdin: int | None = None
    terminal: Terminal | None = None


class Process(Protocol):
    """A script that runs on a host."""

    beginning: Beginning

    def wait(self) -> int:
        """Return its exit code, 128 and the signal's number if a signal ended it.

        Raises:
            ConnectionFailed: the connection broke before it ended.
        """
        ...

    def interrupt(self) -> None:
        """End it and what it started: by SIGINT, by SIGTERM, and by hanging up."""
        ...

    def resize(self, terminal: Terminal) -> None:
        """Tell it of its terminal's new size."""
        ...


class Pipe(Protocol):
    """Bytes to a program on a host, and from it."""

    def recv(self, size: int) -> bytes:
        """Return what came, at most so many bytes; none when nothing more comes."""
        ...

    def send(self, data: bytes) -> int:
        """Send bytes, and return how many of them."""
        ...

    def settimeout(self, seconds: float | None) -> None:
        """Have both raise TimeoutError when nothing moves for so long."""
        ...

    def close(self) -> None:
        """End the program."""
        ...


class Connection(Protocol):
    """A way to run scripts on a host."""

    def start(self, request: Request, out: Sink, err: Sink) -> Process:
        """Start a script; what it writes goes to `out` and `err` as it comes, from other threads.

        Raises:
            ConnectionFailed: the server does not let it start.
        """
        ...

    def open_subsystem(self, name: str) -> Pipe:
        """Start a program that the server knows by a name, such as `sftp`.

        Raises:
            ConnectionFailed: the server does not start it; or, when it is first read, why there is no connection.
        """
        ...

    def close(self) -> None:
        """Hang up."""
        ...
