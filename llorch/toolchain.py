"""What a build is made with, looked for before it begins: cargo, rustc, CUDA, Apple's tools, a wrapper of rustc."""

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llorch import shell
from llorch.errors import CommandFailed, LlorchError, NotInWorkspace, ToolMissing

CUDA = "/usr/local/cuda"
"""Where NVIDIA's installer puts the toolkit."""
INSTALL = "install Rust from https://rustup.rs, or with `apt install cargo`"


class Wrapper(NamedTuple):
    """A wrapper of rustc, and why it cannot be used, if so."""

    name: str
    flaw: str


def ask(command: Sequence[str], folder: Path) -> str:
    """Return what a program of the toolchain says.

    Raises:
        ToolMissing: it is not there, or does not work.
    """
    lines: list[str] = []
    try:
        shell.run(command, cwd=folder, env={"RUST_BACKTRACE": "0"}, on_line=lines.append, hint=INSTALL)
    except CommandFailed as error:
        said = error.tail.removeprefix("error: ").strip()
        raise ToolMissing(f"`{' '.join(command)}` does not work in `{folder}`: {said}", hint=INSTALL) from None
    return "\n".join(lines)


def require_folder(manifest: Path, name: str, task: str) -> Path:
    """Return the folder of a manifest.

    Raises:
        NotInWorkspace: there is no such manifest; `name` is how it is called.
    """
    if not manifest.is_file():
        raise NotInWorkspace(
            f"`{task}` needs `{name}`, and that is not in this workspace",
            hint="add the crate, or say in llorch.toml where it is",
        )
    return manifest.parent


def require_toolchain(folder: Path) -> Path:
    """Return the toolchain's root, where cargo and rustc work in a folder.

    Raises:
        ToolMissing: one of them is missing, or is not what the folder wants.
    """
    ask(["cargo", "--version"], folder)
    return Path(ask([os.environ.get("RUSTC") or "rustc", "--print", "sysroot"], folder).strip())


def require_version(package: Mapping[str, Any], folder: Path) -> None:
    """Compare the toolchain with what a package wants.

    Raises:
        ToolMissing: it is older.
    """
    wanted = package.get("rust_version")
    if wanted is None:
        return
    said = ask([os.environ.get("RUSTC") or "rustc", "--version"], folder)
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    if found is not None and _version(found[0]) < _version(wanted):
        raise ToolMissing(
            f"`{package['name']}` wants Rust {wanted} or newer, and this is {said.strip()}",
            hint="`rustup update`, or install a newer one from https://rustup.rs",
        )


def _version(text: str) -> tuple[int, ...]:
    """Return a version as numbers.

    >>> _version("1.85") <= _version("1.85.1")
    True
    """
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def cuda_files(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return what tells one CUDA toolkit and driver from another; empty without a toolkit."""
    nvcc = find_nvcc(environ)
    if nvcc is None:
        return ()
    real = Path(os.path.realpath(nvcc))
    # The driver's version and its cards: build scripts ask `nvidia-smi` without telling cargo.
    driver = ("/proc/driver/nvidia/version", "/proc/driver/nvidia/gpus/")
    return (nvcc, str(real), str(real.parent.parent / "version.json"), *driver)


def find_nvcc(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the CUDA compiler, where build scripts look for it too."""
    roots = [environ.get(name) for name in ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR")]
    folders = [os.path.join(root, "bin") for root in (*roots, CUDA) if root]
    named = environ.get("NVCC")
    path = os.pathsep.join([environ.get("PATH", os.defpath), *folders])
    return shutil.which(named or "nvcc", path=path)


def require_backend(backend: str, folder: Path, platform: str = sys.platform) -> None:
    """Look for what a backend's crates are built with.

    Raises:
        ToolMissing: it is missing.
    """
    if backend == "cuda":
        nvcc = find_nvcc()
        hint = "install the CUDA toolkit (https://developer.nvidia.com/cuda-downloads), or set CUDA_HOME to where it is"
        if nvcc is None:
            raise ToolMissing("a cuda build needs `nvcc`, and it is not in PATH or CUDA_HOME", hint=hint)
        try:
            shell.run([nvcc, "--version"], cwd=folder)
        except CommandFailed as error:
            raise ToolMissing(
                f"a cuda build needs `nvcc`, and `{nvcc}` does not work: {error.tail}", hint=hint
            ) from None
    if backend == "metal":
        if platform != "darwin":
            raise ToolMissing(
                "a metal build needs a Mac", hint="build it there: `llorch build … --remote` a Mac, or cpu"
            )
        if shutil.which("xcrun") is None:
            raise ToolMissing("a metal build needs Apple's command line tools", hint="`xcode-select --install`")


def try_wrapper(name: str, folder: Path) -> Wrapper:
    """Call rustc through a wrapper as cargo would first: with a dead one, cargo would fail."""
    if not name:
        return Wrapper("", "")
    try:
        shell.run([name, os.environ.get("RUSTC") or "rustc", "-vV"], cwd=folder)
    except LlorchError as error:
        return Wrapper("", " ".join(error.message.split())[:500])
    return Wrapper(name, "")
