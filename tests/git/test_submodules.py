"""Which submodules names mean, and moving them without losing anything."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from llorch.errors import CommandFailed, DiskFull, LlorchError, NotFound, Refused, UnknownName
from llorch.git.branches import switch
from llorch.git.repo import Repo, find_repo
from llorch.git.status import Declared, load_submodules
from llorch.git.submodules import (
    Act,
    Move,
    choose,
    default_branch,
    fetch_branch,
    load_every,
    move_all,
    outermost,
    to_recorded,
    to_tip,
)
from llorch.git.sync import carry_out, plan_sync
from tests.conftest import as_mortal
from tests.git.conftest import SETTINGS, World, add_submodule, clone, commit, failing_hook, git, head, repository, state


def move(world: World, *names: str, tip: bool = False) -> dict[str, Move]:
    """Move submodules by name, or all."""
    repo = find_repo(world.work)
    known = load_every(repo)
    chosen = outermost(choose(known, names) if names else known)
    moves = move_all(chosen, to_tip if tip else to_recorded, to_recorded)
    return {each.declared.path: each for each in moves}


def test_names_may_be_short(world: World) -> None:
    """A whole path, or an end of one that no other has, names a submodule, once however often."""
    known = load_every(find_repo(world.work))
    meant = choose(known, ["candle", "./reference/candle/", "reference/../candle", "llama ü", "inner lib"])
    assert [each.path for each in meant] == ["reference/candle", "reference/llama ü", "reference/candle/inner lib"]
    with pytest.raises(UnknownName, match="there is no submodule `kandle`; did you mean `candle`"):
        choose(known, ["kandle"])
    with pytest.raises(UnknownName):
        choose(known, ["andle"])
    twins = [*known, known[0]._replace(path="other/candle")]
    with pytest.raises(UnknownName) as caught:
        choose(twins, ["candle"])
    assert caught.value.hint == "`reference/candle` and `other/candle` end so: give more of the path"


def test_to_what_is_recorded(world: World) -> None:
    """Submodules that have moved go back, those in them too; their own commits are kept, and the branch is named."""
    candle, inner = world.work / "reference/candle", world.work / "reference/candle/inner lib"
    recorded = head(candle), head(inner)
    lost = commit(candle, "mine")
    git(inner, "switch", "-qc", "mine")
    commit(inner, "mine")
    moves = move(world)
    assert (head(candle), head(inner)) == recorded
    rescue = moves["reference/candle"].rescue
    assert rescue is not None
    assert git(candle, "rev-parse", rescue) == lost
    assert (moves["reference/candle/inner lib"].left, moves["reference/candle/inner lib"].rescue) == ("mine", None)
    assert moves["reference/llama ü"].outcome == "same"


def test_local_changes_are_kept_or_nothing_moves(world: World) -> None:
    """Changes in other files come along; those that would be overwritten stop the move, and stay."""
    llama = world.work / "reference/llama ü"
    made = world.advance("reference/llama ü")
    git(world.work, "pull", "-q", "--no-recurse-submodules")
    (llama / "README").write_text("mine")
    (llama / "news").write_text("mine")
    refused = move(world, "llama ü")["reference/llama ü"]
    assert isinstance(refused.error, Refused)
    assert "would be lost: news" in refused.error.message
    (llama / "news").unlink()
    assert move(world, "llama ü")["reference/llama ü"].after == made
    assert (llama / "README").read_text() == "mine"


def test_to_the_tip(world: World) -> None:
    """Without a branch in `.gitmodules` it is the remote's default; with one that; `.` is the superproject's own."""
    candle = world.sources["reference/candle"]
    tip = commit(candle, "tip")
    git(candle, "switch", "-qc", "stable")
    stable = commit(candle, "stable")
    git(candle, "switch", "-q", "main")
    assert move(world, "candle", tip=True)["reference/candle"].after == tip
    for branch, wanted in (("stable", stable), (".", tip)):
        git(world.work, "config", "-f", ".gitmodules", "submodule.reference/candle.branch", branch)
        assert move(world, "candle", tip=True)["reference/candle"].after == wanted
    git(world.work, "config", "-f", ".gitmodules", "submodule.reference/candle.branch", "stabel")
    failed = move(world, "candle", tip=True)["reference/candle"]
    assert isinstance(failed.error, UnknownName)
    assert "did you mean `stable`" in failed.error.message
    assert head(world.work / "reference/candle") == tip


def test_what_is_in_a_submodule_follows_it(world: World, tmp_path: Path) -> None:
    """At the tip, submodules in it are what the tip records, new ones are cloned."""
    candle = world.sources["reference/candle"]
    add_submodule(candle, repository(tmp_path / "sources/newer"), "newer")
    moves = move(world, "candle", tip=True)
    assert [(path, each.outcome) for path, each in moves.items()] == [
        ("reference/candle", "moved"),
        ("reference/candle/inner lib", "same"),
        ("reference/candle/newer", "cloned"),
    ]


def test_uninitialized_ones_are_cloned(world: World) -> None:
    """What is not there is cloned, with what is in it; unless its settings say not to."""
    shutil.rmtree(world.work)
    git(world.work.parent, "clone", "-q", world.origin.as_uri(), str(world.work))
    git(world.work, "config", "submodule.reference/llama ü.update", "none")
    moves = move(world, tip=True)
    assert {path: each.outcome for path, each in moves.items()} == {
        "reference/candle": "cloned",
        "reference/candle/inner lib": "cloned",
        "reference/llama ü": "skipped",
    }
    assert move(world, "llama ü")["reference/llama ü"].outcome == "skipped"


def test_one_that_cannot_be_fetched_stops_no_other(world: World) -> None:
    """Each failure is told of its own submodule, and the others are where they should be."""
    made = {path: world.advance(path) for path in ("reference/candle", "reference/llama ü")}
    git(world.work, "pull", "-q", "--no-recurse-submodules")
    world.sources["reference/candle"].rename(world.origin.parent / "away")
    moves = move(world)
    assert isinstance(moves["reference/candle"].error, NotFound)
    assert head(world.work / "reference/llama ü") == made["reference/llama ü"]
    git(world.work, "submodule", "--quiet", "deinit", "--all", "-f")
    shutil.rmtree(world.work / ".git/modules")
    moves = move(world)
    assert isinstance(moves["reference/candle"].error, NotFound)
    assert moves["reference/llama ü"].outcome == "cloned"
    git(world.work, "config", "-f", ".gitmodules", "--remove-section", "submodule.reference/candle")
    error = move(world)["reference/candle"].error
    assert error is not None
    assert "`.gitmodules` has no entry for it" in error.message


def test_a_clone_that_was_cut_off_is_finished(world: World) -> None:
    """Where a clone has no files yet, since its commit could not be had, they come as soon as it can."""
    llama = world.work / "reference/llama ü"
    wanted = head(llama)
    tree = git(llama, "rev-parse", "HEAD^{tree}")
    for commit_then in (git(llama, "commit-tree", tree, "-m", "Elsewhere"), wanted):
        git(llama, "update-ref", "HEAD", commit_then)
        (llama / "README").unlink()
        (world.work / ".git/modules/reference/llama ü/index").unlink(missing_ok=True)
        assert move(world, "llama ü")["reference/llama ü"].outcome == "cloned"
        assert (head(llama), git(llama, "status", "--porcelain")) == (wanted, "")


def test_a_clone_that_was_cut_off_in_its_checkout_is_finished(world: World) -> None:
    """Some of its files are there, one of them by half, and git has neither an index nor a second place of HEAD yet.

    Once HEAD has been elsewhere, files without an index may be somebody's work, and stay.
    """
    llama, folder = world.work / "reference/llama ü", world.work / ".git/modules/reference/llama ü"
    first = head(llama)
    commit(world.sources["reference/llama ü"], "other")
    git(world.work, "submodule", "--quiet", "update", "--remote", "reference/llama ü")
    git(world.work, "add", "reference/llama ü")
    git(llama, "checkout", "-q", first)
    moves = (folder / "logs/HEAD").read_bytes().splitlines(keepends=True)
    (folder / "index").unlink()
    (llama / "README").write_text("ha")
    for kept, outcome in ((len(moves), "failed"), (1, "cloned")):
        (folder / "logs/HEAD").write_bytes(b"".join(moves[:kept]))
        assert move(world, "llama ü")["reference/llama ü"].outcome == outcome
    assert git(llama, "status", "--porcelain") == ""
    assert (llama / "other").is_file()


def test_a_commit_that_no_branch_has_is_fetched_by_its_id(world: World) -> None:
    """A recorded commit that only its id leads to is found, and one that is nowhere is an error."""
    source = world.sources["reference/llama ü"]
    made = commit(source, "hidden")
    git(source, "update-ref", "refs/hidden", made)
    git(source, "reset", "-q", "--hard", "HEAD~")
    git(source, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(world.work, "update-index", "--cacheinfo", f"160000,{made},reference/llama ü")
    assert move(world, "llama ü")["reference/llama ü"].after == made
    git(world.work, "update-index", "--cacheinfo", f"160000,{made[::-1]},reference/llama ü")
    assert isinstance(move(world, "llama ü")["reference/llama ü"].error, LlorchError)
    assert {each.path: each.ahead for each in load_submodules(find_repo(world.work))}["reference/llama ü"] is None


def test_the_remote_says_its_default_branch(world: World, tmp_path: Path) -> None:
    """It is asked for it, and one that is detached has none."""
    repo = find_repo(world.work)
    git(world.origin, "switch", "-qc", "trunk")
    assert default_branch(repo) == "trunk"
    assert fetch_branch(repo, "") == head(world.origin)
    git(world.work, "update-ref", os.fsdecode(b"refs/remotes/origin/caf\xe9"), "HEAD")
    with pytest.raises(UnknownName, match="did you mean `trunk`"):
        fetch_branch(repo, "trunc")
    git(world.origin, "checkout", "-q", "--detach")
    with pytest.raises(NotFound) as caught:
        default_branch(repo)
    assert "--branch" in str(caught.value.hint)
    git(world.work, "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    with pytest.raises(NotFound, match="no such repository"):
        fetch_branch(Repo(root=world.work.resolve()), "main")


def test_a_folder_that_may_not_be_entered_stops_no_other(world: World) -> None:
    """It is told of the one whose folder it is, and the others move."""
    made = world.advance("reference/llama ü")
    git(world.work, "pull", "-q", "--no-recurse-submodules")
    place = world.work / "reference/candle"
    place.chmod(0)
    try:
        moves = as_mortal(lambda: move(world))
    finally:
        place.chmod(0o755)
    assert isinstance(moves["reference/candle"].error, DiskFull)
    assert moves["reference/llama ü"].after == made


def test_a_lost_index_is_no_leave_to_overwrite(world: World) -> None:
    """Where there are files and no index, they are local changes like others."""
    llama = world.work / "reference/llama ü"
    (llama / "README").write_text("mine")
    (world.work / ".git/modules/reference/llama ü/index").unlink()
    commit(world.sources["reference/llama ü"], "README", "theirs")
    assert isinstance(move(world, "llama ü", tip=True)["reference/llama ü"].error, Refused)
    assert (llama / "README").read_text() == "mine"


@pytest.mark.parametrize("tip", [False, True])
def test_nothing_is_done_through_a_link(world: World, tmp_path: Path, tip: bool) -> None:
    """A submodule's folder that is a link to a clone elsewhere is left alone, and so is that clone."""
    llama = world.work / "reference/llama ü"
    shutil.rmtree(llama)
    mine = clone(world.sources["reference/llama ü"], tmp_path / "mine")
    commit(mine, "mine")
    llama.symlink_to(mine)
    before = state(mine)
    (known,) = choose(load_every(find_repo(world.work)), ["llama ü"])
    error = move_all([known], to_tip if tip else to_recorded, to_recorded)[0].error
    assert isinstance(error, Refused)
    assert "is a link" in error.message
    with pytest.raises(Refused, match="is a link"):
        switch(known, "main", create=False)
    assert state(mine) == before


