"""How a binary is shared: what decides it in words of no machine, and what is left to each machine."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llorch import toolchain
from llorch.build.binary import UNBUILT
from llorch.build.checkouts import CACHE_TAG
from llorch.build.plan import Plan
from llorch.build.share import BinaryShare, cards, noted
from llorch.config import Build, Workspace
from llorch.errors import NotInWorkspace, Unshared
from llorch.share import CPU, WORKSPACE, Maker
from llorch.state import Recipe, State, Target
from llorch.toolchain import Identity

EXACT = {"release": "1.95.0", "commit": "abc", "host": "moon", "llvm": "9", "cargo": "cargo 1.95.0"}
Shares = Callable[..., BinaryShare]


@pytest.fixture
def shares(workspace: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> Shares:
    """Return the share of a binary in `app`, with a toolchain in `sysroot`, or what is given instead."""
    for name in [*os.environ]:
        if name.startswith(("CARGO", "RUST")):
            monkeypatch.delenv(name)
    (workspace / "app").mkdir()
    (workspace / "app/Cargo.toml").touch()
    (workspace / "sysroot/bin").mkdir(parents=True)

    def make(
        identity: Identity | None = None,
        wrapper: str = "",
        env: tuple[str, ...] = (),
        backend: str = "",
        **environ: str,
    ) -> BinaryShare:
        identity = identity or Identity(EXACT, workspace / "sysroot", "")
        monkeypatch.setattr(toolchain, "identify", lambda folder, state: identity if identity.exact else None)
        place = Workspace(workspace, declared=True)
        manifest = workspace / "app/Cargo.toml"
        settings = Build(manifest="app/Cargo.toml", env=env)
        plan = Plan(name="app", backend=backend, settings=settings, manifest=manifest, target_folder="target")
        recipe = Recipe(
            "build:app", (Target("target/release/app"),), (), plan.recipe(wrapper, {}, environ).definition, True
        )
        return BinaryShare(plan, recipe, wrapper, place, state)

    return make


def facts(share: BinaryShare) -> dict[str, Any]:
    """Return the facts of the machine."""
    return dict(share.here().facts)


def test_what_decides(shares: Shares) -> None:
    """The command line, the folder, the release, flags, and which variables are watched; no path, and no program's."""
    found = facts(shares(env=("B", "A"), RUSTFLAGS="-g", PATH="/somewhere"))
    assert found["command"][:1] == ["build"]
    assert (found["folder"], found["release"], found["watched"]) == ("app", "1.95.0", ["A", "B"])
    assert (found["environment"], found["rustc"], found["rustc_wrapper"]) == ({"RUSTFLAGS": "-g"}, "", "")


@pytest.mark.parametrize(
    "environ",
    [
        {"CARGO_HOME": "/x"}, {"RUSTUP_HOME": "/x"}, {"RUSTUP_TOOLCHAIN": "stable"}, {"CARGO_TARGET_DIR": "/x"},
        {"CARGO_BUILD_TARGET_DIR": "/x"}, {"CARGO_BUILD_JOBS": "3"},
        {"RUSTC_WRAPPER": "/usr/bin/sccache"}, {"OTHER": "1"},
    ],
)  # fmt: skip
def test_what_says_only_where_or_how_many(shares: Shares, environ: dict[str, str]) -> None:
    """Variables that do not change what is made are left out."""
    assert facts(shares(**environ)) == facts(shares())


@pytest.mark.parametrize(
    "environ",
    [
        {"RUSTFLAGS": "-g"}, {"CARGO_ENCODED_RUSTFLAGS": "-g"}, {"CARGO_INCREMENTAL": "1"}, {"RUSTC": "/x/rustc"},
        {"CARGO_PROFILE_RELEASE_LTO": "true"}, {"CARGO_BUILD_TARGET": "x"}, {"RUSTC_WRAPPER": "/x/other"},
        {"CARGO_TARGET_X_LINKER": "mold"}, {"SDKROOT": "/x"}, {"CARGO_BUILD_BUILD_DIR": "/x"},
    ],
)  # fmt: skip
def test_what_does_decide(shares: Shares, environ: dict[str, str]) -> None:
    """All other variables that cargo and rustc go by are in."""
    assert facts(shares(**environ)) != facts(shares())


