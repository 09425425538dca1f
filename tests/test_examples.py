"""The examples of README and docs are what they say: sessions run, configuration loads, and nothing is left out."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli

from tests.conftest import Run, in_terminal
from tests.git.conftest import isolated
from tests.monorepo import user, write_files
from tests.pages import PAGES, Block, blocks, examples
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


@needs_cargo
@pytest.mark.parametrize("page", SESSIONS, ids=named)
def test_sessions_run(page: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each command of a page ends well, in its order, and says what the page shows; `echo $?` shows one that fails."""
    home = tmp_path / "home"
    script, every = [HEAD, BEGIN.get(page.name, IN_WORK)], []
    for number, block in enumerate(blocks(page)):
        if block.language == "console":
            chosen = [example for example in examples(block) if example.command not in NOT_RUN]
            every += chosen
            script += [f"{example.command}\nmark" for example in chosen]
        elif block.words and block.language != "text":
            place = tmp_path / str(number)
            place.write_text(block.text)
            script.append(f"mkdir -p '{os.path.dirname(block.words) or '.'}' && cp '{place}' '{block.words}'")
    (tmp_path / "script").write_text("\n".join(script) + "\n")
    with user(home, tmp_path_factory.getbasetemp().parent) as env:
        done = in_terminal("timeout", "300", "bash", str(tmp_path / "script"), columns=100, env=env)
    said = done.out.split(MARK)
    codes = said[1::2]
    for example, output, code, after in zip(every, said[::2], codes, [*every[1:], None], strict=False):
        where = f"{page.name}: $ {example.command}\n{screen(output)}"
        assert code == "0" or (after is not None and after.command == "echo $?"), where
        assert not example.shown or is_as_shown(example.shown, screen(output)), where
    assert (len(codes), said[-1].strip()) == (len(every), "")


@pytest.mark.parametrize("block", CONFIGURATION, ids=str)
def test_configuration_loads(block: Block, workspace: Path, llorch: Llorch) -> None:
    """A block of TOML is right as the file that its tables belong to, and one of Python as a dodo.py."""
    if block.language == "python":
        name, command = "dodo.py", ["list"]
    else:
        table = next(key for key in tomli.loads(block.text) if key not in ("version", "extends"))
        name, command = FILES.get(table, ("llorch.toml", ["list"]))
    write_files(workspace)
    prefix = "version = 1\n" if block.language == "toml" and "version = " not in block.text else ""
    (workspace / name).write_text(prefix + block.text)
    done = llorch(*command)
    assert done.code == 0, done.err