def test_what_the_disk_refuses_stops_one_submodule(world: World) -> None:
    """It is that submodule's failure; a mistake of ours stays what it is."""
    (known, *_) = load_every(find_repo(world.work))

    def fail(number: int) -> list[Move]:
        def act(declared: Declared) -> Move:
            raise OSError(number, "no", "place")

        return move_all([known], act, act)

    (move,) = fail(errno.EACCES)
    assert "`place` cannot be used: no" in str(move.error)
    with pytest.raises(OSError, match="place"):
        fail(errno.EBADF)


def test_sync_takes_over_a_new_address(world: World) -> None:
    """What only the new one has comes in the same run; where local changes are in the way the submodule stays."""
    source = world.sources["reference/llama ü"]
    world.sources["reference/llama ü"] = source.rename(source.parent / "moved")
    git(world.origin, "submodule", "--quiet", "set-url", "reference/llama ü", (source.parent / "moved").as_uri())
    made = world.advance("reference/llama ü")
    llama = world.work / "reference/llama ü"
    before = head(llama)
    (llama / "news").write_text("mine")
    repo = find_repo(world.work)
    moves = {move.declared.path: move for move in carry_out(plan_sync(repo, "")).moves}
    assert isinstance(moves["reference/llama ü"].error, Refused)
    assert ((llama / "news").read_text(), head(llama)) == ("mine", before)
    git(world.work, "reset", "-q", "--hard", "HEAD~")
    git(world.work, "submodule", "--quiet", "sync")
    (llama / "news").unlink()
    result = carry_out(plan_sync(repo, ""))
    assert [move.error for move in result.moves if move.error] == []
    assert head(llama) == made


