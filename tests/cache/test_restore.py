"""Restoring: what somebody has built of the same is taken, and never anything else."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from llorch.cache import keys
from llorch.cache import restore as restore_module
from llorch.cache.folder import FolderStore
from llorch.cache.land import bring
from llorch.landing import open_part
from llorch.make import make
from llorch.make import restore as only_restore
from llorch.progress import Progress, Silent
from llorch.session import Done, session
from llorch.share import Maker, Share
from llorch.state import Recipe, Target
from tests import rust
from tests.cache.conftest import FILES, TARGET, TASK, Checkout, Lab, Shared, git, release
from tests.cache.test_signing import make_key
from tests.conftest import Run, forget_session, program, sha256
from tests.rust import SYSROOT, needs_cargo


@needs_cargo
def test_a_fresh_clone_elsewhere_without_cargo(lab: Lab) -> None:
    """It gets the binary, byte for byte, runs it, has nothing to do then, and is told where it is from."""
    first, second = lab.checkout("first"), lab.checkout("deeper/down/second")
    assert first.program("build", "app", "--json").json["tasks"][0]["outcome"] == "done"
    for outcome in ("restored", "up-to-date"):
        done = second.program("build", "app", "--json", cargo=False)
        assert (done.code, done.json["tasks"][0]["outcome"]) == (0, outcome), done
    assert second.says() == "app1 lib1 false data1"
    assert (second.root / TARGET).read_bytes() == (first.root / TARGET).read_bytes()
    assert os.access(second.root / TARGET, os.X_OK)
    why = second.program("why", TASK, cargo=False)
    record = next(path.name for path in (lab.store / "ac").iterdir() if b'"results"' in path.read_bytes())
    said = f"build:app: restored from cache, record {record}, from file:{lab.store}"
    assert why.out == f"build:app is up to date\n{said}\n"
    assert second.llorch("why", TASK, "--json", cargo=False).json["restored"] == [
        {"task": TASK, "store": f"file:{lab.store}", "record": record}
    ]


@needs_cargo
def test_a_package_at_the_root(lab: Lab) -> None:
    """One whose build script says nothing has the folder with all that runs leave there among its inputs."""
    first = lab.checkout("first")
    files = {"Cargo.toml": FILES["app/Cargo.toml"].partition("[dep")[0], "build.rs": FILES["app/build.rs"]}
    files |= {"src/main.rs": 'fn main() { print!("{}", env!("DATA")) }\n', "data/a.txt": "data1"}
    files |= {"llorch.toml": '[build.app]\nmanifest = "Cargo.toml"\n'}
    git(first.root, "rm", "-rqf", "app", "lib", "Cargo.lock")
    for name, text in files.items():
        first.write(name, text)
    assert first.build() == "done"
    git(first.root, "add", ".")
    git(first.root, "commit", "-qm", "One")
    git(first.root, "push", "-q", "origin", "HEAD:one")
    git(lab.origin, "checkout", "-q", "one")
    second = lab.checkout("second")
    assert second.build(cargo=False) == "restored"
    assert second.says() == "data1"
    second.write("more.txt", "")
    assert second.llorch("why", TASK, "--json", cargo=False).json["reasons"][0]["what"] == f"{second.root}/"


@needs_cargo
def test_what_is_told(built: Lab) -> None:
    """A restored task has a line of its own, the sum counts it, and its digest is told as after a build."""
    second = built.checkout("second")
    done = second.llorch("build", "app")
    digest = sha256((second.root / TARGET).read_bytes())
    assert f"build:app  restored    from file:{built.store}  " in done.err
    assert "\n1 restored in " in done.err
    assert f"ready:  {TARGET}\nsha256: {digest}\n" in done.err
    third = built.checkout("third")
    third.write("dodo.py", "from llorch.dodo import *\n")
    done = program("doit", TASK, cwd=third.root, env={"PATH": built.tools})
    assert (done.code, f"build:app  restored    from file:{built.store}  " in done.err) == (0, True)


@needs_cargo
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
def test_other_inputs_have_it_built(built: Lab, name: str, text: str | None) -> None:
    """Whatever cargo would look at, there or not, has no binary restored that was built without it."""
    second = built.checkout("inner/second")
    if text is None:
        (second.root / name).unlink()
    else:
        second.write(name, text)
    assert second.build() == "done"


@needs_cargo
@pytest.mark.parametrize(
    "environ",
    [
        {"RUSTFLAGS": "-C debug-assertions"},
        {"CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true"},
        {"APP_WATCHED": "1"},
        {"DATA": "1"},
    ],
)
def test_another_environment_has_it_built(built: Lab, environ: dict[str, Any]) -> None:
    """Variables that cargo, a source or llorch.toml goes by are among what decides."""
    assert built.checkout("second").build(**environ) == "done"
    assert built.checkout("third").build(**environ) == "restored"
    assert built.checkout("fourth").build() == "restored"


@needs_cargo
def test_other_features_have_it_built(built: Lab) -> None:
    """The command line is among what decides."""
    second = built.checkout("second")
    second.edit("llorch.toml", "env =", 'features = ["loud"]\nenv =')
    assert (second.build(), second.says()) == ("done", "app1 lib1 true data1")


@needs_cargo
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


@needs_cargo
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


@needs_cargo
def test_a_restored_binary_is_as_watched_as_a_built_one(built: Lab) -> None:
    """Whatever would have a built one made again does so with a restored one."""
    second = built.checkout("second")
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


@needs_cargo
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
    assert str(Path(second.environ["HOME"]) / ".cache/llorch/store") in second.llorch("why", TASK, cargo=False).out


# What is wrong in a store


def spoil(folder: Path, what: str) -> str:
    """Damage what a store has, and return a part of the warning that is to come of it."""
    (blob,) = (folder / "cas").rglob("?" * 64)
    every = sorted((folder / "ac").iterdir(), key=lambda path: b'"results"' in path.read_bytes())
    names, record = every
    for path in (blob, names, record):
        path.chmod(0o640)
    if what == "bit":
        data = bytearray(blob.read_bytes())
        data[len(data) // 2] ^= 1
        blob.write_bytes(data)
        return f"cas/sha256/{blob.name[:2]}/{blob.name}` is refused: its bytes are not what its name says"
    if what == "truncated":
        os.truncate(blob, 1000)
        return f"{blob.name}` is refused: it has 1000 bytes, not "
    if what == "longer":
        blob.write_bytes(blob.read_bytes() + b"more")
        return f"{blob.name}` is refused: it has "
    if what == "no blob":
        blob.unlink()
        return ""
    if what == "no record":
        record.unlink()
        return ""
    if what == "record is no JSON":
        record.write_text("{")
        return f"ac/{record.name}` is refused: it is no JSON"
    if what == "names are no list":
        names.write_text("[]")
        return f"ac/{names.name}` is refused: it is damaged"
    assert what == "another record"
    document = json.loads(record.read_text())
    document["record"]["results"][0]["sha256"] = sha256(b"evil")
    blob.with_name(sha256(b"evil")).write_bytes(b"evil")
    record.write_text(json.dumps(document))
    return f"ac/{record.name}` is refused: no trusted key has signed it"


DAMAGE = ("bit", "truncated", "longer", "no blob", "no record", "record is no JSON", "names are no list")


@needs_cargo
@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_damaged_in_the_own_store(built: Lab, what: str) -> None:
    """It is refused by name, the binary is built, the store is right again, and nobody ever sees the damage."""
    warning = spoil(built.store, what)
    second = built.checkout("second")
    done = second.llorch("build", "app")
    assert (done.code, second.says()) == (0, "app1 lib1 false data1"), done.err
    assert "build:app  done" in done.err
    assert warning in done.err
    assert done.err.count("warning:") == bool(warning)
    assert "; build:app is made here" in done.err or "`target/release/app` is made here" in done.err or not warning
    assert [path.name for path in (second.root / "target/release").glob("app.*")] == ["app.d"]
    third = built.checkout("third")
    assert (third.build(), third.says()) == ("restored", "app1 lib1 false data1")


@needs_cargo
@pytest.mark.parametrize("what", [*DAMAGE, "another record"])
def test_what_is_damaged_in_a_shared_store(lab: Lab, published: Shared, what: str) -> None:
    """It is refused by name and the binary is built; who may publish puts it right, and the next one has it."""
    second, third = (lab.checkout(name, own=True) for name in ("second", "third"))
    warning = spoil(published.folder, what)
    second.set(**published.settings)
    done = second.llorch("build", "app")
    assert (done.code, second.says()) == (0, "app1 lib1 false data1"), done.err
    assert "build:app  done" in done.err
    assert warning in done.err
    third.set(**published.reading)
    assert (third.build(cargo=False), third.says()) == ("restored", "app1 lib1 false data1")


@needs_cargo
def test_records_of_strangers(lab: Lab, shared: Shared, tmp_path: Path) -> None:
    """What is not signed by a trusted key is refused; without trusted keys no record counts, and that is said."""
    stranger, second, third = (lab.checkout(name, own=True) for name in ("stranger", "second", "third"))
    stranger.set(**{**shared.settings, "sign_key": f"file:{make_key(tmp_path / 'stranger')}"})
    assert stranger.build() == "done"
    second.set(**shared.reading)
    done = second.llorch("build", "app")
    assert "is refused: no trusted key has signed it; build:app is made here" in done.err
    assert "build:app  done" in done.err
    third.set(url=f"file:{shared.folder}")
    done = third.llorch("build", "app")
    said = f"records of `file:{shared.folder}` are not used: `[cache] trusted_keys` names nobody"
    assert (done.err.count(said), "build:app  done" in done.err) == (1, True)


@needs_cargo
@pytest.mark.parametrize("when", ["before", "half way"])
def test_a_store_that_is_gone(lab: Lab, shared: Shared, when: str) -> None:
    """A store that cannot be used fails no build: it is said once, and the run goes on without."""
    first = lab.checkout("first", own=True)
    first.set(**shared.settings)
    if when == "before":
        shutil.rmtree(shared.folder)
    else:
        # While cargo is at work, which is after the store was looked into.
        away = f'{{ std::fs::rename("{shared.folder}", "{lab.folder}/away").ok();'
        first.write("app/build.rs", FILES["app/build.rs"].replace("{\n", away, 1))
    done = first.llorch("build", "app")
    assert (done.code, first.says()) == (0, "app1 lib1 false data1"), done.err
    what = "cannot be used" if when == "before" else "cannot be written to"
    said = f"warning: the store `file:{shared.folder}` {what}, and this run goes on without: "
    assert (done.err.count(said), done.err.count("warning:")) == (1, 1)


@needs_cargo
def test_no_toolchain_and_no_pin(built: Lab) -> None:
    """Without either nobody knows what would build, so nothing is restored, and that is said before cargo is missed."""
    second = built.checkout("second")
    for text in ('[toolchain]\nchannel = "stable"\n', None):
        pin = second.root / "rust-toolchain.toml"
        pin.unlink() if text is None else pin.write_text(text)
        done = second.llorch("build", "app", cargo=False)
        assert (done.code, "build:app is not looked for in the cache: there is no Rust here" in done.err) == (4, True)


@needs_cargo
def test_another_toolchain_has_it_built(lab: Lab) -> None:
    """Of another release, commit, LLVM or host nothing is restored, though its files are the same."""
    shim, said = lab.folder / "bin/rustc", lab.folder / "said.sed"
    shim.parent.mkdir()
    rustc = f"{SYSROOT}/bin/rustc"
    shim.write_text(f'#!/bin/sh\n[ "$1" = -vV ] && {{ {rustc} -vV | sed -f "{said}"; exit; }}\nexec {rustc} "$@"\n')
    shim.chmod(0o755)
    said.touch()
    lab.tools = f"{shim.parent}:{lab.tools}"
    first = lab.checkout("first")
    assert (first.build(), lab.checkout("second").build()) == ("done", "restored")
    for number, line in enumerate(("release: 1.2.3", "commit-hash: 1", "LLVM version: 1.0", "host: other")):
        said.write_text(f"s/^{line.partition(':')[0]}: .*/{line}/")
        assert (lab.checkout(f"other {number}").build()) == "done", line
    said.write_text("")
    assert lab.checkout("third").build() == "restored"
    shim.write_text(shim.read_text() + "# another program in rustc's place\n")
    assert lab.checkout("fourth").build() == "done"


@needs_cargo
@pytest.mark.parametrize("machine", [{"libc": "glibc 1.0"}, {"arch": "riscv64"}, {"distribution": "red hat 5"}])
def test_another_machine_has_it_built(
    built: Lab, llorch: Callable[..., Run], machine: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was built for another libc, architecture or distribution is not restored."""
    own = keys.machine()
    monkeypatch.setenv("PATH", built.tools)
    for name, outcome in (("second", "done"), ("third", "restored")):
        monkeypatch.setattr(keys, "machine", lambda: {**own, **machine})
        root = built.checkout(name).root
        done = llorch("-C", str(root), "build", "app", "--json")
        assert done.json["tasks"][0]["outcome"] == outcome


