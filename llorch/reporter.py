"""What a run tells: the same at both doors, a line per task that did something, and what it comes to."""

import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from doit.action import BaseAction
from doit.exceptions import BaseFail, TaskFailed, UnmetDependency

from llorch import shell, ui
from llorch.errors import INTERRUPTED, LlorchError, TaskFailure
from llorch.log import begin
from llorch.session import Done, session
from llorch.signals import terminated, uninterrupted
from llorch.state import State
from llorch.switches import is_on

Outcome = Literal["done", "up-to-date", "restored", "failed", "skipped"]


class Failed(TaskFailed):  # type: ignore[misc]  # doit has no types
    """A task's failure that carries our error."""

    def __init__(self, error: LlorchError) -> None:
        super().__init__(error.message)
        self.error = error


class Rehearsal(BaseAction):  # type: ignore[misc]  # doit has no types
    """Stands for a task's actions in a dry run: says that the task would run, and does nothing."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.out = self.err = self.result = None
        self.values: dict[str, Any] = {}
        self.done = Done("would run" + (f": {task.doc}" if task.doc else ""))

    def execute(self, out: object = None, err: object = None) -> None:
        """Do nothing."""


class Result(NamedTuple):
    """How one task of a run ended."""

    name: str
    outcome: Outcome
    seconds: float
    targets: tuple[str, ...]
    error: LlorchError | None = None

    def as_json(self, state: State) -> dict[str, Any]:
        """Return the task's part of the JSON document; a target that is not there has no size and no digest."""
        targets: list[dict[str, Any]] = []
        for path in self.targets:
            try:
                size, sha256 = os.stat(state.absolute(path)).st_size, state.known(path)
                targets.append({"path": path, "size": size, "sha256": sha256})
            except FileNotFoundError:
                targets.append({"path": path, "size": None, "sha256": None})
        return {
            "name": self.name,
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "targets": targets,
            "error": None if self.error is None else self.error.as_json(),
        }


TIDYING = 1.0
"""Seconds that tasks have to take away what they have half done, when the user ends a run."""


