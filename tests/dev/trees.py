"""Cargo packages on disk, of every kind that is to be found or left out; cargo itself says what is right."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.rust import SYSROOT

MAIN = "fn main() {}\n"


def package(name: str, more: str = "", edition: str = '"2021"') -> str:
    """Return the manifest of a package."""
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = {edition}\n{dedent(more)}'


TREES: Mapping[str, Mapping[str, str]] = {
    "single": {"Cargo.toml": package("one"), "src/main.rs": MAIN, "src/lib.rs": "", "examples/x.rs": MAIN},
    "library": {"Cargo.toml": package("one"), "src/lib.rs": ""},
    "several binaries": {
        "Cargo.toml": package(
            "tools",
            """
            [features]
            default = []
            extra = []
            [[bin]]
            name = "renamed"
            path = "src/main.rs"
            [[bin]]
            name = "second"
            required-features = ["extra"]
            """,
        ),
        "src/main.rs": MAIN,
        "src/bin/second.rs": MAIN,
        "src/bin/third/main.rs": MAIN,
        "src/bin/fourth.rs": MAIN,
        "src/bin/no-binary/other.rs": "",
        "src/bin/notes.txt": "",
    },
    "no looking": {
        "Cargo.toml": '[package]\nname = "no"\nversion = "0.1.0"\nedition = "2021"\nautobins = false\n',
        "src/main.rs": MAIN,
        "src/lib.rs": "",
    },
    "edition of 2015": {
        "Cargo.toml": '[package]\nname = "old"\nversion = "0.1.0"\n[[bin]]\nname = "named"\npath = "src/x.rs"\n',
        "src/x.rs": MAIN,
        "src/lib.rs": "",
        "src/bin/unseen.rs": MAIN,
    },
    "edition of 2015 that names none": {
        "Cargo.toml": '[package]\nname = "older"\nversion = "0.1.0"\n',
        "src/main.rs": MAIN,
        "src/bin/seen.rs": MAIN,
    },
    "virtual": {
        "Cargo.toml": """
            [workspace]
            members = ["app", "crates/*", "deep/**/leaf", "./dotted/"]
            exclude = ["crates/excluded", "apart"]
            resolver = "2"
            [workspace.package]
            edition = "2021"
            [workspace.dependencies]
            shared = { path = "shared" }
            """,
        "app/Cargo.toml": package(
            "app",
            """
            [dependencies]
            shared.workspace = true
            [dev-dependencies]
            near = { path = "../near" }
            [target.'cfg(unix)'.build-dependencies]
            far = { path = "../near/far" }
            """,
            "{ workspace = true }",
        ),
        "app/src/main.rs": MAIN,
        "app/src/bin/tool.rs": MAIN,
        "shared/Cargo.toml": package("shared", '[dependencies]\ninner = { path = "inner" }\n'),
        "shared/src/lib.rs": "",
        "shared/inner/Cargo.toml": package("inner"),
        "shared/inner/src/lib.rs": "",
        "near/Cargo.toml": package("near"),
        "near/src/lib.rs": "",
        "near/far/Cargo.toml": package("far"),
        "near/far/src/lib.rs": "",
        "crates/a/Cargo.toml": package("a"),
        "crates/a/src/main.rs": MAIN,
        "crates/excluded/Cargo.toml": package("excluded"),
        "crates/excluded/src/main.rs": MAIN,
        "deep/x/y/leaf/Cargo.toml": package("leaf"),
        "deep/x/y/leaf/src/main.rs": MAIN,
        "dotted/Cargo.toml": package("dotted"),
        "dotted/src/main.rs": MAIN,
        "apart/own/Cargo.toml": package("own", "[workspace]\n"),
        "apart/own/src/main.rs": MAIN,
    },
    "workspace that is a package": {
        "Cargo.toml": package("root", '[workspace]\nmembers = ["sub"]\nexclude = ["fuzz"]\n'),
        "src/main.rs": MAIN,
        "sub/Cargo.toml": package("sub"),
        "sub/src/main.rs": MAIN,
        "fuzz/Cargo.toml": package("fuzz"),
        "fuzz/src/main.rs": MAIN,
    },
    "named in full, and excluded": {
        "Cargo.toml": '[workspace]\nmembers = ["libs/kept"]\nexclude = ["libs"]\nresolver = "2"\n',
        "libs/kept/Cargo.toml": package("kept"),
        "libs/kept/src/main.rs": MAIN,
    },
    "nested folders": {
        "one/Cargo.toml": package("one"),
        "one/src/main.rs": MAIN,
        "some where/two/Cargo.toml": package("two"),
        "some where/two/src/main.rs": MAIN,
        "ünder/Cargo.toml": '[workspace]\nmembers = ["th*"]\nresolver = "2"\n',
        "ünder/three/Cargo.toml": package("three"),
        "ünder/three/src/main.rs": MAIN,
    },
    "a root that is elsewhere": {
        "root/Cargo.toml": '[workspace]\nmembers = ["../member"]\nresolver = "2"\n',
        "member/Cargo.toml": (
            '[package]\nname = "member"\nversion = "0.1.0"\nedition = "2021"\nworkspace = "../root"\n'
        ),
        "member/src/main.rs": MAIN,
    },
}


def write_tree(base: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for name, text in files.items():
        place = base / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(dedent(text).lstrip("\n"))


def ask_cargo(folder: Path, tmp: Path) -> Any:
    """Return what `cargo metadata` says of the packages in a folder, and of the workspace that it takes."""
    assert SYSROOT is not None, "cargo is not installed"
    env = {**os.environ, "CARGO_HOME": str(tmp / "cargo"), "PATH": f"{SYSROOT}/bin:{os.environ['PATH']}"}
    command = [f"{SYSROOT}/bin/cargo", "metadata", "--no-deps", "--offline", "--format-version=1"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None
