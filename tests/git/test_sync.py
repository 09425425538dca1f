"""Hard resets of a repository and its submodules, and the way back from them."""

import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from llorch.errors import LlorchError, NotFound, Refused, UnknownName
from llorch.git import sync
from llorch.git.disk import remove
from llorch.git.repo import Repo, find_repo
from llorch.git.status import load_submodules
from llorch.git.submodules import choose, load_every
from llorch.git.sync import Result, carry_out, plan_reset, plan_sync
from tests.git.conftest import World, add_submodule, clone, commit, git, head, repository, state


def work_everywhere(world: World) -> None:
    """Have commits, staged, unstaged and untracked work in the repository and in all of its submodules."""
    for number, root in enumerate([world.work, *(world.work / path for path in world.sources)]):
        commit(root, f"mine {number}")
        (root / "README").write_text("staged")
        git(root, "add", "README")
        (root / "README").write_text("unstaged")
        (root / "added ü").write_text("added")
        git(root, "add", "added ü")
        (root / "news").write_text("untracked, where something comes")
        (root / "ignored by me").write_text("untracked")


def restore(result: Result, folder: Path) -> None:
    """Run the command that was given for the way back, from elsewhere."""
    assert result.restore is not None
    subprocess.run(["sh", "-c", result.restore], cwd=folder, check=True)


def test_sync_and_back(world: World, tmp_path: Path) -> None:
    """Everything is what origin has, whatever there was; and one command brings all of that back."""
    news = {path: world.advance(path) for path in ("reference/candle", "reference/llama ü")}
    commit(world.origin, "news", "of origin")
    work_everywhere(world)
    git(world.work / "reference/llama ü", "switch", "-qc", "my_branch")
    before = state(world.work)
    plan = plan_sync(find_repo(world.work), "")
    assert state(world.work) == before
    assert [[each.subject for each in loss.commits] for loss in plan.lost] == [
        ["Write mine 0"],
        ["Write mine 1"],
        ["Write mine 3"],
        [],
    ]
    assert [loss.files for loss in plan.lost] == [("news",), ("news",), (), ("news",)]
    result = carry_out(plan)
    assert {move.declared.path: move.outcome for move in result.moves} == {
        "reference/candle": "moved",
        "reference/candle/inner lib": "moved",
        "reference/llama ü": "moved",
    }
    assert head(world.work) == head(world.origin)
    assert git(world.work, "status", "--porcelain", "-uno") == ""
    assert {path: head(world.work / path) for path in news} == news
    assert (world.work / "news").read_text() == "of origin"
    assert (world.work / "ignored by me").read_text() == "untracked"
    restore(result, tmp_path)
    assert state(world.work) == before


@pytest.mark.parametrize("how", ["staged pin", "new submodule", "gone submodule", "deleted"])
def test_sync_and_back_where_submodules_differ(world: World, tmp_path: Path, how: str) -> None:
    """A staged pin, a submodule that comes, one that goes and one that was deleted are dealt with, and come back."""
    if how == "staged pin":
        commit(world.work / "reference/candle", "mine")
        git(world.work, "add", "reference/candle")
    elif how == "new submodule":
        add_submodule(world.origin, repository(tmp_path / "sources/new"), "new one")
    elif how == "gone submodule":
        add_submodule(world.work, repository(tmp_path / "sources/new"), "mine")
        (world.work / "mine/README").write_text("changed")
    else:
        git(world.work, "rm", "-q", "--cached", "reference/candle")
    (world.work / "README").write_text("changed")
    before = state(world.work)
    result = carry_out(plan_sync(find_repo(world.work), "main"))
    assert head(world.work) == head(world.origin)
    assert all(each.state == "ok" for each in load_submodules(find_repo(world.work)))
    restore(result, tmp_path)
    after = state(world.work)
    if how == "new submodule":
        assert after.pop(str(world.work / "new one"))
        assert (world.work / "new one/README").is_file()
        git(world.work, "status")
        return
    assert after == before


def test_nothing_to_lose_needs_no_way_back(world: World) -> None:
    """Where nothing is lost there is no backup, and the commits come."""
    world.advance("reference/candle")
    result = carry_out(plan_sync(find_repo(world.work), ""))
    assert (result.backups, result.restore) == ((), None)
    assert git(world.work, "for-each-ref", "refs/llorch") == ""
    assert head(world.work) == head(world.origin)


