"""A new workspace, and a new clone made ready, as programs."""

import os
import stat
from pathlib import Path

import pytest

from tests.conftest import program, program_of
from tests.dev.trees import TREES, package, write_tree
from tests.rust import SYSROOT, Rust, needs_cargo

NOT_BUILT = {"state": "not-built", "size": None, "sha256": None, "built_at": None}


@pytest.fixture
def cargo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toolchain of this machine, whose home is not the test's."""
    monkeypatch.setenv("PATH", f"{SYSROOT}/bin", prepend=os.pathsep)
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))


@pytest.fixture
def rust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rust:
    """A cargo workspace with a worker, which is the current folder, and no llorch.toml."""
    rust = Rust(tmp_path / "rüst ws")
    (rust.root / "llorch.toml").unlink()
    for name, value in rust.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(rust.root)
    return rust


@pytest.mark.parametrize("tree", [*TREES, "nothing"])
def test_what_init_writes_works_at_once(workspace: Path, tree: str) -> None:
    """In any repository both doors load the files, and a second run writes nothing."""
    write_tree(workspace, TREES.get(tree, {}))
    assert program("llorch", "init").code == 0
    before = {path: path.read_bytes() for path in workspace.iterdir() if path.is_file()}
    for command in (
        ("llorch", "list"),
        ("llorch", "build", "list"),
        ("llorch", "remote", "hosts", "list"),
        ("doit", "list", "--all"),
    ):
        run = program(*command)
        assert run.code == 0, f"{command}: {run.err}"
    assert program("llorch", "init").code == 0
    assert {path: path.read_bytes() for path in workspace.iterdir() if path.is_file()} == before


@needs_cargo
@pytest.mark.parametrize(
    ("tree", "builds"),
    [
        ("single", {"one"}),
        ("several binaries", {"renamed", "second", "third", "fourth"}),
        ("virtual", {"app", "tool", "a", "leaf", "dotted", "excluded", "own"}),
        ("nested folders", {"one", "two", "three"}),
        ("a root that is elsewhere", {"member"}),
    ],
)
def test_what_init_declares_can_be_built(workspace: Path, cargo: None, tree: str, builds: set[str]) -> None:
    """Cargo makes each binary where it is said to be, and the test suites run."""
    write_tree(workspace, TREES[tree])
    assert program("llorch", "init").code == 0
    made = program("llorch", "doit", "-n", "2", "build")
    assert made.code == 0, made.err
    rows = program("llorch", "build", "list", "--json").json["builds"]
    there = {row["task"]: row["path"] for row in rows if row["state"] != "not-in-workspace"}
    assert there.keys() == {f"build:{name}" for name in builds}
    for path in there.values():
        assert program_of(str(workspace / path)).code == 0
    tested = program("llorch", "test", "all", "--json")
    assert (tested.code, tested.json["ok"]) == (0, True)


@needs_cargo
def test_a_repository_with_a_worker_is_built_after_init(rust: Rust) -> None:
    """Features are backends; where a binary's name has none, each backend's is in a folder of its own."""
    features = "[features]\ncuda = []\nmetal = []\n"
    rust.write("single/Cargo.toml", package("single", features))
    rust.write("single/src/main.rs", 'fn main() { println!("{}", cfg!(feature = "metal")) }\n')
    rust.edit("Cargo.toml", '"app"', '"app", "single"')
    assert program("llorch", "init").code == 0
    assert program("llorch", "build", "worker", "cpu").code == 0
    assert rust.says().startswith("main1 base1")
    assert program("llorch", "build", "single-cpu").code == 0
    rows = {row["task"]: row for row in program("llorch", "build", "list", "--json").json["builds"]}
    for backend in ("cuda", "metal"):
        path = f"target/{backend}/release/single"
        assert rows[f"build:single-{backend}"] == {"task": f"build:single-{backend}", "path": path, **NOT_BUILT}
    assert program_of(str(rust.root / rows["build:single-cpu"]["path"])).out == "false\n"


def test_models_of_a_new_workspace_are_not_committed(workspace: Path) -> None:
    """After init, `git add` takes neither models nor state, also where there was no .gitignore."""
    assert program_of("git", "init", "-q").code == 0
    assert program("llorch", "init").code == 0
    (workspace / ".test-models/m").mkdir(parents=True)
    (workspace / ".test-models/m/a.gguf").write_bytes(b"big")
    assert program("llorch", "list").code == 0
    assert program_of("git", "add", "-A").code == 0
    listed = program_of("git", "ls-files").out.split()
    assert listed == [".gitignore", "catalog.toml", "dodo.py", "hosts.toml", "llorch.toml"]


def test_files_have_the_rights_that_others_need(workspace: Path) -> None:
    """They are as readable as any file that this user makes."""
    assert program("llorch", "init").code == 0
    mask = os.umask(0)
    os.umask(mask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in workspace.iterdir()} == {0o666 & ~mask}
