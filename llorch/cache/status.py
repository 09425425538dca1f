"""What stores have of a task's targets, as they would be made of what is here now."""

from typing import Literal, NamedTuple

from llorch.cache.keys import blob_key
from llorch.cache.restore import find
from llorch.cache.shelf import Shelf
from llorch.cache.stores import Stores
from llorch.errors import NotInWorkspace, Unshared
from llorch.progress import Silent
from llorch.share import Share

Has = Literal["there", "partly", "missing", "unknown"]
"""Whether a store has all files, some or none; unknown where it cannot be asked, or nobody knows for what."""


class Held(NamedTuple):
    """What the two stores have of a task, and why nobody knows, if so."""

    own: Has
    shared: Has
    reason: str = ""


def look(stores: Stores, share: Share) -> Held:
    """Return what the stores have of a task."""
    recipe = share.recipe
    if recipe.promised:
        digests = [target.sha256 for target in recipe.targets if target.sha256]
        return Held(*(_has(shelf, digests) for shelf in stores.both))
    try:
        maker = share.here()
    except (NotInWorkspace, Unshared) as error:
        return Held("unknown", "unknown", error.message)
    found: list[Has] = []
    for shelf in stores.both:
        made = find(stores, shelf, recipe, share, maker, Silent())
        if made is not None:
            found.append(_has(shelf, [result.sha256 for result in made.results]))
        else:
            found.append("missing" if "read" in shelf.ways else "unknown")
    return Held(*found)


def _has(shelf: Shelf, digests: list[str]) -> Has:
    there = shelf.ask("read", lambda store, seal: [store.size(blob_key(digest)) is not None for digest in digests])
    if there is None:
        return "unknown"
    return "there" if all(there) else "partly" if any(there) else "missing"
