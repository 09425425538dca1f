"""Which submodules could not be fetched when that was tried last, so that their state tells it without a network.

Each has a file of its own in the git folder of the repository that it is in. Nobody has to delete it: it counts as long
as nothing has happened since that a failed try does not do.
"""

from __future__ import annotations

import os

from llorch.errors import AccessDenied, LlorchError, NotFound, Unreachable
from llorch.git.porcelain import fields

TYPE_CHECKING = False
if TYPE_CHECKING:  # its states have what is remembered here
    from llorch.git.status import Declared


def remember(declared: Declared, error: LlorchError) -> None:
    """Take note of why a submodule could not be moved, if that is why it could not be fetched."""
    # What `failures` has for servers alone.
    if not isinstance(error, (AccessDenied, NotFound, Unreachable)):
        return
    from contextlib import suppress

    record = _record(declared)
    with suppress(OSError):  # it is told now all the same
        os.makedirs(os.path.dirname(record), exist_ok=True)
        parts = (declared.url, str(declared.is_there), error.message)
        with open(record, "wb") as file:
            file.write(b"".join(os.fsencode(part) + b"\0" for part in parts))


def load_unfetched(declared: Declared) -> str | None:
    """Return why a submodule could not be fetched; None if it could, or was not there, or has another URL since."""
    record = _record(declared)
    try:
        with open(record, "rb") as file:
            url, there, message = fields(file.read())
        if (url, there) != (declared.url, str(declared.is_there)):
            return None
        return None if declared.is_there and _fetched_since(declared, record) else message
    except (OSError, ValueError):  # there is none, or one that was cut off
        return None


def _fetched_since(declared: Declared, record: str) -> bool:
    tried = os.stat(record)
    try:
        fetched = os.stat(os.path.join(declared.repo.git_folder, "FETCH_HEAD"))
    except FileNotFoundError:
        return False
    # A try that fails leaves it empty, or has not begun to write it.
    return fetched.st_size > 0 and fetched.st_mtime_ns >= tried.st_mtime_ns


def _record(declared: Declared) -> str:
    name = declared.inner.replace("%", "%25").replace("/", "%2F")
    return os.path.join(declared.parent.git_folder, "llorch", "unfetched", name)
