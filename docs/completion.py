"""Write llorch/dev/spec.py, which completion reads instead of loading every command: `./run python docs/completion.py`.

What an option's value or an argument can be is said in `KINDS`. A command with others ends in a KeyError: add them.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from json import dumps, loads
from pathlib import Path

import click

from llorch import cli
from llorch.build.cli import Builds, make
from llorch.dev.complete import ANY, CHOICE

SPEC = Path(__file__).parent.parent / "llorch/dev/spec.py"
KINDS = {
    # By the command and the option, or the argument's name, where that is not enough: by that name alone. "" is
    # what only the user knows, `rest` what is another program's, the others are in `llorch/dev/names.py`.
    "ID": "model",
    "TASK": "task",
    "ARGUMENT": "task",
    "HOST": "hosts",
    "SUITE": "suite",
    "BACKEND": "backend",
    "DIR": "folder",
    "FILE": "file",
    "CMD": "rest",
    "build clean NAME": "build",
    "git submodules branch NAME": "submodule",
    "git submodules reset NAME": "submodule",
    "git submodules status NAME": "submodule",
    "git submodules update NAME": "submodule",
    "models land FILE": "",
    "models pull --from": "host",
    "remote hosts add NAME": "",
    "remote hosts add --backend": "",
    "remote hosts add --jump": "host",
    "remote hosts add --repo-path": "",
    "remote hosts remove NAME": "host",
    "test --backend": "tested backend",
    **dict.fromkeys(("BRANCH", "BYTES", "FILTER", "NUMBER", "REPO", "REV", "SECONDS", "SHA256", "TAG", "TEXT"), ""),
    **dict.fromkeys(("--host", "--id", "--port", "--user"), ""),
}
HEAD = '''"""What a command line can have: written by `./run python docs/completion.py`, see there for what it means."""
# ruff: noqa: E501
# fmt: off

from collections.abc import Mapping

Options = Mapping[str, tuple[str | None, str]]
'''


def main() -> None:
    """Write the file."""
    SPEC.write_text(render_spec())


def render_spec() -> str:
    """Return the file's text: all commands, and the tasks that are there whatever a workspace declares."""
    remote = _options(click.Command("none", params=[cli.remote_option(hidden=False)]), "")
    common = _options(click.Command("none", params=cli.common_options()), "")
    lines = [HEAD + "COMMON: Options = {", *map(_row, common.items()), "}", '"""Of every command."""', ""]
    lines += ["REMOTE: Options = {", *map(_row, remote.items() - common.items()), "}", ""]
    lines += ["COMMANDS: Mapping[str, tuple[str, tuple[str, ...], Options]] = {"]
    for path, command, summary in _commands(cli.root, "", ""):
        options = _options(command, path)
        own = [_row(option) for option in options.items() if option not in (*common.items(), *remote.items())]
        more = ["    **REMOTE"] if remote.items() <= options.items() else []
        lines += [f"    {dumps(path)}: ({dumps(summary)}, {_arguments(command, path)}, {{"]
        lines += [*("    " + row for row in (*own, *more)), "    }),"]
    lines += ["}", '"""By its words: what it does, its arguments and its own options."""', ""]
    lines += ["TASKS = (", *(f"    {dumps(name)}," for name in _tasks()), ")", '"""Of every workspace."""', ""]
    return "\n".join(lines)


def _row(option: tuple[str, tuple[str | None, str]]) -> str:
    names, (kind, help) = option
    return f"    {dumps(names)}: ({kind if kind is None else dumps(kind)}, {dumps(help)}),"


def _commands(command: click.Command, path: str, summary: str) -> Iterator[tuple[str, click.Command, str]]:
    """Yield a command and those below it, each with its words and what it does."""
    yield path, command, summary
    if isinstance(command, cli.Table):
        for name, place in command.table.items():
            below = command.get_command(click.Context(command), name)
            assert below is not None, "it is in the table"
            yield from _commands(below, f"{path} {name}".lstrip(), place.summary)
    if isinstance(command, Builds):
        yield f"{path} {ANY}", make, ""


def _options(command: click.Command, path: str) -> dict[str, tuple[str | None, str]]:
    """Return a command's options by their names: what the value is, None without one, and the help."""
    found: dict[str, tuple[str | None, str]] = {}
    for option in command.get_params(click.Context(command, help_option_names=["-h", "--help"])):
        if isinstance(option, click.Option) and not option.hidden:
            name = option.opts[-1]
            kind = None if option.is_flag else _kind(option, f"{path} {name}", option.metavar or name)
            found[" ".join(option.opts)] = (kind, option.help or "")
    return found


def _arguments(command: click.Command, path: str) -> str:
    """Return what each argument is, as Python writes it; one that may be repeated ends with three dots."""
    found = ["build"] if isinstance(command, Builds) else []
    for argument in command.params:
        if isinstance(argument, click.Argument):
            (name,) = re.findall(r"^\W*(\w+)", (argument.metavar or argument.name or "").upper())
            found.append(_kind(argument, f"{path} {name}", name) + ("..." if argument.nargs < 0 else ""))
    return "(" + "".join(f"{dumps(kind)}, " for kind in found).rstrip(" ") + ")"


def _kind(parameter: click.Parameter, *names: str) -> str:
    if isinstance(parameter.type, click.Choice):
        return CHOICE + " ".join(parameter.type.choices)
    if isinstance(parameter.type, click.Path):
        return "file"
    known = [KINDS[name] for name in names if name in KINDS]
    if not known:
        raise KeyError(names)
    return known[0]


def _tasks() -> list[str]:
    """Return the tasks of a workspace that declares nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "catalog.toml").write_text("version = 1\n")
        command = [sys.executable, "-m", "llorch", "list", "--json"]
        environ = {"HOME": folder, "PATH": os.environ["PATH"]}
        done = subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
    return [task["name"] for task in loads(done.stdout)["tasks"]]


if __name__ == "__main__":
    main()
