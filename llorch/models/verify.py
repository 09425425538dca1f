"""Compare a model's files with what the catalog, or else the receipt, says they are. Needs no network."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from llorch.config import Workspace
from llorch.errors import IntegrityError, Malformed
from llorch.models.catalog import File, Model
from llorch.models.fetch import expected_digests, usable_receipt
from llorch.models.gguf import load_gguf
from llorch.models.receipt import Made, render_receipt, save_receipt
from llorch.models.safetensors import load_safetensors

FileState = Literal["ok", "missing", "truncated", "corrupt", "unpinned"]
Digest = Callable[[str], str]
_LOADERS: Mapping[str, Callable[[Path, str], object]] = {".gguf": load_gguf, ".safetensors": load_safetensors}


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
    flaw: str = ""
    """What is wrong with the structure of a file that has no other fault."""
    made: bool = False
    """Whether it was made here, of the entry's files."""

    @property
    def ok(self) -> bool:
        """Tell whether the file can be used."""
        return self.state in ("ok", "unpinned")


def verify(
    model: Model, workspace: Workspace, digest: Digest, made: Mapping[str, Made] | None = None
) -> list[FileReport]:
    """Check every file of the model.

    Args:
        digest: gives the sha256 of a path of the workspace.
        made: what was made of the files, by its path in the folder, if not what the receipt says.
    """
    expected = expected_digests(model, workspace)
    found = [
        _verify_file(model.path(file), file, expected.get(file.path), workspace, digest) for file in model.entry.files
    ]
    if made is None:
        receipt = usable_receipt(model, workspace)
        made = receipt.made if receipt is not None else {}
    for path in model.made:
        name = model.made_name(path)
        said = made.get(name)
        file = File(path=name) if said is None else File(path=name, size=said.size, sha256=said.sha256)
        found.append(replace(_verify_file(path, file, file.sha256, workspace, digest), made=True))
    return found


def _verify_file(path: str, file: File, expected: str | None, workspace: Workspace, digest: Digest) -> FileReport:
    def report(
        state: FileState, detail: str, size: int | None = None, sha256: str | None = None, flaw: str = ""
    ) -> FileReport:
        return FileReport(
            path=path,
            file=file,
            state=state,
            expected_size=file.size,
            expected_sha256=expected,
            size=size,
            sha256=sha256,
            detail=detail,
            flaw=flaw,
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
        flaw = _flaw(place, path)
        if flaw:
            return report("corrupt", f"is malformed: {flaw}", size, actual, flaw)
        detail = "as it was when first seen here" if expected else "seen here for the first time"
        return report("unpinned", detail + "; the catalog has no sha256", size, actual)
    return report("ok", "", size, actual)


def _flaw(place: Path, path: str) -> str:
    """Return what is wrong with the structure of a file that nobody has promised, empty if that is right or unknown."""
    loader = _LOADERS.get(place.suffix.lower())
    if loader is not None:
        try:
            loader(place, path)
        except Malformed as error:
            return error.reason
    return ""


def write_receipt(
    model: Model, workspace: Workspace, digest: Digest, commit: str = "", made: Iterable[Made] = ()
) -> bool:
    """Verify the model and write its receipt, unless one is there that says the same. Return whether it was written.

    Args:
        commit: what the Hub gave for the entry's revision, if the files were just fetched.
        made: what was made of the files.

    Raises:
        IntegrityError: a file is not as it should be.
        Malformed: the structure of a file is wrong that the catalog gives no sha256.
        DiskFull: the receipt cannot be written.
    """
    products = {each.path: each for each in made}
    reports = verify(model, workspace, digest, products)
    for report in reports:
        if report.flaw:
            hint = f"the source may have it so; else `llorch models delete {model.id}`, then download it again"
            raise Malformed(report.path, report.flaw, hint=hint)
        if not report.ok:
            verb = "makes" if report.made else "fetches"
            hint = f"`llorch models download {model.id}` {verb} it again"
            if report.file.sha256 is None and report.state == "corrupt" and not report.made:
                hint = f"`{model.receipt}` says what it was; without that receipt the file is taken as it is now"
            raise IntegrityError(report.path, *_difference(report), hint=hint)
    found = {report.file.path: (report.size or 0, report.sha256 or "") for report in reports if not report.made}
    place = workspace.path(model.receipt)
    receipt = usable_receipt(model, workspace)
    says = receipt is not None and receipt.files == {path: sha256 for path, (_, sha256) in found.items()}
    if says and receipt is not None and commit in ("", receipt.commit) and receipt.made == products:
        return False
    save_receipt(place, model.receipt, render_receipt(model, found, commit=commit, made=products.values()))
    return True


def _difference(report: FileReport) -> tuple[str, str]:
    if report.size is None:
        return "a file", "nothing"
    if report.sha256 is None:
        return f"{report.expected_size} bytes", f"{report.size} bytes"
    return f"sha256 {report.expected_sha256}", f"sha256 {report.sha256}"
