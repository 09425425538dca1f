"""What the tests of builds share: a cargo workspace, built once for all tests of a file, or anew for one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.rust import SMALL, Rust, read_toolchain_once

Llorch = Callable[..., Run]


@pytest.fixture
def rust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rust:
    """A cargo workspace of this test's own, as the current folder; nothing is built."""
    made = Rust(tmp_path / "Röst späce")
    _enter(made, monkeypatch)
    return made


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rust:
    """A workspace of a single crate, of this test's own, as the current folder; nothing is built."""
    made = Rust(tmp_path / "Röst späce", SMALL)
    _enter(made, monkeypatch)
    return made


@pytest.fixture(scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Rust:
    return Rust(tmp_path_factory.mktemp("rust") / "Röst späce")


@pytest.fixture
def built(_shared: Rust, monkeypatch: pytest.MonkeyPatch, llorch: Llorch) -> Iterator[Rust]:
    """The workspace that the tests of a file share, with `worker-cpu` up to date in it."""
    _enter(_shared, monkeypatch)
    for _ in range(2):  # the second time where the first has made a folder or a file that is watched
        done = llorch("build", "worker", "cpu")
        assert done.code == 0, done.err
        if done.err.startswith("nothing to do"):
            break
    _shared.calls()
    yield _shared
    _shared.before.unlink(missing_ok=True)
    _shared.after.unlink(missing_ok=True)


def _enter(rust: Rust, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("CARGO", "RUST", "WORKER_")):
            monkeypatch.delenv(name)
    for name, value in rust.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(rust.root)
    read_toolchain_once(monkeypatch)
