"""`llorch remote sync` between real repositories, over real servers with other login shells."""

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llorch.remote import sync_scripts
from llorch.remote.sync import carry_out
from llorch.remote.there import There
from tests.conftest import Run
from tests.git.conftest import World, commit, git, head, isolated, state, world
from tests.remote.box import BEHIND_A_BANNER, declare
from tests.remote.conftest import wait_for
from tests.remote.sshd import Sshd

Llorch = Callable[..., Run]
GIT = shutil.which("git")
__all__ = ["isolated", "world"]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server with a login shell that is fish, where there is one, and says something first; it allows two at once."""
    shell = shutil.which("fish") or "sh"
    options = [BEHIND_A_BANNER.format(shell=shell), "MaxSessions 2"]
    with Sshd(tmp_path_factory.mktemp("sshd"), options=options) as server:
        yield server


@pytest.fixture
def there(world: World, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the repository of `box` is to be; the one that we are in has three submodules."""
    place = declare(world.work, sshd, monkeypatch)
    git(world.work, "add", "-A")
    git(world.work, "commit", "-qm", "Declare a host")
    return place


@pytest.fixture
def synced(there: Path, llorch: Llorch) -> Path:
    """The same, with what we have."""
    run = llorch("remote", "sync", "box")
    assert run.code == 0, run.err
    return there


def same(work: Path, there: Path) -> bool:
    """Tell whether both have the same commits, branches, index and files, with their submodules."""
    ours, theirs = state(work), state(there)
    return [*ours.values()] == [*theirs.values()]


def refs(folder: Path, below: str) -> list[str]:
    """Return the refs below one."""
    return git(folder, "for-each-ref", "--format=%(refname)", below).split()


@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_a_first_clone(world: World, there: Path, llorch: Llorch, empty: bool) -> None:
    """It has everything, nested submodules that it could not fetch too, as git itself keeps them."""
    others = there.with_name(there.name + ".part")
    others.mkdir(parents=True)
    (others / "mine").write_text("mine")
    beside = set(there.parent.iterdir())
    if empty:
        there.mkdir()
    dry = llorch("remote", "sync", "box", "--dry-run", "--json").json
    assert (dry["dry_run"], len(dry["steps"]), dry["commit"]) == (True, 4, head(world.work))
    assert there.exists() == empty
    run = llorch("remote", "sync", "box")
    assert run.code == 0, run.err
    assert same(world.work, there)
    assert (there / "reference/candle/inner lib/.git").is_file()
    assert git(there, "status", "--porcelain") == ""
    assert (others / "mine").read_text() == "mine"
    assert set(there.parent.iterdir()) == beside | {there}
    assert there.stat().st_mode == others.stat().st_mode
    assert refs(world.work, "refs/llorch") == []
    assert refs(there, "refs/llorch") == ["refs/llorch/sync/head"]
    again = llorch("remote", "sync", "box")
    assert (again.code, again.err) == (0, "box: nothing to do\n")


def test_new_commits_come(world: World, synced: Path, llorch: Llorch) -> None:
    """Only what is missing is sent; the branch, and a submodule that moved, are forwarded; other files stay."""
    (synced / "untracked ü").write_text("mine")
    (synced / "README").write_text("mine")
    commit(world.work / "reference/candle", "new ü")
    git(world.work, "add", "reference/candle")
    commit(world.work, "sub dir/ü\n'x", message="$(touch gone)")
    run = llorch("remote", "sync", "box", "--json")
    assert run.code == 0, run.out
    assert (head(synced), git(synced, "branch", "--show-current")) == (head(world.work), "main")
    assert head(synced / "reference/candle") == head(world.work / "reference/candle")
    assert (run.json["lost"], run.json["restore"], run.json["commit"]) == ([], None, head(world.work))
    assert ((synced / "untracked ü").read_text(), (synced / "README").read_text()) == ("mine", "mine")


def test_another_branch_and_a_detached_head(world: World, synced: Path, llorch: Llorch) -> None:
    """The host follows to another branch, and to none; the one that it was on keeps its commits."""
    mine = commit(synced, "mine")
    git(world.work, "checkout", "-qb", "topic/ü")
    commit(world.work, "more")
    assert llorch("remote", "sync", "box").code == 0
    assert (git(synced, "branch", "--show-current"), head(synced)) == ("topic/ü", head(world.work))
    assert git(synced, "rev-parse", "main") == mine
    git(world.work, "checkout", "-q", "--detach", "HEAD^")
    assert llorch("remote", "sync", "box").code == 0
    assert (git(synced, "branch", "--show-current"), head(synced)) == ("", head(world.work))


