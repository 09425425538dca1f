"""The tasks `git:*`: the commands of `llorch git` for a dodo.py, run each time that they are asked for."""

import sys
from collections.abc import Iterator
from typing import Any

from llorch.engine import Command, creator
from llorch.session import Session

COMMANDS = {
    "status": (["status"], "Show the state of the repository and its submodules"),
    "pull": (["pull"], "Take over what the upstream has"),
    "sync": (["sync"], "Make everything what origin has, after asking"),
    "branches": (["branches"], "List the branches"),
    "log": (["log"], "Show the last commits"),
    "clean": (["clean"], "Remove files that git does not know, after asking"),
    "submodules": (["submodules", "list"], "List the submodules"),
    "submodules-status": (["submodules", "status"], "Show the state of the submodules"),
    "submodules-update": (["submodules", "update", "--all"], "Bring the submodules to the tips that they follow"),
    "submodules-pinned": (["submodules", "update", "--all", "--pinned"], "Bring the submodules to what is recorded"),
}
"""What each task runs. Resetting and switching need a name, and are commands only."""


@creator
def task_git(run: Session) -> Iterator[dict[str, Any]]:
    """See and change the state of the repository and its submodules"""
    for name, (arguments, doc) in COMMANDS.items():
        # No group `git`, which would run all of them; and the terminal, to ask.
        yield Command(f"git:{name}", [sys.executable, "-m", "llorch", "git", *arguments], doc=doc, interactive=True)()
