"""Put what was made here into stores: the files by their digests, then the record of what they were made of."""

import os
import stat
from datetime import UTC, datetime
from typing import Literal

from llorch.cache.gc import trim
from llorch.cache.keys import blob_key, digest_of, is_digest, maker_key
from llorch.cache.local import LocalStore
from llorch.cache.records import Made, Result, Seal, save_made
from llorch.cache.shelf import Shelf, Signed
from llorch.cache.store import Store
from llorch.cache.stores import Stores
from llorch.errors import Malformed, Unshared
from llorch.progress import Progress
from llorch.share import Share
from llorch.state import Recipe, signature

Put = Literal["put", "there"]
"""Whether a store has it now, or had it already."""


def publish(stores: Stores, recipe: Recipe, share: Share | None, progress: Progress) -> None:
    """Put what was just made into the stores that take it by themselves.

    The user's own takes binaries; of models, which are big, only what takes no room there.
    """
    if not any("write" in shelf.ways for shelf in stores.both) or not (share or recipe.promised):
        return
    try:
        made = None if share is None or recipe.promised else describe(stores, recipe, share)
    except Unshared:
        return  # such as an edit during the build, which the next run makes again
    try:
        keep(stores, recipe, made, progress)
        stores.remote.ask("write", lambda store, seal: put(stores, stores.remote, store, seal, recipe, made, progress))
    except Unshared as error:
        stores.warn(f"{recipe.name} is not published: {error.message}")


def keep(stores: Stores, recipe: Recipe, made: Made | None, progress: Progress) -> None:
    """Put what is here now into the user's own store, if that takes no room or it is small, as binaries are."""

    def work(store: Store, seal: Seal) -> None:
        assert isinstance(store, LocalStore), "the user's own"
        if not recipe.learns and not all(_clone(stores, store, target.path) for target in recipe.targets):
            return
        put(stores, stores.local, store, seal, recipe, made, progress)

    stores.local.ask("write", work)
    trim_own(stores)


def trim_own(stores: Stores) -> None:
    """Keep the user's own store within its limit."""

    def work(store: Store, seal: Seal) -> None:
        assert isinstance(store, LocalStore), "the user's own"
        trim(store, stores.limit, named(stores))

    stores.local.ask("write", work)


def _clone(stores: Stores, store: LocalStore, path: str) -> bool:
    return store.clone(blob_key(stores.state.digest(path)), stores.workspace.path(path))


def named(stores: Stores) -> set[str]:
    """Return the digests of all that tasks of this workspace have made."""
    records = map(stores.state.record, stores.state.names())
    return {digest for record in records for digest in record.get("targets", {}).values()}


def describe(stores: Stores, recipe: Recipe, share: Share) -> Made:
    """Return the record of what is here and up to date, as every machine would have it.

    Raises:
        Unshared: it cannot be told so; or something has changed meanwhile.
    """
    state, places = stores.state, stores.places
    record = state.record(recipe.name)
    maker = share.made(record)
    assert maker.exact is not None, "known of what was made"
    left = share.vouched(record)
    inputs: dict[str, str | None] = {}
    for name, was in record["inputs"].items():
        if was is not None and not is_digest(was):
            raise Unshared(f"`{name}`: {was}")
        portable = places.portable(name)
        try:
            known = places.local(portable) == name
        except Malformed:
            known = False
        if not known:
            raise Unshared(f"`{name}` has no name that every machine knows")
        if stores.digest(name) != was:
            raise Unshared(f"`{name}` has changed since")
        if name not in left:
            inputs[portable] = places.digest(portable, state.digest, share.folders())
    inputs |= {name: places.digest(name, state.digest) for name in share.bound(record)}
    return Made(
        task=recipe.name,
        maker=maker_key(recipe.name, maker.facts, anywhere=share.anywhere),
        by=digest_of(dict(maker.exact)),
        inputs=inputs,
        exact=maker.exact,
        results=tuple(_result(stores, target.path, record["targets"][target.path]) for target in recipe.targets),
        made_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _result(stores: Stores, path: str, sha256: str) -> Result:
    status = os.stat(stores.state.absolute(path))
    return Result(stores.places.portable(path), sha256, status.st_size, stat.S_IMODE(status.st_mode) & 0o777)


def put(
    stores: Stores, shelf: Shelf, store: Store, seal: Seal, recipe: Recipe, made: Made | None, progress: Progress
) -> Put:
    """Put a task's targets into a store, and then the record of them where there is one.

    Raises:
        Unshared: a target has changed meanwhile, or records that go there have to be signed and there is no key.
    """
    if made is not None and isinstance(seal, Signed) and not seal.can_sign:
        raise Unshared(f"`{store.name}` is shared, and `[cache] sign_key` names no key to sign records with")
    news = [_put_file(stores, shelf, store, target.path, progress) for target in recipe.targets]
    if made is not None:
        news.append(save_made(store, seal, made, listed=recipe.learns))
    return "put" if any(news) else "there"


def _put_file(stores: Stores, shelf: Shelf, store: Store, path: str, progress: Progress) -> bool:
    """Put a file into a store unless it has it; in place of what it has been found to have wrong."""
    sha256, place = stores.state.digest(path), stores.workspace.path(path)
    key, before = blob_key(sha256), os.stat(place)
    there = store.size(key)
    if there is not None and (there != before.st_size or (shelf, sha256) in stores.wrong):
        store.delete(key)
        there = None
    if there is not None:
        return False
    progress.say(f"{path} to {store.name}")
    progress.total(before.st_size)
    new = store.create(key, place, progress.advance)
    if new and signature(os.stat(place)) != signature(before):
        store.delete(key)
        raise Unshared(f"`{path}` has changed meanwhile")
    return new
