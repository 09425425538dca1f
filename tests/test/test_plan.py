"""What suites there are, their command lines, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from llorch import config
from llorch.config import Settings, Workspace
from llorch.errors import ConfigError, UnknownName
from llorch.test.plan import Suite, plan_suites, read_suites


def plan(root: Path, **tests: config.Test) -> dict[str, Suite]:
    """Plan the suites of a workspace with these tables."""
    return plan_suites(Settings(test=tests), Workspace(root=root, declared=True))


def test_the_defaults_are_llama_orchs(workspace: Path) -> None:
    """In a cargo workspace there are unit, integration and smoke tests of the worker, with the scripts' arguments."""
    assert plan(workspace) == {}
    (workspace / "Cargo.toml").touch()
    suites = plan(workspace)
    commands = {name: " ".join(suite.command("cuda", ())) for name, suite in suites.items()}
    assert commands == {
        "unit": "test --features cuda --no-fail-fast --lib",
        "integration": "test --features cuda --no-fail-fast --test team_011_integration",
        "smoke": "test --features cuda --no-fail-fast --test team_009_smoke",
    }
    assert {suite.manifest for suite in suites.values()} == {workspace / "bin/llorch-candled/Cargo.toml"}
    assert not any(suite.declared or suite.is_there for suite in suites.values())


@pytest.mark.parametrize(
    ("settings", "backend", "filters", "command"),
    [
        ({"manifest": "Cargo.toml"}, "", (), "test --no-fail-fast"),
        ({"manifest": "Cargo.toml"}, "", ("one", "--nocapture"), "test --no-fail-fast -- one --nocapture"),
        ({"manifest": "Cargo.toml", "args": ("--", "-q")}, "", ("x",), "test --no-fail-fast -- -q x"),
        (
            {"manifest": "Cargo.toml", "package": "p", "backends": ("a", "b"), "features": ("f", "{backend}")},
            "b",
            (),
            "test --package p --features f,b --no-fail-fast",
        ),
        ({"command": ("pytest", "-q", "{backend}"), "backends": ("cpu",)}, "cpu", ("-x",), "pytest -q cpu -x"),
    ],
)
def test_command_lines(
    workspace: Path, settings: dict[str, Any], backend: str, filters: tuple[str, ...], command: str
) -> None:
    """Filters come last, after one `--`, and `{backend}` stands for the backend."""
    assert " ".join(plan(workspace, it=config.Test(**settings))["it"].command(backend, filters)) == command


def test_the_backend_is_the_chosen_or_the_first(workspace: Path) -> None:
    """A suite without backends takes none."""
    suites = plan(
        workspace, one=config.Test(command=("x",), backends=("cpu", "cuda")), none=config.Test(command=("x",))
    )
    assert (suites["one"].backend(""), suites["one"].backend("cuda"), suites["none"].backend("")) == ("cpu", "cuda", "")
    with pytest.raises(UnknownName, match="did you mean `cpu`") as caught:
        suites["one"].backend("cpv")
    assert caught.value.hint == "`one` has cpu, cuda"
    with pytest.raises(UnknownName) as caught:
        suites["none"].backend("cpu")
    assert caught.value.hint == "`none` has no backends"


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("all", {"command": ("x",)}, "test.all: `all` is every suite (rename the table)"),
        ("A b", {"command": ("x",)}, 'test."A b": the name may have small letters, digits, `.`, `_` and `-`'),
        ("it", {}, "test.it: must have either `manifest`, for cargo, or `command`"),
        ("it", {"command": ("x",), "manifest": "Cargo.toml"}, "test.it: must have either `manifest`, for cargo, or"),
        ("it", {"command": ("x",), "args": ("y",)}, "test.it: `package`, `features` and `args` are of cargo"),
        ("it", {"command": ("{backend}",)}, "test.it.command: has {backend}, and there are no backends"),
    ],
)
def test_what_is_no_suite_is_refused(workspace: Path, name: str, settings: dict[str, Any], said: str) -> None:
    """Each mistake is named with its table."""
    with pytest.raises(ConfigError) as caught:
        plan(workspace, **{name: config.Test(**settings)})
    assert caught.value.message.startswith(f"llorch.toml: {said}")


def test_no_suite_needs_itself(workspace: Path) -> None:
    """A circle is told at the need that closes it, whether it is short, long, or by way of all suites."""
    needs = {"self": ("test:self",), "a": ("models:x", "test:b"), "b": ("test:a",), "all-of-us": ("test:all",), "c": ()}
    tests = {name: config.Test(command=("true",), needs=need) for name, need in needs.items()}
    _, mistakes = read_suites(Settings(test=tests), Workspace(root=workspace, declared=True))
    assert [(".".join(map(str, each.key)), each.message) for each in mistakes] == [
        ("test.self.needs.0", "`test:self` would need itself"),
        ("test.a.needs.1", "`test:a` would need itself, by way of `test:b`"),
        ("test.b.needs.0", "`test:b` would need itself, by way of `test:a`"),
        ("test.all-of-us.needs.0", "`test:all-of-us` would need itself, by way of `test:all`"),
    ]
