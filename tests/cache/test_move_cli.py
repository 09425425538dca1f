"""`llorch cache push` and `pull`: what is here goes there and comes back, and nothing is made."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cache.conftest import TASK, Lab, Shared
from tests.conftest import BIN, MORTAL, Run, program_of, sha256, write_catalog
from tests.rust import needs_cargo

Llorch = Callable[..., Run]
MODELS = {"tiny": {"a.gguf": b"data", "b.gguf": b"more"}, "big": {"c.gguf": b"c" * 100_000}}


@pytest.fixture
def models(workspace: Path, llorch: Llorch, shared: Shared) -> Path:
    """A workspace with two models that may publish, one of them on disk."""
    write_catalog(workspace, MODELS)
    publish(workspace, shared, write=True)
    assert llorch("models", "download", "tiny", "--no-cache").code == 0
    return workspace


def publish(root: Path, shared: Shared, *, write: bool) -> None:
    """Set `[cache]`."""
    (root / "llorch.toml").write_text(f'[cache]\nurl = "file:{shared.folder}"\nwrite = {str(write).lower()}\n')


def outcomes(run: Run) -> dict[str, str]:
    """Return what became of each task."""
    return {task["name"]: task["outcome"] for task in run.json["tasks"]}


def test_what_is_here_is_pushed(models: Path, llorch: Llorch, shared: Shared) -> None:
    """What is up to date goes, what is not is left out; once more, it is there already."""
    done = llorch("cache", "push", "--json")
    assert (done.code, outcomes(done)) == (0, {"fetch:tiny": "pushed", "fetch:big": "left-out"})
    assert {path.name for path in (shared.folder / "cas").rglob("?" * 64)} == {sha256(b"data"), sha256(b"more")}
    assert llorch("cache", "push").err == "1 already there, 1 left out\n"
    done = llorch("cache", "push", "fetch:tiny")
    assert (done.code, done.err) == (
        0,
        f"fetch:tiny  already there in file:{shared.folder}\n1 already there\n",
    )
    (models / ".test-models/tiny/a.gguf").write_bytes(b"edit")
    done = llorch("cache", "push", "fetch:tiny", "fetch:big")
    assert (done.code, set(done.err.splitlines())) == (
        1,
        {
            "fetch:tiny  left out      it is not up to date here",
            "fetch:big   left out      it is not here",
            "2 left out",
        },
    )


def test_what_the_stores_have_is_pulled(models: Path, llorch: Llorch, shared: Shared) -> None:
    """It is restored, and the graph finds it done; what no store has is said, and is not fetched."""
    llorch("cache", "push")
    shutil.rmtree(models / ".test-models")
    done = llorch("cache", "pull", "--json")
    assert (done.code, outcomes(done)) == (0, {"fetch:tiny": "restored", "fetch:big": "missing"})
    assert outcomes(llorch("cache", "pull", "--json"))["fetch:tiny"] == "up-to-date"
    (task, *_) = llorch("models", "download", "tiny", "--json").json["tasks"]
    assert task["outcome"] == "up-to-date"
    done = llorch("cache", "pull", "models:big")
    assert (done.code, done.err) == (1, "fetch:big  missing       no store has it\n1 missing\n")
    assert not (models / ".test-models/big").exists()
    assert llorch("cache", "pull", "models:tiny").err.endswith("1 up to date\n")


def test_pushing_where_one_may_only_read(models: Path, llorch: Llorch, shared: Shared) -> None:
    """It is refused by the configuration, and else told as the store tells it, without anything half done there."""
    publish(models, shared, write=False)
    failed = llorch("cache", "push", "--json")
    assert (failed.code, failed.json["error"]["code"]) == (8, "refused")
    publish(models, shared, write=True)
    shared.folder.chmod(0o550)
    failed = program_of(*MORTAL, str(BIN / "llorch"), "cache", "push", "fetch:tiny")
    assert failed.code == 1
    assert f"error: `file:{shared.folder}` does not let us: Permission denied\n" in failed.err
    assert list(shared.folder.iterdir()) == []


def test_without_a_url_it_is_the_own_store(models: Path, llorch: Llorch) -> None:
    """What is pushed there is pulled from there."""
    (models / "llorch.toml").unlink()
    assert outcomes(llorch("cache", "push", "fetch:tiny", "--json")) == {"fetch:tiny": "pushed"}
    shutil.rmtree(models / ".test-models")
    assert outcomes(llorch("cache", "pull", "fetch:tiny", "--json")) == {"fetch:tiny": "restored"}


def test_the_own_store_is_trimmed(models: Path, llorch: Llorch) -> None:
    """After a push it is within its limit again."""
    (models / "llorch.toml").write_text('[cache]\nlocal_limit = "5B"\n')
    assert outcomes(llorch("cache", "push", "fetch:tiny", "--json")) == {"fetch:tiny": "pushed"}
    store = Path.home() / ".cache/llorch/store"
    assert sum(path.stat().st_size for path in store.rglob("*") if path.is_file()) == 4


def test_switched_off(models: Path, llorch: Llorch) -> None:
    """With LLORCH_NO_CACHE neither does anything."""
    for command in ("push", "pull"):
        failed = llorch("cache", command, env={"LLORCH_NO_CACHE": "1"})
        assert (failed.code, "the cache is switched off by LLORCH_NO_CACHE" in failed.err) == (8, True)


@needs_cargo
def test_a_binary_without_a_key(lab: Lab, shared: Shared) -> None:
    """A record that nobody could believe is not pushed, and that is said; with a key it is."""
    first, second = lab.checkout("first", own=True), lab.checkout("second", own=True)
    first.build()
    first.set(**{**shared.settings, "sign_key": ""})
    failed = first.llorch("cache", "push", TASK)
    assert failed.code == 1
    assert "is shared, and `[cache] sign_key` names no key to sign records with" in failed.err
    first.set(**{**shared.settings, "sign_key": "env:LAB_KEY"})
    failed = first.llorch("cache", "push", TASK)
    assert (failed.code, "`LAB_KEY`, the `sign_key`, is not set" in failed.err) == (1, True)
    done = first.llorch("cache", "push", TASK, "--json", LAB_KEY=shared.key.read_text())
    assert outcomes(done) == {TASK: "pushed"}
    second.set(**shared.reading)
    assert outcomes(second.llorch("cache", "pull", "--json", cargo=False))[TASK] == "restored"
    assert second.build(cargo=False) == "up-to-date"
