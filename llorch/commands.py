"""`llorch list|why|graph|doit`: what goes across the rooms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cli import Command
from llorch.errors import UnknownName
from llorch.graph import FORMATS, Format, render_graph
from llorch.session import session
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.overview import Overview
    from llorch.reporter import Result


@click.command("list", cls=Command, looks=True, example="llorch list\nllorch list fetch:smollm2 --json")
@click.argument("names", metavar="[TASK]...", nargs=-1)
def list_tasks(names: tuple[str, ...]) -> None:
    """List the tasks and which of them are up to date, without reading big files. A group's name lists its members."""
    overview = _overview()
    chosen = overview.members(_known(names, overview)) if names else overview.names()
    rows = [(name, overview.doc(name), overview.state(name), overview.targets(name)) for name in chosen]
    overview.close()
    if ui.mode.json:
        ui.emit_json({"tasks": [dict(zip(("name", "doc", "state", "targets"), row, strict=True)) for row in rows]})
        return
    ui.table(["task", "state", "what it does"], [[shown(name), state, shown(doc)] for name, doc, state, _ in rows])


@click.command(cls=Command, looks=True, example="llorch why models:smollm2")
@click.argument("name", metavar="TASK")
def why(name: str) -> None:
    """Say why a task, or one that it needs, is out of date. Reads what has to be read to be sure."""
    overview = _overview()
    _known((name,), overview)
    reasons = overview.reasons(name)
    restored = overview.restored(name)
    overview.close()
    if ui.mode.json:
        ui.emit_json({"task": name, "fresh": not reasons, "reasons": reasons, "restored": restored})
        return
    if not reasons:
        ui.emit(f"{shown(name)} is up to date")
    for each in restored:
        record = f", record {each['record']}" if each["record"] else ""
        ui.emit(f"{each['task']}: restored from cache{record}, from {each['store']}")
    for reason in reasons:
        ui.emit(shown(f"{reason['task']}: {_sentence(reason)}"))


@click.command(cls=Command, looks=True, example="llorch graph models:smollm2\nllorch graph --format svg > graph.svg")
@click.argument("names", metavar="[TASK]...", nargs=-1)
@click.option("--format", type=click.Choice(FORMATS), default="mermaid", show_default=True, help="What to write.")
def graph(names: tuple[str, ...], format: Format) -> None:
    """Draw which task needs which: all tasks, or the named ones and what they need."""
    overview = _overview()
    edges = overview.edges(_known(names, overview) or overview.names())
    overview.close()
    if ui.mode.json:
        ui.emit_json({"tasks": [{"name": name, "needs": list(needs)} for name, needs in edges.items()]})
        return
    ui.emit(render_graph(edges, format))


@click.command(
    cls=Command,
    looks=True,
    example="llorch doit models:smollm2\nllorch doit list --all",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", metavar="[ARGUMENT]...", nargs=-1, type=click.UNPROCESSED)
def doit(arguments: tuple[str, ...]) -> int:
    """Run plain doit at the workspace's root, from any of its folders; without a dodo.py, with llorch's own tasks."""
    from llorch import dodo, engine

    return engine.run_doit(session().workspace, vars(dodo), arguments)


def finish(results: "Sequence[Result]") -> int:
    """Write the JSON document of a run, if one is asked for, and return the run's exit code."""
    state = session().state
    if ui.mode.json:
        ui.emit_json({"tasks": [result.as_json(state) for result in results]})
    return next((result.error.exit_code for result in results if result.error is not None), 0)


def _overview() -> "Overview":
    from llorch import dodo, overview

    return overview.Overview(overview.load_namespace(session().workspace, vars(dodo)))


def _known(names: Sequence[str], overview: "Overview") -> Sequence[str]:
    for name in names:
        if name not in overview.tasks:
            meant = [task for task in (f"models:{name}", f"build:{name}", f"test:{name}") if task in overview.tasks]
            hint = f"`{meant[0]}` is one; `llorch list` shows all" if meant else "`llorch list` shows them"
            raise UnknownName("task", name, () if meant else list(overview.tasks), hint=hint)
    return names


def _sentence(reason: dict[str, Any]) -> str:
    what, was, now = reason["what"], reason["was"], reason["now"]
    return {
        "never-made": "there is no record that it was made",
        "always": "it runs each time",
        "definition": f"its definition has changed: {what} was {was!r} and is {now!r}",
        "input": f"`{what}` has changed"
        if was and now
        else f"`{what}` is {'new' if now else 'gone' if was else 'not there'}",
        "target": f"`{what}` is not as it was made" if now else f"`{what}` is not there",
        "uptodate": "its own condition says so",
        "unread": f"`{what}` has changed",
    }[reason["kind"]]
