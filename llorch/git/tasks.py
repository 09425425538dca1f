"""The tasks `git:*`: the commands of `llorch git` for a dodo.py, run each time that they are asked for.

And `git:submodules-clone`, which gets what a new clone lacks and moves nothing.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llorch.engine import Action, Command, creator
from llorch.errors import TaskFailure
from llorch.locks import hold
from llorch.progress import Progress
from llorch.session import Done, Session, session

if TYPE_CHECKING:
    from llorch.git.status import Declared

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
CLONE = "git:submodules-clone"


@creator
def task_git(run: Session) -> Iterator[dict[str, Any]]:
    """See and change the state of the repository and its submodules"""
    for name, (arguments, doc) in COMMANDS.items():
        # No group `git`, which would run all of them; and the terminal, to ask.
        yield Command(f"git:{name}", [sys.executable, "-m", "llorch", "git", *arguments], doc=doc, interactive=True)()
    doc = "Clone the submodules that are not there, at what is recorded"
    yield {"basename": CLONE, "actions": [Action(_clone, doc=doc)], "doc": doc}


def _clone(progress: Progress) -> Done:
    """Clone what is missing, once: of two runs the second waits, since git gives up where another git is at work."""
    if not _find_absent()[0]:
        return Done("none is missing", made=False)
    with hold(session().workspace, CLONE, CLONE):
        return _clone_absent(*_find_absent(), progress)


def _find_absent() -> "tuple[list[Declared], int]":
    """Return the submodules that are not wholly there, but those in others of them, and how many are known."""
    from llorch.git.repo import find_repo
    from llorch.git.status import load_submodules
    from llorch.git.submodules import is_cut_off, outermost

    known = [each.declared for each in load_submodules(find_repo(session().workspace.root))]
    return outermost([each for each in known if not each.is_there or is_cut_off(each)]), len(known)


def _clone_absent(absent: "Sequence[Declared]", known: int, progress: Progress) -> Done:
    from llorch.git.repo import listed
    from llorch.git.submodules import move_all, to_recorded

    if absent:
        progress.say(f"fetching {listed(each.path for each in absent)}")
    moves = move_all(absent, to_recorded, to_recorded)
    failed = [(move.declared.path, move.error) for move in moves if move.error is not None]
    if failed:
        reasons = "\n".join(f"  {listed([path])}: {error.message}" for path, error in failed)
        hint = next((error.hint for _, error in failed if error.hint), None)
        all_there = all(move.outcome != "failed" for move in moves)
        what = "were cloned, but not without an error" if all_there else "cannot be cloned"
        raise TaskFailure(f"{len(failed)} of {known} submodules {what}:\n{reasons}", hint=hint)
    cloned = [move.declared.path for move in moves if move.outcome == "cloned"]
    return Done(listed(cloned) if cloned else "none is missing", made=bool(cloned))
