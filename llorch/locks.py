"""The kernel's locks on targets: of two runs that would make one, the second waits and says for whom."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from llorch.config import Workspace
from llorch.errors import Busy, DiskFull
from llorch.session import session
from llorch.switches import is_on
from llorch.workspace import VANISHED, make_folder

if TYPE_CHECKING:
    from filelock import FileLock

_ATTEMPTS = 5


def hold(workspace: Workspace, target: str, task: str) -> ExitStack:
    """Hold the kernel's lock on a target, waiting for the run that has it and saying so.

    Raises:
        Busy: another run has it, and LLORCH_NO_WAIT is set.
        DiskFull: the lock's file cannot be made.
    """
    import hashlib

    from filelock import FileLock

    path = workspace.state / "locks" / (hashlib.sha256(target.encode()).hexdigest()[:32] + ".lock")
    lock = FileLock(path, thread_local=False)
    for attempt in range(_ATTEMPTS):
        try:
            make_folder(workspace.state)
            path.parent.mkdir(exist_ok=True)
            _acquire(lock, path, target, task)
            program = os.path.basename(sys.argv[0] or "llorch")
            path.write_text(f"`{' '.join([program, *sys.argv[1:]])}` (process {os.getpid()})\n")
            break
        except OSError as error:
            lock.release()
            if isinstance(error, VANISHED) and attempt < _ATTEMPTS - 1:
                continue
            why = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
            raise DiskFull(
                f"`{error.filename or path}` cannot be written: {why}",
                hint=f"check the room on the disk and who may write to `{workspace.state}`",
            ) from None
    stack = ExitStack()
    stack.callback(lock.release)
    return stack


def _acquire(lock: "FileLock", path: Path, target: str, task: str) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        holder = path.read_text(errors="replace").strip() or "another run"
        if is_on("LLORCH_NO_WAIT"):
            raise Busy(f"`{target}` is being made by {holder}", hint="wait for it, then run again") from None
        session().board.print(f"{task} waits for {holder}")
        while True:
            try:
                lock.acquire(timeout=0.5, poll_interval=0.05)
                return
            except Timeout:
                if session().cancelled.is_set():
                    raise KeyboardInterrupt from None
