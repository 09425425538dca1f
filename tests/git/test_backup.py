"""What would be destroyed is kept, and the printed command brings every bit of it back."""

import os
import subprocess
from pathlib import Path

import pytest

from llorch.errors import LlorchError, Refused
from llorch.git.backup import Loss, check_kept, find_loss, keep, now, rescue
from llorch.git.disk import remove, untracked_files
from llorch.git.repo import Repo, find_repo
from llorch.git.sync import carry_out, plan_sync
from tests.git.conftest import World, commit, git, head, repository, state


def run(command: str, folder: Path) -> None:
    """Run a command as a user would who copies it, from anywhere."""
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)


def wipe(loss: Loss, target: str) -> None:
    """Make the work tree what a commit has."""
    remove(loss.repo, loss.files)
    loss.repo.run("reset", "-q", "--hard", target)


def edit_everything(root: Path) -> None:
    """Have work of every kind in a repository that has the files `a`, `b`, `c` and `d`."""
    commit(root, "mine", message="Mine")
    (root / "a").write_text("staged")
    git(root, "add", "a")
    (root / "a").write_text("staged and changed")
    git(root, "rm", "-q", "b")
    (root / "c").unlink()
    git(root, "mv", "d", "d moved\nfar")
    (root / "exe").write_text("#!/bin/sh\n")
    (root / "exe").chmod(0o755)
    git(root, "add", "exe")
    (root / "link").symlink_to("nowhere")
    git(root, "add", "link")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with some files, and a commit that another branch, `goal`, has besides."""
    root = repository(tmp_path / "Wörk späce's")
    for name in "abcd":
        commit(root, name)
    git(root, "switch", "-qc", "goal")
    commit(root, "untracked/x", "of goal")
    commit(root, "ignored", "of goal")
    commit(root, "folder", "a file of goal")
    git(root, "switch", "-q", "main")
    commit(root, ".gitignore", "ignored\n")
    return root


@pytest.mark.parametrize("detached", [False, True])
def test_a_branch_that_moves_comes_back(root: Path, tmp_path: Path, detached: bool) -> None:
    """Commits, staged and unstaged changes, and files in the way of what comes are there again, as they were."""
    if detached:
        git(root, "checkout", "-q", "--detach")
    edit_everything(root)
    for name in ("untracked", "ignored", "folder/deep/y", "stays ü\n"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("precious")
    before = state(root)
    repo = Repo(root=root)
    loss = find_loss(repo, "goal", "reset", untracked=False)
    assert [each.subject for each in loss.commits] == ["Mine", "Write .gitignore"]
    assert set(loss.changes) == {"a", "b", "c", "d moved\nfar", "exe", "link"}
    assert loss.files == ("folder/deep/y", "ignored", "untracked")
    backup = keep(loss, now())
    assert state(root) == before
    wipe(loss, "goal")
    assert (root / "stays ü\n").read_text() == "precious"
    assert (root / "folder").read_text() == "a file of goal"
    run(backup.restore, tmp_path)
    assert state(root) == before


def test_a_command_steers_no_terminal_and_finds_any_folder(tmp_path: Path) -> None:
    """The way back is text, whatever the repository's path is."""
    root = repository(tmp_path / os.fsdecode(b"it's\x1b[2J\xff"))
    (root / "README").write_text("mine")
    loss = find_loss(Repo(root=root), "HEAD", "reset", untracked=False)
    restore = keep(loss, now()).restore
    assert restore.isprintable()
    wipe(loss, "HEAD")
    run(restore, tmp_path)
    assert (root / "README").read_text() == "mine"


@pytest.mark.parametrize("branch", ["main", "it's", None])
def test_a_branch_that_is_left_comes_back(root: Path, tmp_path: Path, branch: str | None) -> None:
    """A detached HEAD goes back to its commits, one on a branch to that, with all changes and files."""
    if branch is None:
        git(root, "checkout", "-q", "--detach")
    elif branch != "main":
        git(root, "switch", "-qc", branch)
    edit_everything(root)
    (root / "new").write_text("new")
    before = state(root)
    repo = Repo(root=root)
    loss = find_loss(repo, "goal", "leaves", untracked=True)
    assert [each.subject for each in loss.commits] == ([] if branch else ["Mine"])
    backup = keep(loss, now())
    remove(repo, loss.files)
    repo.run("checkout", "-q", "-f", "--detach", "goal")
    run(backup.restore, tmp_path)
    assert state(root) == before


