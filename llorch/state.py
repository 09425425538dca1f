"""What is fresh: the one place that decides it, from files and records alone.

A recipe says what a task needs and makes. It is fresh when its targets are what they should be: what the recipe itself
promises (size and sha256), or, where it promises nothing, what was there when the task last ended, made from the same
inputs under the same definition. Contents decide; a file's signature (size, mtime, ctime, inode) only spares the
reading. An input may be absent, and is recorded so; it may also be a folder's list of names (`src/`) or a variable of
the environment (`$RUSTFLAGS`). Nothing here knows of doit, of models or of builds.

The state is one SQLite file. All of it can be lost: what exists is then read again and adopted.
"""

import errno
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from llorch.errors import DiskFull

if TYPE_CHECKING:
    import sqlite3

SCHEMA = 1
SMALL = 64 * 1024
"""A file up to this many bytes is read at once rather than left for later."""
GRAIN_NS = 20_000_000
"""The kernel stamps files by its timer tick (4 to 10 ms): two writes within one cannot be told apart by time."""
CHUNK = 1 << 20
WAIT = 60
"""Seconds to wait for another process that is writing the state."""
_ATTEMPTS = 5
VANISHED = (FileNotFoundError, FileExistsError)
"""What making something in a folder raises that is deleted meanwhile, as `.llorch/` may be at any time.

`mkdir(exist_ok=True)` raises FileExistsError where a folder that was there is gone when it looks again.
"""

Advance = Callable[[int], None]
Kind = Literal["never-made", "definition", "input", "target", "unread"]


class Target(NamedTuple):
    """A file that a task makes; `size` in bytes and `sha256` where they are known beforehand."""

    path: str
    size: int | None = None
    sha256: str | None = None


class Reason(NamedTuple):
    """Why a task is out of date: `what` changed from `was` to `now`."""

    kind: Kind
    what: str
    was: Any = None
    now: Any = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a task needs and makes. Paths are relative to the workspace, or absolute.

    An input is a file; with a slash at its end, the names in a folder; with `$` at its beginning, a variable.
    """

    name: str
    targets: tuple[Target, ...] = ()
    inputs: tuple[str, ...] = ()
    definition: Mapping[str, Any] = field(default_factory=dict)
    """JSON values; a change in any of them makes the task out of date."""
    learns: bool = False
    """Which inputs there are turns out only while it is made: they are those of its record."""
    shared: str = ""
    """A folder above the target that may be another workspace's too; what is beside the target changes with it."""

    @property
    def promised(self) -> bool:
        """Tell whether every target's content is known beforehand, so that no record is needed."""
        return bool(self.targets) and all(target.sha256 for target in self.targets)


Signature = tuple[int, int, int, int]


def signature(status: os.stat_result) -> Signature:
    """Return what tells a file's states apart without reading it."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def sha256_of(path: str | Path, advance: Advance | None = None) -> str:
    """Read a file and return its sha256 in hex, telling `advance` the bytes read."""
    digest = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(view[:size])
            if advance is not None:
                advance(size)
    return digest.hexdigest()


def make_folder(folder: Path) -> None:
    """Make a `.llorch/`, which git is to ignore.

    Raises:
        OSError: it cannot be made; one of `VANISHED` if it was deleted meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def _is_final(error: "sqlite3.OperationalError | OSError", attempt: int) -> bool:
    """Tell whether what failed would fail again, rather than that the folder was deleted under it; wait a moment."""
    import sqlite3

    if isinstance(error, sqlite3.OperationalError):
        code = error.sqlite_errorcode & 0xFF
        again = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
    else:
        again = isinstance(error, VANISHED)
    if again:
        time.sleep(0.002 * attempt)
    return not again or attempt == _ATTEMPTS - 1


def names_digest(folder: str) -> str:
    """Return the sha256 of the names in a folder, in hex."""
    return hashlib.sha256(b"\0".join(sorted(os.listdir(os.fsencode(folder))))).hexdigest()


