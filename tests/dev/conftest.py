"""What the tests of dev share: a PATH with chosen programs, the real program's findings, and a workspace with names."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

from llorch.config import find_workspace
from llorch.dev.finding import Finding
from llorch.dev.needs import Needs, load_needs
from llorch.dev.system import System
from tests.conftest import program
from tests.rust import SYSROOT

DEBIAN = System("linux", ("debian",), "apt", "sudo ")
MAC = System("darwin", (), "brew")
Look = Callable[[Needs, str], Iterable[Finding]]


class Programs:
    """A folder that is all of PATH."""

    def __init__(self, folder: Path) -> None:
        """Make it."""
        self.folder = folder
        folder.mkdir()

    def link(self, *names: str) -> None:
        """Have real programs of this machine in it."""
        for name in names:
            found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
            assert found is not None, f"{name} is not installed"
            (self.folder / name).symlink_to(found)

    def write(self, name: str, body: str) -> Path:
        """Have a shell script in it."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A PATH with nothing in it, and nothing said to Rust and CUDA by the environment."""
    for name in [*os.environ]:
        if name.startswith(("CARGO", "RUST", "CUDA", "NVCC", "SSH_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EDITOR", "ed")
    made = Programs(tmp_path / "programs")
    monkeypatch.setenv("PATH", str(made.folder))
    return made


def needs_of(root: Path, system: System = DEBIAN) -> Needs:
    """Return what a workspace needs, whose configuration is right."""
    needs, findings = load_needs(find_workspace(root), system)
    assert [finding.severity for finding in findings] == ["ok"]
    return needs


def look(check: Look, root: Path, need: str = "it", system: System = DEBIAN) -> list[Finding]:
    """Return a check's findings."""
    return list(check(needs_of(root, system), need))


def examined(*options: str, env: Mapping[str, str] | None = None) -> tuple[int, dict[str, Finding]]:
    """Run the real program and return its exit code, and the findings by their ids."""
    run = program("llorch", "dev", "doctor", "--json", *options, env=env)
    document = run.json
    findings = [Finding(**{**each, "fix": tuple(each["fix"])}) for each in document["findings"]]
    assert document["ok"] is (run.code == 0)
    return run.code, {finding.id: finding for finding in findings}


RUSTUP = shutil.which("rustup")
NO_DEFAULT = """\
error: rustup could not choose a version of cargo to run, because one wasn't specified explicitly, and no default is \
configured.
help: run 'rustup default stable' to download the latest stable release of Rust and set it as your default toolchain.
"""
"""What rustup 1.29 says under cargo's name in an empty home."""
SAID = {
    "toolchain": "stable-x86_64-unknown-linux-gnu (active, default)\nnightly-x86_64-unknown-linux-gnu\n",
    "component": "cargo-{host}\nclippy-{host}\nrust-docs-{host}\nrust-std-{host}\nrustc-{host}\nrustfmt-{host}\n",
    "target": "{host}\n",
}
"""What it says when it is asked for a list, by what of."""
MANIFEST = "lib/rustlib/multirust-channel-manifest.toml"
"""What a toolchain has that rustup has installed."""
STAND_IN = """\
case "$1 $2" in
"toolchain list") echo {name} ;;
"component list") echo cargo-{host}; echo rustc-{host} ;;
"target list") echo {host} ;;
esac
"""


def has_rustup() -> bool:
    """Tell whether the toolchain under test is of a rustup that is here; it may be the system's own."""
    return RUSTUP is not None and SYSROOT is not None and (SYSROOT / MANIFEST).is_file()


def write_empty_rustup(programs: Programs) -> None:
    """Have a rustup in PATH, also as cargo, that has no toolchain in the home of the test, or what says the same."""
    if RUSTUP is not None:
        for name in ("cargo", "rustup"):
            (programs.folder / name).symlink_to(RUSTUP)
    else:
        programs.write("cargo", f"echo {shlex.quote(NO_DEFAULT)} >&2; exit 1")
        programs.write("rustup", "exit 1")


def write_rustup(programs: Programs, home: Path, *, real: bool) -> str:
    """Have a rustup in PATH with one toolchain in its home, or what says the same; return the toolchain's name."""
    assert SYSROOT is not None, "cargo is not installed"
    name = SYSROOT.name if has_rustup() else "stable-x86_64-unknown-linux-gnu"
    if real:
        (home / "toolchains").mkdir(parents=True)
        (home / "toolchains" / name).symlink_to(SYSROOT)
        (programs.folder / "rustup").symlink_to(str(RUSTUP))
    else:
        programs.write("rustup", STAND_IN.format(name=name, host=name.partition("-")[2]))
    return name


CATALOG = """
version = 1
[models.tinyllama]
name = "TinyLlama"
source = "file:sources"
files = [{ path = "a" }]
[models.made]
source = "file:sources"
files = [{ path = "b" }]
convert = { to = "b.gguf", outtype = "f16" }
quantize = { to = "c.gguf", type = "Q4_K_M" }
"""
SETTINGS = """
version = 1
[build.tool]
manifest = "tool/Cargo.toml"
bin = "tool-{backend}"
backends = ["cpu", "vulkan"]
[build.plain]
manifest = "plain/Cargo.toml"
[test.lint]
command = ["true", "{backend}"]
backends = ["slow", "fast"]
[test.other]
command = ["true"]
"""
HOSTS = """
version = 1
[hosts.mac]
[hosts.workstation]
host = "10.0.0.5"
tags = ["gpu"]
backends = ["cuda"]
"""
MODULES = """
[submodule "a"]
\tpath = libs/my \\"odd\\" lib
[submodule "b"]
\tpath = libs/it's $HOME
[submodule "c"]
\tpath = libs/größe!
[submodule "d"]
\tpath = "control\\tcharacter"
"""


@pytest.fixture
def rich(workspace: Path) -> Path:
    """A workspace with models, builds, test suites, hosts, submodules and a task of its own, as the current folder."""
    (workspace / "catalog.toml").write_text(CATALOG)
    (workspace / "llorch.toml").write_text(SETTINGS)
    (workspace / "hosts.toml").write_text(HOSTS)
    (workspace / ".gitmodules").write_text(MODULES)
    (workspace / ".git").mkdir()
    own = "def task_digest():\n    return {'actions': ['true']}\n"
    (workspace / "dodo.py").write_text(f"from llorch.dodo import *\n{own}")
    for name in ("tool", "plain"):
        (workspace / name).mkdir()
        (workspace / name / "Cargo.toml").touch()
    return workspace
