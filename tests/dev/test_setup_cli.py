"""`llorch dev setup`: what it asks, what it does, and what it leaves alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.dev.init import NAMES
from llorch.git.tasks import CLONE
from tests.conftest import BIN, Run, in_terminal, program, write_catalog
from tests.git.conftest import add_submodule, commit, git, isolated, repository

Llorch = Callable[..., Run]
__all__ = ["isolated"]
SETUP = (str(BIN / "llorch"), "dev", "setup", "--no-color")

LLORCH = """
[test.page]
command = ["true"]
needs = ["models:needed", "build:worker"]
[build.worker]
manifest = "Cargo.toml"
"""


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have doctor ask no server for the Hub."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def declared(workspace: Path) -> Path:
    """A workspace with three models, of which a test suite needs one."""
    write_catalog(workspace, {"big": {"a.gguf": b"a" * 1000}, "small": {"b.gguf": b"b"}, "needed": {"c.bin": b"c" * 9}})
    (workspace / "llorch.toml").write_text(LLORCH)
    return workspace


def models(root: Path) -> set[str]:
    """Return which models are there, whole and verified."""
    return {path.parent.name for path in root.glob(".test-models/*/receipt.json")}


def test_nobody_to_ask_is_a_refusal(workspace: Path, llorch: Llorch) -> None:
    """What it would do is named, and nothing is done."""
    done = llorch("dev", "setup")
    assert done.code == 8
    error = llorch("dev", "setup", "--json").json["error"]
    assert error["code"] == "refused"
    files = f"makes llorch.toml, catalog.toml, hosts.toml and dodo.py in {workspace}"
    assert error["message"] == f"this {files} and downloads smollm2 (98.4 MB), and nobody can be asked here"
    assert error["hint"] == "`--yes` agrees to it; `--models none` downloads nothing"
    error = llorch("dev", "setup", "--models", "none", "--json").json["error"]
    assert (error["message"], error["hint"]) == (f"this {files}, and nobody can be asked here", "`--yes` agrees to it")
    assert [*workspace.iterdir()] == []


def test_a_folder_becomes_a_workspace_that_is_ready(workspace: Path, llorch: Llorch) -> None:
    """With `--yes` the files are made and doctor is content; the second time there is nothing to ask."""
    done = llorch("dev", "setup", "--models", "none", "--yes", "--json")
    assert (done.code, done.json["ok"], done.json["tasks"]) == (0, True, [])
    assert done.json.keys() == {"schema", "ok", "findings", "dry_run", "files", "tasks"}
    assert done.json["files"] == [{"path": name, "outcome": "made"} for name in (*NAMES, ".gitignore")]
    again = llorch("dev", "setup", "--models", "none")
    assert again.code == 0
    assert "\tmade\t" not in again.out
    assert "ok    configuration  llorch.toml, catalog.toml, hosts.toml, dodo.py" in again.out


def test_one_file_makes_it_a_workspace(workspace: Path, llorch: Llorch) -> None:
    """No file is made where one of them is there already."""
    (workspace / "hosts.toml").write_text("version = 1\n")
    assert llorch("dev", "setup", "--models", "none").code == 0
    assert [path.name for path in workspace.iterdir() if path.name != ".llorch"] == ["hosts.toml"]


def test_a_model_that_a_suite_needs_comes(declared: Path, llorch: Llorch) -> None:
    """Only that one, and when it is there the same command has nothing to do."""
    done = llorch("dev", "setup", "--models", "recommended", "--json")
    assert {task["name"]: task["outcome"] for task in done.json["tasks"]} == {
        "fetch:needed": "done",
        "verify:needed": "done",
    }
    assert models(declared) == {"needed"}
    again = llorch("dev", "setup")
    assert "nothing to do: models:needed is up to date\n" in again.err


def test_which_models_can_be_chosen(declared: Path, llorch: Llorch) -> None:
    """All, or none; without a suite that needs one, a small one."""
    assert llorch("dev", "setup", "--models", "none", "--json").json["tasks"] == []
    assert models(declared) == set()
    (declared / "llorch.toml").unlink()
    llorch("dev", "setup", "--yes")
    assert models(declared) == {"small"}
    llorch("dev", "setup", "--models", "all")
    assert models(declared) == {"big", "small", "needed"}


def test_what_the_disk_cannot_take_is_left_out(declared: Path, llorch: Llorch) -> None:
    """It is said, and the rest goes on."""
    catalog = declared / "catalog.toml"
    catalog.write_text(catalog.read_text().replace("size = 9", f"size = {1 << 60}"))
    done = llorch("dev", "setup", "--yes")
    assert "`needed` takes 1152921.5 TB more, which the disk does not have: it is left out" in done.err
    assert models(declared) == set()


def test_a_model_that_is_half_there_is_asked_about(declared: Path, llorch: Llorch) -> None:
    """What a `.part` has already is not counted; a file of another size is."""
    part = declared / ".test-models/needed/c.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"c" * 9)
    assert "downloads needed (size unknown)" in llorch("dev", "setup").err
    part.rename(part.with_suffix(""))
    assert llorch("dev", "setup").code != 8
    (declared / ".test-models/needed/c.bin").write_bytes(b"other")
    assert "downloads needed (9 B)" in llorch("dev", "setup").err


def test_a_model_that_is_not_converted_yet_is_made(workspace: Path, llorch: Llorch) -> None:
    """The task that makes it from files that are there is asked for too."""
    (workspace / "llorch.toml").write_text('[test.x]\ncommand = ["true"]\nneeds = ["models:tiny-gpt2"]\n')
    assert llorch("dev", "setup", "--yes").code == 0
    (made,) = workspace.glob(".test-models/tiny-gpt2/*.gguf")
    made.unlink()
    assert "downloads tiny-gpt2" in llorch("dev", "setup").err
    assert llorch("dev", "setup", "--yes").code == 0
    assert made.is_file()


def test_a_failure_is_told_and_the_rest_goes_on(declared: Path, llorch: Llorch) -> None:
    """The code is that of what failed, doctor is shown, and the document is not `ok`."""
    shutil.rmtree(declared / "sources/big")
    done = llorch("dev", "setup", "--models", "all", "--json")
    outcomes = {task["name"]: task["outcome"] for task in done.json["tasks"]}
    assert (outcomes["fetch:big"], outcomes["verify:needed"]) == ("failed", "done")
    assert (done.json["ok"], done.code) == (False, 1)
    assert done.json["findings"]
    (declared / "llorch.toml").write_text("[paths]\nmodel = 1\n")
    assert llorch("dev", "setup", "--yes").code == 3


def test_doctor_has_the_last_word(declared: Path, llorch: Llorch, tmp_path: Path) -> None:
    """When all is made and something else fails, the code is doctor's."""
    (declared / "Cargo.toml").write_text('[package]\nname = "worker"\nversion = "0.1.0"\n')
    (tmp_path / "bin").mkdir()
    for name in ("git", "true"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    done = llorch("dev", "setup", "--yes", "--json", env={"PATH": str(tmp_path / "bin")})
    assert {task["outcome"] for task in done.json["tasks"]} == {"done"}
    assert (done.code, done.json["ok"]) == (1, False)
    assert {each["id"] for each in done.json["findings"] if each["severity"] == "error"} >= {"cargo"}


def test_a_dry_run_does_nothing(workspace: Path, llorch: Llorch) -> None:
    """It needs nobody's answer, and says what would be."""
    done = llorch("dev", "setup", "--dry-run")
    assert "dodo.py\twould be made\t" in done.out
    assert "fetch:smollm2   skipped     would run" in done.err
    document = llorch("dev", "setup", "--dry-run", "--json").json
    assert (document["dry_run"], {task["outcome"] for task in document["tasks"]}) == (True, {"skipped"})
    assert {path.name for path in workspace.iterdir()} <= {".llorch"}


def test_submodules_come_with_it(tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not there are cloned, those that have moved stay, and one that cannot be had is listed."""
    origin = repository(tmp_path / "origin")
    commit(origin, "llorch.toml", "version = 1\n")
    for name in ("a", "b", "gone"):
        add_submodule(origin, repository(tmp_path / "sources" / name), name)
    git(tmp_path, "clone", "-q", origin.as_uri(), "work")
    monkeypatch.chdir(tmp_path / "work")
    git(tmp_path / "work", "submodule", "--quiet", "update", "--init", "a")
    moved = commit(tmp_path / "work/a", "mine")
    (tmp_path / "sources/gone").rename(tmp_path / "away")
    done = llorch("dev", "setup", "--models", "none")
    assert done.code == 1
    assert "1 of 3 submodules cannot be cloned:\n  gone: " in done.err
    assert "warn  submodules" in done.out
    assert (tmp_path / "work/b/README").is_file()
    (tmp_path / "away").rename(tmp_path / "sources/gone")
    tasks = llorch("dev", "setup", "--models", "none", "--json").json["tasks"]
    assert [(task["name"], task["outcome"]) for task in tasks] == [(CLONE, "done")]
    again = llorch("dev", "setup", "--models", "none")
    assert again.code == 0
    assert f"nothing to do: {CLONE} is up to date" in again.err
    assert git(tmp_path / "work/a", "rev-parse", "HEAD") == moved


@pytest.mark.parametrize(("typed", "made", "there"), [("y\ny\n", True, {"needed"}), ("n\nn\n", False, set())])
def test_a_person_is_asked(declared: Path, typed: str, made: bool, there: set[str]) -> None:
    """Both questions come before anything is done, and no is an answer with which the rest goes on."""
    user = Path.home() / ".config/llorch/config.toml"
    user.parent.mkdir(parents=True)
    (declared / "llorch.toml").rename(user)
    catalog = (declared / "catalog.toml").rename(declared / "models.toml")
    done = in_terminal(*SETUP, typed=typed, env={"LLORCH_CATALOG": str(catalog)}, cwd=declared)
    where = f"in {declared}? [y/N] "
    assert "Make llorch.toml, catalog.toml, hosts.toml and dodo.py" in done.out
    assert where in done.out.replace("\n", "")
    assert "Download needed (9 B)? [y/N] " in done.out
    assert (declared / "dodo.py").exists() is made
    assert models(declared) == there
    assert "configuration" in done.out


def test_it_is_a_task_too(declared: Path) -> None:
    """`dev:setup` runs it, by both doors."""
    done = program("llorch", "doit", "dev:setup")
    assert done.code == 1
    assert "downloads needed (9 B), and nobody can be asked here" in done.err
    assert models(declared) == set()
