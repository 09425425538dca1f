"""What builds for GPUs need: CUDA's compiler, NVIDIA's driver and a card, or Apple's tools and Metal.

A workspace that is shared by several machines declares backends of all of them. What this machine cannot be meant for
is no failure: CUDA without an NVIDIA card where there is another backend to build, Metal off a Mac, CUDA on one.
"""

import json
import os
import re
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llorch.dev.finding import Finding, Severity, ask, listing
from llorch.dev.needs import Needs
from llorch.errors import CommandFailed, LlorchError, ToolMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llorch.remote.info import Gpu

DRIVER = Path("/proc/driver/nvidia/version")
CARDS = Path("/sys/bus/pci/devices")
WSL = "/usr/lib/wsl/lib"
"""Where Windows has NVIDIA's programs for Linux."""
_QUERY = ("name,driver_version,memory.total,memory.free,compute_cap", "name,driver_version,memory.total,memory.free")
"""What nvidia-smi is asked; old drivers know of no compute_cap."""


def _tasks(needs: Needs, backend: str) -> list[str]:
    return [plan.task for plan in needs.builds if plan.backend == backend]


def needs_cuda(needs: Needs) -> str:
    """Return the builds for CUDA, none on a Mac."""
    return "" if needs.system.platform == "darwin" else listing(_tasks(needs, "cuda"))


def needs_metal(needs: Needs) -> str:
    """Return the builds for Metal, none off a Mac."""
    return listing(_tasks(needs, "metal")) if needs.system.platform == "darwin" else ""


