"""Whether a workspace's dodo.py is Python, without running it."""

import os
import warnings

from llorch.config import Workspace
from llorch.errors import ConfigError, Problem
from llorch.text import shown
from llorch.workspace import read_file

NAME = "dodo.py"


def check_dodo(workspace: Workspace) -> None:
    """Compile the workspace's dodo.py, if there is one.

    Raises:
        ConfigError: it is not Python, or cannot be read.
    """
    line = None
    try:
        source = read_file(workspace.root / NAME)
        with warnings.catch_warnings(action="ignore"):
            compile(source, NAME, "exec", dont_inherit=True)
        return
    except FileNotFoundError:
        path = workspace.root / NAME
        if not path.is_symlink():
            return
        wrong = f"is a link to `{shown(os.readlink(path))}`, which is not there"
    except SyntaxError as error:
        line, wrong = error.lineno, f"is not Python: {shown(error.msg)}"
    except OSError as error:
        wrong = f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError, MemoryError) as error:
        wrong = f"cannot be read: {shown(str(error)) or 'it is nested too deeply'}"
    raise ConfigError([Problem(NAME, line, "", wrong)])