class Reporter:
    """doit's reporter."""

    desc = "llorch's own"

    def __init__(self, outstream: Any, options: Mapping[str, Any]) -> None:
        self._raised = bool(options.get("raised"))
        """Whether `errors` are raised by whoever runs the tasks, and told there."""
        self.results: list[Result] = []
        self._failed: set[str] = set()
        self.errors: list[str] = []
        self._started: dict[str, float] = {}
        self._rehearsed: set[str] = set()
        self._begun = time.monotonic()
        self._selected: list[str] = []
        self._tasks: Mapping[str, Any] = {}
        self._signals: Any = None
        self._hook = sys.excepthook
        self._width = 0
        self._has_log = False
        """Whether the log begins and ends with these tasks, as it does for plain doit."""

    def initialize(self, tasks: Mapping[str, Any], selected_tasks: list[str]) -> None:
        """Take the tasks before any of them runs."""
        self._tasks, self._selected = tasks, selected_tasks
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - closed; as long as the process
        if not selected_tasks:
            render_list(tasks)
        else:
            program = os.path.basename(sys.argv[0]).replace("__main__.py", "llorch")
            self._has_log = begin(session().workspace, [program, *sys.argv[1:]], makes=True)
        self._width = session().board.width = max(map(len, closure(tasks, selected_tasks)), default=0)
        if threading.current_thread() is threading.main_thread():
            self._signals = terminated()
            self._signals.__enter__()
            sys.excepthook = self._interrupted

    def get_status(self, task: Any) -> None:
        """Note that doit looks whether the task is up to date; in a dry run, take its actions away before."""
        if is_on("LLORCH_DRY_RUN"):
            task.actions[:] = [Rehearsal(task)] if task.actions else []
            task.teardown.clear()
            task.getargs = {}
            if not self._rehearsed.isdisjoint(task.file_dep):
                task.uptodate = [(False, [], {})]  # it needs what another task would have made
        self._started[task.name] = time.monotonic()

    def execute_task(self, task: Any) -> None:
        """Note that a task begins."""
        self._started[task.name] = time.monotonic()
        if ui.log is not None and task.actions:
            ui.log.event("info", "task-begins", name=task.name)

    def add_success(self, task: Any) -> None:
        """Tell that a task ended well."""
        if not task.actions:
            return
        action = task.actions[-1]
        done = getattr(action, "done", Done())
        if isinstance(action, Rehearsal):
            self._rehearsed.update(task.targets)
        outcome: Outcome = "restored" if done.restored else "done" if done.made else "up-to-date"
        if isinstance(action, Rehearsal):
            outcome = "skipped"
        self._add(task, outcome, done.detail)

    def skip_uptodate(self, task: Any) -> None:
        """Note that there was nothing to do."""
        self._add(task, "up-to-date", "")

    def skip_ignore(self, task: Any) -> None:
        """Tell that a task was left out because the user said so."""
        self._add(task, "skipped", "ignored; `doit forget` ends that")

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        """Tell that a task failed, and why."""
        if isinstance(fail, Failed):
            error = fail.error
        elif isinstance(fail, UnmetDependency):
            if task.actions:
                self._add(task, "skipped", self._unmet(fail.message.split()))
            return
        else:
            error = TaskFailure(fail.get_msg().strip().removeprefix("ERROR: "))
        self._add(task, "failed", "", error)
        # What was shown as it came is not shown again.
        hidden = [action.err for action in task.actions if task.verbosity < 1]
        hidden += [action.out for action in task.actions if task.verbosity < 2]
        captured = "".join(text for text in hidden if text)
        if not ui.mode.json:
            board = session().board
            board.print(ui.style("error:", "bad", sys.stderr) + f" {error.message}")
            for text in (captured.rstrip(), f"hint: {error.hint}" if error.hint else ""):
                if text:
                    board.print(text)

    def _unmet(self, needs: Sequence[str]) -> str:
        failed = self._failed.intersection(needs)
        named = ", ".join(name for name in needs if not failed or name in failed)
        return f"needs {named}, which {'failed' if failed else 'was not made'}"

    def cleanup_error(self, exception: BaseFail) -> None:
        """Tell of a failed teardown."""
        ui.warn(exception.get_msg())

    def runtime_error(self, msg: str) -> None:
        """Keep an error of doit's own for the end."""
        self.errors.append(msg)

    def teardown_task(self, task: Any) -> None:
        """Do nothing: a task's teardown begins."""

    def complete_run(self) -> None:
        """End what is still running, and say what the run comes to."""
        interrupted = sys.exc_info()[0] is not None
        try:
            with uninterrupted():  # or a second Ctrl-C would leave some of it running
                self._end_all(interrupted)
            self._tell(interrupted)
        finally:
            if self._signals is not None:
                self._signals.__exit__()

    def _end_all(self, interrupted: bool) -> None:
        run = session()
        if interrupted:
            run.cancelled.set()
            shell.stop()
            run.board.wait(TIDYING)
        else:
            shell.end_all()
        run.board.close()

    def _tell(self, interrupted: bool) -> None:
        for message in self.errors:
            if self._has_log and ui.log is not None:
                ui.log.event("error", "error", text=message)
            if not self._raised:
                ui.print_err(message)
        if self._selected and not interrupted and not self.errors:
            self._sum_up()
        if self._has_log and ui.log is not None:
            failed = any(result.outcome == "failed" for result in self.results)
            ui.log.end(INTERRUPTED if interrupted else 2 if self.errors else int(failed))

    def _sum_up(self) -> None:
        counts = {outcome: sum(result.outcome == outcome for result in self.results) for outcome in _WORDS}
        if ui.log is not None:
            ui.log.event("info", "tasks", **{outcome: count or None for outcome, count in counts.items()})
        if counts["up-to-date"] == len(self.results):
            verb = "are" if len(self._selected) > 1 else "is"
            ui.tell(f"nothing to do: {', '.join(self._selected[:3])}{_more(self._selected, 3)} {verb} up to date")
            return
        parts = [f"{count} {_WORDS[outcome]}" for outcome, count in counts.items() if count]
        ui.tell(f"{', '.join(parts)} in {ui.seconds_text(time.monotonic() - self._begun)}")
        if counts["done"] + counts["restored"] and not counts["failed"]:
            for name in self._selected:
                for text in (self._tasks[name].meta or {}).get("ready", tuple)():
                    ui.tell(text)

    def _add(self, task: Any, outcome: Outcome, detail: str, error: LlorchError | None = None) -> None:
        seconds = time.monotonic() - self._started.get(task.name, time.monotonic())
        self.results.append(Result(task.name, outcome, seconds, tuple(task.targets), error))
        if outcome == "failed":
            self._failed.add(task.name)
        if ui.log is not None and (task.actions or outcome == "failed"):
            self._log(self.results[-1], detail)
        if (outcome == "up-to-date" and not detail and not ui.mode.verbose) or ui.mode.json or ui.mode.quiet:
            return
        style: ui.Style = "bad" if outcome == "failed" else "good" if outcome in _MADE else "dim"
        word = ui.style(f"{_WORDS[outcome]:<11}", style, sys.stderr)
        took = f"  {ui.seconds_text(seconds)}" if outcome in _MADE else ""
        session().board.print(f"{task.name:<{self._width}}  {word} {detail}{took}".rstrip())

    def _log(self, result: Result, detail: str) -> None:
        assert ui.log is not None, "asked before"
        level = "error" if result.error else "debug" if result.outcome == "up-to-date" and not detail else "info"
        text = detail if result.error is None else result.error.message
        code = None if result.error is None else result.error.code
        ui.log.event(
            level, "task", name=result.name, outcome=result.outcome, seconds=result.seconds, code=code, text=text
        )

    def _interrupted(self, kind: type[BaseException], error: BaseException, at: Any) -> None:
        """Spare the user who pressed Ctrl-C a traceback."""
        if issubclass(kind, KeyboardInterrupt):
            ui.print_err("interrupted")
        else:
            self._hook(kind, error, at)


