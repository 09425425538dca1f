"""`llorch dev config` as a program."""

import os
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, in_terminal, program


def origins(*arguments: str, **env: str) -> dict[str, tuple[object, str]]:
    """Return each value and its origin, of the document."""
    run = program("llorch", "dev", "config", "--json", *arguments, env=env)
    assert (run.code, run.err) == (0, "")
    assert run.json.keys() == {"schema", "values"}
    return {value["key"]: (value["value"], value["origin"]) for value in run.json["values"]}


@pytest.fixture
def configured(workspace: Path) -> Path:
    """A workspace with a file of its own and one of the user."""
    home = Path(os.environ["HOME"]) / ".config/llorch"
    home.mkdir(parents=True)
    (home / "config.toml").write_text('version = 1\n[git]\nbranch = "trunk"\n[paths]\nmodels = "u"\n')
    (workspace / "llorch.toml").write_text('[paths]\nmodels = "w"\n')
    return workspace


def test_each_source_is_told(configured: Path) -> None:
    """Flag, variable, both files and the default, as each counts."""
    user = f"{os.environ['HOME']}/.config/llorch/config.toml"
    found = origins("--no-color", "-C", str(configured), LLORCH_CATALOG="my.toml", HF_TOKEN="hf_secret", HF_HOME="/h")
    assert found["workspace"] == (str(configured), "flag -C")
    assert found["color"] == (False, "flag --no-color")
    assert found["paths.catalog"] == ("my.toml", "environment LLORCH_CATALOG")
    assert found["paths.models"] == ("w", "llorch.toml:2")
    assert found["git.branch"] == ("trunk", f"{user}:3")
    assert found["remote.connect_timeout"] == (10, "default")
    assert (found["HF_TOKEN"], found["HF_HOME"]) == (("***", "environment"), ("/h", "environment"))
    assert "LLORCH_REPO_ROOT" not in found


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, {"workspace": "llorch.toml", "color": "default"}),
        ({"NO_COLOR": "1"}, {"workspace": "llorch.toml", "color": "environment NO_COLOR"}),
        ({"LLORCH_NO_COLOR": "1"}, {"workspace": "llorch.toml", "color": "environment LLORCH_NO_COLOR"}),
        (
            {"LLORCH_REPO_ROOT": "{root}"},
            {"workspace": "environment LLORCH_REPO_ROOT", "color": "default", "LLORCH_REPO_ROOT": "environment"},
        ),
    ],
)
def test_the_workspace_and_colours_have_origins_too(
    configured: Path, env: dict[str, str], expected: dict[str, str]
) -> None:
    """How the folder was found, and who wants no colours."""
    found = origins(**{name: value.format(root=configured) for name, value in env.items()})
    assert {key: found[key][1] for key in expected} == expected


def test_outside_any_workspace_the_folder_is_a_default(workspace: Path) -> None:
    """It is the current one."""
    run = program("llorch", "dev", "config", "--json")
    assert run.json["values"][0] == {"key": "workspace", "value": str(workspace), "origin": "default"}


def test_for_people(configured: Path) -> None:
    """A table, with values as TOML writes them."""
    run = program("llorch", "dev", "config")
    assert 'paths.models\t"w"\tllorch.toml:2\n' in run.out
    assert "cache.read\ttrue\tdefault\n" in run.out
    drawn = in_terminal(str(BIN / "llorch"), "dev", "config", "--no-color", columns=120)
    assert drawn.out.splitlines()[0].split() == ["key", "value", "from"]


def test_a_wrong_configuration_has_no_values(configured: Path) -> None:
    """What is wrong is told instead, as by every command, and where to see all of it."""
    (configured / "llorch.toml").write_text("[paths]\nmodels = 1\n")
    run: Run = program("llorch", "dev", "config")
    assert (run.code, run.out) == (3, "")
    assert "llorch.toml:2: paths.models: must be a string" in run.err
    assert "hint: `llorch dev check` lists all that is wrong, in all files" in run.err
