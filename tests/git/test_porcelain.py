"""What git wrote, byte for byte, and what is read from it: a case file for each format."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from llorch.git import porcelain
from llorch.git.porcelain import Status, parse_links, parse_status

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))


def plain(value: Any) -> Any:
    """Return a parsed value as JSON would have it."""
    if isinstance(value, Status):
        kinds = ("commit", "branch", "upstream", "ahead", "behind", "stashes")
        paths = ("staged", "changed", "untracked", "conflicted")
        return {name: getattr(value, name) for name in kinds} | {name: list(getattr(value, name)) for name in paths}
    if isinstance(value, dict):
        return value
    return [list(item) if isinstance(item, tuple) else item for item in value]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_cases(file: Path) -> None:
    """Each format of git's, with awkward names, is read as it is meant."""
    case = json.loads(file.read_text())
    parse = getattr(porcelain, case["parser"])
    assert plain(parse(os.fsencode(case["raw"]))) == case["expected"]


def test_nothing_is_nothing() -> None:
    """Where git writes nothing there is nothing."""
    for name in ("parse_links", "parse_config", "parse_log", "parse_refs", "fields"):
        assert len(list(getattr(porcelain, name)(b""))) == 0
    assert parse_status(b"") == Status()


def test_our_side_of_a_submodule_in_conflict_counts() -> None:
    """Of three entries for a path that waits for a decision, ours is taken; without ours, whichever there is."""
    both = b"160000 1a 1\tx\x00160000 2a 2\tx\x00160000 3a 3\tx\0"
    assert parse_links(both) == {"x": "2a"}
    assert parse_links(b"160000 1a 1\tx\x00160000 3a 3\tx\0") == {"x": "1a"}
    assert parse_status(b"u UU S..U 160000 160000 160000 160000 1a 2a 3a x\0").conflicted == ("x",)