@needs_cargo
def test_a_workspace_of_every_kind_of_input(lab: Lab) -> None:
    """One in a folder of its repository, with a package beside it, macros, scripts that tell and that do not."""
    origin = lab.folder / "every"
    for name, text in {**rust.FILES, "ws/rust-toolchain.toml": f'[toolchain]\nchannel = "{release()}"\n'}.items():
        path = origin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))
    cargo = [f"{SYSROOT}/bin/cargo", "generate-lockfile", "-q", "--offline"]
    subprocess.run(cargo, cwd=origin / "ws", check=True)
    git(origin, "init", "-q", "-b", "main")
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "All")

    def outcome(root: Path, *, cargo: bool = True) -> str:
        done = Checkout(root / "ws", lab).llorch("build", "worker", "cpu", "--json", cargo=cargo)
        assert done.code == 0, done
        return str(done.json["tasks"][0]["outcome"])

    roots = [lab.folder / name for name in ("first", "deeper/second")]
    for root in roots:
        git(lab.folder, "clone", "-q", str(origin), str(root))
    first, second = roots
    assert [outcome(first), outcome(second, cargo=False), outcome(second, cargo=False)] == [
        "done",
        "restored",
        "up-to-date",
    ]
    binaries = [(root / "ws/target/release/worker-cpu").read_bytes() for root in roots]
    assert binaries[0] == binaries[1]
    for name in ("outside/src/lib.rs", "ws/crates/plain/assets/x.txt", "ws/app/data/deep/b.txt", "ws/Cargo.toml"):
        path = second / name
        text = path.read_text()
        path.write_text(text + "\n")
        assert Checkout(second / "ws", lab).llorch("cache", "pull", "build:worker-cpu").code == 1, name
        path.write_text(text)
    assert outcome(second) == "restored"  # cargo is there now


