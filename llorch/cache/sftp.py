"""A store in a folder of another machine, by SFTP: what this room and the one of other machines do together.

The machine is one of hosts.toml or whatever ssh would make of the name, reached as commands reach it, but nobody is
asked anything. An object grows under another name and gets its own by SFTP's rename, which takes no name that is taken.
"""

import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from posixpath import dirname, join
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote
from weakref import finalize

from llorch.cache import store
from llorch.cache.folder import GROWING, LEFT
from llorch.cache.store import Advance, Item, checked, is_key, pieces, shown_url, wrong_url
from llorch.config import Workspace
from llorch.errors import (
    AccessDenied,
    ConnectionFailed,
    DiskFull,
    HostKeyRefused,
    LlorchError,
    NotFound,
    Refused,
    Unreachable,
)

if TYPE_CHECKING:
    from paramiko import SFTPAttributes, SFTPClient

    from llorch.remote.hosts import Host
    from llorch.remote.reach import Reach
    from llorch.remote.streams import Connection

_CHECK = "check the machine and the network"
_PLACE = re.compile(r"//(?P<host>[^/:]+)(:(?P<port>\d{1,5}))?(?P<path>/[^?#]*)")


class SftpStore:
    """A folder of a host, which is there already."""

    shared = True

    def __init__(self, url: str, workspace: Workspace, timeout: float) -> None:
        """Take `sftp://HOST/FOLDER`, or `sftp://HOST/~/FOLDER` for one at home. Nothing is connected yet.

        Raises:
            ConfigError: it is no such URL, or the hosts are not declared rightly.
            UnknownName: it is no name of a host.
        """
        from llorch.remote.hosts import find_host, load_hosts
        from llorch.remote.reach import Reach

        self.name = shown_url(url).removesuffix("/")
        found = _PLACE.fullmatch(url.partition(":")[2])
        if found is None:
            raise wrong_url(f"`{self.name}` is no `sftp://HOST/FOLDER`; logins are ssh's own: keys, not passwords")
        hosts = load_hosts(workspace)
        host = find_host(found["host"], hosts)
        if found["port"]:
            host = replace(host, port=int(found["port"]))
        path = unquote(found["path"])
        self._sessions = _Sessions(Reach(hosts, timeout, lambda _: None), host, self.name)
        self._path = path.removeprefix("/~/") if path.startswith("/~/") else path
        self._root: _Root | None = None
        self._lock = threading.Lock()
        finalize(self, self._sessions.close)

    def size(self, key: str) -> int | None:
        """Return an object's bytes; see `store.Store`."""
        with suppress(NotFound), self._session() as (client, root):
            return self._status(client, self._place(client, root, key)).st_size
        return None

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's contents; see `store.Store`."""
        from llorch.remote.sftp import read

        with self._session() as (client, root):
            place = self._place(client, root, key)
            self._status(client, place)
            yield from read(client, place)

    def create(self, key: str, data: bytes | Path, advance: Advance | None = None) -> bool:
        """Store an object unless there is one; see `store.Store`."""
        if self.size(key) is not None:
            return False
        with self._grown(key, pieces(data, advance)) as (client, part, place):
            try:
                client.rename(part, place)
            except OSError:
                with suppress(FileNotFoundError):
                    self._status(client, place)
                    return False
                raise
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Store a small object over another; see `store.Store`."""
        with self._grown(key, pieces(data)) as (client, part, place):
            client.posix_rename(part, place)

    def items(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below a folder of keys; see `store.Store`."""
        waiting = [checked(prefix.removesuffix("/")) if prefix else ""]
        with suppress(NotFound), self._session() as (client, root):
            while waiting:
                folder = waiting.pop()
                for found in client.listdir_iter(join(root.path, folder)):
                    key = join(folder, found.filename)
                    if is_key(key) and stat.S_ISDIR(found.st_mode or 0):
                        waiting.append(key)
                    elif is_key(key) and stat.S_ISREG(found.st_mode or 0):
                        yield Item(key, found.st_size or 0, float(found.st_mtime or 0))

    def delete(self, key: str) -> None:
        """Remove an object; see `store.Store`."""
        with suppress(NotFound), self._session() as (client, root):
            client.remove(self._place(client, root, key))

    @contextmanager
    def _session(self) -> Iterator[tuple["SFTPClient", "_Root"]]:
        """Yield a session and the store's folder."""
        with self._sessions.one() as client:
            with self._lock:
                if self._root is None:
                    self._root = self._look(client)
                root = self._root
            yield client, root

    def _look(self, client: "SFTPClient") -> "_Root":
        """Return where the folder really is, and remove what killed processes have left in it."""
        try:
            path = client.normalize(self._path)
            mode = client.stat(path).st_mode or 0
        except FileNotFoundError:
            mode, path = 0, self._path
        if not stat.S_ISDIR(mode):
            raise Unreachable(f"the store `{self.name}` is not there, or no folder", hint=f"make `{path}` on the host")
        with suppress(FileNotFoundError):
            for left in client.listdir_attr(join(path, GROWING)):
                if time.time() - (left.st_mtime or 0) > LEFT:
                    with suppress(FileNotFoundError):
                        client.remove(join(path, GROWING, left.filename))
        return _Root(path, stat.S_IMODE(mode))

    def _place(self, client: "SFTPClient", root: "_Root", key: str) -> str:
        """Return an object's path, if no link leads elsewhere on the way to it."""
        place = join(root.path, checked(key))
        if client.normalize(dirname(place)) != dirname(place):
            raise Refused(f"`{self.name}` has links where folders belong", hint="remove them")
        return place

    def _status(self, client: "SFTPClient", place: str) -> "SFTPAttributes":
        status = client.lstat(place)
        if not stat.S_ISREG(status.st_mode or 0):
            raise Refused(f"`{self.name}` has links or folders where files belong", hint="remove them")
        return status

    @contextmanager
    def _grown(self, key: str, data: Iterator[bytes]) -> Iterator[tuple["SFTPClient", str, str]]:
        """Yield a session, where an object has grown and where it is to be, and leave nothing of the former."""
        from llorch.remote.sftp import write

        with self._session() as (client, root):
            self._make(client, root, GROWING)
            self._make(client, root, dirname(checked(key)))
            place = self._place(client, root, key)
            part = join(root.path, GROWING, secrets.token_hex(16))
            try:
                write(client, part, data)
                client.chmod(part, root.mode & 0o444)
                yield client, part, place
            finally:
                # After a broken connection it stays, and is removed when it is old.
                with suppress(OSError, EOFError, _ssh_exception()):
                    client.remove(part)

    def _make(self, client: "SFTPClient", root: "_Root", folder: str) -> None:
        """Make a folder and those above it, with the rights of the store's."""
        place = join(root.path, folder)
        if self._has(client, place):
            return
        if dirname(folder):
            self._make(client, root, dirname(folder))
        try:
            client.mkdir(place)
            client.chmod(place, root.mode & 0o3777)
        except OSError:
            if not self._has(client, place):  # another one may have made it
                raise

    def _has(self, client: "SFTPClient", place: str) -> bool:
        """Tell whether a folder is there."""
        try:
            mode = client.stat(place).st_mode or 0
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(mode):
            raise Refused(f"`{self.name}` has files where folders belong", hint="remove them")
        return True


