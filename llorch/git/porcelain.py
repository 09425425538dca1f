"""What git writes for programs, read into values. Every format has NUL after each record or field.

Formats: git-status(1) "Porcelain Format Version 2", git-ls-files(1), git-ls-tree(1), git-config(1), git-diff(1)
"RAW OUTPUT FORMAT"; and those that this file asks for with `LOG` and `REFS`. Running git is not this file's business.
"""

from __future__ import annotations

import os

from llorch.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOG = "--format=%H%x00%ct%x00%an%x00%s"
"""For `git log -z`: a commit's id, time, author and subject."""
REFS = "".join(
    f"%({atom})%00"
    for atom in (
        "refname",
        "objectname",
        "symref",
        "upstream",
        "upstream:track,nobracket",
        "committerdate:unix",
        "subject",
    )
)
"""For `git for-each-ref`; a ref's name and a subject have no newline, and records end with one."""


class Entry(Record):
    """A file that is not as HEAD has it: X and Y of git-status(1), `?` for both if untracked."""

    path: str
    staged: str
    changed: str
    submodule: bool = False
    conflicted: bool = False


class Status(Record):
    """What `git status --porcelain=v2 --branch --show-stash -z` says; None for what there is not, or is not known."""

    commit: str | None = None
    branch: str | None = None
    upstream: str | None = None
    ahead: int | None = None
    behind: int | None = None
    stashes: int = 0
    entries: tuple[Entry, ...] = ()

    @property
    def staged(self) -> tuple[str, ...]:
        """Paths whose next commit differs from HEAD."""
        return tuple(e.path for e in self.entries if e.staged not in ".?" and not e.conflicted)

    @property
    def changed(self) -> tuple[str, ...]:
        """Paths that differ from what is staged; submodules tell of themselves."""
        return tuple(e.path for e in self.entries if e.changed not in ".?" and not e.conflicted and not e.submodule)

    @property
    def intended(self) -> tuple[str, ...]:
        """Paths of `git add --intent-to-add`: known to git, and nothing of what is in them."""
        return tuple(e.path for e in self.entries if e.staged + e.changed in (".A", ".R"))

    @property
    def gone(self) -> tuple[str, ...]:
        """Paths that are staged, and where there is no such file."""
        return tuple(e.path for e in self.entries if e.changed == "D" and not e.conflicted and not e.submodule)

    @property
    def untracked(self) -> tuple[str, ...]:
        """Paths that git does not know; a folder of nothing else ends with a slash."""
        return tuple(e.path for e in self.entries if e.staged == "?")

    @property
    def conflicted(self) -> tuple[str, ...]:
        """Paths that wait for a decision."""
        return tuple(e.path for e in self.entries if e.conflicted)

    @property
    def tracked(self) -> tuple[str, ...]:
        """Every path that git knows and that differs from HEAD in any way, once."""
        return tuple(dict.fromkeys((*self.staged, *self.changed, *self.conflicted)))


class Commit(Record):
    """A commit; `time` in seconds since 1970."""

    id: str
    time: int
    author: str
    subject: str


class Ref(Record):
    """A branch, here or of a remote; `gone` if its upstream is no more."""

    name: str
    commit: str
    upstream: str | None
    ahead: int
    behind: int
    gone: bool
    time: int
    subject: str


def fields(data: bytes) -> Iterator[str]:
    r"""Yield the fields that each end with a NUL; bytes that are not UTF-8 as Python has them in paths.

    >>> list(fields(b"a\0b c\n\0\0"))
    ['a', 'b c\n', '']
    """
    return (os.fsdecode(field) for field in data.split(b"\0")[:-1])