def check_cuda(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for nvcc, then for the driver and the cards, and whether they go together."""
    severity: Severity = "error" if has_card() or _has_cuda_alone(needs) else "warn"
    nvcc = yield from _check_nvcc(needs, need, severity)
    yield from _check_cards(needs, need, nvcc)


def has_card() -> bool:
    """Tell whether this machine has an NVIDIA card, with a driver or without."""
    if DRIVER.exists() or find_smi() is not None:
        return True
    for device in CARDS.glob("*"):
        try:
            vendor, kind = ((device / name).read_text() for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor.startswith("0x10de") and kind.startswith("0x03"):  # a display controller, in PCI's code of classes
            return True
    return False


def find_smi() -> str | None:
    """Return NVIDIA's program that tells of cards, None without a driver."""
    return shutil.which("nvidia-smi", path=os.pathsep.join([os.environ.get("PATH", os.defpath), WSL]))


def _has_cuda_alone(needs: Needs) -> bool:
    """Tell whether there is a binary that can be built here for CUDA and nothing else, by its own table or another."""
    binaries = {(plan.name, plan.manifest, plan.bin) for plan in needs.builds if plan.backend == "cuda"}
    return any(
        all(
            plan.backend in ("cuda", "metal")
            for plan in needs.builds
            if plan.name == name or (plan.manifest, plan.bin) == (manifest, bin)
        )
        for name, manifest, bin in binaries
    )


def _check_nvcc(needs: Needs, need: str, severity: Severity) -> Generator[Finding, None, tuple[str, str] | None]:
    """Look for nvcc, and return where it is and its release."""
    from llorch.toolchain import find_nvcc

    nvcc = find_nvcc()
    if nvcc is None:
        text = "nvcc is not in PATH, CUDA_HOME or /usr/local/cuda; see also https://developer.nvidia.com/cuda-downloads"
        fix = needs.system.install("cuda")
        yield Finding(id="cuda", severity=severity, needed_for=need, text=text, fix=fix)
        return None
    try:
        said = ask([nvcc, "--version"])
    except LlorchError as error:
        yield Finding(id="cuda", severity=severity, found=nvcc, needed_for=need, text=error.message)
        return None
    release = next(iter(re.findall(r"release (\d+\.\d+)", said)), "")
    yield Finding(id="cuda", found=f"{release or 'unknown'}, {nvcc}", needed_for=need)
    return nvcc, release


def _check_cards(needs: Needs, need: str, nvcc: tuple[str, str] | None) -> Iterator[Finding]:
    smi = find_smi()
    if smi is None and not has_card():
        capability = os.environ.get("CUDA_COMPUTE_CAP")
        text = "no NVIDIA card: what is built for CUDA cannot run here"
        if not capability:
            text += ", and build scripts take the compute capability from CUDA_COMPUTE_CAP alone, which is not set"
        yield Finding(id="gpu", severity="warn", found="none", needed_for=need, text=text)
        return
    if smi is None:
        text = "there is an NVIDIA card, and no `nvidia-smi`: its driver is not installed"
        fix = needs.system.install("nvidia-driver")
        yield Finding(id="gpu", severity="error", needed_for=need, text=text, fix=fix)
        return
    try:
        gpus = _load_gpus(smi)
    except LlorchError as error:
        text = f"the driver does not answer: {getattr(error, 'tail', '') or error.message}"
        fix = (f"{needs.system.sudo}modprobe nvidia",)
        yield Finding(id="gpu", severity="error", needed_for=need, text=text, fix=fix)
        return
    yield _judge(needs, need, gpus, nvcc, smi)


def _load_gpus(smi: str) -> "Sequence[Gpu]":
    from llorch.remote.info import parse_nvidia

    for query in _QUERY:
        try:
            said = ask([smi, f"--query-gpu={query}", "--format=csv,noheader,nounits"])
        except CommandFailed:
            if query == _QUERY[-1]:
                raise
        else:
            break
    return tuple(parse_nvidia(said))


def _judge(needs: Needs, need: str, gpus: "Sequence[Gpu]", nvcc: tuple[str, str] | None, smi: str) -> Finding:
    """Say whether the cards, the driver and the compiler go together."""
    if not gpus:
        text = "the driver knows of no card: what is built for CUDA cannot run here"
        return Finding(id="gpu", severity="warn", found="none", needed_for=need, text=text)
    words = [
        f"{gpu.name}, driver {gpu.driver}, compute capability {gpu.compute_capability or 'unknown'}" for gpu in gpus
    ]
    found = "; ".join(words)
    capabilities = [gpu.compute_capability for gpu in gpus if gpu.compute_capability]
    known = _architectures(nvcc[0]) if nvcc is not None else ()
    unknown = [each for each in capabilities if known and f"compute_{each.replace('.', '')}" not in known]
    if unknown and nvcc is not None:
        text = f"CUDA {nvcc[1]} does not compile for compute capability {unknown[0]}: another release of it does"
        return Finding(id="gpu", severity="error", found=found, needed_for=need, text=text)
    newest = _newest_cuda(smi)
    if nvcc is not None and newest and _major(newest) < _major(nvcc[1]):
        text = f"the driver is for CUDA {newest} at most, and nvcc is of {nvcc[1]}: what it builds may not run"
        fix = needs.system.install("nvidia-driver")
        return Finding(id="gpu", severity="warn", found=found, needed_for=need, text=text, fix=fix)
    asked = os.environ.get("CUDA_COMPUTE_CAP")
    if asked and asked not in [each.replace(".", "") for each in capabilities]:
        text = f"CUDA_COMPUTE_CAP is {asked}, and the cards are others: what is built may not run"
        return Finding(
            id="gpu", severity="warn", found=found, needed_for=need, text=text, fix=("unset CUDA_COMPUTE_CAP",)
        )
    return Finding(id="gpu", found=found, needed_for=need)


def _architectures(nvcc: str) -> tuple[str, ...]:
    """Return what nvcc can compile for, nothing where it is too old to say."""
    try:
        return tuple(ask([nvcc, "--list-gpu-arch"]).split())
    except CommandFailed:
        return ()


def _newest_cuda(smi: str) -> str:
    """Return the newest CUDA that the driver is for, empty where it does not say."""
    try:
        return next(iter(re.findall(r"CUDA Version: (\d+\.\d+)", ask([smi]))), "")
    except CommandFailed:
        return ""


def _major(version: str) -> int:
    """Return a release's first number: those that share it run each other's programs.

    >>> _major("12.4"), _major("")
    (12, 0)
    """
    return int(version.partition(".")[0] or 0)


def check_metal(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for Apple's command line tools and a GPU with Metal."""
    try:
        ask(["xcrun", "--version"])
        version = ask(["xcrun", "--show-sdk-version"])
    except (ToolMissing, CommandFailed):
        text = "Apple's command line tools are missing, or do not work"
        fix = ("xcode-select --install",)
        yield Finding(id="metal", severity="error", needed_for=need, text=text, fix=fix)
        return
    from llorch.remote.info import parse_displays

    gpus = tuple(parse_displays(json.loads(ask(["system_profiler", "SPDisplaysDataType", "-json"]))))
    with_metal = [gpu for gpu in gpus if gpu.metal]
    found = f"SDK {version.strip()}"
    if not with_metal:
        yield Finding(id="metal", severity="error", found=found, needed_for=need, text="no GPU of this Mac has Metal")
        return
    found += "".join(f", {gpu.name} ({gpu.metal or ''})" for gpu in with_metal)
    yield Finding(id="metal", found=found, needed_for=need)
