"""Real repositories: made anew for each test, with submodules that come from other folders."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

SETTINGS = {
    "protocol.file.allow": "always",  # of these tests alone: git itself refuses submodules from other folders
    "init.defaultBranch": "main",
    "user.name": "Ada",
    "user.email": "ada@example.org",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's settings of git away."""
    isolate(monkeypatch)


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give git its settings by the environment, and none of this machine's."""
    for name in [*os.environ]:
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(SETTINGS)))
    for number, (key, value) in enumerate(SETTINGS.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, which must end well, and return what it wrote."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
    return done.stdout.rstrip("\n")


def head(folder: Path) -> str:
    """Return the commit that a repository is at."""
    return git(folder, "rev-parse", "HEAD")


def commit(folder: Path, name: str, text: str = "", message: str = "") -> str:
    """Write a file and commit it; return the commit."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or name)
    git(folder, "add", "-f", "--", name)
    git(folder, "commit", "-qm", message or f"Write {name.encode('unicode_escape').decode()}")
    return head(folder)


def repository(folder: Path) -> Path:
    """Make a repository with one commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    commit(folder, "README", "first\n")
    return folder


def add_submodule(parent: Path, source: Path, path: str) -> None:
    """Add a submodule and commit that."""
    git(parent, "submodule", "--quiet", "add", source.as_uri(), path)
    git(parent, "commit", "-qm", f"Add {path}")


def clone(source: Path, folder: Path) -> Path:
    """Clone a repository with its submodules and theirs."""
    git(source.parent, "clone", "-q", "--recurse-submodules", source.as_uri(), str(folder))
    return folder


@dataclass(frozen=True)
class World:
    """A repository with submodules, what they come from, and a clone of it to work in."""

    origin: Path
    sources: dict[str, Path]
    work: Path

    def advance(self, path: str) -> str:
        """Have another commit in a submodule's source, and record it in origin; return the commit."""
        made = commit(self.sources[path], "news", message=f"News of {path}")
        git(self.origin / path, "fetch", "-q")
        git(self.origin / path, "checkout", "-q", "--detach", made)
        git(self.origin, "commit", "-qam", f"Move {path}")
        return made


def failing_hook(root: Path) -> None:
    """Have a repository, and those in it, the hook of an extension that is not installed, as those of Git LFS are."""
    hook = root / ".git/hooks of all/post-checkout"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho git-lfs was not found >&2\nexit 2\n")
    hook.chmod(0o755)
    for path in [root, *(place.parent for place in root.glob("**/*/.git"))]:
        git(path, "config", "core.hooksPath", str(hook.parent))


@cache
def first_world(place: Path) -> World:
    """Make what each test has a copy of, in the one place, which commits name; the first one is put beside it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        isolate(monkeypatch)
        inner = repository(place / "sources" / "inner")
        candle = repository(place / "sources" / "candle")
        add_submodule(candle, inner, "inner lib")
        llama = repository(place / "sources" / "llama")
        origin = repository(place / "origin")
        commit(origin, "llorch.toml", "version = 1\n")
        commit(origin, ".gitignore", "ignored*\n.llorch/\n")
        sources = {"reference/candle": candle, "reference/llama ü": llama}
        for path, source in sources.items():
            add_submodule(origin, source, path)
        git(origin, "submodule", "--quiet", "update", "--init", "--recursive")
        work = clone(origin, place / "Wörk trée")
    place.rename(place.with_name("first"))
    return World(origin, {**sources, "reference/candle/inner lib": inner}, work)


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A clone to be in: its submodules are `reference/candle`, with `inner lib` in it, and `reference/llama ü`."""
    place = tmp_path_factory.getbasetemp() / "git" / "world"
    world = first_world(place)
    subprocess.run(["cp", "-a", place.with_name("first"), place], check=True)
    monkeypatch.chdir(world.work)
    yield World(world.origin, dict(world.sources), world.work)
    place.rename(tmp_path / "world")


def state(folder: Path) -> dict[str, object]:
    """Return all that a work tree and its submodules have: HEAD, branch, index and files, ignored ones too."""
    found: dict[str, object] = {}
    for root in [folder, *(path.parent for path in sorted(folder.glob("**/*/.git")))]:
        files = {
            path.relative_to(root): os.readlink(path) if path.is_symlink() else path.read_bytes()
            for path in root.rglob("*")
            if (path.is_symlink() or path.is_file()) and ".git" not in path.parts and ".llorch" not in path.parts
        }
        index = git(root, "ls-files", "-s")
        found[str(root)] = (git(root, "rev-parse", "HEAD"), git(root, "branch", "--show-current"), index, files)
    return found