def test_files_come_back_beside_what_happened_since(root: Path, tmp_path: Path) -> None:
    """Where HEAD and what git tracks stay, bringing files back leaves both alone, whatever they are by then."""
    (root / "new ü\n").write_text("new")
    (root / "empty").mkdir()
    repo = Repo(root=root)
    loss = Loss(repo, find_loss(repo, "HEAD", "leaves", untracked=True).status, "stays", files=untracked_files(repo))
    backup = keep(loss, now())
    remove(repo, loss.files)
    commit(root, "since")
    (root / "a").write_text("since")
    (root / "b").write_text("since")
    git(root, "add", "b")
    before = state(root)
    run(backup.restore, tmp_path)
    (root / "new ü\n").unlink()
    assert state(root) == before


def test_an_empty_repository_can_lose_files_too(root: Path, tmp_path: Path) -> None:
    """Without a commit, staged and other files come back as well."""
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    git(empty, "fetch", "-q", root.as_uri(), "goal:refs/remotes/origin/goal")
    (empty / "a").write_text("staged")
    git(empty, "add", "a")
    (empty / "b").write_text("in the way")
    repo = Repo(root=empty)
    loss = find_loss(repo, "origin/goal", "reset", untracked=False)
    assert (loss.commits, loss.changes, loss.files) == ((), ("a",), ("b",))
    backup = keep(loss, now())
    wipe(loss, "origin/goal")
    run(backup.restore, tmp_path)
    assert {path.name: path.read_text() for path in empty.iterdir() if path.is_file()} == {
        "a": "staged",
        "b": "in the way",
    }
    assert git(empty, "diff", "--cached", "--name-only") == "a"


