"""Restoring: what somebody has built of the same is taken, and never anything else."""

import os
import shutil
from pathlib import Path

import pytest

from tests.cache.conftest import TARGET, TASK, Lab, Shared, git
from tests.conftest import sha256
from tests.rust import needs_cargo

pytestmark = needs_cargo


def test_a_fresh_clone_elsewhere_without_cargo(lab: Lab) -> None:
    """It gets the binary, byte for byte, runs it, has nothing to do then, and is told where it is from."""
    first, second = lab.checkout("first"), lab.checkout("deeper/down/second")
    assert first.build() == "done"
    assert second.build(cargo=False) == "restored"
    assert second.says() == "app1 lib1 false data1"
    assert (second.root / TARGET).read_bytes() == (first.root / TARGET).read_bytes()
    assert os.access(second.root / TARGET, os.X_OK)
    why = second.llorch("why", TASK, cargo=False)
    record = next(path.name for path in (lab.store / "ac").iterdir() if b'"results"' in path.read_bytes())
    said = f"build:app: restored from cache, record {record}, from file:{lab.store}"
    assert why.out == f"build:app is up to date\n{said}\n"
    assert second.llorch("why", TASK, "--json", cargo=False).json["restored"] == [
        {"task": TASK, "store": f"file:{lab.store}", "record": record}
    ]


def test_what_is_told(lab: Lab) -> None:
    """A restored task has a line of its own, the sum counts it, and its digest is told as after a build."""
    lab.checkout("first").build()
    second = lab.checkout("second")
    done = second.llorch("build", "app")
    digest = sha256((second.root / TARGET).read_bytes())
    assert f"build:app  restored    from file:{lab.store}  " in done.err
    assert "\n1 restored in " in done.err
    assert f"ready:  {TARGET}\nsha256: {digest}\n" in done.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app/src/main.rs", 'fn main() { println!("edited") }\n'),
        ("app/data/a.txt", "data2"),
        ("app/data/b.txt", "one more file in a folder that is read"),
        ("lib/src/lib.rs", 'pub fn text() -> &\'static str { "lib2" }\n'),
        ("lib/build.rs", "fn main() {}\n"),
        (".cargo/config.toml", "[profile.release]\noverflow-checks = true\n"),
        ("app/.cargo/config", "[net]\n"),
        ("../.cargo/config.toml", "[net]\n"),
        ("../Cargo.toml", "# above\n"),
        ("app/rust-toolchain.toml", ""),
        ("Cargo.lock", None),
    ],
)
def test_other_inputs_have_it_built(lab: Lab, name: str, text: str | None) -> None:
    """Whatever cargo would look at, there or not, has no binary restored that was built without it."""
    lab.checkout("first").build()
    second = lab.checkout("inner/second")
    if text is None:
        (second.root / name).unlink()
    else:
        second.write(name, text)
    assert second.build() == "done"


@pytest.mark.parametrize(
    "environ",
    [
        {"RUSTFLAGS": "-C debug-assertions"},
        {"CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true"},
        {"APP_WATCHED": "1"},
        {"DATA": "1"},
    ],
)
def test_another_environment_has_it_built(lab: Lab, environ: dict[str, str]) -> None:
    """Variables that cargo, a source or llorch.toml goes by are among what decides."""
    lab.checkout("first").build()
    assert lab.checkout("second").build(**environ) == "done"
    assert lab.checkout("third").build(**environ) == "restored"
    assert lab.checkout("fourth").build() == "restored"


def test_other_features_have_it_built(lab: Lab) -> None:
    """The command line is among what decides."""
    lab.checkout("first").build()
    second = lab.checkout("second")
    second.edit("llorch.toml", "env =", 'features = ["loud"]\nenv =')
    assert (second.build(), second.says()) == ("done", "app1 lib1 true data1")


def test_there_and_back_again(lab: Lab) -> None:
    """Of A, B and A again, and of two branches, each has its own binary, whoever has built it and without cargo."""
    first, second = lab.checkout("first"), lab.checkout("second")
    assert first.build() == "done"
    first.edit("app/src/main.rs", "app1", "app2")
    first.edit("lib/src/lib.rs", "lib1", "lib2")
    assert (first.build(), first.says()) == ("done", "app2 lib2 false data1")
    for root in (first, second):
        git(root.root, "checkout", "-qB", "other")
        git(root.root, "checkout", "-q", ".")
        assert root.build(cargo=False) == "restored"
        assert root.says() == "app1 lib1 false data1"
        root.edit("app/src/main.rs", "app1", "app2")
        root.edit("lib/src/lib.rs", "lib1", "lib2")
        assert root.build(cargo=False) == "restored"
        assert root.says() == "app2 lib2 false data1"


@pytest.mark.parametrize("forget", [False, True], ids=["with records", "without records"])
def test_what_cargo_builds_after_a_restore(lab: Lab, forget: bool) -> None:
    """Cargo, which goes by times and knows nothing of what was restored, has the right binary the next time."""
    first, second = lab.checkout("first"), lab.checkout("second")
    assert first.build() == "done"
    files = {name: (first.root / name).read_text() for name in ("app/src/main.rs", "lib/src/lib.rs", "app/data/a.txt")}
    other = {name: text.replace("1", "2") for name, text in files.items()}
    for name, text in other.items():
        second.write(name, text)
    assert second.build() == "done"
    for name, text in other.items():  # as from an archive: older than what cargo has compiled
        os.utime(first.write(name, text), (1, 1))
    if forget:
        shutil.rmtree(first.root / ".llorch")
    assert (first.build(), first.says()) == ("restored", "app2 lib2 false data2")
    first.edit("app/src/main.rs", "app2", "app3")
    assert (first.build("--no-cache"), first.says()) == ("done", "app3 lib2 false data2")
    for name, text in files.items():
        os.utime(first.write(name, text), (1, 1))
    assert (first.build(), first.says()) == ("restored", "app1 lib1 false data1")
    first.write("lib/src/lib.rs", other["lib/src/lib.rs"])
    assert (first.build("--no-cache"), first.says()) == ("done", "app1 lib2 false data1")


def test_a_restored_binary_is_as_watched_as_a_built_one(lab: Lab) -> None:
    """Whatever would have a built one made again does so with a restored one."""
    lab.checkout("first").build()
    second = lab.checkout("second")
    second.build(cargo=False)
    for name in (".cargo/config.toml", "../Cargo.toml", "app/build/mod.rs", "app/data/new.txt"):
        path = second.write(name, "[net]\n")
        assert not second.llorch("why", TASK, "--json", cargo=False).json["fresh"], name
        path.unlink()
        if path.parent.name in (".cargo", "build"):
            path.parent.rmdir()
        assert second.llorch("why", TASK, "--json", cargo=False).json["fresh"], name
    # Cargo comes: nothing is built or written again, as it is the same that has built it.
    before = (second.root / TARGET).stat()
    assert second.build() == "restored"
    assert (second.root / TARGET).stat() == before


def test_a_shared_store(lab: Lab, shared: Shared) -> None:
    """Another machine gets a signed record's binary, keeps it, and gets it from its own store the next time."""
    first, second = lab.checkout("first", own=True), lab.checkout("second", own=True)
    first.set(**shared.settings)
    second.set(**shared.reading)
    assert first.build() == "done"
    assert second.build(cargo=False) == "restored"
    assert second.says() == "app1 lib1 false data1"
    (second.root / TARGET).unlink()
    shared.folder.rename(shared.folder.with_name("gone"))
    assert second.build(cargo=False) == "restored"
    assert str(Path(second.environ["HOME"]) / ".cache/llorch/store") in second.llorch("why", TASK).out
