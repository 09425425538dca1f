"""What a store has on targets: of which inputs somebody has made them, and their sizes and digests.

Two objects, both small. `ac/<maker>` lists, compressed, the sets of names that inputs of a maker's records have, since
a store need not be able to list. Whoever looks for a target hashes what has these names here, which makes
`ac/<inputs>`, the record. Nothing of either is believed that is not well-formed, about what was asked for, and, in a
shared store, signed.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from llorch.cache.keys import SCHEMA, canonical, digest_of, inputs_key, is_digest, record_key
from llorch.cache.store import Store
from llorch.errors import Malformed, NotFound
from llorch.share import Inputs

LIMIT = 1 << 20
"""Bytes that a list may have."""
SETS = 16
"""Sets of names that are kept of one maker, the newest."""
LARGEST = 16 << 20
"""Bytes of a record or list that are read."""
MOST_NAMES = 100_000
_ATTEMPTS = 5


class Result(NamedTuple):
    """A file that was made; `path` is a portable name, `mode` what chmod takes."""

    path: str
    sha256: str
    size: int
    mode: int


class Names(NamedTuple):
    """The names of the inputs of a record; `by` is the digest of its maker's `exact`."""

    by: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A record: what somebody has made of what."""

    task: str
    maker: str
    by: str
    inputs: Inputs
    exact: Mapping[str, str]
    results: tuple[Result, ...]
    made_at: str

    @property
    def id(self) -> str:
        """The digest that it is found by."""
        return inputs_key(self.maker, self.by, self.inputs)

    def as_json(self) -> dict[str, Any]:
        """Return what is signed."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "key": self.maker,
            "by": self.by,
            "inputs": dict(self.inputs),
            "toolchain": dict(self.exact),
            "results": [result._asdict() for result in self.results],
            "made_at": self.made_at,
        }


class Seal(Protocol):
    """Signs what goes into a store, and tells whom what comes out of it is of."""

    def sign(self, payload: bytes) -> str:
        """Return a signature; empty where there is nothing to sign with."""
        ...

    def flaw(self, payload: bytes, signature: str) -> str:
        """Return why a signature does not make this to be believed, empty if it does."""
        ...


# What is written and read


def load_made(store: Store, seal: Seal, id: str) -> Made | None:
    """Return a record, None if there is none.

    Raises:
        Malformed: what is there is not to be believed.
    """
    raw = _read(store, record_key(id))
    if raw is None:
        return None
    key = f"{store.name}: {record_key(id)}"
    document = _parse(raw, key)
    made = _made_of(_signed(document, "record", seal, key), key)
    if made.id != id:
        raise Malformed(key, "it is of something else")
    return made


def save_made(store: Store, seal: Seal, made: Made, *, listed: bool) -> bool:
    """Put a record into a store; False if a good one was there already.

    One that is there and not to be believed is replaced: nobody could use it, and it would be in the way for ever.

    Args:
        listed: whoever looks for it does not know the names of its inputs, so they go into the list.
    """
    document = {"record": made.as_json()}
    raw = canonical({**document, "signature": seal.sign(canonical(document["record"]))})
    new = store.create(record_key(made.id), raw)
    if not new:
        try:
            load_made(store, seal, made.id)
        except Malformed:
            store.replace(record_key(made.id), raw)
            new = True
    if listed:
        _add_names(store, seal, made)
    return new


def load_names(store: Store, seal: Seal, maker: str) -> tuple[list[Names], Malformed | None]:
    """Return the sets of names that a maker's records have, the newest first, and what is wrong with others there.

    Raises:
        Malformed: what is there is no list.
    """
    entries, flaw = _load_list(store, seal, maker)
    return [names for names, _ in entries], flaw


def _add_names(store: Store, seal: Seal, made: Made) -> None:
    """Put a record's names into the list of its maker, where others may be doing the same."""
    names = Names(made.by, tuple(sorted(made.inputs)))
    payload = _names_payload(made.maker, names)
    for _ in range(_ATTEMPTS):
        try:
            there, _ = _load_list(store, seal, made.maker)
        except Malformed:
            there = []
        if any(names == each for each, _ in there):
            return
        store.replace(record_key(made.maker), _render_list([(names, seal.sign(payload)), *there][:SETS]))


