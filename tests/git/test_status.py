"""The state of repositories and submodules in every condition they can be in."""

import os
import shutil
from pathlib import Path

import pytest

from llorch.errors import LlorchError, Malformed, Refused
from llorch.git.repo import Repo, find_repo
from llorch.git.status import (
    Submodule,
    check_place,
    load_all,
    load_declared,
    load_operation,
    load_status,
    load_submodules,
)
from tests.conftest import as_mortal
from tests.git.conftest import World, add_submodule, commit, git, head, repository


def submodules(root: Path) -> dict[str, Submodule]:
    """Return the submodules of a repository by path."""
    return {each.path: each for each in load_submodules(Repo(root=root.resolve()))}


def test_a_repository_in_step(world: World) -> None:
    """Branch, upstream, last commit and origin are told, and every submodule is as recorded, nested ones too."""
    found, modules = load_all(find_repo(world.work))
    assert (found.status.branch, found.status.upstream) == ("main", "origin/main")
    assert (found.status.ahead, found.status.behind, found.status.entries) == (0, 0, ())
    assert found.commit is not None
    assert (found.commit.id, found.commit.author) == (head(world.work), "Ada")
    assert (found.origin, found.operation) == (world.origin.as_uri(), None)
    assert [(each.path, each.state) for each in modules] == [
        ("reference/candle", "ok"),
        ("reference/candle/inner lib", "ok"),
        ("reference/llama ü", "ok"),
    ]


def test_every_state_of_a_submodule(world: World) -> None:
    """Moved, dirty, uninitialized and broken ones are told apart, with how far and how much."""
    for name in ("gone", "ahead", "behind", "elsewhere"):
        add_submodule(world.work, repository(world.work.parent / name), name)
    (world.work / "reference/candle/README").write_text("changed")
    (world.work / "reference/candle/new").touch()
    git(world.work, "submodule", "--quiet", "deinit", "reference/llama ü")
    shutil.rmtree(world.work / ".git/modules/gone")
    git(world.work / "ahead", "switch", "-qc", "mine")
    commit(world.work / "ahead", "more")
    commit(world.work / "behind", "more")
    git(world.work, "add", "behind")
    git(world.work / "behind", "reset", "-q", "--hard", "HEAD~")
    recorded = head(world.work / "elsewhere")
    git(world.work, "update-index", "--cacheinfo", f"160000,{recorded[::-1]},elsewhere")
    found = submodules(world.work)
    assert {path: each.state for path, each in found.items()} == {
        "ahead": "moved",
        "behind": "moved",
        "elsewhere": "moved",
        "gone": "broken",
        "reference/candle": "dirty",
        "reference/candle/inner lib": "ok",
        "reference/llama ü": "uninitialized",
    }
    assert (found["ahead"].ahead, found["ahead"].behind, found["ahead"].status.branch) == (1, 0, "mine")
    assert (found["behind"].ahead, found["behind"].behind) == (0, 1)
    assert (found["elsewhere"].ahead, found["elsewhere"].behind) == (None, None)
    candle = found["reference/candle"].status
    assert (candle.changed, candle.untracked, candle.branch) == (("README",), ("new",), None)
    assert "not a git repository" in (found["gone"].error or "")


@pytest.mark.parametrize("how", ["object", "head", "index", "config", "empty", "link"])
def test_a_broken_submodule_hides_no_other(world: World, how: str) -> None:
    """Whatever is wrong in one submodule is told as its state, and never taken for the state of the superproject."""
    place, folder = world.work / "reference/llama ü", world.work / ".git/modules/reference/llama ü"
    if how == "object":
        for pack in [*(folder / "objects").glob("pack/*"), *(folder / "objects").glob("??/*")]:
            pack.chmod(0o600)
            pack.write_bytes(b"broken")
    elif how == "head":
        (folder / "HEAD").write_text("nonsense")
    elif how == "index":
        (folder / "index").write_text("nonsense")
    elif how == "config":
        (folder / "config").write_text("garbage [")
        assert load_status(find_repo(world.work)).branch == "main"
    elif how == "empty":
        (place / ".git").unlink()
        (place / ".git").mkdir()
    else:
        shutil.move(world.work / "reference", world.work.parent / "outside")
        (world.work / "reference").symlink_to(world.work.parent / "outside")
    found = submodules(world.work)
    assert found["reference/llama ü"].state == "broken"
    assert found["reference/llama ü"].error
    if how != "link":
        assert found["reference/candle"].state == "ok"


