"""What a run says: by line, in sum, in JSON, quietly and at length."""

import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doit import create_after

from llorch import engine, shell, ui
from llorch.engine import Action, file_task
from llorch.errors import Refused, TaskFailure
from llorch.progress import Progress
from llorch.reporter import Reporter, Result, closure
from llorch.session import Done, session
from llorch.state import Recipe, Target
from tests.conftest import forget_session, program, sha256, write_dodo


class Stub:
    """A task as far as a reporter and `closure` look at one."""

    def __init__(self, *needs: str, setup: tuple[str, ...] = ()) -> None:
        self.task_dep = needs
        self.setup_tasks = setup


def refuse(progress: Progress) -> Done:
    """Fail as a rule does."""
    raise Refused("not this", hint="do that")


def write(progress: Progress) -> Done:
    """Make `out`."""
    Path("out").write_bytes(b"out")
    return Done("3 B")


def run(**options: bool) -> list[Result]:
    """Run tasks that do, fail, are fresh and need what failed, talking as the options say."""
    forget_session()
    for name, value in options.items():
        setattr(ui.mode, name, value)

    def task_all() -> Iterator[dict[str, Any]]:
        yield file_task(Recipe("all:make", (Target("out"),)), write, "Make it")
        yield {"name": "bad", "actions": [Action(refuse)]}
        yield {"name": "needs", "actions": [Action(write)], "task_dep": ["all:bad"]}
        yield {"name": "both", "actions": [Action(write)], "task_dep": ["all:bad", "all:needs"]}
        yield {"name": "last", "actions": [Action(write)], "task_dep": ["all:needs"]}
        yield {"name": "lost", "actions": ["true"], "file_dep": ["nowhere"]}

    return engine.run({"task_all": task_all}, ["all"], jobs=0)


LOST = "Task 'all:lost' checking dependencies: Dependent file 'nowhere' does not exist."


@pytest.mark.parametrize(
    ("option", "lines"),
    [
        (
            None,
            [
                "all:make   done        3 B  0.0 s",
                "all:bad    failed",
                "error: not this",
                "hint: do that",
                "all:needs  skipped     needs all:bad, which failed",
                "all:both   skipped     needs all:bad, which failed",
                "all:last   skipped     needs all:needs, which was not made",
                "all:lost   failed",
                f"error: {LOST}",
                "1 done, 3 skipped, 2 failed in 0.0 s",
            ],
        ),
        ("quiet", ["error: not this", "hint: do that", f"error: {LOST}"]),
        ("json", []),
    ],
)
def test_a_run_is_told(
    workspace: Path, capsys: pytest.CaptureFixture[str], option: str | None, lines: list[str]
) -> None:
    """Each task that did something has a line, a failure its hint, and the run its sum; nothing goes to stdout."""
    results = run(**({option: True} if option else {}))
    assert [result.outcome for result in results] == ["done", "failed", "skipped", "skipped", "skipped", "failed"]
    out, err = capsys.readouterr()
    assert (out, re.sub(r"\d+\.\d s", "0.0 s", err).splitlines()) == ("", lines)


