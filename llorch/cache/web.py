"""A store on a web server that takes PUT, such as nginx with its WebDAV module. What it has cannot be listed.

The HTTP client is the one of the Hub's client. obstore's is not used here: it takes what it sends into memory whole.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from weakref import finalize

from llorch import __version__
from llorch.cache import store
from llorch.cache.store import CHUNK, Advance, Item, checked, length, pieces, shown_url, wrong_url
from llorch.errors import AccessDenied, ConfigError, DiskFull, LlorchError, NotFound, Problem, Refused, Unreachable

if TYPE_CHECKING:
    import httpx2

PAUSES = (0.5, 1.0)
"""Seconds before a request that failed in passing is made again."""
SMALL = 1 << 20
"""Bytes up to which what is sent is sent again."""
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_GONE = (404, 410)
_BUSY = (408, 429, 500, 502, 503, 504)
WORDS = 1 << 16
"""Bytes that are taken of what comes with an answer, so that its connection can be used again."""


class WebStore:
    """A folder of a web server."""

    shared = True

    def __init__(self, url: str, timeout: float) -> None:
        """Take a URL and seconds for a connection to stand. Nothing is asked of the server yet.

        A login is the URL's own or the one of `~/.netrc`; over plain HTTP only this machine itself gets it.

        Raises:
            ConfigError: it is no such URL, or would have a password cross a network in the clear.
        """
        import httpx2

        self.name = shown_url(url).removesuffix("/")
        self._stall = store.STALL
        self._base, login = _read(url, self.name)
        self._client = httpx2.Client(
            auth=login,
            timeout=httpx2.Timeout(self._stall, connect=timeout),
            headers={"user-agent": f"llorch/{__version__}", "accept-encoding": "identity"},
        )
        finalize(self, self._client.close)

    def size(self, key: str) -> int | None:
        """Return an object's bytes; see `store.Store`."""
        response = self._ask("HEAD", checked(key))
        if self._end(response) in _GONE:
            return None
        self._check(response.status_code)
        told = response.headers.get("content-length", "")
        if not told.isdigit():
            raise Unreachable(f"`{self.name}` does not tell how large its files are", hint="check the server")
        return int(told)

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's contents; see `store.Store`."""
        with closing(self._ask("GET", checked(key))) as response, self._told():
            self._check(response.status_code)
            yield from response.iter_raw(CHUNK)

    def create(self, key: str, data: bytes | Path, advance: Advance | None = None) -> bool:
        """Store an object unless there is one; see `store.Store`.

        Of several at once, one does where the server heeds `If-None-Match`; elsewhere the last one's stays.
        """
        if self.size(key) is not None:
            return False
        headers = {"content-length": str(length(data)), "if-none-match": "*"}
        if isinstance(data, bytes) and len(data) <= SMALL:
            response = self._ask("PUT", key, b"".join(pieces(data, advance)), headers)
        else:
            response = self._send("PUT", key, pieces(data, advance), headers)
        status = self._end(response)
        if status == 412:
            return False
        self._check(status)
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Store a small object over another; see `store.Store`."""
        self._check(self._end(self._ask("PUT", checked(key), data)))

    def items(self, prefix: str = "") -> Iterator[Item]:
        """Refuse; see `store.Store`."""
        raise Refused(
            f"what `{self.name}` has cannot be listed over plain HTTP", hint="look after its files on the server itself"
        )

    def delete(self, key: str) -> None:
        """Remove an object; see `store.Store`."""
        status = self._end(self._ask("DELETE", checked(key)))
        if status not in _GONE:
            self._check(status)

    def _ask(
        self, method: str, key: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> "httpx2.Response":
        """Make a request that sends little, again where a failure may pass; what the answer holds is still to come."""
        for pause in PAUSES:
            try:
                response = self._send(method, key, body, headers)
            except _Passing:
                pass  # the last attempt tells
            else:
                if response.status_code not in _BUSY:
                    return response
                response.close()
            time.sleep(pause)
        return self._send(method, key, body, headers)

    def _send(
        self, method: str, key: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str] | None
    ) -> "httpx2.Response":
        request = self._client.build_request(method, f"{self._base}/{key}", content=body, headers=headers)
        with self._told():
            return self._client.send(request, stream=True)

    def _end(self, response: "httpx2.Response") -> int:
        """Take no more than a few words of what an answer holds, and return its status."""
        with self._told(), closing(response):
            next(response.iter_raw(WORDS), b"")
        return response.status_code

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn the client's errors into ours."""
        import httpx2

        hint = "check the network and the server, and run it again"
        try:
            yield
        except httpx2.TimeoutException as error:
            connecting = isinstance(error, httpx2.ConnectTimeout)
            reason = "no connection in time" if connecting else f"nothing moved for {self._stall:g} s"
            raise Unreachable(f"`{self.name}` cannot be reached: {reason}", hint=hint) from None
        except httpx2.TransportError as error:
            reason = f"no connection: {error}" if isinstance(error, httpx2.ConnectError) else "the connection was lost"
            raise _Passing(f"`{self.name}` cannot be reached: {reason}", hint=hint) from None

    def _check(self, status: int) -> None:
        """Take an answer for a success, or raise what it says."""
        if not 200 <= status < 300:
            raise self._problem(status)

    def _problem(self, status: int) -> LlorchError:
        says = f"`{self.name}` answers {status}"
        match status:
            case 404 | 410:
                return NotFound(f"`{self.name}` does not have it ({status})")
            case 401 | 403 | 407:
                return AccessDenied(says, hint="check the login: in ~/.netrc, or in the URL; and what it may do")
            case 405 | 501:
                return Refused(f"{says}: it takes no such request", hint="nginx: `dav_methods PUT DELETE`")
            case 409:
                return Refused(f"{says}: it makes no folders", hint="nginx: `create_full_put_path on`")
            case 413:
                return Refused(f"{says}: the file is too large for it", hint="nginx: `client_max_body_size 0`")
            case 507:
                return DiskFull(f"the store `{self.name}` is full", hint="remove what is old on the server itself")
            case _ if 300 <= status < 400:
                return Unreachable(f"{says}: it leads elsewhere", hint="give the URL that it leads to")
        return Unreachable(says, hint="try again later, and see the server's log")


