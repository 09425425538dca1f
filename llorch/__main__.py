"""Where `llorch` and `python -m llorch` begin."""

from __future__ import annotations

import os
import sys

from llorch import __version__

TYPE_CHECKING = False  # importing typing takes longer than all that `llorch git status` imports
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Answer what needs no command line at once, and leave the rest to that, also what cannot be written."""
    try:
        _main()
    except KeyboardInterrupt:  # before or after there is a command line to tell of it
        from llorch.errors import INTERRUPTED

        if sys.stderr is not None:
            sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)


def _main() -> NoReturn:
    here = sys.stdout is not None  # else it is closed
    if here and sys.argv[1:] == ["--version"] and _write(f"llorch {__version__}"):
        sys.exit()
    if here and sys.argv[1:] == ["git", "status"] and not os.environ.get("LLORCH_REMOTE_HOST"):
        _answer()
    if here and sys.argv[1:3] == ["dev", "completion"] and sys.argv[4:5] == ["--"]:
        _complete()
    from llorch.cli import main

    main()


def _answer() -> None:
    """Show the state of the repository, and end; return where there is more to say than that."""
    import gc

    gc.disable()  # what is made here is used to the end, and looking for what is not takes 1.5 ms
    from llorch.git.quick import quick_status
    from llorch.signals import terminated

    with terminated():
        text = quick_status()
    if text is not None and _write(text):
        os._exit(0)  # the interpreter would take every module apart first, which takes 4 ms
    gc.enable()


def _complete() -> None:
    """Tell a shell what may come next, and end; return where it asks otherwise than its script does."""
    import gc

    gc.disable()
    from llorch.dev.shells import answer

    text = answer(sys.argv[3], sys.argv[5:])
    if text is not None:
        os.write(1, os.fsencode(text))
        os._exit(0)
    gc.enable()


def _write(text: str) -> bool:
    """Write the answer; tell whether there was room for it."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter writes the rest
        sys.exit(128 + 13)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
