"""A program that is started without `subprocess`, whose import takes 8 ms, and whose output is read as a whole.

Which programs run, and how they end with this process, is `shell`'s business.
"""

from __future__ import annotations

import _thread  # `threading` takes 3 ms to import
import os
import select

from llorch.errors import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAIL = 40
"""Lines of a program's output that an error repeats."""
_SIGPIPE = 13


class Program:
    """A program that runs, with as much of `Popen` as its end needs."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.returncode: int | None = None
        self.command = command
        self._waiting = _thread.allocate_lock()
        out, its_out = os.pipe()
        err, its_err = os.pipe()
        self.pipes = [out, err]
        self._said: dict[int, list[bytes]] = {out: [], err: []}
        files = (
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, its_out, 1),
            (os.POSIX_SPAWN_DUP2, its_err, 2),
        )
        try:
            self.pid = os.posix_spawnp(
                command[0], list(command), env, file_actions=files, setsid=True, setsigdef=(_SIGPIPE,)
            )
        except OSError:
            self.close()
            raise
        finally:
            os.close(its_out)
            os.close(its_err)

    def take(self, pipe: int) -> bool:
        """Read a part of what it writes, and tell whether more may come."""
        part = os.read(pipe, 1 << 16)
        self._said[pipe].append(part)
        return bool(part)

    def said(self) -> tuple[bytes, bytes]:
        """Return what it has written to stdout, and to stderr."""
        out, err = (b"".join(parts) for parts in self._said.values())
        return out, err

    def answer(self, hint: str | None) -> bytes:
        """Return what it wrote to stdout.

        Raises:
            CommandFailed: it exited with anything but 0.
        """
        out, err = self.said()
        if self.returncode:
            tail = "\n".join(err.decode(errors="replace").splitlines()[-TAIL:])
            raise CommandFailed(self.command, self.returncode, tail, hint=hint)
        return out

    def wait(self) -> int:
        """Return its exit code when it has ended, or the number of the signal that ended it, negative."""
        with self._waiting:
            returncode = self._take(0)
            assert returncode is not None
            return returncode

    def poll(self) -> int | None:
        """Return the same, or None if it has not ended, or its end is waited for elsewhere."""
        if self._waiting.acquire(blocking=False):
            try:
                return self._take(os.WNOHANG)
            finally:
                self._waiting.release()
        return None

    def close(self) -> None:
        """Close what it wrote to, once."""
        while self.pipes:
            os.close(self.pipes.pop())

    def _take(self, options: int) -> int | None:
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, options)
            except ChildProcessError:  # SIGCHLD is ignored, and with it how programs end
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class Reader:
    """Reads what programs write, all at once."""

    def __init__(self) -> None:
        self._ready = select.poll()
        self._programs: dict[int, Program] = {}

    def add(self, program: Program) -> None:
        """Read what another one writes too."""
        for pipe in program.pipes:
            self._programs[pipe] = program
            self._ready.register(pipe, select.POLLIN)

    def next(self) -> Program:
        """Return the next program that has written all that it will."""
        while True:
            for pipe, _ in self._ready.poll():
                program = self._programs[pipe]
                if program.take(pipe):
                    continue
                self._ready.unregister(pipe)
                del self._programs[pipe]
                if program not in self._programs.values():
                    return program
