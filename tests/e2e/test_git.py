"""The program on real repositories: one day's work with a submodule, and the shapes of every document."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llorch import table
from tests.conftest import program
from tests.e2e.test_json import ERROR, NUMBER_OR_NULL, TEXT_OR_NULL, mismatch
from tests.git.conftest import World, add_submodule, clone, commit, git, head, isolated, repository, world
from tests.rust import SYSROOT, needs_cargo

__all__ = ["isolated", "world"]  # fixtures

COMMIT = {"commit": str, "time": str, "author": str, "subject": str}
SUBMODULE = {
    "path": str,
    "state": str,
    "commit": TEXT_OR_NULL,
    "recorded": str,
    "branch": TEXT_OR_NULL,
    "ahead": NUMBER_OR_NULL,
    "behind": NUMBER_OR_NULL,
    "changed": int,
    "untracked": int,
    "operation": TEXT_OR_NULL,
    "error": TEXT_OR_NULL,
}
MOVE = {
    "path": str,
    "outcome": str,
    "before": TEXT_OR_NULL,
    "after": TEXT_OR_NULL,
    "left": TEXT_OR_NULL,
    "rescue": TEXT_OR_NULL,
    "error": (None, ERROR),
}
LOSS = {"path": str, "commits": [COMMIT], "changed": [str], "untracked": [str]}
FILES = {"staged": [str], "changed": [str], "untracked": [str], "conflicted": [str]}
BRANCH = {
    "name": str,
    "local": bool,
    "commit": str,
    "upstream": TEXT_OR_NULL,
    "gone": bool,
    "ahead": NUMBER_OR_NULL,
    "behind": NUMBER_OR_NULL,
    "subject": str,
}
SHAPES: dict[tuple[str, ...], dict[str, Any]] = {
    ("status",): {
        "repository": {
            "branch": TEXT_OR_NULL,
            "head": TEXT_OR_NULL,
            "upstream": TEXT_OR_NULL,
            "ahead": NUMBER_OR_NULL,
            "behind": NUMBER_OR_NULL,
            "staged": int,
            "changed": int,
            "untracked": int,
            "conflicted": int,
            "files": FILES,
            "stashes": int,
            "operation": TEXT_OR_NULL,
            "origin": TEXT_OR_NULL,
            "last_commit": (None, COMMIT),
        },
        "submodules": [SUBMODULE],
    },
    ("branches",): {"branches": [BRANCH]},
    ("log",): {"commits": [COMMIT]},
    ("submodules", "list"): {"submodules": [{**SUBMODULE, "url": str, "follows": TEXT_OR_NULL}]},
    ("submodules", "status"): {"submodules": [SUBMODULE]},
    ("submodules", "branch", "candle"): {"submodule": SUBMODULE, "branches": [str], "rescue": TEXT_OR_NULL},
    ("pull",): {
        "dry_run": bool,
        "branch": str,
        "before": TEXT_OR_NULL,
        "after": str,
        "commits": [COMMIT],
        "files": [str],
        "flattened": [COMMIT],
        "restore": TEXT_OR_NULL,
        "submodules": [MOVE],
    },
    ("submodules", "update", "--all"): {"restore": TEXT_OR_NULL, "submodules": [MOVE]},
    ("submodules", "reset", "candle", "--yes"): {
        "dry_run": bool,
        "lost": [LOSS],
        "restore": TEXT_OR_NULL,
        "submodules": [MOVE],
    },
    ("sync", "--yes"): {
        "dry_run": bool,
        "target": str,
        "lost": [LOSS],
        "restore": TEXT_OR_NULL,
        "submodules": [MOVE],
    },
    ("clean", "--yes"): {"dry_run": bool, "removed": [str], "restore": TEXT_OR_NULL},
}
DODO = """
from llorch.dodo import *

SOURCE = "reference/llama ü/README"


def task_build():
    return {"actions": ["cp '%(dependencies)s' %(targets)s"], "file_dep": [SOURCE], "targets": ["built"]}


def task_test():
    return {"actions": ["grep -q 'feature' %(dependencies)s"], "file_dep": ["built"]}
