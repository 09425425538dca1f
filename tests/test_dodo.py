"""What `from llorch.dodo import *` gives a dodo.py."""

from pathlib import Path

from llorch import dodo
from tests.conftest import program, write_catalog, write_dodo


def test_it_gives_creators_and_the_configuration_only(workspace: Path) -> None:
    """Whatever a dodo.py takes is a creator of tasks, or DOIT_CONFIG, which names llorch's own parts."""
    names: dict[str, object] = {}
    exec("from llorch.dodo import *", names)
    names.pop("__builtins__")
    assert sorted(names) == sorted(dodo.__all__)
    assert all(name == "DOIT_CONFIG" or (name.startswith("task_") and callable(value)) for name, value in names.items())
    assert (dodo.DOIT_CONFIG["backend"], dodo.DOIT_CONFIG["default_tasks"]) == ("llorch", [])


def test_two_lines_are_a_workspace(workspace: Path) -> None:
    """With it, plain `doit` has the workspace's models, and a task of one's own can need one."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    task = "{'actions': ['cat .test-models/tiny/a.gguf'], 'task_dep': ['models:tiny']}"
    write_dodo(workspace, f"def task_use():\n    return {task}\n")
    done = program("doit", "use")
    assert (done.code, done.out) == (0, "data")
    ended = [line.split()[0] for line in done.err.splitlines() if "  done  " in line]
    assert ended == ["fetch:tiny", "verify:tiny", "use"]
