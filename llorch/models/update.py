"""Take over a newer catalog from an address: read it, compare it with what is here, write what is new.

The user's own entries are never changed. Nothing of this happens by itself.
"""

import re
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from llorch.config import Mistake, Settings, Workspace, wrong
from llorch.errors import AccessDenied, ConfigError, LlorchError, NotFound, Unreachable
from llorch.models import hub
from llorch.models.catalog import check_catalog, check_url
from llorch.models.edit import Draft, Raw, changed_meanwhile, edit_catalog, own_entries, shipped_entries
from llorch.text import without_credentials
from llorch.toml import Document, decode

LIMIT = 10_000_000
"""A catalog of more bytes is not read."""
PATIENCE = 60.0
"""Seconds that one answer may take in all."""
REDIRECTS = 5
URL = ("paths", "catalog_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a newer catalog brings: ids in its order, and the entries to be written."""

    url: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    gone: tuple[str, ...]
    kept: tuple[str, ...]
    """Its ids that are the user's own entries here."""
    own: Mapping[str, Raw]
    before: Mapping[str, Raw]
    after: Mapping[str, Raw]

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return not (self.added or self.changed or self.gone)


def look(workspace: Workspace, settings: Settings) -> Difference:
    """Read the catalog at `[paths] catalog_url` and compare it with the workspace's, which has been found right.

    Raises:
        ConfigError: no address is set, or what is there is no right catalog.
        LlorchError: it cannot be read.
    """
    url = settings.paths.catalog_url
    if not url:
        raise wrong(
            workspace,
            Mistake(URL, "is not set, so there is nowhere to look"),
            hint='set it to a catalog of yours: catalog_url = "https://…/catalog.toml" or "file:/srv/catalog.toml"',
        )
    document = decode(_read(url, workspace), url)
    try:
        if not url.startswith("file:"):
            _refuse_folders(document)
        check_catalog(document)
    except ConfigError as error:
        raise ConfigError(error.problems, hint="nothing was changed; is [paths] catalog_url right?") from None
    entries: Mapping[str, Raw] = document.data.get("models", {})
    return compare(url, entries, own_entries(workspace, settings), shipped_entries(workspace, settings))


def compare(url: str, new: Mapping[str, Raw], own: Mapping[str, Raw], shipped: Mapping[str, Raw]) -> Difference:
    """Return what `new` brings to a workspace with entries of its own and those that came with llorch."""
    before = {**shipped, **own}
    mine = {id for id, entry in own.items() if not entry.get("updated_from")}
    differs = [id for id in new if id not in mine and (id not in before or _plain(new[id]) != _plain(before[id]))]
    return Difference(
        url=url,
        added=tuple(id for id in differs if id not in before),
        changed=tuple(id for id in differs if id in before),
        gone=tuple(id for id in own if id not in mine and id not in new),
        kept=tuple(id for id in new if id in mine),
        own=own,
        before=before,
        after={id: {**_plain(new[id]), "updated_from": url} for id in differs},
    )


def write(difference: Difference, workspace: Workspace, settings: Settings, *, dry_run: bool = False) -> str:
    """Write what is new into the workspace's catalog and return its name.

    Raises:
        Busy: the catalog was changed since it was compared.
        ConfigError: the entries do not go together with the user's own.
        DiskFull: it cannot be written.
    """

    def edit(draft: Draft) -> None:
        if draft.entries != difference.own:
            raise changed_meanwhile(draft.name)
        for id in difference.gone:
            draft.remove(id)
        for id, entry in difference.after.items():
            if id in difference.own:
                draft.change(id, entry)
            else:
                draft.add(id, entry)

    return edit_catalog(workspace, settings, edit, dry_run=dry_run)


def describe_change(old: Raw, new: Raw) -> list[str]:
    """Return what is different between two entries, a line each: the pins, and of the rest the names of the keys.

    >>> describe_change({"revision": "a" * 40, "files": []}, {"revision": "main", "files": [], "license": "mit"})
    ['revision: aaaaaaaaaaaa -> main', 'license']
    """
    lines = []
    if old.get("revision") != new.get("revision"):
        lines.append(f"revision: {_short(old.get('revision'))} -> {_short(new.get('revision'))}")
    was, now = ({file["path"]: file for file in entry["files"]} for entry in (old, new))
    for path in now:
        if path not in was:
            lines.append(f"{path}: new, {_pins(now[path])}")
        elif _pins(was[path]) != _pins(now[path]):
            lines.append(f"{path}: {_pins(was[path])} -> {_pins(now[path])}")
    lines += [f"{path}: gone" for path in was if path not in now]
    known = ("revision", "files", "updated_from")
    return lines + [key for key in {**old, **new} if key not in known and old.get(key) != new.get(key)]


def _refuse_folders(document: Document) -> None:
    """Complain about entries that name a folder here: a catalog from elsewhere has no business there."""
    entries = document.data.get("models", {})
    for id, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict) and str(entry.get("source")).startswith("file:"):
            document.complain(("models", id, "source"), "names a folder of this machine, in a catalog from elsewhere")


