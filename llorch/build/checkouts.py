"""Whose sources are compiled in a target folder that several checkouts share, as by CARGO_TARGET_DIR.

Cargo tells the packages of a workspace by their names and by where in it they are, and what is out of date by files'
times, so that it takes what it has compiled of one checkout's sources for the other's.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from shlex import quote
from typing import Any

from llorch.errors import LlorchError

CACHE_TAG = "CACHEDIR.TAG"
"""Marks a folder whose content can be made again (https://bford.info/cachedir/)."""

_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by llorch, in cargo's place.
# For information about cache directory tags see https://bford.info/cachedir/
"""
_OWN = ".llorch"
"""What is llorch's in a target folder: locks and these notes."""
_MIXED = ""
"""Stands for a checkout where the package may be of either: a build of the one has begun since the other's."""


def begin_folder(folder: Path) -> bool:
    """Tell whether a target folder is new; then mark it, as cargo does where it makes the folder itself."""
    folder.mkdir(parents=True, exist_ok=True)
    if set(os.listdir(folder)) - {_OWN}:
        return False
    (folder / CACHE_TAG).write_text(_TAG)
    return True


class Checkouts:
    """Notes on whose packages are compiled in one profile of the folder that cargo builds in."""

    def __init__(self, folder: Path, target: Path, metadata: Mapping[str, Any]) -> None:
        """Read the notes.

        Args:
            folder: the target folder.
            target: the binary in it.
            metadata: what cargo says of the workspace; by `build.build-dir` it builds elsewhere.

        Raises:
            LlorchError: they are damaged.
        """
        profile = os.path.relpath(target.parent, folder)
        built = metadata.get("build_directory", metadata["target_directory"])
        place = folder if built == metadata["target_directory"] else Path(built)
        self._file = place / _OWN / f"{hashlib.sha256(os.fsencode(profile)).hexdigest()[:32]}.json"
        self._root: str = metadata["workspace_root"]
        self._was = self._read()

    def begin(self, members: Iterable[str]) -> None:
        """Note that cargo may compile any package from now on; the workspace's members have these manifests."""
        there = (os.path.join(self._root, key.partition("\n")[2]) for key in self._was)
        keys = self._keys({*members, *filter(os.path.exists, there)})
        self._note({key: self._root if self._is_own(key) else _MIXED for key in keys})

    def has_others(self, manifests: Iterable[str]) -> bool:
        """Tell whether one of these packages may have been compiled of another checkout's sources."""
        now = self._read()  # only the target folder has a lock
        return not all(self._is_own(key) and now.get(key, self._root) == self._root for key in self._keys(manifests))

    def end(self, manifests: Iterable[str]) -> None:
        """Note that these packages are compiled of this checkout's sources."""
        self._note(dict.fromkeys(self._keys(manifests), self._root))

    def _read(self) -> dict[str, str]:
        try:
            notes: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
        except ValueError:
            folder = self._file.parent.parent
            raise LlorchError(
                f"`{self._file}` is damaged, and nobody knows whose sources are compiled in `{folder}`",
                hint=f"`rm -r {quote(str(folder))}`; all of it is compiled again",
            ) from None
        return notes

    def _is_own(self, key: str) -> bool:
        return key not in self._was or self._was[key] == self._root

    def _keys(self, manifests: Iterable[str]) -> set[str]:
        """Return what cargo tells packages by: those of other workspaces in the folder have others."""
        import tomli

        found = set()
        for path in manifests:
            package = tomli.loads(Path(path).read_text(encoding="utf-8")).get("package", {})
            found.add(f"{package.get('name')}\n{os.path.relpath(path, self._root)}")
        return found

    def _note(self, notes: dict[str, str]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        growing = self._file.with_suffix(f".{os.getpid()}")
        growing.write_text(json.dumps(self._read() | notes))
        os.replace(growing, self._file)
