"""Where `llorch` and `python -m llorch` begin."""

import sys
from typing import NoReturn

from llorch import __version__


def main() -> NoReturn:
    """Answer `--version` at once, and leave the rest to the command line."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"llorch {__version__}\n")
        sys.exit()
    from llorch.cli import main

    main()


if __name__ == "__main__":
    main()
