"""What a workspace needs, out of what it declares, and what is said of declarations that are wrong."""

from pathlib import Path

import pytest

from llorch.config import find_workspace
from llorch.dev.needs import load_needs
from tests.dev.conftest import DEBIAN, needs_of

CATALOG = """
version = 1
extends = "shipped"
[models.mine]
repo = "org/mine"
files = [{ path = "a.gguf", size = 4 }, { path = "b.txt" }]
"""


def test_an_empty_folder_needs_nothing(workspace: Path) -> None:
    """The models that come with llorch are on offer, and no cargo is needed."""
    needs = needs_of(workspace)
    assert (dict(needs.models), needs.builds, needs.suites, needs.rust, needs.manifests) == ({}, (), (), "", ())


def test_models_are_wanted_that_the_workspace_names(workspace: Path) -> None:
    """Its own catalog's, and those of its suites; not those that it merely takes over."""
    (workspace / "catalog.toml").write_text(CATALOG)
    assert list(needs_of(workspace).models) == ["mine"]
    (workspace / "llorch.toml").write_text('[test.a]\ncommand = ["true"]\nneeds = ["models:tinyllama"]\n')
    assert set(needs_of(workspace).models) == {"mine", "tinyllama"}
    (workspace / "llorch.toml").write_text('[test.a]\ncommand = ["true"]\nneeds = ["models"]\n')
    assert {"mine", "tinyllama", "qwen"} <= set(needs_of(workspace).models)


def test_files_are_there_in_their_size(workspace: Path) -> None:
    """A file of another size is not there; one of no promised size is."""
    (workspace / "catalog.toml").write_text(CATALOG)
    needs = needs_of(workspace)
    (model,) = needs.models.values()
    assert [file.path for file in needs.absent(model)] == ["a.gguf", "b.txt"]
    for path, text in (("a.gguf", "12345"), ("b.txt", "")):
        place = workspace / ".test-models/mine" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    assert [file.path for file in needs.absent(model)] == ["a.gguf"]
    (workspace / ".test-models/mine/a.gguf").write_text("1234")
    assert needs.absent(model) == ()


def test_rust_is_needed_by_builds_and_suites(workspace: Path) -> None:
    """By those that are declared, and by a cargo workspace; their crates are each named once."""
    (workspace / "Cargo.toml").write_text("[workspace]\n")
    assert needs_of(workspace).rust == "the cargo workspace"
    assert needs_of(workspace).manifests == (workspace / "Cargo.toml",)
    (workspace / "app").mkdir()
    (workspace / "app/Cargo.toml").touch()
    (workspace / "llorch.toml").write_text(
        '[build.app]\nmanifest = "app/Cargo.toml"\n[test.unit]\nmanifest = "app/Cargo.toml"\n'
        '[test.other]\ncommand = ["true"]\n'
    )
    needs = needs_of(workspace)
    assert needs.rust == "build:app, test:unit"
    assert needs.manifests == (workspace / "app/Cargo.toml", workspace / "Cargo.toml")


def test_each_wrong_file_is_a_finding(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of its mistakes, and what opens it; what is right elsewhere still counts."""
    (workspace / "llorch.toml").write_text("[paths]\nmodles = 1\n[git]\nbranch = 2\n")
    (workspace / "hosts.toml").write_text("[hosts.box]\nport = 0\n")
    (workspace / "dodo.py").write_text("def task_x(:\n")
    (workspace / "catalog.toml").write_text(CATALOG)
    monkeypatch.setenv("VISUAL", "joe")
    needs, findings = load_needs(find_workspace(workspace), DEBIAN)
    assert [(finding.id, finding.severity, finding.found) for finding in findings] == [
        ("configuration", "error", "llorch.toml"),
        ("configuration", "error", "hosts.toml"),
        ("configuration", "error", "dodo.py"),
    ]
    assert findings[0].text.splitlines() == [
        "llorch.toml:2: paths.modles: unknown key (did you mean `models`?)",
        "llorch.toml:4: git.branch: must be a string, not the integer 2",
    ]
    assert findings[0].fix == (f"joe '{workspace}/llorch.toml'",)
    assert (list(needs.models), dict(needs.hosts)) == (["mine"], {})
    monkeypatch.setenv("LLORCH_CONFIG_PATH", "/no/such/file")
    _, findings = load_needs(find_workspace(workspace), DEBIAN)
    assert ("unset LLORCH_CONFIG_PATH",) in [finding.fix for finding in findings]


def test_builds_that_contradict_each_other_still_need_rust(workspace: Path) -> None:
    """Which of them is right does not matter for that."""
    (workspace / "Cargo.toml").touch()
    (workspace / "llorch.toml").write_text('[build.app]\nmanifest = "Cargo.toml"\nbackends = ["cpu", "cuda"]\n')
    needs, findings = load_needs(find_workspace(workspace), DEBIAN)
    assert "would both make" in findings[0].text
    assert needs.rust == "[build.app]"


def test_what_is_there_is_named(workspace: Path) -> None:
    """The files that were read, or that there are none."""
    _, (finding,) = load_needs(find_workspace(workspace), DEBIAN)
    assert finding.found == "defaults alone"
    (workspace / "catalog.toml").write_text(CATALOG)
    _, (finding,) = load_needs(find_workspace(workspace), DEBIAN)
    assert finding.found == "catalog.toml"


def test_a_catalog_whose_models_are_no_table(workspace: Path) -> None:
    """It is wrong, and wants nothing."""
    (workspace / "catalog.toml").write_text("models = 1\n")
    needs, findings = load_needs(find_workspace(workspace), DEBIAN)
    assert (findings[0].severity, dict(needs.models)) == ("error", {})
