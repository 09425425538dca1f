"""`llorch cache push|pull`: publish what is here, and restore what others have made, making nothing."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import click

from llorch import ui
from llorch.cache.choose_cli import choose
from llorch.cli import Command
from llorch.errors import LlorchError, Refused, Unshared
from llorch.parallel import in_parallel
from llorch.session import Session, session
from llorch.watch import Watch

if TYPE_CHECKING:
    from llorch.cache.shelf import Shelf
    from llorch.cache.stores import Stores
    from llorch.engine import Action
    from llorch.progress import Progress

AT_ONCE = 4
"""Tasks at once of which none needs another."""
STALE = "it is not up to date here"
Outcome = Literal["pushed", "already-there", "restored", "up-to-date", "left-out", "missing", "failed"]


Work = Callable[[str, "Action", "Progress"], "Moved"]


_TOLD: tuple[Outcome, ...] = ("pushed", "restored", "failed")
"""What is told also of tasks that nobody has named."""


class Moved(NamedTuple):
    """What became of a task."""

    name: str
    outcome: Outcome
    detail: str = ""
    error: LlorchError | None = None

    def as_json(self) -> dict[str, Any]:
        """Return its part of the JSON document."""
        error = None if self.error is None else self.error.as_json()
        return {"name": self.name, "outcome": self.outcome, "detail": self.detail, "error": error}


@click.command(cls=Command, example="llorch cache push\nllorch cache push build:worker-cpu models:qwen")
@click.argument("names", metavar="[TASK]...", nargs=-1)
def push(names: tuple[str, ...]) -> int:
    """Publish what is up to date here: to the shared store of `[cache] url`, or to your own where none is set.

    Without a TASK it is all binaries and models. Exits with 1 if a TASK that is named could not be published.
    """
    run = session()
    stores = _stores(run)
    if run.settings.cache.url and not run.settings.cache.write:
        raise Refused(
            f"`{stores.remote.name}` is only read here", hint="`write = true` in `[cache]` of llorch.toml allows it"
        )
    shelf = stores.remote if run.settings.cache.url else stores.local
    return _move(run, names, lambda name, action, progress: _push(stores, shelf, name, action, progress))


@click.command(cls=Command, example="llorch cache pull\nllorch cache pull build:worker-cpu models:qwen")
@click.argument("names", metavar="[TASK]...", nargs=-1)
def pull(names: tuple[str, ...]) -> int:
    """Restore what the stores have of what tasks would make, and make nothing.

    Without a TASK it is all binaries and models. Exits with 1 if a TASK that is named could not be restored.
    """
    run = session()
    _stores(run)
    return _move(run, names, _pull)


def _stores(run: Session) -> "Stores":
    if run.stores is None:
        raise Refused("the cache is switched off by LLORCH_NO_CACHE", hint="unset it")
    return run.stores


def _push(stores: "Stores", shelf: "Shelf", name: str, action: "Action", progress: "Progress") -> Moved:
    from llorch.cache.publish import describe, put, trim_own

    assert action.recipe is not None, "chosen by it"
    assert action.share is not None, "chosen by it"
    recipe = action.recipe
    if not any(stores.workspace.path(target.path).exists() for target in recipe.targets):
        return Moved(name, "left-out", "it is not here")
    if stores.state.reasons(recipe, read=True):
        return Moved(name, "left-out", STALE)
    try:
        made = None if recipe.promised else describe(stores, recipe, action.share())
        new = shelf.ask("write", lambda store, seal: put(stores, shelf, store, seal, recipe, made, progress))
    except Unshared as error:
        return Moved(name, "failed", "", error)
    if new is None:
        return Moved(name, "failed", "", shelf.error)
    if shelf is stores.local:
        trim_own(stores)
    return (
        Moved(name, "pushed", f"to {shelf.name}") if new == "put" else Moved(name, "already-there", f"in {shelf.name}")
    )


def _pull(name: str, action: "Action", progress: "Progress") -> Moved:
    from llorch.make import restore

    assert action.recipe is not None, "chosen by it"
    try:
        done = restore(action.recipe, progress, action.share)
    except LlorchError as error:
        return Moved(name, "failed", "", error)
    if done is None:
        return Moved(name, "missing", "no store has it")
    return Moved(name, "restored" if done.restored else "up-to-date", done.detail if done.restored else "")


def _move(run: Session, names: Sequence[str], work: Work) -> int:
    """Work on tasks, those at once of which none needs another, and tell how it ended."""
    actions = choose(names)
    run.board.width = max(map(len, actions), default=0)

    def watched(name: str) -> Moved:
        with Watch(run.board, name, run.cancelled) as progress:
            moved = work(name, actions[name], progress)
        if names or ui.mode.verbose or moved.outcome in _TOLD or moved.detail == STALE:
            _tell(run, moved)
        return moved

    with run.working():
        first = [name for name, action in actions.items() if action.recipe and not action.recipe.inputs]
        moved = in_parallel(first, watched, AT_ONCE)
        moved += [watched(name) for name in actions if name not in first]
    if ui.mode.json:
        ui.emit_json({"tasks": [each.as_json() for each in moved]})
    else:
        counts = {outcome: sum(each.outcome == outcome for each in moved) for outcome in get_args(Outcome)}
        parts = [f"{count} {outcome.replace('-', ' ')}" for outcome, count in counts.items() if count]
        ui.tell(", ".join(parts) or "no task here makes what a store could have")
    failed = next((each.error.exit_code for each in moved if each.error is not None), 0)
    return failed or int(bool(names) and any(each.outcome in ("missing", "left-out") for each in moved))


def _tell(run: Session, moved: Moved) -> None:
    """Write a line for people, as the tasks of a run have."""
    if ui.mode.json or (ui.mode.quiet and moved.error is None):
        return
    style: ui.Style = "bad" if moved.error else "good" if moved.outcome in _TOLD else "dim"
    word = ui.style(f"{moved.outcome.replace('-', ' '):<13}", style, sys.stderr)
    run.board.print(f"{moved.name:<{run.board.width}}  {word} {moved.detail}".rstrip())
    if moved.error is not None:
        run.board.print(ui.style("error:", "bad", sys.stderr) + f" {ui.harmless(moved.error.message)}")
