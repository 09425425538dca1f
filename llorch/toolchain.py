"""What a build is made with, looked for before it begins: cargo, rustc, CUDA, Apple's tools, a wrapper of rustc."""

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from llorch import shell
from llorch.errors import CommandFailed, LlorchError, NotInWorkspace, TimedOut, ToolMissing, Unshared
from llorch.parallel import in_parallel
from llorch.state import State
from llorch.workspace import repository_of

CUDA = "/usr/local/cuda"
"""Where NVIDIA's installer puts the toolkit."""
PATIENCE = 10.0
"""Seconds that a driver has to tell of its cards."""
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
            hint=way_to(str(manifest)) or "add the crate, or say in llorch.toml where it is",
        )
    return manifest.parent


def way_to(manifest: str) -> str | None:
    """Return how a manifest comes that is not there, below an empty folder, such as a submodule to be cloned."""
    folder = next(above for above in Path(manifest).parents if above.is_dir())
    if os.listdir(folder):
        return None
    path = os.path.relpath(folder, repository_of(os.getcwd()))  # as submodules are called
    return f"`{path}` is empty; a submodule is cloned by `llorch git submodules update --pinned {quote(path)}`"


def require_toolchain(folder: Path) -> Path:
    """Return the toolchain's root, where cargo and rustc work in a folder.

    Raises:
        ToolMissing: one of them is missing, or is not what the folder wants.
    """
    ask(["cargo", "--version"], folder)
    return Path(ask([os.environ.get("RUSTC") or "rustc", "--print", "sysroot"], folder).strip())


class Identity(NamedTuple):
    """What tells a toolchain from others on any machine (`exact`), and where it is on this one."""

    exact: Mapping[str, str]
    sysroot: Path
    shim: str
    """The program called rustc, where that is neither the toolchain's own nor rustup's; else empty."""


def identify(folder: Path, state: State) -> Identity | None:
    """Return the toolchain that would build in a folder; None without one."""
    rustc = os.environ.get("RUSTC") or "rustc"
    # rustup would fetch a toolchain that is pinned and missing, only to answer.
    env = {"RUSTUP_AUTO_INSTALL": "0", "RUST_BACKTRACE": "0"}

    def told(command: Sequence[str]) -> list[str]:
        lines: list[str] = []
        shell.run(command, cwd=folder, env=env, on_line=lines.append)
        return lines

    try:
        every = in_parallel([[rustc, "-vV"], [rustc, "--print", "sysroot"], ["cargo", "--version"]], told, 3)
        said = dict(line.split(": ", 1) for line in every[0] if ": " in line)
        exact = {"release": said["release"], "commit": said["commit-hash"], "host": said["host"]}
    except (LlorchError, KeyError):
        return None
    exact |= {"llvm": said.get("LLVM version", ""), "cargo": "\n".join(every[2]).strip()}
    sysroot = Path("\n".join(every[1]).strip())
    if exact["commit"] == "unknown":  # as of one that somebody has built: the release says little then
        exact["driver"] = " ".join(sorted(state.digest(str(path)) for path in drivers(sysroot)))
    return Identity(exact, sysroot, _shim(shutil.which(rustc), sysroot))


def drivers(sysroot: Path) -> set[Path]:
    """Return a toolchain's own libraries that are the compiler: in `lib`, or where Debian has them."""
    return {*sysroot.glob("lib/librustc_driver-*"), *sysroot.glob("lib/*/librustc_driver-*")}


def _shim(program: str | None, sysroot: Path) -> str:
    if program is None:
        return ""
    plain = (sysroot / "bin/rustc", Path(program).with_name("rustup"))
    real = Path(os.path.realpath(program))
    return "" if real.name == "rustup" or any(each.exists() and real.samefile(each) for each in plain) else program


def pinned_release(folder: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the release of Rust that is asked for in a folder, where that is exactly one and nothing else decides.

    Sources: https://rust-lang.github.io/rustup/overrides.html
    """
    named = environ.get("RUSTUP_TOOLCHAIN")
    if not named:
        for parent in (folder, *folder.parents):
            named = _pinned(parent)
            if named is not None:
                break
    return named if named and re.fullmatch(r"\d+\.\d+\.\d+", named) else None


def _pinned(folder: Path) -> str | None:
    """Return the toolchain that a folder's own file names, empty if it names none; None without a file."""
    import tomli

    for name in ("rust-toolchain", "rust-toolchain.toml"):  # the older wins where both are there
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return ""
        if name == "rust-toolchain" and len(text.split()) == 1:
            return text.strip()
        try:
            table = tomli.loads(text).get("toolchain")
        except tomli.TOMLDecodeError:
            return ""
        channel = table.get("channel") if isinstance(table, dict) else None
        return channel if isinstance(channel, str) else ""
    return None


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
    if found is not None and parse_version(found[0]) < parse_version(wanted):
        raise ToolMissing(
            f"`{package['name']}` wants Rust {wanted} or newer, and this is {said.strip()}",
            hint="`rustup update`, or install a newer one from https://rustup.rs",
        )


def parse_version(text: str) -> tuple[int, ...]:
    """Return a version as numbers.

    >>> parse_version("1.85") <= parse_version("1.85.1")
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


def gpus_built_for(environ: Mapping[str, str] = os.environ) -> str:
    """Return which cards build scripts build for where nobody says it: those of this machine, empty without any.

    They ask nvidia-smi for the compute capability; a driver that does not know of it is asked what they are called.

    Raises:
        Unshared: it does not answer.
    """
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if environ.get("CUDA_COMPUTE_CAP") or program is None:
        return ""
    for query in ("compute_cap", "name"):
        try:
            command = [program, f"--query-gpu={query}", "--format=csv,noheader"]
            return shell.output(command, timeout=PATIENCE).decode(errors="replace").strip()
        except TimedOut:
            break
        except CommandFailed:
            continue
    raise Unshared("`nvidia-smi` does not tell which cards are here")


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
                "a metal build needs a Mac",
                hint="name another backend, or build it on a Mac: `llorch build … --remote HOST`",
            )
        if shutil.which("xcrun") is None:
            raise ToolMissing("a metal build needs Apple's command line tools", hint="`xcode-select --install`")


def try_wrapper(name: str, folder: Path, *, timeout: float | None = None) -> Wrapper:
    """Call rustc through a wrapper as cargo would first: with a dead one, cargo would fail.

    Args:
        timeout: seconds that it may take.
    """
    if not name:
        return Wrapper("", "")
    try:
        shell.run([name, os.environ.get("RUSTC") or "rustc", "-vV"], cwd=folder, timeout=timeout)
    except LlorchError as error:
        return Wrapper("", " ".join(error.message.split())[:500])
    return Wrapper(name, "")
