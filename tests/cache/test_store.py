"""What every store does, on real servers: whole objects or none, one winner, errors in bounded time."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from llorch.cache import bucket
from llorch.cache import store as stores
from llorch.cache.store import CHUNK, Store
from llorch.errors import LlorchError, NotFound, Refused, Unreachable
from tests.cache.places import Place

KEY = "cas/sha256/ab/abcdef0123456789"
BIG = 12 * CHUNK + 7
"""Bytes of an object that goes in several parts."""


def read(store: Store, key: str = KEY) -> bytes:
    """Return an object."""
    return b"".join(store.read(key))


def keys(store: Store, prefix: str = "") -> list[str] | None:
    """Return the keys of a store, None if it cannot tell."""
    try:
        return sorted(item.key for item in store.items(prefix))
    except Refused:
        return None


def is_untouched(place: Place) -> bool:
    """Tell whether nothing of an object can be seen in a store."""
    store = place.open()
    with suppress(NotFound):
        read(store)
        return False
    return store.size(KEY) is None and keys(store) in ([], None)


def deeds(store: Store, key: str) -> list[Callable[[], object]]:
    """Return all that can be done with one key."""
    return [
        partial(store.size, key),
        partial(read, store, key),
        partial(store.create, key, b"x"),
        partial(store.replace, key, b"x"),
        partial(store.delete, key),
    ]


class Stop(Exception):
    """What ends an upload in the middle."""


@pytest.mark.parametrize("size", [0, 1, CHUNK, BIG])
@pytest.mark.parametrize("from_file", [False, True])
def test_what_was_created_is_read(place: Place, tmp_path: Path, size: int, from_file: bool) -> None:
    """Bytes and files of any size come back as they were, counted as they go."""
    data = os.urandom(size)
    file = tmp_path / "data"
    file.write_bytes(data)
    store = place.open()
    told: list[int] = []
    assert store.create(KEY, file if from_file else data, told.append)
    assert sum(told) == size
    assert store.size(KEY) == size
    assert read(store) == data
    assert read(place.open()) == data


def test_what_is_there_stays(place: Place) -> None:
    """A second object of the same key is not taken, and that is told."""
    store = place.open()
    assert store.create(KEY, b"the first")
    assert not store.create(KEY, b"the second")
    assert not place.open().create(KEY, b"the third" * CHUNK)
    assert read(store) == b"the first"


def test_what_is_not_there(place: Place) -> None:
    """A missing object has no size, cannot be read, and can be removed."""
    store = place.open()
    assert store.size(KEY) is None
    with pytest.raises(NotFound, match="does not have it"):
        read(store)
    store.delete(KEY)
    assert store.create("cas/other", b"so that the folder is there")
    assert store.size("cas/another") is None
    store.delete("cas/another")


def test_small_objects_are_replaced(place: Place) -> None:
    """`replace` makes an object, and takes the place of one."""
    store = place.open()
    store.replace("ac/record", b"one")
    store.replace("ac/record", b"the other")
    assert read(store, "ac/record") == b"the other"
    assert store.size("ac/record") == 9


def test_removed_objects_can_be_created_again(place: Place) -> None:
    """After `delete` a key is free."""
    store = place.open()
    store.create(KEY, b"wrong")
    store.delete(KEY)
    assert store.size(KEY) is None
    assert store.create(KEY, b"right")
    assert read(store) == b"right"


def test_items_tell_sizes_and_times(place: Place) -> None:
    """What is below a folder is listed with its bytes and when it was written; http cannot tell."""
    store = place.open()
    for number in range(3):
        store.create(f"ac/ab/{number}", b"x" * number)
    store.create("acx", b"not below ac")
    if place.url.startswith("http"):
        with pytest.raises(Refused, match="cannot be listed"):
            list(store.items())
        return
    found = {item.key: item for item in store.items("ac/")}
    assert {key: item.size for key, item in found.items()} == {"ac/ab/0": 0, "ac/ab/1": 1, "ac/ab/2": 2}
    now = Path(place.workspace.root).stat().st_mtime
    assert all(abs(item.modified - now) < 300 for item in found.values())
    assert keys(store, "ac") == sorted(found)
    assert keys(store) == [*sorted(found), "acx"]
    assert keys(store, "nowhere/") == []


def test_one_of_twenty_creates(place: Place) -> None:
    """Of several at once exactly one is told that it did, and what is there is one of theirs, whole."""
    data = [bytes([number]) * 100_000 for number in range(20)]
    opened = [place.open() for _ in range(4)]
    with ThreadPoolExecutor(20) as pool:
        did = list(pool.map(lambda number: opened[number % 4].create(KEY, data[number]), range(20)))
    assert did.count(True) == 1
    assert read(place.open()) == data[did.index(True)]
    assert keys(place.open()) in ([KEY], None)


def test_many_large_ones_of_one_content(place: Place) -> None:
    """Where several store the same large contents at once, it is there and whole."""
    data = os.urandom(BIG)
    store = place.open()
    with ThreadPoolExecutor(4) as pool:
        did = list(pool.map(lambda _: store.create(KEY, data), range(4)))
    assert any(did)
    assert read(store) == data


def test_many_readers_and_writers_of_one_store(place: Place) -> None:
    """One store serves several threads."""
    store = place.open()

    def work(number: int) -> bool:
        data = bytes([number]) * (number * 50_000)
        return store.create(f"cas/{number}", data) and read(store, f"cas/{number}") == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(24)))


def test_an_upload_that_stops_leaves_nothing(place: Place, tmp_path: Path) -> None:
    """When the source fails in the middle, its error comes through and no part of the object is to be seen."""
    file = tmp_path / "data"
    file.write_bytes(bytes(BIG))
    sent = 0

    def advance(size: int) -> None:
        nonlocal sent
        sent += size
        if sent > BIG / 2:
            raise Stop

    store = place.open()
    with pytest.raises(Stop):
        store.create(KEY, file, advance)
    assert is_untouched(place)
    assert store.create(KEY, b"small, and by the same store")


KILLED = """
import os, sys, signal
from pathlib import Path
from llorch.cache.store import open_store
from llorch.config import Workspace
sent = 0
def advance(size):
    global sent
    sent += size
    if sent > 6 << 20:
        os.kill(os.getpid(), signal.SIGKILL)