class _Passing(Unreachable):
    """A failure that may pass."""


def _read(url: str, name: str) -> tuple[str, tuple[str, str] | None]:
    """Return a URL without its login and without a slash at its end, and the login."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.query or parts.fragment or not url.isascii() or not url.isprintable():
        raise wrong_url(f"`{name}` is no `https://HOST/FOLDER`, without `?` and `#`")
    place = f"[{host}]" if ":" in host else host
    base = f"{parts.scheme}://{place}{'' if port is None else f':{port}'}{parts.path.removesuffix('/')}"
    is_safe = parts.scheme == "https" or _LOOPBACK.fullmatch(host) is not None
    if parts.username is not None:
        if not is_safe:
            raise wrong_url(f"`{name}` would have its password cross the network in the clear: take `https:`")
        return base, (unquote(parts.username), unquote(parts.password or ""))
    return base, _from_netrc(host) if is_safe else None


def _from_netrc(host: str) -> tuple[str, str] | None:
    """Return the login that the user's netrc file has for a host."""
    from netrc import NetrcParseError, netrc

    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        found = netrc(path).authenticators(host)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError([Problem(path, None, "", f"cannot be read: {error.strerror}")]) from None
    except (NetrcParseError, UnicodeDecodeError) as error:
        line = error.lineno if isinstance(error, NetrcParseError) else None  # its message may have the password
        raise ConfigError([Problem(path, line, "", "is not a netrc file that can be read")]) from None
    return None if found is None else (found[0], found[2])
