"""Records: what is written is read again, and nothing else is believed."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from llorch.cache import records
from llorch.cache.keys import canonical, digest_of, record_key
from llorch.cache.local import LocalStore
from llorch.cache.records import LIMIT, SETS, Made, Names, Result, load_made, load_names, save_made
from llorch.cache.shelf import Own
from llorch.errors import Malformed
from tests.conftest import sha256

EXACT = {"release": "1.95.0"}
MADE = Made(
    task="build:app",
    maker="a" * 64,
    by=digest_of(EXACT),
    inputs={"src/main.rs": sha256(b"main"), "build.rs": None},
    exact=EXACT,
    results=(Result("target/release/app", sha256(b"app"), 3, 0o755),),
    made_at="2026-11-25T12:00:00Z",
)


class Key:
    """A seal whose signatures are digests with a secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, payload: bytes) -> str:
        """Sign."""
        return sha256(self._secret + payload)

    def flaw(self, payload: bytes, signature: str) -> str:
        """Compare."""
        return "" if signature == self.sign(payload) else "no trusted key has signed it"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def test_a_record_is_found_again(store: LocalStore) -> None:
    """By its inputs' digest; its names are in the list of its maker, once, however often it is saved."""
    seal = Key(b"secret")
    assert load_made(store, seal, MADE.id) is None
    assert load_names(store, seal, MADE.maker) == ([], None)
    assert [save_made(store, seal, MADE, listed=True) for _ in range(2)] == [True, False]
    assert load_made(store, seal, MADE.id) == MADE
    assert load_names(store, seal, MADE.maker) == ([Names(MADE.by, ("build.rs", "src/main.rs"))], None)


def test_what_needs_no_list_has_none(store: LocalStore) -> None:
    """A record whose inputs everybody knows is the only object."""
    save_made(store, Own(), MADE, listed=False)
    assert [item.key for item in store.items()] == [record_key(MADE.id)]


@pytest.mark.parametrize("signature", ["", "forged", None])
def test_a_stranger_is_not_believed(store: LocalStore, signature: str | None) -> None:
    """A record and a list that are signed otherwise are refused by name; whoever may put them right does so."""
    save_made(store, Key(b"other"), MADE, listed=True)
    seal = Key(b"secret")
    if signature is not None:
        store.replace(record_key(MADE.id), canonical({"record": MADE.as_json(), "signature": signature}))
    with pytest.raises(Malformed, match="no trusted key has signed it") as caught:
        load_made(store, seal, MADE.id)
    assert caught.value.path == f"{store.name}: {record_key(MADE.id)}"
    names, flaw = load_names(store, seal, MADE.maker)
    assert (names, flaw and flaw.reason) == ([], "no trusted key has signed it")
    assert save_made(store, seal, MADE, listed=True)
    assert load_made(store, seal, MADE.id) == MADE
    assert load_names(store, seal, MADE.maker)[0] == [Names(MADE.by, ("build.rs", "src/main.rs"))]


def change(document: dict[str, Any], path: str, value: Any) -> None:
    """Set a value deep in a document."""
    *above, last = path.split(".")
    at: Any = document
    for key in above:
        at = at[int(key) if key.isdigit() else key]
    if value is KeyError:
        del at[last]
    else:
        at[int(last) if last.isdigit() else last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 2), ("schema", KeyError), ("task", 1), ("task", KeyError), ("key", 5), ("by", "b" * 64),
        ("inputs", []), ("inputs", {"a": "no digest"}), ("inputs", {"a": 1}), ("toolchain", {"release": 1}),
        ("toolchain", None),
        ("results", {}), ("results", [1]), ("results.0.path", 1), ("results.0.sha256", "x"), ("results.0.size", "1"),
        ("results.0.size", True), ("results.0.mode", None), ("results.0.more", 1), ("results.0.mode", KeyError),
        ("made_at", None), ("inputs", {"build.rs": None}), ("key", "b" * 64),
    ],
)  # fmt: skip
def test_what_has_another_form_is_refused(store: LocalStore, path: str, value: Any) -> None:
    """Whoever has signed it: a record is of this form, and of the inputs that it was asked for by."""
    document = MADE.as_json()
    change(document, path, value)
    store.replace(
        record_key(MADE.id), canonical({"record": document, "signature": Key(b"s").sign(canonical(document))})
    )
    with pytest.raises(Malformed):
        load_made(store, Key(b"s"), MADE.id)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"record": 1}', b"\xff", b"[" * 100_000, b'{"record": {}}'])
