"""Pulling: what came, what was kept, and every way in which it cannot be done."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.errors import Busy, CommandFailed, Conflict, LlorchError, Malformed, NotFound, Refused
from llorch.git.pull import fetch, pull
from llorch.git.repo import find_repo
from llorch.git.status import load_operation, load_status
from tests.git.conftest import World, add_submodule, commit, git, head, repository, state


def test_commits_files_and_submodules_come(world: World) -> None:
    """Local commits are on top, local changes are there, and submodules are what is recorded now."""
    commit(world.origin, "news ü", message="News")
    made = world.advance("reference/candle")
    before = commit(world.work, "mine")
    (world.work / "README").write_text("uncommitted")
    (world.work / "untracked").touch()
    done = pull(find_repo(world.work))
    assert (done.branch, done.before) == ("main", before)
    assert [each.subject for each in done.commits] == ["Move reference/candle", "News"]
    assert set(done.files) == {"news ü", "reference/candle"}
    assert [(move.declared.path, move.after) for move in done.moves if move.outcome == "moved"] == [
        ("reference/candle", made)
    ]
    assert git(world.work, "log", "--format=%s", "-2").splitlines() == ["Write mine", "Move reference/candle"]
    assert (world.work / "README").read_text() == "uncommitted"
    assert load_status(find_repo(world.work)).stashes == 0


def test_nothing_new_is_no_error(world: World) -> None:
    """Where nothing came there are no commits; submodules that are not there come all the same."""
    git(world.work, "submodule", "--quiet", "deinit", "--all", "-f")
    done = pull(find_repo(world.work))
    assert (done.before, done.commits, done.files) == (done.after, (), ())
    assert {move.outcome for move in done.moves} == {"cloned"}


def test_commits_that_contradict(world: World) -> None:
    """The rebase waits as the message says, and both of its ways out work; changes come back with the second."""
    commit(world.origin, "README", "theirs")
    commit(world.work, "README", "mine")
    commit(world.work, "other", "committed")
    (world.work / "other").write_text("uncommitted")
    before = state(world.work)
    repo = find_repo(world.work)
    with pytest.raises(Conflict, match="your commits contradict what came from origin/main: README; the rebase waits"):
        pull(repo)
    assert load_operation(repo) == "rebase"
    with pytest.raises(Refused, match="a rebase is in progress"):
        pull(repo)
    git(world.work, "rebase", "--abort")
    assert state(world.work) == before
    with pytest.raises(Conflict) as caught:
        pull(repo)
    assert "`git add` them and `git rebase --continue`" in str(caught.value.hint)
    (world.work / "README").write_text("both")
    git(world.work, "add", "README")
    git(world.work, "-c", "core.editor=true", "rebase", "--continue")
    assert load_operation(repo) is None
    assert (world.work / "other").read_text() == "uncommitted"


def test_changes_that_contradict(world: World) -> None:
    """The commits came, the changes are in a stash as the message says, and both ways out work."""
    theirs = commit(world.origin, "README", "theirs")
    (world.work / "README").write_text("mine")
    repo = find_repo(world.work)
    with pytest.raises(Conflict) as caught:
        pull(repo)
    assert "`stash@{0}`" in caught.value.message
    assert head(world.work) == theirs
    assert git(world.work, "show", "stash@{0}:README") == "mine"
    git(world.work, "reset", "-q", "--hard")
    git(world.work, "rm", "-q", "README")
    git(world.work, "commit", "-qm", "Make room")
    assert load_status(repo).stashes == 1


def test_files_in_the_way(world: World) -> None:
    """Untracked and ignored files are never overwritten: they are named, and nothing changes."""
    commit(world.origin, "new")
    commit(world.origin, "ignored")
    for name in ("new", "ignored"):
        (world.work / name).write_text("mine")
    before = state(world.work)
    with pytest.raises(Refused, match=r"in the way: ignored, new$"):
        pull(find_repo(world.work))
    assert state(world.work) == before


def test_a_submodule_that_cannot_be_fetched_stops_no_other(world: World) -> None:
    """The commits come, the others move, and the one has its error."""
    made = {path: world.advance(path) for path in ("reference/candle", "reference/llama ü")}
    world.sources["reference/candle"].rename(world.origin.parent / "away")
    done = pull(find_repo(world.work))
    failed = [move for move in done.moves if move.error]
    assert [(move.declared.path, type(move.error)) for move in failed] == [("reference/candle", NotFound)]
    assert head(world.work / "reference/llama ü") == made["reference/llama ü"]


def test_a_new_address_of_a_submodule_is_taken_over(world: World) -> None:
    """Where `.gitmodules` has another URL since, it is used; a user's own one otherwise stays."""
    moved = world.origin.parent / "moved"
    shutil.move(world.sources["reference/candle"], moved)
    git(world.work, "config", "submodule.reference/llama ü.url", "file:///my/own")
    world.sources["reference/candle"] = moved
    git(world.origin, "submodule", "--quiet", "set-url", "reference/candle", moved.as_uri())
    git(world.origin, "commit", "-qam", "Moved")
    made = world.advance("reference/candle")
    done = pull(find_repo(world.work))
    assert [move.error for move in done.moves if move.error] == []
    assert head(world.work / "reference/candle") == made
    assert git(world.work, "config", "submodule.reference/llama ü.url") == "file:///my/own"