# A task of the simplest kind, in this process

RECIPE = Recipe("forge:hammer", (Target("hammer"),), ("iron",), {"version": 1})


def forge(progress: Progress) -> Done:
    """Make a hammer out of iron."""
    Path("hammer").write_bytes(b"hammer of " + Path("iron").read_bytes())
    return Done("forged")


def forged(share: Callable[[], Share] = lambda: Share(RECIPE)) -> Done:
    """Have the hammer, in a run of its own."""
    forget_session()
    return make(RECIPE, forge, Silent(), share=share)


@pytest.fixture
def smithy(workspace: Path, shared: Shared) -> Path:
    """A workspace with iron whose hammers go into a store of its own user's, which is returned."""
    shared.folder.chmod(0o700)
    (workspace / "llorch.toml").write_text(f'[cache]\nurl = "file:{shared.folder}"\nwrite = true\n')
    (workspace / "iron").write_bytes(b"iron")
    return shared.folder


def forget(workspace: Path) -> None:
    """Lose the hammer and the records of it."""
    (workspace / "hammer").unlink()
    shutil.rmtree(workspace / ".llorch")


def test_any_task_can_be_shared(smithy: Path, workspace: Path) -> None:
    """What its share says is all that it takes; other iron makes another hammer."""
    assert forged().restored is False
    forget(workspace)
    done = forged()
    assert (done.restored, done.detail) == (True, f"from file:{smithy}")
    assert session().state.record(RECIPE.name)["inputs"] == {"iron": sha256(b"iron")}
    assert forged() == Done("already there", made=False, values=done.values)
    (workspace / "iron").write_bytes(b"steel")
    assert forged().restored is False
    assert (workspace / "hammer").read_bytes() == b"hammer of steel"


