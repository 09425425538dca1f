"""Build a real project, skip it, and build it again after one changed line: `./run python bench/real_project.py`.

ripgrep and the crates it needs come from Debian's source and library packages, by apt, without any crates.io; they and
all that apt learns are kept in the folder given, or in a temporary one. It is no test, since tests use no network.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
LLORCH = """
version = 1
[build.rg]
manifest = "Cargo.toml"
package = "ripgrep"
bin = "rg"
"""
CARGO = """
[source.crates-io]
replace-with = "debian"
[source.debian]
directory = "{registry}"
[net]
offline = true
"""


def call(*command: str | Path, cwd: Path) -> str:
    """Run a program and return what it says."""
    done = subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def apt(folder: Path, *arguments: str, cwd: Path | None = None) -> str:
    """Run apt-get with lists of its own, sources among them."""
    state = folder / "apt"
    if not state.exists():
        (state / "lists/partial").mkdir(parents=True)
        # The machine's own, with the sources, which are often left out.
        known = call(
            "apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages", cwd=folder
        )
        main = sorted(line for line in set(known.splitlines()) if line.endswith(" main") and "-" not in line.split()[1])
        (state / "sources.list").write_text("".join(f"deb {line}\ndeb-src {line}\n" for line in main))
        apt(folder, "update")
    options = {"Dir::Etc::SourceList": state / "sources.list", "Dir::Etc::SourceParts": "-"}
    options |= {"Dir::State::Lists": state / "lists", "APT::Sandbox::User": "root"}
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return call("apt-get", "-q", *given, *arguments, cwd=cwd or folder)


def prepare(folder: Path) -> Path:
    """Return the unpacked project, with a registry of all it needs."""
    apt(folder, "source", "rust-ripgrep")
    root = next(path for path in folder.glob("rust-ripgrep-*") if path.is_dir())
    wanted = apt(folder, "build-dep", "-s", "--no-install-recommends", "rust-ripgrep")
    crates = sorted(set(re.findall(r"^Inst (librust-\S+-dev)", wanted, re.MULTILINE)))
    debs = folder / "debs"
    debs.mkdir()
    apt(folder, "download", *crates, cwd=debs)
    for deb in debs.glob("*.deb"):
        call("dpkg", "-x", deb, folder / "crates", cwd=folder)
    (root / ".cargo").mkdir(exist_ok=True)
    (root / ".cargo/config.toml").write_text(CARGO.format(registry=folder / "crates/usr/share/cargo/registry"))
    (root / "Cargo.lock").unlink(missing_ok=True)
    for manifest in root.rglob("Cargo.toml"):
        # A feature of a version of grep that Debian does not have.
        text = manifest.read_text().replace('simd-accel = ["grep/simd-accel"]\n', "")
        manifest.write_text(re.sub(r"^\[dev-dependencies.*?(?=^\[|\Z)", "", text, flags=re.MULTILINE | re.DOTALL))
    (root / "llorch.toml").write_text(LLORCH)
    return root


def measure(what: str, command: Sequence[str], root: Path) -> str:
    """Print how long a command takes, and return what it says."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    print(f"| {what} | {time.perf_counter() - start:.1f} |", flush=True)
    return done.stderr


def main() -> None:
    """Prepare the project and build it three times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="an empty one; default: a temporary one")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        run((folder or Path(temporary)).resolve())


def run(folder: Path) -> None:
    """Do all of it in a folder."""
    start = time.perf_counter()
    root = prepare(folder)
    print(f"| what | seconds |\n|---|---|\n| prepared | {time.perf_counter() - start:.1f} |", flush=True)
    build = [str(BIN / "llorch"), "build", "rg"]
    first = measure("built", build, root)
    crates = max(int(number) for number in re.findall(r" of (\d+) crates", first))
    packages = (root / "Cargo.lock").read_text().count("[[package]]")
    assert "nothing to do" in measure("nothing to do", build, root)
    main_file = next(path for path in (root / "crates/core/main.rs", root / "src/main.rs") if path.exists())
    main_file.write_text(main_file.read_text() + "// one more line\n")
    assert "done" in measure("one line changed", build, root)
    assert "nothing to do" in measure("nothing to do", build, root)
    version = call(root / "target/release/rg", "--version", cwd=root).splitlines()[0]
    print(f"\n{crates} units, {packages} packages; {version}")


if __name__ == "__main__":
    os.environ.pop("CARGO_TARGET_DIR", None)
    main()