def test_a_new_submodule_is_cloned(world: World, tmp_path: Path) -> None:
    """One that came with the commits is there afterwards, and unreachable commits of others are kept."""
    add_submodule(world.origin, repository(tmp_path / "sources/new"), "new one")
    lost = commit(world.work / "reference/candle", "mine")
    moves = {move.declared.path: move for move in pull(find_repo(world.work)).moves}
    assert moves["new one"].outcome == "cloned"
    rescue = moves["reference/candle"].rescue
    assert rescue is not None
    assert git(world.work / "reference/candle", "rev-parse", rescue) == lost


def test_an_empty_clone_gets_its_first_commits(tmp_path: Path) -> None:
    """A clone of what was empty then is what origin is now."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q")
    git(tmp_path, "clone", "-q", origin.as_uri(), "work")
    made = commit(origin, "first ü")
    done = pull(find_repo(tmp_path / "work"))
    assert (done.before, done.after, done.files) == (None, made, ("first ü",))


def test_a_branch_may_follow_one_of_its_own_repository(world: World) -> None:
    """An upstream that is a branch here needs no remote."""
    git(world.work, "switch", "-q", "--track", "-c", "side", "main")
    git(world.work, "switch", "-q", "main")
    made = commit(world.work, "more")
    git(world.work, "switch", "-q", "side")
    git(world.work, "remote", "remove", "origin")
    assert pull(find_repo(world.work)).after == made


def hook(world: World, name: str, script: str) -> None:
    """Have git run a script."""
    path = world.work / ".git/hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def detach(world: World) -> None:
    """Leave the branch."""
    git(world.work, "checkout", "-q", "--detach")


def lose_upstream(world: World) -> None:
    """Have the branch's upstream deleted."""
    git(world.work, "switch", "-qc", "side")
    git(world.work, "push", "-q", "-u", "origin", "side")
    git(world.origin, "branch", "-qD", "side")
    git(world.work, "fetch", "-qp")


def lock(world: World) -> None:
    """Have another git at work, with something to pull."""
    commit(world.origin, "new")
    (world.work / ".git/index.lock").touch()


@pytest.mark.parametrize(
    ("change", "kind", "told", "hint"),
    [
        (detach, Refused, "is on no branch to pull", "`git switch BRANCH`"),
        (lose_upstream, LlorchError, "the upstream of `side` is gone: `origin/side`", "--set-upstream-to"),
        (lambda w: git(w.work, "switch", "-qc", "new"), LlorchError, "`new` has no upstream", "git push -u origin"),
        (lambda w: git(w.work, "remote", "remove", "origin"), LlorchError, "has no remote", "`git remote add"),
        (lambda w: w.origin.rename(w.origin.parent / "x"), NotFound, "there is no such repository", "git remote -v"),
        (lock, Busy, "another git is at work", "wait for it"),
    ],
)
def test_where_pull_cannot_nothing_changes(
    world: World, change: Callable[[World], object], kind: type[LlorchError], told: str, hint: str
) -> None:
    """Each hindrance has its message and hint, and the work tree is as it was."""
    change(world)
    (world.work / "README").write_text("uncommitted")
    before = state(world.work)
    with pytest.raises(kind) as caught:
        pull(find_repo(world.work))
    assert told in caught.value.message
    assert hint in str(caught.value.hint)
    assert state(world.work) == before
    assert load_operation(find_repo(world.work)) is None


def test_a_look_before_changes_nothing(world: World) -> None:
    """Fetching tells what would come."""
    commit(world.origin, "new")
    before = state(world.work)
    assert [each.subject for each in fetch(find_repo(world.work)).commits] == ["Write new"]
    assert state(world.work) == before


