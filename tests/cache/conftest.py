"""What the tests of the cache share: a repository with a Rust workspace, checkouts of it, and stores with keys."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cache.places import far, here, http_place, place, s3, s3_place, sftp_place, sshd, web
from tests.cache.test_signing import make_key, public
from tests.conftest import Run, own_home, program
from tests.rust import SYSROOT, read_toolchain_once

__all__ = ["far", "here", "http_place", "place", "s3", "s3_place", "sftp_place", "sshd", "web"]

FILES: Mapping[str, str] = {
    "llorch.toml": """
[build.app]
manifest = "app/Cargo.toml"
env = ["APP_WATCHED"]
""",
    "Cargo.toml": '[workspace]\nmembers = ["app", "lib"]\nresolver = "2"\n[profile.release]\nopt-level = 0\n',
    "app/Cargo.toml": (
        '[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n[features]\nloud = []\n'
        '[dependencies]\nlib = { path = "../lib" }\n'
    ),
    "app/src/main.rs": (
        'fn main() { println!("app1 {} {} {}", lib::text(), cfg!(feature = "loud"), env!("DATA")); }\n'
    ),
    # This one says nothing of what it reads, so all of the package is among the inputs, its folders too.
    "app/build.rs": """
fn main() {
    println!("cargo:rustc-env=DATA={}", std::fs::read_to_string("data/a.txt").unwrap());
}
""",
    "app/data/a.txt": "data1",
    "lib/Cargo.toml": '[package]\nname = "lib"\nversion = "0.1.0"\nedition = "2021"\n',
    "lib/src/lib.rs": 'pub fn text() -> String { std::fs::metadata("/").map(|_| "lib1".into()).unwrap() }\n',
    ".gitignore": "/target\n/.llorch\n/.test-models\n",
}
"""A workspace of two packages whose binary tells what it was made from."""
TASK = "build:app"
TARGET = "target/release/app"


def release() -> str:
    """Return the release of Rust that is installed."""
    said = subprocess.run([f"{SYSROOT}/bin/rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return next(line.partition(": ")[2] for line in said.splitlines() if line.startswith("release"))


def git(root: Path, *arguments: str) -> None:
    """Run git."""
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@dataclass
class Checkout:
    """A checkout of the repository, and a machine to build it on."""

    root: Path
    lab: "Lab"
    environ: dict[str, str] = field(default_factory=dict)

    def llorch(self, *arguments: str, cargo: bool = True, **environ: str) -> Run:
        """Run llorch in this process, with cargo in PATH or without."""
        assert self.lab.llorch is not None
        return self.lab.llorch(*arguments, cwd=self.root, env=self.environment(cargo=cargo, **environ))

    def program(self, *arguments: str, cargo: bool = True, **environ: str) -> Run:
        """Run llorch as a program of its own."""
        return program("llorch", *arguments, cwd=self.root, env=self.environment(cargo=cargo, **environ))

    def environment(self, *, cargo: bool = True, **environ: str) -> dict[str, str]:
        """Return the variables that are others here."""
        return {"PATH": self.lab.tools if cargo else str(self.lab.nothing), **self.environ, **environ}

    def build(self, *arguments: str, cargo: bool = True, **environ: str) -> str:
        """Build the binary and return what became of the task; then a second run has nothing to do."""
        done = self.llorch("build", "app", "--json", *arguments, cargo=cargo, **environ)
        assert done.code == 0, done
        (task,) = done.json["tasks"]
        again = self.llorch("build", "app", "--json", *arguments, cargo=cargo, **environ)
        assert (again.code, again.json["tasks"][0]["outcome"]) == (0, "up-to-date"), again
        return str(task["outcome"])

    def says(self) -> str:
        """Return what the binary says."""
        done = subprocess.run([self.root / TARGET], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Change some text of a file."""
        text = (self.root / name).read_text()
        assert old in text, name
        self.write(name, text.replace(old, new))

    def set(self, **settings: Any) -> None:
        """Set `[cache]` in llorch.toml."""
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        text = (self.root / "llorch.toml").read_text().partition("[cache]\n")[0]
        self.write("llorch.toml", text + "[cache]\n" + "".join(lines))


