"""`llorch build …`."""

import os
import time
from datetime import UTC, datetime
from typing import Any

import click

from llorch import ui
from llorch.build.plan import DEFAULTS, Plan, plan_builds
from llorch.cli import Command, Table, dry_run_option, no_cache_option, yes_option
from llorch.errors import UnknownName
from llorch.session import session
from llorch.switches import is_on
from llorch.table import BUILD
from llorch.toolchain import require_folder


class Builds(Table):
    """The commands of the table; any other word is the name of what is to be built."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or take the word as a name."""
        if args and args[0] not in self.table and not args[0].startswith("-"):
            return args[0], make, args[1:]
        return super().resolve_command(ctx, args)


@click.group(cls=Builds, table=BUILD, example="llorch build worker cpu\nllorch build list --json")
def build() -> None:
    """Have a binary, built by cargo when an input has changed: `llorch build NAME [BACKEND]`.

    The names are those of `[build.NAME]` in llorch.toml; without any: worker, orchestrator, pool-manager.
    """


@click.command(cls=Command, example="llorch build worker cpu\nllorch build worker cuda --json")
@click.argument("backend", metavar="[BACKEND]", required=False)
@click.option("--no-wait", is_flag=True, help="Fail if another run is building the same (LLORCH_NO_WAIT).")
@no_cache_option
@dry_run_option
def make(backend: str | None, no_wait: bool) -> int:
    """Have a binary: of one backend, or of all that it has. If nothing has changed, cargo is not called."""
    from llorch import dodo, engine, overview
    from llorch.commands import finish

    chosen = _choose(str(click.get_current_context().info_name), backend)
    if no_wait:
        os.environ["LLORCH_NO_WAIT"] = "1"
    namespace = overview.load_namespace(session().workspace, vars(dodo))
    return finish(engine.run(namespace, [plan.task for plan in chosen], jobs=0))


@click.command("list", cls=Command, looks=True, example="llorch build list")
def list_builds() -> None:
    """Show each binary: up-to-date, out-of-date, not-built, or not-in-workspace; its size, and when it was built."""
    rows = [_row(plan) for plan in _plans().values()]
    session().state.close()
    if not rows:
        ui.tell("no builds here: there is no Cargo.toml, and no `[build.NAME]` in llorch.toml")
    if ui.mode.json:
        ui.emit_json({"builds": rows})
        return
    cells = [
        [
            row["task"],
            row["state"],
            "" if row["size"] is None else ui.bytes_text(row["size"]),
            _age(time.time() - datetime.fromisoformat(row["built_at"]).timestamp()) if row["built_at"] else "",
            row["path"],
        ]
        for row in rows
    ]
    ui.table(["task", "state", "size>", "age>", "path"], cells)


@click.command(cls=Command, example="llorch build clean worker cpu\nllorch build clean --dry-run")
@click.argument("name", metavar="[NAME]", required=False)
@click.argument("backend", metavar="[BACKEND]", required=False)
@yes_option
@dry_run_option
def clean(name: str | None, backend: str | None) -> None:
    """Remove what cargo has built, by `cargo clean`, after asking: the whole target folder, or a package of it.

    With a NAME it is that package, in the profile that it is built in, and other backends of it are gone too.
    """
    from llorch.build import binary
    from llorch.progress import Silent

    run = session()
    chosen = _choose(name, backend) if name else list(_plans().values())
    there = [plan for plan in chosen if plan.manifest.is_file()]
    if name and not there:
        require_folder(chosen[0].manifest, run.workspace.name(chosen[0].manifest), chosen[0].task)
    built = [plan for plan in there if run.workspace.path(plan.target_folder).is_dir()]
    what = {
        (plan.target_folder, binary.package_of(plan, session().workspace) if name else None): plan for plan in built
    }
    texts = [f"{package} in {folder}" if package else folder for folder, package in what]
    dry = is_on("LLORCH_DRY_RUN")
    if what and not dry:
        ui.confirm("Remove it?", f"this removes what cargo has built: {', '.join(texts)}")
        for (_, package), plan in what.items():
            binary.clean(plan, package, Silent())
    if ui.mode.json:
        cleaned = [{"folder": folder, "package": package} for folder, package in what]
        ui.emit_json({"dry_run": dry, "cleaned": cleaned})
        return
    for text in texts:
        ui.emit(f"{'would remove' if dry else 'removed'} {text}")
    if not what:
        ui.tell("nothing is built here yet")


def _age(seconds: float) -> str:
    """Return for people how long ago something was.

    >>> _age(0.5), _age(61), _age(50 * 3600)
    ('0 s', '1 min', '2 d')
    """
    units = (("d", 86400), ("h", 3600), ("min", 60))
    return next((f"{seconds / size:.0f} {unit}" for unit, size in units if seconds >= size), f"{seconds:.0f} s")


def _plans() -> dict[str, Plan]:
    run = session()
    return plan_builds(run.settings, run.workspace)


def _choose(name: str, backend: str | None) -> list[Plan]:
    plans = list(_plans().values())
    chosen = [plan for plan in plans if plan.name == name]
    if not chosen and name in DEFAULTS:
        require_folder(session().workspace.path(DEFAULTS[name].manifest), DEFAULTS[name].manifest, f"build:{name}")
    if not chosen:
        hint = " or ".join(f"`{line}`" for line in _meant(name, plans)) or "`llorch build list` shows them"
        raise UnknownName("build", name, list({plan.name: plan for plan in plans}), hint=hint)
    if backend is None:
        return chosen
    found = [plan for plan in chosen if plan.backend == backend]
    if not found:
        known = [plan.backend for plan in chosen if plan.backend]
        hint = f"{name} is built for {', '.join(known)}" if known else f"{name} has no backends"
        raise UnknownName("backend", backend, known, hint=hint)
    return found


def _meant(name: str, plans: list[Plan]) -> list[str]:
    """Return the lines, three at most, that build what a backend, a task, a binary or a package is called."""
    lines = {}
    for plan in plans:
        if name == plan.package:
            lines[f"llorch build {plan.name}"] = plan
        elif name in (plan.backend, plan.bin, plan.task.removeprefix("build:")):
            lines[f"llorch build {plan.name} {plan.backend}".rstrip()] = plan
    return [*lines][:3]


def _row(plan: Plan) -> dict[str, Any]:
    run = session()
    row: dict[str, Any] = {"task": plan.task, "path": plan.target, "state": "not-built"}
    row |= {"size": None, "sha256": None, "built_at": None}
    if not plan.manifest.is_file():
        return {**row, "state": "not-in-workspace"}
    place = run.workspace.path(plan.target)
    if place.is_file():
        status = place.stat()
        built_at = datetime.fromtimestamp(int(status.st_mtime), UTC).isoformat()
        row |= {"size": status.st_size, "sha256": run.state.digest(plan.target), "built_at": built_at}
        recipe = plan.recipe(run.settings.cargo.rustc_wrapper, run.state.record(plan.task))
        fresh = not run.state.reasons(recipe)
        row["state"] = "up-to-date" if fresh else "out-of-date"
    return row
