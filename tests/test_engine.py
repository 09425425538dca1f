"""The graph as it runs: through the program `doit`, through doit as a library, and through `llorch`."""

import functools
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from doit.exceptions import InvalidDodoFile

from llorch import engine
from llorch.engine import Action, Command, file_task
from llorch.errors import Busy, ConfigError, LlorchError, Refused, TaskFailure, UnknownName
from llorch.progress import Progress
from llorch.reporter import Result
from llorch.session import Done, Session, session
from llorch.state import SMALL, Recipe, Target
from tests.conftest import BIN, forget_session, in_terminal, program, sha256, write_catalog, write_dodo
from tests.test_locks import held

USER = """
from llorch.engine import Command, file_task
from llorch.state import Recipe, Target

def task_copy():
    return {"actions": ["cat in > out; echo ran >> log"], "file_dep": ["in"], "targets": ["out"], "clean": True}

def task_use():
    return {"actions": ["cat out > used; echo used >> log"], "file_dep": ["out"], "targets": ["used"]}
"""


def test_of_a_users_target_counts_that_it_is_there(user: Path) -> None:
    """As doit has it, and docs/tasks.md says so: one that was written over is kept, one that is gone is made again."""
    program("doit", "copy")
    (user / "out").write_text("mine")
    assert program("doit", "copy").err == "nothing to do: copy is up to date\n"
    (user / "out").unlink()
    assert (program("doit", "copy").code, (user / "out").read_text(), ran(user)) == (0, "one", 2)


def test_a_creator_in_the_place_of_ours_is_named(user: Path) -> None:
    """Where a dodo.py has a creator called as one of ours, what it took away is not just unknown."""
    write_catalog(user, {"tiny": {"a.gguf": b"data"}})
    write_dodo(user, 'def task_models():\n    return {"actions": ["true"]}\n')
    done = program("llorch", "models", "download", "tiny")
    assert (done.code, done.err) == (
        3,
        "error: there is no task `models:tiny`\n\n"
        "hint: `task_models` of dodo.py is in the place of llorch's own: give it another name\n",
    )


def ran(workspace: Path) -> int:
    """Return how often the user's task `copy` has run."""
    log = workspace / "log"
    return log.read_text().count("ran") if log.exists() else 0


@pytest.fixture
def user(workspace: Path) -> Path:
    """A workspace whose dodo.py has tasks of the user's own."""
    write_dodo(workspace, USER)
    (workspace / "in").write_text("one")
    return workspace


# The user's own tasks, through plain doit


def test_a_users_task_runs_when_contents_change(user: Path) -> None:
    """It is skipped when nothing has changed or is only touched, and runs when what it reads is another."""
    first = program("doit", "copy")
    assert (first.code, ran(user)) == (0, 1)
    name, outcome, seconds, unit = first.err.splitlines()[0].split()
    assert (name, outcome, unit) == ("copy", "done", "s")
    assert float(seconds) < 60
    assert program("doit", "copy").err == "nothing to do: copy is up to date\n"
    (user / "in").touch()
    program("doit", "copy")
    assert ran(user) == 1
    (user / "in").write_text("two")
    assert program("doit", "copy").code == 0
    assert (ran(user), (user / "out").read_text()) == (2, "two")


def test_a_users_task_runs_when_its_inputs_are_others(user: Path) -> None:
    """An input that comes, goes, or becomes a folder makes the task run or fail, never pass for fresh."""
    program("doit", "copy")
    write_dodo(user, USER.replace('"file_dep": ["in"]', '"file_dep": ["in", "more"]'))
    failed = program("doit", "copy")
    assert (failed.code, "'more' does not exist" in failed.err) == (2, True)
    (user / "more").write_text("")
    assert (program("doit", "copy").code, ran(user)) == (0, 2)
    write_dodo(user, USER)
    assert (program("doit", "copy").code, ran(user)) == (0, 3)
    (user / "in").unlink()
    (user / "in").mkdir()
    failed = program("doit", "copy")
    assert (failed.code, "'in' does not exist" in failed.err, "Traceback" in failed.err) == (2, True, False)


