"""`llorch models …`."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cli import Command, Table, dry_run_option, no_cache_option, yes_option
from llorch.errors import Malformed, UnknownName
from llorch.locks import hold
from llorch.models.catalog import Model, load_models
from llorch.models.status import Other, Status, find_others, folder_size, leftovers, other_folders, status_of
from llorch.parallel import in_parallel
from llorch.session import session
from llorch.switches import is_on
from llorch.table import MODELS
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.models.gguf import Gguf

_STYLES: "dict[str, ui.Style]" = {
    "ok": "good",
    "corrupt": "bad",
    "truncated": "bad",
    "missing": "dim",
    "partial": "note",
}


@click.group(cls=Table, table=MODELS, example="llorch models download smollm2")
def models() -> None:
    """Have models on disk: downloaded, verified, listed, deleted."""


@click.command(cls=Command, looks=True, example="llorch models catalog --json")
def catalog() -> None:
    """Show every model that is declared, and how much of it is on disk."""
    _show(_statuses(), "the catalog has no models")


@click.command("list", cls=Command, looks=True, example="llorch models list")
def list_models() -> None:
    """Show the models on disk and their state, and other GGUF and safetensors files in the model folder.

    ok: verified. unverified: there, and not compared with the catalog yet. corrupt: not the promised file. partial:
    something is missing. undeclared: the catalog does not have it.
    """
    run = session()
    every = _statuses()
    base = run.workspace.name(run.settings.paths.models)
    others = find_others([status.model for status in every], base, run.workspace)
    there = [status for status in every if status.present]
    _show(there, "no models here yet; `llorch models download smollm2` gets the smallest", others)


@click.command(cls=Command, example="llorch models download smollm2\nllorch models download tinyllama qwen --json")
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All models of the catalog.")
@click.option("--no-wait", is_flag=True, help="Fail if another run is at the same model (LLORCH_NO_WAIT).")
@no_cache_option
@dry_run_option
def download(ids: tuple[str, ...], every: bool, no_wait: bool) -> int:
    """Have models on disk, verified, and converted where their entries say so. What is there, and right, is kept."""
    return _have(choose(ids, every), no_wait)


@click.command(cls=Command, example="llorch models convert tiny-gpt2\nllorch models convert gpt2 --dry-run")
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All models whose entries have `convert`.")
@click.option("--no-wait", is_flag=True, help="Fail if another run is at the same model (LLORCH_NO_WAIT).")
@no_cache_option
@dry_run_option
def convert(ids: tuple[str, ...], every: bool, no_wait: bool) -> int:
    """Have the GGUF files of models that are not published as such: `convert`, and `quantize`, of their entries.

    What they are made of is downloaded first. A file that was made of the same, in the same way, is kept.
    """
    chosen = choose(ids, every)
    plain = [model.id for model in chosen if model.entry.convert is None]
    if plain and not every:
        raise click.UsageError(
            f"`{plain[0]}` has no `convert` in its entry: its files are used as they are", click.get_current_context()
        )
    return _have([model for model in chosen if model.entry.convert is not None], no_wait)


def _have(chosen: list[Model], no_wait: bool) -> int:
    from llorch import dodo, engine, overview
    from llorch.commands import finish

    if no_wait:
        os.environ["LLORCH_NO_WAIT"] = "1"
    namespace = overview.load_namespace(session().workspace, vars(dodo))
    return finish(engine.run(namespace, [f"models:{model.id}" for model in chosen], jobs=4))


@click.command(cls=Command, looks=True, example="llorch models info smollm2\nllorch models info smollm2 --tensors")
@click.argument("id", metavar="ID")
@click.option("--tensors", is_flag=True, help="List the tensors of the GGUF file.")
def info(id: str, tensors: bool) -> None:
    """Show what the catalog says of a model, its files, and what its GGUF file says of itself."""
    (model,) = choose((id,), every=False)
    run = session()
    status = status_of(model, run.workspace, run.state)
    run.state.close()
    found, flaw = _look_inside(model)
    details = _details(status)
    if ui.mode.json:
        ui.emit_json({"model": {**details, "gguf": found and _inside(found, tensors)}})
        return
    for key, value in {**details, "size": _size(status), "gated": "yes" if details["gated"] else "no"}.items():
        if key != "files" and value not in ("", None):
            ui.emit(f"{key + ':':<16}{value}")
    for file in status.files:
        word = ui.style(file.state, _STYLES.get(file.state, "note"))
        size = ui.bytes_text(file.size) if file.size is not None else "size unknown"
        ui.emit(f"{'file:':<16}{file.path}\n{'':<16}{word}, {size}, sha256 {file.sha256 or 'unknown'}")
    if flaw:
        ui.emit(f"{'gguf:':<16}{ui.style('malformed', 'bad')}: {flaw}")
    if found is not None:
        ui.emit(f"{'gguf:':<16}" + f"\n{'':<16}".join(_describe(found)))
    if tensors and found is None:
        ui.tell("no tensors to list: there is no GGUF file on disk that can be read")
    elif tensors and found is not None:
        rows = [[each.name, " x ".join(map(str, each.shape)), each.type, str(each.size)] for each in found.tensors]
        ui.table(["tensor", "shape", "type", "bytes>"], rows)


@click.command(cls=Command, example="llorch models verify smollm2\nllorch models verify --all --json")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All models that have something on disk.")
def verify(ids: tuple[str, ...], every: bool) -> int:
    """Read models from disk, every byte, and compare them with the catalog. Needs no network.

    Exits with 6 if a file is missing, truncated or corrupt.
    """
    from llorch.models import verify as rules

    run = session()
    chosen = choose(ids, every)
    if every:
        chosen = [model for model in chosen if status_of(model, run.workspace, run.state).present]
    paths = [path for model in chosen for path in (*model.paths, *model.made)]
    files = [path for path in paths if run.workspace.path(path).is_file()]
    digests: dict[str, str] = {}
    with run.board.start("verify") as line:
        line.total(sum(run.workspace.path(path).stat().st_size for path in files))
        read = in_parallel(files, lambda path: run.state.read(path, line.advance), os.cpu_count() or 1)
        digests.update(zip(files, read, strict=True))
    run.board.close()
    reports = {model: rules.verify(model, run.workspace, digests.__getitem__) for model in chosen}
    run.state.close()
    ok = all(report.ok for found in reports.values() for report in found)
    if ui.mode.json:
        ui.emit_json({"ok": ok, "models": [_verified(model, found) for model, found in reports.items()]})
        return 0 if ok else 6
    for found in reports.values():
        for report in found:
            word = ui.style(f"{report.state:<10}", _STYLES.get(report.state, "note"))
            ui.emit(f"{word} {report.path}" + (f": {report.detail}" if report.detail else ""))
    wrong = {model: found for model, found in reports.items() if not all(report.ok for report in found)}
    # What came malformed comes so again; what was made here is made anew.
    flawed = [
        model.id for model, found in wrong.items() if any(each.flaw and each.path in model.paths for each in found)
    ]
    if others := [model.id for model in wrong if model.id not in flawed]:
        ui.print_err(f"\nhint: `llorch models download {' '.join(others)}` repairs what is wrong")
    if flawed:
        delete = f"`llorch models delete {' '.join(flawed)}`"
        ui.print_err(f"\nhint: the source may have it so; else {delete}, then download it again")
    if not reports:
        ui.tell("no models here yet")
    return 0 if ok else 6


@click.command(cls=Command, example="llorch models delete tinyllama")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@yes_option
@dry_run_option
def delete(ids: tuple[str, ...]) -> None:
    """Delete models from disk, after asking. Files that llorch did not put there stay."""
    run = session()
    chosen = choose(ids, every=False)
    gone = {model: leftovers(model, run.workspace) for model in chosen}
    sizes = {model: sum(os.lstat(run.workspace.path(path)).st_size for path in gone[model]) for model in chosen}
    dry = is_on("LLORCH_DRY_RUN")
    if any(gone.values()) and not dry:
        lost = ", ".join(f"{model.id} ({ui.bytes_text(sizes[model])})" for model in chosen if gone[model])
        ui.confirm("Delete them?", f"this deletes {lost} from disk")
    base = run.workspace.path(run.workspace.name(run.settings.paths.models))
    for model in chosen if not dry else ():
        with ExitStack() as locks:
            for path in sorted({*model.paths, *model.made, model.receipt}):
                locks.enter_context(hold(run.workspace, path, f"deleting {model.id}"))
            for path in gone[model]:
                run.workspace.path(path).unlink(missing_ok=True)
                _remove_empty(run.workspace.path(path).parent, base)
    if ui.mode.json:
        deleted = [{"id": model.id, "files": gone[model], "size": sizes[model]} for model in chosen]
        ui.emit_json({"dry_run": dry, "deleted": deleted})
        return
    for model in chosen:
        verb = "would delete" if dry else "deleted"
        what = f"{verb} {model.id}, {ui.bytes_text(sizes[model])}" if gone[model] else f"{model.id} is not on disk"
        folder = run.workspace.path(model.folder)
        rest = sum(len(names) for _, _, names in os.walk(folder)) - (len(gone[model]) if dry else 0)
        ui.emit(what + (f"; {rest} other files stay in {model.folder}" if rest else ""))


@click.command("disk-usage", cls=Command, looks=True, example="llorch models disk-usage")
def disk_usage() -> None:
    """Show the room that each model's folder takes, and each other one in the model folder."""
    run = session()
    base = run.workspace.name(run.settings.paths.models)
    rows: list[dict[str, Any]] = [
        {"id": model.id, "folder": model.folder, "size": folder_size(model.folder, run.workspace)}
        for model in _models().values()
        if run.workspace.path(model.folder).is_dir()
    ]
    total = folder_size(base, run.workspace)
    others = other_folders([row["folder"] for row in rows], base, run.workspace)
    real = {os.path.realpath(run.workspace.path(row["folder"])): row["size"] for row in rows}
    inner = {folder for folder in real if any(folder.startswith(each + os.sep) for each in real)}
    rest = max(0, total - sum(size for folder, size in real.items() if folder not in inner))
    if ui.mode.json:
        folders = [{"folder": other.path, "size": other.size} for other in others]
        ui.emit_json({"models": rows, "others": folders, "other_size": rest, "total_size": total})
        return
    cells = [[row["id"], ui.bytes_text(row["size"]), row["folder"]] for row in rows]
    cells += [["(other)", ui.bytes_text(other.size), shown(other.path)] for other in others]
    if (loose := rest - sum(other.size for other in others)) > 0:
        cells.append(["(other)", ui.bytes_text(loose), base])
    ui.table(["model", "size>", "folder"], [*cells, ["total", ui.bytes_text(total), base]])


