"""Tables of llorch.toml held against real cargo packages."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.manifests import Wanted, check
from tests.rust import Rust, needs_cargo

pytestmark = needs_cargo
TABLE = ("build", "x")


@pytest.fixture
def rust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rust:
    """A workspace with a package of three binaries."""
    found = Rust(tmp_path / "rust dir")
    for name, value in found.environ.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def said(rust: Rust) -> Callable[..., list[str]]:
    """Return what is wrong with a table, a line each."""

    def look(manifest: str = "app/Cargo.toml", **values: tuple[str, ...] | str | bool) -> list[str]:
        wanted = Wanted(table=TABLE, manifest=rust.root / manifest, **values)  # type: ignore[arg-type]  # as the tests say
        mistakes, skipped = check([wanted], Workspace(root=rust.root, declared=True))
        assert skipped == ""
        return [f"{mistake.key[2]}: {mistake.message} ({mistake.hint})" for mistake in mistakes]

    return look


def test_what_is_there_is_right(said: Callable[..., list[str]], rust: Rust) -> None:
    """Package, binaries, features and profiles as the manifests have them, and as cargo has them by itself."""
    rust.write("Cargo.toml", (rust.root / "Cargo.toml").read_text() + '[profile.tuned]\ninherits = "release"\n')
    rust.write(".cargo/config.toml", '[profile.ours]\ninherits = "dev"\n')
    assert said(package="worker", bins=("worker-cpu",), features=("cpu", "default", "base/x"), profiles=("dev",)) == []
    assert said(bins=("worker-metal",), profiles=("tuned", "ours", "bench")) == []
    assert said("Cargo.toml", package="worker") == []


def test_what_is_not_there_is_said(said: Callable[..., list[str]]) -> None:
    """Each with the nearest that is, or with what there is."""
    assert said("ap/Cargo.toml", bins=("x",)) == [
        "manifest: there is no file `ap/Cargo.toml` (add the crate, or say where it is)"
    ]
    assert said(package="wroker") == ["package: there is no package `wroker` (did you mean `worker`?)"]
    assert said("Cargo.toml")[0].startswith("package: must say which package of the workspace (there are ")
    assert said(bins=("worker-cpv", "zzz"), features=("cud", "zzz"), profiles=("realease", "zzz")) == [
        "bin: `worker` has no binary `worker-cpv` (did you mean `worker-cpu`?)",
        "bin: `worker` has no binary `zzz` (there are worker-cpu, worker-cuda, worker-metal)",
        "features: `worker` has no feature `cud` (did you mean `cuda`?)",
        "features: `worker` has no feature `zzz` (there are default, cpu, cuda, loud, metal)",
        "profile: there is no profile `realease` in the workspace's Cargo.toml (did you mean `release`?)",
        "profile: there is no profile `zzz` in the workspace's Cargo.toml (there are dev, release, test, bench)",
    ]
    assert said("crates/unused/Cargo.toml", bins=("x",)) == ["bin: `unused` has no binary `x` (there are none)"]


def test_tests_may_be_of_all_packages(said: Callable[..., list[str]]) -> None:
    """Cargo takes the features that any of them has; a package that is named has to be there."""
    assert said("Cargo.toml", every=True, features=("cuda", "base/x")) == []
    assert said("Cargo.toml", every=True, features=("cud",)) == [
        "features: the workspace has no feature `cud` (did you mean `cuda`?)"
    ]
    assert said("Cargo.toml", every=True, package="wroker")[0].startswith("package: there is no package `wroker`")
    assert said(every=True, bins=("zzz",))[0].startswith("bin: `worker` has no binary `zzz`")


def test_a_manifest_that_cargo_cannot_use_is_said(said: Callable[..., list[str]], rust: Rust) -> None:
    """The reason is cargo's own."""
    rust.write("app/.cargo/config", "")  # cargo warns of the old name first
    rust.write("app/Cargo.toml", "[package]\nname = 1\n")
    (line,) = said()
    assert line.startswith("manifest: cargo cannot use it: ")
    assert "invalid type: integer `1`, expected a string" in line


def test_an_optional_dependency_is_a_feature(said: Callable[..., list[str]], rust: Rust) -> None:
    """It can be switched on by its name, which may be another than its package's."""
    more = '\n[dependencies.extra]\npath = "../crates/unused"\npackage = "unused"\noptional = true\n'
    rust.write("app/Cargo.toml", (rust.root / "app/Cargo.toml").read_text() + more)
    assert said(features=("extra",)) == []


def test_without_cargo_only_files_are_looked_for(rust: Rust, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the rest was not looked at is said, and is no mistake."""
    monkeypatch.setenv("PATH", str(rust.folder))
    tables = [
        Wanted(table=("build", "a"), manifest=rust.root / "app/Cargo.toml", bins=("zzz",)),
        Wanted(table=("build", "b"), manifest=rust.root / "gone/Cargo.toml"),
    ]
    mistakes, skipped = check(tables, Workspace(root=rust.root, declared=True))
    assert [mistake.key for mistake in mistakes] == [("build", "b", "manifest")]
    assert skipped == "`cargo` is not installed, or not in PATH"


def test_a_broken_toolchain_is_not_the_manifests_fault(rust: Rust) -> None:
    """Cargo that does not even tell its version says nothing about a manifest."""
    said = "error: toolchain is not installed\nStack backtrace:"
    (rust.folder / "bin/cargo").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    wanted = Wanted(table=TABLE, manifest=rust.root / "app/Cargo.toml")
    mistakes, skipped = check([wanted], Workspace(root=rust.root, declared=True))
    assert (mistakes, skipped) == ([], "cargo does not work: toolchain is not installed")


def test_each_folder_is_asked_about_once(rust: Rust) -> None:
    """Several tables may be of one package."""
    wanted = [Wanted(table=("build", name), manifest=rust.root / "app/Cargo.toml") for name in "abc"]
    assert check(wanted, Workspace(root=rust.root, declared=True)) == ([], "")
    assert len(rust.calls()) == 1
    assert os.listdir(rust.root / "app")  # nothing was built
    assert not (rust.root / "target").exists()
