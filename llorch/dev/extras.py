"""The extras of llorch: packages that it does without until a workspace needs them."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from llorch.config import Settings
from llorch.errors import LlorchError
from llorch.progress import Progress

MODULES = {"cache": "obstore"}
"""What is imported of each."""
BUCKETS = ("s3:", "gs:", "az:")
"""Stores that are in a cloud's buckets."""


def needed_extras(settings: Settings) -> tuple[str, ...]:
    """Return the extras that the settings need."""
    return ("cache",) if settings.cache.url.startswith(BUCKETS) else ()


def missing_extras(settings: Settings) -> tuple[str, ...]:
    """Return those of them that are not installed."""
    return tuple(name for name in needed_extras(settings) if find_spec(MODULES[name]) is None)


def install_extras(names: Sequence[str], progress: Progress) -> None:
    """Have pip install extras into llorch's own environment.

    Raises:
        LlorchError: pip cannot install them; see `run_pip`.
    """
    from importlib import invalidate_caches

    from llorch.models.pip import run_pip

    what = f"llorch[{','.join(names)}]"
    # Not in the workspace: Python would look there for pip.
    run_pip("install", [what], what, Path(sys.prefix), progress)
    invalidate_caches()
    absent = [MODULES[name] for name in names if find_spec(MODULES[name]) is None]
    if absent:
        raise LlorchError(f"pip has installed {what}, which has no `{absent[0]}`", hint="update llorch")
