"""Which tasks the commands of the cache are about."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llorch.errors import UnknownName, Unshared
from llorch.session import session

if TYPE_CHECKING:
    from llorch.engine import Action

GROUPS = ("build", "models")
"""What is meant where nothing is named."""


def choose(names: Sequence[str]) -> "dict[str, Action]":
    """Return the actions of the tasks that a store may have something of: these and what they need, needs first.

    Raises:
        UnknownName: there is no such task.
        Unshared: one of them has nothing to do with files that others could make too.
    """
    from llorch import dodo, overview

    tasks = overview.Overview(overview.load_namespace(session().workspace, vars(dodo)))
    for name in names:
        if name not in tasks.tasks:
            raise UnknownName("task", name, tasks.names(), hint="`llorch list` shows them")
        if not any(action.share for action in tasks.actions([name]).values()):
            raise Unshared(
                f"`{name}` makes nothing that others could make too", hint="`llorch cache status` lists tasks"
            )
    found = tasks.actions(names or GROUPS)
    return {name: action for name, action in found.items() if action.share is not None}
