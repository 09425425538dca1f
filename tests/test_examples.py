"""The examples of README and docs are what they say: sessions run, configuration loads, and nothing is left out."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml  # type: ignore[import-untyped]  # it has no types

from tests.conftest import Run, in_terminal
from tests.dev.trees import write_tree
from tests.git.conftest import isolated
from tests.monorepo import FILES as REPOSITORY
from tests.monorepo import user
from tests.pages import PAGES, Block, Example, blocks, examples, flaw
from tests.rust import needs_cargo

Llorch = Callable[..., Run]
__all__ = ["isolated"]  # a fixture, used by all tests here
IN_CLONE = "cd ~/llorch"
IN_WORK = "source ~/llorch/.venv/bin/activate; cd ~/Projects/llama-orch"
WITH_HOST = f"{IN_WORK}; llorch remote hosts add workstation --host workstation.home.arpa -q >/dev/null"
BEGIN = {"README.md": IN_CLONE, "tutorial.md": IN_CLONE, "models.md": WITH_HOST}
"""How the session of a page begins; that of any other page `IN_WORK`."""
NOT_RUN = ("./run pytest",)
"""What CI runs itself."""
MARK = "\x1e"
HEAD = f"""
mark() {{ local code=$?; printf '{MARK}%d{MARK}' $code; return $code; }}
exec </dev/null
"""
SESSIONS = [page for page in PAGES if any(block.language == "console" for block in blocks(page))]


CONFIGURATION = [
    block for page in PAGES for block in blocks(page) if block.language in ("toml", "python") and not block.words
]
FILES = {"models": ("catalog.toml", ["models", "catalog"]), "hosts": ("hosts.toml", ["remote", "hosts", "list"])}
"""The file that a table of TOML belongs to, where it is not llorch.toml, and a command that loads it."""


RECIPES = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]
DOCUMENTS = [block for page in PAGES for block in blocks(page) if block.language == "json"]


def named(item: object) -> str:
    """Return how a page or block is called in a test's id."""
    return item.name if isinstance(item, Path) else str(item)


def screen(written: str) -> str:
    """Return what a terminal shows in the end of what was written to it: bars were drawn over, and erased."""
    lines, row, column = [""], 0, 0
    for control, count, final, text in re.findall(r"(\x1b\[([\d;?]*)([A-Za-z])|[\r\n])|([^\x1b\r\n]+)", written):
        if final == "A":
            row = max(0, row - int(count or 1))
        elif final == "K":
            lines[row] = "" if count == "2" else lines[row][:column]
        elif control == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif control == "\r":
            column = 0
        elif text:
            lines[row] = f"{lines[row][:column]:<{column}}{text}{lines[row][column + len(text) :]}"
            column += len(text)
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def is_as_shown(shown: str, said: str) -> bool:
    """Compare output with what a page shows of it: `...` is any text, on a line of its own any lines."""
    parts = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(parts), said + "\n") is not None


def steps(page: Path, folder: Path) -> Iterator[Example]:
    """Yield the commands of a page; a block that is a file, kept in a folder, is written by one."""
    for block in blocks(page):
        if block.language == "console":
            yield from (example for example in examples(block) if example.command not in NOT_RUN)
        elif block.words and block.language != "text":
            kept = folder / f"block {block.line}"
            kept.write_text(block.text)
            yield Example(f"mkdir -p '{Path(block.words).parent}' && cp '{kept}' '{block.words}'", "")


def run(commands: Sequence[str], begin: str, folder: Path, shared: Path, **more: str) -> list[Run]:
    """Run commands in one shell of a new user, in a terminal; return how each ended, and what the terminal shows."""
    script = folder / "script"
    script.write_text("\n".join([HEAD, begin, *(f"{command}\nmark" for command in commands)]) + "\n")
    with user(folder / "home", shared) as env:
        done = in_terminal("timeout", "300", "bash", str(script), columns=100, env={**env, **more})
    *said, rest = done.out.split(MARK)
    assert rest.strip() == "", rest
    return [Run(int(code), screen(text), "") for text, code in zip(said[::2], said[1::2], strict=True)]


