"""Find the cargo packages of a folder and their binaries, by the manifests alone: cargo may not be there yet.

What is a member of a workspace, and what is a binary, is as in https://doc.rust-lang.org/cargo/reference/workspaces.html
and https://doc.rust-lang.org/cargo/reference/cargo-targets.html. What to do with them is not this file's business.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any

from llorch.errors import ConfigError
from llorch.text import shown
from llorch.toml import load
from llorch.workspace import read_file

MANIFEST = "Cargo.toml"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_DEPENDENCIES = ("dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies")
_NOT_OURS = ("target", "node_modules")
"""Folders of what others have made."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A cargo package. Folders are relative to the one that was looked at, which is itself empty.

    Attributes:
        root: the folder of the cargo workspace that it is in; its own where it is in none.
        nearest: the nearest folder, its own or above, that is a root; its own where there is none.
        binaries: their names, each with the features that it requires.
    """

    folder: str
    root: str
    nearest: str
    name: str
    binaries: Mapping[str, tuple[str, ...]]
    features: tuple[str, ...]

    @property
    def manifest(self) -> str:
        """Where its manifest is."""
        return os.path.join(self.folder, MANIFEST)


@dataclass(frozen=True, slots=True)
class Found:
    """The packages, ordered by folder, and a sentence on each thing that was left out."""

    packages: tuple[Package, ...]
    left_out: tuple[str, ...]


def find_packages(base: Path) -> Found:
    """Return the packages below a folder.

    Raises:
        ConfigError: the manifest of the folder itself is no TOML.
    """
    left_out: list[str] = []
    manifests = dict(_load_manifests(base, left_out))
    members = {folder: _members(folder, manifests) for folder, each in manifests.items() if "workspace" in each}
    packages = []
    for folder in manifests:
        if "package" in manifests[folder]:
            package, why = _package(base, folder, manifests, members)
            if why:
                left_out.append(f"{package.manifest}: {why}")
            else:
                packages.append(package)
    return Found(tuple(packages), tuple(left_out))


def find_submodules(base: Path) -> tuple[str, ...]:
    """Return the paths of the submodules that a folder's `.gitmodules` has; git need not be there."""
    try:
        text = read_file(base / ".gitmodules").decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(re.findall(r'^\s*path\s*=\s*"?(.+?)"?\s*$', text, re.MULTILINE))


def _load_manifests(base: Path, left_out: list[str]) -> Iterator[tuple[str, Manifest]]:
    for folder in _folders(base, left_out):
        name = os.path.join(folder, MANIFEST)
        try:
            document = load(base / name, name)
        except (FileNotFoundError, NotADirectoryError) as error:
            left_out.append(f"{name}: {error.strerror}")
            continue
        if not document.problems:
            yield folder, document.data
        elif folder:  # a template, or what a test wants to be broken
            left_out.append(str(document.problems[0]))
        else:
            raise ConfigError(document.problems, hint="mend it, and run it again")


def _folders(base: Path, left_out: list[str]) -> Iterator[str]:
    """Yield each folder that has a manifest of ours, the outer before the inner."""
    for place, names, files in os.walk(base):
        here = os.path.relpath(place, base)
        folder = "" if here == "." else here
        if folder and os.path.lexists(os.path.join(place, ".git")):
            if MANIFEST in files:
                left_out.append(
                    f"{shown(os.path.join(folder, MANIFEST))}: it is a submodule's, or another repository's"
                )
        elif not folder.isprintable():
            left_out.append(f"{shown(folder)}: its name cannot stand in llorch.toml")
        elif ".cargo-checksum.json" not in files:  # `cargo vendor` writes one into each package
            names[:] = sorted(name for name in names if not name.startswith(".") and name not in _NOT_OURS)
            if os.path.isfile(os.path.join(place, MANIFEST)):
                yield folder
            continue
        names.clear()


def _package(
    base: Path, folder: str, manifests: Mapping[str, Manifest], members: Mapping[str, set[str]]
) -> tuple[Package, str]:
    """Return a package, and why it is to be left out, if so."""
    manifest = manifests[folder]
    name = _table(manifest, "package").get("name")
    nearest = next((each for each in _upwards(folder) if each in members), folder)
    root, why = _root(folder, nearest, manifests, members)
    binaries = _find_binaries(base / folder, manifest)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        why = "its name is none that llorch.toml takes"
    for binary in binaries:
        if not _NAME.fullmatch(binary):
            why = why or f"its binary `{shown(binary)}` has a name that llorch.toml does not take"
    features = tuple(_table(manifest, "features"))
    package = Package(folder=folder, root=root, nearest=nearest, name=str(name), binaries=binaries, features=features)
    return package, why


