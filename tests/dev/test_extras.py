"""The packages that only some workspaces need."""

import shutil
import site
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch import __version__
from llorch.config import Cache, Settings
from llorch.dev import extras
from llorch.dev.extras import missing_extras
from llorch.dev.tasks import EXTRAS
from tests.conftest import Run, write_wheel


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
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages of an environment of its own, which this process takes for its own, and whose index is empty."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    here = [str(Path(__file__).parent.parent.parent), *site.getsitepackages()]
    (packages / "this.pth").write_text("\n".join(here) + "\n")
    info = packages / f"llorch-{__version__}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: llorch\nVersion: {__version__}\n"
    (info / "METADATA").write_text(head + 'Provides-Extra: cache\nRequires-Dist: bucket-client; extra == "cache"\n')
    (info / "RECORD").write_text("")
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", (tmp_path / "wheels").as_uri())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(sys, "executable", str(venv / "bin/python"))
    monkeypatch.setattr(sys, "prefix", str(venv))
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    monkeypatch.setitem(extras.MODULES, "cache", "bucket_client")
    return packages


def test_setup_installs_what_is_missing(
    packages: Path, workspace: Path, tmp_path: Path, llorch: Callable[..., Run]
) -> None:
    """Pip brings it into llorch's own environment, once, whatever the workspace has that is called like pip.

    What cannot be brought, or has not what is imported, is told, and doctor follows all the same.
    """
    (workspace / "llorch.toml").write_text('[cache]\nurl = "s3://bucket"\nread = false\n')
    (workspace / "pip.py").write_text("raise SystemExit('this is not pip')\n")

    def setup() -> Run:
        return llorch("dev", "setup", "--models", "none", "--json")

    failed = setup()
    (task,) = failed.json["tasks"]
    assert (failed.code, task["outcome"], failed.json["ok"]) == (1, "failed", False)
    assert task["error"]["message"].startswith("pip could not install llorch[cache]: ")
    assert "bucket-client" in task["error"]["message"]
    assert failed.json["findings"]

    write_wheel(tmp_path / "wheels", "bucket-client", "1.0", {"other.py": b""})
    (task,) = setup().json["tasks"]
    assert task["error"]["message"] == "pip has installed llorch[cache], which has no `bucket_client`"

    shutil.rmtree(packages / "bucket_client-1.0.dist-info")
    write_wheel(tmp_path / "wheels", "bucket-client", "2.0", {"bucket_client.py": b""})
    assert [(task["name"], task["outcome"]) for task in setup().json["tasks"]] == [(EXTRAS, "done")]
    assert (packages / "bucket_client.py").is_file()
    assert setup().json["tasks"] == []
    assert "none is missing" in llorch("doit", EXTRAS).err
