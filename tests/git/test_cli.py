"""`llorch git …`: what is shown, asked and given back."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, in_terminal, program
from tests.git.conftest import World, add_submodule, commit, git, head, repository, state

STRICT = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
Llorch = Callable[..., Run]


def test_status_of_everything_at_once(world: World, llorch: Llorch) -> None:
    """Branch, distance, last commit, files, stashes, what is in progress and the submodules that differ."""
    commit(world.origin, "theirs")
    git(world.work, "fetch", "-q")
    (world.work / "README").write_text("stashed")
    git(world.work, "stash", "-q")
    commit(world.work, "mine", message="Mine \x1b[31m")
    (world.work / "staged ü").touch()
    git(world.work, "add", "staged ü")
    (world.work / "README").write_text("changed")
    for number in range(7):
        (world.work / f"new {number}").touch()
    git(world.work, "bisect", "start")
    (world.work / "reference/llama ü/README").write_text("changed")
    lines = llorch("git", "status").out.splitlines()
    assert lines[0] == "main, 1 ahead of and 1 behind origin/main"
    assert lines[1].startswith(head(world.work)[:9])
    assert lines[1].endswith(r" Mine \x1b[31m")
    assert lines[2:] == [
        f"origin {world.origin.as_uri()}",
        "1 staged: staged ü",
        "1 changed: README",
        "7 untracked: new 0, new 1, new 2, new 3, new 4 and 2 more",
        "1 stashed",
        "bisect in progress: `git bisect reset` ends it",
        "",
        "3 submodules, 2 as recorded",
        f"reference/llama ü  dirty          detached at {head(world.work / 'reference/llama ü')[:9]}, 1 changed",
    ]
    verbose = llorch("git", "status", "-v").out
    assert "new 6" in verbose
    assert "reference/candle/inner lib  ok" in verbose


def test_status_for_programs(world: World, llorch: Llorch) -> None:
    """Counts and names, and the submodules, each with where it is and where it should be."""
    (world.work / "new\nü").touch()
    commit(world.work / "reference/candle", "mine")
    document = llorch("git", "status", "--json").json
    found = document["repository"]
    assert (found["branch"], found["head"], found["upstream"]) == ("main", head(world.work), "origin/main")
    assert (found["ahead"], found["behind"], found["untracked"], found["changed"]) == (0, 0, 1, 0)
    assert found["files"]["untracked"] == ["new\nü"]
    candle = document["submodules"][0]
    assert (candle["path"], candle["state"], candle["ahead"], candle["behind"]) == ("reference/candle", "moved", 1, 0)
    assert candle["commit"] == head(world.work / "reference/candle") != candle["recorded"]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (["checkout", "-q", "--detach"], "detached"),
        (["switch", "-qc", "new"], "new, without an upstream"),
        (["fetch", "-q"], "main, even with origin/main"),
        (["update-ref", "-d", "refs/remotes/origin/main"], "main, its upstream origin/main is gone"),
    ],
)
def test_where_a_branch_is(world: World, llorch: Llorch, change: list[str], first: str) -> None:
    """Detached, without an upstream, even with it, or left by it."""
    git(world.work, *change)
    assert llorch("git", "status").out.splitlines()[0] == first


def test_an_empty_repository_and_none(workspace: Path, llorch: Llorch) -> None:
    """Both are told as what they are."""
    done = llorch("git", "status")
    assert (done.code, "is not in a git repository" in done.err) == (1, True)
    git(workspace, "init", "-q")
    assert llorch("git", "status").out == "main, without an upstream\nno commits yet\nno origin\n"
    assert llorch("git", "log").out == "no commits yet\n"
    assert llorch("git", "log", "--json").json["commits"] == []
    for command, said in (
        (["branches"], "no branches yet\n"),
        (["submodules", "list"], "there are no submodules here\n"),
    ):
        done = llorch("git", *command)
        assert (done.out, done.err.endswith(said)) == ("", True)


def test_status_of_eleven_submodules_is_one_screen(world: World, tmp_path: Path) -> None:
    """Two that cannot be fetched, one uninitialized, one dirty, one ahead: all is told in 24 lines of 100 columns."""
    for number in range(8):
        add_submodule(world.origin, repository(tmp_path / f"sources/more {number}"), f"reference/more-{number}")
    git(world.work, "pull", "-q", "--no-recurse-submodules")
    for number in (0, 1):
        (tmp_path / f"sources/more {number}").rename(tmp_path / f"gone {number}")
    git(world.work, "config", "submodule.reference/more-2.update", "none")
    done = program("llorch", "git", "pull")
    assert done.code == 1
    assert "2 of 11 submodules could not be moved" in done.err
    (world.work / "reference/more-3/README").write_text("changed")
    git(world.work / "reference/more-4", "switch", "-qc", "dev")
    commit(world.work / "reference/more-4", "mine")
    lines = program("llorch", "git", "status").out.splitlines()
    assert len(lines) <= 24
    assert max(len(line) for line in lines if not line.startswith("origin ")) <= 100
    assert "11 submodules, 6 as recorded" in lines
    words = {line.split()[0]: line.split()[1] for line in lines if line.startswith("reference/")}
    assert words == {
        "reference/more-0": "uninitialized",
        "reference/more-1": "uninitialized",
        "reference/more-2": "uninitialized",
        "reference/more-3": "dirty",
        "reference/more-4": "moved",
    }
    assert any("dev, 1 ahead of recorded" in line for line in lines)
    told = [line.split("  ")[-1] for line in lines if " uninitialized " in line]
    assert told[:2] == ["could not be fetched: there is no such repository"] * 2
    assert told[2] == "`llorch git submodules update --pinned reference/more-2` clones it"
    documents = program("llorch", "git", "status", "--json").json["submodules"]
    errors = {each["path"]: each["error"] for each in documents}
    assert errors["reference/more-0"].startswith(f"there is no such repository: '{tmp_path}/sources/more 0'")
    assert errors["reference/more-2"] is None


def test_pull_tells_what_came(world: World, llorch: Llorch) -> None:
    """Commits, files and submodules; the same for programs; a dry run only tells."""
    commit(world.origin, "new ü", message="News")
    made = world.advance("reference/candle")
    assert llorch("git", "pull", "--dry-run").out.splitlines()[1].endswith(" News")
    dry = llorch("git", "pull", "--dry-run", "--json").json
    assert [each["subject"] for each in dry["commits"]] == ["Move reference/candle", "News"]
    before = head(world.work)
    lines = llorch("git", "pull").out.splitlines()
    assert lines[1].endswith(" News")
    assert lines[2:4] == ["main: 2 commits, 2 files", "new ü, reference/candle"]
    assert lines[4].startswith("reference/candle moved from ")
    git(world.work, "reset", "-q", "--hard", before)
    document = llorch("git", "pull", "--json").json
    assert (document["branch"], document["before"], document["after"]) == ("main", before, head(world.work))
    assert {each["path"]: each["after"] for each in document["submodules"]}["reference/candle"] == made
    assert llorch("git", "pull").out == "main: 0 commits, 0 files\n"


def test_merges_that_pull_puts_in_a_line_are_told(world: World, llorch: Llorch) -> None:
    """How many, how that is undone, and which setting keeps them."""
    git(world.work, "switch", "-qc", "side")
    commit(world.work, "side")
    git(world.work, "switch", "-q", "main")
    git(world.work, "merge", "-q", "--no-ff", "-m", "Merge", "side")
    before = head(world.work)[:9]
    commit(world.origin, "new")
    done = llorch("git", "pull")
    assert f"warning: 1 merge commit of yours became a line of commits; `git reset --keep {before}`" in done.err


def test_sync_says_what_is_lost_and_asks(world: World, tmp_path: Path, llorch: Llorch) -> None:
    """Without an answer nothing changes; with a yes all is gone, and the printed command brings it back."""
    made = commit(world.work, "mine", message="Mine")
    (world.work / "README").write_text("changed")
    (world.work / "reference/candle/new").write_text("stays")
    (world.work / "reference/candle/README").write_text("changed")
    before = state(world.work)
    refused = llorch("git", "sync")
    assert refused.code == 8
    assert refused.err.splitlines()[:4] == [
        f".: commit {made[:9]} Mine",
        ".: changes of README",
        "reference/candle: changes of README",
        "error: this takes away what is listed above: 1 commit, 2 changed files, and nobody can be asked here",
    ]
    dry = llorch("git", "sync", "--dry-run", "--json").json
    assert [(each["path"], each["changed"]) for each in dry["lost"]] == [
        (".", ["README"]),
        ("reference/candle", ["README"]),
    ]
    assert llorch("git", "sync", "--dry-run").code == 0
    assert state(world.work) == before
    assert git(world.work, "for-each-ref", "refs/llorch") == ""
    asked = in_terminal(str(BIN / "llorch"), "git", "sync", typed="n\n", env={"LLORCH_DRY_RUN": ""})
    assert (asked.code, state(world.work)) == (8, before)
    for command in (["git", "sync", "--force"], ["git", "sync", "--yes", "--json"]):
        done = llorch(*command)
        assert (done.code, head(world.work)) == (0, head(world.origin))
        restore = done.json["restore"] if "--json" in command else done.out.splitlines()[0]
        subprocess.run(["sh", "-c", restore], cwd=tmp_path, check=True)
        assert state(world.work) == before


def test_sync_takes_the_branch_of_the_settings(world: World, llorch: Llorch) -> None:
    """`[git] branch` names it, and `--branch` another."""
    made = {}
    for name in ("one", "two"):
        git(world.origin, "switch", "-qc", name, "main")
        made[name] = commit(world.origin, name)
    (world.work / ".git/info/exclude").write_text("llorch.toml\n")
    user = world.work.parent / "config.toml"
    user.write_text('version = 1\n[git]\nbranch = "one"\n')
    assert llorch("git", "sync", env={"LLORCH_CONFIG_PATH": str(user)}).code == 0
    assert head(world.work) == made["one"]
    assert llorch("git", "sync", "--branch", "two", "--yes", env={"LLORCH_CONFIG_PATH": str(user)}).code == 0
    assert head(world.work) == made["two"]


def test_branches_and_log(world: World, llorch: Llorch) -> None:
    """A row for each branch, a line for each commit, and both for programs."""
    commit(world.work, "mine", message="Mine \x1b[31m")
    rows = [line.split("\t") for line in llorch("git", "branches").out.splitlines()]
    assert rows[0][:1] + rows[0][2:] == ["main", "origin/main", "1 ahead of it", r"Mine \x1b[31m"]
    assert rows[1][0] == "origin/main"
    assert [each["name"] for each in llorch("git", "branches", "--json").json["branches"]] == ["main", "origin/main"]
    assert llorch("git", "log").out.splitlines()[0].endswith(r" Mine \x1b[31m")
    assert llorch("git", "log", "--json").json["commits"][0]["commit"] == head(world.work)


def test_clean_asks_and_gives_back(world: World, tmp_path: Path, llorch: Llorch) -> None:
    """Files are listed, kept and removed after a yes; models stay wherever they are; the command brings files back."""
    for name in ("new ü", "folder/b", "m/tiny/model.gguf", ".llorch/state"):
        (world.work / name).parent.mkdir(parents=True, exist_ok=True)
        (world.work / name).touch()
    env = {"LLORCH_MODEL_BASE_DIR": "m"}
    before = state(world.work)
    assert llorch("git", "clean", "--dry-run", env=env).out == "would remove folder/b\nwould remove new ü\n"
    refused = llorch("git", "clean", env=env)
    assert (refused.code, state(world.work)) == (8, before)
    assert "the file new ü, which git does not track" in refused.err
    done = llorch("git", "clean", "--yes", env=env)
    assert (done.code, (world.work / "folder").exists()) == (0, False)
    assert (world.work / "m/tiny/model.gguf").exists()
    subprocess.run(["sh", "-c", done.out.splitlines()[0]], cwd=tmp_path, check=True)
    assert state(world.work) == before
    document = llorch("git", "clean", "--force", "--json", env=env).json
    assert document["removed"] == ["folder/b", "new ü"]
    assert "nothing to remove" in llorch("git", "clean", env=env).err


def test_status_is_light(world: World) -> None:
    """It loads neither doit, rich, sqlite, a TOML reader nor the rooms of others."""
    script = """
