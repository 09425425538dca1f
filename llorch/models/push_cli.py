"""`llorch models push`, `pull` and `land`: what the rooms of models and of other machines do together."""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from llorch import ui
from llorch.cli import Command, dry_run_option
from llorch.errors import DiskFull, IntegrityError, LlorchError
from llorch.locks import hold
from llorch.models.catalog import PART, RECEIPT, Model
from llorch.models.cli import choose
from llorch.models.copies import Copy, Elsewhere, find_elsewhere, is_here, land, promised, whole
from llorch.models.part import Part, when_free
from llorch.models.receipt import LIMIT, parse_receipt
from llorch.models.space import room
from llorch.models.status import status_of
from llorch.models.verify import write_receipt
from llorch.parallel import in_parallel
from llorch.progress import Progress, Silent
from llorch.session import session
from llorch.signals import uninterrupted
from llorch.state import sha256_of
from llorch.switches import is_on
from llorch.watch import Watch

if TYPE_CHECKING:
    from llorch.remote.copy import Copier
    from llorch.remote.hosts import Host
    from llorch.remote.reach import Reach
    from llorch.remote.streams import Connection

HERE = "it copies between this machine and others"
"""Why these commands do not go to another machine themselves."""
BASE = ".test-models"
"""The model folder of a machine without llorch, in its repository."""