"""


@pytest.mark.parametrize("full", [False, True], ids=["as cloned", "with work"])
def test_shapes(world: World, full: bool) -> None:
    """Each command writes one document of its shape, as it is documented."""
    if full:
        world.advance("reference/candle")
        for root in (world.work, world.work / "reference/candle"):
            commit(root, "mine")
            (root / "README").write_text("changed")
            (root / "new").touch()
    for command, shape in SHAPES.items():
        run = program("llorch", "git", *command, "--json")
        assert mismatch(run.json, {"schema": int, **shape}, " ".join(command)) is None
        assert run.code == 0


def test_shapes_are_complete() -> None:
    """Every command of git has a shape here."""
    found = {command[: 2 if command[0] == "submodules" else 1] for command in SHAPES}
    assert found == {(name,) for name in table.GIT if name != "submodules"} | {
        ("submodules", n) for n in table.SUBMODULES
    }


def test_a_branch_of_a_submodule_is_tried_and_left(world: World) -> None:
    """Switch a submodule to a branch, build, test, switch back: each step sees what is there, and nothing is lost."""
    source = world.sources["reference/llama ü"]
    git(source, "switch", "-qc", "feature/faster")
    commit(source, "README", "the feature\n")
    git(source, "switch", "-q", "main")
    (world.work / "dodo.py").write_text(DODO)
    assert program("doit", "build").code == 0
    failing = program("doit", "test")
    assert failing.code == 1
    before = head(world.work / "reference/llama ü")
    switched = program("llorch", "git", "submodules", "branch", "llama ü", "feature/faster")
    assert (switched.code, "moved  feature/faster, 1 ahead of recorded" in switched.out) == (0, True)
    built = program("doit", "test")
    assert (built.code, (world.work / "built").read_text()) == (0, "the feature\n")
    assert [line.split()[0] for line in built.err.splitlines() if "  done  " in line] == ["build", "test"]
    (world.work / "reference/llama ü/note").write_text("mine")
    back = program("llorch", "git", "submodules", "update", "llama ü", "--pinned")
    assert (back.code, head(world.work / "reference/llama ü")) == (0, before)
    assert "it was on feature/faster" in back.out
    assert (world.work / "reference/llama ü/note").read_text() == "mine"
    assert program("doit", "test").code == 1
    assert (world.work / "built").read_text() == "first\n"
    status = program("llorch", "git", "status", "--json").json
    assert {each["path"]: each["state"] for each in status["submodules"]}["reference/llama ü"] == "dirty"


CRATE = {
    ".gitignore": "/target\n/Cargo.lock\n",
    "Cargo.toml": '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2021"\n',
    "src/main.rs": 'fn main() { println!("{}", tiny::word()) }\n',
    "src/lib.rs": 'pub fn word() -> &\'static str { "pinned" }\n#[test]\nfn says() { assert_eq!(word(), "pinned") }\n',
}
SETTINGS = """
version = 1

[build.tiny]
manifest = "reference/tiny/Cargo.toml"

[test.tiny]
manifest = "reference/tiny/Cargo.toml"
needs = ["build:tiny"]
"""


def make_and_test(root: Path) -> str:
    """Build the crate and run its tests, which pass; return what the binary says."""
    built = program("llorch", "build", "tiny", cwd=root)
    assert built.code == 0, built.err
    tested = program("llorch", "test", "tiny", "--json", cwd=root)
    assert (tested.code, tested.json["suites"][0]["passed"]) == (0, 1), tested.err
    said = subprocess.run([root / "reference/tiny/target/release/tiny"], capture_output=True, text=True, check=True)
    return said.stdout.rstrip("\n")


@needs_cargo
def test_a_crate_is_built_and_tested_on_another_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch a crate's branch, build, test, switch back: cargo makes what is there, and is not called for nothing."""
    assert SYSROOT is not None
    monkeypatch.setenv("PATH", os.pathsep.join([str(SYSROOT / "bin"), os.environ["PATH"]]))
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))
    crate = repository(tmp_path / "sources" / "tiny")
    for name, text in CRATE.items():
        commit(crate, name, text)
    origin = repository(tmp_path / "origin")
    commit(origin, "llorch.toml", SETTINGS)
    commit(origin, ".gitignore", ".llorch/\n")
    add_submodule(origin, crate, "reference/tiny")
    git(crate, "switch", "-qc", "feature/words")
    commit(crate, "src/lib.rs", CRATE["src/lib.rs"].replace("pinned", "feature"))
    git(crate, "switch", "-q", "main")
    root = clone(origin, tmp_path / "Wörk trée")
    assert make_and_test(root) == "pinned"
    switched = program("llorch", "git", "submodules", "branch", "tiny", "feature/words", cwd=root)
    assert (switched.code, "feature/words, 1 ahead of recorded" in switched.out) == (0, True)
    assert make_and_test(root) == "feature"
    back = program("llorch", "git", "submodules", "update", "tiny", "--pinned", cwd=root)
    assert (back.code, "it was on feature/words" in back.out) == (0, True)
    assert make_and_test(root) == "pinned"
    assert program("llorch", "build", "tiny", cwd=root).err == "nothing to do: build:tiny is up to date\n"
    assert program("llorch", "git", "status", cwd=root).out.endswith("\n1 submodule, 1 as recorded\n")
