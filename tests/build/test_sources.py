"""Which files could decide what a binary is, as manifests tell."""

from pathlib import Path

import pytest

from llorch.build.plan import Plan
from llorch.build.sources import find_sources
from llorch.config import Build

FILES = {
    "Cargo.toml": """
[workspace]
members = ["app", "crates/*", "/absolute", 1]
[workspace.dependencies]
shared = { path = "crates/shared" }
unused = { path = "crates/unused" }
serde = "1"
[patch.crates-io]
patched = { path = "vendor/patched" }
""",
    "Cargo.lock": "",
    "rust-toolchain.toml": "",
    ".cargo/config.toml": "",
    "app/Cargo.toml": """
[dependencies]
base = { path = "../crates/base" }
shared.workspace = true
serde = { workspace = true }
missing = { path = "../nowhere" }
plain = "1"
[build-dependencies]
tool = { path = "../../outside/tool" }
[target.'cfg(unix)'.dependencies]
unix = { path = "../crates/unix" }
""",
    "app/src/main.rs": "",
    "app/data/deep/a.txt": "",
    "app/.hidden/x": "",
    "app/.cargo/config.toml": "",
    "app/inner/Cargo.toml": "",
    "app/inner/y.rs": "",
    "app/target/CACHEDIR.TAG": "",
    "app/target/z": "",
    "crates/base/Cargo.toml": '[dev-dependencies]\nloop = { path = "../../app" }\n',
    "crates/base/src/lib.rs": "",
    "crates/shared/Cargo.toml": "not TOML [",
    "crates/shared/src/lib.rs": "",
    "crates/unix/Cargo.toml": "",
    "crates/unused/Cargo.toml": "",
    "crates/unused/src/lib.rs": "",
    "vendor/patched/Cargo.toml": "dependencies = 1",
    "vendor/patched/src/lib.rs": "",
    "../outside/tool/Cargo.toml": "",
    "../outside/tool/src/lib.rs": "",
    "../Cargo.toml": "",
    "README.md": "",
}
NOT = {
    "app/.hidden/x", "app/inner/Cargo.toml", "app/inner/y.rs", "app/target/CACHEDIR.TAG", "app/target/z",
    "crates/unused/src/lib.rs", "../Cargo.toml", "README.md",
}  # fmt: skip


@pytest.fixture
def plan(workspace: Path) -> Plan:
    """A binary of a workspace with packages of every kind."""
    for name, text in FILES.items():
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Plan(
        name="app", backend="", settings=Build(manifest="app/Cargo.toml"), manifest=workspace / "app/Cargo.toml"
    )


def test_all_that_is_reached(workspace: Path, plan: Plan) -> None:
    """Packages by their paths, wherever they are named, and of others the manifests alone."""
    expected = {str((workspace / name).resolve()) for name in set(FILES) - NOT}
    assert find_sources(plan) == expected


def test_a_package_alone(workspace: Path, plan: Plan) -> None:
    """Without a workspace it is the package and what it reaches; without a manifest, nothing."""
    (workspace / "Cargo.toml").unlink()
    found = find_sources(plan)
    assert str(workspace / "app/src/main.rs") in found
    assert str(workspace / "Cargo.lock") not in found
    (workspace / "app/Cargo.toml").unlink()
    assert find_sources(plan) == {str(workspace / "app/.cargo/config.toml")}
