"""llorch as its users install it: from a wheel, and by `./run`."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def sh(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program and return how it ended."""
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """The wheel of this tree."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "llorch", source / "llorch", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    done = sh(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return next(tmp_path.glob("*.whl"))


def test_wheel_works_in_an_empty_folder(wheel: Path, workspace: Path, tmp_path: Path) -> None:
    """Installed from its wheel, llorch has its catalog, its tasks and doit's backend, in a folder without any file."""
    assert "llorch/catalog.toml" in zipfile.ZipFile(wheel).namelist()
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    pip = (sys.executable, "-m", "pip", "--python", venv)
    installed = sh(*pip, "install", "--quiet", "--no-compile", wheel, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    catalog = sh(venv / "bin/llorch", "models", "catalog", cwd=workspace)
    assert (catalog.returncode, catalog.stdout.splitlines()[0].split("\t")[0]) == (0, "smollm2")
    listed = sh(venv / "bin/llorch", "doit", "list", cwd=workspace)
    assert (listed.returncode, listed.stdout.split()[0]) == (0, "build")
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: run what?"),
        (("doit",), "error: there is no Python 3.11 or newer, and no uv"),
    ],
)
def test_run_says_what_to_install(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """`./run` without a command, or without Python and uv, ends with what to do."""
    clone, tools = tmp_path / "clone", tmp_path / "tools"
    clone.mkdir()
    tools.mkdir()
    for name in ("run", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, clone)
    for name in ("bash", "env", "cat", "cksum", "dirname", "flock"):
        (tools / name).symlink_to(shutil.which(name) or f"/no/{name}")
    done = sh(clone / "run", *arguments, cwd=clone, env={**os.environ, "PATH": str(tools)})
    assert done.returncode == 4
    assert message in done.stderr
    assert "hint: " in done.stderr
