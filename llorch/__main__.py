"""Where `llorch` and `python -m llorch` begin."""

import os
import sys
from typing import NoReturn

from llorch import __version__


def main() -> NoReturn:
    """Answer what needs no command line at once, and leave the rest to that, also what cannot be written."""
    if sys.stdout is not None and sys.argv[1:] == ["--version"]:
        _write(f"llorch {__version__}")
    if sys.stdout is not None and sys.argv[1:] == ["git", "status"]:
        _answer()
    from llorch.cli import main

    main()


def _answer() -> None:
    """Show the state of the repository, and end; return where there is more to say than that."""
    from llorch.errors import INTERRUPTED
    from llorch.git.quick import quick_status

    try:
        text = quick_status()
        if text is not None:
            _write(text)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)


def _write(text: str) -> None:
    """Write the answer, and end; return if there is no room for it."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        sys.exit()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter writes the rest
        sys.exit(128 + 13)
    except OSError:
        return


if __name__ == "__main__":
    main()