@pytest.mark.parametrize("leads", ["../../.git", "../../.git/modules/reference/llama ü"])
def test_a_submodule_in_the_repository_of_another_is_broken(world: World, leads: str) -> None:
    """Git would change another work tree, or take another's commits: nothing is done, and the hint's way out works."""
    place = world.work / "reference/candle"
    (place / ".git").write_text(f"gitdir: {leads}\n")
    found = submodules(world.work)
    assert found["reference/candle"].state == "broken"
    assert "leads to another's repository" in str(found["reference/candle"].error)
    assert found["reference/llama ü"].state == "ok"
    with pytest.raises(Refused, match="leads to another's repository") as caught:
        check_place(found["reference/candle"].declared)
    assert f"move `{place.resolve()}` away" in str(caught.value.hint)
    place.rename(world.work.parent / "away")
    git(world.work, "submodule", "--quiet", "update", "reference/candle")
    assert submodules(world.work)["reference/candle"].state == "ok"


def test_a_submodule_may_have_its_repository_anywhere(world: World) -> None:
    """In its folder, by a link, under the name of another time, or with a line end of Windows."""
    place, kept = world.work / "reference/candle", world.work / ".git/modules/reference/candle"
    moved = kept.rename(kept.with_name("moved"))
    (place / ".git").write_bytes(b"gitdir: ../../.git/modules/reference/moved\r\n")
    assert submodules(world.work)["reference/candle"].state == "ok"
    (place / ".git").unlink()
    (place / ".git").symlink_to(moved)
    assert submodules(world.work)["reference/candle"].state == "ok"
    (place / ".git").unlink()
    git(moved, "config", "--unset", "core.worktree")
    shutil.move(moved, place / ".git")
    assert submodules(world.work)["reference/candle"].state == "ok"


def test_nobody_waits_for_what_is_no_file(world: World) -> None:
    """A pipe in the place of `.git` is no repository, and that is told."""
    (world.work / "reference/candle/.git").unlink()
    os.mkfifo(world.work / "reference/candle/.git")
    assert submodules(world.work)["reference/candle"].state == "broken"
    with pytest.raises(Malformed, match="not a git repository"):
        load_status(Repo(root=world.work / "reference/candle"))


def test_a_submodule_that_nothing_declares(world: World) -> None:
    """Without its entry in `.gitmodules` a submodule that is there works, and one that is not cannot."""
    (world.work / ".gitmodules").unlink()
    shutil.rmtree(world.work / "reference/llama ü")
    found = submodules(world.work)
    assert found["reference/candle"].state == "ok"
    assert (found["reference/llama ü"].state, found["reference/llama ü"].error) == (
        "broken",
        "`.gitmodules` has no entry for it",
    )
    (world.work / ".gitmodules").write_text("[submodule")
    error = submodules(world.work)["reference/llama ü"].error
    assert error is not None
    assert error.startswith("`.gitmodules` cannot be read: ")


@pytest.mark.parametrize("operation", ["rebase", "merge", "cherry-pick", "revert", "bisect", "am"])
def test_what_is_in_progress(tmp_path: Path, operation: str) -> None:
    """Everything that git may be in the middle of has its name, with the files that are in conflict."""
    root = repository(tmp_path / "r")
    commit(root, "f", "one\n")
    git(root, "switch", "-qc", "side")
    commit(root, "f", "side\n")
    patch = git(root, "format-patch", "-1", "--stdout")
    (tmp_path / "patch").write_text(patch + "\n")
    git(root, "switch", "-q", "main")
    commit(root, "f", "main\n")
    commit(root, "f", "main again\n")
    assert load_operation(Repo(root=root)) is None
    command = {
        "rebase": ["rebase", "-q", "side"],
        "merge": ["merge", "-q", "side"],
        "cherry-pick": ["cherry-pick", "side"],
        "revert": ["revert", "--no-edit", "HEAD~"],
        "bisect": ["bisect", "start"],
        "am": ["am", "-3", str(tmp_path / "patch")],
    }[operation]
    if operation == "bisect":
        git(root, *command)
    else:
        with pytest.raises(AssertionError):
            git(root, *command)
    found, _ = load_all(Repo(root=root))
    assert found.operation == operation
    assert found.status.conflicted == (() if operation == "bisect" else ("f",))


def test_repositories_without_much(tmp_path: Path) -> None:
    """Empty, detached, without origin, in a linked work tree, bare of submodules, shallow: each is told as it is."""
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    found, modules = load_all(Repo(root=empty))
    assert (found.status.commit, found.status.branch, found.commit, found.origin) == (None, "main", None, None)
    assert modules == ()
    root = repository(tmp_path / "r")
    commit(root, "f")
    git(root, "worktree", "add", "-q", "--detach", str(tmp_path / "linked tree"))
    linked = Repo(root=(tmp_path / "linked tree").resolve())
    assert (load_status(linked).branch, load_status(linked).commit) == (None, head(root))
    assert load_operation(linked) is None
    git(tmp_path, "clone", "-q", "--depth", "1", root.as_uri(), "shallow")
    shallow, _ = load_all(Repo(root=tmp_path / "shallow"))
    assert (shallow.status.ahead, shallow.status.behind) == (0, 0)


