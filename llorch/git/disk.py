"""What is on the disk: files that git does not track, and what is in places where a commit has something else.

The index does not count here. A folder can be where it has a file, a link where it has a submodule; and a reset takes
away what is there.
"""

import os
import stat
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from llorch.errors import Refused
from llorch.git.porcelain import fields
from llorch.git.repo import Repo
from llorch.text import shown

_Kind = Literal["nothing", "other", "folder", "repository"]
"""What is in a place: `other` is a file, a link, or what else is no folder."""


def untracked_files(repo: Repo) -> tuple[str, ...]:
    """Return each file that git neither tracks nor ignores; repositories in the work tree are left alone."""
    found = fields(repo.look("ls-files", "-z", "--others", "--exclude-standard"))
    files = [path for path in found if not path.endswith("/")]  # a name that ends with a slash is a repository
    bare = tuple(_bare(repo.root, files))
    return tuple(path for path in files if not path.startswith(bare))


def in_the_way(repo: Repo, target: str, among: Container[str] | None = None) -> tuple[str, ...]:
    """Return files that git does not track, ignored or not, in places where a commit has something else.

    What counts is what is on the disk, whatever the index has in its place.

    Args:
        among: the commit's paths that matter; all of them without it.

    Raises:
        Refused: a repository is in the place of a file, or something that is no folder in that of a submodule.
    """
    tracked, modules = _paths(repo.look("ls-files", "-s", "-z"))
    coming, goals = _paths(repo.look("ls-tree", "-r", "-z", "--full-tree", target))
    found: set[str] = set()
    kinds: dict[str, _Kind] = {}
    for path in (path for path in coming | goals if among is None or path in among):
        place, kind = _met(repo.root, path, kinds)
        if kind == "other" and place not in tracked:
            found.add(place if path in coming and place not in modules else place + "/")
        elif kind == "repository" and path not in (goals if path == place else tracked):
            found.add(place + "/")
        elif kind == "folder" and path in coming:
            found |= set(_below(repo.root, path)) - tracked
    barred = sorted(path for path in {*found, *_bare(repo.root, found)} if path.endswith("/"))
    if barred:
        listed = ", ".join(f"`{shown(path.rstrip('/'))}`" for path in barred)
        hint = "move what is there away, or `git submodule deinit` it if it is a submodule; then repeat"
        raise Refused(f"in `{repo.root}`, what would be replaced cannot be kept: {listed}", hint=hint)
    return tuple(sorted(found))


def remove(repo: Repo, files: Iterable[str]) -> None:
    """Delete files of a work tree, and the folders that are empty then."""
    for path in files:
        with suppress(FileNotFoundError):
            os.unlink(repo.root / path)
        for above in reversed(_above(path)):
            with suppress(OSError):  # it is not empty
                os.rmdir(repo.root / above)


def _paths(listing: bytes) -> tuple[set[str], set[str]]:
    """Return the files' and the submodules' paths in `git ls-files -s -z` or `git ls-tree -r -z`."""
    found: tuple[set[str], set[str]] = (set(), set())
    for record in fields(listing):
        what, _, path = record.partition("\t")
        found[what.startswith("160000 ")].add(path)
    return found


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _kind(place: Path) -> _Kind:
    try:
        mode = os.lstat(place).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    if not stat.S_ISDIR(mode):
        return "other"
    return "repository" if os.path.lexists(place / ".git") else "folder"


def _met(root: Path, path: str, kinds: dict[str, _Kind]) -> tuple[str, _Kind]:
    """Return the first thing on the way to a path that is no plain folder, else the path, and which kind it is.

    Args:
        kinds: what is known of folders already.
    """
    for above in _above(path):
        if above not in kinds:
            kinds[above] = _kind(root / above)
        if kinds[above] != "folder":
            return above, kinds[above]
    return path, _kind(root / path)


def _below(root: Path, folder: str) -> Iterator[str]:
    """Yield what is in a folder, links as themselves; a repository with a slash at its end instead of what it has."""
    for entry in os.scandir(root / folder):
        path = f"{folder}/{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            yield path
        elif os.path.lexists(root / path / ".git"):
            yield path + "/"
        else:
            yield from _below(root, path)


def _bare(root: Path, files: Iterable[str]) -> Iterator[str]:
    """Yield the folders, with a slash at their end, that are repositories without a work tree, by their files."""
    for folder in (path.removesuffix("HEAD") for path in files if path.endswith("/HEAD")):
        if all(os.path.isdir(root / folder / name) for name in ("objects", "refs")):
            yield folder
