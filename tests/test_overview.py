"""The tasks of a workspace, looked at without running them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llorch import engine
from llorch.engine import Action, file_task
from llorch.errors import ConfigError, Refused
from llorch.overview import Overview, load_namespace, load_tasks
from llorch.progress import Progress
from llorch.session import Done, Session, session
from llorch.state import Recipe, Target
from tests.conftest import forget_session, sha256


@pytest.fixture(autouse=True)
def _fresh_import(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have each workspace's dodo.py imported anew, as in a process of its own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("dodo", None)
    yield
    sys.modules.pop("dodo", None)


def builtin() -> dict[str, Any]:
    """Return creators that stand for llorch's own."""
    return {"task_own": lambda: {"actions": []}, "DOIT_CONFIG": {"backend": "llorch"}}


# The dodo.py


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, {"own"}),
        (
            "from llorch.dodo import *\ndef task_mine():\n    return {'actions': []}\n",
            {"own", "mine", "build", "convert", "test"},
        ),
        ("def task_mine():\n    return {'actions': []}\n", {"own"}),
        ("DOIT_CONFIG = {'backend': 'json'}\ndef task_mine():\n    return {'actions': []}\n", {"own"}),
    ],
)
def test_a_dodo_that_uses_llorch_is_loaded(workspace: Path, text: str | None, names: set[str]) -> None:
    """A workspace's own tasks are llorch's too, unless the dodo.py keeps its records elsewhere."""
    if text is not None:
        (workspace / "dodo.py").write_text(text)
    tasks = {task.name for task in load_tasks(load_namespace(session().workspace, builtin()))}
    assert tasks - {"fetch", "verify", "models", "quantize", "tool"} - {name for name in tasks if ":" in name} == names


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("x = 1\n\ndef task_x(:\n", "dodo.py:3: ", "SyntaxError: invalid syntax"),
        ("x = 1\ny = 1 / 0\n", "dodo.py:2: ", "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit()\n", "dodo.py:2: ", "SystemExit: "),
        ("import json\n\njson.loads('{')\n", "dodo.py:3: ", "JSONDecodeError: "),
        ("def f():\n    raise KeyError('k')\nf()\n", "dodo.py:2: ", "KeyError: 'k'"),
        ("import no_such_module\n", "dodo.py:1: ", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = '\0'\n", "dodo.py: ", "source code string cannot contain null bytes"),
    ],
)
def test_a_dodo_that_cannot_be_run(workspace: Path, text: str, place: str, said: str) -> None:
    """What is wrong with it is one line, with the line of the file that it comes from."""
    (workspace / "dodo.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_namespace(session().workspace, builtin())
    assert caught.value.message.startswith(place)
    assert said in caught.value.message
    assert caught.value.hint == "`doit list` shows the whole traceback"


def test_a_creator_that_fails(workspace: Path) -> None:
    """What a task creator of the dodo.py raises is one line too, with its place; llorch's own keep their tracebacks."""
    (workspace / "dodo.py").write_text("from llorch.dodo import *\n\ndef task_x():\n    return {}['k']\n")
    with pytest.raises(ConfigError, match=r"^dodo\.py:4: KeyError: 'k'$") as caught:
        load_tasks(load_namespace(session().workspace, builtin()))
    assert caught.value.hint == "`doit list` shows the whole traceback"

    def task_own() -> Any:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        load_tasks({**builtin(), "task_own": task_own})


def test_a_dodo_may_raise_our_errors(workspace: Path) -> None:
    """One of llorch's own errors stays what it is."""
    (workspace / "dodo.py").write_text("from llorch.errors import Refused\nraise Refused('not here')\n")
    with pytest.raises(Refused, match="not here"):
        load_namespace(session().workspace, builtin())


def test_creators_errors_are_ours(workspace: Path) -> None:
    """A creator's own error is raised as it is, and what doit refuses is a configuration error."""

    @engine.creator
    def task_refusing(run: Session) -> list[dict[str, Any]]:
        raise Refused("not this")

    with pytest.raises(Refused, match="not this"):
        load_tasks({"task_refusing": task_refusing})
    with pytest.raises(ConfigError, match=r"dodo\.py: Task 'x'\. Must return a dictionary"):
        load_tasks({"task_x": lambda: 3})


# States and reasons


def touch(progress: Progress) -> Done:
    """Make `out`."""
    Path("out").write_bytes(b"out")
    return Done()


def copy() -> None:
    """Make `used`."""
    Path("used").write_bytes(Path("out").read_bytes())


@pytest.fixture
def namespace(workspace: Path) -> dict[str, Any]:
    """Tasks of every kind."""
    Path("in").write_text("in")

    def task_file() -> Iterator[dict[str, Any]]:
        """Make files."""
        yield file_task(Recipe("file:out", (Target("out"),), ("in",)), touch, "Make out")

    def task_user() -> dict[str, Any]:
        return {"actions": [copy], "file_dep": ["out"], "targets": ["used"]}

    return {
        "task_file": task_file,
        "task_user": task_user,
        "task_action": lambda: {"actions": [Action(touch)]},
        "task_wishing": lambda: {"actions": [Action(touch)], "uptodate": [False]},
        "task_nothing": lambda: {"actions": None, "task_dep": ["file", "action"]},
    }


def overview(namespace: dict[str, Any]) -> Overview:
    """Look at the tasks as a new process would."""
    forget_session()
    return Overview(namespace)


def test_states(namespace: dict[str, Any]) -> None:
    """A task is up to date, out of date, or an action that always runs; a group is as its members are."""
    look = overview(namespace)
    names = ["file:out", "file", "user", "action", "wishing", "nothing"]
    assert [look.state(name) for name in names] == [*["out-of-date"] * 3, "action", *["out-of-date"] * 2]
    look.close()
    engine.run(namespace, ["file", "user"], jobs=0)
    look = overview(namespace)
    assert [look.state(name) for name in names] == [*["up-to-date"] * 3, "action", *["out-of-date"] * 2]
    look.close()


def test_what_tasks_are(namespace: dict[str, Any]) -> None:
    """Names, texts, targets, members of groups and needs can be had."""
    look = overview(namespace)
    assert look.names() == ["file", "file:out", "user", "action", "wishing", "nothing"]
    assert look.members(["file", "user", "file:out"]) == ["file", "file:out", "user"]
    assert (look.doc("file"), look.doc("file:out"), look.doc("action")) == ("Make files.", "Make out", "")
    assert (look.targets("file:out"), look.targets("file")) == (["out"], [])
    assert look.edges(["user"]) == {"file:out": [], "user": ["file:out"]}
    look.close()


def test_reasons_of_never_made_tasks(namespace: dict[str, Any]) -> None:
    """A task's reasons come with those of all that it needs."""
    look = overview(namespace)
    assert [(reason["task"], reason["kind"], reason["what"]) for reason in look.reasons("user")] == [
        ("file:out", "never-made", "file:out"),
        ("user", "target", "used"),
        ("user", "input", "out"),
    ]
    assert [(reason["kind"], reason["what"]) for reason in look.reasons("action")] == [("always", "action")]
    assert [(reason["kind"], reason["what"]) for reason in look.reasons("wishing")] == [("uptodate", "wishing")]
    look.close()


def test_reasons_of_changed_tasks(namespace: dict[str, Any]) -> None:
    """Each input that is new, gone or another is named, and a fresh task has no reasons."""
    engine.run(namespace, ["user"], jobs=0)
    look = overview(namespace)
    assert look.reasons("user") == []
    look.close()
    Path("out").write_bytes(b"other")
    Path("more").touch()
    more = {"actions": ["true"], "file_dep": ["more", "out"], "targets": ["used"]}
    look = overview({**namespace, "task_user": lambda: dict(more)})
    found = sorted(tuple(reason.values()) for reason in look.reasons("user"))
    assert found == [
        ("file:out", "target", "out", sha256(b"out"), sha256(b"other")),
        ("user", "input", "more", None, sha256(b"")),
        ("user", "input", "out", sha256(b"out"), sha256(b"other")),
    ]
    look.close()
    Path("in").unlink()
    gone = {"actions": ["true"], "file_dep": ["in"], "targets": ["used"]}
    look = overview({"task_user": lambda: dict(gone)})
    found = sorted(tuple(reason.values()) for reason in look.reasons("user"))
    assert found == [("user", "input", "in", None, None), ("user", "input", "out", sha256(b"out"), None)]
    look.close()


def test_looking_keeps_what_it_learned(namespace: dict[str, Any]) -> None:
    """A big file that had to be read to be sure is not read again by the next process."""
    Path("in").write_bytes(b"x" * 1_000_000)
    engine.run(namespace, ["file"], jobs=0)
    Path("in").touch()
    look = overview(namespace)
    assert look.state("file:out") == "out-of-date"
    assert look.reasons("file:out") == []
    look.close()
    look = overview(namespace)
    assert look.state("file:out") == "up-to-date"
    look.close()