def _models() -> dict[str, Model]:
    run = session()
    return load_models(run.workspace, run.settings)


def choose(ids: tuple[str, ...], every: bool) -> list[Model]:
    """Return the models that a command line means, each once.

    Raises:
        UsageError: it names none and not all, or both.
        UnknownName: there is no such model.
    """
    if bool(ids) == every:
        raise click.UsageError("name one or more models, or give --all", click.get_current_context())
    known = _models()
    for id in ids:
        if id not in known:
            hint = "`--all` is every model" if id == "all" else "`llorch models catalog` shows them"
            raise UnknownName("model", id, list(known), hint=hint)
    return [known[id] for id in dict.fromkeys(ids)] if ids else list(known.values())


def _statuses() -> list[Status]:
    run = session()
    found = [status_of(model, run.workspace, run.state) for model in _models().values()]
    run.state.close()
    return found


def _show(statuses: list[Status], nothing: str, others: list[Other] | None = None) -> None:
    total = sum(status.size for status in statuses)
    if ui.mode.json:
        run = session()
        base = run.workspace.name(run.settings.paths.models)
        more = {} if others is None else {"others": [other._asdict() for other in others]}
        models = [_summary(status) for status in statuses]
        ui.emit_json({"folder": base, "models": models, **more, "total_size": total})
        return
    others = others or []
    total += sum(other.size for other in others)
    rows = [
        [each.model.id, each.state, _size(each), each.model.entry.license, each.model.entry.name] for each in statuses
    ]
    rows += [["(other)", "undeclared", ui.bytes_text(other.size), "", shown(other.path)] for other in others]
    ui.table(["id", "state", "size>", "license", "name"], rows)
    unknown = sum(not status.is_sized for status in statuses)
    rest = f", and {unknown} of unknown size" if unknown else ""
    ui.tell(f"{ui.bytes_text(total)} in all{rest}" if statuses or others else nothing)


