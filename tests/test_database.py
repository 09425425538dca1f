"""A database that may be wrong, unwritable, locked or gone."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llorch import database
from llorch.database import Change, Database
from llorch.errors import DiskFull
from llorch.workspace import make_folder
from tests.conftest import as_mortal

NAMES = "select name from tasks order by name"


def put(name: str) -> Change:
    """Return the change that has a record in it."""
    return ("insert or replace into tasks values (?, '{}')", [(name,)])


class Kept(Database):
    """A database that keeps what it says of its loss."""

    def __init__(self, file: Path) -> None:
        self.lost: list[str] = []
        super().__init__(file, self.lost.append)

    def names(self) -> list[str]:
        """Return the names of the records."""
        return [name for (name,) in self.select(NAMES)]


@pytest.fixture
def opened(workspace: Path) -> Iterator[Callable[[], Kept]]:
    """Open the workspace's database, each time as another process would; they are closed in the end."""
    databases: list[Kept] = []

    def open_database() -> Kept:
        databases.append(Kept(workspace / ".llorch" / "state.db"))
        return databases[-1]

    yield open_database
    for each in databases:
        each.close()


@pytest.fixture
def kept(opened: Callable[[], Kept]) -> Kept:
    """A database of the workspace."""
    return opened()


def test_changes_are_made_together_or_not_at_all(kept: Kept, opened: Callable[[], Kept]) -> None:
    """Another process sees what was written; of changes that cannot all be made, none."""
    kept.write(put("a"), put("b"))
    assert opened().names() == ["a", "b"]
    with pytest.raises(DiskFull, match="no such table: nowhere"):
        kept.write(put("c"), ("insert into nowhere values (?)", [("d",)]))
    assert opened().names() == ["a", "b"]


def other_schema(file: Path) -> None:
    """Write a database of a later version."""
    connection = sqlite3.connect(file)
    connection.execute("pragma user_version = 99")
    connection.close()


def garbage(file: Path) -> None:
    """Write what is no database."""
    file.write_bytes(b"no database " * 1000)


UNUSABLE = pytest.mark.parametrize(
    ("spoil", "why"), [(garbage, "file is not a database"), (other_schema, "it has schema 99, this llorch uses 1")]
)


@UNUSABLE
@pytest.mark.parametrize("use", [Kept.names, lambda kept: kept.write(put("b"))])
def test_an_unusable_database_is_set_aside(
    kept: Kept,
    opened: Callable[[], Kept],
    spoil: Callable[[Path], None],
    why: str,
    use: Callable[[Kept], Any],
) -> None:
    """It is kept under another name with a warning that says why, and a new one takes its place."""
    kept.file.parent.mkdir()
    spoil(kept.file)
    old = kept.file.read_bytes()
    use(kept)
    assert f"({why}); it is kept as `state.db.unreadable`" in kept.lost[0]
    assert kept.file.with_name("state.db.unreadable").read_bytes() == old
    kept.write(put("a"))
    assert "a" in opened().names()
    assert len(kept.lost) == 1


@UNUSABLE
def test_an_unusable_database_that_cannot_be_moved_is_ignored(
    kept: Kept, spoil: Callable[[Path], None], why: str
) -> None:
    """In a folder that cannot be written, nothing is in it and writing says that it cannot."""
    folder = kept.file.parent
    folder.mkdir()
    (folder / ".gitignore").write_text("*\n")
    spoil(kept.file)
    folder.chmod(0o555)

    def use() -> None:
        assert kept.names() == []
        assert f"({why}); it cannot be set aside (Permission denied)" in kept.lost[0]
        with pytest.raises(DiskFull, match=r"cannot write the state"):
            kept.write(put("a"))

    as_mortal(use)
    folder.chmod(0o755)


def test_a_folder_without_room_for_a_database(kept: Kept, workspace: Path) -> None:
    """Where not even the folder can be made there are no records, and writing says why."""
    workspace.chmod(0o555)

    def use() -> None:
        assert kept.names() == []
        with pytest.raises(DiskFull, match="Permission denied") as caught:
            kept.write(put("a"))
        assert caught.value.hint is not None

    as_mortal(use)
    workspace.chmod(0o755)


def test_a_database_that_cannot_be_opened(kept: Kept) -> None:
    """What is there and cannot be read is an error that names it, not an empty database."""
    kept.file.mkdir(parents=True)
    with pytest.raises(DiskFull, match="cannot read the state"):
        kept.names()


def test_a_database_that_cannot_be_opened_as_usual_is_read_as_it_is(
    kept: Kept, opened: Callable[[], Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite cannot make its own files, as on a full disk, the records are read all the same."""
    kept.write(put("a"))
    kept.close()
    again = opened()

    def refuse() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(again, "_connect", refuse)
    assert again.names() == ["a"]


def test_it_may_be_deleted_at_any_time(kept: Kept, opened: Callable[[], Kept]) -> None:
    """An open database whose folder goes away has nothing to tell, and is written into a new one."""
    kept.write(put("a"))
    shutil.rmtree(kept.file.parent)
    assert kept.names() == []
    kept.write(put("b"))
    shutil.rmtree(kept.file.parent)
    kept.write(put("c"))
    assert opened().names() == ["c"]
    assert (kept.file.parent / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize(("times", "expected"), [(1, ["a"]), (4, ["a"]), (5, None)])
def test_it_may_be_deleted_while_it_is_written(
    kept: Kept,
    opened: Callable[[], Kept],
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    expected: list[str] | None,
) -> None:
    """A folder that is deleted between its making and its use is made again, a few times."""
    left = iter(range(times))

    def make_and_lose(folder: Path) -> None:
        make_folder(folder)
        if next(left, None) is not None:
            shutil.rmtree(folder)

    monkeypatch.setattr(database, "make_folder", make_and_lose)
    if expected is None:
        with pytest.raises(DiskFull, match="unable to open"):
            kept.write(put("a"))
    else:
        kept.write(put("a"))
        assert opened().names() == expected


def test_it_may_be_deleted_while_it_is_read(
    kept: Kept, opened: Callable[[], Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is deleted between a look at it and its opening holds nothing."""
    kept.write(put("a"))
    connect = Database._connect

    def late(kept: Kept) -> object:
        shutil.rmtree(kept.file.parent, ignore_errors=True)
        return connect(kept)

    monkeypatch.setattr(Database, "_connect", late)
    assert opened().names() == []


class Locked:
    """A connection that is locked out a few times, as when several switch a new file to WAL at once."""

    def __init__(self, real: sqlite3.Connection, times: int, code: int) -> None:
        self.real = real
        self.times = times
        self.code = code

    def execute(self, statement: str) -> sqlite3.Cursor:
        """Run a statement, unless it is locked out."""
        if "journal_mode" in statement and self.times:
            self.times -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.code
            raise error
        return self.real.execute(statement)


def test_runs_that_begin_a_database_at_once_wait_for_each_other() -> None:
    """Being locked out at the beginning is waited for; another error is not, and neither is one for ever."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as real:
        locked: Any = Locked(real, 3, sqlite3.SQLITE_BUSY_RECOVERY)
        database._set_up(locked, True)
        assert locked.times == 0
        assert locked.execute("select count(*) from tasks").fetchone() == (0,)
        locked = Locked(real, 1, sqlite3.SQLITE_CANTOPEN)
        with pytest.raises(sqlite3.OperationalError):
            database._set_up(locked, True)
