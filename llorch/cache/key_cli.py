"""`llorch cache key|diff`: what decides what tasks make, as one digest for a CI cache, and part by part."""

from collections.abc import Sequence
from pathlib import Path

import click

from llorch import ui
from llorch.cache.choose_cli import choose
from llorch.cache.parts import Part, compare, find_parts, key_of, load_parts
from llorch.cli import Command
from llorch.session import session

HERE = "it is about the files that are here"


@click.command(cls=Command, looks=True, example="llorch cache key build:worker-cpu\nllorch cache key --json > key.json")
@click.argument("names", metavar="[TASK]...", nargs=-1)
@click.option("--explain", is_flag=True, help="List what it is made of.")
def key(names: tuple[str, ...], explain: bool) -> None:
    """Print a digest of all that could decide what tasks make, for use as the key of a CI cache.

    It is the same wherever the contents are the same: whatever the path, the times, the machine, and what is built
    already. Nothing is built and cargo is not called. Without a TASK it is of all binaries and models.
    """
    tasks, parts = _parts(names)
    digest = key_of(parts)
    if ui.mode.json:
        ui.emit_json({"key": digest, "tasks": list(tasks), "parts": [part._asdict() for part in parts]})
    elif explain:
        ui.table(["part", "sha256 or settings"], parts)
        ui.tell(f"the key is {digest}")
    else:
        ui.emit(digest)


@click.command(
    cls=Command, looks=True, local=HERE, example="llorch cache key --json > key.json\nllorch cache diff key.json"
)
@click.argument("file", metavar="KEYFILE", type=click.Path(resolve_path=True, path_type=Path))
def diff(file: Path) -> int:
    """Say why a key is another than the one that `llorch cache key --json` has written into KEYFILE.

    Exits with 1 if they differ.
    """
    tasks, was = load_parts(file)
    _, now = _parts(tasks)
    changes = compare(was, now)
    if ui.mode.json:
        document = {"same": not changes, "was": key_of(was), "now": key_of(now)}
        ui.emit_json({**document, "changes": [change._asdict() for change in changes]})
        return 1 if changes else 0
    for change in changes:
        if change.was is None or change.now is None:
            ui.emit(f"{change.name} is {'new' if change.was is None else 'gone'}")
        elif change.now.startswith("{"):
            ui.emit(f"{change.name} have changed:\n  was {change.was}\n  is  {change.now}")
        else:
            ui.emit(f"{change.name} has changed")
    if not changes:
        ui.emit("the keys are the same")
    return 1 if changes else 0


def _parts(names: Sequence[str]) -> tuple[tuple[str, ...], list[Part]]:
    from llorch.cache.keys import Places

    run = session()
    shares = {name: action.share() for name, action in choose(names).items() if action.share is not None}
    places = Places(run.workspace, run.settings.paths.models)
    parts = find_parts(shares, run.workspace, places, run.state.digest)
    run.state.close()
    return tuple(names), parts
