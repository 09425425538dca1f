"""The tasks of a workspace, loaded for both doors, and looked at without running them."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from doit.dependency import Dependency
from doit.exceptions import InvalidDodoFile, InvalidTask

from llorch.config import Workspace
from llorch.engine import Action, Backend, Checker, Dict, Fresh, own_error
from llorch.errors import ConfigError, LlorchError, Problem
from llorch.reporter import closure, in_order
from llorch.session import session
from llorch.signals import Ended


def load_namespace(workspace: Workspace, builtin: Mapping[str, Any]) -> Dict:
    """Return the task creators of a workspace: llorch's own, and those of a dodo.py that uses llorch's DOIT_CONFIG.

    A dodo.py that keeps its records elsewhere is left to plain `doit`.

    Raises:
        ConfigError: the dodo.py cannot be run.
    """
    namespace = dict(builtin)
    file = workspace.root / "dodo.py"
    if file.is_file():
        found = _run_dodo(file)
        if found.get("DOIT_CONFIG", {}).get("backend") == "llorch":
            namespace.update(found)
    return namespace


def _run_dodo(file: Path) -> Dict:
    from doit.loader import get_module

    try:
        with redirect_stdout(sys.stderr):  # what it prints is talk, and stdout may be read by a program
            return dict(vars(get_module(str(file))))
    except (LlorchError, Ended):
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything; it is shown with its line
        lines = _lines(error, str(file))
        raise _own_failure(error, lines[-1] if lines else getattr(error, "lineno", None)) from None


def _lines(error: BaseException, file: str) -> list[int | None]:
    """Return the lines of a file that an error came through."""
    import traceback

    return [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]


def _own_failure(error: BaseException, line: int | None) -> ConfigError:
    problem = Problem("dodo.py", line, "", f"{type(error).__name__}: {error}")
    return ConfigError([problem], hint="`doit list` shows the whole traceback")


def load_tasks(namespace: Dict) -> list[Any]:
    """Return the tasks of a namespace, in doit's own form.

    Raises:
        ConfigError: a creator found the configuration wrong, or a task is not what doit takes.
    """
    from doit.control import TaskControl

    with _own_errors():
        return list(TaskControl(_load(namespace)).tasks.values())


def load_names(namespace: Dict) -> list[str]:
    """Return the names of all tasks, also where one of them needs what is none.

    Raises:
        ConfigError: see `load_tasks`.
    """
    with _own_errors():
        return [task.name for task in _load(namespace)]


def _load(namespace: Dict) -> list[Any]:
    from doit.loader import load_tasks as load

    try:
        return list(load(namespace))
    except (InvalidDodoFile, InvalidTask, LlorchError, Ended):
        raise
    except (Exception, SystemExit) as error:  # a creator of the user's may raise anything; one of llorch's may not
        lines = _lines(error, namespace.get("__file__", ""))
        if not lines:
            raise
        raise _own_failure(error, lines[-1]) from None


@contextmanager
def _own_errors() -> Iterator[None]:
    try:
        yield
    except (InvalidDodoFile, InvalidTask) as error:
        raise own_error(error) from None


class Overview:
    """The tasks of a workspace and their states, for those who look and do not run."""

    def __init__(self, namespace: Dict) -> None:
        """Load the tasks.

        Raises:
            ConfigError: see `load_tasks`.
        """
        self.tasks: dict[str, Any] = {task.name: task for task in load_tasks(namespace)}
        self._records = Dependency(Backend, str(session().state.file), checker_cls=Checker)
        self._states: dict[str, str] = {}

    def names(self) -> list[str]:
        """Return all tasks, by their rooms."""
        return in_order(self.tasks)

    def members(self, names: Iterable[str]) -> list[str]:
        """Return these tasks, and the members of those that are groups."""
        found: list[str] = []
        for name in names:
            found += [name, *(need for need in self.tasks[name].task_dep if self.tasks[need].subtask_of == name)]
        return list(dict.fromkeys(found))

    def doc(self, name: str) -> str:
        """Return what a task does."""
        return self.tasks[name].doc or ""

    def targets(self, name: str) -> list[str]:
        """Return what a task makes."""
        return list(self.tasks[name].targets)

    def edges(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Return these tasks and all that they need, each with what it needs itself."""
        chosen = closure(self.tasks, names)
        return {name: list(dict.fromkeys(task.task_dep)) for name, task in self.tasks.items() if name in chosen}

    def state(self, name: str) -> str:
        """Return `up-to-date` or `out-of-date`, or `action` for what runs each time."""
        if name not in self._states:
            task = self.tasks[name]
            if not task.actions:
                needs = [self.state(need) for need in task.task_dep]
                self._states[name] = "up-to-date" if all(need == "up-to-date" for need in needs) else "out-of-date"
            elif not (task.file_dep or task.uptodate or task.targets):
                self._states[name] = "action"
            else:
                fresh = self._records.get_status(task, self.tasks).status == "up-to-date"
                self._states[name] = "up-to-date" if fresh else "out-of-date"
        return self._states[name]

    def actions(self, names: Iterable[str]) -> dict[str, Action]:
        """Return the actions of tasks that make files, of these tasks and all that they need, in the order of needs."""
        found: dict[str, Action] = {}
        visited: set[str] = set()

        def visit(name: str) -> None:
            if name not in visited and name in self.tasks:
                visited.add(name)
                task = self.tasks[name]
                for need in (*task.task_dep, *task.setup_tasks):
                    visit(need)
                for each in task.actions:
                    if isinstance(each, Action) and each.recipe is not None:
                        found[name] = each

        for name in names:
            visit(name)
        return found

    def reasons(self, name: str) -> list[Dict]:
        """Return why a task, or one that it needs, is out of date, reading what has to be read."""
        chosen = closure(self.tasks, [name])
        return [
            {"task": task.name, **reason}
            for task in self.tasks.values()
            if task.name in chosen
            for reason in self._why(task)
        ]

    def restored(self, name: str) -> list[Dict]:
        """Return where what a task, or one that it needs, has made was restored from, for those that are up to date."""
        found = []
        for each in sorted(closure(self.tasks, [name])):
            values = session().state.record(each).get("values") or {}
            if "restored_from" in values and not self._why(self.tasks[each]):
                found.append({"task": each, "record": values.get("restored"), "store": values["restored_from"]})
        return found

    def _why(self, task: Any) -> list[Dict]:
        if not task.actions:
            return []
        recipe = next((check.recipe for check, _, _ in task.uptodate if isinstance(check, Fresh)), None)
        if recipe is not None:
            return [reason._asdict() for reason in session().state.reasons(recipe, read=True)]
        found: dict[tuple[str, str], Dict] = {}
        reasons = self._records.get_status(task, self.tasks, get_log=True).reasons
        for key, kind in _DOIT_REASONS.items():
            given = reasons.get(key, ())
            for what in given if isinstance(given, list) else [task.name] * bool(given):
                text = what if isinstance(what, str) else task.name
                was = self._records.backend.get(task.name, text) if kind == "input" else None
                now = self._digest(text) if kind == "input" and key != "removed_file_dep" else None
                found.setdefault((kind, text), {"kind": kind, "what": text, "was": was, "now": now})
        return list(found.values())

    def _digest(self, path: str) -> str | None:
        try:
            return session().state.digest(path)
        except FileNotFoundError:
            return None

    def close(self) -> None:
        """Keep what was learned of files on the way."""
        self._records.close()


_DOIT_REASONS = {
    "has_no_dependencies": "always",
    "uptodate_false": "uptodate",
    "missing_target": "target",
    "changed_file_dep": "input",
    "added_file_dep": "input",
    "removed_file_dep": "input",
    "missing_file_dep": "input",
}