_MADE: tuple[Outcome, ...] = ("done", "restored")
_WORDS: Mapping[Outcome, str] = {
    "done": "done",
    "restored": "restored",
    "up-to-date": "up to date",
    "skipped": "skipped",
    "failed": "failed",
}


def closure(tasks: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """Return the names and all that they depend on."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name in tasks:
            found.add(name)
            waiting += [*tasks[name].task_dep, *tasks[name].setup_tasks]
    return found


def _more(items: Sequence[object], shown: int) -> str:
    return f" and {len(items) - shown} more" if len(items) > shown else ""


_ORDER = ("models", "fetch", "verify", "convert", "quantize", "build", "test", "git", "remote", "dev", "cache", "tool")


def in_order(names: Iterable[str]) -> list[str]:
    """Return tasks by their rooms, a user's own first; doit goes by the lines that creators stand in, in any file.

    >>> in_order(["tool", "models", "models:a", "mine", "build"])
    ['mine', 'models', 'models:a', 'build', 'tool']
    """
    ranks = {room: rank for rank, room in enumerate(_ORDER)}
    return sorted(names, key=lambda name: ranks.get(name.partition(":")[0], -1))


def render_list(tasks: Mapping[str, Any]) -> None:
    """Write what tasks there are, groups and plain actions, each with what it does."""
    chosen = (tasks[name] for name in in_order(tasks) if not tasks[name].subtask_of)
    ui.table(["task", "what it does"], [[task.name, task.doc or ""] for task in chosen])
    ui.tell("run one with `doit TASK`; `doit list --all` shows the members of groups too")
