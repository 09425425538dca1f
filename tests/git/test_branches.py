"""Branches, the log, and switching submodules."""

import pytest

from llorch.errors import CommandFailed, LlorchError, NotFound, Refused, UnknownName
from llorch.git.branches import draw_log, load_branches, load_log, switch
from llorch.git.repo import Repo, find_repo
from llorch.git.status import Declared
from llorch.git.submodules import choose, load_every
from tests.git.conftest import World, commit, failing_hook, git, head


def candle(world: World) -> Declared:
    """Return a submodule."""
    repo = find_repo(world.work)
    return choose(load_every(repo), ["candle"])[0]


def test_branches_here_and_there(world: World) -> None:
    """Each branch has its upstream and how far it is from it; `origin/HEAD` is no branch."""
    commit(world.work, "mine")
    git(world.work, "branch", "--track", "twin", "main")
    git(world.work, "config", "branch.twin.merge", "refs/heads/gone")
    git(world.work, "config", "branch.twin.remote", "origin")
    found = {each.short: each for each in load_branches(find_repo(world.work))}
    assert list(found) == ["main", "twin", "origin/main"]
    main = found["main"].as_json()
    assert (main["upstream"], main["ahead"], main["behind"]) == ("refs/remotes/origin/main", 1, 0)
    twin = found["twin"].as_json()
    assert (twin["gone"], twin["ahead"]) == (True, None)
    assert (found["origin/main"].local, found["origin/main"].as_json()["ahead"]) == (False, None)


def test_the_log_is_the_last_twenty(world: World) -> None:
    """No more than that, newest first; an empty repository has none."""
    for number in range(21):
        git(world.work, "commit", "-q", "--allow-empty", "-m", f"Number {number}")
    repo = find_repo(world.work)
    assert [each.subject for each in load_log(repo)] == [f"Number {number}" for number in range(20, 0, -1)]
    assert draw_log(repo).splitlines()[0] == f"* {head(world.work)[:7]} (HEAD -> main) Number 20"
    empty = world.work.parent / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    assert (load_log(Repo(root=empty)), draw_log(Repo(root=empty))) == ((), "no commits yet")


def test_switching_fetches(world: World) -> None:
    """A branch that only origin has is made here and follows it; one that is here already is taken as it is."""
    source = world.sources["reference/candle"]
    git(source, "switch", "-qc", "feature/ü")
    made = commit(source, "feature")
    submodule = candle(world)
    before = head(submodule.repo.root)
    assert switch(submodule, "feature/ü", create=False) is None
    assert head(submodule.repo.root) == made
    assert git(submodule.repo.root, "rev-parse", "--symbolic-full-name", "@{u}") == "refs/remotes/origin/feature/ü"
    switch(submodule, "main", create=False)
    assert head(submodule.repo.root) == before
    commit(source, "more")
    switch(submodule, "feature/ü", create=False)
    assert head(submodule.repo.root) == made


def test_what_switching_leaves_behind_is_kept(world: World) -> None:
    """Commits of a detached HEAD get a ref."""
    submodule = candle(world)
    lost = commit(submodule.repo.root, "mine")
    kept = switch(submodule, "main", create=False)
    assert kept is not None
    assert git(submodule.repo.root, "rev-parse", kept) == lost


def test_a_new_branch_begins_here(world: World) -> None:
    """It is made at the commit the submodule is at, with all changes, and not over one that is there."""
    submodule = candle(world)
    made = commit(submodule.repo.root, "mine")
    (submodule.repo.root / "README").write_text("changed")
    assert switch(submodule, "new", create=True) is None
    assert git(submodule.repo.root, "branch", "--show-current") == "new"
    assert (head(submodule.repo.root), (submodule.repo.root / "README").read_text()) == (made, "changed")
    with pytest.raises(Refused, match="the branch `new` is there already"):
        switch(submodule, "new", create=True)


def test_changes_at_risk_are_not_lost(world: World) -> None:
    """Switching is refused where files differ that have changes, or are in the way; then nothing changes."""
    source = world.sources["reference/candle"]
    git(source, "switch", "-qc", "other")
    commit(source, "README", "of other")
    submodule = candle(world)
    (submodule.repo.root / "README").write_text("mine")
    before = head(submodule.repo.root)
    with pytest.raises(Refused, match=r"would be lost: README$"):
        switch(submodule, "other", create=False)
    assert (head(submodule.repo.root), (submodule.repo.root / "README").read_text()) == (before, "mine")


def test_what_cannot_be_switched(world: World) -> None:
    """Unknown and impossible branches, what is not there, and what cannot be fetched have their messages."""
    submodule = candle(world)
    with pytest.raises(UnknownName, match="there is no branch `mian`; did you mean `main`"):
        switch(submodule, "mian", create=False)
    with pytest.raises(UnknownName):
        switch(submodule, "a..b", create=True)
    world.sources["reference/candle"].rename(world.origin.parent / "away")
    with pytest.raises(NotFound):
        switch(submodule, "main", create=False)
    git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/candle")
    with pytest.raises(LlorchError, match="is not initialized") as caught:
        switch(submodule, "main", create=False)
    assert caught.value.hint == "`llorch git submodules update --pinned reference/candle` clones it"


def test_a_clone_of_a_single_branch_gets_another(world: World) -> None:
    """What a shallow clone has left out is found, and fetched from then on."""
    source = world.sources["reference/candle"]
    git(source, "branch", "dev")
    submodule = candle(world)
    root = submodule.repo.root
    git(root, "remote", "set-branches", "origin", "main")
    assert switch(submodule, "dev", create=False) is None
    assert git(root, "rev-parse", "--symbolic-full-name", "@{u}") == "refs/remotes/origin/dev"
    git(source, "switch", "-q", "dev")
    made = commit(source, "more")
    git(root, "fetch", "-q")
    assert git(root, "rev-parse", "@{u}") == made
    git(root, "switch", "-q", "main")
    git(root, "branch", "-qD", "dev")
    switch(submodule, "dev", create=False)
    assert len(git(root, "config", "--get-all", "remote.origin.fetch").splitlines()) == 2


def test_a_branch_that_only_the_submodule_has(world: World) -> None:
    """It is switched to though origin does not know it."""
    submodule = candle(world)
    git(submodule.repo.root, "branch", "mine")
    switch(submodule, "mine", create=False)
    assert git(submodule.repo.root, "branch", "--show-current") == "mine"


@pytest.mark.parametrize("create", [False, True])
def test_a_hook_that_fails_undoes_no_switch(world: World, create: bool) -> None:
    """The submodule is on the branch, as the error says, which also has what the hook said and what was kept."""
    place = world.work / "reference/candle"
    git(world.sources["reference/candle"], "branch", "side")
    commit(place, "mine")
    failing_hook(world.work)
    with pytest.raises(CommandFailed) as caught:
        switch(candle(world), "new" if create else "side", create=create)
    assert git(place, "branch", "--show-current") == ("new" if create else "side")
    assert "git's hook `post-checkout` failed" in caught.value.message
    assert "git-lfs was not found" in caught.value.message
    kept = git(place, "for-each-ref", "--format=%(refname)", "refs/llorch/rescue")
    assert kept in caught.value.message
