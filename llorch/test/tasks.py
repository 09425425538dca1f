"""The tasks of tests: `test:NAME`, and `test:all`. They run each time; what they need is made first."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llorch import ui
from llorch.engine import Action, creator
from llorch.errors import TaskFailure
from llorch.progress import Progress
from llorch.session import Done, Session, session
from llorch.test.plan import ALL, Suite, plan_suites


def creator_of(backend: str = "", filters: Sequence[str] = ()) -> Callable[[], Any]:
    """Return the creator of all suites' tasks, on a backend and with filters."""

    @creator
    def task_test(run: Session) -> Iterator[dict[str, Any]]:
        """Run test suites"""
        suites = plan_suites(run.settings, run.workspace)
        there = [suite for suite in suites.values() if suite.declared or suite.is_there]
        for suite in suites.values():
            doc = f"Run the test suite {suite.name}"
            task = {
                "basename": "test",
                "name": suite.name,
                "actions": [Action(functools.partial(_run, suite, backend, filters), doc=doc)],
                "task_dep": list(suite.settings.needs),
                "doc": doc,
            }
            if suite not in there:
                task["basename"] = f"test:{task.pop('name')}"
            yield task
        every = [suite.task for suite in there or suites.values()]
        if every:
            yield {"basename": "test", "name": ALL, "actions": None, "task_dep": every, "doc": "Run every test suite"}

    return task_test


task_test = creator_of()


def _run(suite: Suite, backend: str, filters: Sequence[str], progress: Progress) -> Done:
    from llorch.test.perform import MODEL, run_suite  # only a run needs it

    run = session()
    models = [run.products[need] for need in suite.settings.needs if need in run.products]
    environ = {MODEL: str(run.workspace.path(models[0]))} if models else {}
    on_line = run.board.print if ui.mode.verbose else _nobody
    chosen = suite.backend(backend if suite.settings.backends else "")  # of all suites, some may have none
    result = run_suite(suite, chosen, filters, run.workspace.root, environ, progress, on_line)
    run.products[suite.task] = result
    if result.failed:
        raise TaskFailure(result.report, hint=f"`llorch test {suite.name} -v` shows all that it writes")
    return Done(result.summary)


def _nobody(line: str) -> None:
    """Drop a line."""