import sys
before = set(sys.modules)
from llorch import cli
assert cli.run(["git", "status"]) == 0
heavy = {"doit", "rich", "sqlite3", "tomli", "filelock", "huggingface_hub", "json", "llorch.models", "llorch.session"}
print(sorted(heavy & (set(sys.modules) - before)), file=sys.stderr)
"""
    done = program("python", "-c", script)
    assert (done.code, done.err) == (0, "[]\n")


def test_documents_are_utf_8(world: World) -> None:
    """Branches, authors and subjects that are not UTF-8 are spelled, for programs and for people."""
    latin = os.fsdecode(b"caf\xe9")
    git(world.work, "config", "i18n.logOutputEncoding", "latin-1")
    git(world.work, "switch", "-qc", latin)
    git(world.work, "-c", f"user.name={latin}", "commit", "-q", "--allow-empty", "-m", "café")
    for command in ("status", "log", "branches", "sync --dry-run --branch main"):
        with_bytes = subprocess.run(
            [BIN / "llorch", "git", *command.split(), "--json"], capture_output=True, check=True, env=STRICT
        )
        assert "caf\\\\xe9" in with_bytes.stdout.decode("utf-8")
        subprocess.run([BIN / "llorch", "git", *command.split()], capture_output=True, check=True, env=STRICT)
    unknown = program("llorch", "git", "sync", "--branch", latin)
    assert (unknown.code, r"caf\xe9" in unknown.err) == (3, True)


def test_a_restore_command_has_the_bytes_of_a_path(world: World) -> None:
    """It works where a folder's name is no text, whatever the locale says."""
    root = world.work.rename(world.work.parent / os.fsdecode(b"caf\xe9"))
    (root / "README").write_text("mine")
    command = [str(BIN / "llorch"), "git", "sync", "--yes"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=True, env=STRICT)
    assert (root / "README").read_text() == "first\n"
    subprocess.run(["sh", "-c", os.fsdecode(done.stdout.splitlines()[-1])], check=True)
    assert (root / "README").read_text() == "mine"


def test_a_colon_in_the_path(world: World) -> None:
    """A submodule whose `.git` is empty is broken there too, and nothing is fetched elsewhere for it."""
    root = world.work.rename(world.work.parent / "a:b")
    (root / "reference/llama ü/.git").unlink()
    (root / "reference/llama ü/.git").mkdir()
    status = program("llorch", "git", "status", cwd=root)
    assert "reference/llama ü  broken" in status.out
    update = program("llorch", "git", "submodules", "update", "--all", cwd=root)
    assert (update.code, "its `.git` leads nowhere" in update.err) == (6, True)
