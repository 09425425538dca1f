"""A cargo workspace of every kind of input, and a cargo that records its calls, in front of the real one."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from llorch import state
from llorch.state import Advance, Signature, sha256_of, signature
from tests.conftest import IN_CI


def _sysroot() -> Path | None:
    """Return the toolchain's root, asked before the tests have a home of their own: rustup keeps toolchains there."""
    if shutil.which("rustc") is None:
        return None
    said = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True)
    return Path(said.stdout.strip())


SYSROOT = _sysroot()
needs_cargo = pytest.mark.skipif(SYSROOT is None and not IN_CI, reason="cargo is not installed")
_digests: dict[tuple[str, Signature], str] = {}


def read_toolchain_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process read the toolchain's files once, 200 MB that each new workspace reads anew."""

    def read(path: str | Path, advance: Advance | None = None) -> str:
        if SYSROOT is None or not Path(path).is_relative_to(SYSROOT):
            return sha256_of(path, advance)
        key = (str(path), signature(os.stat(path)))
        if key not in _digests:
            _digests[key] = sha256_of(path, advance)
        return _digests[key]

    monkeypatch.setattr(state, "sha256_of", read)


LLORCH = """
version = 1

[build.worker]
manifest = "app/Cargo.toml"
package = "worker"
bin = "worker-{backend}"
backends = ["cpu", "cuda", "metal"]
features = ["{backend}"]
env = ["WORKER_WATCHED"]
"""

FILES: Mapping[str, str] = {
    "ws/llorch.toml": LLORCH,
    "ws/README.md": "No input of anything.\n",
    "ws/.gitignore": "/target\n.llorch\n",
    "ws/Cargo.toml": """
        [workspace]
        members = ["app", "crates/*"]
        resolver = "2"

        [profile.release]
        opt-level = 0
        strip = true
        """,
    "ws/app/Cargo.toml": """
        [package]
        name = "worker"
        version = "0.1.0"
        edition = "2021"

        [features]
        default = ["cpu"]
        cpu = []
        cuda = []
        metal = []
        loud = []

        [dependencies]
        base = { path = "../crates/base" }
        macros = { path = "../crates/macros" }
        plain = { path = "../crates/plain" }
        outside = { path = "../../outside" }

        [[bin]]
        name = "worker-cpu"
        path = "src/main.rs"
        required-features = ["cpu"]

        [[bin]]
        name = "worker-cuda"
        path = "src/main.rs"
        required-features = ["cuda"]

        [[bin]]
        name = "worker-metal"
        path = "src/main.rs"
        required-features = ["metal"]
        """,
    "ws/app/build.rs": """
        use std::{env, fs, path::Path};
        fn main() {
            println!("cargo:rerun-if-changed=build.rs");
            println!("cargo:rerun-if-changed=data");
            println!("cargo:rerun-if-changed=seed.txt");
            println!("cargo:rerun-if-env-changed=WORKER_BUILD");
            let mut names: Vec<String> = fs::read_dir("data").unwrap()
                .map(|each| { let path = each.unwrap().path();
                    format!("{}={}", path.file_name().unwrap().to_str().unwrap(),
                        if path.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() }) })
                .collect();
            names.sort();
            let text = format!("pub const DATA: &str = {:?};", format!("data:{} seed:{} build:{}",
                names.join(","), fs::read_to_string("seed.txt").unwrap(),
                env::var("WORKER_BUILD").unwrap_or_default()));
            fs::write(Path::new(&env::var("OUT_DIR").unwrap()).join("made.rs"), text).unwrap();
        }
        """,
    "ws/app/seed.txt": "s1",
    "ws/app/data/a.txt": "a1",
    "ws/app/data/deep/b.txt": "b1",
    "ws/app/src/motto.txt": "m1",
    "ws/app/src/raw #1.bin": "r1",
    "ws/app/src/main.rs": """
        include!(concat!(env!("OUT_DIR"), "/made.rs"));
        fn main() {
            let loud = if cfg!(feature = "loud") { "loud" } else { "" };
            println!("main1 {} {} {} {} {} {} {} {} {} debug:{} note:{} version:{}", base::text(), macros::word!(),
                plain::ASSETS, outside::text(), DATA, include_str!("motto.txt"),
                String::from_utf8_lossy(include_bytes!("raw #1.bin")), loud, env!("CARGO_PKG_NAME"),
                cfg!(debug_assertions), option_env!("WORKER_NOTE").unwrap_or(""), env!("CARGO_PKG_VERSION"));
        }
        """,
    "ws/crates/base/Cargo.toml": '[package]\nname = "base"\nversion = "0.1.0"\nedition = "2021"\n',
    "ws/crates/base/src/lib.rs": """
        mod inner;
        mod deep;
        pub fn text() -> String { format!("base1 {} {}", inner::TEXT, deep::TEXT) }
        """,
    "ws/crates/base/src/inner.rs": 'pub const TEXT: &str = "inner1";\n',
    "ws/crates/base/src/deep/mod.rs": 'pub const TEXT: &str = "deep1";\n',
    "ws/crates/macros/Cargo.toml": (
        '[package]\nname = "macros"\nversion = "0.1.0"\nedition = "2021"\n[lib]\nproc-macro = true\n'
    ),
    "ws/crates/macros/src/lib.rs": """
        use proc_macro::TokenStream;
        #[proc_macro]
        pub fn word(_: TokenStream) -> TokenStream { "\\"macro1\\"".parse().unwrap() }
        """,
    "ws/crates/plain/Cargo.toml": '[package]\nname = "plain"\nversion = "0.1.0"\nedition = "2021"\n',
    # This one says nothing of what it reads.
    "ws/crates/plain/build.rs": """
        fn main() {
            let mut names: Vec<String> = std::fs::read_dir("assets").unwrap()
                .map(|each| std::fs::read_to_string(each.unwrap().path()).unwrap()).collect();
            names.sort();
            println!("cargo:rustc-env=PLAIN={}", names.join("+"));
        }
        """,
    "ws/crates/plain/assets/x.txt": "x1",
    "ws/crates/plain/src/lib.rs": 'pub const ASSETS: &str = env!("PLAIN");\n',
    "ws/crates/unused/Cargo.toml": '[package]\nname = "unused"\nversion = "0.1.0"\nedition = "2021"\n',
    "ws/crates/unused/src/lib.rs": "pub fn nothing() {}\n",
    "outside/Cargo.toml": '[package]\nname = "outside"\nversion = "0.1.0"\nedition = "2021"\n',
    "outside/src/lib.rs": 'pub fn text() -> &\'static str { "outside1" }\n',
}
"""A workspace `ws` and a package outside it. The binary's output tells what it was made from."""
SMALL: Mapping[str, str] = {
    "ws/llorch.toml": LLORCH,
    "ws/Cargo.toml": FILES["ws/Cargo.toml"].replace(', "crates/*"', ""),
    "ws/app/Cargo.toml": re.sub(r"(?s)\[dependencies\].*?(?=\[\[)", "", FILES["ws/app/Cargo.toml"]),
    "ws/app/src/main.rs": 'fn main() {\n    println!("main1");\n}\n',
}
"""The same binary of a single crate, for what it matters not to what there is to compile."""