def rename(world: World, path: str, to: str) -> Declared:
    """Have a submodule elsewhere in origin, take that over, and return it."""
    git(world.origin, "mv", path, to)
    git(world.origin, "commit", "-qam", f"Move {path}")
    git(world.work, "pull", "-q")
    return choose(load_every(find_repo(world.work)), [to])[0]


@pytest.mark.parametrize("act", [to_recorded, to_tip])
def test_a_submodule_that_is_elsewhere_now_loses_nothing(world: World, act: Act) -> None:
    """It has the repository that it had, and what is staged and what no branch has is kept, or it is not moved."""
    old = world.work / "reference/candle"
    made = commit(old, "mine")
    (old / "README").write_text("staged")
    git(old, "add", "README")
    moved = rename(world, "reference/candle", "reference/moved")
    (refused,) = move_all([moved], act, to_recorded)
    assert refused.error is not None
    assert "changes there would be lost: README" in refused.error.message
    assert git(old, "diff", "--cached", "--name-only") == "README"
    git(old, "stash", "-q")
    (done, inner) = move_all([moved], act, to_recorded)
    assert (done.outcome, inner.outcome, inner.declared.inner) == ("cloned", "cloned", "inner lib")
    assert done.rescue is not None
    assert git(world.work / "reference/moved", "rev-parse", done.rescue, "stash@{0}^").split() == [made, made]


