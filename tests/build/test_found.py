"""When cargo is called and when not, over every kind of input, with the real cargo; and what a build leaves behind."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llorch.build.found import Sources, parse_depinfo, walk
from tests.build.conftest import Llorch
from tests.rust import Rust, needs_cargo

pytestmark = needs_cargo


@dataclass(frozen=True)
class Case:
    """A kind of change: whether cargo is called after it, and what the binary then says that it did not before."""

    kind: str
    change: Callable[[Rust], object]
    calls: bool = True
    says: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


def nothing(rust: Rust) -> None:
    """Change nothing but the environment."""


def edit(name: str, old: str, new: str) -> Callable[[Rust], object]:
    """Change some text of a file."""
    return lambda rust: rust.edit(name, old, new)


def write(name: str, text: str) -> Callable[[Rust], object]:
    """Write a file."""
    return lambda rust: rust.write(name, text)


def remove(name: str) -> Callable[[Rust], object]:
    """Delete a file."""
    return lambda rust: (rust.root / name).unlink()


def git(rust: Rust, *arguments: str) -> None:
    """Run git in the workspace."""
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=rust.root, check=True, capture_output=True)


def other_branch(rust: Rust) -> None:
    """Check out a branch with other sources; the first time, make both."""
    if not (rust.root / ".git").exists():
        git(rust, "init", "-q")
        git(rust, "add", "-A")
        git(rust, "commit", "-qm", "one")
        git(rust, "checkout", "-qb", "other")
        rust.edit("crates/base/src/inner.rs", "inner", "branch-inner")
        git(rust, "commit", "-qam", "two")
        git(rust, "checkout", "-q", "main")
    git(rust, "checkout", "-q", "other")


def back_and_forth(rust: Rust) -> None:
    """Check out another branch and come back."""
    git(rust, "checkout", "-q", "main")
    git(rust, "checkout", "-q", "other")


def fresh_checkout(rust: Rust) -> None:
    """Delete all sources and check them out again, beside the target folder."""
    git(rust, "add", "-A")
    git(rust, "commit", "-qm", "all", "--allow-empty")
    for path in rust.root.iterdir():
        if path.name not in (".git", "target", ".llorch"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    git(rust, "checkout", "-q", "--", ".")


def touch_all(rust: Rust) -> None:
    """Give every file the time of now."""
    for path in [*rust.root.rglob("*"), *rust.root.parent.joinpath("outside").rglob("*")]:
        if path.is_file() and ".llorch" not in path.parts:
            path.touch()


def deleted_module(rust: Rust) -> None:
    """Delete a module, and its line."""
    rust.edit("crates/base/src/lib.rs", "mod fresh;", "")
    rust.edit("crates/base/src/lib.rs", "fresh::TEXT", '"unfresh"')
    (rust.root / "crates/base/src/fresh.rs").unlink()


def new_module(rust: Rust) -> None:
    """Add a module, and use it."""
    rust.write("crates/base/src/fresh.rs", 'pub const TEXT: &str = "fresh1";\n')
    rust.edit("crates/base/src/lib.rs", "mod inner;", "mod inner; mod fresh;")
    rust.edit("crates/base/src/lib.rs", "deep::TEXT)", "deep::TEXT.to_owned() + fresh::TEXT)")


def new_crate(rust: Rust) -> None:
    """Add a member where the workspace's pattern finds it."""
    rust.write("crates/more/Cargo.toml", '[package]\nname = "more"\nversion = "0.1.0"\n')
    rust.write("crates/more/src/lib.rs", "")


def another_binary(rust: Rust) -> None:
    """Build another binary of the same package by hand."""
    command = ["cargo", "build", "--release", "--features", "cuda", "--bin", "worker-cuda"]
    subprocess.run(command, cwd=rust.root / "app", check=True, capture_output=True)
    rust.calls()


def replaced(rust: Rust) -> None:
    """Put another file in the binary's place."""
    shutil.copy("/bin/true", rust.root / "other")
    os.replace(rust.root / "other", rust.target)


def other_rustc(rust: Rust) -> None:
    """Find another rustc in PATH: here a script around the same."""
    link = rust.folder / "bin/rustc"
    real = link.resolve()
    link.unlink()
    link.write_text(f'#!/bin/sh\nexec "{real}" "$@"\n')
    link.chmod(0o755)


def including(rust: Rust) -> None:
    """Have cargo's configuration include another file, which old cargos pass over."""
    rust.write(".cargo/more.toml", "[net]\n")
    rust.write(".cargo/config.toml", 'include = ["more.toml"]\n')


