"""`llorch dev info`: a report to paste into a bug report."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from llorch import __version__, ui
from llorch.cargo import count
from llorch.cli import Command
from llorch.config import find_workspace
from llorch.dev.check_cli import counted

if TYPE_CHECKING:
    from llorch.dev.info import Info


@click.command(cls=Command, looks=True, example="llorch dev info\nllorch dev info --json")
def info() -> None:
    """Write what a bug report needs to know of this machine and the workspace, as Markdown.

    Tokens and passwords are left out, and so are the names of user and machine: the home folder is `~`. Read it all the
    same before you paste it.
    """
    from llorch.dev.info import gather

    given = click.get_current_context().find_root().meta["LLORCH_REPO_ROOT"]
    environ = {name: value for name, value in os.environ.items() if given or name != "LLORCH_REPO_ROOT"}
    found = gather(find_workspace(), environ)
    if ui.mode.json:
        ui.emit_json(found.as_json())
    else:
        ui.emit(_markdown(found))


def _markdown(found: "Info") -> str:
    problems = [f"  - {_code(problem)}" for problem in found.problems[:10]]
    wrong = "nothing is wrong with them" if not problems else f"{count(len(found.problems), 'mistake')}:"
    logs = ", ".join(map(_code, found.logs)) or "none"
    variables = [f"  - {_code(f'{value.key}={value.value}')}" for value in found.environment]
    return "\n".join(
        [
            f"- llorch {__version__}, {found.python}, {found.system}",
            f"- packages: {_versions(found.packages)}",
            f"- programs: {_versions(found.programs)}",
            f"- files: {', '.join(map(_code, found.files))}: {counted(found.counts)}; {wrong}",
            *problems,
            f"- state: {ui.bytes_text(found.size)}; newest logs: {logs}",
            f"- environment: {'' if variables else 'nothing of ours is set'}".rstrip(),
            *variables,
        ]
    )


def _versions(versions: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {version or 'not there'}" for name, version in versions.items())


def _code(text: str) -> str:
    """Return a text as Markdown that shows it as it is."""
    return f"`{text.replace('`', chr(39))}`"