@pytest.mark.parametrize("arguments", [["forget", "copy"], ["forget", "--all"]])
def test_doit_forget(user: Path, arguments: list[str]) -> None:
    """A forgotten task runs again; in a dry run nothing is forgotten."""
    program("doit", "copy")
    program("doit", *arguments, env={"LLORCH_DRY_RUN": "1"})
    program("doit", "copy")
    assert ran(user) == 1
    assert program("doit", *arguments).code == 0
    program("doit", "copy")
    assert ran(user) == 2


def test_doit_ignore(user: Path) -> None:
    """An ignored task is left out, and so is what needs it, until it is forgotten."""
    assert program("doit", "ignore", "copy").code == 0
    done = program("doit", "copy")
    assert done.err.splitlines()[0].split(maxsplit=2) == ["copy", "skipped", "ignored; `doit forget` ends that"]
    program("doit", "forget", "copy")
    program("doit", "copy")
    assert ran(user) == 1


def test_doit_looks_without_running(user: Path) -> None:
    """`list --status` and `info` know what is out of date and why; `clean` removes targets."""
    assert "R copy" in program("doit", "list", "--status").out
    program("doit", "copy")
    assert "U copy" in program("doit", "list", "--status").out
    (user / "in").write_text("two")
    info = program("doit", "info", "copy")
    assert "The following file dependencies have changed" in info.out
    assert "    - in" in info.out
    assert program("doit", "clean", "copy").code == 0
    assert not (user / "out").exists()
    assert ran(user) == 1


def test_several_at_once(user: Path) -> None:
    """`-n 4` runs the same tasks, each once, what is needed first."""
    assert program("doit", "-n", "4", "use", "copy").code == 0
    assert (user / "log").read_text() == "ran\nused\n"
    assert program("doit", "-n", "4", "use").err == "nothing to do: use is up to date\n"


def test_bare_doit_lists_and_runs_nothing(user: Path) -> None:
    """Without a task's name there is a list of tasks, and nothing is made."""
    done = program("doit")
    assert (done.code, ran(user)) == (0, 0)
    assert "models\tHave models on disk, verified\n" in done.out
    assert done.err == "run one with `doit TASK`; `doit list --all` shows the members of groups too\n"


# Failures, through plain doit


@pytest.mark.parametrize("jobs", [[], ["-n", "2"]])
def test_a_failure_is_told_once(user: Path, jobs: list[str]) -> None:
    """What an action wrote and how it failed stand there once, and what needs it is left out."""
    write_dodo(user, USER.replace("cat in > out;", "echo said; exit 7;"))
    assert program("doit", *jobs, "use").code == 1
    done = program("doit", "-c", *jobs, "use")
    assert (done.code, done.out) == (2, "said\n")
    lines = [" ".join(line.split()) for line in done.err.splitlines()]
    assert lines[0] == "copy failed"
    assert lines[1].startswith("error: Command failed: 'echo said; exit 7; echo ran >> log' returned 7")
    assert lines[2] == "use skipped needs copy, which failed"
    assert lines[3].startswith("1 skipped, 1 failed in")


def test_a_quiet_actions_output_is_shown_when_it_fails(user: Path) -> None:
    """With doit's verbosity 0 what an action wrote is kept for its failure."""
    (user / "in").write_text("")
    write_dodo(user, USER.replace("cat in > out;", "echo said; echo why >&2; exit 7;"))
    done = program("doit", "-v", "0", "copy")
    assert done.out == ""
    assert done.err.splitlines()[2:4] == ["why", "said"]


OWN = """
from llorch.engine import file_task
from llorch.errors import Refused
from llorch.session import Done
from llorch.state import Recipe, Target

def refuse(progress):
    raise Refused("not this", hint="do that")

def bug(progress):
    raise ValueError("a bug")

def idle(progress):
    return Done()

def task_own():
    for work in (refuse, bug, idle):
        task = file_task(Recipe(f"own:{work.__name__}", (Target(f"made-{work.__name__}"),)), work, "Own")
        yield {**task, "doc": "Own"}
"""


