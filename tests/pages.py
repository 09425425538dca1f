"""What is on the pages of the documentation: fenced blocks, shell sessions, tables, and commands of llorch."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from llorch import cli
from llorch.build.cli import make
from llorch.build.plan import DEFAULTS
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after that, what is in it, and the paragraph before it."""

    page: Path
    line: int
    language: str
    words: str
    text: str
    before: str

    def __str__(self) -> str:
        """Say where it is."""
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text()
    found = []
    for match in re.finditer(r"^```(\S*) *(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        before = text[: match.start()].rstrip().rpartition("\n\n")[2]
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2], match[3], before))
    return found


@dataclass(frozen=True)
class Example:
    """A command of a console block, and what the page shows of its output, if anything."""

    command: str
    shown: str


def examples(block: Block) -> Iterator[Example]:
    """Yield the commands of a console block: lines after `$ `, those after `> ` that go on, and the output."""
    assert block.text.startswith("$ "), f"{block} does not begin with a command"
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *rest = part.splitlines()
        while rest and rest[0].startswith("> "):
            command += "\n" + rest.pop(0)[2:]
        yield Example(command, "\n".join(rest))


def rows(page: Path, head: str) -> list[list[str]]:
    """Return the cells of each row of the tables whose first column is called so."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE):
        names, _, *lines = (re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines())
        if names[0].strip() == head:
            found += [[cell.strip().replace("\\|", "|") for cell in cells] for cells in lines]
    return found


def code(text: str) -> list[str]:
    """Return what stands between single backticks, outside of blocks."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", prose)]


def flaw(line: str) -> str | None:
    """Say what is wrong with a command line of llorch, or a synopsis of one; None if nothing is.

    Looked at are the names of commands, as `list|why` several, and of options.
    """
    context = click.Context(cli.root, info_name="llorch", **cli.root.context_settings)
    takes_value = False
    for word in shlex.split(line.partition(" -- ")[0], comments=True)[1:]:
        word, command = word.strip("[]"), context.command
        if takes_value or not word:
            takes_value = False
        elif word.startswith("-"):
            shown = (param for param in command.get_params(context) if not getattr(param, "hidden", False))
            options = {name: param for param in shown for name in param.opts}
            name, given, _ = word.partition("=")
            if name not in options and not context.ignore_unknown_options:
                return f"`{context.command_path}` has no option `{name}`"
            takes_value = not (given or getattr(options.get(name), "is_flag", True))
        elif isinstance(command, cli.Table) and word not in ("…", "..."):
            for name in word.split("|"):
                found = command.get_command(context, name)
                if command.name == "build" and (name in DEFAULTS or name.isupper()):
                    found = make
                if found is None:
                    return f"`{context.command_path}` has no command `{name}`"
                below = click.Context(found, context, name, **found.context_settings)
            context = below
    return None
