"""The only door to doit: both `doit` and `llorch` run one graph through what is here.

What is fresh is `state`'s decision, what a task does is a room's; this file tells doit about it: the backend, the
checker, the up-to-date test, the action, the reporter and the configuration that names them.
"""

import functools
import gc
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, ParamSpec, TypeVar

from doit.action import BaseAction
from doit.dependency import FileChangedChecker
from doit.exceptions import BaseFail, InvalidCommand, InvalidDodoFile, InvalidTask, TaskError
from doitcmd import BaseCommand

from llorch import beside, shell, ui
from llorch.config import Mistake, Workspace, read_jobs, wrong
from llorch.errors import ConfigError, LlorchError, Problem, TaskFailure, UnknownName, of_system
from llorch.log import wanted_level
from llorch.make import make
from llorch.progress import Progress
from llorch.reporter import Failed, Reporter, Result
from llorch.session import Done, Session, Work, session
from llorch.share import Sharing
from llorch.state import Recipe
from llorch.switches import is_on
from llorch.watch import Watch

Dict = dict[str, Any]
P = ParamSpec("P")
R = TypeVar("R")


# The four things that doit is told of: backend, checker, up-to-date test, action


def told(method: Callable[P, R]) -> Callable[P, R]:
    """Have doit tell an error of ours in its own way, where it would show a traceback."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except OSError as error:
            known = of_system(error)
            if known is None:
                raise
            raise InvalidTask(known.message) from known
        except LlorchError as error:
            raise InvalidTask(error.message + (f"\nhint: {error.hint}" if error.hint else "")) from error

    return call


class Backend:
    """doit's records, kept in llorch's state and committed as each task ends."""

    desc = "llorch's state file"

    def __init__(self, name: str, codec: object, *, module_name: str | None = None) -> None:
        """Take the session's state; `name` says only where it is."""
        self.name = name
        self._state = session().state
        self._changed: dict[str, Dict] = {}

    @told
    def get(self, task: str, key: str) -> Any:
        """Return a value of a task's record, or None."""
        record = self._changed.get(task) or self._state.record(task)
        if key in _FIELDS:
            return record.get(_FIELDS[key])
        return record.get("inputs", {}).get(key)

    @told
    def set(self, task: str, key: str, value: Any) -> None:
        """Set a value of a task's record; `deps:` is what doit sets last."""
        if is_on("LLORCH_DRY_RUN"):
            return
        record = self._changed.get(task)
        if record is None:
            saved = self._state.record(task)
            record = self._changed[task] = {**saved, "inputs": dict(saved.get("inputs", {}))}
        if key in _FIELDS:
            record[_FIELDS[key]] = list(value) if key == "deps:" else value
        elif "definition" not in record:
            record["inputs"][key] = value  # llorch's own actions have saved what they really read
        if key in ("deps:", "ignore:"):
            del self._changed[task]
            if "deps" in record and "definition" not in record:
                record["inputs"] = {path: record["inputs"][path] for path in record["deps"]}
            worth = any(record.get(name) for name in ("definition", "deps", "values", "result", "ignore"))
            if worth and record != self._state.record(task):
                self._state.save(task, record)

    @told
    def in_(self, task: str) -> bool:
        """Tell whether there is a record of the task."""
        return bool(self._state.record(task))

    @told
    def remove(self, task: str) -> None:
        """Forget a task."""
        self._changed.pop(task, None)
        if not is_on("LLORCH_DRY_RUN"):
            self._state.forget(task)

    @told
    def remove_all(self) -> None:
        """Forget all tasks."""
        self._changed.clear()
        if not is_on("LLORCH_DRY_RUN"):
            self._state.forget(*self._state.names())

    def dump(self) -> None:
        """Close the state."""
        self._state.close()
        if self._state.warning:
            ui.warn(self._state.warning)


_FIELDS = {"_values_:": "values", "result:": "result", "checker:": "checker", "deps:": "deps", "ignore:": "ignore"}


class Checker(FileChangedChecker):  # type: ignore[misc]  # doit has no types
    """Compares files by content, reading only those whose signature is new."""

    @told
    def check_modified(self, file_path: str, file_stat: os.stat_result, state: str) -> bool:
        """Tell whether a file is not what it was, or not even a file any more."""
        try:
            return session().state.digest(file_path) != state
        except FileNotFoundError:
            return True

    @told
    def get_state(self, dep: str, current_state: str | None) -> str | None:
        """Return what to remember of a file, None when that is what is remembered already."""
        if is_on("LLORCH_DRY_RUN"):
            return None  # nothing is remembered, and the file may be one that nobody has made
        digest = session().state.digest(dep)
        return None if digest == current_state else digest


