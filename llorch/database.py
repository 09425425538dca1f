"""The SQLite file that the state is kept in: it may be deleted, locked, full, read-only or broken at any time.

Its tables are made here; what is in them is `state`'s business.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llorch.errors import DiskFull
from llorch.workspace import VANISHED, make_folder

if TYPE_CHECKING:
    import sqlite3

Change = tuple[str, Sequence[tuple[Any, ...]]]
"""A statement and the rows that it is run with."""
SCHEMA = 1
TABLES = (
    "create table if not exists tasks (name text primary key, record text not null)",
    "create table if not exists files (path text primary key, size int, mtime_ns int, ctime_ns int, inode int,"
    " sha256 text not null)",
)
WAIT = 60
"""Seconds to wait for another process that is writing."""
_ATTEMPTS = 5


class Database:
    """The records in a file, for one thread at a time and any number of processes."""

    def __init__(self, file: Path, lose: Callable[[str], None]) -> None:
        """Use `file`, once it is needed; `lose` is told, in a sentence, when it is set aside because it is broken."""
        self.file = file
        self._lose = lose
        self._connection: sqlite3.Connection | None = None

    def select(self, statement: str, *values: str) -> list[Any]:
        """Return the rows of a statement; none where there is no file.

        Raises:
            DiskFull: it cannot be read.
        """
        import sqlite3

        for attempt in range(_ATTEMPTS):
            if not self.file.exists():
                self.close()  # it may be deleted at any time
                return []
            try:
                return self._connect().execute(statement, values).fetchall()
            except sqlite3.OperationalError as error:
                self.close()
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

    def write(self, *changes: Change) -> None:
        """Commit all of these changes, or none.

        Raises:
            DiskFull: they cannot be written.
        """
        import sqlite3

        for attempt in range(_ATTEMPTS):
            try:
                make_folder(self.file.parent)
                connection = self._connect()
                with connection:
                    connection.execute("begin immediate")
                    _migrate(connection)
                    for statement, rows in changes:
                        connection.executemany(statement, rows)
                return
            except (sqlite3.OperationalError, OSError) as error:
                self.close()
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
            self.close()
        if self._connection is None:
            import sqlite3

            writable = os.access(self.file.parent, os.W_OK) and (
                not self.file.exists() or os.access(self.file, os.W_OK)
            )
            address = self.file.absolute().as_uri() + ("" if writable else "?immutable=1")
            self._connection = sqlite3.connect(
                address, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False
            )
            _set_up(self._connection, writable)
        return self._connection

    def _start_anew(self, why: str) -> None:
        self.close()
        aside = self.file.with_name(self.file.name + ".unreadable")
        try:
            for suffix in ("-wal", "-shm"):
                self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
            os.replace(self.file, aside)
            fate = f"it is kept as `{aside.name}`"
        except OSError as error:
            fate = f"it cannot be set aside ({error.strerror})"
        self._lose(f"the state in `{self.file}` could not be used ({why}); {fate}, and what exists is read again")

    def close(self) -> None:
        """Let go of the file; it is opened again when it is needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _set_up(connection: "sqlite3.Connection", writable: bool) -> None:
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
                    _migrate(connection)
            return
        except sqlite3.OperationalError as error:
            # Two that switch a new file to WAL at once lock each other out, and SQLite does not wait for that.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _migrate(connection: "sqlite3.Connection") -> None:
    for table in TABLES:
        connection.execute(table)
    connection.execute(f"pragma user_version = {SCHEMA}")


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
