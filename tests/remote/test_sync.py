"""What a plan to sync says; `test_sync_cli` carries plans out."""

from pathlib import Path

from llorch.git.repo import Repo
from llorch.remote.parts import Part
from llorch.remote.sync import Move, Plan

PART = Part(Repo(Path("/w")), "", None, "main", "1" * 40, "1" * 40)


def test_a_plan_tells_what_is_done_and_lost() -> None:
    """Repositories that are as they should be are not mentioned."""
    inner = PART._replace(path="lib ü", parent="", branch=None)
    moves = [Move(PART, True, "2" * 40, ["changes of a"], "move it"), Move(inner, True, "1" * 40)]
    plan = Plan("/r", False, moves, "`box` would lose changes of a")
    assert plan.as_json() == {
        "steps": ["move it"],
        "commit": "1" * 40,
        "lost": ["changes of a"],
        "restore": None,
    }
    assert (PART.name, inner.name) == ("the repository", "lib ü")