def _render_list(entries: Sequence[tuple[Names, str]]) -> bytes:
    """Return a list of sets of names, without the oldest where they are too many for a small object."""
    sets = [{"by": each.by, "names": list(each.names), "signature": signature} for each, signature in entries]
    raw = zlib.compress(canonical({"schema": SCHEMA, "sets": sets}))
    return raw if len(raw) <= LIMIT or len(entries) == 1 else _render_list(entries[:-1])


def _load_list(store: Store, seal: Seal, maker: str) -> tuple[list[tuple[Names, str]], Malformed | None]:
    raw = _read(store, record_key(maker))
    if raw is None:
        return [], None
    key = f"{store.name}: {record_key(maker)}"
    try:
        raw = zlib.decompressobj().decompress(raw, LARGEST)
    except zlib.error:
        raise Malformed(key, "it is damaged") from None
    found, flaw = [], ""
    sets = _parse(raw, key).get("sets")
    for each in sets[:SETS] if isinstance(sets, list) else []:
        try:
            names = Names(each["by"], tuple(each["names"]))
            fit = is_digest(names.by) and all(isinstance(name, str) for name in names.names)
            wrong = seal.flaw(_names_payload(maker, names), str(each["signature"])) if fit else "it has no names"
        except (TypeError, KeyError):
            wrong = "it has no names"
        if not wrong and len(names.names) <= MOST_NAMES:
            found.append((names, str(each["signature"])))
        flaw = flaw or wrong
    return found, Malformed(key, flaw) if flaw else None


def _names_payload(maker: str, names: Names) -> bytes:
    return canonical({"schema": SCHEMA, "key": maker, "by": names.by, "names": list(names.names)})


def _read(store: Store, key: str) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    try:
        for part in store.read(key):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise Malformed(f"{store.name}: {key}", f"it has more than {LARGEST} bytes")
    except NotFound:
        return None
    return b"".join(parts)


def _parse(raw: bytes, key: str) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        raise Malformed(key, "it is no JSON") from None
    if not isinstance(document, dict):
        raise Malformed(key, "it is no JSON object")
    return document


def _signed(document: Mapping[str, Any], part: str, seal: Seal, key: str) -> Mapping[str, Any]:
    """Return a part of a document that is believed."""
    data = document.get(part)
    if not isinstance(data, dict):
        raise Malformed(key, f"it has no {part}")
    flaw = seal.flaw(canonical(data), str(document.get("signature", "")))
    if flaw:
        raise Malformed(key, flaw)
    return data


def _made_of(data: Mapping[str, Any], key: str) -> Made:
    try:
        if data["schema"] != SCHEMA:
            raise Malformed(key, "it is of another version of llorch")
        if not isinstance(data["results"], list):
            raise TypeError
        made = Made(
            task=data["task"],
            maker=data["key"],
            by=data["by"],
            inputs=data["inputs"],
            exact=data["toolchain"],
            results=tuple(Result(**result) for result in data["results"]),
            made_at=data["made_at"],
        )
        fit = _is_fit(made)
    except (TypeError, KeyError, AttributeError):
        fit = False
    if not fit:
        raise Malformed(key, "it has not the form of a record")
    return made


def _is_fit(made: Made) -> bool:
    texts: Iterable[object] = (made.task, made.maker, made.by, made.made_at, *made.exact, *made.exact.values())
    return (
        all(isinstance(text, str) for text in texts)
        and made.by == digest_of(dict(made.exact))
        and len(made.inputs) <= MOST_NAMES
        and all(isinstance(name, str) and (digest is None or is_digest(digest)) for name, digest in made.inputs.items())
        and all(
            isinstance(each.path, str) and is_digest(each.sha256) and type(each.size) is int and type(each.mode) is int
            for each in made.results
        )
    )
