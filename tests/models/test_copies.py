"""Copies of models: which are worth copying, where they are elsewhere, and how a file lands."""

from typing import Any

import pytest

from llorch.errors import IntegrityError, LlorchError, NotFound, Refused, UnknownName
from llorch.models.catalog import Convert, Entry, File, Model
from llorch.models.copies import Copy, Elsewhere, find_elsewhere, land, promised, whole
from llorch.models.receipt import Made, Receipt, origin_of
from llorch.models.verify import write_receipt
from tests.conftest import sha256
from tests.models.conftest import DATA, Bench, tiny

COPY = Copy("a.gguf", len(DATA), sha256(DATA))
BASE = ".test-models"
CONVERTED = Model("c", Entry(files=(File(path="a"),), source="file:src", convert=Convert(to="c.gguf")), f"{BASE}/c")


def document(model: Model, **more: Any) -> dict[str, Any]:
    """Return what another machine's llorch says of the model, in a folder of its own."""
    source, repo, revision = origin_of(model)
    files = [{"path": "/far/deep/tiny/a.gguf", "sha256": sha256(DATA), "state": "ok"}]
    entry = {"id": model.id, "source": source, "repo": repo, "revision": revision, "folder": "/far/deep/tiny"}
    return {"folder": "/far/deep", "models": [{**entry, "files": files, **more}]}


def test_only_what_is_whole_and_verified_is_copied(bench: Bench) -> None:
    """A model that is missing, unverified or without a usable receipt is refused, with the way to have it."""
    model = tiny()
    with pytest.raises(Refused, match="`tiny` is not on disk") as caught:
        whole(model, bench.workspace, bench.state)
    assert caught.value.hint == "`llorch models download tiny` has it so"
    bench.fetch(model)
    with pytest.raises(Refused, match="not whole and verified here: unverified"):
        whole(model, bench.workspace, bench.state)
    bench.put(f"{model.receipt}", b"{}")
    with pytest.raises(Refused, match="not whole and verified"):
        whole(model, bench.workspace, bench.state)
    write_receipt(model, bench.workspace, bench.state.digest)
    assert whole(model, bench.workspace, bench.state) == [COPY]


def test_where_it_is_elsewhere() -> None:
    """Without a llorch, or one that declares the model, it is where it would be here; else where that has it."""
    model = tiny()
    assert find_elsewhere(model, BASE, None, "box") == Elsewhere("tiny", None)
    assert find_elsewhere(model, BASE, {"folder": "m", "models": []}, "box") == Elsewhere("tiny", None)
    found = find_elsewhere(model, BASE, document(model), "box")
    assert found == Elsewhere("tiny", {"a.gguf": sha256(DATA)})
    unread = [{"path": "/far/deep/tiny/a.gguf", "sha256": None, "state": "missing"}]
    assert find_elsewhere(model, BASE, document(model, files=unread), "box").vouched == {}


@pytest.mark.parametrize(
    "more",
    [
        {"folder": "/far/deep"},
        {"folder": "/etc"},
        {"folder": "/far/deep/../x"},
        {"folder": 3},
        {"files": None},
        {"files": [{}]},
        {"repo": None, "files": [3]},
    ],
)
def test_what_is_said_elsewhere_is_checked(more: dict[str, Any]) -> None:
    """A folder outside the model folder and a document of another shape are refused."""
    with pytest.raises(LlorchError, match="what the llorch of `box` says cannot be used"):
        find_elsewhere(tiny(), BASE, document(tiny(), **more), "box")


@pytest.mark.parametrize("more", [{"source": "hf"}, {"revision": "other"}, {"files": []}])
def test_another_model_of_the_same_name_is_refused(more: dict[str, Any]) -> None:
    """A model of another origin or other files is never written over one."""
    with pytest.raises(Refused, match="`tiny` is another model in the catalog of `box`"):
        find_elsewhere(tiny(), BASE, document(tiny(), **more), "box")


def receipt(model: Model, files: dict[str, str], made: dict[str, Made] | None = None) -> Receipt:
    """Return a receipt from another machine."""
    return Receipt(origin=origin_of(model), files=files, commit="", verified_at={}, made=made or {})


def test_what_comes_has_to_be_vouched_for(bench: Bench) -> None:
    """The catalog's sha256 counts first; else the other machine's receipt, of the same origin; else nothing comes."""
    pinned, free, wrong = tiny(), tiny(pinned=False), "0" * 64
    sizes = {"a.gguf": len(DATA)}
    assert promised(pinned, bench.workspace, receipt(pinned, {"a.gguf": wrong}), sizes, "box") == [COPY]
    assert promised(free, bench.workspace, receipt(free, {"a.gguf": COPY.sha256}), sizes, "box") == [COPY]
    other = Receipt(origin=("hf", "x", "y"), files={"a.gguf": COPY.sha256}, commit="", verified_at={})
    for said in (None, other, receipt(free, {})):
        with pytest.raises(NotFound, match=r"no receipt of `tiny` that vouches for `a\.gguf`"):
            promised(free, bench.workspace, said, sizes, "box")
    with pytest.raises(NotFound, match=r"`box` has no `a\.gguf` of `tiny`"):
        promised(pinned, bench.workspace, None, {"a.gguf": -1}, "box")


def test_what_was_made_is_vouched_for_too(bench: Bench) -> None:
    """A converted file has the sha256 of the receipt's `made`."""
    made = Made(path="c.gguf", size=3, sha256="1" * 64, task="", tool="", version="", options={}, sources={})
    said = receipt(CONVERTED, {"a": "2" * 64}, {"c.gguf": made})
    sizes = {"source/a": 5, "c.gguf": 3}
    expected = [Copy("source/a", 5, "2" * 64), Copy("c.gguf", 3, "1" * 64)]
    assert promised(CONVERTED, bench.workspace, said, sizes, "box") == expected
    with pytest.raises(NotFound, match=r"vouches for `c\.gguf`"):
        promised(CONVERTED, bench.workspace, receipt(CONVERTED, {"a": "2" * 64}), sizes, "box")


def test_a_whole_part_lands(bench: Bench) -> None:
    """A part that is whole and right gets its name, and the state knows its digest; so does a file that has it."""
    place = bench.put(".test-models/tiny/a.gguf.part", DATA)
    land(tiny(), COPY, bench.workspace, bench.state)
    assert bench.files() == {"tiny/a.gguf": DATA}
    assert not place.exists()
    land(tiny(), COPY, bench.workspace, bench.state)
    assert bench.files() == {"tiny/a.gguf": DATA}


def test_what_is_not_right_does_not_land(bench: Bench) -> None:
    """Wrong bytes, other promises than the catalog's, and files that the model does not have are refused."""
    bench.put(".test-models/tiny/a.gguf.part", b"x" * len(DATA))
    with pytest.raises(IntegrityError):
        land(tiny(), COPY, bench.workspace, bench.state)
    with pytest.raises(IntegrityError, match="as the catalog says"):
        land(tiny(), COPY._replace(sha256="0" * 64), bench.workspace, bench.state)
    for name in ("b.gguf", "../tiny/a.gguf", "receipt.json", "/etc/passwd"):
        with pytest.raises(UnknownName):
            land(tiny(), COPY._replace(name=name), bench.workspace, bench.state)
    assert bench.files() == {}
