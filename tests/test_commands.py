"""`llorch list|why|graph|doit`, in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run, program, write_catalog, write_dodo

Llorch = Callable[..., Run]
ACTIONS = ("cache:", "dev:", "git:", "remote:")


@pytest.fixture
def models(workspace: Path) -> Path:
    """A workspace with two models, whose sources' folder is returned."""
    return write_catalog(workspace, {"tiny": {"a.gguf": b"data"}, "big": {"b.gguf": b"more data"}})


def test_list_shows_states(models: Path, llorch: Llorch) -> None:
    """Each task has its state and what it does; a group's name lists its members; nothing is made by looking."""
    done = llorch("list")
    assert (done.code, done.err) == (0, "")
    assert "fetch:tiny\tout-of-date\tDownload tiny\n" in done.out
    assert (
        len([line for line in done.out.splitlines() if not line.startswith(("cache:", "dev:", "git:", "remote:"))])
        == 16
    )
    assert not Path(".llorch").exists()
    llorch("models", "download", "tiny")
    done = llorch("list", "models", "fetch:big")
    assert [line.split("\t")[:2] for line in done.out.splitlines()] == [
        ["models", "out-of-date"],
        ["models:tiny", "up-to-date"],
        ["models:big", "out-of-date"],
        ["fetch:big", "out-of-date"],
    ]


def test_what_a_terminal_would_obey_is_written_out(workspace: Path) -> None:
    """A task of the dodo.py may be called anything, and be of any files."""
    name = r"'e\x1b[2Jvil'"
    write_dodo(
        workspace, f"\ndef task_odd():\n    return {{'basename': {name}, 'actions': ['true'], 'targets': [{name}]}}\n"
    )
    listed, told = program("llorch", "list"), program("llorch", "why", "e\x1b[2Jvil")
    assert (listed.code, told.code) == (0, 0)
    assert r"e\x1b[2Jvil" in listed.out
    assert r"e\x1b[2Jvil: " in told.out
    assert "\x1b[2J" not in listed.out + told.out


def test_list_as_json(models: Path, llorch: Llorch) -> None:
    """The document has name, text, state and targets."""
    (task,) = llorch("list", "fetch:tiny", "--json").json["tasks"]
    assert task == {
        "name": "fetch:tiny",
        "doc": "Download tiny",
        "state": "out-of-date",
        "targets": [".test-models/tiny/a.gguf"],
    }


@pytest.mark.parametrize("command", [("list", "fetch:tinny"), ("why", "fetch:tinny"), ("graph", "fetch:tinny")])
def test_an_unknown_task_is_named(models: Path, llorch: Llorch, command: tuple[str, ...]) -> None:
    """With what may be meant, and where to look."""
    done = llorch(*command)
    assert (done.code, done.out) == (3, "")
    assert (
        done.err
        == "error: there is no task `fetch:tinny`; did you mean `fetch:tiny`?\n\nhint: `llorch list` shows them\n"
    )
    failed = llorch(*command, "--json")
    assert (failed.code, failed.json["error"]["code"]) == (3, "unknown-name")


def test_a_models_id_alone_is_no_task(models: Path, llorch: Llorch) -> None:
    """What is meant is the group of that name, not the task whose name is the most alike."""
    done = llorch("why", "tiny")
    assert (done.code, done.err) == (
        3,
        "error: there is no task `tiny`\n\nhint: `models:tiny` is one; `llorch list` shows all\n",
    )


def test_why_tells_what_never_was_from_what_is_gone(models: Path, llorch: Llorch) -> None:
    """A file that a user's own task needs, and that nobody has made yet, is not called gone."""
    own = 'def task_own():\n    return {"actions": ["true"], "file_dep": ["x"]}\n'
    Path("dodo.py").write_text("from llorch.dodo import *\n\n\n" + own)
    assert llorch("why", "own").out == "own: `x` is not there\n"
    Path("x").write_text("x")
    assert program("doit", "own").code == 0
    Path("x").unlink()
    assert llorch("why", "own").out == "own: `x` is gone\n"


