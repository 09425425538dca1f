"""The paths in a `.gitmodules`."""

import subprocess
from pathlib import Path

import pytest

from llorch.git.modules import parse_paths, submodule_paths
from tests.git.conftest import add_submodule, isolated, repository

__all__ = ["isolated"]  # a fixture

AWKWARD = [
    '[submodule "a"]\n\tpath = plain\n',
    '[submodule "a"] path = beside the header\n',
    '[submodule "a \\"]\\" b"]\n\tPATH=no blanks # a comment\n\turl = https://example.org/path = x\n',
    '[submodule "a"]\n\tpath = "  kept  "  ; another\n',
    '[submodule "a"]\n\tpath = one "two # three" four\n',
    '[submodule "a"]\n\tpath = it\'s \\"odd\\" \\\\ größe\n',
    '[submodule "a"]\n\tpath = goes \\\n on\n[submodule "b"]\n\tpath = second\n',
    '[submodule "a"]\n\t# path = no\n\tmypath = no\n\tpath = last',
    "",
]


@pytest.mark.parametrize("text", AWKWARD)
def test_they_are_those_that_git_reads(tmp_path: Path, text: str) -> None:
    """Quotes, escapes, comments and lines that go on are what they are to git."""
    file = tmp_path / "modules"
    file.write_text(text)
    command = ["git", "config", "-z", "--file", str(file), "--get-regexp", r"submodule\..*\.path"]
    said = subprocess.run(command, capture_output=True, check=False).stdout.decode()
    assert parse_paths(text) == [entry.partition("\n")[2] for entry in said.split("\0")[:-1]]


def test_those_in_submodules_follow(tmp_path: Path) -> None:
    """A submodule's own are found in its work tree, with the whole path."""
    root = repository(tmp_path / "root")
    add_submodule(root, repository(tmp_path / "outer"), "libs/größer one")
    add_submodule(root / "libs/größer one", repository(tmp_path / "inner"), "it's")
    assert [*submodule_paths(str(root))] == ["libs/größer one", "libs/größer one/it's"]


def test_none_leads_out(tmp_path: Path) -> None:
    """What a hostile file has for paths is left out: above, absolute, itself, or through a link."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.gitmodules").write_text('[submodule "x"]\n\tpath = found\n')
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "out")
    paths = ("../out", str(tmp_path / "out"), ".", "", "a//b", "link", "right")
    (root / ".gitmodules").write_text("".join(f'[submodule "{path}"]\n\tpath = "{path}"\n' for path in paths))
    assert [*submodule_paths(str(root))] == ["right"]


def test_a_file_that_cannot_be_read_names_none(tmp_path: Path) -> None:
    """A folder in its place is no error."""
    (tmp_path / ".gitmodules").mkdir()
    assert [*submodule_paths(str(tmp_path))] == []
