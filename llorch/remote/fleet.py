"""One script on several hosts at once: each reported by itself, none held up by another."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from llorch import ui
from llorch.errors import LlorchError
from llorch.parallel import in_parallel
from llorch.remote.forward import judge
from llorch.remote.hosts import Host
from llorch.remote.reach import Reach
from llorch.remote.streams import Process, Request, Sink
from llorch.signals import uninterrupted

_PATIENCE = 2.0
"""Seconds that hosts have to end what they were starting when all are to end."""

_LONGEST = 1 << 16
"""Bytes of a line."""


class Outcome(NamedTuple):
    """How it ended on one host: the exit code, after how many seconds, and the error if it came to nothing."""

    host: str
    exit: int
    seconds: float
    error: LlorchError | None = None


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return the exit code for all: that of the first that failed, or 0."""
    return next((outcome.exit for outcome in outcomes if outcome.exit), 0)


def logged(outcome: Outcome) -> Outcome:
    """Tell the run's log, if there is one, how it ended on a host."""
    if ui.log is not None:
        error = outcome.error.message if outcome.error is not None else None
        level = "error" if error else "info"
        ui.log.event(level, "host", name=outcome.host, exit=outcome.exit, seconds=outcome.seconds, text=error)
    return outcome


class Lines:
    """Passes on whole lines, each with something before it, and what is left without an end as a line too.

    What has no end for long is cut, so that it is neither kept nor held back.
    """

    def __init__(self, prefix: str, write: Sink) -> None:
        self._prefix = prefix.encode()
        self._write = write
        self._rest = bytearray()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        ended, end, rest = data.rpartition(b"\n")
        if end:
            lines = (bytes(self._rest) + ended).split(b"\n")
            self._write(b"".join(self._prefix + line + b"\n" for line in lines))
            self._rest.clear()
        self._rest += rest
        if len(self._rest) >= _LONGEST:
            self.finish()

    def finish(self) -> None:
        """Pass on the line that has no end."""
        if self._rest:
            self.feed(b"\n")


class Fleet:
    """Several hosts, on which one script runs at once."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._changed = threading.Condition()
        self._running: set[Process] = set()
        self._working = 0
        self._cancelled = False

    def run(
        self, hosts: Sequence[Host], request: Callable[[Host], Request], sinks: Callable[[Host], tuple[Sink, Sink]]
    ) -> list[Outcome]:
        """Run it on all, and return how it ended on each, in the order of the hosts.

        Args:
            request: what is to run on a host.
            sinks: where a host's stdout and stderr go; called from threads.
        """

        def work(host: Host) -> int:
            ended = self._reach.run(host, request(host), *sinks(host), hold=self.hold)
            judge(host, ended)
            return ended.code

        return self.each(hosts, work)

    def each(self, hosts: Sequence[Host], work: Callable[[Host], int]) -> list[Outcome]:
        """Work on all, and return how it ended on each, in the order of the hosts.

        Args:
            work: returns an exit code; it starts processes within `hold`, so that an interrupt ends them.
        """

        def try_to(host: Host) -> Outcome:
            begun = time.monotonic()
            try:
                code = work(host)
            except LlorchError as error:
                return logged(Outcome(host.name, error.exit_code, time.monotonic() - begun, error))
            finally:
                with self._changed:
                    self._working -= 1
                    self._changed.notify_all()
            return logged(Outcome(host.name, code, time.monotonic() - begun))

        self._working = len(hosts)
        try:
            return in_parallel(hosts, try_to, len(hosts))
        except BaseException:
            with self._changed:
                self._cancelled = True
                running = list(self._running)
            with uninterrupted():  # or a second Ctrl-C would leave half of them running
                in_parallel(running, lambda process: process.interrupt(), len(running))
                with self._changed:  # for those that were just being started; whoever is still connecting is left
                    self._changed.wait_for(lambda: not self._working, _PATIENCE)
            raise

    @contextmanager
    def hold(self, process: Process) -> Iterator[None]:
        """Know of a process while it runs.

        Raises:
            KeyboardInterrupt: all are to end.
        """
        with self._changed:
            self._running.add(process)
            cancelled = self._cancelled
        try:
            if cancelled:
                raise KeyboardInterrupt
            yield
        finally:
            with self._changed:
                self._running.discard(process)
