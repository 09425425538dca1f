"""The documentation says what is so: names, options and links are there, and nothing is left out."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli

from docs import commands
from llorch import cli, errors, table
from llorch.dev.replaced import ACTIONS, DOWNLOADS
from tests.conftest import ROOT, Run
from tests.pages import PAGES, blocks, code, flaw, rows

LANGUAGES = {
    "console": "run by test_examples.py",
    "toml": "loaded by test_examples.py",
    "python": "loaded by test_examples.py",
    "yaml": "parsed by test_examples.py",
    "json": "parsed by test_examples.py",
    "text": "no input of anything; the words after it say what it is, or why it cannot run in a test",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_accounted_for(page: Path) -> None:
    """Each fenced block is run, or loaded, or says why not; one that is a file stands after the file's name."""
    for block in blocks(page):
        if block.words and block.language != "text":
            assert f"`{block.words}`" in block.before, f"{block} is not named before"
        else:
            assert block.language in LANGUAGES, block
            assert block.words or block.language != "text", f"{block} does not say why it is not run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    """Each command of llorch that is named in a text is there, with the options that it is named with."""
    named = [each for each in code(page.read_text()) if each.startswith("llorch ")]
    assert [found for each in named if (found := flaw(each))] == []


def test_examples_of_help_exist() -> None:
    """What `--help` gives for an example names commands and options that are there."""
    lines = [line for context in commands.contexts(cli.root) for line in context.command.example.splitlines()]
    assert [found for line in lines for each in re.findall("llorch [^>)]+", line) if (found := flaw(each))] == []


def test_reference_is_up_to_date() -> None:
    """The command reference says what `--help` says."""
    assert commands.PAGE.read_text() == commands.render(), "renew it by `./run python docs/commands.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file of the project names one, and one to a heading a heading."""
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        place = page.parent / target if target else page
        assert place.exists(), target
        titles = re.findall(r"^#+ (.*)$", place.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_picture_shows_what_is_there() -> None:
    """The picture of the architecture has every room, and each module that it names exists."""
    drawn = re.findall(r'class="(name|rule)">(.*)</text>', (ROOT / "docs/architecture.svg").read_text())
    rooms = {path.parent.name for path in (ROOT / "llorch").glob("*/__init__.py")}
    assert rooms <= {text for kind, text in drawn if kind == "name"}
    rules = {name for kind, text in drawn if kind == "rule" for name in text.split(", ")}
    assert rules - {path.stem for path in (ROOT / "llorch").rglob("*.py")} == set()


def test_every_command_is_documented() -> None:
    """Each command of a room is on the room's page, and each at the top in the README."""
    for room, prefix, places in (
        ("models", "llorch models", table.MODELS),
        ("build", "llorch build", table.BUILD),
        ("git", "llorch git", table.GIT),
        ("git", "llorch git submodules", table.SUBMODULES),
        ("remote", "llorch remote", {name: place for name, place in table.REMOTE.items() if name != "hosts"}),
        ("remote", "llorch remote hosts", table.HOSTS),
        ("dev", "llorch dev", table.DEV),
        ("cache", "llorch cache", table.CACHE),
    ):
        page = (ROOT / f"docs/{room}.md").read_text()
        assert [name for name in places if f"`{prefix} {name}" not in page] == []
    readme = (ROOT / "README.md").read_text()
    assert [name for name in table.TOP if not re.search(rf"\b{name}\b", readme)] == []


def test_every_document_is_documented() -> None:
    """Each command has a row on the page of JSON, but those that write none; `Run.json` looks at the keys."""
    named = {each for cell, _ in rows(ROOT / "docs/json.md", "command") for each in code(cell)}
    every = [context for context in commands.contexts(cli.root) if not isinstance(context.command, cli.Table)]
    assert {context.command_path.removeprefix("llorch ") for context in every} - named == {"doit", "dev completion"}


def test_every_error_is_documented() -> None:
    """Each error's code stands in the row of its exit code."""
    lines = (ROOT / "docs/errors.md").read_text().splitlines()
    every: list[type[errors.LlorchError]] = [errors.LlorchError]
    for cls in every:
        every += cls.__subclasses__()
        assert any(row.startswith(f"| {cls.exit_code} |") and f"`{cls.code}`" in row for row in lines), cls


def test_every_variable_is_documented() -> None:
    """Each LLORCH_* variable that the code names is in the reference, and one of the scripts in the guide."""
    code = "".join(path.read_text() for path in (ROOT / "llorch").rglob("*.py"))
    reference = "".join((ROOT / "docs" / name).read_text() for name in ("configuration.md", "migration.md"))
    assert [name for name in set(re.findall(r"LLORCH_[A-Z_]+", code)) if f"`{name}`" not in reference] == []


def test_every_dependency_is_explained() -> None:
    """Each package that pyproject.toml asks for is on the page of dependencies."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    page = (ROOT / "docs/dependencies.md").read_text().lower()
    assert [each for each in wanted if re.split(r"[\[<>=]", each)[0].lower() not in page] == []


OPTIONS = {
    "llorch-git": {"--submodule", "--branch", "--all", "--force", "--help", "--version"},
    "llorch-models": {"--force", "--help", "--version"},
    "llorch-remote": {"--model", "--port", "--device", "--help", "--version"},
}
"""Of each script that llorch replaces."""


def test_migration_is_complete() -> None:
    """Each action and option of the scripts has a row, with what does the same now or why nothing does.

    So what `llorch dev check` takes for covered is covered.
    """
    found: dict[str, set[str]] = {}
    for call, now, *_ in rows(ROOT / "docs/migration.md", "call"):
        script, *words = call.strip("`").split()
        found.setdefault(Path(script).stem, set()).update(word for word in words if re.fullmatch("[a-z-]+", word))
        assert now == "none, see below" or any(each.startswith("llorch ") for each in code(now)), call
    assert {name: found[name] for name in ACTIONS} == {name: words | OPTIONS[name] for name, words in ACTIONS.items()}
    assert found.keys() == ACTIONS.keys() | DOWNLOADS.keys()


def test_models_of_the_scripts_are_there(workspace: Path, llorch: Callable[..., Run]) -> None:
    """Each download script has become the model of the catalog that its row names."""
    ids = {line.partition("\t")[0] for line in llorch("models", "catalog").out.splitlines()}
    downloads = {Path(call.strip("`")).stem: now for call, now, *_ in rows(ROOT / "docs/migration.md", "call")}
    assert {name: f"`llorch models download {id}`" for name, id in DOWNLOADS.items()}.items() <= downloads.items()
    assert set(DOWNLOADS.values()) <= ids


def messages() -> set[str]:
    """Return the texts of the program, with … for what is put into them."""
    found: set[str] = set()
    for path in (ROOT / "llorch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.add(re.sub("…+", "…", "".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_messages_are_real() -> None:
    """Each message that the troubleshooting page quotes is one of the program's."""
    known = "\n".join(messages())
    assert [message for message, *_ in rows(ROOT / "docs/troubleshooting.md", "message") if message not in known] == []