class Fresh:
    """doit's question whether a recipe's task is up to date, answered by `state` without long reading."""

    # doit looks at the signature of each of these; computing it anew costs 30 µs a task.
    __signature__: ClassVar[inspect.Signature] = inspect.Signature()

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.said: bool | None = None

    @told
    def __call__(self) -> bool:
        """Tell whether there is nothing to do, as far as can be told quickly."""
        self.said = not session().state.reasons(self.recipe)
        return self.said


class Action(BaseAction):  # type: ignore[misc]  # doit has no types
    """One task's work: waits for whoever does the same, looks again, works, and commits what was made.

    doit's own Python action redirects `sys.stdout`, which several threads cannot do at once; this one does not.
    """

    def __init__(
        self,
        work: Work,
        recipe: Recipe | None = None,
        fresh: Fresh | None = None,
        doc: str = "",
        share: Sharing | None = None,
    ) -> None:
        self.work = work
        self.share = share
        self.recipe = recipe
        self.fresh = fresh
        self.doc = doc
        self.task: Any = None
        self.out = self.err = self.result = None
        self.values: Dict = {}
        self.done = Done()

    def __str__(self) -> str:
        """Say what it does, for doit's `info`."""
        return self.doc

    def execute(self, out: object = None, err: object = None) -> BaseFail | None:
        """Do it, and return what went wrong. Any exception but our own is a bug and keeps its traceback.

        A bug is returned too: doit raises what it meets in a thread anew, without the traceback.
        """
        run = session()
        try:
            with Watch(run.board, self.task.name, run.cancelled) as progress:
                if self.recipe is None:
                    self.done = self.work(progress)
                else:
                    forced = self.fresh is not None and self.fresh.said is True
                    self.done = make(self.recipe, self.work, progress, forced=forced, share=self.share)
                self.values = dict(self.done.values)
        except LlorchError as error:
            return Failed(error)
        except Exception as error:
            known = of_system(error) if isinstance(error, OSError) else None
            return TaskError(f"`{self.task.name}` met a bug", error) if known is None else Failed(known)
        return None


# Tasks


def file_task(recipe: Recipe, work: Work, doc: str, *, share: Sharing | None = None, **more: Any) -> Dict:
    """Return a doit task that makes the recipe's targets when they are not fresh.

    Args:
        share: see `make`.
        more: doit's own keys, such as `task_dep`; `basename` and `name` come from the recipe's name.
    """
    basename, _, name = recipe.name.partition(":")
    fresh = Fresh(recipe)
    return {
        "basename": basename,
        **({"name": name} if name else {}),
        "actions": [Action(work, recipe, fresh, doc, share)],
        "targets": [target.path for target in recipe.targets],
        "file_dep": list(recipe.inputs),
        "uptodate": [fresh],
        "doc": doc,
        **more,
    }


