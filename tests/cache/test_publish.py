"""Publishing: what was made here goes into stores by itself, whole and right or not at all; models likewise."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llorch import landing
from tests.cache.conftest import TARGET, TASK, Checkout, Lab, Shared
from tests.conftest import Run, sha256, write_catalog
from tests.hub import Hub
from tests.rust import needs_cargo

Llorch = Callable[..., Run]
DATA = b"GGUF" + b"x" * 200_000


def objects(folder: Path) -> set[str]:
    """Return the keys of what is in a store's folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".tmp" not in path.parts}


# Binaries


@needs_cargo
def test_what_goes_where(lab: Lab, shared: Shared) -> None:
    """A binary, its record and a list of names go into both stores; nothing goes into one that is only read."""
    first = lab.checkout("first")
    first.set(**{**shared.settings, "write": False})
    assert first.build() == "done"
    assert objects(shared.folder) == set()
    digest = sha256((first.root / TARGET).read_bytes())
    (blob,) = (path for path in objects(lab.store) if path.startswith("cas/"))
    assert blob == f"cas/sha256/{digest[:2]}/{digest}"
    assert len(objects(lab.store)) == 3
    first.set(**shared.settings)
    first.edit("app/src/main.rs", "fn main", "// another\nfn main")
    first.build()
    assert len(objects(shared.folder)) == 3


@needs_cargo
def test_what_is_in_a_record(lab: Lab, shared: Shared) -> None:
    """Names that hold elsewhere, no path of this machine, and only what was not there or what it had in it."""
    first = lab.checkout("first")
    first.set(**shared.settings)
    first.build()
    (record,) = (path for path in (shared.folder / "ac").iterdir() if b'"results"' in path.read_bytes())
    text = record.read_text()
    assert str(lab.folder) not in text
    assert os.environ["HOME"] not in text
    document = json.loads(text)["record"]
    inputs = document["inputs"]
    assert {"app/src/main.rs", "lib/src/lib.rs", "app/data/a.txt", "app/data/", "Cargo.lock", "app/Cargo.toml"} <= set(
        inputs
    )
    assert {"$APP_WATCHED", "rust-toolchain.toml", "lib/build.rs"} <= set(inputs)
    assert not any("rustc" in name or ".cargo" in name for name in inputs)
    assert inputs["app/data/a.txt"] == sha256(b"data1")
    assert inputs["lib/build.rs"] is None
    assert document["task"] == TASK
    assert set(document["toolchain"]) == {"release", "commit", "host", "llvm", "cargo"}
    (result,) = document["results"]
    assert (result["path"], result["mode"] & 0o100) == (TARGET, 0o100)
    assert json.loads(text)["signature"]


@needs_cargo
def test_what_was_edited_during_the_build_is_not_published(lab: Lab) -> None:
    """Nobody knows what it is of, so nobody gets it."""
    first = lab.checkout("first")
    main = first.root / "app/src/main.rs"
    first.edit("app/build.rs", "fn main() {", f'fn main() {{ std::fs::write("{main}", "fn main() {{}}").unwrap();')
    assert first.llorch("build", "app", "--json").json["tasks"][0]["outcome"] == "done"
    assert objects(lab.store) == set()


PRINT = 'fn main() {{ println!("{{}}", {}) }}\n'
MACRO = {
    "lib/Cargo.toml": '[package]\nname = "lib"\nversion = "0.1.0"\nedition = "2021"\n[lib]\nproc-macro = true\n',
    "lib/src/lib.rs": """
use proc_macro::TokenStream;
#[proc_macro]
pub fn folder(_: TokenStream) -> TokenStream {
    format!("{:?}", std::env::var("CARGO_MANIFEST_DIR").unwrap()).parse().unwrap()
}
""",
}


@needs_cargo
@pytest.mark.parametrize(
    ("files", "flags"),
    [
        ({"app/src/main.rs": PRINT.format('env!("CARGO_MANIFEST_DIR").len()')}, ""),
        ({"app/src/main.rs": PRINT.format("lib::folder!()"), **MACRO}, ""),
        ({}, "-C link-arg=-Wl,-rpath,{root}/lib"),
        ({"lib/src/lib.rs": "// {root}\n", "app/Cargo.toml": "# {root}\n"}, ""),
    ],
    ids=["env!", "a proc-macro that asks by itself", "rpath", "a manifest"],
)
def test_a_binary_with_the_checkouts_path_in_it(lab: Lab, files: dict[str, str], flags: str) -> None:
    """It is right at the same path only, however it came by it."""
    root = lab.folder / "a/first"
    environ: dict[str, Any] = {"RUSTFLAGS": flags.format(root=root)} if flags else {}

    def checkout(name: str) -> Checkout:
        found = lab.checkout(name)
        for file, text in files.items():
            more = (found.root / file).read_text() if "{root}" in text else ""
            found.write(file, text.replace("{root}", str(root)) + more)
        return found

    assert checkout("a/first").build(**environ) == "done"
    assert checkout("b/second").build(**environ) == "done"
    shutil.rmtree(root)
    assert checkout("a/first").build(cargo=False, **environ) == "restored"