def test_which_cards_decide(shares: Shares, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA build is for those of its machine, another build for none."""
    asked = workspace / "bin/nvidia-smi"
    asked.parent.mkdir()
    monkeypatch.setenv("PATH", f"{asked.parent}:{os.environ['PATH']}")
    found = []
    for capability in ("8.6", "8.9"):
        asked.write_text(f"#!/bin/sh\necho {capability}\n")
        asked.chmod(0o755)
        found.append(facts(shares(backend="cuda")))
        assert "gpus" not in facts(shares(backend="cpu"))
    assert [each["gpus"] for each in found] == ["8.6", "8.9"]


def test_cards_that_it_was_built_for(shares: Shares, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA build is shared for those that were there, whichever are here now; without a note it is not."""
    asked = workspace / "bin/nvidia-smi"
    asked.parent.mkdir()
    monkeypatch.setenv("PATH", f"{asked.parent}:{os.environ['PATH']}")
    share = shares(backend="cuda")
    for body, capability in (("echo 8.6", "8.6"), ("echo 8.9", "8.9"), ("exit 1", None)):
        asked.write_text(f"#!/bin/sh\n{body}\n")
        asked.chmod(0o755)
        assert (cards(share._plan), cards(shares(backend="cpu")._plan)) == (capability, None)
        if capability:
            assert share.values(share.here(), ())["gpus"] == capability
        for other in ("8.6", ""):
            values = noted(EXACT, "/nowhere", "", (), other)
            assert share.made({**record(), "values": values}).facts["gpus"] == other
    with pytest.raises(Unshared, match="which cards it was built for"):
        share.made(record())


def test_the_toolchain(shares: Shares, workspace: Path) -> None:
    """What is installed is told exactly; a program in rustc's place by its contents; a pin by its release alone."""
    assert shares().here().exact == EXACT
    (workspace / "shim").write_text("one")
    one = facts(shares(Identity(EXACT, workspace / "sysroot", str(workspace / "shim"))))
    (workspace / "shim").write_text("two")
    two = facts(shares(Identity(EXACT, workspace / "sysroot", str(workspace / "shim"))))
    assert len({json.dumps(each, sort_keys=True) for each in (one, two, facts(shares()))}) == 3
    nothing = Identity({}, workspace, "")
    with pytest.raises(Unshared, match="there is no Rust here"):
        shares(nothing).here()
    (workspace / "rust-toolchain.toml").write_text('[toolchain]\nchannel = "1.95.0"\n')
    assert shares(nothing).here() == Maker(facts(shares()), None)
    (workspace / "app/Cargo.toml").unlink()
    with pytest.raises(NotInWorkspace, match=r"needs `app/Cargo\.toml`"):
        shares().here()


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ('[build]\nrustc = "/x/rustc"\n', "build.rustc"),
        ('[build]\nrustc-wrapper = "other"\n', "build.rustc-wrapper"),
        ('[build]\nrustc-workspace-wrapper = "clippy"\n', "build.rustc-workspace-wrapper"),
        ('[build]\nrustc-wrapper = "/usr/bin/sccache"\n', None),
        ("[build]\njobs = 1\n", None),
        ("build = 1\n", None),
        ("not TOML [", None),
    ],
)
def test_configuration_that_names_other_programs(
    shares: Shares, workspace: Path, text: str, refused: str | None
) -> None:
    """Of a rustc that only cargo's configuration knows nobody here knows what it is."""
    (workspace / ".cargo").mkdir()
    (workspace / ".cargo/config.toml").write_text(text)
    if refused is None:
        assert shares().here().exact == EXACT
        return
    for question in (shares().here, lambda: shares().made(record())):
        with pytest.raises(Unshared, match=f"`.cargo/config.toml` sets `{refused}`"):
            question()


def record(**inputs: str | None) -> dict[str, Any]:
    """Return the record of a build."""
    values = noted(EXACT, "/nowhere", "", (), None)
    return {"definition": {}, "inputs": inputs, "values": {"started": "1", **values}}


def test_what_has_made_it(shares: Shares) -> None:
    """It is as what would make it; a record of an older llorch does not tell."""
    assert shares().made(record()) == shares().here()
    with pytest.raises(Unshared, match="before the cache"):
        shares().made({"definition": {}, "inputs": {}, "values": {"started": "1"}})
    assert shares().bound(record()) == ()
    bound = {"values": noted(EXACT, "", "", (WORKSPACE, CPU), None)}
    assert shares().bound(bound) == (WORKSPACE, CPU)
    share = shares()
    share.here()
    assert share.values(Maker({}, EXACT), (CPU,))["bound"] == CPU
    assert json.loads(share.values(Maker({}, EXACT), ())["toolchain"]) == EXACT


