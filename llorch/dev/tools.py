"""The programs that conversions call: llama.cpp's converter and llama-quantize."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llorch.dev.finding import Finding, listing, own
from llorch.dev.needs import Needs
from llorch.switches import is_on

if TYPE_CHECKING:
    from llorch.models.tools import Tool


def needs_converter(needs: Needs) -> str:
    """Return the models that llama.cpp's converter has still to make."""
    steps = {id: model.entry.convert for id, model in needs.models.items()}
    wanted = [id for id, step in steps.items() if step is not None and step.engine == "llama.cpp"]
    return listing([f"convert:{id}" for id in wanted if not _is_made(needs, id, 0)])


def needs_quantize(needs: Needs) -> str:
    """Return the models that llama-quantize has still to make."""
    wanted = [id for id, model in needs.models.items() if model.entry.quantize is not None]
    return listing([f"quantize:{id}" for id in wanted if not _is_made(needs, id, 1)])


def _is_made(needs: Needs, id: str, step: int) -> bool:
    return needs.workspace.path(needs.models[id].made[step]).is_file()


def check_converter(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the packages that it runs with; its script may be the workspace's own."""
    from llorch.models.llama_cpp import find_programs
    from llorch.models.tools import CONVERT

    own = next(iter(find_programs(needs.workspace)), None)
    if CONVERT.path.is_file():
        script = f"{needs.workspace.name(own)}, by the packages of " if own is not None else ""
        yield Finding(id=CONVERT.name, found=f"{script}{CONVERT.version}", needed_for=need)
        return
    yield _missing(CONVERT, need, "about 1.2 GB")


def check_quantize(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the user's own, then for the ready-made one."""
    from llorch.models.quantize import BUILD, find_llama_quantize
    from llorch.models.tools import LLAMA_QUANTIZE, runs_llama_quantize

    own = find_llama_quantize(needs.workspace)
    if own is not None:
        yield Finding(id=LLAMA_QUANTIZE.name, found=needs.workspace.name(own), needed_for=need)
    elif LLAMA_QUANTIZE.path.is_file():
        yield Finding(id=LLAMA_QUANTIZE.name, found=LLAMA_QUANTIZE.version, needed_for=need)
    elif runs_llama_quantize():
        yield _missing(LLAMA_QUANTIZE, need, "a few MB")
    else:
        source = needs.workspace.path(os.path.dirname(BUILD)).parent.parent
        yield Finding(
            id=LLAMA_QUANTIZE.name,
            severity="error",
            needed_for=need,
            text="there is no ready-made one for this machine: build llama.cpp, or have its llama-quantize in PATH",
            fix=needs.system.install("llama.cpp") or _build(source),
        )


def _build(source: Path) -> tuple[str, ...]:
    """Return the commands that build it of llama.cpp's sources, which are fetched if they are not there."""
    place = "reference/llama.cpp"
    clone = () if source.is_dir() else (f"git clone https://github.com/ggml-org/llama.cpp {place}",)
    return (*clone, f"cmake -B {place}/build -S {place}", f"cmake --build {place}/build --target llama-quantize")


def _missing(tool: "Tool", need: str, size: str) -> Finding:
    """Tell of a tool that the task which needs it installs itself, unless nothing may be fetched."""
    off = is_on("LLORCH_OFFLINE")
    text = "fetching is switched off: it cannot be installed" if off else f"what needs it installs it first, {size}"
    fix = (own("llorch", "doit", f"tool:{tool.name}"),)
    found = "not installed"
    return Finding(id=tool.name, severity="warn", found=found, needed_for=need, text=text, fix=fix, safe=not off)