def _size(status: Status) -> str:
    return ui.bytes_text(status.size) if status.is_sized else "unknown"


def _summary(status: Status) -> dict[str, Any]:
    entry = status.model.entry
    return {
        "id": status.model.id,
        "name": entry.name,
        "source": entry.source,
        "repo": entry.repo,
        "revision": entry.revision if entry.repo else "",
        "license": entry.license,
        "folder": status.model.folder,
        "state": status.state,
        "size": status.size,
        "files": [
            {"path": file.path, "size": file.size, "sha256": file.sha256, "state": file.state} for file in status.files
        ],
    }


def _details(status: Status) -> dict[str, Any]:
    entry = status.model.entry
    return {
        **_summary(status),
        "architecture": entry.architecture,
        "parameters": entry.parameters,
        "context_length": entry.context_length,
        "quantization": entry.quantization,
        "gated": entry.gated,
        "description": entry.description,
    }


def _look_inside(model: Model) -> tuple["Gguf | None", str]:
    """Return what the GGUF file says that a model is used by, the first on disk, or what is wrong with it."""
    from llorch.models.gguf import load_gguf

    for path in (*reversed(model.made), *model.paths):
        place = session().workspace.path(path)
        if path.lower().endswith(".gguf") and place.is_file():
            try:
                return load_gguf(place, path), ""
            except Malformed as error:
                return None, error.reason
    return None, ""


