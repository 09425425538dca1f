"""`llorch git status` and nothing more, answered without the command line: importing that takes a third of the time."""

from llorch.errors import LlorchError
from llorch.git.repo import find_repo
from llorch.git.show import render_status
from llorch.git.status import load_all
from llorch.workspace import find_workspace


def quick_status() -> str | None:
    """Return what `llorch git status` shows where all is well; else None, and the command line has something to say."""
    try:
        workspace = find_workspace()
        return render_status(*load_all(find_repo(workspace.place))) if workspace.declared else None
    except (LlorchError, OSError):
        return None