def test_an_input_that_cannot_be_read(smithy: Path, workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is restored for it, and that is told; making it fails by itself."""
    forged()
    forget(workspace)
    (workspace / "iron").unlink()
    (workspace / "iron").symlink_to("iron")
    with pytest.raises(OSError, match="symbolic links"):
        forged()
    assert "iron` is refused: it cannot be read: Too many levels of symbolic links" in capfd.readouterr().err


def test_a_record_of_other_targets(smithy: Path, workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A right record under the right name whose result is another file puts nothing there."""
    forged()
    forget(workspace)
    (record,) = (smithy / "ac").iterdir()
    document = json.loads(record.read_text())
    document["record"]["results"][0]["path"] = "../../home/.profile"
    record.chmod(0o600)
    record.write_text(json.dumps(document))
    assert forged().restored is False
    said = f"ac/{record.name}` is refused: it is of another task, or of other targets; forge:hammer is made here"
    assert said in capfd.readouterr().err


def test_a_place_that_cannot_be_written(smithy: Path, workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is told, the store is not blamed, and making it says what hinders."""
    forged()
    forget(workspace)
    (workspace / "hammer").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        forged()
    err = capfd.readouterr().err
    assert "`hammer` is not restored: " in err
    assert "goes on without" not in err


def test_a_place_that_another_process_writes(smithy: Path, workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is left to whoever makes it to wait for the other."""
    forged()
    forget(workspace)
    with open_part(workspace / "hammer.part"):
        assert forged().restored is False
    assert "warning" not in capfd.readouterr().err


def test_what_changes_while_it_is_restored_is_made_again(
    smithy: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record has what was compared with the store's, so an edit at that moment is noticed by the next run."""
    forged()
    forget(workspace)

    def then_edit(*arguments: Any) -> bool:
        (workspace / "iron").write_bytes(b"steel")
        return bring(*arguments)

    monkeypatch.setattr(restore_module, "bring", then_edit)
    assert forged().restored
    assert [reason.what for reason in session().state.reasons(RECIPE)] == ["iron"]
    assert forged().restored is False
    assert (workspace / "hammer").read_bytes() == b"hammer of steel"


@pytest.mark.parametrize("when", ["before", "during"])
def test_what_changes_is_not_published(
    smithy: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A target or an input that is another by the time of publishing leaves nothing in a store."""

    class Edits(Share):
        def made(self, record: Any) -> Maker:
            if when == "before":
                (workspace / "iron").write_bytes(b"steel")
            return super().made(record)

    if when == "during":
        create = FolderStore.create

        def then_edit(store: FolderStore, key: str, data: Any, advance: Any = None) -> bool:
            new = create(store, key, data, advance)
            (workspace / "hammer").write_bytes(b"another")
            return new

        monkeypatch.setattr(FolderStore, "create", then_edit)
    assert forged(lambda: Edits(RECIPE)).restored is False
    assert [path for path in smithy.rglob("*") if path.is_file()] == []


def test_what_has_no_name_elsewhere_is_not_published(smithy: Path, workspace: Path) -> None:
    """A variable that no shell could set is such a name."""
    recipe = Recipe("forge:odd", (Target("hammer"),), ("$odd name",), {})
    forget_session()
    make(recipe, forge, Silent(), share=lambda: Share(recipe))
    assert [path for path in smithy.rglob("*") if path.is_file()] == []


def test_only_restoring(smithy: Path, workspace: Path) -> None:
    """Nothing is made where nothing can be restored, and what is there is left."""
    forget_session()
    assert only_restore(RECIPE, Silent(), lambda: Share(RECIPE)) is None
    forged()
    assert only_restore(RECIPE, Silent(), lambda: Share(RECIPE)) == Done("already there", made=False)
    forget(workspace)
    forget_session()
    done = only_restore(RECIPE, Silent(), lambda: Share(RECIPE))
    assert done is not None
    assert done.restored
    forget(workspace)
    forget_session()
    assert only_restore(RECIPE, Silent(), None) is None