open_store(sys.argv[1], Workspace(sys.argv[2], True)).create(sys.argv[3], Path(sys.argv[4]), advance)
"""


def test_a_killed_upload_leaves_nothing(place: Place, tmp_path: Path) -> None:
    """After kill -9 in the middle nothing of the object is to be seen, and it can be stored."""
    file = tmp_path / "data"
    file.write_bytes(os.urandom(BIG))
    done = subprocess.run([sys.executable, "-c", KILLED, place.url, place.workspace.place, KEY, file], check=False)
    assert done.returncode == -9
    assert is_untouched(place)
    assert place.open().create(KEY, file)
    assert read(place.open()) == file.read_bytes()


def open_impatient(place: Place, timeout: float = 10.0, stall: float = 1.0) -> Store:
    """Open a store that waits for nothing very long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "STALL", stall)
        patch.setattr(bucket, "RETRIES_WITHIN", stall / 2)  # less than that, as it really is
        return place.open(timeout)


@pytest.mark.parametrize("cut", [True, False])
def test_an_upload_whose_line_fails(far: Place, tmp_path: Path, cut: bool) -> None:
    """A cut line, or one on which nothing moves any more, ends an upload in bounded time, and nothing is to be seen."""
    assert far.line is not None
    file = tmp_path / "data"
    file.write_bytes(os.urandom(BIG))
    store = open_impatient(far)
    assert store.size(KEY) is None  # so that a connection stands
    far.line.fail_after(BIG // 2, cut=cut)
    with pytest.raises(Unreachable):
        store.create(KEY, file)
    far.line.mend()
    assert is_untouched(far)
    assert far.open().create(KEY, file)


@pytest.mark.parametrize("cut", [True, False])
def test_a_download_whose_line_fails(far: Place, cut: bool) -> None:
    """What came is given, and then the error; never an end as if that were all."""
    assert far.line is not None
    data = os.urandom(BIG)
    far.open().create(KEY, data)
    store = open_impatient(far)
    assert store.size(KEY) == BIG
    far.line.fail_after(BIG // 2, cut=cut)
    came = bytearray()

    def take() -> None:
        for piece in store.read(KEY):
            came.extend(piece)

    with pytest.raises(Unreachable):
        take()
    assert data.startswith(came)
    assert len(came) < BIG


@pytest.mark.parametrize("cut", [True, False])
def test_a_store_out_of_reach(far: Place, cut: bool) -> None:
    """Every question to a server that is gone, or does not answer, ends in the same error, in bounded time."""
    assert far.line is not None
    far.line.fail_after(0, cut=cut)
    store = open_impatient(far, timeout=0.6, stall=0.3)  # nothing is to come in time
    for deed in deeds(store, KEY):
        with pytest.raises(Unreachable) as caught:
            deed()
        assert caught.value.hint


def test_a_store_that_comes_back(far: Place) -> None:
    """After a lost connection the same store goes on as soon as the server answers."""
    assert far.line is not None
    store = far.open()
    store.create(KEY, b"here")
    far.line.fail_after(0, cut=True)
    with pytest.raises(Unreachable):
        store.size("cas/other")
    far.line.mend()
    assert read(store) == b"here"


def test_keys_are_no_paths(place: Place) -> None:
    """What could lead out of a store, or cannot be a name everywhere, is refused before anything is done."""
    store = place.open()
    for key in ("../out", "a/../b", "/etc/passwd", "a//b", "a/", "", "A", "a b", ".hidden", "a/.b", "ä"):
        for deed in deeds(store, key):
            with pytest.raises(Refused, match="is no key"):
                deed()
        if key not in ("", "a/"):
            with pytest.raises(Refused):
                next(store.items(key))
        assert keys(store) in ([], None), key


def test_a_file_that_cannot_be_read(place: Place, tmp_path: Path) -> None:
    """It is no fault of the store, and nothing is stored."""
    store = place.open()
    with pytest.raises(LlorchError, match="cannot be read: No such file") as caught:
        store.create(KEY, tmp_path / "nowhere")
    assert not isinstance(caught.value, NotFound | Unreachable)
    assert is_untouched(place)


STREAM = """
import hashlib, resource, sys
from pathlib import Path
from llorch.cache.store import open_store
from llorch.config import Workspace
store = open_store(sys.argv[1], Workspace(sys.argv[2], True))
store.create("cas/small", b"x" * (16 << 20))
for piece in store.read("cas/small"):
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert store.create("cas/large", Path(sys.argv[3]))
digest = hashlib.sha256()
for piece in store.read("cas/large"):
    digest.update(piece)
print(digest.hexdigest(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_large_objects_take_little_memory(place: Place, tmp_path: Path) -> None:
    """100 MB up and down grow the process by less than a third of that; a small object has been moved before."""
    from llorch.state import sha256_of

    file = tmp_path / "large"
    with file.open("wb") as opened:
        for _ in range(100):
            opened.write(os.urandom(1_000_000))
    # A process begins with the peak of the one that it is forked from: here that of a small shell, not of the tests.
    command = ["sh", "-c", '"$@"; exit', "sh", sys.executable, "-c", STREAM, place.url, place.workspace.place]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=True)
    digest, grown = done.stdout.split()
    assert digest == sha256_of(file)
    assert int(grown) < 30_000  # ru_maxrss is in KiB


def test_opening_asks_nothing_of_a_server(far: Place) -> None:
    """A store on the network is opened without a connection."""
    assert far.line is not None
    far.open()
    assert far.line.passed == 0


def test_names_have_no_secrets(place: Place) -> None:
    """A store on the network is shared, and called by its URL."""
    store = place.open()
    assert store.shared
    assert store.name == place.url
