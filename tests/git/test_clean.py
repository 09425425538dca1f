"""What cleaning takes away, and what it never does."""

from pathlib import Path

import pytest

from llorch.errors import Refused
from llorch.git.clean import plan_clean
from llorch.git.repo import Repo
from tests.git.conftest import commit, git, repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with files of every kind, in folders that nobody ignores."""
    root = repository(tmp_path / "Wörk späce")
    commit(root, ".gitignore", "ignored\n")
    for name in (
        "new", "folder/a\nb", "ignored", ".llorch/state.db", "data/models/tiny/m.gguf", "data/other", "models2/x",
    ):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    repository(root / "embedded")
    return root


def test_models_and_our_own_files_stay(root: Path) -> None:
    """Whatever is in the model folder or in `.llorch/` stays, as do ignored files and repositories."""
    loss = plan_clean(Repo(root=root), [root / "data/models", root / ".llorch", root / "models"])
    assert loss.files == ("data/other", "folder/a\nb", "models2/x", "new")


def test_a_link_does_not_hide_the_model_folder(root: Path, tmp_path: Path) -> None:
    """A model folder that is reached through links is protected, and so is each of these; others may go."""
    (root / "models").symlink_to("by way of")
    (root / "by way of").symlink_to("data")
    (root / "elsewhere").symlink_to("models2")
    files = plan_clean(Repo(root=root), [root / "models/models", root / ".llorch"]).files
    assert files == ("data/other", "elsewhere", "folder/a\nb", "models2/x", "new")


def test_in_the_middle_of_something_nothing_is_taken(root: Path) -> None:
    """What cannot be kept is not removed."""
    git(root, "bisect", "start")
    with pytest.raises(Refused, match="a bisect is in progress"):
        plan_clean(Repo(root=root), [])