class Lab:
    """The repository, the machines that check it out, and what they share."""

    def __init__(self, folder: Path, origin: Path, llorch: Callable[..., Run] | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.llorch = llorch
        self.tools = os.pathsep.join([f"{SYSROOT}/bin", os.environ["PATH"]])
        self.nothing = folder / "no cargo"
        self.nothing.mkdir()
        for name in ("git", "ssh"):
            place = shutil.which(name)
            if place is not None:
                (self.nothing / name).symlink_to(place)
        self.origin = folder / "origin"
        shutil.copytree(origin, self.origin)

    def checkout(self, name: str, *, own: bool = False) -> Checkout:
        """Return a new checkout, `own` if it is of a machine that has its own home."""
        root = self.folder / name
        git(self.folder, "clone", "-q", str(self.origin), str(root))
        found = Checkout(root, self)
        if own:
            home = self.folder / f"home of {name.replace('/', ' ')}"
            home.mkdir()
            found.environ["HOME"] = str(home)
        return found

    @property
    def store(self) -> Path:
        """Where the user's own store is, on the machine that all checkouts share unless they have their own."""
        return Path(os.environ["HOME"]) / ".cache/llorch/store"


@pytest.fixture(autouse=True)
def _with_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the cache, which other tests do without."""
    monkeypatch.delenv("LLORCH_NO_CACHE")


@pytest.fixture(scope="session")
def _origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that those of all tests are copies of."""
    assert SYSROOT is not None, "cargo is not installed"
    root = tmp_path_factory.mktemp("repository")
    origin = root / "origin"
    for name, text in {**FILES, "rust-toolchain.toml": f'[toolchain]\nchannel = "{release()}"\n'}.items():
        path = origin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_home(root / "home", monkeypatch)
        _leave_alone(monkeypatch)
        subprocess.run([f"{SYSROOT}/bin/cargo", "generate-lockfile", "-q", "--offline"], cwd=origin, check=True)
        git(origin, "init", "-q", "-b", "main")
        git(origin, "add", ".")
        git(origin, "commit", "-qm", "All")
    return origin


@pytest.fixture
def lab(tmp_path: Path, _origin: Path, monkeypatch: pytest.MonkeyPatch, llorch: Callable[..., Run]) -> Lab:
    """A repository and the tools to build it."""
    _leave_alone(monkeypatch)
    read_toolchain_once(monkeypatch)
    return Lab(tmp_path / "Läb", _origin, llorch)


@pytest.fixture(scope="module")
def _store(tmp_path_factory: pytest.TempPathFactory, _origin: Path) -> Path:
    """A store with what was built of the repository's first commit, once for the tests of a file."""
    root = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_home(root / "home", monkeypatch)
        monkeypatch.delenv("LLORCH_NO_CACHE")
        _leave_alone(monkeypatch)
        lab = Lab(root / "Läb", _origin)
        done = lab.checkout("first").program("build", "app")
        assert "build:app  done" in done.err, done
        return lab.store


@pytest.fixture
def built(lab: Lab, _store: Path) -> Lab:
    """A repository of which somebody has built the first commit already."""
    shutil.copytree(_store, lab.store)
    return lab


@pytest.fixture(scope="module")
def _published(tmp_path_factory: pytest.TempPathFactory, _origin: Path) -> "Shared":
    """A store that others may write to, with what was built of the first commit, once for the tests of a file."""
    root = tmp_path_factory.mktemp("published")
    made = new_shared(root)
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_home(root / "home", monkeypatch)
        monkeypatch.delenv("LLORCH_NO_CACHE")
        _leave_alone(monkeypatch)
        first = Lab(root / "Läb", _origin).checkout("first")
        first.set(**made.settings)
        done = first.program("build", "app")
        assert "build:app  done" in done.err, done
    return made


@pytest.fixture
def published(_published: "Shared", tmp_path: Path) -> "Shared":
    """A store that others may write to, which has what somebody has built of the first commit."""
    return Shared(shutil.copytree(_published.folder, tmp_path / "shared"), _published.key)


def _leave_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("CARGO", "RUST")):
            monkeypatch.delenv(name)


@dataclass(frozen=True)
class Shared:
    """A store that others may write to, with the key of those whose records count."""

    folder: Path
    key: Path

    @property
    def settings(self) -> dict[str, Any]:
        """What `[cache]` says to those who publish."""
        return {
            "url": f"file:{self.folder}",
            "write": True,
            "sign_key": f"file:{self.key}",
            "trusted_keys": [public(self.key).strip()],
        }

    @property
    def reading(self) -> dict[str, Any]:
        """What `[cache]` says to those who only read."""
        return {"url": f"file:{self.folder}", "trusted_keys": [public(self.key).strip()]}


def new_shared(root: Path) -> Shared:
    """Make a folder that a group may write to, and a key."""
    folder = root / "shared"
    folder.mkdir()
    folder.chmod(0o770)
    return Shared(folder, make_key(root / "key"))


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    """A folder that a group may write to, and a key."""
    return new_shared(tmp_path)
