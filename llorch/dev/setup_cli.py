"""`llorch dev setup`."""

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import click

from llorch import ui
from llorch.cli import Command, dry_run_option, yes_option
from llorch.config import Settings, Workspace, find_workspace, load_settings
from llorch.dev.extras import missing_extras
from llorch.dev.init import NAMES, Step, is_new, write_files
from llorch.dev.init_cli import files_json, plan, tell_files
from llorch.dev.setup import choose_fitting, recommend
from llorch.errors import LlorchError, Refused
from llorch.session import session
from llorch.switches import is_on
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.models.catalog import Model
    from llorch.reporter import Result

Choice = Literal["none", "recommended", "all"]


@click.command(cls=Command, example="llorch dev setup\nllorch dev setup --models none --yes")
@click.option(
    "--models",
    "choice",
    type=click.Choice(("none", "recommended", "all")),
    help="Which models to have. Without it, those that are recommended, after asking.",
)
@yes_option
@dry_run_option
def setup(choice: Choice | None) -> int:
    """Make a new clone ready: the workspace's files, submodules, models; then tell what doctor finds.

    Recommended are the models that the test suites need, else a small one. It asks before it makes files, and before it
    downloads models. What is there already is left as it is, so it may be run again at any time.
    """
    workspace = find_workspace()
    dry = is_on("LLORCH_DRY_RUN")
    wanted = _wanted(workspace, choice or "recommended")
    steps = plan(workspace.root).steps if is_new(workspace.root) else ()
    absent = {id: size for id, size in wanted.items() if size is not None and choice is None}
    if not dry and not ui.mode.yes:
        makes, downloads = _ask(workspace, bool(steps), absent)
        steps = steps if makes else ()
        wanted = wanted if downloads else {id: size for id, size in wanted.items() if id not in absent}
    if steps and not dry:
        write_files(workspace.root, steps)
    if steps and not ui.mode.json:
        tell_files(steps, dry=dry)
    return _finish(_run([*wanted]), steps, dry=dry)


def _wanted(workspace: Workspace, choice: Choice) -> dict[str, int | None]:
    """Return the models to have, by the bytes that are still to come as far as known; None where it is all there.

    Raises:
        ConfigError: the configuration is wrong.
    """
    from llorch.models.catalog import load_models
    from llorch.test.plan import plan_suites

    settings = load_settings(workspace)
    every = load_models(workspace, settings)
    sizes = {id: _still_to_come(model, workspace) for id, model in every.items()}
    if choice == "none":
        return {}
    if choice == "all":
        return sizes
    needs = [need for suite in plan_suites(settings, workspace).values() for need in suite.settings.needs]
    whole = {id: sum(file.size or 0 for file in model.entry.files) for id, model in every.items()}
    wanted = {id: sizes[id] for id in recommend(needs, whole)}
    fitting = choose_fitting({id: size or 0 for id, size in wanted.items()}, _free(workspace, settings))
    for id, size in wanted.items():
        if id not in fitting:
            ui.warn(f"`{id}` takes {ui.bytes_text(size or 0)} more, which the disk does not have: it is left out")
    return {id: wanted[id] for id in fitting}


def _still_to_come(model: "Model", workspace: Workspace) -> int | None:
    """Return the bytes of a model's files that are not there, None if all are, and all that is made of them."""
    from llorch.models.space import outstanding

    sizes = {workspace.path(model.path(file)): file.size for file in model.entry.files}
    absent = {
        place: size or 0
        for place, size in sizes.items()
        if not place.is_file() or size not in (None, place.stat().st_size)
    }
    made = all(workspace.path(path).is_file() for path in model.made)
    return outstanding(absent) if absent or not made else None


def _free(workspace: Workspace, settings: Settings) -> int:
    folder = workspace.path(settings.paths.models)
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.is_dir())).free


def _ask(workspace: Workspace, new: bool, absent: Mapping[str, int]) -> tuple[bool, bool]:
    """Return whether files may be made, and models be downloaded.

    Raises:
        Refused: there is something to ask, and nobody to be asked.
    """
    *most, last = NAMES
    files = f"{', '.join(most)} and {last} in {shown(str(workspace.root))}"
    models = ", ".join(f"{id} ({ui.bytes_text(size) if size else 'size unknown'})" for id, size in absent.items())
    if not ui.can_ask() and (new or absent):
        doing = [f"makes {files}"] * new + [f"downloads {models}"] * bool(absent)
        hint = "`--yes` agrees to it" + ("; `--models none` downloads nothing" if absent else "")
        raise Refused(f"this {' and '.join(doing)}, and nobody can be asked here", hint=hint)
    return new and ui.agrees(f"Make {files}?"), bool(absent) and ui.agrees(f"Download {models}?")


def _run(ids: Sequence[str]) -> "list[Result]":
    """Run the tasks that make the clone ready."""
    from llorch import dodo, engine, overview
    from llorch.dev.tasks import EXTRAS
    from llorch.git.tasks import CLONE

    names = [EXTRAS] if missing_extras(session().settings) else []
    names += [CLONE] if _has_submodules() else []
    names += [f"models:{id}" for id in ids]
    return engine.run(overview.load_namespace(session().workspace, vars(dodo)), names, jobs=4)


def _has_submodules() -> bool:
    from llorch.git.repo import find_repo

    try:
        return (find_repo(session().workspace.root).root / ".gitmodules").is_file()
    except LlorchError:  # there is no repository
        return False


def _finish(results: "Sequence[Result]", steps: Sequence[Step], *, dry: bool) -> int:
    """Tell what the tasks came to, and what doctor finds, and return the first failure's exit code."""
    from llorch.dev.doctor import examine, is_well
    from llorch.dev.doctor_cli import show_findings

    findings = examine(find_workspace())
    failed = next((result.error for result in results if result.error is not None), None)
    if ui.mode.json:
        tasks = [result.as_json(session().state) for result in results]
        ok = failed is None and is_well(findings)
        code = show_findings(findings, ok=ok, dry_run=dry, files=files_json(steps), tasks=tasks)
    else:
        code = show_findings(findings)
    return failed.exit_code if failed is not None else code
