"""Making what a recipe describes, by a task or by another task's work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llorch import engine
from llorch.engine import file_task
from llorch.errors import Busy, TaskFailure
from llorch.locks import hold
from llorch.make import make
from llorch.progress import Progress, Silent
from llorch.session import Done, session
from llorch.state import SMALL, Recipe, Target

TOOL = Recipe("tool:hammer", (Target("hammer"),), ("iron",), {"version": 1})


@pytest.fixture
def forge(workspace: Path) -> Callable[[Progress], Done]:
    """Work that makes the tool out of iron, and fails a second time."""
    Path("iron").write_bytes(b"x" * (SMALL + 1))

    def work(progress: Progress) -> Done:
        with open("hammer", "xb") as file:
            file.write(Path("iron").read_bytes())
        return Done("forged")

    return work


def test_it_is_made_once(forge: Callable[[Progress], Done]) -> None:
    """What is fresh is left as it is, touched or not, unless work is forced."""
    assert make(TOOL, forge, Silent()) == Done("forged")
    assert make(TOOL, forge, Silent()) == Done("already there", made=False)
    Path("iron").touch()
    assert make(TOOL, forge, Silent()) == Done("already there", made=False)
    with pytest.raises(FileExistsError):
        make(TOOL, forge, Silent(), forced=True)


def test_a_record_tells_what_it_was_made_of(forge: Callable[[Progress], Done]) -> None:
    """Another input or definition has it made anew."""
    make(TOOL, forge, Silent())
    Path("iron").write_bytes(b"y" * (SMALL + 1))
    assert [reason.kind for reason in session().state.reasons(TOOL)] == ["unread"]
    with pytest.raises(FileExistsError):
        make(TOOL, forge, Silent())
    Path("hammer").unlink()
    assert make(TOOL, forge, Silent()).made
    assert make(Recipe(TOOL.name, TOOL.targets, TOOL.inputs, {"version": 1}), forge, Silent()).made is False
    with pytest.raises(FileExistsError):
        make(Recipe(TOOL.name, TOOL.targets, TOOL.inputs, {"version": 2}), forge, Silent())


def test_work_that_makes_nothing_fails(forge: Callable[[Progress], Done]) -> None:
    """A target that is not there in the end is an error, and leaves no record."""
    with pytest.raises(TaskFailure, match="`tool:hammer` ended without making `hammer`"):
        make(TOOL, lambda progress: Done(), Silent())
    assert session().state.record("tool:hammer") == {}


def test_a_tasks_work_makes_what_it_needs(forge: Callable[[Progress], Done], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second recipe made within a task has its own lock and record, and the task keeps its own meanwhile."""
    monkeypatch.setenv("LLORCH_NO_WAIT", "1")
    locked = []

    def look(progress: Progress) -> Done:
        for target in ("hammer", "nail"):
            with pytest.raises(Busy):
                hold(session().workspace, target, "another")
            locked.append(target)
        return forge(progress)

    def hit(progress: Progress) -> Done:
        made = make(TOOL, look, progress)
        hold(session().workspace, "hammer", "another").close()
        Path("nail").write_text(made.detail)
        return Done()

    namespace = {"task_nail": lambda: file_task(Recipe("nail", (Target("nail"),)), hit, "Hit")}
    (result,) = engine.run(namespace, ["nail"], jobs=0)
    assert (result.outcome, locked, Path("nail").read_text()) == ("done", ["hammer", "nail"], "forged")
    assert session().state.reasons(TOOL) == []


def test_what_was_made_of_a_changing_input_is_not_done(workspace: Path) -> None:
    """Neither what the input was nor what it is now tells what the target is of, so there is no record of it."""
    Path("iron").write_bytes(b"x" * (SMALL + 1))

    def work(progress: Progress) -> Done:
        Path("hammer").write_bytes(Path("iron").read_bytes())
        Path("iron").write_bytes(b"y" * (SMALL + 2))
        return Done("forged")

    with pytest.raises(TaskFailure, match="`iron` has changed while `tool:hammer` was at work"):
        make(TOOL, work, Silent())
    assert session().state.record(TOOL.name) == {}
