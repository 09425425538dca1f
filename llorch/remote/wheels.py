"""Wheels for a host: of what is installed here, and of what a host needs that has no package index."""

import base64
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llorch import shell
from llorch.errors import CommandFailed, LlorchError, Offline, ToolMissing
from llorch.switches import is_on

_OF_INSTALLER = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json")
"""What an installer adds to a wheel's own files."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a wheel, so that the same files make the same wheel."""
_ELSEWHERE = (
    "import json, sys; from pip._vendor.packaging import markers; known = json.loads(sys.argv.pop(1));"
    " markers.default_environment = lambda: known; from pip._internal.cli.main import main; sys.exit(main())"
)
"""Is pip that resolves for another machine: by itself it takes this one's markers (https://github.com/pypa/pip/issues/11664)."""


def own_wheel(folder: Path) -> Path:
    """Make the wheel of this llorch in a folder: built from its source if it is installed as editable.

    Raises:
        ToolMissing: what it takes to make one is not here.
        CommandFailed: it cannot be built.
    """
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    try:
        origin = json.loads(distribution("llorch").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        raise ToolMissing("this llorch is not installed", hint="`pip install -e .` in its folder") from None
    if not origin.get("dir_info", {}).get("editable"):
        return installed_wheel("llorch", folder)
    return _build(Path(unquote(urlsplit(origin["url"]).path)), folder)


def installed_wheel(name: str, folder: Path) -> Path:
    """Make the wheel anew that a package was installed from, by the list of its files.

    Raises:
        ToolMissing: there is no list.
    """
    from importlib.metadata import distribution
    from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

    package = distribution(name)
    files = sorted(file for file in package.files or () if _is_own(file.parts))
    info = next((file.parts[0] for file in files if file.parts[0].endswith(".dist-info")), None)
    if info is None:
        raise ToolMissing(f"there is no list of the files of `{name}` here", hint=f"install `{name}` again, with pip")
    tags = [
        line.partition(":")[2].strip() for line in (package.read_text("WHEEL") or "").splitlines() if "Tag:" in line
    ]
    path = folder / f"{info.removesuffix('.dist-info')}-{tags[-1]}.whl"
    lines = []
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for file in files:
            data = file.read_binary()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{file},sha256={digest},{len(data)}\n")
            archive.writestr(ZipInfo(str(file), _EPOCH), data)
        archive.writestr(ZipInfo(f"{info}/RECORD", _EPOCH), "".join([*lines, f"{info}/RECORD,,\n"]))
    return path


def download_for(machine: Mapping[str, Any], wheels: Sequence[Path], folder: Path) -> Sequence[Path]:
    """Download what wheels need for another machine into a folder, and return all that is in it.

    Args:
        machine: what pip there says of it: `python`, `platforms` and, for dependencies' markers, `environment`.

    Raises:
        Offline: nothing may be fetched.
        LlorchError: they cannot be had.
    """
    if is_on("LLORCH_OFFLINE"):
        raise Offline("packages would have to be downloaded", hint="unset LLORCH_OFFLINE")
    command = [sys.executable, "-c", _ELSEWHERE, json.dumps(machine["environment"]), "download"]
    command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet", f"--dest={folder}"]
    command += [f"--python-version={machine['python']}", *(f"--platform={name}" for name in machine["platforms"])]
    try:
        shell.run([*command, *map(str, wheels)])
    except CommandFailed as error:
        reasons = [line for line in error.tail.splitlines() if line.startswith("ERROR: ")]
        why = (reasons or error.tail.splitlines() or ["pip said nothing"])[-1].removeprefix("ERROR: ")
        raise LlorchError(
            f"the packages that llorch needs cannot be downloaded for it: {why}",
            hint="check the connection of this machine; pip's own settings (pip.conf, PIP_*) are in force",
        ) from None
    return sorted(folder.glob("*.whl"))


def _is_own(parts: Sequence[str]) -> bool:
    """Tell whether a file of a list came from the wheel: scripts and what is compiled are made when it is installed."""
    of_installer = len(parts) == 2 and parts[0].endswith(".dist-info") and parts[1] in _OF_INSTALLER
    return not (of_installer or ".." in parts or parts[0] == "/" or parts[-1].endswith(".pyc"))


def _build(source: Path, folder: Path) -> Path:
    from importlib.util import find_spec

    if find_spec("flit_core") is None:
        raise ToolMissing(
            f"`flit_core` is needed to make a wheel of `{source}`, and is not installed",
            hint=f"`{sys.executable} -m pip install flit_core`",
        )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", f"--wheel-dir={folder}", str(source)]
    shell.run(command, env={"SOURCE_DATE_EPOCH": "315532800"})
    return next(folder.glob("llorch-*.whl"))
