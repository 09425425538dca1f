"""Where files of models may be: what cannot be in one place, and links that lead away."""

import os
from pathlib import Path

import pytest

from llorch.config import Mistake, Workspace
from llorch.models.places import check_base, claim, outward_link


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("a", "b", False),
        ("a/b", "a/c", False),
        ("ab", "a", False),
        ("a", "a", True),
        ("Weights", "weights", True),
        ("a", "a/b/c", True),
        ("a/b/c", "a/b", True),
    ],
)
def test_one_place_holds_one_thing(first: str, second: str, clash: bool) -> None:
    """A path that is another's, or above or below it, cannot be there too; letters' case makes no difference."""
    said: list[str] = []
    taken: dict[str, str] = {}
    for path in (first, second):
        claim(path, ("x",), taken, lambda key, message, hint: said.append(message))
    assert said == ([f"`{second}` and `{first}` cannot both be there"] if clash else [])


def test_a_base_may_not_leave_the_workspace_by_a_link(workspace: Path) -> None:
    """A folder of the workspace is no way out of it; one that is named as what it is is none."""
    here = Workspace(root=workspace, declared=True)
    (workspace / "in").symlink_to(".")
    (workspace / "out").symlink_to("..")
    real = os.path.realpath(workspace.parent)
    assert check_base(here, "in/models") is None
    assert check_base(here, f"{real}/out") is None
    assert check_base(here, "out/models") == Mistake(
        ("paths", "models"),
        f"`out/models` is a link that leaves the workspace, to `{real}/models`",
        f'set [paths] models (or LLORCH_MODEL_BASE_DIR) to "{real}/models"',
    )


def test_the_link_that_leads_out_is_found(workspace: Path) -> None:
    """Of the folders on the way to a file, the first that is a link out of the base is named; each is read once."""
    here = Workspace(root=workspace, declared=True)
    (workspace / "base/a").mkdir(parents=True)
    (workspace / "base/a/in").symlink_to("../a")
    (workspace / "base/a/out").symlink_to("/")
    seen: dict[str, str | None] = {"base": None}
    assert outward_link(here, "base", "base/a/in/x", seen) is None
    assert outward_link(here, "base", "base/a/out/x/y", seen) == "base/a/out"
    (workspace / "base/a/out").unlink()
    assert outward_link(here, "base", "base/a/out/x/y/z", seen) == "base/a/out"
