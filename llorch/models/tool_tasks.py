"""The tasks `tool:NAME`: programs that conversions call, installed before or when one needs them."""

import functools
from collections.abc import Iterator
from typing import Any

from llorch.engine import creator, file_task
from llorch.make import make
from llorch.models import tools
from llorch.models.tools import Tool
from llorch.progress import Progress
from llorch.session import Done, Session


@creator
def task_tool(run: Session) -> Iterator[dict[str, Any]]:
    """Install programs that conversions need"""
    for tool in tools.TOOLS:
        yield file_task(tool.recipe, functools.partial(_install, tool), f"Install {tool.name} {tool.version}")


def have_tool(tool: Tool, progress: Progress) -> None:
    """Install a tool unless it is there, as the task `tool:NAME` does: for another task's work that needs it.

    Raises:
        LlorchError: it cannot be installed; see `tools.install`.
    """
    make(tool.recipe, functools.partial(_install, tool), progress)


def _install(tool: Tool, progress: Progress) -> Done:
    made = tools.install(tool, progress)
    return Done(str(tool.folder), made=made)
