"""What a bug report needs to know of this machine and its workspace, without secrets and without names of people."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llorch import __version__, shell
from llorch.config import Workspace
from llorch.dev.check import read_files
from llorch.dev.values import Value, harmless, list_variables
from llorch.errors import LlorchError
from llorch.log import list_logs
from llorch.parallel import in_parallel
from llorch.text import shown

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "git": ("git", "--version"),
    "cargo": ("cargo", "--version"),
    "rustc": ("rustc", "--version"),
    "ssh": ("ssh", "-V"),
}
PATIENCE = 5.0
"""Seconds for a program to tell its version."""
LOGS = 3
"""Names of the newest logs that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """The report: versions, None of what is not there; what is wrong with the files, a line each; `size` in bytes."""

    python: str
    system: str
    packages: Mapping[str, str | None]
    programs: Mapping[str, str | None]
    files: tuple[str, ...]
    counts: Mapping[str, int]
    problems: tuple[str, ...]
    size: int
    """Of `.llorch/`."""
    logs: tuple[str, ...]
    """The newest, by their names."""
    environment: tuple[Value, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        workspace = {"files": self.files, **self.counts, "problems": self.problems, "state_size": self.size}
        return {
            "llorch": __version__,
            "python": self.python,
            "system": self.system,
            "packages": [{"name": name, "version": version} for name, version in self.packages.items()],
            "programs": [{"name": name, "version": version} for name, version in self.programs.items()],
            "workspace": workspace,
            "logs": self.logs,
            "environment": [{"name": variable.key, "value": variable.value} for variable in self.environment],
        }


def gather(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Info:
    """Look at everything that is told, in bounded time."""
    files = read_files(workspace, environ)

    def clean(text: str) -> str:
        return shown(impersonal(harmless(text, environ), environ))

    problems = sorted(files.wrong, key=lambda problem: (problem.file, problem.line or 0))
    versions = in_parallel(PROGRAMS.values(), lambda command: _version(command, workspace.root), len(PROGRAMS))
    variables = [value._replace(value=clean(str(value.value))) for value in list_variables(environ)]
    return Info(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=platform.platform(),
        packages=_packages(),
        programs=dict(zip(PROGRAMS, versions, strict=True)),
        files=tuple(map(clean, files.names())),
        counts=files.counts,
        problems=tuple(clean(str(problem)) for problem in problems),
        size=_size(workspace.state),
        logs=tuple(map(clean, _newest(workspace.state / "log"))),
        environment=tuple(variables),
    )


def impersonal(text: str, environ: Mapping[str, str]) -> str:
    """Return a text that does not tell who its user is, nor on which machine: the home folder is `~`.

    >>> impersonal("/home/vince/x /Users/ann/y vince", {"HOME": "/home/vince", "USER": "vince"})
    '~/x /Users/USER/y USER'
    """
    import socket

    home = environ.get("HOME", "").rstrip("/")
    found = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if home else text
    found = re.sub(r"(/home/|/Users/)[^/\s:]+", r"\1USER", found)
    names = {environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")}
    machine = socket.gethostname()
    for name, word in [*((name, "USER") for name in names), (machine, "HOST"), (machine.partition(".")[0], "HOST")]:
        if len(name) > 2 and name not in ("root", "localhost"):
            found = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", word, found)
    return found


def _version(command: Sequence[str], folder: Path) -> str | None:
    """Return what a program says its version is, without its name; None if it is not there, or does not say it."""
    lines: list[str] = []
    try:
        env = {"RUSTUP_AUTO_INSTALL": "0", "LC_ALL": "C"}
        shell.run(command, cwd=folder, env=env, on_line=lines.append, timeout=PATIENCE)
    except LlorchError:
        return None
    return shown(" ".join(lines[:1]).removeprefix(f"{command[0]} ").removeprefix("version "))


def _packages() -> Mapping[str, str | None]:
    """Return the versions of the packages that llorch stands on, and of what `llorch[check]` adds if it is there."""
    from importlib import metadata

    found: dict[str, str | None] = {}
    for requirement in metadata.requires("llorch") or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"""extra == ["'](\w+)""", requirement)
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = None
        if extra is None or (extra[1] == "check" and version is not None):
            found[name] = version
    return found


def _size(folder: Path) -> int:
    """Return the bytes of a folder's files, those that go away meanwhile aside."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(os.path.join(parent, name)).st_size
    return size


def _newest(folder: Path) -> list[str]:
    """Return the names of the newest logs, the newest first; none of a folder that is none, which doctor tells."""
    try:
        return list_logs(folder)[::-1][:LOGS]
    except OSError:
        return []
