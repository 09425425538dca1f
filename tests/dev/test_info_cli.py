"""`llorch dev info` as a program."""

import os
from pathlib import Path

import pytest

from llorch import __version__
from tests.conftest import program


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the tests set for all others."""
    monkeypatch.delenv("LLORCH_NO_CACHE")


def test_it_is_a_list_of_markdown(workspace: Path) -> None:
    """Short, each fact a line, names as code; nothing of the workspace's path or of a token."""
    (workspace / "hosts.toml").write_text("[hosts.a]\nport = 0\n")
    run = program("llorch", "dev", "info", env={"HF_TOKEN": "hf_s3cret", "LLORCH_JOBS": "2"})
    lines = run.out.splitlines()
    assert run.code == 0
    assert [line.partition(":")[0] for line in lines if line.startswith("- ")][1:] == [
        "- packages",
        "- programs",
        "- files",
        "- state",
        "- environment",
    ]
    assert lines[0].startswith(f"- llorch {__version__}, CPython 3.")
    assert lines[3] == (
        "- files: `catalog.toml (shipped)`, `hosts.toml`: 12 models, 1 host, 0 binaries, 0 test suites; 1 mistake:"
    )
    assert lines[4] == "  - `hosts.toml:2: hosts.a.port: must be from 1 to 65535, and is 0`"
    assert lines[5] == "- state: 0 B; newest logs: none"
    assert lines[-2:] == ["  - `HF_TOKEN=***`", "  - `LLORCH_JOBS=2`"]
    assert workspace.name not in run.out
    assert os.environ["HOME"] not in run.out


def test_where_nothing_is_set(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists are empty, which is said."""
    monkeypatch.delenv("HF_ENDPOINT")
    run = program("llorch", "dev", "info")
    assert "0 test suites; nothing is wrong with them\n" in run.out
    assert run.out.endswith("- environment: nothing of ours is set\n")


def test_the_document(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as JSON."""
    monkeypatch.delenv("HF_ENDPOINT")
    run = program("llorch", "dev", "info", "--json", env={"LLORCH_REPO_ROOT": str(workspace)})
    assert (run.code, run.err) == (0, "")
    assert run.json.keys() == {
        "schema", "llorch", "python", "system", "packages", "programs", "workspace", "logs", "environment"
    }  # fmt: skip
    assert run.json["workspace"] == {
        "files": ["catalog.toml (shipped)"],
        "models": 12,
        "hosts": 0,
        "builds": 0,
        "suites": 0,
        "problems": [],
        "state_size": 0,
    }
    assert run.json["environment"] == [{"name": "LLORCH_REPO_ROOT", "value": f"{workspace}"}]
    assert [program["name"] for program in run.json["programs"]] == ["git", "cargo", "rustc", "ssh"]
    assert all(package["version"] for package in run.json["packages"])
