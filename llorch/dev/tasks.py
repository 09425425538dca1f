"""The tasks `dev:*`: the commands of `llorch dev` for a dodo.py, run each time that they are asked for."""

import sys
from collections.abc import Iterator
from typing import Any

from llorch.engine import Command, creator
from llorch.session import Session

COMMANDS = {
    "doctor": (["doctor"], "Say what this machine lacks for the workspace"),
    "setup": (["setup"], "Make a new clone ready, after asking"),
}
"""What each task runs."""


@creator
def task_dev(run: Session) -> Iterator[dict[str, Any]]:
    """See what this machine has and lacks"""
    for name, (arguments, doc) in COMMANDS.items():
        # No group `dev`, which would run all of them; and the terminal, to ask.
        yield Command(f"dev:{name}", [sys.executable, "-m", "llorch", "dev", *arguments], doc=doc, interactive=True)()