def parse_status(data: bytes) -> Status:
    r"""Parse `git status --porcelain=v2 --branch --show-stash -z`.

    >>> parse_status(b"# branch.oid (initial)\0# branch.head main\0? a b\0").untracked
    ('a b',)
    """
    headers: dict[str, str] = {}
    entries = []
    parts = fields(data)
    for part in parts:
        kind = part[0]
        if kind == "#":
            _, name, value = part.split(" ", 2)
            headers[name] = value
        elif kind == "1":
            _, xy, sub, *_, path = part.split(" ", 8)
            entries.append(Entry(path, xy[0], xy[1], sub[0] == "S"))
        elif kind == "2":
            _, xy, sub, *_, path = part.split(" ", 9)
            next(parts)  # the path that it had
            entries.append(Entry(path, xy[0], xy[1], sub[0] == "S"))
        elif kind == "u":
            _, xy, sub, *_, path = part.split(" ", 10)
            entries.append(Entry(path, xy[0], xy[1], sub[0] == "S", conflicted=True))
        elif kind == "?":
            entries.append(Entry(part[2:], "?", "?"))
    commit, branch = headers.get("branch.oid"), headers.get("branch.head")
    ahead, behind = (_count(text) for text in headers.get("branch.ab", "+? -?").split(" "))
    return Status(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        upstream=headers.get("branch.upstream"),
        ahead=ahead,
        behind=behind,
        stashes=int(headers.get("stash", "0")),
        entries=tuple(entries),
    )


def parse_links(data: bytes) -> Mapping[str, str]:
    r"""Parse `git ls-files -s -z` or `git ls-tree -r -z`: the submodules' paths and their commits.

    A path that waits for a decision has several; that of our side counts.

    >>> parse_links(b"160000 1f 0\tlib x\x00100644 2f 0\ta\x00160000 commit 3f\tother\x00")
    {'lib x': '1f', 'other': '3f'}
    """
    found: dict[str, str] = {}
    for record in data.split(b"\0"):
        if record.startswith(b"160000 "):
            what, _, path = os.fsdecode(record).partition("\t")
            _, one, two = what.split(" ")
            commit, stage = (two, "0") if one == "commit" else (one, two)
            if stage in "02" or path not in found:
                found[path] = commit
    return found


def parse_config(data: bytes) -> Mapping[str, str]:
    r"""Parse `git config -z --list` or `--get-regexp`; a key without a value says true, and the last one counts.

    >>> parse_config(b"submodule.a.path\nlib x\0core.bare\0")
    {'submodule.a.path': 'lib x', 'core.bare': 'true'}
    """
    pairs = (field.partition("\n") for field in fields(data))
    return {key: value if has_value else "true" for key, has_value, value in pairs}


def parse_log(data: bytes) -> tuple[Commit, ...]:
    r"""Parse `git log -z` with `LOG`.

    >>> parse_log(b"1f\x0017\0Me\0Why\x002f\x0018\0Me\0\0")
    (Commit(id='1f', time=17, author='Me', subject='Why'), Commit(id='2f', time=18, author='Me', subject=''))
    """
    parts = list(fields(data if data.endswith(b"\0") else data + b"\0"))
    return tuple(
        Commit(parts[n], int(parts[n + 1]), parts[n + 2], parts[n + 3]) for n in range(0, len(parts) // 4 * 4, 4)
    )


def parse_refs(data: bytes) -> tuple[Ref, ...]:
    r"""Parse `git for-each-ref` with `REFS`; names that only stand for another, as `origin/HEAD` does, are left out.

    >>> parse_refs(b"refs/heads/x\x001f\0\0refs/remotes/o/x\0ahead 1, behind 2\x0017\0Why\0\n")[0][2:6]
    ('refs/remotes/o/x', 1, 2, False)
    """
    found = []
    for record in data.split(b"\0\n")[:-1]:
        name, commit, symref, upstream, track, time, subject = os.fsdecode(record).split("\0")
        counts = dict(part.split(" ") for part in track.split(", ") if " " in part)
        numbers = (int(counts.get("ahead", 0)), int(counts.get("behind", 0)))
        if not symref:
            found.append(Ref(name, commit, upstream or None, *numbers, track == "gone", int(time or 0), subject))
    return tuple(found)


def _count(text: str) -> int | None:
    return None if text.endswith("?") else int(text[1:])
