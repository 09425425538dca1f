"""What the tests of models share: a workspace to fetch in, and wheels for pip."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli

from llorch.config import Workspace
from llorch.models.catalog import Entry, File, Model
from llorch.models.fetch import Fetched, fetch
from llorch.state import SMALL, State
from tests.conftest import Run, program, sha256, write_wheel
from tests.models.smollm2 import read_vocabulary
from tests.models.vocabularies import Kind, Vocabulary, load_real
from tests.remote.far import Box, new_box, serving
from tests.remote.sshd import Sshd

DATA = b"the right bytes"
BIG = b"x" * (SMALL + 1)
A = ".test-models/tiny/a.gguf"


def llorch_models(*arguments: str, **env: str) -> Run:
    """Run `llorch models …` as a program."""
    return program("llorch", "models", *arguments, env=env)


def entries() -> Any:
    """Return the entries of the catalog."""
    return tomli.loads(Path("catalog.toml").read_text())["models"]


@dataclass
class Heard:
    """A progress that remembers what it was told."""

    said: list[str] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    advanced: int = 0

    def total(self, size: int, done: int = 0) -> None:
        """Remember it."""
        self.totals.append(size)

    def advance(self, size: int) -> None:
        """Count it."""
        self.advanced += size

    def say(self, text: str) -> None:
        """Remember it."""
        self.said.append(text)

    def pause(self, seconds: float, why: str) -> None:
        """Remember it, and do not wait."""
        self.said.append(why)

    @contextmanager
    def child(self, text: str) -> Iterator["Heard"]:
        """Remember it in one place with the rest."""
        self.said.append(text)
        yield self


@dataclass
class Bench:
    """A workspace to fetch in."""

    root: Path
    state: State
    heard: Heard = field(default_factory=Heard)

    @property
    def workspace(self) -> Workspace:
        """The workspace."""
        return Workspace(root=self.root, declared=True)

    def fetch(self, model: Model) -> Fetched:
        """Fetch a model."""
        return fetch(model, self.workspace, self.state, self.heard)

    def put(self, path: str, data: bytes) -> Path:
        """Write a file of the workspace."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place

    def files(self) -> dict[str, bytes]:
        """Return all there is in the model folder."""
        base = self.root / ".test-models"
        return {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}


@pytest.fixture
def bench(workspace: Path) -> Iterator[Bench]:
    """A workspace, and a source folder `src` in it with one file."""
    state = State(workspace / ".llorch" / "state.db", workspace)
    bench = Bench(workspace, state)
    bench.put("src/a.gguf", DATA)
    yield bench
    state.close()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, bytes]], Path]:
    """Let pip find the wheel `tiny` 1.0, with these files in it, and nothing else anywhere."""
    folder = tmp_path / "wheels"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return functools.partial(write_wheel, folder, "tiny", "1.0")


def tiny(source: str = "file:src", path: str = "a.gguf", data: bytes = DATA, *, pinned: bool = True) -> Model:
    """Return a model of one file."""
    file = File(path=path, size=len(data), sha256=sha256(data)) if pinned else File(path=path)
    return Model("tiny", Entry(files=(file,), source=source), ".test-models/tiny")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder for what pip brings, once for all tests and not kept, as it is big."""
    folder = tmp_path_factory.mktemp("packages")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def real_vocabulary(packages: Path, smollm2: Path) -> Callable[[Kind], Vocabulary]:
    """Read the real vocabulary of a kind, each once."""

    @functools.cache
    def read(kind: Kind) -> Vocabulary:
        return read_vocabulary(smollm2) if kind == "smollm2" else load_real(kind, packages)

    return read


@pytest.fixture(scope="session")
def box_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all hosts to copy to and from."""
    with serving(tmp_path_factory.mktemp("server")) as sshd:
        yield sshd


@pytest.fixture
def box(box_server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A host whose repository is empty."""
    return new_box(box_server, tmp_path, monkeypatch)