def test_what_came_from_here_is_not_the_hosts_own(world: World, synced: Path, llorch: Llorch) -> None:
    """A commit that was amended here takes the old one's place there without a question."""
    commit(world.work, "draft")
    assert llorch("remote", "sync", "box").code == 0
    git(world.work, "commit", "-q", "--amend", "-m", "Better")
    run = llorch("remote", "sync", "box")
    assert (run.code, head(synced)) == (0, head(world.work)), run.err


@pytest.fixture
def hooks(sshd: Sshd) -> Iterator[None]:
    """The host's user has hooks for all repositories, which fail, and is strict about line ends."""
    folder = sshd.home / "hooks"
    folder.mkdir()
    for name in ("post-checkout", "reference-transaction"):
        (folder / name).write_text("#!/bin/sh\necho git-lfs was not found >&2\nexit 2\n")
        (folder / name).chmod(0o755)
    settings = sshd.home / ".gitconfig"
    settings.write_text(f'[core]\nhooksPath = "{folder}"\nautocrlf = input\nsafecrlf = true\n')
    yield
    settings.unlink()
    shutil.rmtree(folder)


@pytest.mark.usefixtures("hooks")
def test_settings_of_the_host_are_in_no_way(world: World, there: Path, llorch: Llorch) -> None:
    """Neither a new repository nor a move is stopped by them, nor what is kept of the host's own."""
    run = llorch("remote", "sync", "box")
    assert (run.code, head(there)) == (0, head(world.work)), run.err
    for name in ("README", "new"):
        (there / name).write_bytes(b"mine\r\n")
        commit(world.work, name, "theirs\n")
    run = llorch("remote", "sync", "box", "--yes")
    assert run.code == 0, run.err
    assert same(world.work, there)
    assert git(there, "branch", "--show-current") == "main"
    assert refs(there, "refs/llorch/backup")


def test_what_would_be_lost_is_refused_by_name_and_kept(world: World, synced: Path, llorch: Llorch) -> None:
    """Commits, changes, and new files in the way, in submodules too; the printed command brings all of it back."""
    commit(world.work, "README", "theirs\n")
    commit(world.work, "folder/file", "theirs")
    commit(world.work / "reference/llama ü", "README", "theirs\n")
    git(world.work, "commit", "-qam", "Move llama")
    (synced / "README").write_text("mine\n")
    commit(synced, "mine ü")
    (synced / "staged").write_text("staged")
    git(synced, "add", "staged")
    (synced / "ignored").write_text("stays")
    (synced / "folder").mkdir()
    (synced / "folder/file").write_text("mine")
    commit(synced / "reference/llama ü", "README", "llama mine\n", message="Mine")
    (synced / "reference/candle/README").write_text("stays")
    before = state(synced)
    refused = llorch("remote", "sync", "box", "--json")
    assert (refused.code, refused.json["error"]["code"], state(synced)) == (8, "refused", before)
    message = refused.json["error"]["message"]
    llama = head(synced / "reference/llama ü")[:7]
    for named in (
        "Write mine \\xfc",
        "changes of README",
        "changes of staged",
        "the file folder/file",
        f"reference/llama ü: commit {llama} Mine",
    ):
        assert named in message
    assert "candle" not in message
    run = llorch("remote", "sync", "box", "--force")
    assert run.code == 0, run.err
    assert (head(synced), (synced / "folder/file").read_text()) == (head(world.work), "theirs")
    assert head(synced / "reference/llama ü") == head(world.work / "reference/llama ü")
    assert (synced / "ignored").read_text() == "stays"
    assert git(synced, "status", "--porcelain") == " M reference/candle"
    (command,) = run.out.splitlines()
    words = shlex.split(command)
    assert words[:4] == ["llorch", "remote", "exec", "box"]
    assert llorch(*words[1:]).code == 0
    assert state(synced) == before