@pytest.mark.parametrize("jobs", [[], ["-n", "2"]])
@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("refuse", 1, ["error: not this", "hint: do that"]),
        ("idle", 1, ["error: `own:idle` ended without making `made-idle`"]),
        ("bug", 2, ["error: `own:bug` met a bug", "Traceback (most recent call last):"]),
    ],
)
def test_own_failures(workspace: Path, jobs: list[str], name: str, code: int, said: list[str]) -> None:
    """One of llorch's errors is a line and a hint; a bug keeps its traceback, also when it is met in a thread."""
    write_dodo(workspace, OWN)
    done = program("doit", *jobs, f"own:{name}")
    assert done.code == code
    assert done.err.splitlines()[1 : 1 + len(said)] == said
    assert ("in bug\n    raise ValueError" in done.err, "Traceback" in done.err) == (name == "bug", name == "bug")


@pytest.mark.parametrize(
    ("file", "text", "env", "said"),
    [
        ("llorch.toml", "version = 1\n[pahts]\n", {}, "llorch.toml:2: pahts"),
        ("llorch.toml", "", {"LLORCH_JOBS": "many"}, "LLORCH_JOBS: `many` is not a number"),
        ("llorch.toml", "", {"LLORCH_REPO_ROOT": "/no/where"}, "LLORCH_REPO_ROOT: `/no/where` is not a folder"),
        ("catalog.toml", "version = 1\n[models.a]\nfiles = 1\n", {}, "catalog.toml:3: models.a.files"),
    ],
)
def test_a_wrong_configuration_is_one_line_at_both_doors(
    workspace: Path, file: str, text: str, env: dict[str, str], said: str
) -> None:
    """Code 3 and no traceback, whether `doit` or `llorch` meets it."""
    write_dodo(workspace)
    (workspace / file).write_text(text or "version = 1\n")
    for command in (("doit", "list"), ("llorch", "list"), ("llorch", "doit", "list"), ("doit", "nothing")):
        done = program(*command, env=env)
        assert (done.code, done.out, "Traceback" in done.err) == (3, "", False)
        assert done.err.lower().startswith(f"error: {said}".lower())


# Dry runs


