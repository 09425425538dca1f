"""`llorch cache status` and `gc`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cache.conftest import TASK, Lab, Shared
from tests.conftest import Run, sha256, write_catalog
from tests.rust import needs_cargo

Llorch = Callable[..., Run]


@pytest.fixture
def models(workspace: Path, llorch: Llorch) -> Path:
    """A workspace with three models, of which one is in the own store and one only on disk."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data", "b.gguf": b"more"}, "disk": {"c": b"c"}, "none": {"d": b"d"}})
    assert llorch("models", "download", "tiny", "disk").code == 0
    assert llorch("cache", "push", "fetch:tiny").code == 0
    return workspace


def test_which_store_has_what(models: Path, llorch: Llorch, shared: Shared) -> None:
    """Both stores with what they are used for; each task as it is here and there; what is nowhere is counted."""
    (models / "llorch.toml").write_text(f'[cache]\nurl = "file:{shared.folder}"\nlocal_limit = "1MB"\n')
    blob = shared.folder / f"cas/sha256/{sha256(b'data')[:2]}/{sha256(b'data')}"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"data")
    document = llorch("cache", "status", "--json").json
    own, other = document["stores"]
    assert (own["kind"], own["state"], own["size"], own["limit"]) == ("own", "read, write", 8, 1_000_000)
    assert (other["kind"], other["name"], other["state"]) == ("shared", f"file:{shared.folder}", "read")
    held = {row["name"]: (row["state"], row["own"], row["shared"]) for row in document["tasks"]}
    assert held == {
        "fetch:tiny": ("up-to-date", "there", "partly"),
        "fetch:disk": ("up-to-date", "missing", "missing"),
        "fetch:none": ("out-of-date", "missing", "missing"),
    }
    done = llorch("cache", "status")
    assert "fetch:tiny\tup-to-date\tthere\tpartly\n" in done.out
    assert "fetch:none" not in done.out
    assert done.err == "1 more are neither here nor in a store\n"
    assert "fetch:none\tout-of-date\tmissing\tmissing\n" in llorch("cache", "status", "fetch:none").out


@pytest.mark.parametrize(
    ("text", "states", "held"),
    [
        ("", ["read, write", "off"], ("there", "unknown")),
        ('local_limit = "0"', ["off", "off"], ("unknown", "unknown")),
        ('url = "file:/no/such"', ["read, write", "unusable"], ("there", "unknown")),
        ('url = "file:/no/such"\nread = false', ["read, write", "not used"], ("there", "unknown")),
    ],
)
def test_stores_that_are_not_used(
    models: Path, llorch: Llorch, text: str, states: list[str], held: tuple[str, str]
) -> None:
    """One that is off, or cannot be used, is told as such, and nobody knows what it has."""
    (models / "llorch.toml").write_text(f"[cache]\n{text}\n")
    done = llorch("cache", "status", "fetch:tiny", "--json")
    assert [store["state"] for store in done.json["stores"]] == states
    (row,) = done.json["tasks"]
    assert (row["own"], row["shared"]) == held
    assert ("cannot be used" in done.err) is ("unusable" in states)


@needs_cargo
def test_a_binarys_state(built: Lab) -> None:
    """Of what is here now, built or not; and why nobody knows, where there is no toolchain."""
    first = built.checkout("first")
    (row,) = first.llorch("cache", "status", TASK, "--json", cargo=False).json["tasks"]
    assert (row["state"], row["own"], row["reason"]) == ("out-of-date", "there", "")
    first.edit("lib/src/lib.rs", "lib1", "lib2")
    assert first.llorch("cache", "status", TASK, "--json").json["tasks"][0]["own"] == "missing"
    (first.root / "rust-toolchain.toml").unlink()
    done = first.llorch("cache", "status", TASK, cargo=False)
    assert "build:app\tout-of-date\tunknown\t\n" in done.out
    assert "build:app: there is no Rust here" in done.err


def test_eviction(models: Path, llorch: Llorch) -> None:
    """What is over the limit goes; what the workspace names goes last, and that is told; a dry run only tells."""
    store = Path.home() / ".cache/llorch/store"
    other = store / f"cas/sha256/00/{'0' * 64}"
    other.parent.mkdir()
    other.write_bytes(b"x" * 1000)
    (models / "llorch.toml").write_text('[cache]\nlocal_limit = "8B"\n')
    document = llorch("cache", "gc", "--dry-run", "--json").json
    assert document == {
        "schema": 1,
        "dry_run": True,
        "removed": [{"key": f"cas/sha256/00/{'0' * 64}", "size": 1000}],
        "named": 0,
        "left_over": 0,
        "size": 8,
        "limit": 8,
    }
    assert other.exists()
    done = llorch("cache", "gc")
    assert (done.out, done.err, other.exists()) == ("removed 1 objects, 1.0 kB; 8 B stay\n", "", False)
    (models / "llorch.toml").write_text('[cache]\nlocal_limit = "4B"\n')
    done = llorch("cache", "gc")
    assert done.out == "removed 1 objects, 4 B; 4 B stay\n"
    assert done.err == "1 of them are still named by this workspace: the limit could not be met otherwise\n"
    (models / "llorch.toml").write_text('[cache]\nlocal_limit = "0"\n')
    assert llorch("cache", "gc").out == "removed 1 objects, 4 B; 0 B stay\n"
    done = llorch("cache", "gc", env={"LLORCH_CACHE_DIR": str(models / "no such store")})
    assert (done.out, (models / "no such store").exists()) == ("removed 0 objects, 0 B; 0 B stay\n", False)


def test_what_only_the_catalog_names_is_kept(models: Path, llorch: Llorch) -> None:
    """Of two files the one that no model of the workspace has goes, though it was used last."""
    store = Path.home() / ".cache/llorch/store"
    other = store / f"cas/sha256/00/{'0' * 64}"
    other.parent.mkdir()
    other.write_bytes(b"0123")
    import shutil

    shutil.rmtree(models / ".llorch")
    (models / "llorch.toml").write_text('[cache]\nlocal_limit = "8B"\n')
    llorch("cache", "gc")
    assert {path.name for path in (store / "cas").rglob("?" * 64)} == {sha256(b"data"), sha256(b"more")}