def test_what_is_no_record_is_refused(store: LocalStore, raw: bytes) -> None:
    """Bytes of any kind are told by the name of the object."""
    store.replace(record_key(MADE.id), raw)
    with pytest.raises(Malformed) as caught:
        load_made(store, Own(), MADE.id)
    assert record_key(MADE.id) in caught.value.path


@pytest.mark.parametrize(
    "sets",
    [None, {}, [1], [{}], [{"by": "x", "names": [], "signature": ""}], [{"by": "a" * 64, "names": 1, "signature": ""}],
     [{"by": "a" * 64, "names": [1], "signature": ""}], [{"by": "a" * 64, "names": []}]],
)  # fmt: skip
def test_what_is_no_list_has_no_names(store: LocalStore, sets: Any) -> None:
    """Nothing of it is taken, and whoever saves a record makes it right."""
    store.replace(record_key(MADE.maker), zlib.compress(canonical({"sets": sets})))
    assert load_names(store, Own(), MADE.maker)[0] == []
    save_made(store, Own(), MADE, listed=True)
    assert len(load_names(store, Own(), MADE.maker)[0]) == 1


def test_what_is_too_large_is_not_read(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an object nor what a small one would become."""
    monkeypatch.setattr(records, "LARGEST", 1000)
    store.replace(record_key(MADE.id), b" " * 1001)
    with pytest.raises(Malformed, match="more than 1000 bytes"):
        load_made(store, Own(), MADE.id)
    store.replace(record_key(MADE.maker), zlib.compress(b" " * 100_000))
    with pytest.raises(Malformed):
        load_names(store, Own(), MADE.maker)


def made_of(*names: str) -> Made:
    """Return a record of inputs of these names."""
    return Made(**{**{key: getattr(MADE, key) for key in MADE.__slots__}, "inputs": dict.fromkeys(names)})


def test_a_list_has_the_newest(store: LocalStore) -> None:
    """The oldest sets of names go, when there are too many or they are too large for a small object."""
    for number in range(SETS + 3):
        save_made(store, Own(), made_of(f"{number}"), listed=True)
    found, _ = load_names(store, Own(), MADE.maker)
    assert [each.names[0] for each in found] == [str(number) for number in range(SETS + 2, 2, -1)]
    many = made_of(*(sha256(str(number).encode()) for number in range(20_000)))
    save_made(store, Own(), many, listed=True)
    found, _ = load_names(store, Own(), MADE.maker)
    assert len(found[0].names) == 20_000
    assert (store.size(record_key(MADE.maker)) or 0) < 2 * LIMIT


def test_a_list_that_others_write_too(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that another writer has overwritten are written once more."""
    replace = LocalStore.replace

    def lose_it(store: LocalStore, key: str, data: bytes) -> None:
        monkeypatch.setattr(LocalStore, "replace", replace)
        save_made(store, Own(), made_of("other"), listed=True)

    monkeypatch.setattr(LocalStore, "replace", lose_it)
    save_made(store, Own(), MADE, listed=True)
    assert len(load_names(store, Own(), MADE.maker)[0]) == 2


def test_a_record_is_text(store: LocalStore) -> None:
    """It can be read by people, and has what the documentation says."""
    save_made(store, Key(b"s"), MADE, listed=True)
    document = json.loads(b"".join(store.read(record_key(MADE.id))))
    assert document["record"] == {
        "schema": 1,
        "task": "build:app",
        "key": "a" * 64,
        "by": MADE.by,
        "inputs": {"src/main.rs": sha256(b"main"), "build.rs": None},
        "toolchain": {"release": "1.95.0"},
        "results": [{"path": "target/release/app", "sha256": sha256(b"app"), "size": 3, "mode": 0o755}],
        "made_at": "2026-11-25T12:00:00Z",
    }
