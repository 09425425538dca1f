"""Finding repositories, and running git in them."""

import os
from pathlib import Path

import pytest

from llorch.errors import LlorchError, Malformed, ToolMissing
from llorch.git.repo import Repo, find_repo
from tests.git.conftest import World, commit, git, head, repository


def test_the_repository_of_a_folder_is_found(world: World, tmp_path: Path) -> None:
    """From any folder below, in a linked work tree, in a submodule and through links; else that is an error."""
    (world.work / "deep/er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(world.work)
    assert find_repo(world.work / "deep/er").root == find_repo(tmp_path / "link").root == world.work.resolve()
    assert find_repo(world.work / "reference/candle").root.name == "candle"
    git(world.work, "worktree", "add", "-q", "--detach", str(tmp_path / "linked"))
    linked = find_repo(tmp_path / "linked")
    assert linked.folder == (world.work / ".git/worktrees/linked").resolve()
    assert (
        find_repo(world.work / "reference/candle").folder.resolve()
        == (world.work / ".git/modules/reference/candle").resolve()
    )
    with pytest.raises(LlorchError) as caught:
        find_repo(tmp_path)
    assert "`git init`" in str(caught.value.hint)


def test_git_works_in_this_repository_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what a hook has set nor a repository above takes the place of the one that is meant."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.setenv(name, str(world.origin / ".git"))
    assert find_repo(world.work).line("rev-parse", "--show-toplevel") == str(world.work)
    (world.work / "reference/none/.git").mkdir(parents=True)
    with pytest.raises(LlorchError, match="not a git repository"):
        find_repo(world.work / "reference/none").look("status")


def test_looking_takes_no_lock(tmp_path: Path) -> None:
    """A look works while another git holds the lock, and does not write the index."""
    root = repository(tmp_path / "r")
    index = root / ".git/index"
    before = index.read_bytes()
    os.utime(root / "README", (1, 1))
    Repo(root=root).look("status")
    assert index.read_bytes() == before
    (root / ".git/index.lock").touch()
    assert Repo(root=root).line("rev-parse", "HEAD") == head(root)


def test_commits_are_known_or_not(tmp_path: Path) -> None:
    """A commit that is here is told from one that is not, and from other things."""
    root = repository(tmp_path / "r")
    made = commit(root, "f")
    repo = Repo(root=root)
    tree = git(root, "rev-parse", "HEAD^{tree}")
    assert (repo.has(made), repo.has("HEAD"), repo.has(made[::-1]), repo.has(tree)) == (True, True, False, False)


def test_without_git_there_is_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git is not installed, that is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="`git` is not installed") as caught:
        Repo(root=tmp_path).look("status")
    assert "apt install git" in str(caught.value.hint)


def test_a_colon_in_the_path_opens_no_repository_above(tmp_path: Path) -> None:
    """Where git cannot be told where to stop looking, it works in the repository that is meant, or not at all."""
    root = repository(tmp_path / "a:b" / "r")
    assert Repo(root=root).line("rev-parse", "HEAD") == head(root)
    (root / "inner/.git").mkdir(parents=True)
    with pytest.raises(Malformed, match="not a git repository"):
        Repo(root=root / "inner").look("status")