def test_sync_to_another_branch(world: World) -> None:
    """A named branch is fetched, also into a clone that knows of one branch only; an unknown one is an error."""
    git(world.origin, "switch", "-qc", "release/1")
    made = commit(world.origin, "released")
    git(world.work.parent, "clone", "-q", "--depth", "1", "-b", "main", world.origin.as_uri(), "shallow")
    repo = find_repo(world.work.parent / "shallow")
    carry_out(plan_sync(repo, "release/1"))
    assert head(repo.root) == made
    for name in ("releese/1", "a b", "*"):
        with pytest.raises(UnknownName, match="there is no branch of origin"):
            plan_sync(repo, name)


def test_sync_of_an_empty_clone(tmp_path: Path) -> None:
    """A repository without commits gets origin's; an origin without any says so."""
    origin, work = tmp_path / "origin", tmp_path / "work"
    origin.mkdir()
    git(origin, "init", "-q")
    git(tmp_path, "clone", "-q", origin.as_uri(), "work")
    with pytest.raises((NotFound, UnknownName)):
        plan_sync(find_repo(work), "")
    made = commit(origin, "first")
    carry_out(plan_sync(find_repo(work), ""))
    assert head(work) == made


def test_one_submodule_that_cannot_stops_no_other(world: World) -> None:
    """One in the middle of something, and one whose commit cannot be fetched, are left alone and named."""
    candle, llama = world.work / "reference/candle", world.work / "reference/llama ü"
    git(candle, "bisect", "start")
    (candle / "README").write_text("mine")
    (llama / "README").write_text("mine")
    plan = plan_sync(find_repo(world.work), "")
    result = carry_out(plan)
    assert [(move.declared.path, type(move.error)) for move in result.moves if move.error] == [
        ("reference/candle", Refused)
    ]
    assert (candle / "README").read_text() == "mine"
    assert (llama / "README").read_text() == "first\n"
    git(world.sources["reference/llama ü"].parent, "init", "-q", "moved")
    world.advance("reference/llama ü")
    world.sources["reference/llama ü"].rename(world.origin.parent / "away")
    result = carry_out(plan_sync(find_repo(world.work), ""))
    assert {move.declared.path for move in result.moves if move.error} == {"reference/candle", "reference/llama ü"}
    assert head(world.work) == head(world.origin)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda root: git(root, "remote", "remove", "origin"), LlorchError),
        (lambda root: git(root, "remote", "set-url", "origin", "file:///nowhere"), NotFound),
        (lambda root: git(root, "bisect", "start"), Refused),
    ],
    ids=["no origin", "no repository", "in progress"],
)
def test_where_sync_cannot_nothing_changes(
    world: World, change: Callable[[Path], object], kind: type[LlorchError]
) -> None:
    """An error comes before anything is touched."""
    work_everywhere(world)
    change(world.work)
    before = state(world.work)
    with pytest.raises(kind) as caught:
        plan_sync(find_repo(world.work), "")
    assert caught.value.hint
    assert state(world.work) == before


def test_reset_and_back(world: World, tmp_path: Path) -> None:
    """A submodule and those in it are what is recorded, without new files; ignored ones stay, and all can come back."""
    work_everywhere(world)
    candle = world.work / "reference/candle"
    (world.work / ".git/modules/reference/candle/info/exclude").write_text("ignored by me\n")
    before, superproject = state(world.work), git(world.work, "status", "--porcelain", "--ignore-submodules=all")
    repo = find_repo(world.work)
    result = carry_out(plan_reset(repo, choose(load_every(repo), ["candle"])))
    states = {each.path: each.state for each in load_submodules(repo)}
    assert states == {"reference/candle": "ok", "reference/candle/inner lib": "ok", "reference/llama ü": "dirty"}
    assert (candle / "ignored by me").exists()
    assert not (candle / "news").exists()
    assert git(world.work, "status", "--porcelain", "--ignore-submodules=all") == superproject
    restore(result, tmp_path)
    assert state(world.work) == before


