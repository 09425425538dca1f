"""Compare a model's files with what the catalog, or else the receipt, says they are. Needs no network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llorch.config import Workspace
from llorch.errors import IntegrityError
from llorch.models.catalog import File, Model
from llorch.models.fetch import expected_digests, usable_receipt
from llorch.models.receipt import render_receipt, save_receipt

FileState = Literal["ok", "missing", "truncated", "corrupt", "unpinned"]
Digest = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What one file should be and is; sizes in bytes, None where unknown or not there."""

    path: str
    file: File
    state: FileState
    expected_size: int | None
    expected_sha256: str | None
    size: int | None = None
    sha256: str | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the file can be used."""
        return self.state in ("ok", "unpinned")


def verify(model: Model, workspace: Workspace, digest: Digest) -> list[FileReport]:
    """Check every file of the model; `digest` gives the sha256 of a path of the workspace."""
    expected = expected_digests(model, workspace)
    return [
        _verify_file(model.path(file), file, expected.get(file.path), workspace, digest) for file in model.entry.files
    ]


def _verify_file(path: str, file: File, expected: str | None, workspace: Workspace, digest: Digest) -> FileReport:
    def report(state: FileState, detail: str, size: int | None = None, sha256: str | None = None) -> FileReport:
        return FileReport(
            path=path,
            file=file,
            state=state,
            expected_size=file.size,
            expected_sha256=expected,
            size=size,
            sha256=sha256,
            detail=detail,
        )

    place = workspace.path(path)
    if not place.is_file():
        return report("missing", "is not there")
    size = place.stat().st_size
    if file.size is not None and size < file.size:
        return report("truncated", f"has {size:,} of {file.size:,} bytes", size)
    if file.size is not None and size > file.size:
        return report("corrupt", f"has {size:,} bytes, {size - file.size:,} too many", size)
    actual = digest(path)
    if expected is not None and actual != expected:
        return report("corrupt", f"has sha256 {actual}, not {expected}", size, actual)
    if file.sha256 is None:
        detail = "as it was when first seen here" if expected else "seen here for the first time"
        return report("unpinned", detail + "; the catalog has no sha256", size, actual)
    return report("ok", "", size, actual)


def write_receipt(model: Model, workspace: Workspace, digest: Digest, commit: str = "") -> bool:
    """Verify the model and write its receipt, unless one is there that says the same. Return whether it was written.

    Args:
        commit: what the Hub gave for the entry's revision, if the files were just fetched.

    Raises:
        IntegrityError: a file is not as it should be.
        DiskFull: the receipt cannot be written.
    """
    reports = verify(model, workspace, digest)
    for report in reports:
        if not report.ok:
            hint = f"`llorch models download {model.id}` fetches it again"
            raise IntegrityError(report.path, *_difference(report), hint=hint)
    found = {report.file.path: (report.size or 0, report.sha256 or "") for report in reports}
    place = workspace.path(model.receipt)
    receipt = usable_receipt(model, workspace)
    says = receipt is not None and receipt.files == {path: sha256 for path, (_, sha256) in found.items()}
    if says and receipt is not None and commit in ("", receipt.commit):
        return False
    save_receipt(place, model.receipt, render_receipt(model, found, commit=commit))
    return True


def _difference(report: FileReport) -> tuple[str, str]:
    if report.size is None:
        return "a file", "nothing"
    if report.sha256 is None:
        return f"{report.expected_size} bytes", f"{report.size} bytes"
    return f"sha256 {report.expected_sha256}", f"sha256 {report.sha256}"
