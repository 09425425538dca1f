"""Keep the user's own store within its limit: what was used longest ago goes first.

What this workspace still names goes last, and only where the limit could not be met otherwise: it can be made again,
and a limit that is not kept would be none. What is being used stays.
"""

import json
import time
from collections.abc import Collection, Iterable
from typing import NamedTuple

from llorch.cache.keys import blob_key, record_key
from llorch.cache.local import LocalStore
from llorch.cache.store import Item

_FILES, _RECORDS = "cas/", "ac/"


class Swept(NamedTuple):
    """What was removed, or would be: objects, how many of them the workspace still names, and what killed runs left."""

    removed: tuple[Item, ...] = ()
    named: int = 0
    left_over: int = 0
    """Bytes."""
    size: int = 0
    """Bytes that the store has afterwards."""


def trim(store: LocalStore, limit: int, named: Collection[str]) -> None:
    """Sweep a store if it is over its limit; `named` are digests that go last."""
    if sum(item.size for item in store.items()) > limit:
        sweep(store, limit, named)


def sweep(store: LocalStore, limit: int, named: Collection[str], *, dry: bool = False) -> Swept:
    """Remove what is over the limit, in bytes, and what is of no use any more."""
    left_over = 0
    for path, size in store.leftovers(time.time()):
        left_over += size
        if not dry:
            path.unlink(missing_ok=True)
    items = list(store.items())
    size = sum(item.size for item in items)
    kept = {blob_key(digest) for digest in named}
    removed: list[Item] = []

    def remove(item: Item) -> None:
        nonlocal size
        if dry or store.evict(item.key):
            removed.append(item)
            size -= item.size

    for item in sorted(items, key=lambda item: (item.key.startswith(_RECORDS), item.key in kept, item.modified)):
        if size > limit:
            remove(item)
    gone = {item.key for item in removed}
    for item in _useless(store, [item for item in items if item.key not in gone]):
        remove(item)
    return Swept(tuple(removed), sum(item.key in kept for item in removed), left_over, size)


def _useless(store: LocalStore, items: Iterable[Item]) -> list[Item]:
    """Return the records whose files are gone, and the lists of which no record is left."""
    keys = {item.key for item in items}
    every = [item for item in items if item.key.startswith(_RECORDS)]
    found, makers = [], set()
    lists = []
    for item in every:
        record = _record(store, item.key)
        if record is None:
            lists.append(item)
        elif all(blob_key(digest) in keys for digest in record.files):
            makers.add(record_key(record.maker))
        else:
            found.append(item)
    return [*found, *(item for item in lists if item.key not in makers)]


class _Record(NamedTuple):
    maker: str
    files: tuple[str, ...]


def _record(store: LocalStore, key: str) -> _Record | None:
    """Return what a record says of its files; None for what is none, as a list of names."""
    try:
        data = json.loads(b"".join(store.read(key)))["record"]
        return _Record(str(data["key"]), tuple(str(result["sha256"]) for result in data["results"]))
    except (ValueError, TypeError, KeyError):
        return None
