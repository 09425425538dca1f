"""Eviction: what was used longest ago first, what the workspace names last, and nothing that is in use."""

import os
from pathlib import Path

import pytest

from llorch.cache.gc import Swept, sweep, trim
from llorch.cache.keys import blob_key, record_key
from llorch.cache.local import ABANDONED, LocalStore
from llorch.cache.records import Made, Result, save_made
from llorch.cache.shelf import Own
from tests.cache.test_records import MADE
from tests.conftest import sha256

SIZE = 1000


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with four files, `a` to `d`, used in that order."""
    found = LocalStore(tmp_path / "store")
    for age, name in enumerate("abcd", 1):
        found.create(key(name), put(tmp_path / name, name))
        os.utime(tmp_path / "store" / key(name), (age, age))
    return found


def put(path: Path, name: str) -> Path:
    """Write the file of a name."""
    path.write_bytes(name.encode() * SIZE)
    return path


def digest(name: str) -> str:
    """Return the digest of the file of a name."""
    return sha256(name.encode() * SIZE)


def key(name: str) -> str:
    """Return the key of the file of a name."""
    return blob_key(digest(name))


def left(store: LocalStore) -> str:
    """Return the names of the files that are left."""
    return "".join(name for name in "abcd" if store.size(key(name)) is not None)


@pytest.mark.parametrize(
    ("limit", "names", "stay", "named"),
    [
        (4000, "", "abcd", 0),
        (3999, "", "bcd", 0),
        (2000, "", "cd", 0),
        (2000, "a", "ad", 0),
        (2000, "ab", "ab", 0),
        (1000, "ab", "b", 1),
        (0, "ab", "", 2),
    ],
)
def test_what_goes_first(store: LocalStore, limit: int, names: str, stay: str, named: int) -> None:
    """The longest unused goes; what is named goes only where the limit cannot be met otherwise, and that is told."""
    kept = {digest(name) for name in names}
    dry = sweep(store, limit, kept, dry=True)
    assert left(store) == "abcd"
    swept = sweep(store, limit, kept)
    assert swept == dry
    assert (left(store), swept.named, swept.size) == (stay, named, len(stay) * SIZE)
    assert {item.key for item in swept.removed} == {key(name) for name in set("abcd") - set(stay)}


def test_using_makes_it_younger(store: LocalStore) -> None:
    """What was used a moment ago goes after what was not."""
    store.touch(key("a"))
    sweep(store, 1000, ())
    assert left(store) == "a"


def test_what_is_in_use_stays(store: LocalStore) -> None:
    """A file that is being restored is not removed, whatever the limit."""
    with store.lend(key("b")):
        swept = sweep(store, 0, ())
        assert (left(store), swept.size) == ("b", SIZE)
    sweep(store, 0, ())
    assert left(store) == ""


def test_records_go_with_their_files(store: LocalStore, tmp_path: Path) -> None:
    """A record whose file is gone goes too, and the list of names of which no record is left."""
    records = {}
    for name, maker in (("a", "1" * 64), ("c", "1" * 64), ("b", "2" * 64)):
        fields = {slot: getattr(MADE, slot) for slot in MADE.__slots__}
        fields |= {"maker": maker, "inputs": {name: None}, "results": (Result(name, digest(name), SIZE, 0o755),)}
        records[name] = Made(**fields)
        save_made(store, Own(), records[name], listed=True)
    store.create(record_key("3" * 64), b"neither a record nor a list")
    size = sum(item.size for item in store.items())
    swept = sweep(store, size - 2 * SIZE, ())
    assert left(store) == "cd"
    stay = {record_key(records["c"].id), record_key("1" * 64), key("c"), key("d")}
    assert {item.key for item in store.items()} == stay
    assert swept.size == sum(item.size for item in store.items())
    assert sweep(store, size, ()) == Swept(size=swept.size)


def test_what_killed_writers_left_goes(store: LocalStore, tmp_path: Path) -> None:
    """Whatever the limit; a dry run only tells of it."""
    half = tmp_path / "store/.tmp/half"
    half.write_bytes(b"half")
    os.utime(half, (1, 1))
    assert ABANDONED > 0
    assert (sweep(store, 10**9, (), dry=True).left_over, half.exists()) == (4, True)
    assert (sweep(store, 10**9, ()).left_over, half.exists()) == (4, False)


def test_trimming_looks_first(store: LocalStore) -> None:
    """Within the limit nothing is done, not even to records without files."""
    store.create(record_key("3" * 64), b"useless")
    trim(store, 10**9, ())
    assert store.size(record_key("3" * 64)) == 7
    trim(store, 2500, ())
    assert (left(store), store.size(record_key("3" * 64))) == ("cd", None)
