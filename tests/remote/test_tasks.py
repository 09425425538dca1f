"""The tasks of remote, by plain doit."""

from pathlib import Path

from llorch.remote.tasks import COMMANDS
from tests.conftest import program, write_dodo


def test_each_command_is_a_task_that_always_runs(box: Path) -> None:
    """Every task is listed with what it does, and shows what its command does."""
    write_dodo(box)
    listed = program("llorch", "list", "--json").json["tasks"]
    tasks = {task["name"]: task["doc"] for task in listed if task["name"].startswith("remote")}
    assert tasks == {f"remote:{name}": doc for name, (_, doc) in COMMANDS.items()}
    for _ in range(2):
        done = program("doit", "remote:hosts", "remote:check")
        assert done.code == 0
        assert "box" in done.out
