"""`llorch dev config`: every value, and where it is from."""

import json
import os
from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cli import Command
from llorch.config import find_workspace, read_settings
from llorch.errors import ConfigError
from llorch.text import shown
from llorch.workspace import MARKERS

if TYPE_CHECKING:
    from llorch.dev.values import Value


@click.command(cls=Command, looks=True, example="llorch dev config\nllorch dev config --json")
def config() -> None:
    """Show every value of the configuration, and where it is from: a flag, a variable, a file's line, or the default.

    The variables that are set and change what llorch does come last. Passwords and tokens are not shown.
    """
    from llorch.build.plan import every_build
    from llorch.dev.values import list_settings, list_variables
    from llorch.test.plan import every_suite

    workspace = find_workspace()
    loaded = read_settings(workspace)
    if loaded.problems:
        raise ConfigError(loaded.problems, hint="`llorch dev check` lists all that is wrong, in all files")
    settings = list_settings(loaded, every_build(loaded.settings, workspace), every_suite(loaded.settings, workspace))
    given = click.get_current_context().find_root().meta["LLORCH_REPO_ROOT"]
    variables = [value for value in list_variables() if given or value.key != "LLORCH_REPO_ROOT"]
    values = [*_of_the_run(workspace.place, given), *settings, *variables]
    if ui.mode.json:
        ui.emit_json({"values": [value._asdict() for value in values]})
        return
    ui.table(
        ["key", "value", "from"], [[shown(value.key), _text(value.value), shown(value.origin)] for value in values]
    )


def _of_the_run(root: str, given: str | None) -> "list[Value]":
    """Return what flags say.

    Args:
        given: LLORCH_REPO_ROOT as it was before the workspace was entered.
    """
    from llorch.dev.values import Value

    marker = next((name for name in MARKERS if os.path.isfile(os.path.join(root, name))), "")
    origin = "environment LLORCH_REPO_ROOT" if given else marker or "default"
    if "directory" in click.get_current_context().find_root().meta:
        origin = "flag -C"
    unwanted = next((name for name in ("NO_COLOR", "LLORCH_NO_COLOR") if os.environ.get(name)), "")
    how = f"environment {unwanted}" if unwanted else "default"
    color = Value("color", ui.mode.color and not unwanted, how if ui.mode.color else "flag --no-color")
    return [Value("workspace", root, origin), color]


def _text(value: Any) -> str:
    """Return a value as TOML writes it."""
    return shown(json.dumps(value, ensure_ascii=False))