def test_a_dry_run_does_nothing(user: Path) -> None:
    """It names what would run, with what needs that, and leaves no trace: no action, no teardown, no record."""
    more = """
from doit import create_after

def task_down():
    return {"actions": ["touch up"], "teardown": ["touch down"]}

@create_after(executed="down", creates=["late"])
def task_late():
    yield {"basename": "late", "actions": ["touch late"]}

def task_values():
    return {"actions": [lambda: {"x": 1}]}

def task_takes():
    return {"actions": [lambda x: None], "getargs": {"x": ("values", "x")}}

show = Command("show", ["touch", "shown"], doc="Show")
"""
    write_dodo(user, USER + more)
    before = sorted(user.iterdir())
    names = ["use", "down", "late", "takes", "show"]
    done = program("doit", *names, env={"LLORCH_DRY_RUN": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    assert (done.code, done.out) == (0, "")
    assert [line.split()[:4] for line in done.err.splitlines()][:2] == [
        ["copy", "skipped", "would", "run"],
        ["use", "skipped", "would", "run"],
    ]
    assert done.err.count("would run") == 7
    assert "would run: Show" in done.err
    assert sorted(user.iterdir()) == before


def test_a_dry_run_of_what_is_made(user: Path) -> None:
    """What is up to date would not run; what reads a target that would be made anew would."""
    program("doit", "use")
    assert program("doit", "use", env={"LLORCH_DRY_RUN": "1"}).err == "nothing to do: use is up to date\n"
    (user / "in").write_text("two")
    done = program("doit", "use", env={"LLORCH_DRY_RUN": "1"})
    assert done.err.count("would run") == 2
    assert program("doit", "ignore", "use", env={"LLORCH_DRY_RUN": "1"}).code == 0
    assert (program("doit", "use").code, (user / "used").read_text()) == (0, "two")


# llorch's own tasks, in this process and as a program


MAKER = """
import os
from llorch.engine import file_task
from llorch.session import Done
from llorch.state import Recipe, Target

def work(progress):
    if os.path.exists("gate"):
        with open("gate") as gate:
            gate.read()
    with open("log", "a") as log:
        log.write("ran")
    open("out", "w").close()
    return Done()

def task_make():
    return file_task(Recipe("make", (Target("out"),)), work, "Make it")
"""


class Work:
    """Makes `out` from `in`, and counts how often."""

    def __init__(self, *, more: Callable[[Progress], object] = lambda progress: None) -> None:
        self.count = 0
        self.more = more

    def __call__(self, progress: Progress) -> Done:
        """Do it."""
        self.count += 1
        data = Path("in").read_bytes()
        progress.say("writing")
        progress.total(len(data))
        self.more(progress)
        Path("out").write_bytes(data)
        progress.advance(len(data))
        return Done("written")


LEARNER = """
from pathlib import Path
from doit.tools import result_dep
from llorch.engine import file_task
from llorch.session import Done, session
from llorch.state import Recipe, Target

def work(progress):
    Path("out").write_text(Path("in").read_text().strip())
    return Done(inputs={"in": session().state.digest("in")})

def task_make():
    return file_task(Recipe("make", (Target("out"),), learns=True), work, "Make it")

def task_use():
    return {"actions": ["echo ran >> log"], "uptodate": [result_dep("make")]}
"""


def test_a_users_task_goes_by_what_was_made(user: Path) -> None:
    """The `result_dep` of doit has it run when the target is another, not when it was only made again."""
    write_dodo(user, LEARNER)
    for text, count in (("one", 1), ("one\n", 1), ("two", 2)):
        (user / "in").write_text(text)
        assert (program("doit", "use").code, ran(user)) == (0, count)


def test_what_was_made_in_another_process_is_not_forgotten(user: Path) -> None:
    """With `-P process` the record is the one that the other process has written."""
    write_dodo(user, LEARNER)
    for text in ("one", "two"):
        (user / "in").write_text(text)
        assert program("doit", "-n", "2", "-P", "process", "make").code == 0
        assert program("doit", "make").err == "nothing to do: make is up to date\n"
    assert (user / "out").read_text() == "two"


RECIPE = Recipe("make:out", (Target("out"),), ("in",), {"option": 1})


def run(work: Callable[[Progress], Done], recipe: Recipe = RECIPE, *, jobs: int = 0, **more: Any) -> list[Result]:
    """Run the recipe's task as a new process would."""
    forget_session()

    def task_make() -> Iterator[dict[str, Any]]:
        yield file_task(recipe, work, "Make it", **more)

    return engine.run({"task_make": task_make}, [recipe.name], jobs=jobs)


@pytest.fixture
def made(workspace: Path) -> Work:
    """A big `out`, made from `in`."""
    Path("in").write_bytes(b"x" * (SMALL + 1))
    work = Work()
    (result,) = run(work)
    assert (result.outcome, result.targets, work.count) == ("done", ("out",), 1)
    return work


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (lambda: None, "up-to-date"),
        (lambda: os.utime("in"), "up-to-date"),
        (lambda: os.utime("out"), "up-to-date"),
        (lambda: Path("in").write_bytes(b"y" * (SMALL + 1)), "done"),
        (lambda: Path("out").write_bytes(b"y" * (SMALL + 1)), "done"),
        (lambda: Path("out").unlink(), "done"),
    ],
)
@pytest.mark.parametrize("jobs", [0, 4])
def test_contents_decide(made: Work, change: Callable[[], object], outcome: str, jobs: int) -> None:
    """The task works when something is another, only reads when something may be, and the next run does neither."""
    change()
    assert [result.outcome for result in run(made, jobs=jobs)] == [outcome]
    assert made.count == 1 + (outcome == "done")
    assert [result.outcome for result in run(made, jobs=jobs)] == ["up-to-date"]
    assert made.count == 1 + (outcome == "done")


