"""`llorch models pin|outdated|gc|update`: what changes the catalog, and what is left beside it."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cli import Command, dry_run_option, yes_option
from llorch.errors import LlorchError, Refused, UnknownName
from llorch.models.catalog import Model, check_revision, load_models
from llorch.parallel import in_parallel
from llorch.session import session
from llorch.switches import is_on

if TYPE_CHECKING:
    from llorch.models.edit import Draft, Raw
    from llorch.models.leftovers import Leftover
    from llorch.models.news import News, Pin
    from llorch.models.update import Difference


@click.command(cls=Command, example="llorch models pin granite\nllorch models pin qwen --revision main --dry-run")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--revision", metavar="REV", default="", help="Pin to what this commit, branch or tag is now.")
@dry_run_option
def pin(ids: tuple[str, ...], revision: str) -> None:
    """Write commit, size and sha256 of a model's files into the workspace's catalog.

    Without --revision, the commit is the one that was fetched, or else what the entry's revision is now. Files that
    the Hub keeps in git have no sha256 there: it is taken from the file on disk, if that is proven to be the same.
    """
    from llorch.models import edit, news

    run = session()
    _check(check_revision(revision) if revision else None)
    chosen = _of_the_hub(ids)
    own = edit.own_entries(run.workspace, run.settings)
    for model in chosen:
        if model.id not in own:
            raise Refused(
                f"`{model.id}` is not in the workspace's catalog but in the one that comes with llorch",
                hint="copy its entry into the workspace's catalog.toml, and pin it there",
            )
    pins = in_parallel(chosen, lambda model: news.pin(model, run.workspace, revision or None), news.AT_ONCE)
    todo = {pin.model.id: _pinned(own[pin.model.id], pin) for pin in pins if pin.changed}
    name, dry = run.workspace.name(run.settings.paths.catalog), is_on("LLORCH_DRY_RUN")

    def write(draft: "Draft") -> None:
        for id, entry in todo.items():
            if draft.entries.get(id) != own[id]:
                raise edit.changed_meanwhile(name)
            draft.change(id, entry)

    if todo:
        edit.edit_catalog(run.workspace, run.settings, write, dry_run=dry)
    _show_pins(pins, name, dry)


def _pinned(entry: "Raw", pin: "Pin") -> "Raw":
    """Return an entry as TOML with its pins."""
    files = []
    for old, new in zip(entry["files"], pin.files, strict=True):
        pins = {"size": new.size, "sha256": new.sha256}
        rest = {key: value for key, value in old.items() if key not in pins}
        files.append({**rest, **{key: value for key, value in pins.items() if value is not None}})
    return {**entry, "revision": pin.revision, "files": files}


def _show_pins(pins: "Sequence[Pin]", name: str, dry: bool) -> None:
    if ui.mode.json:
        ui.emit_json({"dry_run": dry, "catalog": name, "models": [_pin_document(pin) for pin in pins]})
        return
    for pin in pins:
        verb = "would pin" if dry else "pinned"
        to = f"{pin.revision[:12]}, {_count(len(pin.files), 'file')}"
        ui.emit(f"{verb} {pin.model.id} to {to}" if pin.changed else f"nothing to do: {pin.model.id} is pinned to {to}")
        for path in pin.open:
            ui.warn(
                f"{path} of {pin.model.id} has no sha256: the Hub keeps it in git, and it is not here, or not the same"
            )
        if pin.open:
            ui.print_err(f"\nhint: `llorch models download {pin.model.id}`, then pin it again")


def _pin_document(pin: "Pin") -> dict[str, Any]:
    return {
        "id": pin.model.id,
        "repo": pin.model.entry.repo,
        "revision": pin.revision,
        "changed": pin.changed,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in pin.files],
        "unpinned": list(pin.open),
    }


@click.command(cls=Command, example="llorch models outdated\nllorch models outdated qwen --json")
@click.argument("ids", metavar="[ID]...", nargs=-1)
def outdated(ids: tuple[str, ...]) -> int:
    """Say which models' repositories have moved on, and which of their files changed. Nothing is fetched.

    Exits with 1 if a repository could not be asked; the others are shown all the same.
    """
    from llorch.models import news

    run = session()
    if ids:
        chosen = _of_the_hub(ids)
    else:
        chosen = [model for model in load_models(run.workspace, run.settings).values() if model.entry.source == "hf"]
    found = news.outdated(chosen, run.workspace)
    failed = any(item.error is not None for item in found)
    if ui.mode.json:
        ui.emit_json({"models": [_news_document(item) for item in found]})
        return 1 if failed else 0
    ui.table(["id", "state", "pinned to", "now", "of", "files"], [_news_row(item) for item in found])
    errors = {item.model.id: item.error for item in found if item.error is not None}
    for id, error in errors.items():
        ui.print_err(ui.style("error:", "bad", sys.stderr) + f" {id}: {error.message}")
    for hint in dict.fromkeys(error.hint for error in errors.values() if error.hint):
        ui.print_err(f"\nhint: {hint}")
    moved = [item.model.id for item in found if item.moved]
    if moved:
        ui.tell(f"\nhint: `llorch models pin {moved[0]} --revision REV` takes what is new; until then nothing changes")
    elif not failed:
        ui.tell("all are what their repositories have now" if found else "no model comes from the Hub")
    return 1 if failed else 0


def _news_row(item: "News") -> list[str]:
    if item.latest is None:
        return [item.model.id, "unknown", (item.have or item.model.entry.revision)[:12], "", "", ""]
    words = [f"{path}: {change}" for path, change in item.changes.items() if change != "same"]
    what = ", ".join(words[:3]) + (f", and {len(words) - 3} more" if len(words) > 3 else "")
    return [
        item.model.id,
        "moved on" if item.moved else "current",
        (item.have or item.model.entry.revision)[:12],
        item.latest.commit[:12],
        (item.latest.last_modified or "")[:10],
        what or "the same",
    ]


def _news_document(item: "News") -> dict[str, Any]:
    return {
        "id": item.model.id,
        "repo": item.model.entry.repo,
        "revision": item.model.entry.revision,
        "latest": item.latest.commit if item.latest else None,
        "last_modified": item.latest.last_modified if item.latest else None,
        "files": [{"path": path, "change": change} for path, change in item.changes.items()],
        "error": item.error.as_json() if item.error else None,
    }


@click.command(cls=Command, example="llorch models gc --dry-run\nllorch models gc --yes")
@click.option("--unfinished", is_flag=True, help="Also what an unfinished download would go on with.")
@yes_option
@dry_run_option
def gc(unfinished: bool) -> None:
    """Remove what killed runs have left, after asking: parts, files kept aside, temporary folders.

    Also unfinished files of the Hub's own client, here and in its cache, when they are older than a day. What another
    run is at stays.
    """
    from llorch.models import leftovers

    run = session()
    found = leftovers.find_leftovers(run.workspace, run.settings, load_models(run.workspace, run.settings))
    chosen = [*found.leftovers, *(found.unfinished if unfinished else ())]
    dry, size = is_on("LLORCH_DRY_RUN"), _size(chosen)
    if not ui.mode.json:
        ui.table(["size>", "path"], [[ui.bytes_text(item.size), item.path] for item in chosen])
    if found.unfinished and not unfinished:
        what = f"{_count(len(found.unfinished), 'file')} ({ui.bytes_text(_size(found.unfinished))})"
        ui.tell(f"{what} of unfinished downloads stay; `--unfinished` takes them too")
    if chosen and not dry:
        ui.confirm("Remove them?", f"this removes {_count(len(chosen), 'leftover')} ({ui.bytes_text(size)}) from disk")
        chosen = leftovers.remove(chosen, run.workspace)
    if ui.mode.json:
        removed = [{"path": item.path, "size": item.size} for item in chosen]
        ui.emit_json({"dry_run": dry, "removed": removed, "size": _size(chosen)})
    elif not chosen:
        ui.tell("nothing is left over")
    else:
        ui.tell(f"{'would remove' if dry else 'removed'} {ui.bytes_text(_size(chosen))}")


def _size(items: "Sequence[Leftover]") -> int:
    return sum(item.size for item in items)


@click.command(cls=Command, example="llorch models update --dry-run\nllorch models update --yes")
@yes_option
@dry_run_option
def update() -> None:
    """Take over a newer catalog from `[paths] catalog_url`, after showing what is different and asking.

    Your own entries stay as they are. Nothing is fetched, and no model's file is touched.
    """
    from llorch.models import update as rules

    run = session()
    load_models(run.workspace, run.settings)  # it must be right before it can be compared
    found = rules.look(run.workspace, run.settings)
    dry = is_on("LLORCH_DRY_RUN")
    name = run.workspace.name(run.settings.paths.catalog)
    if not ui.mode.json:
        _show_difference(found, rules.describe_change)
    if not found.empty:
        rules.write(found, run.workspace, run.settings, dry_run=True)  # what cannot be written is not asked about
        if not dry:
            words = [("added", found.added), ("changed", found.changed), ("gone", found.gone)]
            counts = ", ".join(f"{len(ids)} {word}" for word, ids in words if ids)
            ui.confirm("Write it?", f"this changes {name}: {counts}")
            rules.write(found, run.workspace, run.settings)
    if ui.mode.json:
        parts = {part: list(getattr(found, part)) for part in ("added", "changed", "gone", "kept")}
        ui.emit_json({"dry_run": dry, **parts})
    elif found.empty:
        ui.tell(f"nothing to do: {name} has all that {found.url} has")
    elif not dry:
        ui.tell(f"{name} is written; `llorch models download ID` fetches what is new in it")


def _show_difference(found: "Difference", describe: Any) -> None:
    for id in found.added:
        ui.emit(f"added    {id}")
    for id in found.changed:
        lines = describe(found.before[id], found.after[id])
        ui.emit("\n".join([f"changed  {id}", *(f"         {line}" for line in lines)]))
    for id in found.gone:
        ui.emit(f"gone     {id}; its files stay on disk")
    for id in found.kept:
        ui.emit(f"kept     {id}, an entry of your own")


def _of_the_hub(ids: tuple[str, ...]) -> list[Model]:
    """Return the named models, which have to be of the Hub."""
    run = session()
    known = load_models(run.workspace, run.settings)
    for id in ids:
        if id not in known:
            raise UnknownName("model", id, list(known), hint="`llorch models catalog` shows them")
        source = known[id].entry.source
        if source != "hf":
            raise LlorchError(
                f"`{id}` is not of the Hub but of `{source}`, and cannot be asked for there",
                hint=f"`llorch models info {id}` shows what is known of its files",
            )
    return [known[id] for id in dict.fromkeys(ids)]


def _check(complaint: str | None) -> None:
    if complaint is not None:
        raise click.UsageError(complaint, click.get_current_context())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