def test_a_failing_hook_is_no_conflict(world: World) -> None:
    """Where a rebase cannot begin, git's own words are told."""
    commit(world.origin, "new")
    commit(world.work, "mine")
    hook(world, "pre-rebase", "echo no rebase today >&2; exit 1")
    before = state(world.work)
    with pytest.raises(LlorchError, match="no rebase today"):
        pull(find_repo(world.work))
    assert state(world.work) == before


@pytest.mark.parametrize(("backend", "which"), [("merge", "prepare-commit-msg"), ("apply", "pre-applypatch")])
def test_a_rebase_that_stops_for_another_reason_is_undone(world: World, backend: str, which: str) -> None:
    """Where a hook refuses a commit on the way, git's words are told, and all is as it was, however git rebases."""
    git(world.work, "config", "rebase.backend", backend)
    commit(world.origin, "new")
    commit(world.work, "mine")
    (world.work / "README").write_text("uncommitted")
    before = state(world.work)
    hook(world, which, "echo no commits today >&2; exit 1")
    with pytest.raises(LlorchError):
        pull(find_repo(world.work))
    repo = find_repo(world.work)
    assert (load_operation(repo), load_status(repo).stashes) == (None, 0)
    assert state(world.work) == before


@pytest.mark.parametrize("subject", ["Fix broken link", "handle: Connection refused", "the index file corrupt"])
def test_a_subject_is_no_reason(world: World, subject: str) -> None:
    """What a commit that contradicts is called says nothing of why it stopped."""
    commit(world.origin, "README", "theirs")
    commit(world.work, "README", "mine", subject)
    (world.work / "llorch.toml").write_text("version = 1\n# uncommitted\n")
    repo = find_repo(world.work)
    with pytest.raises(Conflict, match="contradict what came from origin/main: README; the rebase waits"):
        pull(repo)
    assert load_operation(repo) == "rebase"


@pytest.mark.parametrize("words", ["the link is broken", "Connection refused", "Permission denied"])
def test_what_a_hook_says_is_told_as_it_is(world: World, words: str) -> None:
    """A hook's words are not taken for git's."""
    commit(world.origin, "new")
    commit(world.work, "mine")
    hook(world, "pre-rebase", f"echo '{words}' >&2; exit 1")
    with pytest.raises(CommandFailed, match=words):
        pull(find_repo(world.work))


def test_a_locked_branch_changes_nothing(world: World) -> None:
    """Where the branch cannot be moved in the end, the rebase is undone: HEAD is on it, and local changes are there."""
    commit(world.origin, "new")
    commit(world.work, "mine")
    (world.work / "README").write_text("uncommitted")
    before = state(world.work)
    lock = world.work / ".git/refs/heads/main.lock"
    lock.touch()
    repo = find_repo(world.work)
    with pytest.raises(Busy, match=r"main\.lock"):
        pull(repo)
    assert state(world.work) == before
    assert (load_operation(repo), load_status(repo).stashes) == (None, 0)
    lock.unlink()
    assert [each.subject for each in pull(repo).commits] == ["Write new"]


def test_a_rebase_that_cannot_begin_is_ended(world: World) -> None:
    """Where git puts changes aside and can do no more, they are in the stash as the message says, and nothing waits."""
    commit(world.origin, "new")
    (world.work / ".git/info/attributes").write_text("README filter=odd\n")
    git(world.work, "config", "filter.odd.clean", "cat")
    git(world.work, "config", "filter.odd.smudge", "false")
    git(world.work, "config", "filter.odd.required", "true")
    (world.work / "README").write_text("uncommitted")
    before = head(world.work)
    repo = find_repo(world.work)
    with pytest.raises(LlorchError, match=r"(?s)smudge filter.*not committed is in `stash@\{0\}`") as caught:
        pull(repo)
    assert "`git stash pop`" in str(caught.value.hint)
    assert (head(world.work), load_operation(repo)) == (before, None)
    assert git(world.work, "show", "stash@{0}:README") == "uncommitted"


def test_a_rebase_that_cannot_be_undone_is_told(world: World) -> None:
    """Where the way back is closed too, the message says where the changes are, and the ways out of the hint work."""
    commit(world.origin, "new")
    commit(world.work, "mine")
    (world.work / "README").write_text("uncommitted")
    before = state(world.work)
    hook(world, "prepare-commit-msg", "touch .git/index.lock; exit 1")
    repo = find_repo(world.work)
    with pytest.raises(LlorchError, match=r"(?s)could not be undone: .*index\.lock.*rebase-merge/autostash") as caught:
        pull(repo)
    assert "`git rebase --abort`" in str(caught.value.hint)
    (world.work / ".git/index.lock").unlink()
    git(world.work, "rebase", "--abort")
    assert state(world.work) == before


