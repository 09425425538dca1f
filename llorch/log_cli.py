"""`llorch log`: what runs have done."""

import sys
from collections.abc import Iterable, Sequence

import click

from llorch import runs, ui
from llorch.cli import Command
from llorch.errors import UnknownName
from llorch.runs import Run
from llorch.text import shown
from llorch.workspace import find_workspace

STYLES: "dict[str, ui.Style]" = {"debug": "dim", "warning": "note", "error": "bad"}


@click.command(cls=Command, looks=True, example="llorch log\nllorch log -f\nllorch log --list")
@click.argument("number", metavar="[NUMBER]", type=click.IntRange(min=1), required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what the run under way writes, until it ends.")
@click.option("--list", "every", is_flag=True, help="List the runs that have left a log, with their numbers.")
def log(number: int | None, follow: bool, every: bool) -> None:
    """Show what the last run has done, or an earlier one by its number: programs, tasks, warnings, errors, and its end.

    LLORCH_LOG_LEVEL says what runs write: debug, which has what programs say, info, warning, error or off.
    """
    if follow and (every or number is not None or ui.mode.json):
        raise click.UsageError("`--follow` is of the run under way, line by line", click.get_current_context())
    workspace = find_workspace()
    known = runs.load_runs(workspace)[::-1]
    if not known:
        ui.tell("no run has left a log here yet")
    if every:
        _list(known)
        return
    if number is not None and number > len(known):
        raise UnknownName("run", str(number), (), hint="`llorch log --list` shows them")
    under_way = [run for run in known if run.state == "running"]
    chosen = (under_way if follow and under_way else known[(number or 1) - 1 :])[:1]
    if ui.mode.json:
        events = [event for run in chosen for event in map(runs.parse_event, runs.read(workspace, run)) if event]
        run_json = chosen[0]._asdict() if chosen else None
        ui.emit_json({"run": run_json, "events": [event.as_json() for event in events]})
        return
    for run in chosen:
        _show(runs.follow(workspace, run) if follow else runs.read(workspace, run))


def _show(lines: Iterable[str]) -> None:
    """Write lines as they come, for whoever reads them in a pipe too."""
    for line in lines:
        event = runs.parse_event(line)
        style = STYLES.get(event.level) if event is not None else None
        ui.emit(ui.style(shown(line), style) if style else shown(line))
        sys.stdout.flush()


def _list(known: Sequence[Run]) -> None:
    if ui.mode.json:
        ui.emit_json({"runs": [run._asdict() for run in known]})
        return
    rows = []
    for number, run in [*enumerate(known, 1)][::-1]:
        end = run.state if run.exit is None else f"exit {run.exit}"
        took = "" if run.seconds is None else ui.seconds_text(run.seconds)
        rows.append([str(number), f"{run.began[:19]}Z", end, took, shown(run.command)])
    ui.table(["run>", "began", "ended", "took>", "command"], rows)
