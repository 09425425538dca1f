"""The names that a workspace declares."""

from pathlib import Path

import pytest

from llorch.dev.names import load_names
from llorch.errors import ConfigError
from tests.conftest import program


@pytest.mark.parametrize(
    ("kind", "about", "names"),
    [
        ("model", "", {"tinyllama": "TinyLlama", "made": ""}),
        ("host", "", {"mac": "mac", "workstation": "10.0.0.5"}),
        ("hosts", "", {"mac": "mac", "workstation": "10.0.0.5", "@cuda": "", "@gpu": "", "all": ""}),
        ("build", "", {"tool": "", "plain": ""}),
        ("backend", "tool", {"cpu": "", "vulkan": ""}),
        ("backend", "nothing", {}),
        ("suite", "", {"lint": "", "other": "", "all": ""}),
        ("tested backend", "lint", {"slow": "", "fast": ""}),
        ("tested backend", "all", {"slow": "", "fast": ""}),
        ("", "", {}),
    ],
)
def test_each_kind_has_its_names(rich: Path, kind: str, about: str, names: dict[str, str]) -> None:
    """They come in the order of the files, each with what is said of it."""
    assert {**load_names(kind, None, about)} == names


def test_submodules_are_those_of_the_repository(rich: Path) -> None:
    """They come as git has them, whatever letters they have."""
    found = load_names("submodule", None, "")
    assert [*found] == ['libs/my "odd" lib', "libs/it's $HOME", "libs/größe!", "control\tcharacter"]


def test_tasks_are_those_that_doit_finds(rich: Path) -> None:
    """Without doit there are the same: of models, builds and suites, of every workspace, and of the dodo.py."""
    listed = program("llorch", "list", "--json", cwd=rich).json["tasks"]
    assert {*load_names("task", None, "")} == {task["name"] for task in listed}
    (rich / "dodo.py").unlink()
    assert {*load_names("task", None, "")} == {task["name"] for task in listed} - {"digest"}


def test_another_folder_has_its_own(rich: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of `-C` is looked at, and what is not declared comes with llorch."""
    monkeypatch.chdir(tmp_path)
    assert "smollm2" in load_names("model", None, "")
    assert [*load_names("model", str(rich), "")] == ["tinyllama", "made"]
    assert load_names("hosts", None, "") == {}


def test_what_is_wrong_is_an_error(rich: Path) -> None:
    """A broken file is told to the caller."""
    (rich / "catalog.toml").write_text("version = 1\n[models.a]\n")
    with pytest.raises(ConfigError):
        load_names("task", None, "")
