"""Take targets that somebody has made already, of the same by the same, out of the stores."""

from collections.abc import Mapping
from typing import NamedTuple

from llorch.cache.keys import blob_key, digest_of, inputs_key, maker_key, record_key
from llorch.cache.land import bring
from llorch.cache.local import LocalStore
from llorch.cache.publish import keep
from llorch.cache.records import Made, Names, Seal, load_made, load_names
from llorch.cache.shelf import Shelf, Signed
from llorch.cache.store import Store
from llorch.cache.stores import Stores
from llorch.errors import Busy, DiskFull, Malformed, NotInWorkspace, Unshared
from llorch.progress import Progress
from llorch.share import CPU, WORKSPACE, Inputs, Maker, Share
from llorch.state import Recipe, Target
from llorch.text import shown

_BOUND = (WORKSPACE, CPU)


class Restored(NamedTuple):
    """What was restored: from which record of which store, and what the task's own record is to say."""

    id: str
    store: str
    inputs: Inputs
    values: Mapping[str, str]


def fill(stores: Stores, recipe: Recipe, share: Share | None, progress: Progress) -> tuple[str, ...]:
    """Put those promised targets in their places that are not there and that a store has; return the stores' names."""
    found = []
    for shelf in stores.both:
        if "read" not in shelf.ways:
            continue
        if shelf is stores.remote and share is not None and _missing(stores, recipe):
            share.take(progress)
        for target in _missing(stores, recipe):
            assert target.sha256 is not None, "promised"
            if _bring(stores, shelf, target.path, target.sha256, target.size, 0, progress):
                found.append(shelf.name)
    return tuple(dict.fromkeys(found))


def _missing(stores: Stores, recipe: Recipe) -> list[Target]:
    return [target for target in recipe.targets if stores.digest(target.path) != target.sha256]


def restore(stores: Stores, recipe: Recipe, share: Share, progress: Progress) -> Restored | None:
    """Put a task's targets in their places if a store has what was made of the same; None if not."""
    if not any("read" in shelf.ways for shelf in stores.both):
        return None
    try:
        maker = share.here()
    except NotInWorkspace:  # the work will say so
        return None
    except Unshared as error:
        if recipe.learns:  # of others it is their nature
            stores.warn(f"{recipe.name} is not looked for in the cache: {error.message}")
        return None
    # As they are before anything is looked at: what changes from now on makes the task out of date again.
    own = {name: stores.digest(name) for name in share.watched(set())}
    for shelf in stores.both:
        made = find(stores, shelf, recipe, share, maker, progress)
        if made is None:
            continue
        values = share.begin({stores.places.local(name) for name in made.inputs if name not in _BOUND})
        if _take(stores, shelf, made, progress):
            if shelf is stores.remote:
                keep(stores, recipe, made, progress)
            said = {"restored": made.id, "restored_from": shelf.name}
            values = {**values, **_values(share, made), **said}
            return Restored(made.id, shelf.name, {**own, **_said(stores, made, share)}, values)
    return None


def find(stores: Stores, shelf: Shelf, recipe: Recipe, share: Share, maker: Maker, progress: Progress) -> Made | None:
    """Return a store's record of what was made of what is here; what is wrong with what it has is told."""
    return shelf.ask("read", lambda store, seal: _find(stores, store, seal, recipe, share, maker, progress))


def _find(
    stores: Stores, store: Store, seal: Seal, recipe: Recipe, share: Share, maker: Maker, progress: Progress
) -> Made | None:
    if isinstance(seal, Signed) and not seal.trusts:
        stores.warn(f"records of `{store.name}` are not used: `[cache] trusted_keys` names nobody")
        return None
    key = maker_key(recipe.name, maker.facts, anywhere=share.anywhere)
    by = None if maker.exact is None else digest_of(dict(maker.exact))
    around = {stores.places.portable(name) for name in share.around()}
    tried = set()
    if recipe.learns:
        sets = _names(stores, store, seal, key, recipe.name)
    else:
        sets = [Names(digest_of({}), tuple(map(stores.places.portable, recipe.inputs)))]
    for each in sets:
        if by is not None and each.by != by:
            continue
        try:
            inputs = _digests(stores, {*each.names, *around}, share, progress)
            id = inputs_key(key, each.by, inputs)
            made = load_made(store, seal, id) if id not in tried else None
            tried.add(id)
            if made is not None:
                _check(stores, made, recipe, f"{store.name}: {record_key(id)}")
                if isinstance(store, LocalStore):
                    store.touch(record_key(id))
                    store.touch(record_key(key))
                return made
        except Malformed as error:
            _refuse(stores, error, recipe.name)
    return None


