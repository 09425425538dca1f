"""What a room tells of a task so that its targets can be those that another machine has made.

A room speaks of its workspace's own names here; what they are called elsewhere, and where targets are kept, is the
business of the cache, which no room knows.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llorch.progress import Progress
from llorch.state import Recipe

Inputs = Mapping[str, str | None]
"""Digests by name, as in a record of `state`."""
Record = Mapping[str, Any]
"""A task's record in `state`."""

WORKSPACE = "{workspace}"
"""Stands among the inputs for the workspace's own path: what is made has it in itself."""
CPU = "{cpu}"
"""Stands among the inputs for this machine's processor: what is made may run on no other."""


class Maker(NamedTuple):
    """What decides a task's targets besides its inputs.

    `facts` are JSON values, the same wherever the same would be made. `exact` tells more of the tools, which a machine
    that lacks them cannot: it is None there.
    """

    facts: Mapping[str, Any]
    exact: Mapping[str, str] | None


Sharing = Callable[[], "Share"]
"""Tells how a task is shared when that is asked for: at most where something is out of date."""


class Share:
    """How a task is shared: as here where its inputs and its definition are all there is to it."""

    def __init__(self, recipe: Recipe, *, settings: Mapping[str, Any] | None = None, anywhere: bool = False) -> None:
        """Share what a recipe makes.

        Args:
            settings: what the user's files say of it, unless that is the definition.
            anywhere: the same is made whatever machine makes it.
        """
        self.recipe = recipe
        self.settings = recipe.definition if settings is None else settings
        self.anywhere = anywhere

    def here(self) -> Maker:
        """Return what would make it on this machine.

        Raises:
            Unshared: that cannot be told, or not so that it would mean the same elsewhere.
            NotInWorkspace: what it would be made of is not there.
        """
        return Maker({"definition": dict(self.recipe.definition)}, {})

    def made(self, record: Record) -> Maker:
        """Return what has made it, according to its record.

        Raises:
            Unshared: the record does not tell.
        """
        return Maker({"definition": dict(record["definition"])}, {})

    def vouched(self, record: Record) -> set[str]:
        """Return the inputs of a record for which the maker stands, or something else that every machine has alike."""
        return set()

    def bound(self, record: Record) -> tuple[str, ...]:
        """Return which of `WORKSPACE` and `CPU` are inputs too."""
        return ()

    def around(self) -> set[str]:
        """Return the inputs that are there on this machine, whatever a record that was made elsewhere says of them."""
        return set()

    def folders(self) -> frozenset[str]:
        """Return the paths of folders that are made with the targets, so that whether they are there says nothing."""
        return frozenset()

    def take(self, progress: Progress) -> None:
        """Put targets in their places that are promised and on this machine already, before another one is asked."""

    def begin(self, names: set[str]) -> Mapping[str, str]:
        """Prepare for targets that others have made of these inputs; return values that are to be in the record."""
        return {}

    def watched(self, names: set[str]) -> set[str]:
        """Return the names of all inputs that the task's record is to have here, of those that the maker's has."""
        return names

    def values(self, maker: Maker, bound: tuple[str, ...]) -> Mapping[str, str]:
        """Return what the task's record is to say of the maker and of what it is bound to, for `made` and `bound`."""
        return {}

    def sources(self) -> set[str]:
        """Return the paths of files whose contents could decide what is made, found without making anything."""
        return set()