@pytest.mark.parametrize("verbose", [True, False])
def test_what_is_up_to_date_is_named_on_demand(
    workspace: Path, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    """With `--verbose` a fresh task has a line too; a run with nothing to do says so."""
    namespace = {"task_make": lambda: file_task(Recipe("make", (Target("out"),)), write, "Make it")}
    engine.run(namespace, ["make"], jobs=0)
    forget_session()
    capsys.readouterr()
    ui.mode.verbose = verbose
    assert [result.outcome for result in engine.run(namespace, ["make"], jobs=0)] == ["up-to-date"]
    line = ["make  up to date"] if verbose else []
    assert capsys.readouterr().err.splitlines() == [*line, "nothing to do: make is up to date"]


def test_many_tasks_with_nothing_to_do(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the tasks that were asked for, three are named and the others counted."""
    namespace = {f"task_{name}": lambda: {"actions": [], "uptodate": [True]} for name in "abcde"}
    engine.run(namespace, list("abcde"), jobs=0)
    assert capsys.readouterr().err == "nothing to do: a, b, c and 2 more are up to date\n"


def test_a_run_that_ends_well_says_what_next(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a task that was asked for has to say for the end is said only if nothing failed."""
    ready = {"ready": lambda: ("ready: out",)}
    good = {"actions": [Action(write)], "meta": ready}
    namespace: dict[str, Any] = {"task_good": lambda: dict(good), "task_bad": lambda: {"actions": [Action(refuse)]}}
    engine.run(namespace, ["good"], jobs=0)
    assert capsys.readouterr().err.splitlines()[-1] == "ready: out"
    forget_session()
    engine.run(namespace, ["good", "bad"], jobs=0)
    assert "ready" not in capsys.readouterr().err


def test_results_as_json(workspace: Path) -> None:
    """A result names what was made with size and digest, what is not there without, and its error."""
    Path("out").write_bytes(b"out")
    result = Result("make", "failed", 1.23456, ("out", "gone"), Refused("not this"))
    assert result.as_json(session().state) == {
        "name": "make",
        "outcome": "failed",
        "seconds": 1.235,
        "targets": [
            {"path": "out", "size": 3, "sha256": sha256(b"out")},
            {"path": "gone", "size": None, "sha256": None},
        ],
        "error": {"code": "refused", "message": "not this", "hint": None},
    }
    assert Result("make", "done", 0.0, ()).as_json(session().state)["error"] is None


def test_a_closure_has_all_that_is_needed() -> None:
    """Needs of needs and set-up tasks are in it, once, also in a circle; unknown names are not."""
    tasks = {"a": Stub("b", setup=("s",)), "b": Stub("c", "a"), "c": Stub(), "s": Stub("gone"), "other": Stub()}
    assert closure(tasks, ["a"]) == {"a", "b", "c", "s"}


def test_teardown_runs_and_may_fail(workspace: Path) -> None:
    """A teardown that fails is a warning; the task itself has ended well."""
    write_dodo(
        workspace,
        "def task_x():\n    return {'actions': ['true'], 'teardown': ['echo down', 'exit 5']}\n",
    )
    done = program("doit", "x")
    assert (done.code, done.out) == (0, "down\n")
    assert "warning: ERROR: task 'x' teardown action" in done.err


def test_an_error_of_doit_is_told_at_the_end(workspace: Path) -> None:
    """What doit finds wrong while it runs is a line after what was done, and the code is not 0."""
    more = """
from doit import create_after
def task_first():
    return {"actions": ["true"]}
@create_after(executed="first", creates=["late"])
def task_late():
    return {"actions": 3}
"""
    write_dodo(workspace, more)
    done = program("doit", "late")
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert done.err.splitlines()[0].startswith("first  done")
    assert "Task 'late' attribute 'actions' must be" in done.err.splitlines()[1]


def test_an_error_that_is_raised_is_not_told_before(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever runs tasks for llorch's own commands gets doit's errors, and tells them once."""

    def first() -> dict[str, Any]:
        return {"actions": [Action(write)]}

    def late() -> dict[str, Any]:
        return {"actions": 3}

    after = create_after(executed="first", creates=["late"])
    with pytest.raises(TaskFailure, match="Task 'late' attribute 'actions' must be"):
        engine.run({"task_first": first, "task_late": after(late)}, ["late"], jobs=0)
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["first"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_as_they_were_after_a_run(workspace: Path, number: int) -> None:
    """A run gives back the handlers that it took; in a thread it takes none."""
    before = signal.getsignal(number)
    reporter = Reporter(None, {})
    reporter.initialize({}, ["a"])
    assert signal.getsignal(number) is not before
    reporter.complete_run()
    assert signal.getsignal(number) is before
    thread = threading.Thread(target=Reporter(None, {}).initialize, args=({}, ["a"]))
    thread.start()
    thread.join()
    assert signal.getsignal(number) is before


def test_a_second_request_to_end_waits_for_the_first(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run has started is ended before another signal counts, and the handlers are given back all the same."""
    before = signal.getsignal(signal.SIGTERM)
    ended = []

    def end_all() -> None:
        signal.raise_signal(signal.SIGTERM)
        ended.append("all")

    monkeypatch.setattr(shell, "end_all", end_all)
    reporter = Reporter(None, {})
    reporter.initialize({}, ["a"])
    with pytest.raises(SystemExit) as left:
        reporter.complete_run()
    assert (ended, left.value.code) == (["all"], 143)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_exceptions_keep_their_traceback(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an interrupt is spared its traceback; all else goes to the hook that was there."""
    seen: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, at: seen.append(error))
    reporter = Reporter(None, {})
    reporter.initialize({}, ["a"])
    bug = ValueError("a bug")
    sys.excepthook(ValueError, bug, None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    reporter.complete_run()
    assert seen == [bug]