@pytest.mark.parametrize("name", ["CARGO_BUILD_RUSTC", "CARGO_BUILD_RUSTC_WRAPPER"])
def test_variables_that_name_another_rustc(shares: Shares, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """They stand for cargo's configuration, which is not asked what it names; sccache changes nothing."""
    monkeypatch.setenv(name, "/opt/rustc")
    with pytest.raises(Unshared, match=f"the variable `{name}` is set"):
        shares().here()
    monkeypatch.setenv(name, "/opt/sccache")
    shares().here()


def test_what_the_maker_stands_for(shares: Shares, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toolchain's files, rustup's settings, what cargo fetched and absent configuration; nothing else."""
    monkeypatch.setenv("CARGO_HOME", "/cargo")
    sccache = workspace / "bin/sccache"
    sccache.parent.mkdir()
    sccache.touch(0o755)
    monkeypatch.setenv("PATH", str(sccache.parent))
    digest = "0" * 64
    vouched = {
        "sysroot/bin/rustc": digest,
        "/path/cargo": digest,
        "bin/sccache": digest,
        f"{Path.home()}/.rustup/settings.toml": digest,
        "/cargo/registry/src/serde/build.rs": digest,
        "/cargo/git/checkouts/x/src/lib.rs": digest,
        ".cargo/config.toml": None,
        "app/rust-toolchain": None,
        "/cargo/config.toml": None,
    }
    kept = {
        "app/src/main.rs": digest,
        "app/build.rs": None,
        ".cargo/config": digest,
        "/cargo/config": digest,
        "/opt/x/lib.a": digest,
        "$RUSTFLAGS": None,
    }
    inputs: dict[str, str | None] = {**vouched, **kept}
    made: dict[str, Any] = {
        "definition": {"cargo": "/path/cargo", "rustc": None},
        "inputs": inputs,
        "values": {"sysroot": str(workspace / "sysroot")},
    }
    assert shares(wrapper="sccache").vouched(made) & set(inputs) == set(vouched)
    assert "bin/sccache" not in shares().vouched(made)


def test_what_is_around(shares: Shares, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration that is there counts, wherever it is looked for; all such places are watched afterwards."""
    monkeypatch.setenv("CARGO_HOME", str(workspace.parent / "cargo"))
    share = shares()
    assert share.around() == {"app/Cargo.toml"}
    for name in (".cargo/config", "../Cargo.toml", "../cargo/config.toml", "../home/.rustup/settings.toml"):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    above = {str(workspace.parent / name) for name in ("Cargo.toml", "cargo/config.toml")}
    assert share.around() == {"app/Cargo.toml", ".cargo/config", *above}
    assert {"app/src/main.rs", ".cargo/config.toml", "rust-toolchain", *above} <= share.watched({"app/src/main.rs"})
    assert "sysroot/bin/rustc" not in share.watched(set())
    share.here()
    assert "sysroot/bin/rustc" in share.watched(set())


def test_what_cargo_is_told_later(shares: Shares, workspace: Path) -> None:
    """A folder that cargo has not made is marked as it would be; what cargo may have compiled of the old is noted."""
    share = shares()
    state = share._state
    assert share.folders() == {str(workspace / "target")}
    assert share.begin({"app/src/main.rs"}) == {"started": "0"}
    assert (workspace / "target" / CACHE_TAG).read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    # Nobody knows what is compiled there now, so all counts as not built.
    started = int(share.begin({"app/src/main.rs", "$X"})["started"])
    note = state.record("build:app begun")
    assert started > 0
    assert note["inputs"] == {"app/src/main.rs": UNBUILT, "$X": UNBUILT}
    # Of a first build that did not end it is not known either.
    state.save("build:app begun", {"definition": {}, "inputs": {}, "targets": {}, "values": {"started": "0"}})
    assert int(share.begin({"$X"})["started"]) > 0
    assert state.record("build:app begun")["inputs"] == {"$X": UNBUILT}
    # Of what is known, what has changed since.
    state.forget("build:app begun")
    (workspace / "a").write_text("new")
    (workspace / "b").write_text("old")
    digest = state.read("b")
    inputs = {"a": "0" * 64, "b": digest}
    state.save("build:app", {"definition": {}, "inputs": inputs, "targets": {}, "values": {"started": "5"}})
    assert share.begin({"a", "b"}) == {"started": "5"}
    assert state.record("build:app begun")["inputs"] == {"a": UNBUILT, "b": digest}


def test_files_that_could_decide(shares: Shares, workspace: Path) -> None:
    """The package's files, but not what is built in it."""
    (workspace / "app/src").mkdir()
    (workspace / "app/src/main.rs").touch()
    (workspace / "target").mkdir()
    (workspace / "target/x.rs").touch()
    assert shares().sources() == {str(workspace / name) for name in ("app/Cargo.toml", "app/src/main.rs")}


def test_settings_show_no_secret(shares: Shares, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watched variable is told by its digest."""
    monkeypatch.setenv("TOKEN", "secret")
    share = shares(env=("TOKEN", "UNSET"))
    assert "secret" not in json.dumps(share.settings)
    assert (len(share.settings["watched"]["TOKEN"]), share.settings["watched"]["UNSET"]) == (64, None)