class State:
    """The records of one workspace. Safe to use from several threads and processes."""

    def __init__(self, file: Path, root: Path) -> None:
        """Use the state in `file` for the workspace at `root`; nothing is read or made until it is needed."""
        self.file = file
        self.warning: str | None = None
        self._root = str(root)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._files: dict[str, tuple[Signature, str]] | None = None
        self._raw: dict[str, str] | None = None
        self._records: dict[str, dict[str, Any]] = {}
        self._learned: dict[str, tuple[Signature, str]] = {}

    # Contents

    def inputs(self, recipe: Recipe) -> tuple[str, ...]:
        """Return what a recipe needs: what it says, or what its record has learned."""
        return tuple(self.record(recipe.name).get("inputs", ())) if recipe.learns else recipe.inputs

    def absolute(self, path: str) -> str:
        """Return where a path of a recipe really is."""
        return os.path.join(self._root, path)

    def known(self, path: str) -> str | None:
        """Return a file's sha256 when that takes no long reading, None when it does.

        Raises:
            FileNotFoundError: there is no such file or variable; likewise for a folder in a file's place.
        """
        if path.startswith("$"):
            value = os.environb.get(os.fsencode(path[1:]))
            if value is None:
                raise FileNotFoundError(errno.ENOENT, "there is no such variable", path)
            return hashlib.sha256(value).hexdigest()
        status = os.stat(self.absolute(path))
        files = self._files if self._files is not None else self._read_files()
        seen = files.get(path)
        if seen is not None and seen[0] == signature(status):
            return seen[1]
        if path.endswith("/"):
            return self.read(path)
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, "there is no such file", path)
        return self.read(path) if status.st_size <= SMALL else None

    def digest(self, path: str, advance: Advance | None = None) -> str:
        """Return a file's sha256, reading it only when it is not known."""
        return self.known(path) or self.read(path, advance)

    def read(self, path: str, advance: Advance | None = None) -> str:
        """Return a file's sha256 from its bytes, whatever is known of it."""
        absolute = self.absolute(path)
        seen = signature(os.stat(absolute))
        settled = self._settle(seen)
        digest = names_digest(absolute) if path.endswith("/") else sha256_of(absolute, advance)
        if settled and signature(os.stat(absolute)) == seen:
            self._keep(path, seen, digest)
        return digest

    def learn(self, path: str, digest: str) -> None:
        """Take a file's sha256 from the one who has just written it and put it in its place."""
        seen = signature(os.stat(self.absolute(path)))
        if self._settle(seen):
            self._keep(path, seen, digest)

    def _settle(self, seen: Signature) -> bool:
        """Wait until a further write would give the file another time; False if reading it again is cheaper."""
        age = time.time_ns() - seen[2]
        if 0 <= age < GRAIN_NS:
            if seen[0] <= SMALL:
                return False
            time.sleep((GRAIN_NS - age) / 1e9)
        return True

    def _keep(self, path: str, seen: Signature, digest: str) -> None:
        with self._lock:
            self._read_files()[path] = self._learned[path] = (seen, digest)

    # Freshness

    def reasons(self, recipe: Recipe, *, advance: Advance | None = None, read: bool = False) -> list[Reason]:
        """Return why a recipe is not fresh; nothing when it is.

        Without `read`, a big file whose signature is new counts as `unread`; with it, it is read.
        """
        if recipe.promised:
            checks = ((target.path, target.sha256) for target in recipe.targets)
            return self._compare("target", checks, read, advance)
        record = self.record(recipe.name)
        if "definition" not in record:
            return [Reason("never-made", recipe.name)]
        found: list[Reason] = []
        was, now = record["definition"], recipe.definition
        if was != now:
            keys = [*now, *(key for key in was if key not in now)]
            found += [
                Reason("definition", key, was.get(key), now.get(key)) for key in keys if was.get(key) != now.get(key)
            ]
        inputs = record["inputs"]
        paths = self.inputs(recipe)
        gone = inputs.keys() - set(paths)
        found += [Reason("input", path, inputs[path], None) for path in sorted(gone)]
        known_absent = {path for path, was in inputs.items() if was is None}
        found += self._compare("input", ((path, inputs.get(path)) for path in paths), read, advance, known_absent)
        targets = record["targets"]
        checks = ((target.path, target.sha256 or targets.get(target.path)) for target in recipe.targets)
        return found + self._compare("target", checks, read, advance)

    def _compare(
        self,
        kind: Literal["input", "target"],
        checks: Any,
        read: bool,
        advance: Advance | None,
        absent: Collection[str] = (),
    ) -> list[Reason]:
        found = []
        for path, was in checks:
            try:
                now = self.digest(path, advance) if read else self.known(path)
            except OSError as error:
                if path not in absent or not isinstance(error, FileNotFoundError | NotADirectoryError):
                    found.append(Reason(kind, path, was, None))
                continue
            if now is None:
                found.append(Reason("unread", path, was, None))
            elif now != was:
                found.append(Reason(kind, path, was, now))
        return found

    # Records

    def record(self, name: str) -> dict[str, Any]:
        """Return a task's record, empty when there is none. Treat it as read-only."""
        found = self._records.get(name)
        if found is None:
            raw = self._read_records().get(name)
            found = self._records[name] = {} if raw is None else json.loads(raw)
        return found

    def names(self) -> list[str]:
        """Return the names of all tasks that have a record."""
        with self._lock:
            return sorted({*self._read_records(), *(name for name, record in self._records.items() if record)})

    def save(self, name: str, record: Mapping[str, Any]) -> None:
        """Commit a task's record, and with it what was learned of files.

        Raises:
            DiskFull: the state cannot be written.
        """
        with self._lock:
            self._records[name] = dict(record)
            text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
            self._write("insert or replace into tasks values (?, ?)", [(name, text)])

    def forget(self, *names: str) -> None:
        """Drop the records of these tasks."""
        with self._lock:
            known = self._read_records()
            gone = [name for name in names if known.pop(name, None) is not None or self._records.get(name)]
            for name in names:
                self._records[name] = {}
            if gone:
                self._write("delete from tasks where name = ?", [(name,) for name in gone])

    def refresh(self, recipe: Recipe) -> None:
        """Take in what other processes have committed on this recipe meanwhile."""
        with self._lock:
            rows = self._select("select record from tasks where name = ?", recipe.name)
            self._records[recipe.name] = json.loads(rows[0][0]) if rows else {}
            made = self._records[recipe.name].get("targets", {})
            paths = {*self.inputs(recipe), *(target.path for target in recipe.targets), *made}
            known = self._read_files()
            for path in paths:
                rows = self._select("select size, mtime_ns, ctime_ns, inode, sha256 from files where path = ?", path)
                if rows and path not in self._learned:
                    known[path] = (rows[0][:4], rows[0][4])

    def close(self) -> None:
        """Write what was learned of files and let go of the database."""
        with self._lock:
            if self._learned:
                try:
                    self._write("", [])
                except DiskFull as error:
                    # Only time is lost: these files will be read again. Of small ones nobody would notice.
                    if any(seen[0] > SMALL for seen, _ in self._learned.values()):
                        self.warning = error.message
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _read_files(self) -> dict[str, tuple[Signature, str]]:
        with self._lock:
            if self._files is None:
                rows = self._select("select path, size, mtime_ns, ctime_ns, inode, sha256 from files")
                self._files = {row[0]: (row[1:5], row[5]) for row in rows}
            return self._files

    def _read_records(self) -> dict[str, str]:
        with self._lock:
            if self._raw is None:
                self._raw = dict(self._select("select name, record from tasks"))
            return self._raw

    # Database

    def _select(self, statement: str, *values: str) -> list[Any]:
        import sqlite3

        for attempt in range(_ATTEMPTS):
            if not self.file.exists():
                self._disconnect()  # it may be deleted at any time
                return []
            try:
                return self._connect().execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                self._disconnect()
                found = self._select_fixed(statement, *values)
                if found is not None:
                    return found
                if _is_final(error, attempt):
                    raise DiskFull(
                        f"cannot read the state in `{self.file}`: {error}",
                        hint="check who may read it; or delete it, and what exists is read again",
                    ) from None
            except sqlite3.DatabaseError as error:
                self._start_anew(str(error))
        return []

    def _select_fixed(self, statement: str, *values: str) -> list[Any] | None:
        """Read what the file itself has, where a full or read-only disk does not let SQLite keep its own files."""
        import sqlite3

        try:
            with closing(sqlite3.connect(f"{self.file.absolute().as_uri()}?immutable=1", uri=True)) as connection:
                return connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError:
            return None  # the first error is the one to tell

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        import sqlite3

        for attempt in range(_ATTEMPTS):
            try:
                make_folder(self.file.parent)
                connection = self._connect()
                with connection:
                    connection.execute("begin immediate")
                    self._migrate(connection)
                    if rows:
                        connection.executemany(statement, rows)
                    learned = [
                        (path, *seen, digest)
                        for path, (seen, digest) in self._learned.items()
                        if path.encode(errors="ignore").decode() == path  # else it cannot be kept: it is read again
                    ]
                    connection.executemany("insert or replace into files values (?, ?, ?, ?, ?, ?)", learned)
                self._learned.clear()
                return
            except (sqlite3.OperationalError, OSError) as error:
                self._disconnect()
                why = getattr(error, "strerror", None) or str(error)
                if _is_final(error, attempt):
                    break
            except sqlite3.DatabaseError as error:
                why = str(error)
                self._start_anew(why)
        raise DiskFull(
            f"cannot write the state in `{self.file}`: {why}",
            hint="make room there and check who may write to the folder; then run the same command again",
        )

    def _connect(self) -> "sqlite3.Connection":
        if self._connection is not None and not self.file.exists():
            self._disconnect()
        if self._connection is None:
            import sqlite3

            writable = os.access(self.file.parent, os.W_OK) and (
                not self.file.exists() or os.access(self.file, os.W_OK)
            )
            address = self.file.absolute().as_uri() + ("" if writable else "?immutable=1")
            self._connection = sqlite3.connect(
                address, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False
            )
            self._set_up(self._connection, writable)
        return self._connection

    def _set_up(self, connection: "sqlite3.Connection", writable: bool) -> None:
        import sqlite3

        until = time.monotonic() + WAIT
        while True:
            try:
                version = connection.execute("pragma user_version").fetchone()[0]
                if version not in (0, SCHEMA):
                    raise sqlite3.DatabaseError(f"it has schema {version}, this llorch uses {SCHEMA}")
                if writable:
                    connection.execute("pragma journal_mode = wal")
                    connection.execute("pragma synchronous = normal")
                    if version == 0:
                        self._migrate(connection)
                return
            except sqlite3.OperationalError as error:
                # Two that switch a new file to WAL at once lock each other out, and SQLite does not wait for that.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _migrate(self, connection: "sqlite3.Connection") -> None:
        connection.execute("create table if not exists tasks (name text primary key, record text not null)")
        connection.execute(
            "create table if not exists files (path text primary key, size int, mtime_ns int, ctime_ns int, inode int,"
            " sha256 text not null)"
        )
        connection.execute(f"pragma user_version = {SCHEMA}")

    def _start_anew(self, why: str) -> None:
        self._disconnect()
        aside = self.file.with_name(self.file.name + ".unreadable")
        try:
            for suffix in ("-wal", "-shm"):
                self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
            os.replace(self.file, aside)
            fate = f"it is kept as `{aside.name}`"
        except OSError as error:
            fate = f"it cannot be set aside ({error.strerror})"
        self._files, self._raw = {}, {}
        self._records.clear()
        self.warning = f"the state in `{self.file}` could not be used ({why}); {fate}, and what exists is read again"

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
