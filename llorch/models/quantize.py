"""Make a smaller GGUF of one: by llama-quantize, llama.cpp's or one of the same command line."""

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from llorch import shell
from llorch.config import Workspace
from llorch.errors import CommandFailed, DiskFull, LlorchError, Malformed
from llorch.models.ggml import TYPES
from llorch.models.gguf import Gguf, load_gguf
from llorch.models.part import landing_by
from llorch.models.space import room
from llorch.progress import Progress

BUILD = "reference/llama.cpp/build/bin/llama-quantize"
_BLOCKS = {name: (elements, size) for name, elements, size in TYPES.values()}
_AT = re.compile(r"\[ *\d+/ *\d+\] +(\S+) ")


def find_llama_quantize(workspace: Workspace) -> Path | None:
    """Return the user's own llama-quantize: the workspace's build, else the one in PATH; None if there is none."""
    built = workspace.path(BUILD)
    if built.is_file() and os.access(built, os.X_OK):
        return built
    found = shutil.which("llama-quantize")
    return None if found is None else Path(os.path.abspath(found))


def find_libraries(program: Path) -> tuple[Path, ...]:
    """Return llama.cpp's own libraries beside a program, which do the work where it is not all in one file."""
    folder = Path(os.path.realpath(program)).parent
    places = (folder, folder.with_name("lib"))
    every = sorted(path for place in places for name in ("libllama*", "libggml*") for path in place.glob(name))
    return tuple(path for path in every if {".so", ".dylib"} & {*path.suffixes} and path.is_file())


def quantize(source: Path, place: Path, name: str, type: str, program: Path, progress: Progress) -> None:
    """Quantize a GGUF of 16 or 32 bits.

    Args:
        place: where the new file belongs.
        name: how messages call it.
        type: a file type that `check_quantize_type` lets pass.

    Raises:
        Malformed: the source, or what was made of it, is no right GGUF.
        LlorchError: the source is quantized already, or the program cannot make the type, or not of this model.
        ToolMissing: the program is not there.
        CommandFailed: the program fails for a reason not known here.
        DiskFull: there is no room, or no right, to write.
        Busy: another process is writing the same file.
    """
    before = load_gguf(source, source.name)
    quantized = [share.type for share in before.quantization.types if _BLOCKS[share.type][0] > 1]
    if quantized:
        raise LlorchError(
            f"`{source.name}` has tensors of {quantized[0]} already, and quantizing twice spoils them",
            hint="make it with `convert.outtype` f32, f16 or bf16",
        )
    sizes = {tensor.name: tensor.size for tensor in before.tensors}

    def on_line(line: str) -> None:
        match = _AT.match(line)
        if match is not None:
            progress.advance(sizes.pop(match[1], 0))

    with room(name, {place: _least(before, type)}), landing_by(place, name) as (part, lock):
        progress.say(f"{type} of {source.name}")
        progress.total(sum(sizes.values()))
        command = [os.path.abspath(program), os.path.abspath(source), os.path.abspath(part)]
        try:
            shell.run([*command, type, str(os.cpu_count() or 1)], on_line=on_line, inherit=(lock,))
        except CommandFailed as error:
            raise _failed(error, name, type, place) from error
        try:
            after = load_gguf(part, name)
        except Malformed as error:
            hint = "a fork's llama-quantize writes types of its own into some mixtures, which llama.cpp cannot read; "
            hint += f"choose another `quantize.type`, or build llama.cpp as `{BUILD}`"
            raise Malformed(name, error.reason, hint=hint) from None
        _check(before, after, name, type)


def _least(before: Gguf, type: str) -> int:
    """Return how many bytes the file takes at least: mixtures keep some tensors bigger. 0 where it is not known."""
    elements, size = _BLOCKS.get(type) or _BLOCKS.get(type.rpartition("_")[0]) or (1, 0)
    return before.parameters // elements * size


def _check(before: Gguf, after: Gguf, name: str, type: str) -> None:
    """Check that it is the same model, and quantized."""
    if after.quantization.name != type:
        raise Malformed(name, f"llama-quantize has made it {after.quantization.name}, not {type}")
    if after.architecture != before.architecture or _shapes(after) != _shapes(before):
        raise Malformed(name, "llama-quantize has not kept the architecture and all tensors")


def _shapes(gguf: Gguf) -> Collection[tuple[str, tuple[int, ...]]]:
    return {(tensor.name, tensor.shape) for tensor in gguf.tensors}


def _failed(error: CommandFailed, name: str, type: str, place: Path) -> LlorchError:
    program = error.command[0]
    if "invalid ftype" in error.tail:
        return LlorchError(
            f"`{program}` cannot make {type}",
            hint=f"choose another `quantize.type`, or build a llama.cpp that can as `{BUILD}`",
        )
    unknown = re.search(r"unknown model architecture: '([^'\n]*)'", error.tail)
    if unknown is not None:
        return LlorchError(
            f"`{program}` does not know the architecture `{unknown[1]}`", hint=f"build a newer llama.cpp as `{BUILD}`"
        )
    if "iostream error" in error.tail:
        return DiskFull(f"`{name}` cannot be written", hint=f"make room below `{place.parent}`")
    return error
