"""The tasks of dev, by both doors."""

from pathlib import Path

from llorch.dev.tasks import COMMANDS, EXTRAS
from tests.conftest import program, write_dodo


def test_each_command_is_a_task_that_always_runs(workspace: Path) -> None:
    """Every task is listed with what it does, is in no group, and shows what its command does."""
    write_dodo(workspace)
    listed = program("llorch", "list", "--json").json["tasks"]
    tasks = {task["name"]: task["doc"] for task in listed if task["name"].startswith("dev")}
    every = {f"dev:{name}": doc for name, (_, doc) in COMMANDS.items()}
    assert tasks == {**every, EXTRAS: "Install the packages that llorch needs for this workspace alone"}
    for _ in range(2):
        done = program("doit", "dev:doctor", env={"LLORCH_OFFLINE": "1"})
        assert done.code == 0
        assert done.out.splitlines()[-1].startswith("no failures, ")
