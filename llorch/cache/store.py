"""Where shared things are kept: objects under keys, written whole or not at all, on whatever its URL leads to.

Each kind of store is a file of its own (`folder`, `bucket`, `web`, `sftp`), loaded when a URL asks for it. What the
objects are, and whether one is to be believed, is not known here: `records` and `signing` see to that.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from llorch.config import Workspace
from llorch.errors import ConfigError, LlorchError, Offline, Problem, Refused
from llorch.switches import is_on
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.errors import Severity

CHUNK = 1 << 20
"""Bytes that are moved at once."""
STALL = 60.0
"""Seconds without a single byte after which a store counts as unreachable."""
URL = "the store's URL"
"""How errors call it."""
SCHEMES = ("file", "s3", "gs", "az", "https", "http", "sftp")

Advance = Callable[[int], None]
"""Is told of bytes that have been taken from what is being stored."""

_KEY = re.compile(r"(?=.{1,255}\Z)[a-z0-9][a-z0-9.-]*(/[a-z0-9][a-z0-9.-]*)*", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


class Item(NamedTuple):
    """An object of a store: its bytes, and when it was written, in seconds since 1970."""

    key: str
    size: int
    modified: float


class Store(Protocol):
    """Objects by their keys: names of small letters, digits, `.` and `-`, with slashes between them.

    Each method may raise `Unreachable` after a bounded time, `AccessDenied`, `DiskFull`, and `Refused` where it would
    follow a link out of the store. Whoever needs what is read to be right compares its digest.

    Attributes:
        name: how messages call it: its URL without credentials.
        shared: others may write to it, so its records need a trusted signature.
    """

    @property
    def name(self) -> str:
        """How messages call it: its URL without credentials."""
        ...

    @property
    def shared(self) -> bool:
        """Whether others may write to it, so that its records need a trusted signature."""
        ...

    def size(self, key: str) -> int | None:
        """Return an object's bytes, None if it is not there."""
        ...

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's contents; an error comes when the first, or a later, piece is asked for.

        Raises:
            NotFound: it is not there.
        """
        ...

    def create(self, key: str, data: bytes | Path, advance: Advance | None = None) -> bool:
        """Store an object whole, unless there is one: of several at once, one does.

        Returns:
            False if it was there already, and has been left as it is.
        """
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Store a small object, over what is there."""
        ...

    def items(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below a folder of keys, in no order; those whose keys could not be ours are left out.

        Raises:
            Refused: this kind of store cannot tell.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; it is no error if it is not there."""
        ...


def open_store(url: str, workspace: Workspace, timeout: float = 10.0) -> Store:
    """Return the store at a URL (docs/cache.md). Only a folder is looked at; others are reached by what is done first.

    Args:
        workspace: what `file:` paths are relative to, and whose hosts `sftp:` may name.
        timeout: seconds for a connection to stand.

    Raises:
        ConfigError: it is no URL of a store.
        ToolMissing: the package for this kind of store is not installed.
        Offline: it is on the network, and LLORCH_OFFLINE is set.
        Unreachable: the folder is not there.
    """
    scheme, colon, rest = url.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in SCHEMES:
        what = f"`{scheme}:` is" if colon and _SCHEME.fullmatch(scheme) else "it begins with"
        known = ", ".join(f"`{known}:`" for known in SCHEMES)
        raise wrong_url(f"{what} no kind of store; known are {known}")
    if scheme == "file":
        from llorch.cache.folder import open_folder

        return open_folder(rest, workspace)
    if is_on("LLORCH_OFFLINE"):
        raise Offline(f"the store `{shown_url(url)}` is on the network, and LLORCH_OFFLINE is set", hint="unset it")
    if scheme in ("https", "http"):
        from llorch.cache.web import WebStore

        return WebStore(url, timeout)
    if scheme == "sftp":
        from llorch.cache.sftp import SftpStore

        return SftpStore(url, workspace, timeout)
    from llorch.cache.bucket import BucketStore

    return BucketStore(url, timeout)


def wrong_url(message: str, severity: "Severity" = "error") -> ConfigError:
    """Return the error of a URL that leads to no store, on this machine (`warn`) or on any; it may hold a secret."""
    return ConfigError(
        [Problem(URL, None, "", message, severity=severity)],
        hint="`[cache] url` in llorch.toml, or LLORCH_CACHE_URL, has it",
    )


def shown_url(url: str) -> str:
    """Return a URL as messages may have it: without password, query and fragment, and fit for a terminal.

    >>> shown_url("https://me:secret@host/store?sig=secret"), shown_url("sftp://me@nas/store"), shown_url("file:/a?b")
    ('https://host/store', 'sftp://me@nas/store', 'file:/a?b')
    """
    scheme, _, rest = url.partition(":")
    if scheme.lower() == "file":
        return shown(url)
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = place.removeprefix("//").partition("/")
    user, _, host = authority.rpartition("@")
    keep = f"{user}@" if user and scheme.lower() == "sftp" and ":" not in user else ""
    return shown(f"{scheme}://{keep}{host}{slash}{path}")


def checked(key: str) -> str:
    """Return a key that can be no path out of a store.

    Raises:
        Refused: it is none.

    >>> checked("cas/sha256/ab/abc")
    'cas/sha256/ab/abc'
    """
    if not is_key(key):
        raise Refused(f"`{shown(key)}` is no key of a store: small letters, digits, `.`, `-` and `/`")
    return key


def is_key(text: str) -> bool:
    """Tell whether a text can be a key.

    >>> [is_key(text) for text in ("a/b.c", "../a", "a//b", "/a", "A", "a/.b", "a" * 256)]
    [True, False, False, False, False, False, False]
    """
    return _KEY.fullmatch(text) is not None


def pieces(data: bytes | Path, advance: Advance | None = None) -> Iterator[bytes]:
    """Yield what is to be stored, a piece at a time, and tell `advance` of each.

    Raises:
        LlorchError: the file cannot be read.
    """
    if isinstance(data, bytes):
        for start in range(0, len(data), CHUNK):
            yield _told(data[start : start + CHUNK], advance)
        return
    try:
        with open(data, "rb", buffering=0) as file:
            while piece := file.read(CHUNK):
                yield _told(piece, advance)
    except OSError as error:
        raise _unreadable(data, error) from None


def length(data: bytes | Path) -> int:
    """Return how many bytes are to be stored.

    Raises:
        LlorchError: the file cannot be read.
    """
    if isinstance(data, bytes):
        return len(data)
    try:
        return os.path.getsize(data)
    except OSError as error:
        raise _unreadable(data, error) from None


def _unreadable(path: Path, error: OSError) -> LlorchError:
    return LlorchError(f"`{path}` cannot be read: {error.strerror}", hint="check that nothing removes or changes it")


def _told(piece: bytes, advance: Advance | None) -> bytes:
    if advance is not None:
        advance(len(piece))
    return piece
