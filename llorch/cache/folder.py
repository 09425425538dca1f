"""A store in a folder: of this machine, or a NAS that is mounted here.

An object grows under another name and gets its own by a link, which the file system gives to one of several at once.
No link is followed on the way to it. Its mode is the folder's: who may read the folder may read what is in it.
"""

import errno
import fcntl
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from llorch.cache.store import CHUNK, Advance, Item, checked, is_key, pieces, shown_url, wrong_url
from llorch.config import Workspace
from llorch.errors import AccessDenied, DiskFull, LlorchError, NotFound, Refused, Unreachable

GROWING = ".tmp"
"""Where objects grow: no key begins with a dot."""
LEFT = 24 * 3600.0
"""Seconds after which what nobody has written to is left over from a process that was killed."""
PATIENCE = 10.0
"""Seconds that a folder has to answer: one that is mounted may hang."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system says that has no hard links, such as exFAT and some network shares."""
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LINK = (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO)


def open_folder(place: str, workspace: Workspace) -> "FolderStore":
    """Return the store that `file:` and this lead to: a path, as in the catalog, or `//` and a URL's absolute path.

    Raises:
        ConfigError: it is neither.
        Unreachable: there is no such folder.
    """
    if place.startswith("//"):
        from urllib.parse import unquote

        host, slash, path = place[2:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise wrong_url("`file:` takes a path, as `file:/srv/llorch` or `file:///srv/llorch`")
        place = unquote(slash + path)
    if not place or "\0" in place:
        raise wrong_url("`file:` takes the path of a folder")
    return FolderStore(workspace.path(place))


class FolderStore:
    """A folder that is there already: one that is not may be a disk that is not mounted.

    Attributes:
        shared: others than this user may write to it.
    """

    def __init__(self, folder: Path) -> None:
        self.name = shown_url(f"file:{folder}")
        self._folder = folder
        self._status = _look_at(folder, self.name)
        self.shared = _is_others(self._status)

    def size(self, key: str) -> int | None:
        """Return an object's bytes; see `store.Store`."""
        try:
            with self._at(key) as (folder, name):
                return self._status_of(name, folder).st_size
        except NotFound:
            return None

    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's contents; see `store.Store`."""
        with self._at(key) as (folder, name):
            # Not waiting, or a pipe in its place would have us wait for ever.
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with open(fd, "rb", buffering=0) as file:
                self._check(os.fstat(fd))
                while piece := file.read(CHUNK):
                    yield piece

    def create(self, key: str, data: bytes | Path, advance: Advance | None = None) -> bool:
        """Store an object unless there is one; see `store.Store`."""
        return self._create(key, lambda file: _write(file, pieces(data, advance)))

    def _create(self, key: str, write: Callable[[BinaryIO], None]) -> bool:
        if self.size(key) is not None:
            return False
        with self._grown(key, write) as (growing, part, folder, name):
            try:
                os.link(part, name, src_dir_fd=growing, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return _name_alone(growing, part, folder, name)
        return True

    def replace(self, key: str, data: bytes) -> None:
        """Store a small object over another; see `store.Store`."""
        with self._grown(key, lambda file: _write(file, pieces(data))) as (growing, part, folder, name):
            os.replace(part, name, src_dir_fd=growing, dst_dir_fd=folder)

    def items(self, prefix: str = "") -> Iterator[Item]:
        """Yield the objects below a folder of keys; see `store.Store`."""
        folders = checked(prefix.removesuffix("/")).split("/") if prefix else []
        with suppress(NotFound), self._inside(folders) as top:
            for path, below, files, fd in os.fwalk(".", dir_fd=top, onerror=_raise):
                below[:] = [name for name in below if is_key(name)]
                for name in files:
                    key = "/".join([*folders, *Path(path).parts, name])
                    if not is_key(key):
                        continue
                    with suppress(FileNotFoundError):  # it has been removed meanwhile
                        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                        if stat.S_ISREG(status.st_mode):
                            yield Item(key, status.st_size, status.st_mtime)

    def delete(self, key: str) -> None:
        """Remove an object; see `store.Store`."""
        with suppress(NotFound), self._at(key) as (folder, name):
            os.unlink(name, dir_fd=folder)

    @contextmanager
    def _at(self, key: str) -> Iterator[tuple[int, str]]:
        """Open the folder that an object is in, and yield it with the object's name there."""
        *folders, name = checked(key).split("/")
        with self._inside(folders) as folder:
            yield folder, name

    @contextmanager
    def _inside(self, folders: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """Open a folder of the store, going down to it by names that are no links."""
        try:
            fd = self._open()
            try:
                for name in folders:
                    if make:
                        self._make(name, fd)
                    below = os.open(name, _FOLDER, dir_fd=fd)
                    os.close(fd)
                    fd = below
                    self._check(os.fstat(fd))
                yield fd
            finally:
                os.close(fd)
        except OSError as error:
            if make and isinstance(error, FileNotFoundError):
                raise _gone(self.name, "it has been removed") from None
            raise self._problem(error) from None

    def _open(self) -> int:
        try:
            fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _gone(self.name, error.strerror) from None
        if not os.path.samestat(os.fstat(fd), self._status):
            os.close(fd)
            raise _gone(self.name, "another folder is in its place")
        return fd

    def _make(self, name: str, folder: int) -> None:
        """Make a folder with the rights of the store's, whatever this process's umask takes from new files."""
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            os.chmod(name, stat.S_IMODE(self._status.st_mode) & 0o3777, dir_fd=folder)
            _sync(folder)

    @contextmanager
    def _grown(self, key: str, write: Callable[[BinaryIO], None]) -> Iterator[tuple[int, str, int, str]]:
        """Yield a whole object in the folder where it has grown, and the folder and name that it is to have.

        Whatever happens, nothing of it is left where it has grown.
        """
        *folders, name = checked(key).split("/")
        with self._inside([GROWING], make=True) as growing, self._inside(folders, make=True) as folder:
            _sweep(growing)
            part = secrets.token_hex(16)
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=growing)
            try:
                with open(fd, "r+b", buffering=0) as file:
                    write(file)
                    os.fchmod(fd, self._status.st_mode & 0o444)
                    os.fsync(fd)
                yield growing, part, folder, name
                _sync(folder)
            finally:
                with suppress(FileNotFoundError):  # it has its name
                    os.unlink(part, dir_fd=growing)

    def _status_of(self, name: str, folder: int) -> os.stat_result:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        self._check(status)
        return status

    def _check(self, status: os.stat_result) -> None:
        """Refuse what is neither a folder nor a file, or not this user's own in a store that is his alone."""
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise Refused(f"`{self.name}` has links or devices where files belong", hint="remove them")
        if not self.shared and _is_others(status):
            raise Refused(
                f"`{self.name}` has files that others may have written, though it is one user's own",
                hint="remove them; or share it: `chmod g+w` the folder, and see docs/cache.md for signed records",
            )

    def _problem(self, error: OSError) -> LlorchError:
        if isinstance(error, FileNotFoundError):
            return NotFound(f"`{self.name}` does not have it")
        if error.errno in _FULL:
            return DiskFull(f"the store `{self.name}` is full: {error.strerror}", hint="`llorch cache gc` makes room")
        if error.errno in _DENIED:
            return AccessDenied(
                f"`{self.name}` does not let us: {error.strerror}", hint=f"check who may use `{self._folder}`"
            )
        if error.errno in _LINK:
            return Refused(f"`{self.name}` has links or folders where files belong", hint="remove them")
        return _gone(self.name, error.strerror)


def _look_at(folder: Path, name: str) -> os.stat_result:
    """Return a folder's status, unless it is none, or on a server that does not answer in time."""
    found: list[os.stat_result] = []
    problems: list[OSError] = []

    def look() -> None:
        try:
            os.statvfs(folder)  # NFS asks its server for this, and may remember the rest
            found.append(os.stat(folder))
        except OSError as error:
            problems.append(error)

    thread = threading.Thread(target=look, daemon=True)  # nothing ends a wait for a dead server
    thread.start()
    thread.join(PATIENCE)
    if problems:
        raise _gone(name, problems[0].strerror)
    if not found:
        raise _gone(name, f"it has not answered after {PATIENCE:g} s")
    if not stat.S_ISDIR(found[0].st_mode):
        raise _gone(name, "it is no folder")
    return found[0]


def _gone(name: str, reason: str | None) -> Unreachable:
    return Unreachable(
        f"the store `{name}` cannot be used: {reason}",
        hint="make the folder, or connect the disk it is on: one that is not there is not made, lest it be a mount's",
    )


def _is_others(status: os.stat_result) -> bool:
    return status.st_uid != os.geteuid() or bool(status.st_mode & 0o022)


def _write(file: BinaryIO, data: Iterator[bytes]) -> None:
    for piece in data:
        rest = memoryview(piece)
        while rest:
            rest = rest[file.write(rest) :]


def _name_alone(growing: int, part: str, folder: int, name: str) -> bool:
    """Give an object its name where the file system has no links: one process at a time, if there is none yet."""
    fcntl.flock(growing, fcntl.LOCK_EX)  # a folder of its own, opened by this call
    if name in os.listdir(folder):
        return False
    os.rename(part, name, src_dir_fd=growing, dst_dir_fd=folder)
    return True


def _sweep(growing: int) -> None:
    """Remove what killed processes have left."""
    for name in os.listdir(growing):
        with suppress(FileNotFoundError):  # its process has just given it its name
            if time.time() - os.stat(name, dir_fd=growing, follow_symlinks=False).st_mtime > LEFT:
                os.unlink(name, dir_fd=growing)


def _sync(folder: int) -> None:
    """Have the names in a folder survive a power cut, where the file system can do that for folders."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _raise(error: OSError) -> None:
    raise error