def test_another_definition_makes_it_anew(made: Work) -> None:
    """A changed option is enough."""
    other = Recipe("make:out", (Target("out"),), ("in",), {"option": 2})
    assert run(made, other)[0].outcome == "done"
    assert run(made, other)[0].outcome == "up-to-date"


def test_an_input_edited_meanwhile_is_not_taken_as_seen(workspace: Path) -> None:
    """What is edited while the task reads it fails, and the next run works again, also where the edit is undone."""
    Path("in").write_bytes(b"one")
    hasty = Work(more=lambda progress: Path("in").write_bytes(b"two") and None)
    assert run(hasty)[0].outcome == "failed"
    Path("in").write_bytes(b"one")
    assert run(Work())[0].outcome == "done"
    Path("in").write_bytes(b"two")
    calm = Work()
    assert run(calm)[0].outcome == "done"
    assert (Path("out").read_bytes(), run(calm)[0].outcome) == (b"two", "up-to-date")


def test_an_input_that_is_not_there_is_recorded_so(workspace: Path) -> None:
    """A recipe may name an input that the work itself makes do without."""

    def work(progress: Progress) -> Done:
        Path("out").write_bytes(b"")
        return Done()

    assert run(work, file_dep=[])[0].outcome == "done"
    assert session().state.record("make:out")["inputs"] == {"in": None}


def test_a_task_without_targets_or_group(workspace: Path) -> None:
    """A recipe's name may have no second part."""
    Path("in").write_bytes(b"")
    assert run(lambda progress: Done(), Recipe("check", (), ("in",)))[0].name == "check"
    assert run(lambda progress: Done(), Recipe("check", (), ("in",)))[0].outcome == "up-to-date"


def test_doit_always_makes_it_anew(workspace: Path) -> None:
    """`doit -a` works though nothing has changed."""
    write_dodo(workspace, MAKER)
    for always in ((), (), ("-a",), ("-a", "-n", "2")):
        assert program("doit", *always, "make").code == 0
    assert ran(workspace) == 3


def test_what_another_run_made_is_not_made_again(made: Work) -> None:
    """A task that was found stale, and was made by another run while this one waited, is left as it is."""
    os.utime("in")
    action = file_task(RECIPE, made, "Make it")["actions"][0]
    action.task = type("Task", (), {"name": "make:out"})
    assert action.execute() is None
    assert (action.done, made.count) == (Done("already there", made=False), 1)


def test_results_and_errors_of_a_run(workspace: Path) -> None:
    """A run gives back each task's end, our error with it, and goes on with what does not need it."""

    def task_both() -> Iterator[dict[str, Any]]:
        def refuse(progress: Progress) -> Done:
            raise Refused("not this", hint="do that")

        yield {"name": "bad", "actions": [Action(refuse)]}
        yield {"name": "good", "actions": [Action(lambda progress: Done())]}

    bad, good = engine.run({"task_both": task_both}, ["both"], jobs=0)
    assert (bad.outcome, type(bad.error), good.outcome) == ("failed", Refused, "done")


@pytest.mark.parametrize(
    ("names", "creator", "kind", "said"),
    [
        (["nope"], lambda: None, UnknownName, "there is no task `nope`"),
        (["bad"], lambda: {"actions": 3}, ConfigError, "Task 'bad' attribute 'actions' must be"),
        (["bad"], lambda: {"actions": [], "wrong": 2}, ConfigError, "contains invalid field: 'wrong'"),
    ],
)
def test_a_run_of_what_doit_refuses(
    workspace: Path, names: list[str], creator: Callable[[], Any], kind: type[LlorchError], said: str
) -> None:
    """What doit says of tasks that are none is one of our errors."""

    def task_bad() -> Any:
        return creator()

    with pytest.raises(kind) as caught:
        engine.run({"task_bad": task_bad}, names, jobs=0)
    assert said in caught.value.message


