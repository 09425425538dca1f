"""The tasks `dev:*`: the commands of `llorch dev` for a dodo.py, run each time that they are asked for."""

import sys
from collections.abc import Iterator
from typing import Any

from llorch.dev.extras import install_extras, missing_extras
from llorch.engine import Action, Command, creator
from llorch.locks import hold
from llorch.progress import Progress
from llorch.session import Done, Session, session

COMMANDS = {
    "doctor": (["doctor"], "Say what this machine lacks for the workspace"),
    "check": (["check"], "Say all that is wrong with the configuration"),
    "setup": (["setup"], "Make a new clone ready, after asking"),
}
"""What each task runs."""
EXTRAS = "dev:extras"


@creator
def task_dev(run: Session) -> Iterator[dict[str, Any]]:
    """See what this machine has and lacks"""
    for name, (arguments, doc) in COMMANDS.items():
        # No group `dev`, which would run all of them; and the terminal, to ask.
        yield Command(f"dev:{name}", [sys.executable, "-m", "llorch", "dev", *arguments], doc=doc, interactive=True)()
    doc = "Install the packages that llorch needs for this workspace alone"
    yield {"basename": EXTRAS, "actions": [Action(_install_extras, doc=doc)], "doc": doc}


def _install_extras(progress: Progress) -> Done:
    missing = missing_extras(session().settings)
    if missing:
        with hold(session().workspace, EXTRAS, EXTRAS):  # the second of two finds its packages there
            install_extras(missing, progress)
    return Done(f"llorch[{','.join(missing)}]" if missing else "none is missing", made=bool(missing))
