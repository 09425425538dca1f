"""The tasks `remote:*`: the commands of `llorch remote` on all hosts, run each time they are asked for."""

import sys
from collections.abc import Iterator
from typing import Any

from llorch.engine import Command, creator
from llorch.session import Session

COMMANDS = {
    "hosts": (["hosts", "list"], "List the hosts that are declared"),
    "check": (["hosts", "check"], "Connect to all hosts, and say what stands in the way"),
    "info": (["info", "all"], "Show what machines the hosts are and what is there"),
    "setup": (["setup", "all"], "Install llorch on all hosts, after asking"),
    "sync": (["sync", "all"], "Bring the repositories of all hosts to the commit that is here"),
}
"""What each task runs. A program on a host needs both named, and is a command only."""


@creator
def task_remote(run: Session) -> Iterator[dict[str, Any]]:
    """Run commands on other machines"""
    for name, (arguments, doc) in COMMANDS.items():
        # No group `remote`, which would run all of them; and the terminal, to ask.
        yield Command(
            f"remote:{name}", [sys.executable, "-m", "llorch", "remote", *arguments], doc=doc, interactive=True
        )()
