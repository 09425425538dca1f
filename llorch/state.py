"""What is fresh: the one place that decides it, from files and records alone.

A recipe says what a task needs and makes. It is fresh when its targets are what they should be: what the recipe itself
promises (size and sha256), or, where it promises nothing, what was there when the task last ended, made from the same
inputs under the same definition. Contents decide; a file's signature (size, mtime, ctime, inode) only spares the
reading. An input may be absent, and is recorded so; it may also be a folder's list of names (`src/`) or a variable of
the environment (`$RUSTFLAGS`). Nothing here knows of doit, of models or of builds.

The state is kept in a `database`. All of it can be lost: what exists is then read again and adopted.
"""

import errno
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from llorch.database import Change, Database
from llorch.errors import DiskFull

SMALL = 64 * 1024
"""A file up to this many bytes is read at once rather than left for later."""
GRAIN_NS = 20_000_000
"""The kernel stamps files by its timer tick (4 to 10 ms): two writes within one cannot be told apart by time."""
CHUNK = 1 << 20

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
        self._database = Database(file, self._lose)
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
            self._commit(("insert or replace into tasks values (?, ?)", [(name, text)]))

    def forget(self, *names: str) -> None:
        """Drop the records of these tasks."""
        with self._lock:
            known = self._read_records()
            gone = [name for name in names if known.pop(name, None) is not None or self._records.get(name)]
            for name in names:
                self._records[name] = {}
            if gone:
                self._commit(("delete from tasks where name = ?", [(name,) for name in gone]))

    def refresh(self, recipe: Recipe) -> None:
        """Take in what other processes have committed on this recipe meanwhile."""
        with self._lock:
            rows = self._database.select("select record from tasks where name = ?", recipe.name)
            self._records[recipe.name] = json.loads(rows[0][0]) if rows else {}
            paths = [*self.inputs(recipe), *(target.path for target in recipe.targets)]
            known = self._read_files()
            seen = "select size, mtime_ns, ctime_ns, inode, sha256 from files where path = ?"
            for path in paths:
                rows = self._database.select(seen, path)
                if rows and path not in self._learned:
                    known[path] = (rows[0][:4], rows[0][4])

    def close(self) -> None:
        """Write what was learned of files and let go of the database."""
        with self._lock:
            if self._learned:
                try:
                    self._commit()
                except DiskFull as error:
                    # Only time is lost: these files will be read again. Of small ones nobody would notice.
                    if any(seen[0] > SMALL for seen, _ in self._learned.values()):
                        self.warning = error.message
            self._database.close()

    def _read_files(self) -> dict[str, tuple[Signature, str]]:
        with self._lock:
            if self._files is None:
                rows = self._database.select("select path, size, mtime_ns, ctime_ns, inode, sha256 from files")
                self._files = {row[0]: (row[1:5], row[5]) for row in rows}
            return self._files

    def _read_records(self) -> dict[str, str]:
        with self._lock:
            if self._raw is None:
                self._raw = dict(self._database.select("select name, record from tasks"))
            return self._raw

    def _commit(self, *changes: Change) -> None:
        learned = [
            (path, *seen, digest)
            for path, (seen, digest) in self._learned.items()
            if path.encode(errors="ignore").decode() == path  # else it cannot be kept: it is read again
        ]
        self._database.write(*changes, ("insert or replace into files values (?, ?, ?, ?, ?, ?)", learned))
        self._learned.clear()

    def _lose(self, warning: str) -> None:
        """Believe nothing of what a database has said that turns out to be broken."""
        self.warning = warning
        self._files, self._raw = {}, {}
        self._records.clear()