def _inside(found: "Gguf", tensors: bool) -> dict[str, Any]:
    from dataclasses import asdict

    document = asdict(found)
    del document["data_offset"]
    split = found.split
    document["split"] = None if split is None else {"no": split[0], "count": split[1]}
    document["tensors"] = document["tensors"] if tensors else len(found.tensors)
    return document


def _describe(found: "Gguf") -> list[str]:
    """Return lines for people on what a GGUF file says."""
    part = f", part {found.split[0] + 1} of {found.split[1]}" if found.split else ""
    mix = ", ".join(f"{share.tensors} {share.type} ({ui.bytes_text(share.size)})" for share in found.quantization.types)
    lines = [
        f"version {found.version}, architecture {found.architecture or 'unknown'}{part}",
        f"{found.parameters:,} parameters in {len(found.tensors):,} tensors",
    ]
    if found.tensors:
        lines.append(f"quantization {found.quantization.name}: {mix}")
    if found.context_length is not None:
        lines.append(f"context of {found.context_length:,} tokens")
    if found.tokenizer is not None:
        pre = f" ({found.tokenizer.pre})" if found.tokenizer.pre else ""
        lines.append(f"tokenizer {found.tokenizer.model}{pre}, vocabulary of {found.tokenizer.vocabulary:,}")
    lines.append(
        f"chat template of {len(found.chat_template):,} characters" if found.chat_template else "no chat template"
    )
    return lines


def _verified(model: Model, reports: list[Any]) -> dict[str, Any]:
    return {
        "id": model.id,
        "ok": all(report.ok for report in reports),
        "files": [
            {
                "path": report.path,
                "state": report.state,
                "expected": {"size": report.expected_size, "sha256": report.expected_sha256},
                "actual": {"size": report.size, "sha256": report.sha256},
                "detail": report.detail,
            }
            for report in reports
        ],
    }


def _remove_empty(folder: Path, base: Path) -> None:
    # A link is its owner's, and so is what it leads to.
    while base in folder.parents and folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
