"""`llorch git submodules …`: what is shown, asked and given back."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Run
from tests.git.conftest import World, commit, failing_hook, git, head, state

Llorch = Callable[..., Run]


def test_list(world: World, llorch: Llorch) -> None:
    """Each submodule has its commit, branch and address; one that is not there what is recorded."""
    git(world.work / "reference/candle", "switch", "-qc", "dev")
    git(world.work, "submodule", "--quiet", "deinit", "reference/llama ü")
    rows = [line.split("\t") for line in llorch("git", "submodules", "list").out.splitlines()]
    assert [(path, branch, url) for path, _, branch, url in rows] == [
        ("reference/candle", "dev", world.sources["reference/candle"].as_uri()),
        ("reference/candle/inner lib", "detached", world.sources["reference/candle/inner lib"].as_uri()),
        ("reference/llama ü", "uninitialized", world.sources["reference/llama ü"].as_uri()),
    ]
    documents = llorch("git", "submodules", "list", "--json").json["submodules"]
    assert [each["url"] for each in documents] == [row[3] for row in rows]


def test_status(world: World, llorch: Llorch) -> None:
    """All, or the named ones."""
    assert len(llorch("git", "submodules", "status").out.splitlines()) == 3
    (world.work / "reference/candle/README").write_text("changed")
    done = llorch("git", "submodules", "status", "candle")
    at = head(world.work / "reference/candle")[:9]
    assert done.out == f"reference/candle\tdirty\tdetached at {at}, 1 changed\n"
    (document,) = llorch("git", "submodules", "status", "candle", "--json").json["submodules"]
    assert (document["state"], document["changed"]) == ("dirty", 1)
    unknown = llorch("git", "submodules", "status", "kandle")
    assert (unknown.code, "did you mean `candle`" in unknown.err) == (3, True)


def test_update(world: World, llorch: Llorch) -> None:
    """To the tip, or back to what is recorded; a dry run tells where, and mistakes are usage errors."""
    recorded = head(world.work / "reference/candle")
    tip = commit(world.sources["reference/candle"], "tip")
    dry = llorch("git", "submodules", "update", "candle", "--dry-run")
    assert dry.out == "would bring reference/candle to the tip of the default branch\n"
    done = llorch("git", "submodules", "update", "candle")
    assert done.out == f"reference/candle moved from {recorded[:9]} to {tip[:9]}\n"
    dry = llorch("git", "submodules", "update", "--all", "--pinned", "--dry-run")
    assert f"would bring reference/candle to {recorded[:9]}" in dry.out
    document = llorch("git", "submodules", "update", "candle", "--pinned", "--dry-run", "--json").json
    assert document["submodules"][0]["after"] == recorded
    done = llorch("git", "submodules", "update", "--all", "--pinned", "--json")
    assert [each["outcome"] for each in done.json["submodules"]] == ["moved", "same", "same"]
    for wrong in ([], ["candle", "--all"]):
        assert llorch("git", "submodules", "update", *wrong).code == 2
    refused = llorch("git", "submodules", "update", "candle", "inner lib")
    assert (refused.code, "is in another one" in refused.err) == (8, True)
    world.sources["reference/llama ü"].rename(world.origin.parent / "away")
    failed = llorch("git", "submodules", "update", "--all")
    assert failed.code == 1
    assert "1 of 3 submodules could not be moved" in failed.err


def test_reset(world: World, tmp_path: Path, llorch: Llorch) -> None:
    """What is lost is listed and asked about, kept, gone, and back by the printed command."""
    candle = world.work / "reference/candle"
    made = commit(candle, "mine", message="Mine")
    (candle / "README").write_text("changed")
    (candle / "inner lib/new").touch()
    before = state(world.work)
    refused = llorch("git", "submodules", "reset", "candle")
    assert refused.code == 8
    assert refused.err.splitlines()[:3] == [
        f"reference/candle: commit {made[:9]} Mine",
        "reference/candle: changes of README",
        "reference/candle/inner lib: the file new, which git does not track",
    ]
    assert llorch("git", "submodules", "reset", "candle", "--dry-run").code == 0
    dry = llorch("git", "submodules", "reset", "candle", "--dry-run", "--json").json
    assert [each["path"] for each in dry["lost"]] == ["reference/candle", "reference/candle/inner lib"]
    assert state(world.work) == before
    done = llorch("git", "submodules", "reset", "candle", "--yes")
    assert git(world.work, "status", "--porcelain") == ""
    subprocess.run(["sh", "-c", done.out.splitlines()[0]], cwd=tmp_path, check=True)
    assert state(world.work) == before


def test_nothing_to_move_is_said(world: World, llorch: Llorch) -> None:
    """Not that everything is there already, nor that there is nothing at all, is told by silence; quiet is."""
    one = llorch("git", "submodules", "update", "llama ü")
    assert (one.code, one.out, one.err) == (0, "", "nothing to do: reference/llama ü is there already\n")
    assert llorch("git", "submodules", "reset", "candle").err == "nothing to do: 2 submodules are there already\n"
    every = llorch("git", "submodules", "update", "--all")
    assert (every.code, every.out, every.err) == (0, "", "nothing to do: 3 submodules are there already\n")
    assert "is at" in llorch("git", "submodules", "update", "candle", "-v").out
    (world.work / "reference/candle/README").write_text("changed")
    assert "nothing to do" not in llorch("git", "submodules", "reset", "candle", "--yes").err
    git(world.work, "rm", "-rq", "reference", ".gitmodules")
    for command in (["list"], ["status"], ["update", "--all"]):
        none = llorch("git", "submodules", *command)
        assert (none.code, none.out, none.err) == (0, "", "there are no submodules here\n")
        assert llorch("git", "submodules", *command, "-q").err == ""
        assert llorch("git", "submodules", *command, "--json").json["submodules"] == []


def test_branch(world: World, llorch: Llorch) -> None:
    """A submodule's branches are shown; switching and making one works, and says what it keeps."""
    candle = world.work / "reference/candle"
    commit(candle, "mine")
    done = llorch("git", "submodules", "branch", "candle", "main")
    assert (done.code, git(candle, "branch", "--show-current")) == (0, "main")
    assert "are kept as `refs/llorch/rescue/" in done.err
    shown = llorch("git", "submodules", "branch", "candle")
    assert shown.out.splitlines()[0].startswith("reference/candle  ok  main")
    assert shown.out.splitlines()[1:] == ["* main", "  origin/main"]
    created = llorch("git", "submodules", "branch", "candle", "new", "--create", "--json").json
    assert (created["submodule"]["branch"], created["rescue"]) == ("new", None)
    assert created["branches"] == ["main", "new", "origin/main"]
    assert llorch("git", "submodules", "branch", "candle", "--create").code == 2
    assert llorch("git", "submodules", "branch", "candle", "nwe").code == 3
    git(world.work, "submodule", "--quiet", "deinit", "reference/llama ü")
    absent = llorch("git", "submodules", "branch", "llama ü")
    assert "uninitialized" in absent.out


