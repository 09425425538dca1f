"""What the tasks of one run share."""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from llorch.board import Board
from llorch.config import Settings, Workspace, find_workspace, load_settings
from llorch.progress import Progress
from llorch.state import State
from llorch.switches import is_on

if TYPE_CHECKING:
    from llorch.cache.stores import Stores


class Done(NamedTuple):
    """What an action did: a few words on it, and whether anything had to be made at all."""

    detail: str = ""
    made: bool = True
    values: Mapping[str, str] = {}
    """What the task's record keeps for tasks that need this one."""
    inputs: Mapping[str, str | None] = {}
    """Digests of what was needed, where a recipe `learns` it."""
    restored: bool = False
    """Whether it came from a store instead of being made here."""


class Ready(functools.partial[tuple[str, ...]]):
    """What is told to whoever asked for a task, once it is done: a function with its arguments, in a task's `meta`."""

    def __repr__(self) -> str:
        """Say in a few words what it is, for doit's `info`."""
        return "told when it is done"


Work = Callable[[Progress], Done]


@dataclass(slots=True)
class Session:
    """What every task of a run shares."""

    workspace: Workspace
    settings: Settings
    state: State
    cancelled: threading.Event = field(default_factory=threading.Event)
    board: Board = field(default_factory=Board)
    products: dict[str, Any] = field(default_factory=dict)
    """By a task's name, what it is about for those who need it: a model's file, what a test suite has shown."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    _stores: "Stores | None" = None

    @property
    def stores(self) -> "Stores | None":
        """Where targets are restored from and published to; None where LLORCH_NO_CACHE is set."""
        if is_on("LLORCH_NO_CACHE"):
            return None
        with self.lock:
            if self._stores is None:
                from llorch.cache.stores import Stores  # only what is out of date needs it

                self._stores = Stores(self.workspace, self.settings, self.state, self.board.warn)
            return self._stores

    @contextmanager
    def working(self) -> Iterator[None]:
        """Close the board and the state when the work has ended; have it end if this one is interrupted, or fails."""
        try:
            yield
        except BaseException:
            self.cancelled.set()
            self.board.wait(1.0)
            raise
        finally:
            self.board.close()
            self.state.close()


@functools.cache
def session() -> Session:
    """Return this process's session, for the workspace of the current folder.

    Raises:
        ConfigError: the configuration is wrong.
    """
    workspace = find_workspace()
    return Session(workspace, load_settings(workspace), State(workspace.state / "state.db", workspace.root))
