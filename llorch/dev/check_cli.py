"""`llorch dev check`: all that is wrong with the workspace's files, said at once."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import click

from llorch import ui
from llorch.cargo import count
from llorch.cli import Command
from llorch.config import find_workspace
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.dev.check import Report
    from llorch.errors import Problem


@click.command(cls=Command, looks=True, example="llorch dev check\nLLORCH_OFFLINE=1 llorch dev check --json")
def check() -> int:
    """Say all that is wrong with the configuration at once: each mistake with its file, line and key.

    Looks at llorch.toml, the catalog, hosts.toml and your own files; at what they name, such as manifests, tasks,
    hosts and keys; at what the Hub has of the catalog's models; and at what is left over. Nothing is changed.

    Exits with 1 if something is wrong. Warnings alone are no failure.
    """
    from llorch.dev import check as rules

    report = rules.check(find_workspace(), _task_names)
    if ui.mode.json:
        ui.emit_json(
            {
                "ok": report.ok,
                "problems": [problem._asdict() for problem in report.problems],
                "files": list(report.files),
                **report.counts,
                "skipped": [skipped._asdict() for skipped in report.skipped],
            }
        )
    else:
        _show(report)
    return 0 if report.ok else 1


def _task_names() -> Collection[str]:
    """Return the names of all tasks, those of a user's dodo.py among them."""
    from llorch import dodo, overview
    from llorch.session import session

    return overview.load_names(overview.load_namespace(session().workspace, vars(dodo)))


def _show(report: "Report") -> None:
    for problem in report.problems:
        ui.emit(_line(problem))
        if problem.hint:
            ui.emit(f"    hint: {shown(problem.hint)}")
    for skipped in report.skipped:
        ui.tell(f"{skipped.what}: not checked, {shown(skipped.why)}")
    errors = sum(problem.severity == "error" for problem in report.problems)
    warnings = len(report.problems) - errors
    ui.tell(f"checked {shown(', '.join(report.files))}: {counted(report.counts)}")
    if errors or warnings:
        ui.tell(f"{count(errors, 'error')}, {count(warnings, 'warning')}")
    else:
        ui.tell("nothing is wrong")


def _line(problem: "Problem") -> str:
    place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
    word = ui.style("error", "bad") if problem.severity == "error" else ui.style("warning", "note")
    key = f"{problem.key}: " if problem.key else ""
    return f"{ui.style(place, 'bold')}: {word}: {key}{shown(problem.message)}"


def counted(counts: Mapping[str, int]) -> str:
    """Return how many there are of each kind.

    >>> counted({"models": 12, "hosts": 0, "builds": 1, "suites": 2})
    '12 models, 0 hosts, 1 binary, 2 test suites'
    """
    words = {"models": "model", "hosts": "host", "builds": "binary", "suites": "test suite"}
    return ", ".join(count(number, words[kind]).replace("binarys", "binaries") for kind, number in counts.items())
