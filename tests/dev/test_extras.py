"""The packages that only some workspaces need."""

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

from llorch import __version__
from llorch.config import Cache, Settings
from llorch.dev import extras
from llorch.dev.extras import missing_extras
from llorch.dev.tasks import EXTRAS
from tests.conftest import Run, program_of, write_wheel


@pytest.mark.parametrize(
    ("url", "needed"),
    [("", ()), ("file:///srv/s3:", ()), ("https://x/y", ()), ("s3://a", ("cache",)), ("gs://a", ("cache",))],
)
def test_what_a_workspace_needs(url: str, needed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in a bucket needs a package, unless it is there."""
    monkeypatch.setitem(extras.MODULES, "cache", "no_such_module")
    assert missing_extras(Settings(cache=Cache(url=url))) == needed
    monkeypatch.setitem(extras.MODULES, "cache", "json")
    assert missing_extras(Settings(cache=Cache(url=url))) == ()


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The Python of an environment of its own, with this llorch in it and an index of wheels that is empty."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    here = [str(Path(__file__).parent.parent.parent), *site.getsitepackages()]
    (packages / "this.pth").write_text("\n".join(here) + "\n")
    info = packages / f"llorch-{__version__}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: llorch\nVersion: {__version__}\n"
    (info / "METADATA").write_text(head + 'Provides-Extra: cache\nRequires-Dist: obstore; extra == "cache"\n')
    (info / "RECORD").write_text("")
    (info / "entry_points.txt").write_text("[doit.BACKEND]\nllorch = llorch.engine:Backend\n")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", wheels.as_uri())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return str(venv / "bin/python")


def setup(python: str) -> Run:
    """Run `dev setup` by a Python."""
    return program_of(python, "-m", "llorch", "dev", "setup", "--models", "none", "--json")


def test_setup_installs_what_is_missing(python: str, workspace: Path, tmp_path: Path) -> None:
    """Pip brings it into llorch's own environment, once; what it cannot bring is told and leaves the rest alone."""
    (workspace / "llorch.toml").write_text('[cache]\nurl = "s3://bucket"\nread = false\n')
    (workspace / "pip.py").write_text("raise SystemExit('this is not pip')\n")
    failed = setup(python)
    (task,) = failed.json["tasks"]
    assert (failed.code, task["name"], task["outcome"]) == (1, EXTRAS, "failed")
    assert task["error"]["message"].startswith("pip could not install llorch[cache]: ")
    assert "obstore" in task["error"]["message"]
    write_wheel(tmp_path / "wheels", "obstore", "1.0", {"other.py": b""})
    assert setup(python).json["tasks"][0]["error"]["message"] == (
        "pip has installed llorch[cache], which has no `obstore`"
    )
    write_wheel(tmp_path / "wheels", "obstore", "2.0", {"obstore.py": b""})
    assert program_of(python, "-m", "pip", "uninstall", "--yes", "obstore", cwd=tmp_path).code == 0
    assert setup(python).json["tasks"][0]["outcome"] == "done"
    assert program_of(python, "-c", "import obstore", cwd=Path(os.sep)).code == 0
    assert setup(python).json["tasks"] == []
    assert "none is missing" in program_of(python, "-m", "llorch", "doit", EXTRAS).err
