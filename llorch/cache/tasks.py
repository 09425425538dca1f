"""The tasks `cache:*`: the commands of `llorch cache` for a dodo.py, run each time that they are asked for."""

import sys
from collections.abc import Iterator
from typing import Any

from llorch.engine import Command, creator
from llorch.session import Session

COMMANDS = {
    "status": "Show the stores, and which tasks they have",
    "key": "Print what decides what tasks make, as the key of a CI cache",
    "push": "Publish what is up to date here",
    "pull": "Restore what the stores have, and make nothing",
    "gc": "Keep your own store within its limit",
}


@creator
def task_cache(run: Session) -> Iterator[dict[str, Any]]:
    """Share targets between machines, by content"""
    for name, doc in COMMANDS.items():
        # No group `cache`, which would run all of them.
        yield Command(f"cache:{name}", [sys.executable, "-m", "llorch", "cache", name], doc=doc, interactive=True)()
