"""What the tests of test suites share: a cargo package with tests, built once for all."""

import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.conftest import Run
from tests.rust import SYSROOT, TESTED

Llorch = Callable[..., Run]
SUITES = """
version = 1
[test.unit]
manifest = "lib/Cargo.toml"
backends = ["cpu", "cuda"]
features = ["{backend}"]
args = ["--lib"]
[test.smoke]
manifest = "lib/Cargo.toml"
args = ["--test", "smoke"]
needs = ["models:tiny"]
[test.page]
command = ["sh", "-c", "echo a page; exit $PAGE"]
"""


@pytest.fixture
def tested(workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a package that has tests, as the current folder; what is compiled is shared by all tests."""
    assert SYSROOT is not None, "cargo is not installed"
    for name, text in TESTED.items():
        path = workspace / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))
    (workspace / "llorch.toml").write_text(SUITES)
    for name in [*os.environ]:
        if name.startswith(("CARGO", "RUST")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", os.pathsep.join([str(SYSROOT / "bin"), os.environ["PATH"]]))
    monkeypatch.setenv("CARGO_TARGET_DIR", str(tmp_path_factory.getbasetemp() / "tested"))
    monkeypatch.setenv("NVCC", "true")  # stands in for the CUDA compiler: it is there, and works
    monkeypatch.setenv("PAGE", "0")
    return workspace
