"""What is to be built: names, command lines, where the binary will be, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llorch.build.plan import Plan, cargo_root, plan_builds
from llorch.config import Build, Settings, Workspace
from llorch.errors import ConfigError

Plans = Callable[..., dict[str, Plan]]


@pytest.fixture
def plans(workspace: Path) -> Plans:
    """Plan the builds of the workspace with these tables, in an environment."""

    def plan(environ: dict[str, str] | None = None, **builds: Build) -> dict[str, Plan]:
        root = Workspace(root=workspace, declared=True)
        return plan_builds(Settings(build=builds), root, environ or {})

    return plan


def test_the_defaults_are_llama_orchs(workspace: Path, plans: Plans) -> None:
    """In a cargo workspace there are the worker's backends, the orchestrator and the pool manager; else nothing."""
    assert plans() == {}
    (workspace / "bin/orchestratord").mkdir(parents=True)
    (workspace / "bin/orchestratord/Cargo.toml").touch()
    assert list(plans()) == ["build:orchestrator"]
    (workspace / "Cargo.toml").write_text("[workspace]\n")
    found = plans()
    places = {task: (plan.target, plan.declared) for task, plan in found.items()}
    assert places == {
        "build:worker-cpu": ("target/release/llorch-cpu-candled", False),
        "build:worker-cuda": ("target/release/llorch-cuda-candled", False),
        "build:worker-metal": ("target/release/llorch-metal-candled", False),
        "build:orchestrator": ("target/release/orchestratord", False),
        "build:pool-manager": ("target/release/pool-managerd", False),
    }
    assert found["build:worker-cuda"].command == (
        *("build", "--package", "llorch-candled", "--bin", "llorch-cuda-candled", "--features", "cuda"),
        *("--profile", "release", "--message-format", "json-render-diagnostics"),
    )


def test_the_target_folder_is_the_workspaces(workspace: Path, plans: Plans) -> None:
    """It is beside the nearest manifest upwards that has a workspace, also in a table of its own."""
    (workspace / "bin/app").mkdir(parents=True)
    (workspace / "bin/app/Cargo.toml").write_text('[package]\nname = "app"\n# [workspace]\n')
    build = Build(manifest="bin/app/Cargo.toml")
    assert plans(app=build)["build:app"].target == "bin/app/target/release/app"
    (workspace / "Cargo.toml").write_text("[workspace.package]\n")
    assert cargo_root(workspace / "bin/app") == workspace
    assert plans(app=build)["build:app"].target == "target/release/app"


@pytest.mark.parametrize(
    ("more", "environ", "target", "arguments"),
    [
        ({}, {}, "a/target/release/app", ["--profile", "release"]),
        ({"bin": "tool"}, {}, "a/target/release/tool", ["--profile", "release"]),
        ({"package": "pack"}, {}, "a/target/release/pack", ["--profile", "release"]),
        ({"profile": "dev"}, {}, "a/target/debug/app", ["--profile", "dev"]),
        ({"profile": "own"}, {}, "a/target/own/app", ["--profile", "own"]),
        ({"target": "x-y"}, {}, "a/target/x-y/release/app", ["--profile", "release", "--target", "x-y"]),
        ({"target_dir": "t"}, {}, "t/release/app", ["--profile", "release", "--target-dir", "../t"]),
        (
            {"target_dir": "t"},
            {"CARGO_TARGET_DIR": "u"},
            "t/release/app",
            ["--profile", "release", "--target-dir", "../t"],
        ),
        ({}, {"CARGO_TARGET_DIR": "/abs"}, "/abs/release/app", ["--profile", "release"]),
        ({}, {"CARGO_BUILD_TARGET_DIR": "u"}, "a/u/release/app", ["--profile", "release"]),
    ],
)
def test_where_the_binary_is(
    plans: Plans, more: dict[str, Any], environ: dict[str, str], target: str, arguments: list[str]
) -> None:
    """Profile, triple and target folder say where cargo puts it, and cargo is told the same."""
    plan = plans(environ, app=Build(manifest="a/Cargo.toml", **more))["build:app"]
    assert (plan.target, list(plan.place)) == (target, arguments)