def test_a_name_leads_to_no_repository_outside(world: World) -> None:
    """A name with `..` may be that of a repository among the files, whose settings could have git run anything."""
    place, trap = repository(world.work / "place"), world.work / "trap"
    (place / ".git").rename(trap)
    (place / ".git").write_text(f"gitdir: {trap}\n")
    git(trap, "config", "core.worktree", str(place))
    git(trap, "config", "core.fsmonitor", "touch ../caught; false")
    table = ("submodule.reference/candle", "submodule.../../trap")
    git(world.work, "config", "-f", ".gitmodules", "--rename-section", *table)
    shutil.rmtree(world.work / "reference/candle")
    chosen = choose(load_every(find_repo(world.work)), ["candle"])[0]
    assert to_recorded(chosen).outcome == "skipped"  # as git does
    assert not (world.work / "caught").exists()
    git(place, "status")
    assert (world.work / "caught").exists()  # it was a trap


@pytest.mark.parametrize("how", ["moved", "cloned", "cut off"])
def test_a_hook_that_fails_undoes_no_move(world: World, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The submodule is where it should be, the hook's words are its error, and those in it come, too."""
    candle, recorded = world.work / "reference/candle", head(world.work / "reference/candle")
    if how == "moved":
        tip = commit(world.sources["reference/candle"], "tip")
    else:
        git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/candle")
        shutil.rmtree(world.work / ".git/modules/reference/candle")
    if how == "cut off":
        git(world.work, "submodule", "--quiet", "init", "reference/candle")
        git(world.work, "clone", "-qn", world.sources["reference/candle"].as_uri(), str(candle))
    failing_hook(world.work)
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(SETTINGS) + 1))
    monkeypatch.setenv(f"GIT_CONFIG_KEY_{len(SETTINGS)}", "core.hooksPath")
    monkeypatch.setenv(f"GIT_CONFIG_VALUE_{len(SETTINGS)}", str(world.work / ".git/hooks of all"))
    moves = move(world, "candle", tip=how == "moved")
    done = moves["reference/candle"]
    assert (done.outcome, done.after) == ("cloned" if how == "cut off" else how, tip if how == "moved" else recorded)
    assert isinstance(done.error, CommandFailed)
    assert "git-lfs was not found" in done.error.message
    assert "fatal: Unable to checkout" not in done.error.message
    assert head(candle) == done.after
    assert git(candle, "status", "--porcelain", "-uno") == ""
    assert moves["reference/candle/inner lib"].outcome == ("same" if how == "moved" else "cloned")


@pytest.mark.parametrize("act", [to_recorded, to_tip])
def test_a_checkout_that_could_not_be_done_is_no_failure_of_a_hook(world: World, act: Act) -> None:
    """Where git had to stop before, the submodule is as it was."""
    candle = world.work / "reference/candle"
    before = commit(candle, "mine")
    (Repo(candle).folder / "HEAD.lock").touch()
    (done, *_) = move_all(choose(load_every(find_repo(world.work)), ["candle"]), act, to_recorded)
    assert (done.outcome, head(candle)) == ("failed", before)


def test_a_clone_s_remote_is_origin(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has their own clones' remotes called otherwise can update submodules all the same."""
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", world.origin.as_uri(), str(fresh))
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(SETTINGS) + 1))
    monkeypatch.setenv(f"GIT_CONFIG_KEY_{len(SETTINGS)}", "clone.defaultRemoteName")
    monkeypatch.setenv(f"GIT_CONFIG_VALUE_{len(SETTINGS)}", "upstream")
    for _ in range(2):
        moves = move_all(outermost(load_every(find_repo(fresh))), to_tip, to_recorded)
        assert [each.error for each in moves] == [None] * 3
    assert git(fresh / "reference/candle", "remote") == "origin"