def edit_catalog() -> None:
    """Let the catalog promise another file."""
    text = Path("catalog.toml").read_text()
    Path("catalog.toml").write_text(text.replace("size = 4", "size = 5"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: None, "models:tiny is up to date"),
        (lambda: Path(".test-models/tiny/a.gguf").unlink(), "`.test-models/tiny/a.gguf` is not there"),
        (
            lambda: Path(".test-models/tiny/a.gguf").write_bytes(b"tada"),
            "`.test-models/tiny/a.gguf` is not as it was made",
        ),
        (
            lambda: Path(".test-models/tiny/a.gguf").write_bytes(b"tada"),
            "verify:tiny: `.test-models/tiny/a.gguf` has changed",
        ),
        (lambda: Path(".test-models/tiny/receipt.json").unlink(), "`.test-models/tiny/receipt.json` is not there"),
        (edit_catalog, "verify:tiny: its definition has changed: files was "),
    ],
)
def test_why_says_why(models: Path, llorch: Llorch, change: Callable[[], object], said: str) -> None:
    """What is missing, changed or declared otherwise is said of the task itself or of one that it needs."""
    assert "verify:tiny: there is no record that it was made\n" in llorch("why", "models:tiny").out
    llorch("models", "download", "tiny")
    change()
    done = llorch("why", "models:tiny")
    assert (done.code, said in done.out) == (0, True)


def test_why_as_json(models: Path, llorch: Llorch) -> None:
    """The document has each reason with what was and is."""
    llorch("models", "download", "tiny")
    assert llorch("why", "models:tiny", "--json").json == {
        "schema": 1,
        "task": "models:tiny",
        "fresh": True,
        "reasons": [],
        "restored": [],
    }
    Path(".test-models/tiny/a.gguf").unlink()
    document = llorch("why", "fetch:tiny", "--json").json
    (reason,) = document["reasons"]
    assert (document["fresh"], reason["task"], reason["kind"], reason["now"]) == (False, "fetch:tiny", "target", None)


def test_why_of_a_users_tasks(models: Path) -> None:
    """A task of the user's own is explained too."""
    more = """
def task_x():
    return {"actions": ["cat in > out"], "file_dep": ["in"], "targets": ["out"]}
def task_always():
    return {"actions": ["true"]}
def task_never():
    return {"actions": ["true"], "uptodate": [False]}
"""
    write_dodo(Path(), more)
    Path("in").write_text("one")
    program("doit", "x")
    assert program("llorch", "why", "x").out == "x is up to date\n"
    Path("in").write_text("two")
    Path("out").unlink()
    assert program("llorch", "why", "x").out == "x: `out` is not there\nx: `in` has changed\n"
    Path("in").unlink()
    assert program("llorch", "why", "x").out == "x: `out` is not there\nx: `in` is gone\n"
    assert program("llorch", "why", "always").out == "always: it runs each time\n"
    assert program("llorch", "why", "never").out == "never: its own condition says so\n"


def test_graph_in_every_form(models: Path, llorch: Llorch) -> None:
    """The named tasks and what they need are drawn; without names, all are."""
    document = llorch("graph", "models:tiny", "--json").json
    assert document["tasks"] == [
        {"name": "fetch:tiny", "needs": []},
        {"name": "verify:tiny", "needs": ["fetch:tiny"]},
        {"name": "models:tiny", "needs": ["fetch:tiny", "verify:tiny"]},
    ]
    drawn = [task["name"] for task in llorch("graph", "--json").json["tasks"]]
    assert len([name for name in drawn if not name.startswith(ACTIONS)]) == 16
    for format, start in (("mermaid", "flowchart RL"), ("dot", "digraph tasks {"), ("svg", "<svg ")):
        done = llorch("graph", "--format", format, "models:tiny")
        assert (done.code, done.out.startswith(start), "models:tiny" in done.out) == (0, True, True)
    assert llorch("graph", "--format", "png").code == 2


def test_doit_takes_its_own_options(models: Path, llorch: Llorch) -> None:
    """What follows is doit's, options too, and its exit code is given back."""
    done = llorch("doit", "list", "--all", "--status")
    assert (done.code, "R models:tiny" in done.out) == (0, True)
    assert llorch("doit", "fetch:tiny").code == 0
    assert llorch("doit", "nope").code == 3