def test_awkward_names(world: World) -> None:
    """Names with newlines, spaces, tabs, quotes and bytes that are no text are what they are."""
    names = ["a\nb", " lead", "tab\tx", '"quoted"', "-dash", ":colon", "ü"]
    for name in names:
        (world.work / name).touch()
    (Path(os.fsdecode(os.fsencode(world.work) + b"/by\xff"))).touch()
    git(world.work, "add", "-f", "--", "a\nb")
    status = load_status(find_repo(world.work))
    assert status.staged == ("a\nb",)
    assert set(status.untracked) == {*names[1:], "by\udcff"}


def test_a_submodule_is_a_repository_too(world: World) -> None:
    """From within a submodule, its own state is told, and that of the submodules in it."""
    found, modules = load_all(find_repo(world.work / "reference/candle"))
    assert found.commit is not None
    assert found.commit.subject == "Add inner lib"
    assert [each.path for each in modules] == ["inner lib"]


def test_a_tree_tells_of_submodules_too(world: World) -> None:
    """The submodules of another commit are known without going there, also where it has none."""
    repo = find_repo(world.work)
    before = load_declared(repo, tree="HEAD~")
    assert [(each.path, each.name) for each in before] == [("reference/candle", "reference/candle")]
    assert load_declared(repo, tree="HEAD~2") == ()
    git(world.work, "rm", "-q", "--cached", ".gitmodules")
    git(world.work, "commit", "-qm", "No modules")
    assert {each.error for each in load_declared(repo, tree="HEAD")} == {"`.gitmodules` has no entry for it"}


def test_secrets_are_not_told(world: World) -> None:
    """User names and tokens in URLs do not leave git's settings."""
    git(world.work, "remote", "set-url", "origin", "https://me:token@example.org/x")
    git(world.work, "config", "-f", ".gitmodules", "submodule.reference/candle.url", "https://token@example.org/y")
    found, modules = load_all(find_repo(world.work))
    assert found.origin == "https://example.org/x"
    assert modules[0].declared.url == "https://example.org/y"


def test_what_is_wrong_with_the_repository_itself_is_an_error(world: World, tmp_path: Path) -> None:
    """Only the submodules' mistakes are states."""
    (world.work / ".git/index").write_bytes(b"nonsense")
    with pytest.raises(Malformed, match="is malformed"):
        load_all(find_repo(world.work))
    with pytest.raises(LlorchError, match="is not in a git repository"):
        find_repo(tmp_path.parent)


def test_a_folder_that_may_not_be_entered_is_not_gone(world: World) -> None:
    """A submodule whose folder is closed to the user is broken, not uninitialized, and hides no other."""
    place = world.work / "reference/llama ü"
    place.chmod(0)
    try:
        found = as_mortal(lambda: submodules(world.work))
    finally:
        place.chmod(0o755)
    assert (found["reference/llama ü"].state, found["reference/candle"].state) == ("broken", "ok")
    assert "may not be read: Permission denied" in str(found["reference/llama ü"].error)


@pytest.mark.parametrize("inside", [".", "reference/candle"])
def test_a_gitmodules_that_may_not_be_read_hides_nothing(world: World, inside: str) -> None:
    """What is there has its state, and one that has yet to be cloned is broken for want of its entry."""
    git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/llama ü")
    place = world.work / inside / ".gitmodules"
    place.chmod(0)
    try:
        found = as_mortal(lambda: submodules(world.work))
    finally:
        place.chmod(0o644)
    inner = found["reference/candle/inner lib"]
    assert (inner.state, bool(inner.declared.url)) == ("ok", inside == ".")
    if inside == ".":
        assert found["reference/llama ü"].error == "`.gitmodules` may not be read"


def test_looking_fetches_nothing(world: World) -> None:
    """A submodule that is a partial clone is not asked its server for a commit that is not here."""
    source, place = world.sources["reference/llama ü"], world.work / "reference/llama ü"
    git(source, "config", "uploadpack.allowFilter", "true")
    git(source, "config", "uploadpack.allowAnySHA1InWant", "true")
    shutil.rmtree(place)
    git(world.work, "clone", "-q", "--filter=blob:none", source.as_uri(), "reference/llama ü")
    made = commit(source, "news")
    git(world.work, "update-index", "--cacheinfo", f"160000,{made},reference/llama ü")
    found = submodules(world.work)["reference/llama ü"]
    assert (found.state, found.ahead, found.behind) == ("moved", None, None)
    git(place, "cat-file", "-e", made)  # as git itself does
