"""The documentation says what is so: its commands run, its files and links are there, and nothing is left out."""

import re
import shlex
from pathlib import Path

import pytest

from llorch import cli, errors
from tests.conftest import program

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_readme_commands_run(workspace: Path) -> None:
    """Every command of the README ends well, in its order, in a workspace that begins empty."""
    lines = [line for block in blocks(ROOT / "README.md", "console") for line in block.splitlines()]
    commands = [shlex.split(line)[2:] for line in lines if line.startswith("$ ./run ")]
    assert len(commands) == len(lines)
    (workspace / "dodo.py").write_text((ROOT / "dodo.py").read_text())
    for command in commands:
        if command != ["pytest"]:
            run = program(*command)
            assert run.code == 0, f"{command}: {run.out}{run.err}"


def test_readme_workspace_works(workspace: Path) -> None:
    """The README's catalog and dodo.py are right."""
    (catalog,) = blocks(ROOT / "README.md", "toml")
    (dodo,) = blocks(ROOT / "README.md", "python")
    (workspace / "catalog.toml").write_text(catalog)
    (workspace / "dodo.py").write_text(dodo)
    run = program("llorch", "graph", "digest", "models:house-model", "--json")
    needs = {task["name"]: task["needs"] for task in run.json["tasks"]}
    assert needs["digest"] == ["fetch:smollm2"]
    assert needs["models:house-model"] == ["fetch:house-model", "verify:house-model"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file of the project names one."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_command_is_documented() -> None:
    """Each command of a room is on the room's page, and each at the top in the README."""
    for room, prefix, table in (
        ("models", "llorch models", cli.MODELS),
        ("build", "llorch build", cli.BUILD),
        ("git", "llorch git", cli.GIT),
        ("git", "llorch git submodules", cli.SUBMODULES),
        ("remote", "llorch remote", {name: place for name, place in cli.REMOTE.items() if name != "hosts"}),
        ("remote", "llorch remote hosts", cli.HOSTS),
        ("dev", "llorch dev", cli.DEV),
        ("cache", "llorch cache", cli.CACHE),
    ):
        page = (ROOT / f"docs/{room}.md").read_text()
        assert [name for name in table if f"`{prefix} {name}" not in page] == []
    readme = (ROOT / "README.md").read_text()
    assert [name for name in cli.TOP if not re.search(rf"\b{name}\b", readme)] == []


def test_every_error_is_documented() -> None:
    """Each error's code stands in the row of its exit code."""
    rows = (ROOT / "docs/errors.md").read_text().splitlines()
    every: list[type[errors.LlorchError]] = [errors.LlorchError, *errors.LlorchError.__subclasses__()]
    for cls in every:
        assert any(row.startswith(f"| {cls.exit_code} |") and f"`{cls.code}`" in row for row in rows), cls


def test_every_variable_is_documented() -> None:
    """Each LLORCH_* variable that the code names is in the configuration reference."""
    code = "".join(path.read_text() for path in (ROOT / "llorch").rglob("*.py"))
    reference = (ROOT / "docs/configuration.md").read_text()
    assert [name for name in set(re.findall(r"LLORCH_[A-Z_]+", code)) if f"`{name}`" not in reference] == []