def test_features_are_of_the_backend(plans: Plans) -> None:
    """`{backend}` stands for the backend wherever it is written, and default features can be left out."""
    build = Build(
        manifest="Cargo.toml",
        bin="tool",
        backends=("one", "two"),
        features=("{backend}", "more"),
        no_default_features=True,
        target_dir="t/{backend}",
    )
    found = plans(app=build)
    assert [plan.target for plan in found.values() if plan.declared] == ["t/one/release/tool", "t/two/release/tool"]
    command = found["build:app-two"].command
    assert command[:6] == ("build", "--bin", "tool", "--features", "two,more", "--no-default-features")


@pytest.mark.parametrize(
    ("builds", "problem"),
    [
        (
            {"app": Build(manifest="Cargo.toml", bin="x", backends=("cpu", "cuda"))},
            "build.app.bin: `build:app-cuda` and `build:app-cpu` would both make `target/release/x`, each over the"
            " other's (put {backend} into `bin` or `target_dir`)",
        ),
        (
            {"one": Build(manifest="Cargo.toml", bin="x"), "two": Build(manifest="Cargo.toml", bin="x")},
            "build.two.bin: `build:two` and `build:one` would both make `target/release/x`, each over the"
            " other's (put {backend} into `bin` or `target_dir`)",
        ),
        (
            {"a-b": Build(manifest="Cargo.toml"), "a": Build(manifest="Cargo.toml", bin="{backend}", backends=("b",))},
            "build.a.backends: makes a second task `build:a-b` (rename one)",
        ),
        ({"list": Build(manifest="Cargo.toml")}, "build.list: `llorch build list` is a command (rename the table)"),
        (
            {"A=b": Build(manifest="Cargo.toml", bin="x")},
            'build."A=b": the name may have small letters, digits, `.`, `_` and `-`',
        ),
        (
            {"app": Build(manifest="Cargo.toml", features=("{backend}",))},
            "build.app.features: has {backend}, and there are no backends (list them in `backends`)",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(plans: Plans, builds: dict[str, Build], problem: str) -> None:
    """Two tasks never share a file, and a name is one that a task can have."""
    with pytest.raises(ConfigError) as caught:
        plans(**builds)
    assert caught.value.message == f"llorch.toml: {problem}"


def test_a_table_comes_before_a_default(workspace: Path, plans: Plans) -> None:
    """A default that would make a declared binary's file is left out without a word."""
    (workspace / "Cargo.toml").write_text("[workspace]\n")
    found = plans(mine=Build(manifest="bin/orchestratord/Cargo.toml", bin="orchestratord"))
    assert "build:orchestrator" not in found
    assert found["build:mine"].declared


def test_the_definition_has_what_cargo_goes_by(plans: Plans, tmp_path: Path) -> None:
    """Command line, programs, wrapper and the variables of cargo and rustc are in it, and no others."""
    cargo = tmp_path / "cargo"
    cargo.write_text("")
    cargo.chmod(0o755)
    environ = {"PATH": str(tmp_path), "RUSTFLAGS": "-g", "CARGO_PROFILE_RELEASE_LTO": "1", "CARGO_REGISTRY_TOKEN": "s"}
    plan = plans(app=Build(manifest="Cargo.toml"))["build:app"]
    recipe = plan.recipe("sccache", {}, environ)
    assert recipe.learns
    assert recipe.definition == {
        "command": list(plan.command),
        "cargo": str(cargo),
        "rustc": None,
        "rustc_wrapper": "sccache",
        "$CARGO_PROFILE_RELEASE_LTO": "1",
        "$RUSTFLAGS": "-g",
    }
    record = {"definition": {"cargo": "gone", "rustc": "gone"}}
    programs = [plan.recipe("", record, environ).definition[name] for name in ("cargo", "rustc")]
    assert programs == [str(cargo), "gone"]