TESTED: Mapping[str, str] = {
    "Cargo.toml": """
        [package]
        name = "tested"
        version = "0.1.0"
        edition = "2021"

        [features]
        cpu = []
        cuda = []
        """,
    "src/lib.rs": """
        //! ```
        //! assert!(tested::backend() != "");
        //! ```
        pub fn backend() -> &'static str { if cfg!(feature = "cuda") { "cuda" } else { "cpu" } }
        #[cfg(test)]
        mod tests {
            #[test]
            fn adds() { assert_eq!(1 + 1, 2) }
            #[test]
            #[ignore]
            fn waits() { loop {} }
            #[test]
            fn is_of_the_backend() {
                println!("said by the test");
                if let Ok(wanted) = std::env::var("WANTED") { assert_eq!(super::backend(), wanted) }
            }
        }
        """,
    "tests/smoke.rs": """
        #[test]
        fn has_a_model() {
            let path = std::env::var("LLORCH_TEST_MODEL_PATH").expect("no model");
            assert_eq!(std::fs::read_to_string(path).unwrap(), "data");
        }
        """,
}
"""A package with tests: three in the library, one ignored, a doc-test, and one of a model."""

CARGO = """\
#!/bin/sh
printf '%s\\n' "$*" >>{log}
echo $$ >{pid}
[ "$1" = build ] && [ -e {before} ] && . {before}
{cargo} "$@" || exit
[ "$1" = build ] && [ -e {after} ] && . {after}
exit 0
"""


class Rust:
    """The workspace on disk, and what cargo was asked for."""

    def __init__(self, folder: Path, files: Mapping[str, str] = FILES) -> None:
        """Write it below a folder."""
        assert SYSROOT is not None, "cargo is not installed"
        self.folder = folder
        self.root = folder / "ws"
        self.log = folder / "cargo.log"
        self.before, self.after = folder / "before.sh", folder / "after.sh"
        self.pid = folder / "cargo.pid"
        self.target = self.root / "target/release/worker-cpu"
        for name, text in files.items():
            self.write(name.removeprefix("ws/") if name.startswith("ws/") else f"../{name}", dedent(text).lstrip("\n"))
        bin = folder / "bin"
        bin.mkdir()
        places = {"log": self.log, "pid": self.pid, "before": self.before, "after": self.after}
        places["cargo"] = SYSROOT / "bin/cargo"
        (bin / "cargo").write_text(CARGO.format(**{name: shlex.quote(str(path)) for name, path in places.items()}))
        (bin / "cargo").chmod(0o755)
        (bin / "rustc").symlink_to(SYSROOT / "bin" / "rustc")
        self.environ = {
            "PATH": os.pathsep.join([str(bin), os.environ["PATH"]]),
            "CARGO_HOME": str(folder / "cargo"),
            "RUSTUP_HOME": str(folder / "rustup"),
        }

    def write(self, name: str, text: str) -> Path:
        """Write a file of the workspace, as an editor does: with a later time than any before."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def edit(self, name: str, old: str, new: str) -> Path:
        """Change some text of a file."""
        text = (self.root / name).read_text()
        assert old in text, name
        return self.write(name, text.replace(old, new))

    def calls(self) -> list[str]:
        """Return cargo's command lines since the last time."""
        found = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def says(self) -> str:
        """Return what the binary says."""
        return subprocess.run([self.target], capture_output=True, text=True, check=True).stdout.strip()
