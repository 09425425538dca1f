"""Wheels that are made here: installable, the same each time, and right for another machine."""

import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from llorch import __version__
from llorch.errors import LlorchError, Offline, ToolMissing
from llorch.remote.wheels import download_for, installed_wheel, own_wheel

VERSION = {"python_version": "3.11", "python_full_version": "3.11.2"}
LINUX = {
    "python": "3.11",
    "platforms": ["manylinux_2_17_x86_64"],
    "environment": {**VERSION, "sys_platform": "linux"},
}
MAC = {
    "python": "3.11",
    "platforms": ["macosx_14_0_arm64", "macosx_11_0_arm64"],
    "environment": {**VERSION, "sys_platform": "darwin"},
}


def write(folder: Path, name: str, tag: str = "py3-none-any", *needs: str) -> Path:
    """Write a wheel that needs others."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1", *(f"Requires-Dist: {need}" for need in needs)]
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1-{tag}.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-1.dist-info/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{name}-1.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{name}-1.dist-info/RECORD", "")
    return path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that llorch is installed in as most have it: from a wheel."""
    (tmp_path / "first").mkdir()
    wheel = own_wheel(tmp_path / "first")
    folder = tmp_path / "venv ü"
    venv.create(folder)
    site = next(folder.glob("lib/*/site-packages"))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin/python"),
        "install",
        "-q",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(pip, check=True)
    monkeypatch.syspath_prepend(str(site))
    return wheel


def test_our_own_wheel_from_either_installation(installed: Path, tmp_path: Path) -> None:
    """From the source tree or from what was installed of that: the same files, and the same bytes each time."""
    assert installed.name == f"llorch-{__version__}-py3-none-any.whl"
    wheels = []
    for name in "ab":
        (tmp_path / name).mkdir()
        wheels.append(own_wheel(tmp_path / name))
    assert wheels[0].name == installed.name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    with ZipFile(wheels[0]) as again, ZipFile(installed) as first:
        assert sorted(again.namelist()) == sorted(first.namelist())
        record = next(name for name in first.namelist() if name.endswith("/RECORD"))
        assert sorted(again.read(record).splitlines()) == sorted(first.read(record).splitlines())


def test_what_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An llorch that is not installed, a build without its tool, and a package without a list of its files."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "flit_core", None)
        patch.setattr("importlib.util.find_spec", lambda _: None)
        with pytest.raises(ToolMissing, match="flit_core"):
            own_wheel(tmp_path)
    info = tmp_path / "llorch-9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: llorch\nVersion: 9\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ToolMissing, match="no list of the files of `llorch`"):
        installed_wheel("llorch", tmp_path)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(ToolMissing, match="not installed"):
        own_wheel(tmp_path)


def test_what_another_machine_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wheels are taken, not ours, and its markers count, not ours."""
    index = tmp_path / "index"
    write(index, "mac_only")
    write(index, "both", "cp311-cp311-macosx_11_0_arm64")
    write(index, "both", "cp311-cp311-manylinux_2_17_x86_64")
    wheel = write(tmp_path, "ours", "py3-none-any", "both", "mac_only; sys_platform == 'darwin'")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for machine, wanted in (
        (LINUX, ["both-1-cp311-cp311-manylinux_2_17_x86_64.whl", wheel.name]),
        (MAC, ["both-1-cp311-cp311-macosx_11_0_arm64.whl", "mac_only-1-py3-none-any.whl", wheel.name]),
    ):
        folder = tmp_path / str(len(wanted))
        assert [path.name for path in download_for(machine, [wheel], folder)] == wanted
    write(tmp_path, "ours", "py3-none-any", "nowhere")
    with pytest.raises(LlorchError, match="cannot be downloaded for it: No matching distribution found for nowhere"):
        download_for(LINUX, [wheel], tmp_path / "none")
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    with pytest.raises(Offline):
        download_for(LINUX, [wheel], tmp_path / "none")
