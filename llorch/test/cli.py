"""`llorch test …`."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from llorch import ui
from llorch.cli import Command, no_cache_option
from llorch.errors import DiskFull, LlorchError, NotInWorkspace, UnknownName
from llorch.session import session
from llorch.test.plan import ALL, DEFAULTS, plan_suites


@click.command(
    cls=Command,
    example="llorch test unit --backend cpu\nllorch test all --junit report.xml\nllorch test unit -- parses",
)
@click.argument("name", metavar="SUITE")
@click.option("--backend", default="", metavar="NAME", help="Test this backend; default: a suite's first.")
@click.option("--junit", type=click.Path(resolve_path=True, path_type=Path), help="Write JUnit XML there.")
@click.argument("filters", metavar="[-- FILTER...]", nargs=-1)
@no_cache_option
def test(name: str, backend: str, junit: Path | None, filters: tuple[str, ...]) -> int:
    """Run a test suite, or all: unit, integration, smoke, or what `[test.NAME]` in llorch.toml says.

    What a suite needs is made first. Filters after `--` are the test program's own. Exits with 1 when a test fails, and
    shows which and what it wrote.
    """
    from llorch import dodo, engine, overview
    from llorch.test.tasks import creator_of

    run = session()
    suites = plan_suites(run.settings, run.workspace)
    if not suites or (name in DEFAULTS and name not in suites):
        raise NotInWorkspace(
            f"there is nothing to test as `{name}` in this workspace", hint="declare `[test.NAME]` in llorch.toml"
        )
    backends = {each for suite in suites.values() for each in suite.settings.backends}
    if name != ALL and name not in suites:
        hint = f"`llorch test all --backend {name}` tests it" if name in backends else "`llorch list test` shows them"
        raise UnknownName("test suite", name, [*suites, ALL], hint=hint)
    context = click.get_current_context()
    if filters and filters[0] in backends and "--" not in context.find_root().obj:
        raise click.UsageError(f"`{filters[0]}` is a backend: give it as `--backend {filters[0]}`", context)
    if backend and name != ALL:
        suites[name].backend(backend)
    namespace = overview.load_namespace(run.workspace, vars(dodo))
    namespace["task_test"] = creator_of(backend, filters)
    results = engine.run(namespace, [f"test:{name}"], jobs=0)
    failed = next((result.error for result in results if result.error is not None), None)
    needed = next((each.error for each in results if each.error and not each.name.startswith("test:")), None)
    ended = {each.name: each.error or (needed if each.outcome == "skipped" else None) for each in results}
    tasks = [suite.task for suite in suites.values() if suite.task in ended]
    shown = [run.products[task] for task in tasks if task in run.products]
    if filters and shown and failed is None and not any(result.passed + result.ignored for result in shown):
        ui.warn(f"no test was run: `{shlex.join(filters)}` leaves none")
    if junit is not None:
        _write_junit(junit, tasks, ended)
    if ui.mode.json:
        ui.emit_json({"ok": failed is None, "suites": [_suite(task, ended[task]) for task in tasks]})
    return failed.exit_code if failed is not None else 0


def _suite(task: str, error: LlorchError | None) -> dict[str, Any]:
    """Return a suite's part of the document; one that could not run has nothing but the reason."""
    result = session().products.get(task)
    if result is not None:
        return {**result.as_json(), "error": None}
    nothing = {"passed": 0, "failed": 0, "ignored": 0, "seconds": 0.0, "failures": []}
    return {"name": task.partition(":")[2], **nothing, "error": error.as_json() if error is not None else None}


def _write_junit(path: Path, tasks: Sequence[str], ended: Mapping[str, LlorchError | None]) -> None:
    from llorch.test.junit import render_junit
    from llorch.test.results import never_ran

    results = []
    for task in tasks:
        error = ended[task]
        why = "it did not run" if error is None else error.message
        results.append(session().products.get(task) or never_ran(task.partition(":")[2], why))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_junit(results), encoding="utf-8")
    except OSError as error:
        raise DiskFull(f"`{path}` cannot be written: {error.strerror}") from None
