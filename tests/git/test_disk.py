"""What is on the disk where a commit has something else, and taking files away."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.errors import Refused
from llorch.git.disk import in_the_way, remove, untracked_files
from llorch.git.repo import Repo
from tests.git.conftest import World, commit, git, head, repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository, and another branch of it, `goal`, with more."""
    root = repository(tmp_path / "Wörk späce's")
    git(root, "switch", "-qc", "goal")
    commit(root, "untracked/x", "of goal")
    commit(root, "folder", "a file of goal")
    git(root, "switch", "-q", "main")
    return root


def test_what_is_in_the_way_is_found_through_links_and_folders(root: Path, tmp_path: Path) -> None:
    """A link where a folder comes is in the way itself; what it leads to is not."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x").touch()
    (root / "untracked").symlink_to(tmp_path / "outside")
    assert in_the_way(Repo(root=root), "goal") == ("untracked",)
    git(root, "add", "untracked")
    assert in_the_way(Repo(root=root), "goal") == ()


@pytest.mark.parametrize("name", ["untracked", "folder", "folder/deep/inside", "folder/bare"])
def test_a_repository_in_the_way_is_not_for_us_to_keep(root: Path, name: str) -> None:
    """One where a file comes, or around or below that, is refused: its history would be lost with it."""
    if name == "folder/bare":
        (root / "folder").mkdir()
        git(root, "init", "-q", "--bare", name)
    else:
        repository(root / name)
    with pytest.raises(Refused, match=f"cannot be kept: `{name}`$") as caught:
        in_the_way(Repo(root=root), "goal")
    assert "move what is there away" in str(caught.value.hint)


@pytest.mark.parametrize("how", ["a file", "a link", "a file above"])
def test_what_is_in_a_submodules_place_is_refused(world: World, tmp_path: Path, how: str) -> None:
    """A reset would put a submodule there, and nothing could bring back both."""
    path = "reference/llama ü"
    (world.work / path).rename(tmp_path / "away")
    if how == "a file above":
        (world.work / "reference").rename(tmp_path / "reference")
        path = "reference"
    if how == "a link":
        (world.work / path).symlink_to(tmp_path / "away")
    else:
        (world.work / path).write_text("precious")
    with pytest.raises(Refused, match=f"cannot be kept: `{path}`$"):
        in_the_way(Repo(root=world.work.resolve()), "HEAD")


@pytest.mark.parametrize("what", ["reference", "reference/candle", "reference/candle/x"])
def test_a_submodule_that_becomes_something_else_is_refused(world: World, what: str) -> None:
    """A reset would wipe its folder; one that was emptied is in nobody's way, whatever comes."""
    git(world.work, "switch", "-qc", "goal")
    git(world.work, "rm", "-q", "reference/candle", "reference/llama ü")
    shutil.rmtree(world.work / "reference", ignore_errors=True)
    commit(world.work, what)
    git(world.work, "switch", "-q", "--force", "main")
    git(world.work, "submodule", "--quiet", "update", "--recursive")
    repo = Repo(root=world.work.resolve())
    with pytest.raises(Refused, match=r"cannot be kept: `reference/candle`") as caught:
        in_the_way(repo, "goal")
    assert "git submodule deinit" in str(caught.value.hint)
    git(world.work, "submodule", "--quiet", "deinit", "--all", "-f")
    assert in_the_way(repo, "goal") == ()


def test_an_emptied_folder_goes_with_its_files(root: Path, make_deep: Callable[[str], None]) -> None:
    """Files are removed with the folders that they leave empty, and no others; one that is gone already is no error."""
    make_deep("x/y/z")
    make_deep("x/kept")
    remove(Repo(root=root), ["x/y/z", "x/y/gone"])
    assert sorted(path.name for path in (root / "x").iterdir()) == ["kept"]


@pytest.fixture
def make_deep(root: Path) -> Callable[[str], None]:
    """Make a file with the folders above it."""

    def make(name: str) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()

    return make


def test_embedded_repositories_are_nobodys_files(root: Path) -> None:
    """A repository in the work tree is not listed, so that nothing takes it away."""
    repository(root / "embedded")
    (root / "new").touch()
    assert untracked_files(Repo(root=root)) == ("new",)
    assert head(root / "embedded")


def test_bare_repositories_are_nobodys_files(root: Path) -> None:
    """A repository without a work tree is no heap of files."""
    git(root, "init", "-q", "--bare", "mirrors/bare.git")
    for name in ("mirrors/HEAD", "HEAD"):
        (root / name).touch()
    assert untracked_files(Repo(root=root)) == ("HEAD", "mirrors/HEAD")
