"""What a CI key is made of: contents and settings, whatever the path, the times and what is built."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llorch.cache.keys import Places
from llorch.cache.parts import Part, compare, find_parts, key_of, load_parts
from llorch.config import Workspace
from llorch.errors import Malformed, NotFound
from llorch.share import Share
from llorch.state import Recipe
from tests.cache.conftest import git
from tests.conftest import sha256


class Sources(Share):
    """Shares what is made of all files of a workspace."""

    def __init__(self, root: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(Recipe("build:app"), settings=settings)
        self._root = root

    def sources(self) -> set[str]:
        """Return the files, as a walk finds them."""
        return {str(path) for path in self._root.rglob("*") if path.is_file() and ".git" not in path.parts}


def parts(root: Path, settings: Mapping[str, Any] | None = None) -> list[Part]:
    """Return the parts of a task that is made of all files of a workspace."""
    workspace = Workspace(root, declared=True)
    return find_parts(
        {"build:app": Sources(root, settings or {"a": 1})},
        workspace,
        Places(workspace, ".test-models"),
        lambda name: sha256((root / name).read_bytes()),
    )


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


FILES = {"Cargo.toml": "", "src/main.rs": "main", "data/a.txt": "a", ".gitignore": "*.log\nout/\n"}


@pytest.mark.parametrize("repository", [True, False])
def test_the_same_contents_have_the_same_key(tmp_path: Path, repository: bool) -> None:
    """At another path, with other times and rights, and with what runs leave there."""
    one, two = tmp_path / "one", tmp_path / "deeper/two"
    for root in (one, two):
        write(root, FILES)
        if repository:
            git(root, "init", "-q")
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    assert parts(one) == parts(two)
    write(two, {"llorch.toml": "", "hosts.toml": "of this machine"})
    if repository:
        write(two, {"out/x.rs": "", "src/a.log": "", "Cargo.lock": "", "key.json": "{}"})
    assert key_of(parts(one)) == key_of(parts(two))


@pytest.mark.parametrize(
    "files",
    [
        {"src/main.rs": "other"}, {"src/new.rs": ""}, {"build.rs": ""}, {"data/new.txt": ""}, {"new/x.txt": ""},
        {"rust-toolchain": "1.95.0"},
    ],
)  # fmt: skip
def test_other_contents_have_another(tmp_path: Path, files: dict[str, str]) -> None:
    """An edited file, and a new one that may be a source, whether git knows it or not."""
    write(tmp_path, FILES)
    git(tmp_path, "init", "-q")
    before = parts(tmp_path)
    write(tmp_path, files)
    (name,) = files
    assert [change.name for change in compare(before, parts(tmp_path))] == [name]


def test_what_git_knows_counts_wherever_it_is(tmp_path: Path) -> None:
    """A lock file that is checked in is a part."""
    write(tmp_path, {**FILES, "Cargo.lock": "1"})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    before = parts(tmp_path)
    write(tmp_path, {"Cargo.lock": "2"})
    assert [change.name for change in compare(before, parts(tmp_path))] == ["Cargo.lock"]


def test_settings_are_told_as_they_are(tmp_path: Path) -> None:
    """They are one part of each task, in one form; how they differ can be read."""
    was, now = parts(tmp_path, {"b": 1, "a": None}), parts(tmp_path, {"a": None, "b": 2})
    assert was == [Part("build:app settings", '{"a":null,"b":1}')]
    assert compare(was, now) == [("build:app settings", '{"a":null,"b":1}', '{"a":null,"b":2}')]
    assert compare(was, [*was, Part("x", "1")]) == [("x", None, "1")]
    assert compare([*was, Part("x", "1")], was) == [("x", "1", None)]


def document(**changes: Any) -> str:
    """Return what `cache key --json` writes, or something else."""
    found = {"key": key_of([Part("a", "1")]), "tasks": ["build:app"], "parts": [{"name": "a", "value": "1"}]}
    return json.dumps({**found, **changes})


def test_a_key_file_is_read(tmp_path: Path) -> None:
    """It has the tasks that it was asked of, and the parts."""
    (tmp_path / "key.json").write_text(document(schema=1))
    assert load_parts(tmp_path / "key.json") == (("build:app",), [Part("a", "1")])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", document(key="x"), document(tasks=[1]), document(tasks=None), document(parts=[{"name": "a"}]),
     document(parts=[{"name": "a", "value": 1}]), document(parts=[]), "[" * 100_000],
)  # fmt: skip
def test_what_is_no_key_file(tmp_path: Path, text: str) -> None:
    """It is refused, also when only a value in it was changed."""
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(Malformed, match="it is not what `llorch cache key --json` writes"):
        load_parts(tmp_path / "key.json")
    with pytest.raises(NotFound):
        load_parts(tmp_path / "no.json")