class Command(BaseCommand):  # type: ignore[misc]  # doit-cmd has no types
    """A plain action: a program with its arguments, run each time its task is asked for.

    Assigned to a name in a dodo.py it makes a task of its own, called `name`, in no group:

        fetch = Command("house:fetch", ["git", "fetch", "--all"], doc="Fetch from every remote")

    From doit-cmd's class come the declaration with `base_options`, the options and `interactive`; the command is an
    argument list instead of a shell's string.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        doc: str,
        options: Mapping[str, str | bool | None] | None = None,
        interactive: bool = False,
    ) -> None:
        """Declare a command; `interactive` gives it the terminal."""
        super().__init__(interactive=interactive, options=options)
        self.basename = name
        self.command = tuple(command)
        self.doc = doc
        # Of the object, not of the class: doit takes whatever has this name for a creator, an imported class too.
        self.create_doit_tasks = self.__call__

    def arguments(self) -> list[str]:
        """Return the argument list, options after the command.

        >>> Command("x", ["git", "log"], doc="", options={"n": "5", "oneline": True, "all": False}).arguments()
        ['git', 'log', '-n', '5', '--oneline']
        """
        found = list(self.command)
        for name, value in sorted(self.options.items()):
            if value is not None and value is not False:
                found.append(("-" if len(name) == 1 else "--") + name)
                found += [] if value is True else [str(value)]
        return found

    def __call__(self) -> Dict:
        """Return the task."""
        return {"basename": self.basename, "actions": [Action(self._run, doc=self.doc)], "doc": self.doc}

    def _run(self, progress: Progress) -> Done:
        if self.interactive:
            beside.run_interactive(self.arguments())
        else:
            shell.run(self.arguments(), on_line=ui.emit)
        return Done()


# Running


class WrongConfig(ConfigError, InvalidDodoFile):  # type: ignore[misc]  # doit has no types
    """A configuration error met while a dodo.py is loaded, which both doors know as theirs."""


def doit_config() -> Dict:
    """Return what a dodo.py calls DOIT_CONFIG.

    Raises:
        WrongConfig: the workspace's configuration, LLORCH_REPO_ROOT, LLORCH_JOBS or LLORCH_LOG_LEVEL is wrong.
    """
    try:
        state = session().state
        jobs = read_jobs(0)
        wanted_level()
    except ConfigError as error:
        raise WrongConfig(error.problems) from None
    return {
        "backend": "llorch",
        "dep_file": str(state.file),
        "check_file_uptodate": Checker,
        "reporter": Reporter,
        "par_type": "thread",
        "num_process": jobs,
        "default_tasks": [],
        "verbosity": 2,
    }


def creator(function: Callable[[Session], Iterable[Dict]]) -> Callable[[], Iterable[Dict]]:
    """Make a task creator of a function: give it the session, and turn our errors into one line of doit's."""

    @functools.wraps(function)
    def create() -> Iterable[Dict]:
        # Tasks live to the end. Looking through them for garbage again and again took a third of the time of 10,000.
        gc.disable()
        try:
            yield from function(session())
        except LlorchError as error:
            raise InvalidDodoFile(error.message + (f"\nhint: {error.hint}" if error.hint else "")) from error
        finally:
            gc.freeze()
            gc.enable()

    return create


def run(namespace: Dict, names: Sequence[str], *, jobs: int) -> list[Result]:
    """Run tasks, each as far as it goes whatever becomes of the others, and return how they ended.

    Raises:
        ConfigError: a creator found the configuration wrong, or a task is not what doit takes.
        UnknownName: there is no such task.
    """
    from doit.api import run_tasks
    from doit.cmd_base import ModuleTaskLoader

    if not names:
        return []  # doit would take its default tasks
    reporter = Reporter(sys.stderr, {"raised": True})
    own = {"reporter": reporter, "continue": True, "num_process": read_jobs(jobs)}
    config = {**doit_config(), **namespace.get("DOIT_CONFIG", {}), **own}
    try:
        run_tasks(ModuleTaskLoader({**namespace, "DOIT_CONFIG": config}), {name: {} for name in names})
    except (InvalidDodoFile, InvalidTask, InvalidCommand) as error:
        raise own_error(error, namespace) from None
    if reporter.errors:
        raise TaskFailure("\n".join(reporter.errors))
    return reporter.results


_NO_SUCH_NEED = re.compile(r"test:(.+?)\. Task dependency '(.+)' does not exist\.")  # doit's words


def own_error(error: Exception, namespace: Mapping[str, Any] = {}) -> LlorchError:
    """Return our error that one of doit's was made of, or make one of it."""
    for own in (error, error.__cause__):
        if isinstance(own, LlorchError):
            return own
    if isinstance(error, InvalidCommand) and error.not_found:
        creator = f"task_{error.not_found.partition(':')[0]}"
        ours = getattr(namespace.get(creator), "__module__", "llorch.").startswith("llorch.")
        replaced = f"`{creator}` of dodo.py is in the place of llorch's own: give it another name"
        return UnknownName("task", error.not_found, (), hint="`llorch list` shows them" if ours else replaced)
    needs = _NO_SUCH_NEED.fullmatch(str(error))
    suite = session().settings.test.get(needs[1]) if needs else None
    if needs and suite and needs[2] in suite.needs:
        key = ("test", needs[1], "needs", suite.needs.index(needs[2]))
        mistake = Mistake(key, f"there is no task `{needs[2]}`", "`llorch dev check` says all")
        return wrong(session().workspace, mistake)
    return ConfigError([Problem("dodo.py", None, "", str(error))])


def run_doit(workspace: Workspace, builtin: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Run doit's own command line in the workspace, on its dodo.py or else on llorch's own tasks; return its code."""
    from doit.cmd_base import ModuleTaskLoader
    from doit.doit_cmd import DoitMain

    has_dodo = (workspace.root / "dodo.py").is_file()
    main = DoitMain() if has_dodo else DoitMain(ModuleTaskLoader(dict(builtin)))
    main.BIN_NAME = "llorch doit"
    return int(main.run(list(arguments)) or 0)