def test_nobody_needs_a_name_for_a_backup(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users who have told git no name get their backup too."""
    for number in range(int(os.environ["GIT_CONFIG_COUNT"])):
        if os.environ[f"GIT_CONFIG_KEY_{number}"].startswith("user."):
            monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", "")
    (root / "a").write_text("changed")
    loss = find_loss(Repo(root=root), "HEAD", "reset", untracked=False)
    backup = keep(loss, now())
    wipe(loss, "HEAD")
    run(backup.restore, tmp_path)
    assert (root / "a").read_text() == "changed"


def test_a_file_that_was_to_be_added_later_is_back_too(root: Path, tmp_path: Path) -> None:
    """Of `git add --intent-to-add` the file comes back, and so does the intent."""
    (root / "it's later").write_text("intended")
    git(root, "add", "-N", "it's later")
    before = state(root)
    loss = find_loss(Repo(root=root), "goal", "reset", untracked=False)
    assert loss.changes == ("it's later",)
    backup = keep(loss, now())
    wipe(loss, "goal")
    run(backup.restore, tmp_path)
    assert state(root) == before


def test_nothing_is_lost_where_nothing_changes(root: Path) -> None:
    """A clean work tree that is where it should be has nothing to keep, and what is ignored stays out of it."""
    (root / "ignored").touch()
    assert find_loss(Repo(root=root), "HEAD", "reset", untracked=True).is_none


@pytest.mark.parametrize("conflict", ["rebase", "bisect", "stash"])
def test_what_cannot_be_kept_is_not_lost(root: Path, conflict: str) -> None:
    """In the middle of something, or with files in conflict, nothing is planned; the hint says how to end it."""
    if conflict == "bisect":
        git(root, "bisect", "start")
    elif conflict == "rebase":
        commit(root, "untracked/x", "of main")
        with pytest.raises(AssertionError):
            git(root, "rebase", "-q", "goal")
    else:
        (root / "a").write_text("stashed")
        git(root, "stash", "-q")
        commit(root, "a", "committed")
        with pytest.raises(AssertionError):
            git(root, "stash", "pop", "-q")
    with pytest.raises(Refused) as caught:
        find_loss(Repo(root=root), "HEAD", "reset", untracked=False)
    told = {
        "rebase": ("a rebase is in progress", "`git rebase --continue` or `git rebase --abort`"),
        "bisect": ("a bisect is in progress", "`git bisect reset`"),
        "stash": ("are in conflict: a", "`git add`"),
    }[conflict]
    assert told[0] in caught.value.message
    assert told[1] in str(caught.value.hint)


def test_a_checkout_that_would_lose_changes_is_refused(root: Path) -> None:
    """Changes in files that differ, and files in the way, are named; other changes may stay."""
    (root / "a").write_text("mine")
    check_kept(Repo(root=root), "goal")
    (root / "ignored").write_text("mine")
    (root / ".gitignore").write_text("mine")
    with pytest.raises(Refused, match=r"would be lost: \.gitignore, ignored$"):
        check_kept(Repo(root=root), "goal")


def test_commits_that_nothing_reaches_are_rescued(world: World) -> None:
    """A detached HEAD's own commits get a ref, and only those."""
    repo = find_repo(world.work / "reference/candle")
    assert rescue(repo) is None
    made = commit(repo.root, "mine")
    ref = rescue(repo)
    assert ref is not None
    assert ref.startswith("refs/llorch/rescue/")
    assert git(repo.root, "rev-parse", ref) == made
    git(repo.root, "tag", "kept")
    assert rescue(repo) is None


def test_a_file_that_was_moved_and_is_to_be_added_later_is_back_too(root: Path, tmp_path: Path) -> None:
    """Its new name comes back, and one that is gone by now has nothing to keep."""
    (root / "gone").touch()
    (root / "a").rename(root / "moved later")
    git(root, "add", "-N", "moved later", "gone")
    (root / "gone").unlink()
    loss = find_loss(Repo(root=root), "goal", "reset", untracked=False)
    assert loss.changes == ("gone", "moved later")
    backup = keep(loss, now())
    wipe(loss, "goal")
    assert not (root / "moved later").exists()
    run(backup.restore, tmp_path)
    assert (root / "moved later").read_text() == "a"


def test_files_come_back_beside_one_to_be_added_later(root: Path, tmp_path: Path) -> None:
    """A file that is meant for the next commit is no obstacle, and a file that was made anew is not overwritten."""
    (root / "later").write_text("intended")
    git(root, "add", "-N", "later")
    (root / "new").write_text("new")
    repo = Repo(root=root)
    before = state(root)
    loss = Loss(repo, find_loss(repo, "HEAD", "leaves", untracked=True).status, "stays", files=untracked_files(repo))
    assert loss.files == ("new",)
    backup = keep(loss, now())
    remove(repo, loss.files)
    run(backup.restore, tmp_path)
    assert state(root) == before
    (root / "new").write_text("newer")
    with pytest.raises(subprocess.CalledProcessError):
        run(backup.restore, tmp_path)
    assert (root / "new").read_text() == "newer"


def test_a_change_of_the_same_size_and_time_is_kept(root: Path, tmp_path: Path) -> None:
    """What differs in nothing that a file system tells, and within the second of the index, is looked into."""
    git(root, "config", "core.trustctime", "false")
    os.utime(root / "a", (1_700_000_000, 1_700_000_000))
    git(root, "update-index", "--refresh")
    os.utime(root / ".git/index", (1_700_000_000, 1_700_000_000))
    (root / "a").write_text("A")
    os.utime(root / "a", (1_700_000_000, 1_700_000_000))
    before = state(root)
    loss = find_loss(Repo(root=root), "goal", "reset", untracked=False)
    assert loss.changes == ("a",)
    backup = keep(loss, now())
    wipe(loss, "goal")
    run(backup.restore, tmp_path)
    assert state(root) == before


@pytest.mark.parametrize("crlf", ["input", "true", "false"])
def test_line_ends_come_back_as_they_were(root: Path, tmp_path: Path, crlf: str) -> None:
    """Whatever git's settings make of line ends, files have the ones that they had."""
    git(root, "config", "core.autocrlf", crlf)
    git(root, "config", "core.safecrlf", "true")
    for number, text in enumerate((b"one\r\ntwo\r\n", b"one\ntwo\n", b"one\r\ntwo\n")):
        (root / f"new {number}").write_bytes(text)
        (root / "abc"[number]).write_bytes(text)
    before = state(root)
    loss = find_loss(Repo(root=root), "goal", "reset", untracked=True)
    backup = keep(loss, now())
    wipe(loss, "goal")
    run(backup.restore, tmp_path)
    assert state(root) == before


def test_folders_and_files_in_each_others_places_come_back(root: Path, tmp_path: Path) -> None:
    """A tracked file that is a folder now, and a folder that is a file, are lost with what they are now."""
    commit(root, "d folder/x/y")
    commit(root, "e folder/x")
    git(root, "branch", "-f", "goal")
    for name in ("a", "d folder/x/y"):
        (root / name).unlink()
        (root / name).mkdir()
        (root / name / "data").write_text("precious")
    (root / "e folder/x").unlink()
    (root / "e folder").rmdir()
    (root / "e folder").symlink_to("precious")
    before = state(root)
    loss = find_loss(Repo(root=root), "goal", "reset", untracked=False)
    assert loss.files == ("a/data", "d folder/x/y/data", "e folder")
    backup = keep(loss, now())
    wipe(loss, "goal")
    assert (root / "a").read_text() == "a"
    run(backup.restore, tmp_path)
    assert state(root) == before


@pytest.mark.parametrize("kind", ["changes", "files"])
def test_what_could_not_be_kept_is_not_lost(root: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git does not take what is listed into the backup, all stays, and there is no ref that claims otherwise."""
    if kind == "files":
        (root / "folder").mkdir()
        os.mkfifo(root / "folder/pipe")
    else:
        (root / "a").write_text("changed")
    loss = find_loss(Repo(root=root), "goal", "reset", untracked=False)
    assert loss.changes + loss.files == ("folder/pipe",) if kind == "files" else ("a",)
    if kind == "changes":
        (root / "a").write_text("a")  # as when git overlooks the change
    before = head(root), git(root, "status", "--porcelain")
    with pytest.raises(LlorchError) as caught:
        keep(loss, now())
    assert "a" in caught.value.message
    assert git(root, "for-each-ref", "refs/llorch") == ""
    assert (head(root), git(root, "status", "--porcelain")) == before


def test_work_outside_of_a_sparse_checkout_comes_back(world: World) -> None:
    """What the settings leave out of the work tree, and is there all the same, is kept as all else is."""
    commit(world.origin, "left/out", "theirs")
    git(world.work, "pull", "-q", "--no-recurse-submodules")
    commit(world.origin, "left/out", "theirs again")
    commit(world.origin, "left/new", "theirs")
    git(world.work, "sparse-checkout", "set", "reference")
    (world.work / "left").mkdir()
    for name in ("out", "new"):
        (world.work / "left" / name).write_text("mine")
    result = carry_out(plan_sync(find_repo(world.work), ""))
    assert head(world.work) == head(world.origin)
    subprocess.run(["sh", "-c", str(result.restore)], check=True)
    assert [(world.work / "left" / name).read_text() for name in ("out", "new")] == ["mine", "mine"]


def test_more_files_than_a_command_has_room_for_come_back(root: Path, tmp_path: Path) -> None:
    """Names that are too many for one command are kept by several, odd ones too."""
    names = {f"{'long' * 50} {number}" for number in range(1200)} | {"-x", ":(top)y", "new\nline", "*", "fol der/z"}
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    loss = find_loss(Repo(root=root), "HEAD", "stays", untracked=True)
    assert set(loss.files) == names
    restore = keep(loss, now()).restore
    remove(loss.repo, loss.files)
    run(restore, tmp_path)
    assert {name: (root / name).read_text() for name in names} == {name: name for name in names}