@needs_cargo
def test_what_is_included_from_outdir_does_not_bind(lab: Lab) -> None:
    """A generated source that is included leaves no path in a binary, so it is right anywhere."""
    first = lab.checkout("first")
    made = 'std::fs::write(std::env::var("OUT_DIR").unwrap() + "/made.rs", "1").unwrap();'
    files = {"app/build.rs": first.root.joinpath("app/build.rs").read_text().replace("{\n", "{ " + made, 1)}
    files["app/src/main.rs"] = 'fn main() { println!("{}", include!(concat!(env!("OUT_DIR"), "/made.rs"))) }\n'
    second = lab.checkout("second")
    for root in (first, second):
        for name, text in files.items():
            root.write(name, text)
    assert (first.build(), second.build(cargo=False)) == ("done", "restored")


@needs_cargo
def test_native_code_stays_with_its_processor(lab: Lab, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was built for the machine's own processor is restored where that is the same."""
    from llorch.cache import keys

    environ: dict[str, Any] = {"RUSTFLAGS": "-C target-cpu=native"}
    lab.checkout("first").build(**environ)
    assert lab.checkout("second").build(cargo=False, **environ) == "restored"
    monkeypatch.setattr(keys, "cpu", lambda: "another processor")
    monkeypatch.setenv("PATH", lab.tools)
    third = lab.checkout("third").root
    done = llorch("-C", str(third), "build", "app", "--json", env=environ)
    assert done.json["tasks"][0]["outcome"] == "done"


@needs_cargo
def test_many_that_publish_the_same_at_once(lab: Lab, shared: Shared) -> None:
    """Of twenty that push the same, one does the writing, none fails, and what is there is right."""
    first = lab.checkout("first", own=True)
    first.set(**{**shared.settings, "write": False})
    first.build()
    first.set(**shared.settings)
    with ThreadPoolExecutor(20) as pool:
        runs = list(pool.map(lambda _: first.program("cache", "push", TASK, "--json"), range(20)))
    outcomes = [run.json["tasks"][0]["outcome"] for run in runs]
    assert {run.code for run in runs} == {0}
    assert outcomes.count("pushed") >= 1
    assert set(outcomes) <= {"pushed", "already-there"}
    assert len(objects(shared.folder)) == 3
    second = lab.checkout("second", own=True)
    second.set(**shared.reading)
    assert (second.build(cargo=False), second.says()) == ("restored", "app1 lib1 false data1")


@needs_cargo
def test_the_own_store_keeps_its_limit(lab: Lab) -> None:
    """After a build it is trimmed; what this workspace names stays as long as the limit can be met otherwise."""
    first = lab.checkout("first")
    first.build()
    size = (first.root / TARGET).stat().st_size
    first.set(local_limit=f"{size * 3 // 2}B")
    first.edit("app/src/main.rs", "app1", "app2")
    first.build()
    (blob,) = (path for path in objects(lab.store) if path.startswith("cas/"))
    assert blob.endswith(sha256((first.root / TARGET).read_bytes()))
    first.set(local_limit="0")
    first.edit("app/src/main.rs", "app2", "app3")
    before = objects(lab.store)
    assert (first.build(), objects(lab.store)) == ("done", before)


# Models


def fetched(llorch: Llorch, id: str = "tiny") -> str:
    """Have a model and return what became of its files."""
    done = llorch("models", "download", id, "--json")
    assert done.code == 0, done.out
    return str(done.json["tasks"][0]["outcome"])


def test_a_model_comes_from_a_store_before_its_source(workspace: Path, llorch: Llorch, shared: Shared) -> None:
    """File by file, without a key, since its digest is pinned; what is in no store comes the ordinary way."""
    sources = write_catalog(workspace, {"tiny": {"a.gguf": DATA, "b/c.gguf": b"small"}})
    (workspace / "llorch.toml").write_text(f'[cache]\nurl = "file:{shared.folder}"\nwrite = true\n')
    assert fetched(llorch) == "done"
    assert {path.rpartition("/")[2] for path in objects(shared.folder)} == {sha256(DATA), sha256(b"small")}
    shutil.rmtree(workspace / ".test-models")
    shutil.rmtree(workspace / ".llorch")
    shutil.rmtree(sources)
    assert fetched(llorch) == "restored"
    assert (workspace / ".test-models/tiny/a.gguf").read_bytes() == DATA
    assert f"fetch:tiny: restored from cache, from file:{shared.folder}\n" in llorch("why", "models:tiny").out
    # One of them is damaged there: it is fetched, and the other is restored.
    write_catalog(workspace, {"tiny": {"a.gguf": DATA, "b/c.gguf": b"small"}})
    blob = shared.folder / f"cas/sha256/{sha256(DATA)[:2]}/{sha256(DATA)}"
    blob.chmod(0o600)
    blob.write_bytes(DATA[:-1] + b"y")
    shutil.rmtree(workspace / ".test-models")
    done = llorch("models", "download", "tiny")
    assert (done.code, "fetch:tiny" in done.err) == (0, True)
    assert (
        f"{blob.name}` is refused: its bytes are not what its name says; `.test-models/tiny/a.gguf` is made here"
        in done.err
    )
    assert (workspace / ".test-models/tiny/a.gguf").read_bytes() == DATA
    assert blob.read_bytes() == DATA  # put right by who may


def test_the_hub_is_not_asked(workspace: Path, llorch: Llorch, shared: Shared, empty_hub: Hub) -> None:
    """A model that the lab's store has makes not one request."""
    commit = empty_hub.add("org/tiny", {"a.gguf": DATA})
    pin = f'path = "a.gguf", size = {len(DATA)}, sha256 = "{sha256(DATA)}"'
    entry = f'[models.tiny]\nrepo = "org/tiny"\nrevision = "{commit}"\nfiles = [{{ {pin} }}]\n'
    (workspace / "catalog.toml").write_text(entry)
    (workspace / "llorch.toml").write_text(f'[cache]\nurl = "file:{shared.folder}"\nwrite = true\n')
    assert fetched(llorch) == "done"
    asked = len(empty_hub.requests)
    assert asked
    shutil.rmtree(workspace / ".test-models")
    assert fetched(llorch) == "restored"
    assert len(empty_hub.requests) == asked


def test_what_is_on_this_machine_is_not_asked_for(workspace: Path, llorch: Llorch, shared: Shared) -> None:
    """A file in another model's folder is taken before a shared store is read."""
    write_catalog(workspace, {"tiny": {"a.gguf": DATA}, "twin": {"a.gguf": DATA}})
    assert fetched(llorch) == "done"
    (workspace / "llorch.toml").write_text(f'[cache]\nurl = "file:{shared.folder}"\n')
    blob = shared.folder / f"cas/sha256/{sha256(DATA)[:2]}/{sha256(DATA)}"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"wrong" * 40_000)
    done = llorch("models", "download", "twin")
    assert (done.code, "refused" in done.err) == (0, False)
    assert (workspace / ".test-models/twin/a.gguf").read_bytes() == DATA


