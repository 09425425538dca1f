"""The tasks of git, by both doors."""

from llorch.git.tasks import COMMANDS
from tests.conftest import BIN, in_terminal, program, write_dodo
from tests.git.conftest import World, git


def test_each_command_is_a_task_that_always_runs(world: World) -> None:
    """Every task is listed with what it does, is in no group, and shows what its command does."""
    write_dodo(world.work)
    listed = program("llorch", "list", "--json").json["tasks"]
    tasks = {task["name"]: task["doc"] for task in listed if task["name"].startswith("git")}
    assert tasks == {f"git:{name}": doc for name, (_, doc) in COMMANDS.items()}
    for _ in range(2):
        done = program("doit", "git:status", "git:submodules-status")
        assert done.code == 0
        assert "main, even with origin/main" in done.out
        assert "reference/candle/inner lib\tok\tdetached" in done.out


def test_a_task_that_destroys_asks(world: World) -> None:
    """Without a terminal it refuses and fails; with one it asks, and does it after a yes."""
    write_dodo(world.work)
    (world.work / "new").touch()
    done = program("doit", "git:clean")
    assert (done.code, (world.work / "new").exists()) == (1, True)
    assert "nobody can be asked here" in done.err
    git(world.work, "add", "dodo.py")
    done = in_terminal(str(BIN / "doit"), "git:clean", typed="y\n")
    assert (done.code, (world.work / "new").exists()) == (0, False)
    assert "Remove them? [y/N]" in done.out


def test_a_dry_run_is_dry(world: World) -> None:
    """The switch for a dry run reaches the commands."""
    write_dodo(world.work)
    assert program("doit", "git:clean", env={"LLORCH_DRY_RUN": "1"}).code == 0
    assert (world.work / "dodo.py").exists()
