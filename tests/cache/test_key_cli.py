"""`llorch cache key` and `diff`: one digest for a CI cache, and why it is another."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch import shell
from tests.cache.conftest import FILES, TASK, Lab
from tests.conftest import Run, sha256, write_catalog
from tests.rust import needs_cargo

Llorch = Callable[..., Run]


@needs_cargo
def test_the_key_of_a_binary(built: Lab) -> None:
    """It is the same in another checkout, without cargo, and after a build; an edit and a setting change it."""
    first, second = built.checkout("first"), built.checkout("deeper/second", own=True)
    key = first.llorch("cache", "key", TASK).out
    assert len(key) == 65
    assert second.llorch("cache", "key", TASK, cargo=False).out == key
    first.build()
    assert first.llorch("cache", "key", TASK).out == key
    assert first.llorch("cache", "key", TASK, CARGO_TARGET_DIR="elsewhere").out == key
    second.edit("lib/src/lib.rs", "lib1", "lib2")
    assert second.llorch("cache", "key", TASK).out != key
    assert first.llorch("cache", "key", TASK, RUSTFLAGS="-g").out != key
    secret = first.llorch("cache", "key", TASK, "--json", APP_WATCHED="a secret")
    assert (secret.json["key"] == key, "a secret" in secret.out) == (False, False)
    first.edit("llorch.toml", "env =", 'features = ["loud"]\nenv =')
    assert first.llorch("cache", "key", TASK).out != key


@needs_cargo
def test_what_it_is_made_of(built: Lab) -> None:
    """Each part is told: sources of all packages, manifests, the lock file, the pin, and the settings."""
    first = built.checkout("first")
    listed = dict(line.split("\t") for line in first.llorch("cache", "key", TASK, "--explain").out.splitlines())
    names = {name for name in FILES if "/" in name} | {"Cargo.lock", "Cargo.toml", "rust-toolchain.toml"}
    assert set(listed) == {*names, "build:app settings"}
    assert listed["app/data/a.txt"] == sha256(b"data1")
    settings = json.loads(listed["build:app settings"])
    assert (settings["command"][0], settings["watched"]) == ("build", {"APP_WATCHED": None})


def test_models_by_their_definitions(workspace: Path, llorch: Llorch) -> None:
    """Whatever is on disk; of all tasks where none is named."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}, "big": {"b.gguf": b"more"}})
    key = llorch("cache", "key").out
    llorch("models", "download", "tiny")
    assert llorch("cache", "key").out == key
    document = llorch("cache", "key", "models:tiny", "--json").json
    assert document["tasks"] == ["models:tiny"]
    assert [part["name"] for part in document["parts"]] == ["fetch:tiny settings"]
    write_catalog(workspace, {"tiny": {"a.gguf": b"other"}, "big": {"b.gguf": b"more"}})
    assert llorch("cache", "key").out != key


def test_why_it_is_another(workspace: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part by part, of the tasks that the file is of; the exit code tells too."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}, "big": {"b.gguf": b"more"}})
    (workspace / "sub").mkdir()
    (workspace / "sub/key.json").write_text(llorch("cache", "key", "--json").out)
    monkeypatch.chdir(workspace / "sub")
    same = llorch("cache", "diff", "key.json")
    assert (same.code, same.out) == (0, "the keys are the same\n")
    assert llorch("cache", "diff", "key.json", "--json").json["same"]
    write_catalog(workspace, {"tiny": {"a.gguf": b"other"}, "new": {"c.gguf": b"c"}})
    done = llorch("cache", "diff", "key.json")
    assert done.code == 1
    lines = done.out.splitlines()
    said = {"fetch:big settings is gone", "fetch:new settings is new", "fetch:tiny settings have changed:"}
    assert said <= set(lines)
    assert any(line.startswith("  was {") and sha256(b"data") in line for line in lines)
    assert any(line.startswith("  is  {") and sha256(b"other") in line for line in lines)
    document = llorch("cache", "diff", "key.json", "--json").json
    assert (document["same"], len(document["changes"])) == (False, 3)
    assert document["was"] != document["now"]
    failed = llorch("cache", "diff", "../catalog.toml")
    assert (failed.code, "it is not what `llorch cache key --json` writes" in failed.err) == (6, True)


def test_a_file_that_has_changed_is_said(workspace: Path, llorch: Llorch) -> None:
    """A source is named; what it was nobody knows."""
    (workspace / "llorch.toml").write_text('[build.app]\nmanifest = "Cargo.toml"\n')
    (workspace / "Cargo.toml").write_text('[package]\nname = "app"\n')
    (workspace / "src").mkdir()
    (workspace / "src/main.rs").write_text("fn main() {}")
    document = llorch("cache", "key", "--json", "build:app").out
    (workspace / "src/main.rs").write_text("fn main() { }")
    (workspace.parent / "key.json").write_text(document)
    assert llorch("cache", "diff", str(workspace.parent / "key.json")).out == "src/main.rs has changed\n"


def test_no_program_but_git_is_called(workspace: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is built, no toolchain is asked, and nothing is written beside what was learned of files."""
    called: list[str] = []

    def note(command: list[str], **more: object) -> bytes:
        called.append(command[0])
        return b""

    monkeypatch.setattr(shell, "output", note)
    monkeypatch.setattr(shell, "run", note)
    test_a_file_that_has_changed_is_said(workspace, llorch)
    assert set(called) == {"git"}


def test_tasks_that_have_no_key(workspace: Path, llorch: Llorch) -> None:
    """One that is unknown is told with what may be meant; one that makes nothing to share is told as such."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    failed = llorch("cache", "key", "fetch:tinny")
    assert (failed.code, "did you mean `fetch:tiny`?" in failed.err) == (3, True)
    failed = llorch("cache", "key", "git:status", "--json")
    assert (failed.code, failed.json["error"]["code"]) == (1, "unshared")
