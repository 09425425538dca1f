"""Which submodules could not be fetched when that was tried last, so that their state tells it without a network.

Each has a file of its own in the git folder of the repository that it is in. Nobody has to delete it: it counts as long
as nothing has happened since that a failed try does not do.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from llorch.errors import AccessDenied, LlorchError, NotFound, Unreachable
from llorch.git.porcelain import fields

if TYPE_CHECKING:  # its states have what is remembered here
    from llorch.git.status import Declared


def remember(declared: "Declared", error: LlorchError) -> None:
    """Take note of why a submodule could not be moved, if that is why it could not be fetched."""
    # What `failures` has for servers alone.
    if not isinstance(error, (AccessDenied, NotFound, Unreachable)):
        return
    record = _record(declared)
    with suppress(OSError):  # it is told now all the same
        record.parent.mkdir(parents=True, exist_ok=True)
        parts = (declared.url, str(declared.is_there), error.message)
        record.write_bytes(b"".join(os.fsencode(part) + b"\0" for part in parts))


def load_unfetched(declared: "Declared") -> str | None:
    """Return why a submodule could not be fetched; None if it could, or was not there, or has another URL since."""
    record = _record(declared)
    try:
        url, there, message = fields(record.read_bytes())
        if (url, there) != (declared.url, str(declared.is_there)):
            return None
        return None if declared.is_there and _fetched_since(declared, record) else message
    except (OSError, ValueError):  # there is none, or one that was cut off
        return None


def _fetched_since(declared: "Declared", record: Path) -> bool:
    fetched = declared.repo.folder / "FETCH_HEAD"
    # A try that fails leaves it empty, or has not begun to write it.
    return fetched.exists() and fetched.stat().st_size > 0 and fetched.stat().st_mtime_ns >= record.stat().st_mtime_ns


def _record(declared: "Declared") -> Path:
    name = declared.inner.replace("%", "%25").replace("/", "%2F")
    return declared.parent.folder / "llorch" / "unfetched" / name