def _pins(file: Mapping[str, Any]) -> str:
    size = f"{file['size']:,} bytes" if "size" in file else "any size"
    return f"{size}, sha256 {_short(file.get('sha256'))}"


def _short(value: Any) -> str:
    return "none" if value is None else value[:12] if re.fullmatch("[0-9a-f]{40,64}", value) else str(value)


def _plain(entry: Raw) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "updated_from"}


def _read(url: str, workspace: Workspace) -> bytes:
    if url.startswith("file:"):
        return _read_file(url, workspace)
    complaint = _check_address(url)
    if complaint is not None:
        raise wrong(workspace, Mistake(URL, complaint), hint="give an address that begins with https:// or file:")
    hub.client()
    return hub.ask(lambda: _read_http(url), f"`{_named(url)}`")


def _named(url: str) -> str:
    """Return an address without what may be a secret: the password, and what it asks for, which may sign it."""
    return without_credentials(url).partition("?")[0]


def _check_address(url: str) -> str | None:
    if not url.isprintable():
        return "has characters that cannot be printed"
    try:
        parts = urlsplit(url)
        named = parts.hostname is not None and parts.port != 0
    except ValueError as error:
        return f"`{_named(url)}` is not an address: {error}"
    if not named:
        return f"`{_named(url)}` is not an address of http"
    if parts.username is not None:
        return "has a user or password in it, which would be written into the catalog"
    return check_url(url)


def _read_file(url: str, workspace: Workspace) -> bytes:
    name = url.removeprefix("file:")
    if name.startswith("//"):
        name = unquote(name.removeprefix("//").removeprefix("localhost"))
    path = workspace.path(name)
    try:
        if path.is_fifo() or path.is_char_device():
            raise LlorchError(f"`{url}` is not a file", hint="correct [paths] catalog_url")
        with path.open("rb") as file:
            raw = file.read(LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no `{url}`", hint="correct [paths] catalog_url, or connect what it is on") from None
    except OSError as error:
        raise LlorchError(f"`{url}` cannot be read: {error.strerror}", hint="correct [paths] catalog_url") from None
    _check_size(len(raw), url)
    return raw


def _read_http(url: str) -> bytes:
    """Read an address, following redirects to none but safe ones. No token is sent along."""
    import httpx2

    at = url
    timeout = httpx2.Timeout(hub.ask_timeout())
    session: httpx2.Client = hub.client().get_session()
    headers = {"accept-encoding": "identity"}
    for _ in range(REDIRECTS + 1):
        try:
            asked = session.build_request("GET", at, headers=headers, timeout=timeout)
            with hub.told(url), closing(session.send(asked, stream=True, follow_redirects=False)) as response:
                if not response.has_redirect_location:
                    return _body(response, url)
                location = response.headers["location"]
            at = urljoin(at, location)
        except (httpx2.InvalidURL, ValueError) as error:
            raise LlorchError(f"`{url}` leads to no address: {error}", hint="correct [paths] catalog_url") from None
        complaint = _check_address(at)
        if complaint is not None:
            raise LlorchError(f"`{url}` leads elsewhere: {complaint}", hint="correct [paths] catalog_url")
    raise LlorchError(f"`{url}` leads from one address to the next", hint="correct [paths] catalog_url")


def _body(response: Any, url: str) -> bytes:
    status = response.status_code
    if status in (404, 410):
        raise NotFound(f"there is no `{url}` ({status})", hint="correct [paths] catalog_url")
    if status in (401, 403):
        raise AccessDenied(f"`{url}` is refused ({status})", hint="it must be readable without a login")
    if passing := hub.trouble(status, response.headers):
        raise passing
    if status != 200:
        raise LlorchError(f"the server answers {status} for `{url}`", hint="correct [paths] catalog_url")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise LlorchError(f"`{url}` comes compressed, unasked", hint="have it served as it is")
    end = time.monotonic() + PATIENCE
    raw = bytearray()
    for chunk in response.iter_raw():
        raw += chunk
        _check_size(len(raw), url)
        if time.monotonic() > end:
            raise Unreachable(f"`{url}` takes longer than {PATIENCE:.0f} s", hint="try again with a better connection")
    return bytes(raw)


def _check_size(size: int, url: str) -> None:
    if size > LIMIT:
        raise LlorchError(
            f"`{url}` has more than {LIMIT:,} bytes, and no catalog has", hint="correct [paths] catalog_url"
        )