def test_files_in_the_way_alone(world: World, synced: Path, llorch: Llorch) -> None:
    """An ignored file is one too, and so are the files in a folder where a file is to be; both come back."""
    commit(world.work, "ignored file", "theirs")
    commit(world.work, "place", "theirs")
    (synced / "ignored file").write_text("mine")
    (synced / "place").mkdir()
    (synced / "place/a").write_text("mine")
    before = state(synced)
    refused = llorch("remote", "sync", "box")
    assert (refused.code, state(synced)) == (8, before)
    assert "`box` would lose the file ignored file, the file place/a" in refused.err
    run = llorch("remote", "sync", "box", "--yes", "--json")
    assert (run.code, (synced / "place").read_text()) == (0, "theirs")
    assert run.json["lost"] == ["the file ignored file", "the file place/a"]
    assert llorch(*shlex.split(run.json["restore"])[1:]).code == 0
    assert state(synced) == before


def test_commits_on_a_detached_head(world: World, synced: Path, llorch: Llorch) -> None:
    """They are the host's own unless a branch, a tag or a remote has them; coming back means detached again."""
    git(synced, "checkout", "-q", "--detach")
    mine = commit(synced, "mine")
    commit(world.work, "more")
    refused = llorch("remote", "sync", "box")
    assert (refused.code, f"would lose commit {mine[:7]} Write mine" in refused.err) == (8, True)
    run = llorch("remote", "sync", "box", "--force")
    assert (run.code, git(synced, "branch", "--show-current")) == (0, "main")
    assert llorch(*shlex.split(run.out)[1:]).code == 0
    assert (head(synced), git(synced, "branch", "--show-current")) == (mine, "")
    git(synced, "tag", "kept")
    assert llorch("remote", "sync", "box").code == 0


def test_a_branch_that_the_host_is_not_on(world: World, synced: Path, llorch: Llorch) -> None:
    """Its own commits are named, and it comes back as it was, with the one that the host was on."""
    mine = commit(synced, "mine")
    git(synced, "checkout", "-qb", "other", "HEAD^")
    run = llorch("remote", "sync", "box", "--force")
    assert (run.code, git(synced, "branch", "--show-current")) == (0, "main")
    assert llorch(*shlex.split(run.out)[1:]).code == 0
    assert (git(synced, "branch", "--show-current"), git(synced, "rev-parse", "main")) == ("other", mine)


def test_uncommitted_changes(world: World, synced: Path, llorch: Llorch) -> None:
    """They come on request, new files too and ignored ones not, in submodules as well; what is staged here stays so."""
    (world.work / "README").write_text("changed\n")
    (world.work / "new ü").write_text("new")
    (world.work / "ignored").write_text("stays here")
    (world.work / "llorch.toml").unlink()
    git(world.work, "mv", ".gitignore", "moved")
    git(world.work, "checkout", "-q", "HEAD", "--", ".gitignore")
    (world.work / "reference/candle/README").write_text("changed in candle\n")
    (world.work / ".test-models").mkdir()
    (world.work / ".test-models/big.gguf").write_text("stays here")
    index = git(world.work, "ls-files", "-s")
    assert llorch("remote", "sync", "box").code == 0
    assert (synced / "README").read_text() == "first\n"
    run = llorch("remote", "sync", "box", "--changes")
    assert run.code == 0, run.err
    assert "with the changes that are not committed" in run.err
    assert git(world.work, "ls-files", "-s") == index
    assert (head(synced), git(synced, "branch", "--show-current")) == (head(world.work), "main")
    for path in ("README", "new ü", "moved", ".gitignore", "reference/candle/README"):
        assert (synced / path).read_text() == (world.work / path).read_text()
    assert git(synced, "diff", "--cached", "--name-only") == ""
    assert not any((synced / path).exists() for path in ("ignored", "llorch.toml", ".test-models"))
    assert llorch("remote", "sync", "box", "--changes").err.endswith("box: nothing to do\n")


def test_changes_again_and_again(world: World, synced: Path, llorch: Llorch) -> None:
    """What was brought before is replaced without a question, but not what was changed there since."""
    (world.work / "README").write_text("one\n")
    (world.work / "new").write_text("one")
    assert llorch("remote", "sync", "box", "--changes").code == 0
    (world.work / "README").write_text("two\n")
    (world.work / "new").unlink()
    commit(world.work, "more")
    run = llorch("remote", "sync", "box", "--changes")
    assert run.code == 0, run.err
    assert ((synced / "README").read_text(), (synced / "new").exists()) == ("two\n", False)
    (synced / "more").write_text("mine")
    refused = llorch("remote", "sync", "box", "--changes")
    assert (refused.code, "`box` would lose changes of more, and" in refused.err) == (8, True)
    git(synced, "checkout", "-q", "more")
    assert llorch("remote", "sync", "box").code == 0
    assert (git(synced, "status", "--porcelain"), refs(synced, "refs/llorch")) == ("", ["refs/llorch/sync/head"])