@needs_cargo
@pytest.mark.parametrize("page", SESSIONS, ids=named)
def test_sessions_run(page: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each command of a page ends well, in its order, and says what the page shows; `echo $?` shows one that fails."""
    every = list(steps(page, tmp_path))
    begin = BEGIN.get(page.name, IN_WORK)
    runs = run([each.command for each in every], begin, tmp_path, tmp_path_factory.getbasetemp().parent)
    for example, done, after in zip(every, runs, [*every[1:], None], strict=True):
        where = f"{page.name}: $ {example.command}\n{done.out}"
        assert done.code == 0 or (after is not None and after.command == "echo $?"), where
        assert not example.shown or is_as_shown(example.shown, done.out), where


def jobs(block: Block) -> list[dict[str, Any]]:
    """Return the jobs of a recipe of GitHub or GitLab."""
    document = yaml.safe_load(block.text)
    return list(document.get("jobs", document).values())


def lines_of(job: Mapping[str, Any]) -> list[str]:
    """Return the lines that a job gives to the shell."""
    return [*job.get("script", ()), *(step["run"] for step in job.get("steps", ()) if "run" in step)]


@pytest.mark.parametrize("block", RECIPES, ids=str)
def test_recipes_call_what_is_there(block: Block) -> None:
    """Each recipe is a list of jobs, whose commands of llorch exist."""
    lines = [line for job in jobs(block) for line in lines_of(job)]
    called = [each for line in lines for each in re.findall(r"\bllorch [^)>]+", line)]
    assert [found for each in called if (found := flaw(each))] == []
    assert [line for line in lines if "tools/llorch/run " not in line] == []


@needs_cargo
def test_recipes_run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The commands of each recipe end well, one recipe after the other in the same checkout."""
    lines = [line for block in RECIPES if block.page.name == "ci.md" for job in jobs(block) for line in lines_of(job)]
    begin = f"{IN_WORK}; mkdir tools; ln -s ~/llorch tools/llorch"
    runs = run(lines, begin, tmp_path, tmp_path_factory.getbasetemp().parent, CI="true")
    assert len(runs) > 5
    assert [(line, done.out) for line, done in zip(lines, runs, strict=True) if done.code] == []


@needs_cargo
def test_what_ci_keeps_is_taken(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In a new checkout with what the recipes keep nothing is fetched, converted or built again."""
    kept = ["llorch models download tiny-gpt2", "llorch build worker cpu"]
    anew = [
        "cd .. && mv llama-orch old && git clone -q old llama-orch && cd llama-orch",
        "mv ../old/.test-models ../old/.llorch ../old/target .",
    ]
    runs = run([*kept, *anew, *kept], IN_WORK, tmp_path, tmp_path_factory.getbasetemp().parent)
    assert [done.out for done in runs if done.code] == []
    assert [done.out.partition(":")[0] for done in runs[-2:]] == ["nothing to do", "nothing to do"]


@pytest.mark.parametrize("block", CONFIGURATION, ids=str)
def test_configuration_loads(block: Block, workspace: Path, llorch: Llorch) -> None:
    """A block of TOML is right as the file that its tables belong to, and one of Python as a dodo.py."""
    if block.language == "python":
        name, command = "dodo.py", ["list"]
    else:
        table = next(key for key in tomli.loads(block.text) if key not in ("version", "extends"))
        name, command = FILES.get(table, ("llorch.toml", ["list"]))
    write_tree(workspace, REPOSITORY)
    prefix = "version = 1\n" if block.language == "toml" and "version = " not in block.text else ""
    (workspace / name).write_text(prefix + block.text)
    done = llorch(*command)
    assert done.code == 0, done.err


@pytest.mark.parametrize("block", DOCUMENTS, ids=str)
def test_documents_are_json(block: Block) -> None:
    """A block of JSON is one document."""
    assert isinstance(json.loads(block.text), dict)