def test_what_a_hook_failed_at_is_told(world: World, llorch: Llorch) -> None:
    """The submodule has moved, which is said, and so is the hook's failure, by the exit code too."""
    commit(world.sources["reference/candle"], "tip")
    failing_hook(world.work)
    done = llorch("git", "submodules", "update", "candle")
    assert (done.code, "reference/candle moved from" in done.out) == (5, True)
    assert "could not be moved" not in done.err
    assert "  reference/candle: it is where it should be" in done.err
    assert "git-lfs was not found" in done.err


def test_one_that_is_cloned_for_who_asks_only(world: World, llorch: Llorch) -> None:
    """Its state has the command that clones it, and so has what skips it: it works as it is pasted."""
    git(world.work, "submodule", "--quiet", "deinit", "reference/llama ü")
    git(world.work, "config", "-f", ".gitmodules", "submodule.reference/llama ü.update", "none")
    command = llorch("git", "submodules", "status", "llama ü").out.split("`")[1]
    skipped = llorch("git", "submodules", "update", "--pinned", "llama ü")
    assert (skipped.code, command) == (0, skipped.out.split("`")[1])
    subprocess.run(["sh", "-c", command], cwd="/", check=True, capture_output=True)
    assert llorch("git", "submodules", "status", "llama ü").out.split("\t")[1] == "ok"