@pytest.mark.parametrize("how", ["--assume-unchanged", "--skip-worktree"])
def test_files_that_git_overlooks_are_named(world: World, how: str) -> None:
    """Changes that git was told not to see stop a pull, which says how it sees them again."""
    commit(world.origin, "README", "theirs")
    git(world.work, "update-index", how, "README")
    (world.work / "README").write_text("mine")
    before = state(world.work)
    with pytest.raises(Refused, match=r"told to overlook files that have changed: .*README") as caught:
        pull(find_repo(world.work))
    assert "--no-assume-unchanged --no-skip-worktree" in str(caught.value.hint)
    assert state(world.work) == before


def test_names_in_a_message_are_harmless(world: World) -> None:
    """What came from elsewhere cannot write to the terminal."""
    commit(world.origin, "new\x1b[2J\nhint: x")
    (world.work / "new\x1b[2J\nhint: x").write_text("mine")
    with pytest.raises(Refused, match=r"in the way: new\\x1b\[2J\\nhint: x$"):
        pull(find_repo(world.work))


@pytest.mark.parametrize("key", ["pull.rebase", "branch.main.rebase", ""])
def test_merges_stay_where_the_settings_say_so(world: World, key: str) -> None:
    """Merges of the branch's own become a line, as git's rebase has it, and are told; or they stay."""
    git(world.work, "switch", "-qc", "side")
    commit(world.work, "side")
    git(world.work, "switch", "-q", "main")
    commit(world.work, "mine")
    git(world.work, "merge", "-q", "--no-ff", "-m", "Merge side", "side")
    merge = head(world.work)
    commit(world.origin, "new")
    if key:
        git(world.work, "config", key, "merges")
    done = pull(find_repo(world.work))
    assert [each.id for each in done.flattened] == ([] if key else [merge])
    assert git(world.work, "log", "--merges", "--format=%s") == ("Merge side" if key else "")
    assert head(world.work) != merge
    git(world.work, "reset", "-q", "--keep", str(done.before))
    assert head(world.work) == merge


def test_a_new_address_is_taken_over_in_every_level(world: World) -> None:
    """It reaches a submodule in a submodule, one that is not there, and one that is broken stops none of them."""
    away = world.origin.parent / "away"
    away.mkdir()
    paths = {path: world.sources[path] for path in ("reference/candle/inner lib", "reference/llama ü")}
    for path, source in paths.items():
        world.sources[path] = away / source.name
        source.rename(away / source.name)
    candle = world.sources["reference/candle"]
    git(candle, "submodule", "--quiet", "set-url", "inner lib", (away / "inner").as_uri())
    inner = commit(away / "inner", "inner news")
    git(candle / "inner lib", "fetch", "-q", (away / "inner").as_uri())
    git(candle / "inner lib", "checkout", "-q", inner)
    git(candle, "commit", "-qam", "Moved")
    git(world.origin / "reference/candle", "config", "fetch.recurseSubmodules", "false")
    world.advance("reference/candle")
    git(world.origin, "submodule", "--quiet", "set-url", "reference/llama ü", (away / "llama").as_uri())
    git(world.origin, "commit", "-qam", "Moved")
    wanted = world.advance("reference/llama ü")
    git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/llama ü")
    git(world.work, "submodule", "--quiet", "init", "reference/llama ü")
    shutil.rmtree(world.work / ".git/modules/reference/llama ü")
    done = pull(find_repo(world.work))
    assert [move.error for move in done.moves if move.error] == []
    assert head(world.work / "reference/candle/inner lib") == inner
    assert head(world.work / "reference/llama ü") == wanted
    for path in ("reference/candle", "reference/llama ü"):
        git(world.origin, "submodule", "--quiet", "set-url", path, world.sources[path].as_uri() + "/")
    git(world.origin, "commit", "-qam", "Another way to write it")
    (world.work / "reference/candle/.git").write_text("gitdir: /nowhere\n")
    failed = {move.declared.path: move.error for move in pull(find_repo(world.work)).moves}
    assert isinstance(failed["reference/candle"], Malformed)
    assert failed["reference/llama ü"] is None
    assert git(world.work / "reference/llama ü", "remote", "get-url", "origin").endswith("llama/")