CASES = (
    # sources
    Case("nothing", nothing, calls=False),
    Case("the main source file", edit("app/src/main.rs", "main1", "main2"), says="main2"),
    Case("a library's source", edit("crates/base/src/lib.rs", "base1", "base2"), says="base2"),
    Case("a module's file", edit("crates/base/src/inner.rs", "inner1", "inner2"), says="inner2"),
    Case("a module's `mod.rs`", edit("crates/base/src/deep/mod.rs", "deep1", "deep2"), says="deep2"),
    Case("a path dependency outside the workspace", edit("../outside/src/lib.rs", "outside1", "out2"), says="out2"),
    Case("a proc-macro's source", edit("crates/macros/src/lib.rs", "macro1", "macro2"), says="macro2"),
    Case("a file of `include_str!`", write("app/src/motto.txt", "m2"), says="m2"),
    Case("a file of `include_bytes!`, with `#` in its name", write("app/src/raw #1.bin", "raw2"), says="raw2"),
    Case("a comment", edit("app/src/main.rs", "fn main", "// a comment\nfn main")),
    Case("a new module and its use", new_module, says="fresh1"),
    Case("a deleted module and its use", deleted_module, says="unfresh"),
    Case("a new file that nothing uses", write("crates/base/src/unused.rs", "not Rust"), calls=False),
    Case("a source of a package that is not built", write("crates/unused/src/lib.rs", "pub fn x() {}"), calls=False),
    Case("a file beside the sources, such as the README", write("README.md", "changed"), calls=False),
    # build scripts
    Case("a build script's source", edit("app/build.rs", "seed:", "seed2:"), says="seed2:"),
    Case("a file of `rerun-if-changed`", write("app/seed.txt", "s2"), says="s2"),
    Case("a file in a folder of `rerun-if-changed`", write("app/data/a.txt", "a2"), says="a.txt=a2"),
    Case("a file deeper in that folder", write("app/data/deep/b.txt", "b2")),
    Case("a new file in that folder", write("app/data/c.txt", "c1"), says="c.txt=c1"),
    Case("a file of that folder deleted", remove("app/data/a.txt"), says="data:c.txt=c1,deep="),
    Case("a file of a package whose script says nothing", write("crates/plain/assets/x.txt", "x2"), says="x2"),
    Case("a new file in such a package", write("crates/plain/assets/y.txt", "y1"), says="x2+y1"),
    Case("a build script where there was none", write("crates/base/build.rs", "fn main() {}")),
    Case("a variable of `rerun-if-env-changed`", nothing, says="build:now", environ={"WORKER_BUILD": "now"}),
    Case("a variable of `option_env!`", nothing, says="note:this", environ={"WORKER_NOTE": "this"}),
    # manifests and configuration
    Case("the package's manifest", edit("app/Cargo.toml", "0.1.0", "0.2.0"), says="version:0.2.0"),
    Case("a dependency's manifest", edit("crates/base/Cargo.toml", "0.1.0", "0.1.1")),
    Case("a manifest outside the workspace", edit("../outside/Cargo.toml", "0.1.0", "0.1.1")),
    Case("a manifest of a member that is not built", edit("crates/unused/Cargo.toml", "0.1.0", "0.1.1")),
    Case("the workspace's manifest: its profile", edit("Cargo.toml", "opt-level = 0", "opt-level = 1")),
    Case("a new member of the workspace", new_crate),
    Case("`Cargo.lock`", lambda rust: rust.write("Cargo.lock", (rust.root / "Cargo.lock").read_text() + "\n")),
    Case("a new `.cargo/config.toml`", write(".cargo/config.toml", '[build]\nrustflags = ["--cfg=x"]\n')),
    Case("`.cargo/config.toml` changed", write(".cargo/config.toml", '[env]\nWORKER_NOTE = "cfg"\n'), says="note:cfg"),
    Case("a configuration that includes another", including),
    Case("the included configuration", write(".cargo/more.toml", "[term]\nquiet = false\n")),
    Case("`.cargo/config.toml` deleted", remove(".cargo/config.toml")),
    Case("a new `.cargo/config` above the workspace", write("../.cargo/config.toml", "[net]\n")),
    Case("a new `config.toml` in CARGO_HOME", write("../cargo/config.toml", "[term]\n")),
    Case("a new `rust-toolchain.toml`", write("rust-toolchain.toml", '[toolchain]\nchannel = "stable"\n')),
    Case("a new `Cargo.toml` above the package", write("../Cargo.toml", "[workspace]\n")),
    Case("rustup's `settings.toml`", write("../rustup/settings.toml", 'version = "12"\n')),
    Case("another `rustc` in PATH", other_rustc),
    # environment and command line
    Case("RUSTFLAGS", nothing, environ={"RUSTFLAGS": "--cfg=y"}),
    Case("CARGO_ENCODED_RUSTFLAGS", nothing, environ={"CARGO_ENCODED_RUSTFLAGS": "--cfg=z"}),
    Case(
        "CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS",
        nothing,
        says="debug:true",
        environ={"CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true"},
    ),
    Case("CARGO_BUILD_JOBS", nothing, environ={"CARGO_BUILD_JOBS": "1"}),
    Case("RUSTUP_TOOLCHAIN", nothing, environ={"RUSTUP_TOOLCHAIN": "stable"}),
    Case("a variable of `env` in llorch.toml", nothing, environ={"WORKER_WATCHED": "1"}),
    Case("a variable that nobody watches", nothing, calls=False, environ={"WORKER_UNWATCHED": "1"}),
    Case("features", edit("llorch.toml", 'features = ["{backend}"]', 'features = ["{backend}", "loud"]'), says="loud"),
    Case("default features", edit("llorch.toml", "env =", "no_default_features = true\nenv =")),
    Case("another setting of llorch.toml", edit("llorch.toml", "version = 1", "version = 1\n[git]\n"), calls=False),
    # times, copies and branches
    Case("a file touched", lambda rust: (rust.root / "app/src/main.rs").touch(), calls=False),
    Case("every file touched", touch_all, calls=False),
    Case("a file's rights", lambda rust: (rust.root / "app/src/main.rs").chmod(0o600), calls=False),
    Case("a file written again as it was", edit("app/src/main.rs", "main", "main"), calls=False),
    Case("another branch checked out", other_branch, says="branch-inner"),
    Case("another branch, and back again", back_and_forth, calls=False),
    Case("the first branch checked out", lambda rust: git(rust, "checkout", "-q", "main"), says=" inner"),
    Case("the same commit checked out afresh", fresh_checkout, calls=False),
    # the binary
    Case("the binary deleted", lambda rust: rust.target.unlink()),
    Case("the binary cut short", lambda rust: os.truncate(rust.target, 100)),
    Case("the binary written over", lambda rust: rust.target.write_bytes(b"#!/bin/sh\n")),
    Case("the binary replaced", replaced),
    Case("the binary touched", lambda rust: rust.target.touch(), calls=False),
    Case("another binary of the package built", another_binary, calls=False),
    Case("llorch's records deleted", lambda rust: shutil.rmtree(rust.root / ".llorch")),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_cargo_is_called_when_its_result_could_differ(built: Rust, llorch: Llorch, case: Case) -> None:
    """After each kind of change cargo is called or not, `why` and `list` agree, and the binary is the right one."""
    before = built.says()
    case.change(built)
    why = llorch("why", "build:worker-cpu", "--json", env=case.environ).json
    assert why["fresh"] is not case.calls, why
    listed = llorch("list", "build:worker-cpu", "--json", env=case.environ).json["tasks"][0]["state"]
    assert built.calls() == []
    done = llorch("build", "worker", "cpu", "--json", env=case.environ)
    (task,) = done.json["tasks"]
    assert (done.code, task["outcome"]) == (0, "done" if case.calls else "up-to-date"), done
    assert any(call.startswith("build ") for call in built.calls()) is case.calls
    assert listed == ("out-of-date" if case.calls else "up-to-date")
    after = built.says()
    assert case.says in after
    assert case.says not in before or not case.says
    if case.kind.startswith("the binary"):
        assert after == before


def test_a_cargo_that_keeps_its_notes_elsewhere(built: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rustc's notes on variables are not found, cargo is called each time."""
    built.edit("app/src/main.rs", "fn main", "// notes\nfn main")
    monkeypatch.setattr(Sources, "compiled", lambda sources, pattern: [])
    for _ in range(2):
        assert llorch("build", "worker", "cpu", "--json").json["tasks"][0]["outcome"] == "done"


def test_every_kind_is_documented() -> None:
    """The table in docs/build.md has each kind of change, with the same answer."""
    rows = (Path(__file__).parents[2] / "docs/build.md").read_text().splitlines()
    for case in CASES:
        assert f"| {case.kind} | {'called' if case.calls else 'not called'} |" in rows, case.kind


# What a build leaves behind


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("/w/t/a: /w/x.rs\n", ["/w/x.rs"]),
        ("/w/t/a:\n", []),
        ("/w/t/a: \n", []),
        ("/w/t/a: /w/a:\\ b.rs /w/$x#y.rs /w/ü.rs\n\n/w/x.rs:\n", ["/w/a: b.rs", "/w/$x#y.rs", "/w/ü.rs"]),
        ("t/a: src/x.rs ../y.rs /abs/z.rs\n", ["/w/src/x.rs", "/w/../y.rs", "/abs/z.rs"]),
    ],
)
def test_depinfo_is_read(text: str, paths: list[str]) -> None:
    """Spaces are escaped and nothing else is; relative paths are of the folder that the target's name tells."""
    assert parse_depinfo(text, "/w/t/a") == paths


def test_depinfo_of_awkward_folders() -> None:
    """The executable's own path may have spaces and colons."""
    assert parse_depinfo("/w: x/t/a: /w:\\ x/b.rs\n".replace("w: x/t", "w:\\ x/t"), "/w: x/t/a") == ["/w: x/b.rs"]


def test_walking_leaves_out_what_is_no_source(workspace: Path) -> None:
    """Other packages, caches and hidden folders are not gone into; their names are in their parent's."""
    for name in ("Cargo.toml", "a/b.txt", ".hidden/x", "other/Cargo.toml", "other/y", "t/CACHEDIR.TAG", "t/deep/z"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).touch()
    for name in ("one", "two"):
        (workspace / "a" / name).symlink_to(workspace)  # round and round, in two ways
    root = str(workspace)
    assert walk(root) == {f"{root}/", f"{root}/Cargo.toml", f"{root}/a/", f"{root}/a/b.txt"}
