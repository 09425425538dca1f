"""Which files could decide what a binary is, found from manifests alone: cargo is not asked, and nothing is built."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llorch.build.found import above, walk
from llorch.build.plan import Plan, cargo_root

_DEPENDENCIES = ("dependencies", "dev-dependencies", "build-dependencies")

Table = Mapping[str, Any]


def find_sources(plan: Plan) -> set[str]:
    """Return the absolute paths of manifests, lock file, configuration and all files of packages that are reached.

    A package is reached if it is the binary's, or a dependency of one that is by a path.
    """
    root = cargo_root(plan.folder)
    workspace = _load(root / "Cargo.toml")
    found = {str(root / "Cargo.lock"), *map(str, _members(root, workspace))}
    # Not what is the user's own or the machine's: the same contents are to have the same key everywhere.
    found |= {path for path in above(plan.folder) if Path(path).is_relative_to(root)}
    for folder in find_packages(plan.folder):
        if (folder / "Cargo.toml").is_file():
            found |= {path for path in walk(str(folder)) if not path.endswith("/")}
    return {path for path in found if os.path.isfile(path)}


def find_packages(folder: Path) -> set[Path]:
    """Return the folders of a package and of those that it reaches by paths, there or not."""
    root = cargo_root(folder)
    workspace = _load(root / "Cargo.toml")
    waiting = [folder, *_patched(root, workspace)]
    seen: set[Path] = set()
    while waiting:
        folder = Path(os.path.normpath(waiting.pop()))
        if folder not in seen:
            seen.add(folder)
            waiting += _dependencies(folder, _load(folder / "Cargo.toml"), root, workspace)
    return seen


def _load(manifest: Path) -> Table:
    import tomli

    try:
        return tomli.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # its bytes count all the same


def _table(table: Table, *keys: str) -> Table:
    """Return a table within others, an empty one where there is none."""
    for key in keys:
        inner = table.get(key)
        table = inner if isinstance(inner, dict) else {}
    return table


def _members(root: Path, workspace: Table) -> Iterator[Path]:
    """Return the manifests of a workspace's members, which cargo reads whatever it builds."""
    members = _table(workspace, "workspace").get("members")
    for pattern in members if isinstance(members, list) else ():
        if isinstance(pattern, str) and not os.path.isabs(pattern):
            yield from root.glob(f"{os.path.normpath(pattern)}/Cargo.toml")


def _patched(root: Path, workspace: Table) -> Iterator[Path]:
    for source in _table(workspace, "patch"):
        yield from _paths(root, _table(workspace, "patch", source))


def _dependencies(folder: Path, manifest: Table, root: Path, workspace: Table) -> Iterator[Path]:
    inherited = _table(workspace, "workspace", "dependencies")
    for table in (manifest, *(_table(manifest, "target", target) for target in _table(manifest, "target"))):
        for kind in _DEPENDENCIES:
            named = _table(table, kind)
            yield from _paths(folder, named)
            from_workspace = {
                name: inherited[name] for name in named if _is_inherited(named[name]) and name in inherited
            }
            yield from _paths(root, from_workspace)


def _is_inherited(dependency: Any) -> bool:
    return isinstance(dependency, dict) and dependency.get("workspace") is True


def _paths(folder: Path, dependencies: Table) -> Iterator[Path]:
    for dependency in dependencies.values():
        if isinstance(dependency, dict) and isinstance(dependency.get("path"), str):
            yield folder / dependency["path"]