def _root(
    folder: str, nearest: str, manifests: Mapping[str, Manifest], members: Mapping[str, set[str]]
) -> tuple[str, str]:
    """Return the root of the cargo workspace that a package is in, and why cargo would not take it, if so."""
    named = _table(manifests[folder], "package").get("workspace")
    if isinstance(named, str):
        pointed = _join(folder, named)
        return (pointed if pointed in members else folder), ""
    if nearest not in members or _is_excluded(folder, nearest, _table(manifests[nearest], "workspace")):
        return folder, ""
    if folder in members[nearest]:
        return nearest, ""
    where = f"the cargo workspace in {nearest}" if nearest else "the cargo workspace"
    return folder, f"{where} neither has it for a member nor excludes it"


def _members(root: str, manifests: Mapping[str, Manifest]) -> set[str]:
    """Return the folders of a workspace's members: those it names, itself, and what they depend on by path below it."""
    table = _table(manifests[root], "workspace")
    patterns = [_join(root, pattern).split("/") for pattern in _texts(table.get("members"))]
    found = {root}
    for folder in manifests:
        if any(_matches(folder.split("/"), pattern) for pattern in patterns):
            found |= set() if _is_excluded(folder, root, table) else {folder}
    waiting = [*found]
    while waiting:
        folder = waiting.pop()
        for path in _paths_needed(folder, root, manifests):
            new = path in manifests and path not in found and root in _upwards(path)
            if new and not _is_excluded(path, root, table):
                found.add(path)
                waiting.append(path)
    return found


def _is_excluded(folder: str, root: str, workspace: Manifest) -> bool:
    """Tell whether a workspace excludes a folder; what it names in full is a member nevertheless."""

    def has(key: str) -> bool:
        return any(_join(root, path) in _upwards(folder) for path in _texts(workspace.get(key)))

    return has("exclude") and not has("members")


def _paths_needed(folder: str, root: str, manifests: Mapping[str, Manifest]) -> Iterator[str]:
    """Yield the folders that a package depends on by path."""
    manifest = manifests[folder]
    shared = _table(_table(manifests[root], "workspace"), "dependencies")
    targets = [each for each in _table(manifest, "target").values() if isinstance(each, dict)]
    for name, needed in chain.from_iterable(
        _table(each, key).items() for each in (manifest, *targets) for key in _DEPENDENCIES
    ):
        if isinstance(needed, dict) and needed.get("workspace") is True:
            path, start = _table(shared, name).get("path"), root
        else:
            path, start = _table({"": needed}, "").get("path"), folder
        if isinstance(path, str):
            yield _join(start, path)


def _find_binaries(place: Path, manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """Return a package's binaries, each with the features that it requires."""
    package = _table(manifest, "package")
    tables = manifest.get("bin")
    declared = [each for each in tables if isinstance(each, dict)] if isinstance(tables, list) else []
    found = {str(each.get("name")): _texts(each.get("required-features")) for each in declared}
    # In the edition of 2015, which is meant where none is named, naming one turns the looking off.
    looks = not declared or package.get("edition", "2015") != "2015"
    if package.get("autobins", looks) is True:
        paths = {os.path.normpath(str(each.get("path"))) for each in declared}
        for path, name in _sources(place, str(package.get("name"))):
            if path not in paths:
                found.setdefault(name, ())
    return found


def _sources(place: Path, package: str) -> Iterator[tuple[str, str]]:
    """Yield the files that cargo takes for the main ones of binaries, and those binaries' names."""
    if (place / "src/main.rs").is_file():
        yield "src/main.rs", package
    folder = place / "src/bin"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix == ".rs" and path.is_file():
            yield f"src/bin/{path.name}", path.stem
        elif (path / "main.rs").is_file():
            yield f"src/bin/{path.name}/main.rs", path.name


def _table(data: Manifest, key: str) -> Manifest:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _join(folder: str, path: str) -> str:
    """Return a path as folders are named here.

    >>> _join("a/b", "../c/"), _join("a", "..")
    ('a/c', '')
    """
    clean = os.path.normpath(os.path.join(folder, path))
    return "" if clean == "." else clean


def _upwards(folder: str) -> Iterator[str]:
    """Yield a relative folder and all above it.

    >>> list(_upwards("a/b"))
    ['a/b', 'a', '']
    """
    yield folder
    while folder:
        folder = os.path.dirname(folder)
        yield folder


def _matches(parts: list[str], pattern: list[str]) -> bool:
    """Tell whether a path is what a pattern of cargo's means.

    >>> _matches(["a", "b", "c"], ["a", "**", "c"]), _matches(["a", "b"], ["*"])
    (True, False)
    """
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