class _Root(NamedTuple):
    """Where a store's folder really is, and its rights."""

    path: str
    mode: int


class _Sessions:
    """Sessions of SFTP over one connection, each used by one thread at a time."""

    def __init__(self, reach: "Reach", host: "Host", name: str) -> None:
        """Take how to get to a host; `name` is how messages call the store."""
        self._reach = reach
        self._host = host
        self._name = name
        self._stall = store.STALL
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._idle: list[SFTPClient] = []

    @contextmanager
    def one(self) -> Iterator["SFTPClient"]:
        """Yield a session, and keep it for others if it can still be used."""
        client = None
        try:
            client = self._idle_one() or self._new()
            yield client
        except (FileNotFoundError, PermissionError, LlorchError) as error:
            if client is not None:
                self._keep(client)
            raise self._problem(error) from None
        except (OSError, EOFError, _ssh_exception()) as error:
            for broken in (client, *self._all_idle()):
                _close(broken)
            raise self._problem(error) from None
        except BaseException:
            _close(client)  # something may be under way
            raise
        self._keep(client)

    def close(self) -> None:
        """Hang up."""
        for client in self._all_idle():
            _close(client)
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _idle_one(self) -> "SFTPClient | None":
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _all_idle(self) -> "list[SFTPClient]":
        with self._lock:
            idle, self._idle = self._idle, []
            return idle

    def _new(self) -> "SFTPClient":
        from llorch.remote.sftp import open_sftp

        with self._lock:
            if self._connection is not None:
                with suppress(ConnectionFailed):  # it may have broken since; then a new one is made
                    return open_sftp(self._connection, self._reach.timeout, self._stall)
                self._connection.close()
                self._connection = None
            self._connection = self._reach.connect(self._host)
            return open_sftp(self._connection, self._reach.timeout, self._stall)

    def _keep(self, client: "SFTPClient") -> None:
        with self._lock:
            self._idle.append(client)

    def _problem(self, error: Exception) -> LlorchError:
        if isinstance(error, HostKeyRefused):
            return AccessDenied(f"the store `{self._name}` is not trusted: {error.reason}", hint=error.hint)
        if isinstance(error, ConnectionFailed):
            return Unreachable(f"the store `{self._name}` cannot be reached: {error.reason}", hint=error.hint)
        if isinstance(error, LlorchError):
            return error
        if isinstance(error, FileNotFoundError):
            return NotFound(f"`{self._name}` does not have it")
        if isinstance(error, PermissionError):
            return AccessDenied(f"`{self._name}` does not let us: {error.strerror}", hint="check the rights there")
        if isinstance(error, TimeoutError):
            return Unreachable(f"`{self._name}` cannot be reached: nothing moved for {self._stall:g} s", hint=_CHECK)
        if isinstance(error, OSError) and error.errno is None and str(error) != "Socket is closed":
            return DiskFull(f"`{self._name}` cannot do it: {error}", hint="check the room on its disk, and the rights")
        return Unreachable(f"`{self._name}` cannot be reached: the connection broke ({error})", hint=_CHECK)


def _close(client: "SFTPClient | None") -> None:
    if client is not None:
        with suppress(OSError, EOFError, _ssh_exception()):  # it may have broken before
            client.close()


def _ssh_exception() -> type[Exception]:
    """Return what paramiko raises besides OSError and EOFError."""
    from llorch.remote.transport import load_paramiko

    exception: type[Exception] = load_paramiko().SSHException
    return exception
