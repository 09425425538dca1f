"""The receipt beside a model: what is there, where it came from, when it was verified.

It travels with the model, so that another machine, or a lost `.llorch/`, can adopt it. It is a claim, never a proof:
who trusts it compares the bytes.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llorch.models.catalog import PART, Model
from llorch.models.part import cannot_write
from llorch.workspace import read_file

SCHEMA = 1
_ATTEMPTS = 20
LIMIT = 16 * 1024 * 1024
"""A receipt of more bytes is not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file that was made of others: its size in bytes, and what it came from and how."""

    path: str
    size: int
    sha256: str
    task: str
    tool: str
    version: str
    options: Mapping[str, str]
    sources: Mapping[str, str]
    """sha256 by path, of `files` or of what was made before."""

    def as_json(self) -> dict[str, Any]:
        """Return its item in the receipt."""
        by = {"task": self.task, "tool": self.tool, "version": self.version, "options": dict(self.options)}
        sources = [{"path": path, "sha256": sha256} for path, sha256 in self.sources.items()]
        return {"path": self.path, "size": self.size, "sha256": self.sha256, "by": by, "from": sources}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a receipt says, as far as it is well-formed."""

    origin: tuple[str, str, str]
    """Source, repository and revision that the files came from."""
    files: Mapping[str, str]
    """sha256 by the path in the model's entry."""
    commit: str
    """The commit of the Hub that the files are of, empty where none was told."""
    verified_at: Mapping[str, str]
    """When each file was verified, ISO 8601, UTC."""
    made: Mapping[str, Made] = field(default_factory=dict)
    """What was made of the files, by path."""


def origin_of(model: Model) -> tuple[str, str, str]:
    """Return what a receipt of the model must name as its origin."""
    return (model.entry.source, model.entry.repo, model.entry.revision if model.entry.repo else "")


def load_receipt(path: Path) -> Receipt | None:
    """Return the receipt at `path`, or None if there is none that can be used."""
    try:
        return None if path.stat().st_size > LIMIT else parse_receipt(read_file(path))
    except OSError:
        return None


def parse_receipt(raw: bytes) -> Receipt | None:
    """Return what a receipt says, or None if it cannot be used."""
    try:
        data = json.loads(raw)
        if data["schema"] != SCHEMA:
            return None
        files = {str(file["path"]): str(file["sha256"]) for file in data["files"]}
        if not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in files.values()):
            return None
        verified_at = {str(file["path"]): str(file["verified_at"]) for file in data["files"]}
        commit = str(data.get("commit", ""))
        return Receipt(
            origin=(str(data["source"]), str(data["repo"]), str(data["revision"])),
            files=files,
            commit=commit if re.fullmatch("[0-9a-f]{40}", commit) else "",
            verified_at=verified_at,
            made={made.path: made for made in map(_parse_made, data.get("made", []))},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None  # a claim that cannot be read claims nothing


def _parse_made(data: Any) -> Made:
    by = data["by"]
    if not re.fullmatch("[0-9a-f]{64}", data["sha256"]):
        raise ValueError("no digest")
    return Made(
        path=str(data["path"]),
        size=int(data["size"]),
        sha256=str(data["sha256"]),
        task=str(by["task"]),
        tool=str(by["tool"]),
        version=str(by["version"]),
        options={str(key): str(value) for key, value in by["options"].items()},
        sources={str(source["path"]): str(source["sha256"]) for source in data["from"]},
    )


def render_receipt(
    model: Model,
    files: Mapping[str, tuple[int, str]],
    now: datetime | None = None,
    *,
    commit: str = "",
    made: Iterable[Made] = (),
) -> str:
    """Return the receipt of a model whose files were just found to have these sizes and digests."""
    source, repo, revision = origin_of(model)
    at = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "id": model.id,
        "source": source,
        "repo": repo,
        "revision": revision,
        **({"commit": commit} if commit else {}),
        "files": [
            {"path": path, "size": size, "sha256": sha256, "verified_at": at} for path, (size, sha256) in files.items()
        ],
        "made": [each.as_json() for each in made],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def save_receipt(path: Path, name: str, text: str) -> None:
    """Put a receipt in its place at once.

    Args:
        name: how messages call it.

    Raises:
        DiskFull: it cannot be written.
    """
    part = path.with_name(path.name + PART)
    for attempt in range(_ATTEMPTS):
        try:
            part.unlink(missing_ok=True)
            with open(part, "x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            return
        except OSError as error:
            # Another workspace may write the same receipt of a shared model folder at this moment.
            if not isinstance(error, (FileExistsError, FileNotFoundError)) or attempt == _ATTEMPTS - 1:
                with suppress(OSError):
                    part.unlink()
                raise cannot_write(error, name, path) from error
