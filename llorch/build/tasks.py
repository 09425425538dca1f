"""The tasks of builds: `build:NAME-BACKEND`, or `build:NAME`, which is all of its backends."""

import functools
from collections.abc import Iterator
from typing import Any

from llorch import ui
from llorch.build.plan import Plan, plan_builds
from llorch.engine import creator, file_task
from llorch.progress import Progress
from llorch.session import Done, Ready, Session, session
from llorch.share import Share
from llorch.state import Recipe


@functools.cache
def plans() -> dict[str, Plan]:
    """Return the binaries of the session's workspace, by their tasks.

    Raises:
        ConfigError: the configuration is wrong.
    """
    run = session()
    return plan_builds(run.settings, run.workspace)


@creator
def task_build(run: Session) -> Iterator[dict[str, Any]]:
    """Build binaries with cargo"""
    groups: dict[str, list[Plan]] = {}
    for plan in plans().values():
        wrapper = run.settings.cargo.rustc_wrapper
        recipe = plan.recipe(wrapper, run.state.record(plan.task))
        # Where it cannot be built no store is asked for it either: that it is not there is all there is to say.
        share = functools.partial(_share, plan, recipe) if plan.manifest.is_file() else None
        doc = f"Build {plan.bin}"
        meta = {"ready": Ready(_ready, plan)}
        yield _member(plan, file_task(recipe, functools.partial(_build, plan, recipe), doc, share=share, meta=meta))
        if plan.backend:
            groups.setdefault(plan.name, []).append(plan)
    for name, members in groups.items():
        doc = f"Build {name} for each backend"
        task_dep = [plan.task for plan in members]
        yield _member(
            members[0], {"basename": "build", "name": name, "actions": None, "task_dep": task_dep, "doc": doc}
        )


def _member(plan: Plan, task: dict[str, Any]) -> dict[str, Any]:
    """Leave a binary that nobody has declared, and that is not there, out of the group `build`."""
    if plan.declared or plan.manifest.is_file():
        return task
    task["basename"] = f"build:{task.pop('name')}"
    return task


def _build(plan: Plan, recipe: Recipe, progress: Progress) -> Done:
    from llorch.build import binary  # only a build needs it
    from llorch.build.share import cards, noted

    run = session()
    progress.say("looking for the tools")
    tools = binary.look_for_tools(plan, run.workspace, run.state, run.settings.cargo.rustc_wrapper)
    if tools.wrapper.flaw:
        run.board.warn(f"`{run.settings.cargo.rustc_wrapper}` is left out: {tools.wrapper.flaw}")
    gpus = cards(plan)
    built = binary.build(plan, recipe, tools, run.workspace, run.state, progress)
    size = run.workspace.path(plan.target).stat().st_size
    parts = [plan.target, ui.bytes_text(size)]
    parts += [f"{built.warnings} warning{'s' if built.warnings > 1 else ''}"] if built.warnings else []
    if built.hits is not None:
        hits, misses = built.hits
        parts += [f"sccache had {hits} of {hits + misses}"] if hits + misses else []
    values = {"started": str(built.started)}
    if tools.identity is not None:
        exact, sysroot, shim = tools.identity
        values |= noted(exact, str(sysroot), run.state.digest(shim) if shim else "", built.bound, gpus)
    return Done(", ".join(parts), values=values, inputs=built.inputs)


def _share(plan: Plan, recipe: Recipe) -> Share:
    from llorch.build.share import BinaryShare  # like the build itself

    run = session()
    return BinaryShare(plan, recipe, run.settings.cargo.rustc_wrapper, run.workspace, run.state)


def _ready(plan: Plan) -> tuple[str, ...]:
    """Return what to tell whoever asked for the binary."""
    return f"ready:  {plan.target}", f"sha256: {session().state.known(plan.target)}"