def test_reset_of_what_is_not_there_gets_it(world: World) -> None:
    """An uninitialized submodule is cloned, at its recorded commit; a broken one is named and left."""
    git(world.work, "submodule", "--quiet", "deinit", "reference/llama ü")
    repo = find_repo(world.work)
    (world.work / ".git/modules/reference/candle/HEAD").write_text("nonsense")
    result = carry_out(plan_reset(repo, load_every(repo)))
    assert {move.declared.path: move.outcome for move in result.moves} == {
        "reference/candle": "failed",
        "reference/llama ü": "cloned",
    }


def test_what_stops_in_the_middle_has_its_way_back(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another git comes in between, the error has the command that brings back what is gone already."""
    commit(world.origin, "news", "of origin")
    work_everywhere(world)
    before = state(world.work)
    plan = plan_sync(find_repo(world.work), "")
    lock = world.work / ".git/index.lock"

    def remove_and_meet(repo: Repo, files: Iterable[str]) -> None:
        remove(repo, files)
        lock.touch()

    monkeypatch.setattr(sync, "remove", remove_and_meet)
    with pytest.raises(LlorchError, match="it could not be finished: another git is at work") as caught:
        carry_out(plan)
    lock.unlink()
    assert state(world.work) != before
    command = str(caught.value.hint).removeprefix("what was taken away until then comes back with: ")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    assert state(world.work) == before


def test_folders_in_the_place_of_files_come_back(world: World, tmp_path: Path) -> None:
    """What was put in the place of a tracked file is listed, in submodules too, and comes back."""
    for root in (world.work, world.work / "reference/candle"):
        (root / "README").unlink()
        (root / "README").mkdir()
        (root / "README/data").write_text("precious")
    before = state(world.work)
    plan = plan_sync(find_repo(world.work), "")
    assert [loss.files for loss in plan.lost] == [("README/data",), ("README/data",)]
    result = carry_out(plan)
    assert (world.work / "README").read_text() == "first\n"
    restore(result, tmp_path)
    assert state(world.work) == before


@pytest.mark.parametrize("within", ["", "reference/candle"])
def test_a_repository_in_the_way_is_left_alone(world: World, within: str) -> None:
    """Where origin has a file in its place, neither it nor what is around it is touched, and it is named."""
    if within:
        world.advance(within)
    else:
        commit(world.origin, "news")
    mine = repository(world.work / within / "news")
    if within:
        result = carry_out(plan_sync(find_repo(world.work), ""))
        (failed,) = (move for move in result.moves if move.error)
        assert isinstance(failed.error, Refused)
        assert "cannot be kept: `news`" in failed.error.message
    else:
        with pytest.raises(Refused, match="cannot be kept: `news`"):
            plan_sync(find_repo(world.work), "")
    assert head(mine)


@pytest.mark.parametrize("how", ["a file", "a link", "a folder"])
def test_what_is_in_a_submodules_place_is_not_touched(world: World, tmp_path: Path, how: str) -> None:
    """A file, a link to a clone elsewhere, or a folder with something in it stays as it is, and is named."""
    llama = world.work / "reference/llama ü"
    mine = clone(world.sources["reference/llama ü"], tmp_path / "mine")
    (mine / "README").write_text("mine")
    before = state(mine)
    shutil.rmtree(llama)
    if how == "a link":
        llama.symlink_to(mine)
    elif how == "a file":
        llama.write_text("precious")
    else:
        llama.mkdir()
        (llama / "README").write_text("precious")
    repo = find_repo(world.work)
    if how == "a folder":
        assert isinstance(carry_out(plan_sync(repo, "")).moves[-1].error, Refused)
    else:
        with pytest.raises(Refused, match="cannot be kept: `reference/llama ü`"):
            plan_sync(repo, "")
    result = carry_out(plan_reset(repo, choose(load_every(repo), ["llama ü"])))
    assert [(move.declared.path, type(move.error)) for move in result.moves] == [("reference/llama ü", Refused)]
    assert state(mine) == before
    if how == "a link":
        assert llama.readlink() == mine
    else:
        assert (llama if how == "a file" else llama / "README").read_text() == "precious"


@pytest.mark.parametrize("what", ["file", "more", "branch", "merge"])
def test_what_is_done_while_the_question_is_open_is_not_lost(world: World, what: str) -> None:
    """If more would be lost than was told, or something is in progress by now, nothing is done."""
    commit(world.origin, "news", "of origin")
    (world.work / "README").write_text("changed")
    plan = plan_sync(find_repo(world.work), "")
    if what == "file":
        (world.work / "news").write_text("mine")
    elif what == "more":
        (world.work / "reference/candle/README").write_text("mine")
    elif what == "branch":
        git(world.work, "switch", "-qc", "another")
    else:
        git(world.work / "reference/candle", "bisect", "start")
    before = state(world.work)
    with pytest.raises(Refused) as caught:
        carry_out(plan)
    assert what == "merge" or "has changed since it was listed" in caught.value.message
    assert state(world.work) == before
    assert git(world.work, "for-each-ref", "refs/llorch") == ""


def test_git_does_not_reach_into_what_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that have git move submodules along change nothing: one in the middle of a merge keeps what it has."""
    candle = world.work / "reference/candle"
    world.advance("reference/candle")
    git(candle, "switch", "-qc", "mine")
    commit(candle, "README", "mine")
    git(candle, "switch", "-q", "--detach", "HEAD~")
    commit(candle, "README", "theirs")
    with pytest.raises(AssertionError):
        git(candle, "merge", "mine")
    (candle / "README").write_text("decided")
    git(world.work, "config", "submodule.recurse", "true")
    before = state(candle)
    result = carry_out(plan_sync(find_repo(world.work), ""))
    assert isinstance(result.moves[0].error, Refused)
    assert state(candle) == before


def test_submodules_without_losses_come_back_too(world: World, tmp_path: Path) -> None:
    """The way back leads to where each submodule was, also one that lost nothing, on its branch if it had one."""
    git(world.work / "reference/candle", "switch", "-qc", "dev")
    made = commit(world.sources["reference/llama ü"], "news")
    llama = world.work / "reference/llama ü"
    git(llama, "fetch", "-q")
    git(llama, "checkout", "-q", "--detach", made)
    git(world.work, "commit", "-qam", "Another pin")
    world.advance("reference/candle")
    git(world.work, "config", "submodule.recurse", "true")
    before = state(world.work)
    told: list[str] = []
    result = carry_out(plan_sync(find_repo(world.work), ""), told.append)
    assert told == [result.restore]
    assert head(llama) != made
    restore(result, tmp_path)
    assert state(world.work) == before


def test_where_only_a_submodule_loses_all_comes_back(world: World, tmp_path: Path) -> None:
    """What moved without a loss is where it was as well, so that the submodule fits."""
    world.advance("reference/candle")
    (world.work / "reference/llama ü/README").write_text("changed")
    before = state(world.work)
    result = carry_out(plan_sync(find_repo(world.work), ""))
    assert head(world.work) == head(world.origin)
    restore(result, tmp_path)
    assert state(world.work) == before


def test_the_way_back_is_told_before_anything_goes(world: World) -> None:
    """Whatever ends the run from then on, the command that brings everything back is known."""
    work_everywhere(world)
    before = state(world.work)

    def interrupt(command: str) -> None:
        assert "stash apply" in command
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(plan_sync(find_repo(world.work), ""), interrupt)
    assert state(world.work) == before


def test_reset_and_back_without_an_index(world: World, tmp_path: Path) -> None:
    """Where a submodule's index is gone, its files are kept all the same."""
    llama = world.work / "reference/llama ü"
    (llama / "README").write_text("mine")
    (world.work / ".git/modules/reference/llama ü/index").unlink()
    repo = find_repo(world.work)
    result = carry_out(plan_reset(repo, choose(load_every(repo), ["llama ü"])))
    assert (llama / "README").read_text() == "first\n"
    restore(result, tmp_path)
    assert (llama / "README").read_text() == "mine"


def test_a_file_where_only_the_way_back_has_a_folder_comes_back(world: World, tmp_path: Path) -> None:
    """What origin leaves alone, and what a reset to before would write over, is kept too."""
    commit(world.origin, "folder/file")
    git(world.work, "pull", "-q")
    git(world.origin, "mv", "folder/file", "elsewhere")
    git(world.origin, "commit", "-qm", "Move it")
    (world.work / "folder/file").unlink()
    (world.work / "folder").rmdir()
    (world.work / "folder").write_text("precious")
    before = state(world.work)
    result = carry_out(plan_sync(find_repo(world.work), ""))
    assert (world.work / "elsewhere").exists()
    restore(result, tmp_path)
    assert state(world.work) == before
