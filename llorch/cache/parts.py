"""What a key for a CI cache is made of: the contents of files and the settings that could decide what tasks make.

It says nothing of this machine, of times, or of what is made; a CI job tells runners apart by itself.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from llorch import shell
from llorch.cache.keys import Places, canonical, digest_of, is_digest
from llorch.config import Workspace
from llorch.errors import CommandFailed, Malformed, NotFound, ToolMissing
from llorch.parallel import in_parallel
from llorch.share import Share

LARGEST = 64 << 20
"""Bytes of a file of parts that is read."""

_READ = ("Cargo.toml", "rust-toolchain", "rust-toolchain.toml")
_OWN = ("llorch.toml", "catalog.toml", "hosts.toml", "dodo.py")
"""Files at the workspace's root that are read for settings, which are parts by themselves."""


class Part(NamedTuple):
    """One thing that could decide: the sha256 of a file, or a task's settings as JSON."""

    name: str
    value: str


class Change(NamedTuple):
    """How two keys differ in one part; None where one has none."""

    name: str
    was: str | None
    now: str | None


def key_of(parts: Sequence[Part]) -> str:
    """Return the key that parts have."""
    return digest_of([[part.name, part.value] for part in parts])


def find_parts(
    shares: Mapping[str, Share],
    workspace: Workspace,
    places: Places,
    digest: Callable[[str], str],
) -> list[Part]:
    """Return what could decide what tasks make, in order.

    Args:
        digest: gives a file's sha256 by its name in the workspace.
    """
    settings = [Part(f"{task} settings", canonical(dict(share.settings)).decode()) for task, share in shares.items()]
    paths = {path for share in shares.values() for path in share.sources()}
    left = (*_passing(workspace.root), *(str(workspace.path(name)) for name in _OWN)) if paths else ()
    names = {places.portable(workspace.name(path)): path for path in paths if not _is_in(path, left)}
    return sorted([*settings, *(Part(name, digest(workspace.name(path))) for name, path in names.items())])


def _passing(root: Path) -> tuple[str, ...]:
    """Return the files and folders that runs and people leave behind: what git ignores, and some that it does not know.

    Of those it is what lies beside a manifest, such as a lock file or a log; elsewhere in a package it may be a source.
    """

    def listed(options: Sequence[str]) -> list[str]:
        command = ["git", "-C", str(root), "ls-files", "--others", "--exclude-standard", "--directory", "-z", *options]
        try:
            return [os.fsdecode(name) for name in shell.output(command).split(b"\0") if name]
        except (CommandFailed, ToolMissing):
            return []  # there is no repository, so nothing is ignored

    ignored, new = in_parallel([["--ignored"], []], listed, 2)
    beside = [name for name in new if not name.endswith("/") and (root / name).with_name("Cargo.toml").is_file()]
    passing = [name for name in beside if not name.endswith(".rs") and os.path.basename(name) not in _READ]
    return tuple(os.path.join(root, name) for name in (*ignored, *passing))


def _is_in(path: str, places: Sequence[str]) -> bool:
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)


def load_parts(file: Path) -> tuple[tuple[str, ...], list[Part]]:
    """Return what `cache key --json` has written into a file: the tasks, and the parts.

    Raises:
        NotFound: it cannot be read.
        Malformed: it is something else.
    """
    try:
        with open(file, "rb") as opened:
            raw = opened.read(LARGEST)
    except OSError as error:
        raise NotFound(f"`{file}` cannot be read: {error.strerror}") from None
    try:
        document = json.loads(raw)
        tasks = tuple(document["tasks"])
        parts = sorted(Part(part["name"], part["value"]) for part in document["parts"])
        fit = all(isinstance(text, str) for text in (*tasks, *(text for part in parts for text in part)))
    except (ValueError, TypeError, KeyError, RecursionError):
        fit = False
    if not fit or key_of(parts) != document["key"] or not is_digest(document["key"]):
        raise Malformed(str(file), "it is not what `llorch cache key --json` writes")
    return tasks, parts


def compare(was: Sequence[Part], now: Sequence[Part]) -> list[Change]:
    """Return how parts differ, by their names."""
    before, after = dict(was), dict(now)
    every = sorted({*before, *after})
    return [Change(name, before.get(name), after.get(name)) for name in every if before.get(name) != after.get(name)]
