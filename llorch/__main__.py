"""Where `llorch` and `python -m llorch` begin."""

import sys
from typing import NoReturn

from llorch import __version__


def main() -> NoReturn:
    """Answer what needs no command line at once, and leave the rest to that."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"llorch {__version__}\n")
        sys.exit()
    if sys.argv[1:] == ["git", "status"]:
        _answer()
    from llorch.cli import main

    main()


def _answer() -> None:
    """Show the state of the repository, and end; return where there is more to say than that."""
    import gc
    import os

    gc.disable()  # what is made here is used to the end, and looking for what is not takes 1.5 ms
    from llorch.errors import INTERRUPTED
    from llorch.git.quick import quick_status

    try:
        text = quick_status()
        if text is not None:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            os._exit(0)  # the interpreter would take every module apart first, which takes 4 ms
        gc.enable()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter writes the rest
        sys.exit(128 + 13)


if __name__ == "__main__":
    main()