@pytest.mark.parametrize("shares", [True, False])
def test_models_enter_the_own_store_where_they_take_no_room(
    workspace: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch, shares: bool
) -> None:
    """Where blocks can be shared they are there by themselves, elsewhere only by `cache push`."""

    def ioctl(to: int, request: int, source: int) -> None:
        if not shares:
            raise OSError
        os.pwrite(to, os.pread(source, 10**9, 0), 0)

    monkeypatch.setattr(landing.fcntl, "ioctl", ioctl)  # type: ignore[attr-defined]
    write_catalog(workspace, {"tiny": {"a.gguf": DATA}})
    assert fetched(llorch) == "done"
    shutil.rmtree(workspace / "sources")
    store = Path(os.environ["HOME"]) / ".cache/llorch/store"
    if not shares:
        assert objects(store) == set()
        assert llorch("cache", "push").code == 0
    assert {path.rpartition("/")[2] for path in objects(store)} == {sha256(DATA)}
    shutil.rmtree(workspace / ".test-models")
    assert fetched(llorch) == "restored"


def test_a_conversion_is_restored(workspace: Path, llorch: Llorch, shared: Shared, tmp_path: Path) -> None:
    """What was converted of the same, in the same way, comes from the store, into any model folder; else it is made."""
    cache = f'[cache]\nurl = "file:{shared.folder}"\nwrite = true\n'
    shared.folder.chmod(0o700)
    (workspace / "llorch.toml").write_text(cache)
    assert llorch("models", "download", "tiny-gpt2").code == 0
    (gguf,) = (workspace / ".test-models/tiny-gpt2").glob("*.gguf")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "llorch.toml").write_text(cache)
    environ = {"LLORCH_MODEL_BASE_DIR": str(tmp_path / "models"), "LLORCH_CACHE_DIR": str(tmp_path / "own")}
    done = llorch("-C", str(elsewhere), "models", "download", "tiny-gpt2", "--json", env=environ)
    outcomes = {task["name"]: task["outcome"] for task in done.json["tasks"]}
    assert outcomes["convert:tiny-gpt2"] == "restored"
    assert (tmp_path / "models/tiny-gpt2" / gguf.name).read_bytes() == gguf.read_bytes()
    again = llorch("-C", str(elsewhere), "models", "download", "tiny-gpt2", "--json", env=environ)
    assert {task["outcome"] for task in again.json["tasks"]} == {"up-to-date"}
    receipts = [
        json.loads((path / "tiny-gpt2/receipt.json").read_text())
        for path in (workspace / ".test-models", tmp_path / "models")
    ]
    assert receipts[0]["made"] == receipts[1]["made"]
    (tmp_path / "models/tiny-gpt2" / gguf.name).unlink()
    done = llorch("-C", str(elsewhere), "models", "download", "tiny-gpt2", "--json", "--no-cache", env=environ)
    assert {task["name"]: task["outcome"] for task in done.json["tasks"]}["convert:tiny-gpt2"] == "done"
