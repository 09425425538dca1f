"""Write docs/commands.md: what `--help` says of every command, from the command tables.

`./run python docs/commands.py`
"""

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import click

from llorch import cli
from llorch.build.cli import make

WIDTH = 80
PAGE = Path(__file__).with_name("commands.md")
HEAD = """\
# Commands

What `--help` says of every command, written by `docs/commands.py`. The options of `llorch` below are those of every
command, at any place of the line, and so is `--help`; the other sections leave them out. What a command does and what
it leaves alone is told on its room's page.
"""


def contexts(command: click.Command, parent: click.Context | None = None, name: str = "llorch") -> Iterator[Any]:
    """Yield the context of a command and, if it is a group, of all that is below it."""
    settings = {**command.context_settings, **({"terminal_width": WIDTH} if parent is None else {})}
    context = click.Context(command, parent, name, **settings)
    yield context
    if isinstance(command, cli.Table):
        below = {name: command.get_command(context, name) for name in command.table}
        if name == "build":
            below = {"NAME": make, **below}
        for each, found in below.items():
            assert found is not None, each
            yield from contexts(found, context, each)


def render() -> str:
    """Return the page."""
    shared = {name for option in (*cli.common_options(), cli.remote_option(hidden=False)) for name in option.opts}
    parts = [HEAD]
    for context in contexts(cli.root):
        depth = len(context.command_path.split())
        command = context.command
        if depth > 1:
            command = context.command = copy(command)
            command.params = [param for param in command.params if not shared.intersection(param.opts)]
            context.help_option_names = []
        help = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(
            f"{'#' * min(max(depth, 2), 3)} `{context.command_path}`\n\n```text printed by --help\n{help}\n```\n"
        )
        local = getattr(command, "local", None)
        if local:
            parts.append(f"Takes no `--remote`: {local}.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render())
