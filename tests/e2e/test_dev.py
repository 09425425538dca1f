"""A new workspace, and a new clone made ready, as programs."""

import os
import random
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llorch.dev.init import NAMES
from llorch.git.tasks import CLONE
from tests.conftest import BIN, IN_CI, Run, program, program_of
from tests.dev.trees import TREES, package, write_tree
from tests.git.conftest import add_submodule, commit, git, isolated, repository
from tests.hub import Fault, Hub
from tests.models.gguf_files import gguf_around
from tests.rust import SYSROOT, Rust, needs_cargo

__all__ = ["isolated"]  # git has its settings from the environment alone
WEIGHTS = gguf_around(random.Random(8).randbytes(2 << 20))
NOT_BUILT = {"state": "not-built", "size": None, "sha256": None, "built_at": None}


@pytest.fixture
def cargo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toolchain of this machine, whose home is not the test's."""
    monkeypatch.setenv("PATH", f"{SYSROOT}/bin", prepend=os.pathsep)
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with a model, which the programs of the test take for the real one."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add("org/model", {"model.gguf": WEIGHTS}, lfs=["model.gguf"])
        yield hub


WORKER = {
    "worker/Cargo.toml": package("worker", "[features]\ncpu = []\ncuda = []\n"),
    "worker/src/main.rs": """
        fn main() { println!("a worker for the {}", if cfg!(feature = "cuda") { "GPU" } else { "CPU" }) }
        """,
    "worker/tests/model.rs": """
        #[test]
        fn reads_its_model() {
            let path = std::env::var("LLORCH_TEST_MODEL_PATH").expect("no model");
            assert_eq!(&std::fs::read(path).unwrap()[..4], b"GGUF");
        }
        """,
}


@pytest.fixture
def origin(tmp_path: Path, hub: Hub) -> Path:
    """A repository as its owner has made it with llorch: a worker whose test needs a model, and a submodule."""
    origin = repository(tmp_path / "örigin")
    write_tree(origin, WORKER)
    commit(origin, ".gitignore", "target/\nCargo.lock\n")
    add_submodule(origin, repository(tmp_path / "library"), "reference/library")
    assert program("llorch", "init", cwd=origin).code == 0
    assert program("llorch", "models", "add", "org/model:model.gguf", "--id", "m", cwd=origin).code == 0
    settings = origin / "llorch.toml"
    said = settings.read_text()
    settings.write_text(said.replace('# needs = ["models:smollm2"]', 'needs = ["models:m"]'))
    assert settings.read_text() != said
    git(origin, "add", "-A")
    git(origin, "commit", "-qm", "Make it a workspace")
    return origin