def test_changes_come_to_a_clean_work_tree(world: World, synced: Path, llorch: Llorch) -> None:
    """Any change there is in their way, also of other files."""
    (world.work / "README").write_text("changed\n")
    (synced / "llorch.toml").write_text("# mine\n")
    refused = llorch("remote", "sync", "box", "--changes")
    assert (refused.code, "would lose changes of llorch.toml" in refused.err) == (8, True)
    assert llorch("remote", "sync", "box", "--changes", "--force").code == 0
    assert (synced / "README").read_text() == "changed\n"
    (world.work / "conflict").write_text("")
    blob = git(world.work, "hash-object", "-w", "README")
    stages = "".join(f"100644 {blob} {stage}\tconflict\n" for stage in (2, 3))
    subprocess.run(["git", "update-index", "--index-info"], cwd=world.work, input=stages, text=True, check=True)
    conflicted = llorch("remote", "sync", "box", "--changes")
    assert (conflicted.code, "are in conflict" in conflicted.err) == (8, True)


def test_a_submodule_that_the_host_can_fetch(
    world: World, tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git there gets it itself, from where .gitmodules says."""
    folder = tmp_path / "server"
    settings = "GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=protocol.file.allow GIT_CONFIG_VALUE_0=always"
    with Sshd(folder, options=[f'SetEnv "HOME={folder}/home" {settings}']) as server:
        place = declare(world.work, server, monkeypatch)
        run = llorch("remote", "sync", "box")
    assert (run.code, "comes from here" in run.err) == (0, False)
    assert head(place / "reference/candle/inner lib") == head(world.work / "reference/candle/inner lib")
    assert git(place / "reference/candle", "config", "remote.origin.url") == world.sources["reference/candle"].as_uri()


def test_submodules_that_are_not_here(world: World, there: Path, llorch: Llorch) -> None:
    """They are left alone; one without the commit that is recorded for it is told."""
    git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/candle")
    run = llorch("remote", "sync", "box")
    assert (run.code, os.listdir(there / "reference/candle")) == (0, [])
    git(world.work, "update-index", "--cacheinfo", f"160000,{'1' * 40},reference/llama ü")
    git(world.work, "commit", "-qm", "Wrong")
    wrong = llorch("remote", "sync", "box")
    assert (wrong.code, "`reference/llama ü` does not have the commit" in wrong.err) == (1, True)


def test_where_it_comes_from(world: World, there: Path, llorch: Llorch) -> None:
    """A first clone knows the origin of ours, if there is one that others can reach, without the secrets in it."""
    git(world.work, "remote", "set-url", "origin", "https://me:secret@example.org/x.git?access_token=secret#secret")
    assert llorch("remote", "sync", "box").code == 0
    assert git(there, "config", "remote.origin.url") == "https://example.org/x.git"
    assert "secret" not in (there / ".git/config").read_text()
    git(world.work, "remote", "remove", "origin")
    shutil.rmtree(there)
    assert llorch("remote", "sync", "box").code == 0
    assert git(there, "remote") == ""


def test_what_is_no_place_for_it(world: World, there: Path, llorch: Llorch) -> None:
    """Files that are no repository, a merge in progress there, and no commit here are refused; nothing is touched."""
    there.mkdir(parents=True)
    (there / ".hidden").write_text("mine")
    run = llorch("remote", "sync", "box")
    assert (run.code, "has files, but is no repository" in run.err, os.listdir(there)) == (8, True, [".hidden"])
    (there / ".hidden").unlink()
    assert llorch("remote", "sync", "box").code == 0
    (there / ".git/MERGE_HEAD").write_text(head(there))
    run = llorch("remote", "sync", "box")
    assert (run.code, "a merge is in progress" in run.err) == (8, True)
    git(world.work, "checkout", "-q", "--orphan", "empty")
    assert llorch("remote", "sync", "box").code == 8


def test_a_repository_without_commits_there(world: World, there: Path, llorch: Llorch) -> None:
    """It gets all, unless something is staged in it."""
    git(there.parent.parent if there.parent.exists() else Path.cwd(), "init", "-q", str(there))
    (there / "staged").write_text("mine")
    git(there, "add", "staged")
    refused = llorch("remote", "sync", "box")
    assert (refused.code, "would lose changes of staged" in refused.err) == (8, True)
    git(there, "rm", "-qf", "staged")
    assert llorch("remote", "sync", "box").code == 0
    assert same(world.work, there)


def test_a_shallow_clone_here(
    world: World, there: Path, tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can bring what it has to a host that has the rest, and says what is missing for one that has not."""
    git(world.work, "push", "-q", "origin", "HEAD:refs/heads/new")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=new", world.origin.as_uri(), str(shallow))
    shutil.copy("hosts.toml", shallow)
    monkeypatch.chdir(shallow)
    run = llorch("remote", "sync", "box")
    assert (run.code, "`git -C " in run.err, "fetch --unshallow` gets it" in run.err) == (8, True, True)
    monkeypatch.chdir(world.work)
    assert llorch("remote", "sync", "box").code == 0
    monkeypatch.chdir(shallow)
    commit(shallow, "more")
    assert llorch("remote", "sync", "box").code == 0
    assert head(there) == head(shallow)


def test_a_bundle_that_cannot_be_made(world: World, synced: Path, llorch: Llorch) -> None:
    """Git's own reason is told, and nothing there has changed."""
    made = commit(world.work, "more")
    before = state(synced)
    blob = git(world.work, "rev-parse", "HEAD:more")
    (world.work / ".git/objects" / blob[:2] / blob[2:]).unlink()
    run = llorch("remote", "sync", "box")
    assert (run.code, state(synced)) == (5, before), run.err
    assert "`git bundle` exited with" in run.err
    assert made != head(synced)


def test_a_bundle_that_cannot_be_taken(world: World, synced: Path, llorch: Llorch) -> None:
    """The reason of git there is told, without what its login shell says, and nothing there has changed."""
    git(synced, "update-ref", "refs/llorch/sync/incoming/taken", "HEAD")
    commit(world.work, "more")
    before = state(synced)
    run = llorch("remote", "sync", "box")
    assert (run.code, state(synced)) == (5, before)
    assert "error: on `box`: `git` exited with 1:\nerror: " in run.err
    assert "Welcome" not in run.err


def test_somebody_else_is_at_it(world: World, synced: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that is made there between the look and the move is not lost."""
    commit(world.work, "more")
    made: list[str] = []
    monkeypatch.setattr("llorch.remote.sync.carry_out", _after(carry_out, lambda: made.append(commit(synced, "mine"))))
    run = llorch("remote", "sync", "box")
    assert (run.code, "HEAD has moved meanwhile" in run.err) == (5, True)
    assert head(synced) == made[0]


def other() -> int:
    """Sync in another process, to its end, and return its exit code."""
    return subprocess.run([sys.executable, "-m", "llorch", "remote", "sync", "box"], check=False).returncode


def test_another_sync_makes_it_meanwhile(
    world: World, there: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late one says so, and leaves what the other has made, and nothing of its own."""
    codes: list[int] = []
    run_script = There.run

    def run(self: There, what: str, text: str, *arguments: str, **more: Any) -> bytes:
        if text == sync_scripts.PLACE:
            codes.append(other())
        return run_script(self, what, text, *arguments, **more)

    monkeypatch.setattr(There, "run", run)
    late = llorch("remote", "sync", "box", "--json")
    assert (codes, late.code, late.json["error"]["code"]) == ([0], 1, "busy"), late.out
    assert "another sync has made it" in late.json["error"]["message"]
    assert same(world.work, there)
    assert not [*there.parent.glob(there.name + ".*")]
    assert llorch("remote", "sync", "box").err == "box: nothing to do\n"


def test_a_new_one_that_fails(world: World, there: Path, llorch: Llorch) -> None:
    """Nothing of it stays."""
    commit(world.work, "more")
    blob = git(world.work, "rev-parse", "HEAD:more")
    (world.work / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert llorch("remote", "sync", "box").code == 5
    assert not [*there.parent.glob(there.name + "*")]


def test_a_new_one_that_is_interrupted(there: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it stays either, though nothing more is begun on the host that an interrupt would end."""
    run_script = There.run

    def run(self: There, what: str, text: str, *arguments: str, **more: Any) -> bytes:
        if text == sync_scripts.PLACE:
            raise KeyboardInterrupt
        return run_script(self, what, text, *arguments, **more)

    monkeypatch.setattr(There, "run", run)
    assert llorch("remote", "sync", "box").code == 130
    assert not [*there.parent.glob(there.name + "*")]


def test_git_is_at_work_there(world: World, synced: Path, llorch: Llorch) -> None:
    """It is told as that, and what to do if it was killed; its lock stays, and all else as it was."""
    commit(world.work, "more")
    before = state(synced)
    lock = synced / ".git/index.lock"
    lock.touch()
    run = llorch("remote", "sync", "box", "--json")
    assert (run.code, run.json["error"]["code"]) == (1, "busy"), run.out
    assert "another run of llorch or git is changing" in run.json["error"]["message"]
    assert shlex.quote(str(lock)) in run.json["error"]["hint"]
    assert lock.exists()
    assert state(synced) == before
    lock.unlink()
    assert llorch("remote", "sync", "box").code == 0


def test_another_sync_is_at_work_there(world: World, synced: Path, llorch: Llorch) -> None:
    """It is told while it works; when it is gone, however that came, its lock is no more, and what it left goes too."""
    commit(world.work, "more")
    before = state(synced)
    old, new = (synced / ".git" / f"llorch-sync.{name}" for name in ("aB3xyz", "Zz0123"))
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, 0))
    with open(synced / ".git/llorch-sync.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = llorch("remote", "sync", "box", "--json")
        assert (run.code, run.json["error"]["code"]) == (1, "busy"), run.out
        assert state(synced) == before
    assert llorch("remote", "sync", "box").code == 0
    assert head(synced) == head(world.work)
    assert sorted(path.name for path in (synced / ".git").glob("llorch-sync*")) == [
        "llorch-sync.Zz0123",
        "llorch-sync.lock",
    ]


def test_a_new_one_whose_run_is_killed(
    world: World, tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host itself removes what had come, as soon as nobody is there any more."""
    begun, programs = tmp_path / "begun", tmp_path / "bin"
    os.mkfifo(begun)
    programs.mkdir()
    fetch = f'*" fetch "*) echo >"{begun}"; cat >/dev/null; exec sleep 600;;'
    (programs / "git").write_text(f'#!/bin/sh\ncase "$*" in {fetch} esac\nexec {GIT} "$@"\n')
    (programs / "git").chmod(0o755)
    force = f'ForceCommand PATH="{programs}:$PATH"; export PATH; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with Sshd(tmp_path / "server", options=[force]) as server:
        place = declare(world.work, server, monkeypatch)
        command = [sys.executable, "-m", "llorch", "remote", "sync", "box"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            begun.read_bytes()
            assert len([*place.parent.iterdir()]) == 1
            process.kill()
        wait_for(lambda: not [*place.parent.iterdir()])


def test_what_a_dead_host_had_left(world: World, there: Path, llorch: Llorch) -> None:
    """Half a repository that nobody works at any more is removed, and told; what others have beside it stays."""
    dead, alive, mine = (there.with_name(f"{there.name}.{end}") for end in ("aB3xyz", "Zz0123", "backup"))
    for folder in (dead, alive, mine):
        (folder / there.name).mkdir(parents=True)
    (dead / "llorch-sync.lock").touch()
    with open(alive / "llorch-sync.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = llorch("remote", "sync", "box")
    assert (run.code, sorted(there.parent.glob(f"{there.name}*"))) == (0, sorted([there, alive, mine])), run.err
    assert f"box: removed `{dead}`, which a run that was killed had left" in run.err


def test_another_sync_moves_it_meanwhile(
    world: World, synced: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late one says so instead of moving what it has not looked at."""
    commit(world.work, "more")
    codes: list[int] = []
    monkeypatch.setattr("llorch.remote.sync.carry_out", _after(carry_out, lambda: codes.append(other())))
    late = llorch("remote", "sync", "box", "--json")
    assert (codes, late.code, late.json["error"]["code"]) == ([0], 1, "busy"), late.out
    assert same(world.work, synced)


def _after(function: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    """Return what acts first, then calls."""

    def call(*arguments: Any) -> Any:
        act()
        return function(*arguments)

    return call


def test_a_host_without_git(world: World, tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that git is missing there."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "rm"):
        (programs / name).symlink_to(f"/bin/{name}")
    force = f'ForceCommand PATH="{programs}"; export PATH; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with Sshd(tmp_path / "server", options=[force]) as server:
        declare(world.work, server, monkeypatch)
        run = llorch("remote", "sync", "box")
    assert (run.code, "there is no `git` on `box`" in run.err) == (4, True)
