"""The same promises on every kind of store: never a wrong target, never a failed build."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llorch.cache.keys import blob_key, record_key
from llorch.cache.records import load_made, load_names, save_made
from llorch.cache.shelf import Signed
from tests.cache.conftest import TARGET, Checkout, Lab, Shared
from tests.cache.places import Place
from tests.cache.test_records import MADE
from tests.cache.test_signing import public
from tests.conftest import BIN, sha256
from tests.rust import needs_cargo


def checkout(lab: Lab, name: str, place: Place, shared: Shared, **settings: Any) -> Checkout:
    """Return a checkout on a machine of its own that uses the store, with the hosts that lead to it."""
    found = lab.checkout(name, own=True)
    found.set(**{**shared.settings, "url": place.url, **settings})
    hosts = place.workspace.root / "hosts.toml"
    if hosts.exists():
        found.write("hosts.toml", hosts.read_text())
    return found


@needs_cargo
def test_a_binary_there_and_back(lab: Lab, place: Place, shared: Shared) -> None:
    """It is published and restored; what is wrong or forged is refused, built, and put right by who may."""
    first = checkout(lab, "first", place, shared)
    assert first.build() == "done"
    data = (first.root / TARGET).read_bytes()
    second = checkout(lab, "second", place, shared, write=False)
    assert second.build(cargo=False) == "restored"
    assert (second.root / TARGET).read_bytes() == data

    store, key = place.open(), blob_key(sha256(data))
    for number, wrong in enumerate((data[:-1], data[:-1] + bytes([data[-1] ^ 1]))):
        store.delete(key)
        store.create(key, wrong)
        third = checkout(lab, f"third {number}", place, shared)
        done = third.llorch("build", "app")
        assert (done.code, third.says()) == (0, "app1 lib1 false data1"), done.err
        assert f"{key}` is refused: " in done.err
        assert b"".join(store.read(key)) == data

    why = second.llorch("why", "build:app", "--json", cargo=False).json
    id = why["restored"][0]["record"]
    raw = b"".join(store.read(record_key(id)))
    store.replace(record_key(id), raw.replace(sha256(data).encode(), sha256(b"evil").encode()))
    store.create(blob_key(sha256(b"evil")), b"evil")
    fourth = checkout(lab, "fourth", place, shared, write=False)
    done = fourth.llorch("build", "app")
    assert (done.code, fourth.says()) == (0, "app1 lib1 false data1"), done.err
    assert f"{record_key(id)}` is refused: no trusted key has signed it" in done.err
    assert b"".join(store.read(record_key(id))) != raw
    (first.root / TARGET).unlink()
    assert first.build("--no-cache") == "done"
    assert first.llorch("cache", "push", "build:app", "--json").json["tasks"][0]["outcome"] == "pushed"
    assert b"".join(store.read(blob_key(sha256(data)))) == data
    assert checkout(lab, "fifth", place, shared, write=False).build(cargo=False) == "restored"


@needs_cargo
@pytest.mark.parametrize("count", [0, 200_000])
def test_a_line_that_is_cut(lab: Lab, far: Place, published: Shared, count: int) -> None:
    """A store that goes away before or while a binary comes is told once, and the binary is built."""
    assert far.line is not None
    store = far.open()
    for path in published.folder.rglob("*"):
        if path.is_file():
            assert store.create(str(path.relative_to(published.folder)), path)
    second = checkout(lab, "second", far, published)
    far.line.fail_after(count, cut=True)
    done = second.llorch("build", "app")
    assert (done.code, second.says()) == (0, "app1 lib1 false data1"), done.err
    assert "build:app  done" in done.err
    assert done.err.count("and this run goes on without: ") == 1
    assert not list((second.root / "target/release").glob("*.part"))
    far.line.mend()
    (second.root / TARGET).unlink()
    (second.root / ".llorch").rename(lab.folder / "its records")
    shutil.rmtree(Path(second.environ["HOME"]))
    assert second.build(cargo=False) == "restored"


@needs_cargo
def test_a_run_that_is_killed(lab: Lab, http_place: Place, shared: Shared) -> None:
    """Whatever kill -9 leaves of a run that restores, the next has the right binary, and nothing half made is left."""
    assert http_place.line is not None
    first = checkout(lab, "first", http_place, shared)
    assert first.build() == "done"
    second = checkout(lab, "second", http_place, shared)
    http_place.line.fail_after(150_000, cut=False)  # in the midst of the binary
    env = {**os.environ, **second.environ, "PATH": lab.tools}
    command = [str(BIN / "llorch"), "build", "app"]
    with subprocess.Popen(command, cwd=second.root, env=env, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert any(f"{TARGET} from {http_place.url}" in line for line in run.stderr)
        run.kill()
    assert not (second.root / TARGET).exists()
    http_place.line.mend()
    assert second.build() == "restored"
    assert (second.root / TARGET).read_bytes() == (first.root / TARGET).read_bytes()
    assert [path.name for path in (second.root / "target/release").iterdir()] == ["app"]


def test_many_writers_of_the_same(place: Place, shared: Shared) -> None:
    """Of twenty that write one record and its list at once, none fails, and what is there then is right."""

    def write(number: int) -> bool:
        seal = Signed(f"file:{shared.key}", [public(shared.key)])
        return save_made(place.open(), seal, MADE, listed=True)

    with ThreadPoolExecutor(20) as pool:
        written = list(pool.map(write, range(20)))
    assert any(written)
    seal = Signed("", [public(shared.key)])
    assert load_made(place.open(), seal, MADE.id) == MADE
    names, flaw = load_names(place.open(), seal, MADE.maker)
    assert ([each.by for each in names], flaw) == ([MADE.by], None)


def test_a_model_there_and_back(place: Place, tmp_path: Path, shared: Shared) -> None:
    """A file is created whole under its digest, once, and is the same when it is read."""
    data = b"x" * 3_000_000
    file = tmp_path / "model"
    file.write_bytes(data)
    key = blob_key(sha256(data))
    assert [place.open().create(key, file) for _ in range(2)] == [True, False]
    assert sha256(b"".join(place.open().read(key))) == sha256(data)
