"""The tasks of git, by both doors."""

import shutil
import subprocess
from pathlib import Path

from llorch.config import find_workspace
from llorch.git.tasks import CLONE, COMMANDS
from llorch.locks import hold
from tests.conftest import BIN, in_terminal, program, write_dodo
from tests.git.conftest import World, commit, git, head, repository


def test_each_command_is_a_task_that_always_runs(world: World) -> None:
    """Every task is listed with what it does, is in no group, and shows what its command does."""
    write_dodo(world.work)
    listed = program("llorch", "list", "--json").json["tasks"]
    tasks = {task["name"]: task["doc"] for task in listed if task["name"].startswith("git")}
    every = {f"git:{name}": doc for name, (_, doc) in COMMANDS.items()}
    assert tasks == {**every, CLONE: "Clone the submodules that are not there, at what is recorded"}
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


def test_what_a_clone_lacks_comes_and_nothing_moves(world: World, tmp_path: Path) -> None:
    """Submodules that are not there are cloned, also in others; one of the user's own branch stays on it."""
    work = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", world.origin.as_uri(), str(work))
    write_dodo(work)
    git(work, "submodule", "--quiet", "update", "--init", "reference/llama ü")
    llama = work / "reference/llama ü"
    mine = commit(llama, "mine")
    done = program("llorch", "doit", CLONE, cwd=work)
    assert (done.code, "done        reference/candle, reference/candle/inner lib" in done.err) == (0, True)
    for path in ("reference/candle", "reference/candle/inner lib"):
        assert head(work / path) == head(world.origin / path)
    shutil.rmtree(work / "reference/candle/inner lib")
    assert "done        reference/candle/inner lib" in program("doit", CLONE, cwd=work).err
    assert "up to date  none is missing" in program("doit", CLONE, cwd=work).err
    assert head(llama) == mine


def test_of_two_that_clone_the_second_waits(world: World, tmp_path: Path) -> None:
    """It says for whom, looks again when it is its turn, and finds that all is done."""
    work = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", world.origin.as_uri(), str(work))
    write_dodo(work)
    with hold(find_workspace(work), CLONE, CLONE):
        second = subprocess.Popen([str(BIN / "doit"), CLONE], cwd=work, stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        assert f"{CLONE} waits for `" in second.stderr.readline()
        git(work, "submodule", "--quiet", "update", "--init", "--recursive")
    with second:
        assert "none is missing" in second.stderr.read()
    assert second.returncode == 0


def test_what_cannot_be_cloned_is_listed(world: World, tmp_path: Path) -> None:
    """The rest comes all the same, and the next run gets what has failed."""
    work, source = tmp_path / "fresh", world.sources["reference/llama ü"]
    git(tmp_path, "clone", "-q", world.origin.as_uri(), str(work))
    write_dodo(work)
    source.rename(tmp_path / "away")
    done = program("doit", CLONE, cwd=work)
    assert done.code == 1
    assert "1 of 2 submodules cannot be cloned:\n  reference/llama ü: " in done.err
    assert head(work / "reference/candle") == head(world.origin / "reference/candle")
    (tmp_path / "away").rename(source)
    assert program("doit", CLONE, cwd=work).code == 0
    assert head(llama := work / "reference/llama ü") == head(world.origin / "reference/llama ü"), llama


def test_without_submodules_there_is_nothing_to_clone(tmp_path: Path) -> None:
    """A repository without any is ready; where there is none, that is an error."""
    plain = repository(tmp_path / "plain")
    write_dodo(plain)
    assert "up to date  none is missing" in program("doit", CLONE, cwd=plain).err
    shutil.rmtree(plain / ".git")
    assert "is not in a git repository" in program("doit", CLONE, cwd=plain).err