def _names(stores: Stores, store: Store, seal: Seal, key: str, task: str) -> list[Names]:
    try:
        sets, flaw = load_names(store, seal, key)
    except Malformed as error:
        sets, flaw = [], error
    if flaw is not None:
        _refuse(stores, flaw, task)
    return sets


def _refuse(stores: Stores, error: Malformed, what: str) -> None:
    stores.warn(f"`{shown(error.path)}` is refused: {error.reason}; {what} is made here")


def _digests(stores: Stores, names: set[str], share: Share, progress: Progress) -> dict[str, str | None]:
    """Return what portable names stand for here."""

    def read(name: str) -> str:
        known = stores.state.known(name)
        if known is None:
            progress.say(f"reading {name}")
        return known or stores.state.read(name, progress.advance)

    try:
        return {name: stores.places.digest(name, read, share.folders()) for name in sorted(names)}
    except OSError as error:
        raise Malformed(str(error.filename), f"it cannot be read: {error.strerror}") from None


def _check(stores: Stores, made: Made, recipe: Recipe, key: str) -> None:
    """Refuse a record, which is of these inputs, if it is of another task or of other targets."""
    paths = sorted(stores.places.portable(target.path) for target in recipe.targets)
    if made.task != recipe.name or sorted(result.path for result in made.results) != paths:
        raise Malformed(key, "it is of another task, or of other targets")


def _take(stores: Stores, shelf: Shelf, made: Made, progress: Progress) -> bool:
    """Put a record's results in their places."""
    for result in made.results:
        path = stores.places.local(result.path)
        there = stores.digest(path) == result.sha256
        if not there and not _bring(stores, shelf, path, result.sha256, result.size, result.mode, progress):
            return False
    return True


def _bring(
    stores: Stores, shelf: Shelf, path: str, sha256: str, size: int | None, mode: int, progress: Progress
) -> bool:
    """Put a file in its place; whatever is wrong with what the store has is told."""

    def work(store: Store, seal: Seal) -> bool:
        there = store.size(blob_key(sha256))
        if there is None:
            return False
        length = there if size is None else size
        progress.say(f"{path} from {store.name}")
        try:
            if bring(store, sha256, length, mode, stores.workspace.path(path), progress):
                stores.state.learn(path, sha256)
            return True
        except Malformed as error:
            stores.wrong.add((shelf, sha256))
            _refuse(stores, error, f"`{path}`")
        except DiskFull as error:
            stores.warn(f"`{path}` is not restored: {error.message}")
        except Busy:
            pass  # whoever makes it waits for the other
        return False

    return shelf.ask("read", work) or False


def _said(stores: Stores, made: Made, share: Share) -> Inputs:
    """Return a record's inputs by their names here."""
    said = {stores.places.local(name): digest for name, digest in made.inputs.items() if name not in _BOUND}
    return {name: _listed(stores, name, made, share) if name.endswith("/") else digest for name, digest in said.items()}


def _listed(stores: Stores, name: str, made: Made, share: Share) -> str | None:
    """Return the digest of the names in a folder, in which targets may be new, if else it is as in the record."""
    digest = stores.digest(name)
    portable = stores.places.portable(name)
    same = stores.places.digest(portable, stores.state.digest, share.folders()) == made.inputs[portable]
    return digest if same else made.inputs[portable]  # which is no digest of such a list here: it counts as changed


def _values(share: Share, made: Made) -> Mapping[str, str]:
    bound = tuple(name for name in _BOUND if name in made.inputs)
    return share.values(Maker({}, made.exact), bound)