def test_a_run_that_doit_aborts(workspace: Path) -> None:
    """An error that doit meets while it runs is the run's, after what was done is told."""
    from doit import create_after

    def late() -> dict[str, Any]:
        return {"actions": 3}

    task_late = create_after(executed="first", creates=["late"])(late)
    namespace = {"task_first": lambda: {"actions": []}, "task_late": task_late}
    with pytest.raises(TaskFailure, match="attribute 'actions' must be"):
        engine.run(namespace, ["late"], jobs=0)


def test_creators_turn_our_errors_into_doits(workspace: Path) -> None:
    """The message, the hint, and the error itself are kept."""

    @engine.creator
    def task_wrong(run: Session) -> list[dict[str, Any]]:
        raise Refused("not this", hint="do that")

    with pytest.raises(InvalidDodoFile, match="not this\nhint: do that") as caught:
        list(task_wrong())
    assert isinstance(engine.own_error(caught.value), Refused)


# Locks


def test_no_wait_is_busy(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LLORCH_NO_WAIT a run does not wait for another one, and says which it is."""
    monkeypatch.setenv("LLORCH_NO_WAIT", "1")
    Path("in").write_bytes(b"")
    with held() as holder:
        (result,) = run(Work())
    assert isinstance(result.error, Busy)
    assert result.error.message == f"`out` is being made by `doit make:out` (process {holder.pid})"
    assert run(Work())[0].outcome == "done"


def test_waiting_says_for_whom(workspace: Path) -> None:
    """The second of two runs names the first, waits until it is done, and finds nothing left to do."""
    write_dodo(workspace, MAKER)
    os.mkfifo("gate")
    doit = functools.partial(
        subprocess.Popen, [BIN / "doit", "make"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with doit() as first, ExitStack() as stack:
        gate = stack.enter_context(open("gate", "w"))  # it opens when the first is at work
        second = stack.enter_context(doit())
        assert second.stderr is not None
        assert second.stderr.readline() == f"make waits for `doit make` (process {first.pid})\n"
        assert not Path("out").exists()
        gate.close()
        assert "make  up to date  already there\n" in second.stderr.read()
        assert (first.wait(), second.wait(), ran(workspace)) == (0, 0, 1)


# Commands


def test_a_commands_arguments_are_left_alone(workspace: Path) -> None:
    """Spaces, quotes and `%` reach the program as they are; options follow, sorted; nothing is ever up to date."""
    hostile = ["a b", "%d", "%(x)s", "'q'", '"', "$HOME", "{x}", "ü"]
    script = "import sys; print(sys.argv[1:])"
    declared = f"Command('git:show', [{sys.executable!r}, '-c', {script!r}, *{hostile!r}], doc='Show', options=OPTIONS)"
    options = "OPTIONS = {'n': '5 6', 'all': True, 'no': False, 'none': None}"
    write_dodo(workspace, f"from llorch.engine import Command\n{options}\nshow = {declared}\n")
    for _ in range(2):
        done = program("doit", "git:show")
        assert (done.code, done.out) == (0, f"{[*hostile, '--all', '-n', '5 6']}\n")
    assert ["git:show", "Show"] in [line.split() for line in program("doit", "list").out.splitlines()]


def test_a_command_fails_as_it_does(workspace: Path) -> None:
    """Its exit code and its last words are told."""
    write_dodo(
        workspace, "from llorch.engine import Command\nx = Command('x', ['sh', '-c', 'echo so; exit 9'], doc='')\n"
    )
    done = program("doit", "x")
    assert (done.code, done.out) == (1, "so\n")
    assert "error: `sh` exited with 9:\nso\n" in done.err
    assert "x\n" in program("doit", "info", "x").out


def test_an_interactive_command_has_the_terminal(workspace: Path) -> None:
    """It can ask, and be answered."""
    script = "import sys; print('tty', sys.stdin.isatty(), input())"
    write_dodo(
        workspace,
        "from llorch.engine import Command\n"
        f"ask = Command('ask', [{sys.executable!r}, '-c', {script!r}], doc='Ask', interactive=True)\n",
    )
    done = in_terminal(str(BIN / "doit"), "ask", typed="well\n")
    assert (done.code, "tty True well\n" in done.out) == (0, True)


def test_a_command_says_what_it_is() -> None:
    """Its task carries its name and its text, for `doit list` and `doit info`."""
    task = Command("git:x", ["true"], doc="Do x")()
    assert (task["basename"], task["doc"], str(task["actions"][0])) == ("git:x", "Do x", "Do x")


# The end of a run


@pytest.mark.parametrize("jobs", [[], ["-n", "2"]])
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, ""), (signal.SIGINT, -signal.SIGINT, "interrupted\n")],
)
def test_a_run_that_is_ended_ends_its_programs(
    workspace: Path, jobs: list[str], number: int, code: int, said: str
) -> None:
    """What a task has started is ended with the run, its children too; what was done before is kept."""
    os.mkfifo("alive")
    command = "exec 3>alive; (sleep 1000) & echo begun >&3; wait"
    more = f"""
def task_x():
    return {{**Command("x", ["sh", "-c", {command!r}], doc="")(), "task_dep": ["copy"]}}
"""
    write_dodo(workspace, USER + more)
    Path("in").write_text("one")
    with subprocess.Popen(
        [BIN / "doit", *jobs, "copy", "x"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as doit:
        with open("alive") as alive:
            assert alive.readline() == "begun\n"
            doit.send_signal(number)
            # A signal that comes in the moment before Python sleeps is seen with the next one only.
            while not select.select([alive], [], [], 20)[0]:
                doit.send_signal(number)
            assert alive.read() == ""  # the end of the file: nobody has it open any more
        assert doit.stderr is not None
        err = doit.stderr.read()
    assert (doit.returncode, err.endswith(said), "Traceback" in err) == (code, True, False)
    assert program("doit", "copy").err == "nothing to do: copy is up to date\n"


def test_jobs_are_of_the_environment(workspace: Path) -> None:
    """LLORCH_JOBS says how many tasks run at once: two that wait for each other end only if both run."""
    os.mkfifo("pipe")
    more = """
def task_pair():
    yield {"name": "a", "actions": ["echo x > pipe"]}
    yield {"name": "b", "actions": ["cat pipe > got"]}
"""
    write_dodo(workspace, more)
    assert program("doit", "pair", env={"LLORCH_JOBS": "2"}).code == 0
    assert Path("got").read_text() == "x\n"


def test_a_state_that_was_set_aside_is_told(user: Path) -> None:
    """The warning of an unusable state comes with the run that met it."""
    (user / ".llorch").mkdir()
    (user / ".llorch" / "state.db").write_bytes(b"garbage" * 1000)
    done = program("doit", "copy")
    assert (done.code, ran(user)) == (0, 1)
    assert "warning: the state in" in done.err


# Plain doit from llorch


def test_llorch_doit_without_a_dodo(workspace: Path) -> None:
    """Where there is no dodo.py, `llorch doit` has llorch's own tasks, from any folder of the workspace."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    (workspace / "sub").mkdir()
    done = program("llorch", "doit", "models:tiny", cwd=workspace / "sub")
    assert done.code == 0
    assert (workspace / ".test-models/tiny/a.gguf").read_bytes() == b"data"
    assert sha256(b"data") in done.err


def test_llorch_doit_with_a_dodo(user: Path) -> None:
    """It runs the dodo.py's tasks, gives doit's own code, and calls itself by its name."""
    assert (program("llorch", "doit", "copy").code, ran(user)) == (0, 1)
    failed = program("llorch", "doit", "nope")
    assert (failed.code, 'Type "llorch doit list"' in failed.err) == (3, True)
