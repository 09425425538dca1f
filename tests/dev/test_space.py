"""Room for the models that are wanted, by the real disk and models that no disk holds."""

import shutil
from pathlib import Path

import pytest

from llorch.dev.space import check_disk, missing_sizes, needs_disk
from tests.dev.conftest import look, needs_of


def declare(root: Path, *sizes: int | None, extends: str = "") -> None:
    """Declare models m0, m1, … of one file each."""
    lines = [extends]
    for number, size in enumerate(sizes):
        pin = f", size = {size}" if size is not None else ""
        lines.append(f'[models.m{number}]\nrepo = "a/b"\nfiles = [{{ path = "f"{pin} }}]')
    (root / "catalog.toml").write_text("\n".join(lines))


def test_what_fits(workspace: Path) -> None:
    """What is free, and how much is to come; nothing of what only comes with llorch."""
    declare(workspace, 1000, None, extends='extends = "shipped"')
    (finding,) = look(check_disk, workspace)
    assert (finding.severity, finding.text) == ("ok", "1.0 kB are still to come")
    assert "free at" in finding.found
    (workspace / "catalog.toml").unlink()
    (finding,) = look(check_disk, workspace)
    assert (finding.severity, finding.text) == ("ok", "")


def test_what_does_not_fit(workspace: Path) -> None:
    """One model that is too big by itself fails; several that are so only together are warned of."""
    free = shutil.disk_usage(workspace).free
    declare(workspace, 10, 10**15)
    (finding,) = look(check_disk, workspace)
    assert (finding.severity, finding.safe) == ("error", False)
    assert finding.text == "`m1` alone takes 1000.0 TB more"
    assert [command.split("llorch ")[1] for command in finding.fix] == ["models disk-usage", "models gc"]
    declare(workspace, free * 2 // 3, free * 2 // 3)
    (finding,) = look(check_disk, workspace)
    assert finding.severity == "warn"
    assert "not all going to fit" in finding.text


def test_what_is_there_already(workspace: Path) -> None:
    """A whole file takes nothing more, and one that is growing less."""
    declare(workspace, 100, 1 << 20)
    folder = workspace / ".test-models"
    (folder / "m0").mkdir(parents=True)
    (folder / "m0/f").write_bytes(bytes(100))
    (folder / "m1").mkdir()
    (folder / "m1/f.part").write_bytes(b"x" * (1 << 19))
    needs = needs_of(workspace)
    assert needs_disk(needs) == "models:m1"
    sizes = missing_sizes(needs)
    assert (sizes["m0"], sizes["m1"]) == (0, 1 << 19)


def test_the_disk_is_that_of_the_model_folder(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever that is, made or not."""
    monkeypatch.setenv("LLORCH_MODEL_BASE_DIR", str(tmp_path / "elsewhere/models"))
    declare(workspace, 10)
    (finding,) = look(check_disk, workspace)
    assert finding.found.endswith(f"free at {tmp_path}")
