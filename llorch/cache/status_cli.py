"""`llorch cache status|gc`: what the stores have, and how large the user's own is."""

from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cache.choose_cli import choose
from llorch.cli import Command, dry_run_option
from llorch.parallel import in_parallel
from llorch.session import session
from llorch.switches import is_on

if TYPE_CHECKING:
    from llorch.cache.stores import Stores

AT_ONCE = 8
"""Tasks that are looked for at once."""


@click.command(cls=Command, looks=True, example="llorch cache status\nllorch cache status build:worker-cpu --json")
@click.argument("names", metavar="[TASK]...", nargs=-1)
def status(names: tuple[str, ...]) -> None:
    """Show the stores, and which of them have what tasks would make of what is here now.

    Without a TASK it is all binaries and models.
    """
    from llorch.cache.status import look
    from llorch.cache.stores import Stores

    run = session()
    actions = choose(names)
    stores = Stores(run.workspace, run.settings, run.state, run.board.warn)
    shares = {name: action.share() for name, action in actions.items() if action.share is not None}
    fresh = {name: not run.state.reasons(share.recipe) for name, share in shares.items()}
    held = in_parallel(shares.values(), lambda share: look(stores, share), AT_ONCE)
    run.state.close()
    shelves = [_own(stores), _shared(stores)]
    rows = [
        {"name": name, "state": "up-to-date" if fresh[name] else "out-of-date", **each._asdict()}
        for name, each in zip(shares, held, strict=True)
    ]
    if ui.mode.json:
        ui.emit_json({"stores": shelves, "tasks": rows})
        return
    cells = [
        [
            each["kind"],
            each["name"] or "",
            each["state"],
            "" if each["size"] is None else ui.bytes_text(each["size"]),
            "" if each["limit"] is None else ui.bytes_text(each["limit"]),
        ]
        for each in shelves
    ]
    ui.table(["store", "where", "state", "size>", "limit>"], cells)
    ui.emit("")
    shown = [row for row in rows if names or fresh[row["name"]] or {row["own"], row["shared"]} & {"there", "partly"}]
    ui.table(
        ["task", "state", "own", "shared"],
        [[row["name"], row["state"], *(_seen(row[each["kind"]], each["state"]) for each in shelves)] for row in shown],
    )
    for row in shown:
        if row["reason"]:
            ui.tell(f"{row['name']}: {row['reason']}")
    if len(shown) < len(rows):
        ui.tell(f"{len(rows) - len(shown)} more are neither here nor in a store")


def _seen(has: str, store: str) -> str:
    """Return what a store has of a task; one that is switched off has nothing that could be unknown."""
    return "" if store == "off" else has


def _own(stores: "Stores") -> dict[str, Any]:
    sizes = stores.local.ask("read", lambda store, seal: sum(item.size for item in store.items()))
    state = "off" if not stores.limit else "unusable" if sizes is None else "read, write"
    return {"kind": "own", "name": stores.local.name, "state": state, "size": sizes, "limit": stores.limit or None}


def _shared(stores: "Stores") -> dict[str, Any]:
    shelf, settings = stores.remote, session().settings.cache
    if shelf.open("read") is None:
        shelf.open("write")
    ways = ", ".join(way for way in ("read", "write") if way in shelf.ways)
    state = "off" if not settings.url else ways or ("unusable" if shelf.error else "not used")
    return {"kind": "shared", "name": shelf.name or None, "state": state, "size": None, "limit": None}


@click.command(cls=Command, example="llorch cache gc --dry-run\nllorch cache gc")
@dry_run_option
def gc() -> None:
    """Remove from your own store what is over `[cache] local_limit`, and what is of no use any more.

    What was used longest ago goes first; what this workspace names goes last, and only if the limit cannot be met
    otherwise. What is being used stays.
    """
    from llorch.cache.gc import Swept, sweep
    from llorch.cache.local import LocalStore, store_folder
    from llorch.cache.publish import named
    from llorch.cache.stores import Stores

    run = session()
    recipes = [action.recipe for action in choose(()).values() if action.recipe is not None]
    promised = {target.sha256 for recipe in recipes for target in recipe.targets if target.sha256}
    dry = is_on("LLORCH_DRY_RUN")
    stores = Stores(run.workspace, run.settings, run.state, run.board.warn)
    folder, swept = store_folder(), Swept()
    if folder.is_dir():  # also where a limit of nothing has it not used any more
        swept = sweep(LocalStore(folder), stores.limit, named(stores) | promised, dry=dry)
    run.state.close()
    if ui.mode.json:
        removed = [{"key": item.key, "size": item.size} for item in swept.removed]
        document = {"dry_run": dry, "removed": removed, "named": swept.named, "left_over": swept.left_over}
        ui.emit_json({**document, "size": swept.size, "limit": stores.limit})
        return
    freed = sum(item.size for item in swept.removed) + swept.left_over
    verb = "would remove" if dry else "removed"
    ui.emit(f"{verb} {len(swept.removed)} objects, {ui.bytes_text(freed)}; {ui.bytes_text(swept.size)} stay")
    if swept.named:
        ui.tell(f"{swept.named} of them are still named by this workspace: the limit could not be met otherwise")
