"""Where the files of models are to be: no two in one place, and none behind a link that leads away.

Which files there are is the catalog's business.
"""

import os

from llorch.config import Mistake, Workspace
from llorch.typed import Complain, Key


def claim(path: str, key: Key, taken: dict[str, str], complain: Complain) -> None:
    """Take a path among others, complaining if one of them is the same, above or below it."""
    folded = path.casefold()  # macOS keeps `A` and `a` in one place
    above = _above(folded)
    other = next((taken[place] for place in (folded, folded + "/", *above) if place in taken), None)
    if other is not None:
        complain(key, f"`{path}` and `{other}` cannot both be there", None)
    taken[folded] = path
    taken.update({up + "/": path for up in above})


def _above(path: str) -> list[str]:
    """Return the folders above a relative path.

    >>> _above("a/b/c")
    ['a/b', 'a']
    """
    found = []
    while path := os.path.dirname(path):
        found.append(path)
    return found


def check_base(workspace: Workspace, base: str) -> Mistake | None:
    """Return what is wrong with a model folder inside the workspace that a link takes out of it."""
    if os.path.isabs(base):
        return None
    real, root = os.path.realpath(workspace.path(base)), os.path.realpath(workspace.root)
    if real.startswith(os.path.join(root, "")):
        return None
    hint = f'set [paths] models (or LLORCH_MODEL_BASE_DIR) to "{real}"'
    return Mistake(("paths", "models"), f"`{base}` is a link that leaves the workspace, to `{real}`", hint)


def outward_link(workspace: Workspace, base: str, folder: str, seen: dict[str, str | None]) -> str | None:
    """Return which folder, from below the base down to `folder`, is a link that leaves the base."""
    below = []
    while folder not in seen and folder != os.path.dirname(folder):
        below.append(folder)
        folder = os.path.dirname(folder)
    found = seen.get(folder)
    for folder in reversed(below):
        path = workspace.path(folder)
        if found is None and os.path.islink(path):
            root = os.path.realpath(workspace.path(base))
            found = None if os.path.realpath(path).startswith(os.path.join(root, "")) else folder
        seen[folder] = found
    return found