@click.command(
    cls=Command,
    local=HERE,
    example="llorch models push tinyllama --to workstation\nllorch models push qwen gpt2 --to @cuda --dry-run",
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--to", metavar="HOST", required=True, help="A host of hosts.toml, or several: NAME,NAME, @TAG or all.")
@dry_run_option
def push(ids: tuple[str, ...], to: str) -> int:
    """Copy models to other machines: what they lack, verified there, with the receipt.

    Only models that are whole and verified here are copied.
    """
    chosen = choose(ids, every=False)
    run = session()
    copies = {model.id: whole(model, run.workspace, run.state) for model in chosen}
    return _run_on_hosts(to, chosen, lambda far, model, watch: _push(far, model, copies[model.id], watch), "push")


@click.command(cls=Command, local=HERE, example="llorch models pull tinyllama --from workstation")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--from", "source", metavar="HOST", required=True, help="A host of hosts.toml.")
@dry_run_option
def pull(ids: tuple[str, ...], source: str) -> int:
    """Copy models from another machine: what is lacking here, verified here, with a receipt."""
    if source in ("all", "") or source[0] == "@" or "," in source:
        raise click.UsageError("`--from` takes one host", click.get_current_context())
    return _run_on_hosts(source, choose(ids, every=False), _pull, "pull")


@click.command("land", cls=Command, example="llorch models land tinyllama a.gguf 11 9f86d0…")
@click.argument("id", metavar="ID")
@click.argument("name", metavar="FILE")
@click.argument("size", metavar="BYTES", type=click.IntRange(0))
@click.argument("sha256", metavar="SHA256")
def land_file(id: str, name: str, size: int, sha256: str) -> None:
    """Give a whole `.part` its name, or take note of a file that has it, if its sha256 is this one.

    It is what `models push` runs on the other machine. FILE is the path in the model's folder.
    """
    (model,) = choose((id,), every=False)
    run = session()
    when_free(lambda: land(model, Copy(name, size, sha256), run.workspace, run.state), Silent())
    run.state.close()
    if ui.mode.json:
        ui.emit_json({"path": f"{model.folder}/{name}", "size": size, "sha256": sha256})


class Far(NamedTuple):
    """Another machine that is connected: what its llorch says of its models, None where there is none."""

    host: "Host"
    connection: "Connection"
    copier: "Copier"
    document: Any

    def find(self, model: Model) -> Elsewhere:
        """Return where a model is there."""
        run = session()
        base = run.workspace.name(run.settings.paths.models)
        return find_elsewhere(model, base, self.document, self.host.name)

    def land(self, model: Model, copy: Copy) -> None:
        """Have the llorch there take in a file."""
        from llorch.remote.copy import ask_llorch

        ask_llorch(self.host, self.connection, ["models", "land", "--", model.id, *map(str, copy)])


class Outcome(NamedTuple):
    """How it ended for one model and host."""

    name: str
    outcome: str
    seconds: float
    detail: str = ""
    targets: Sequence[dict[str, Any]] = ()
    error: LlorchError | None = None

    def as_json(self) -> dict[str, Any]:
        """Return its part of the JSON document."""
        return {
            "name": self.name,
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "targets": list(self.targets),
            "error": None if self.error is None else self.error.as_json(),
        }


Work = Callable[[Far, Model, Progress], Outcome]


def _run_on_hosts(hosts: str, chosen: Sequence[Model], work: Work, verb: str) -> int:
    """Work on all models for each of the hosts, the hosts at once, and tell how it ended."""
    from llorch.remote.cli import choose_hosts

    run = session()
    reach, found = choose_hosts(hosts, declared=True)
    run.board.width = max(len(f"{verb}:{model.id}@{host.name}") for model in chosen for host in found)
    opened: list[Copier] = []
    with run.working():
        try:
            outcomes = in_parallel(
                found, lambda host: _run_on_host(reach, host, chosen, work, verb, opened), len(found)
            )
        except BaseException:
            run.cancelled.set()
            with uninterrupted():  # its threads are left to themselves, and what they wait for is not
                in_parallel(opened, lambda copier: copier.close(), len(opened))
            raise
    every = [outcome for each in outcomes for outcome in each]
    if ui.mode.json:
        ui.emit_json({"tasks": [outcome.as_json() for outcome in every]})
    return next((outcome.error.exit_code for outcome in every if outcome.error is not None), 0)


def _run_on_host(
    reach: "Reach", host: "Host", chosen: Sequence[Model], work: Work, verb: str, opened: "list[Copier]"
) -> list[Outcome]:
    """Work on all models for one host, over one connection that is among the `opened`, each as far as it goes."""
    begun = time.monotonic()
    outcomes: list[Outcome] = []
    with ExitStack() as stack:
        far: Far | LlorchError
        try:
            far = _connect(reach, host, stack)
            opened.append(far.copier)
        except LlorchError as error:
            far = error
        for model in chosen:
            name = f"{verb}:{model.id}@{host.name}"
            try:
                if isinstance(far, LlorchError):
                    raise far
                with Watch(session().board, name, session().cancelled) as watch:
                    outcome = work(far, model, watch)
            except LlorchError as error:
                if session().cancelled.is_set():
                    raise KeyboardInterrupt from None  # that is why
                outcome = Outcome("", "failed", 0, error=error)
            outcome = outcome._replace(name=name, seconds=time.monotonic() - begun)
            begun = time.monotonic()
            _tell(outcome)
            outcomes.append(outcome)
    return outcomes


def _connect(reach: "Reach", host: "Host", stack: ExitStack) -> Far:
    from llorch.remote.copy import Copier, ask_llorch

    connection = reach.connect(host)
    stack.callback(connection.close)
    document = ask_llorch(host, connection, ["models", "catalog"])
    base = BASE if document is None else document.get("folder")
    if not isinstance(base, str) or not base or not base.isprintable():
        raise LlorchError(f"the llorch of `{host.name}` does not say where its models are")
    copier = Copier(host, connection, base, lambda: reach.connect_for_bulk(host))
    stack.callback(copier.close)
    return Far(host, connection, copier, document)


def _tell(outcome: Outcome) -> None:
    """Write a line for people, as the tasks of a run have."""
    if ui.mode.json or (ui.mode.quiet and outcome.error is None):
        return
    board = session().board
    style: ui.Style = "bad" if outcome.error else "good" if outcome.outcome == "done" else "dim"
    word = ui.style(f"{outcome.outcome.replace('-', ' '):<11}", style, sys.stderr)
    took = f"  {ui.seconds_text(outcome.seconds)}" if outcome.outcome == "done" else ""
    board.print(f"{outcome.name:<{board.width}}  {word} {outcome.detail}{took}".rstrip())
    if outcome.error is not None:
        board.print(ui.style("error:", "bad", sys.stderr) + f" {outcome.error.message}")
        if outcome.error.hint:
            board.print(f"hint: {outcome.error.hint}")


def _summary(copies: Sequence[Copy], missing: Sequence[Copy], done: int) -> str:
    size = ui.bytes_text(sum(copy.size for copy in missing) - done)
    return f"{size}, {len(missing)} of {len(copies)} file{'s' if len(copies) > 1 else ''}"


def _push(far: Far, model: Model, copies: Sequence[Copy], progress: Progress) -> Outcome:
    """Have the files of a model on another machine, then the receipt."""
    from llorch.remote.copy import File

    run = session()
    there = far.find(model)
    place = run.workspace.path(model.receipt)
    receipt = Copy(RECEIPT, place.stat().st_size, sha256_of(place))
    files = {copy: File(f"{there.folder}/{copy.name}", copy.size, copy.sha256) for copy in (*copies, receipt)}
    vouched = there.vouched or {}
    progress.say(f"looking what `{far.host.name}` has")
    free, seen = far.copier.look(
        {file.path: None if copy.name in vouched else file.size for copy, file in files.items()}
    )
    missing = [
        copy for copy, file in files.items() if (vouched.get(copy.name) or seen[file.path].sha256) != copy.sha256
    ]
    parts = {copy: seen[files[copy].path].part for copy in missing}
    done = sum(part for copy, part in parts.items() if part <= copy.size)
    wanted = [copy for copy in missing if copy != receipt]
    detail = _summary(copies, wanted, done) if wanted else "the receipt" if missing else ""
    targets = [
        {"path": f"{far.copier.base}/{file.path}", "size": file.size, "sha256": file.sha256} for file in files.values()
    ]
    if is_on("LLORCH_DRY_RUN") and missing:
        return Outcome("", "skipped", 0, f"would send {detail}", targets)
    needed = sum(copy.size for copy in missing) - done
    if needed > free:
        message = f"`{model.id}` needs {needed:,} bytes, and `{far.host.name}` has {free:,} left"
        raise DiskFull(message, hint=f"make room there: `llorch models disk-usage --remote {far.host.name}`")
    progress.total(sum(copy.size for copy in missing), done)
    for copy in copies:
        if copy in parts:
            progress.say(copy.name)
            _send(far, model, there, copy, files[copy], parts[copy], progress)
        elif there.vouched is not None and copy.name not in vouched:
            far.land(model, copy)
    if receipt in parts:
        far.copier.send(place, files[receipt], 0, Silent())
    return Outcome("", "done" if missing else "up-to-date", 0, detail, targets)


def _send(far: Far, model: Model, there: Elsewhere, copy: Copy, file: Any, part: int, progress: Progress) -> None:
    """Have one file there, sent once more from its beginning if a part that was there was wrong."""
    place = session().workspace.path(f"{model.folder}/{copy.name}")
    if there.vouched is None:
        if not far.copier.send(place, file, part, progress):
            far.copier.send(place, file, 0, progress)
        return
    far.copier.send(place, file, part, progress, name=False)
    try:
        far.land(model, copy)
    except LlorchError as error:
        if error.code != "integrity" or not part:
            raise
        far.copier.send(place, file, 0, progress, name=False)
        far.land(model, copy)


def _pull(far: Far, model: Model, progress: Progress) -> Outcome:
    """Have the files of a model here that another machine has, then a receipt."""
    run = session()
    dry = is_on("LLORCH_DRY_RUN")
    if status_of(model, run.workspace, run.state).state == "ok":
        return Outcome("", "up-to-date", 0, targets=_targets(model))
    there = far.find(model)
    progress.say(f"looking what `{far.host.name}` has")
    names = {model.made_name(path): f"{there.folder}/{model.made_name(path)}" for path in (*model.paths, *model.made)}
    _, seen = far.copier.look(dict.fromkeys((*names.values(), f"{there.folder}/{RECEIPT}")))
    raw = far.copier.read(f"{there.folder}/{RECEIPT}", LIMIT) if seen[f"{there.folder}/{RECEIPT}"].size > 0 else b""
    receipt = parse_receipt(raw) if len(raw) <= LIMIT else None
    sizes = {name: seen[path].size for name, path in names.items()}
    copies = promised(model, run.workspace, receipt, sizes, far.host.name)
    places = {copy: run.workspace.path(f"{model.folder}/{copy.name}") for copy in copies}
    with ExitStack() as locks:
        for path in () if dry else sorted({*model.paths, *model.made, model.receipt}):
            locks.enter_context(hold(run.workspace, path, f"pull:{model.id}"))
        missing = [copy for copy in copies if not is_here(model, copy, run.workspace, run.state)]
        done = sum(_part_size(places[copy]) for copy in missing)
        detail = _summary(copies, missing, done) if missing else "the receipt"
        if dry:
            return Outcome("", "skipped", 0, f"would bring {detail}")
        progress.total(sum(copy.size for copy in missing), done)
        with room(model.id, {places[copy]: copy.size for copy in missing}) if missing else nullcontext():
            for copy in missing:
                progress.say(copy.name)
                _receive(far, model, copy, names[copy.name], progress)
        made = [receipt.made[copy.name] for copy in copies if receipt and f"{model.folder}/{copy.name}" in model.made]
        write_receipt(model, run.workspace, run.state.digest, receipt.commit if receipt else "", made)
    return Outcome("", "done", 0, detail, _targets(model))


def _part_size(place: Path) -> int:
    part = place.with_name(place.name + PART)
    return part.stat().st_size if part.is_file() else 0


def _receive(far: Far, model: Model, copy: Copy, path: str, progress: Progress) -> None:
    """Have one file here, fetched once more from its beginning if a part that was here was wrong."""
    run = session()
    resumed = False

    def fill(part: Part) -> None:
        nonlocal resumed

        def take(data: bytes) -> None:
            part.write(data)
            progress.advance(len(data))

        if part.size > copy.size:
            part.restart()
        resumed = part.size > 0
        if part.missing:
            far.copier.receive(path, part.size, part.missing, take)

    def work() -> None:
        land(model, copy, run.workspace, run.state, fill)

    try:
        when_free(work, progress)
    except IntegrityError:
        if not resumed:
            raise
        when_free(work, progress)


def _targets(model: Model) -> list[dict[str, Any]]:
    run = session()
    return [
        {"path": path, "size": run.workspace.path(path).stat().st_size, "sha256": run.state.known(path)}
        for path in (*model.paths, *model.made, model.receipt)
    ]