@pytest.fixture
def fresh(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new clone of it, which is the current folder, for a user who has nothing yet."""
    fresh = tmp_path / "frésh clone"
    git(tmp_path, "clone", "-q", origin.as_uri(), str(fresh))
    home = tmp_path / "new home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(fresh)
    return fresh


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
def test_what_init_writes_works_at_once(workspace: Path, llorch: Callable[..., Run], tree: str) -> None:
    """In any repository both doors load the files, and a second run writes nothing."""
    write_tree(workspace, TREES.get(tree, {}))
    assert llorch("init").code == 0
    before = {path: path.read_bytes() for path in workspace.iterdir() if path.is_file()}
    for command in (("list",), ("build", "list"), ("remote", "hosts", "list")):
        run = llorch(*command)
        assert run.code == 0, f"{command}: {run.err}"
    run = program("doit", "list", "--all")
    assert run.code == 0, run.err
    assert llorch("init").code == 0
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
def test_what_init_declares_can_be_built(
    workspace: Path, cargo: None, llorch: Callable[..., Run], tree: str, builds: set[str]
) -> None:
    """Nothing is wrong with it, cargo makes each binary where it is said to be, and the test suites run."""
    write_tree(workspace, TREES[tree])
    assert llorch("init").code == 0
    checked = llorch("dev", "check", env={"LLORCH_OFFLINE": "1"})
    assert checked.code == 0, checked.out
    made = program("llorch", "doit", "-n", "2", "build")
    assert made.code == 0, made.err
    rows = llorch("build", "list", "--json").json["builds"]
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
    """After init, `git add` takes neither models nor what is made anew, also where there was no .gitignore."""
    assert program_of("git", "init", "-q").code == 0
    assert program("llorch", "init").code == 0
    (workspace / ".test-models/m").mkdir(parents=True)
    (workspace / ".test-models/m/a.gguf").write_bytes(b"big")
    for command in ("llorch", "doit"):  # both load dodo.py, beside which Python puts what it makes of it
        assert program(command, "list", env={"PYTHONDONTWRITEBYTECODE": ""}).code == 0
    assert (workspace / "__pycache__").is_dir()
    assert program_of("git", "add", "-A").code == 0
    listed = program_of("git", "ls-files").out.split()
    assert listed == [".gitignore", "catalog.toml", "dodo.py", "hosts.toml", "llorch.toml"]


def test_files_have_the_rights_that_others_need(workspace: Path) -> None:
    """They are as readable as any file that this user makes."""
    assert program("llorch", "init").code == 0
    mask = os.umask(0)
    os.umask(mask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in workspace.iterdir()} == {0o666 & ~mask}


@needs_cargo
def test_a_fresh_clone_is_set_up_built_and_tested(cargo: None, fresh: Path, hub: Hub) -> None:
    """In an empty home one command has the submodule and the model; doctor is content; the worker runs, and its test.

    Run again, it finds that there is nothing to do.
    """
    done = program("llorch", "dev", "setup", "--yes", "--json")
    assert done.code == 0, done.out
    outcomes = {task["name"]: task["outcome"] for task in done.json["tasks"]}
    assert outcomes == {CLONE: "done", "fetch:m": "done", "verify:m": "done"}
    severities = {finding["id"]: finding["severity"] for finding in done.json["findings"]}
    assert "error" not in severities.values(), done.json["findings"]
    assert (severities["submodules"], severities["hub"], severities["cargo"]) == ("ok", "ok", "ok")
    assert (fresh / "reference/library/README").is_file()
    assert (fresh / ".test-models/m/model.gguf").read_bytes() == WEIGHTS
    assert git(fresh, "status", "--porcelain") == ""

    asked = len([request for request in hub.requests if request.file])
    again = program("llorch", "dev", "setup")
    assert again.code == 0
    assert f"nothing to do: {CLONE}, models:m are up to date\n" in again.err
    assert len([request for request in hub.requests if request.file]) == asked

    assert program("llorch", "build", "worker", "cpu").code == 0
    assert program_of(str(fresh / "worker/target/cpu/release/worker")).out == "a worker for the CPU\n"
    tested = program("llorch", "test", "unit", "--json")
    assert (tested.code, tested.json["suites"][0]["passed"]) == (0, 1)
    assert git(fresh, "status", "--porcelain") == ""


def test_plain_doit_knows_what_setup_has_done(fresh: Path) -> None:
    """Both doors lead to one graph: the tasks of setup are up to date there too."""
    assert program("llorch", "dev", "setup", "--models", "recommended", "--json").json["tasks"]
    assert "nothing to do: models:m is up to date" in program("doit", "models:m").err
    assert "up to date  none is missing" in program("doit", CLONE).err


def test_setup_that_was_killed_is_finished_by_the_next(fresh: Path, hub: Hub) -> None:
    """A kill while the model comes leaves what has come; the next run fetches the rest, and all is as it should be."""
    after = random.randrange(1, len(WEIGHTS))
    hub.fault("model.gguf", Fault("stall", after=after))
    part = fresh / ".test-models/m/model.gguf.part"
    process = subprocess.Popen(
        [str(BIN / "llorch"), "dev", "setup", "--yes"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    cloned = fresh / ".git/modules/reference/library/index"  # by a git that would outlive its llorch
    while not (cloned.exists() and part.exists() and part.stat().st_size == after) and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=20) == -signal.SIGKILL
    assert part.stat().st_size == after
    hub.heal()
    done = program("llorch", "dev", "setup", "--yes", "--json")
    outcomes = {task["name"]: task["outcome"] for task in done.json["tasks"]}
    assert outcomes.keys() == {CLONE, "fetch:m", "verify:m"}
    assert (outcomes["fetch:m"], outcomes["verify:m"]) == ("done", "done")
    assert (fresh / ".test-models/m/model.gguf").read_bytes() == WEIGHTS
    assert hub.bytes_sent("model.gguf") == len(WEIGHTS)
    assert (fresh / "reference/library/README").is_file()
    assert not part.exists()
    assert {task["outcome"] for task in program("llorch", "dev", "setup", "--json").json["tasks"]} == {"up-to-date"}


def test_setup_makes_the_files_of_a_repository_that_has_none(workspace: Path, hub: Hub) -> None:
    """What it makes is a workspace, to which a model can be added, and which the next setup brings."""
    done = program("llorch", "dev", "setup", "--models", "none", "--yes", "--json")
    assert (done.code, done.json["ok"]) == (0, True)
    assert program("llorch", "list").code == 0
    assert program("llorch", "models", "add", "org/model:model.gguf", "--id", "m").code == 0
    (workspace / "catalog.toml").write_text((workspace / "catalog.toml").read_text().replace('extends = "shipped"', ""))
    assert program("llorch", "dev", "setup", "--yes", "--json").json["tasks"][0]["name"] == "fetch:m"
    assert (workspace / ".test-models/m/model.gguf").is_file()


@pytest.mark.skipif(shutil.which("strace") is None and not IN_CI, reason="strace is not installed")
def test_setup_that_was_killed_while_it_makes_files_makes_the_rest(tmp_path: Path) -> None:
    """After a kill at any file the next run ends with all of them, as an unbroken one has them."""
    command = [str(BIN / "llorch"), "dev", "setup", "--models", "none", "--yes"]
    whole = tmp_path / "whole"
    whole.mkdir()
    assert program_of(*command, cwd=whole).code == 0
    for number in range(1, 6):
        root = tmp_path / f"killed {number}"
        root.mkdir()
        kill = ["-e", f"inject=rename:signal=KILL:when={number}"]
        cut = program_of("strace", "-f", "-o", str(tmp_path / "log"), "-e", "trace=rename", *kill, *command, cwd=root)
        assert cut.code in (-9, 137)
        assert len([*root.iterdir()]) == number
        assert program_of(*command, cwd=root).code == 0
        for name in (*NAMES, ".gitignore"):
            assert (root / name).read_bytes() == (whole / name).read_bytes()
        assert not [*root.glob("*.part")]
