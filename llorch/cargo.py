"""How cargo is called and what it says: its messages, its errors and its progress.

What a build or a test suite wants of cargo is the rooms' business.
"""

import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llorch import shell
from llorch.config import Mistake
from llorch.errors import CommandFailed, LlorchError, nearest
from llorch.progress import Progress
from llorch.toolchain import INSTALL, way_to

KEPT = 20_000
"""Lines of what cargo says that are kept, of the end."""
SHOWN = 200
"""Lines of errors that are shown."""
SAY_EVERY = 0.1
"""Seconds between two words on the progress."""
_BAR = re.compile(r"\s*Building \[[=> ]*\] (\d+)/(\d+)(?:: (.*))?")
_VERBS = (
    "Adding", "Blocking", "Checking", "Compiling", "Dirty", "Downloaded", "Downloading", "Finished", "Fresh", "Locking",
    "Running", "Unpacking", "Updating",
)  # fmt: skip
_UNREAD = re.compile(r"failed to read `(/.*/Cargo\.toml)`")
_WARNED = re.compile(r"warning: `.*` \(.*\) generated (\d+) warnings?\b")


@dataclass(slots=True)
class Output:
    """What cargo has said so far."""

    progress: Progress
    on_text: Callable[[str], None] | None = None
    on_begin: Callable[[], None] | None = None
    """Called once, when cargo has read its manifests and written its lock file."""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    scripts: list[dict[str, Any]] = field(default_factory=list)
    text: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    warnings: int = 0
    _said: float = 0.0
    _done: int = -1

    def __call__(self, line: str) -> None:
        """Take a line."""
        if line.startswith('{"reason":'):
            self._take(json.loads(line))
        elif bar := _BAR.fullmatch(line):
            self._show(int(bar[1]), int(bar[2]), (bar[3] or "").strip())
        elif line.lstrip().startswith("Blocking waiting for file lock"):
            self.progress.say("waiting for another cargo, which has the target folder")
        else:
            warned = _WARNED.match(line)
            self.warnings += int(warned[1]) if warned else 0
            self.text.append(line)
            if self.on_text is not None:
                self.on_text(line)

    def _take(self, message: dict[str, Any]) -> None:
        if self.on_begin is not None:
            self.on_begin()
            self.on_begin = None
        if message["reason"] == "compiler-artifact":
            self.artifacts.append(message)
        elif message["reason"] == "build-script-executed":
            self.scripts.append(message)

    def _show(self, done: int, total: int, current: str) -> None:
        if done != self._done and time.monotonic() - self._said >= SAY_EVERY:
            self._done, self._said = done, time.monotonic()
            warned = f", {count(self.warnings, 'warning')}" if self.warnings else ""
            self.progress.say(f"{done} of {total} crates{warned}" + (f": {current}" if current else ""))

    def errors(self) -> str:
        """Return the errors, as cargo renders them."""
        lines = list(self.text)
        first = next((n for n, line in enumerate(lines) if line.startswith("error")), max(0, len(lines) - 40))
        shown = [line for line in lines[first:] if not _is_status(line)]
        more = [f"… and {len(shown) - SHOWN} lines more"] if len(shown) > SHOWN else []
        return "\n".join(shown[:SHOWN] + more).strip()


def _is_status(line: str) -> bool:
    """Tell whether a line is one of cargo's own on its progress: a verb that ends in the twelfth column.

    >>> _is_status("   Compiling a v0.1.0"), _is_status("  Permission denied")
    (True, False)
    """
    return line[12:13] == " " and line[:12].strip() in _VERBS


def run(
    arguments: Sequence[str], folder: Path, environ: Mapping[str, str], output: Output, *, hint: str | None = None
) -> None:
    """Run cargo in a folder, with these variables besides our own, and have `output` take what it says.

    Raises:
        ToolMissing: there is no cargo.
        CommandFailed: cargo failed; the error has its errors.
    """
    # The bar is what tells how many crates there are in all: https://doc.rust-lang.org/cargo/reference/config.html#term
    bar = {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "120", "CARGO_TERM_COLOR": "never"}
    command = ["cargo", *arguments]
    try:
        shell.run(command, cwd=folder, env={**bar, **environ}, on_line=output, hint=INSTALL)
    except CommandFailed as error:
        said = output.errors()
        raise CommandFailed(command, error.returncode, said, hint=hint or _way_to_manifests(said)) from None


def _way_to_manifests(said: str) -> str | None:
    return next(filter(None, map(way_to, _UNREAD.findall(said))), None)


def load_metadata(folder: Path, *, timeout: float | None = None) -> dict[str, Any]:
    """Return what `cargo metadata --no-deps` says of a folder's package and its workspace.

    Args:
        timeout: seconds that it may take; then no toolchain is installed for it either.

    Raises:
        ToolMissing: there is no cargo.
        CommandFailed: a manifest is wrong.
        TimedOut: it was not done in time.
    """
    found: list[str] = []
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--quiet"]
    env = (
        {"CARGO_TERM_COLOR": "never"} if timeout is None else {"CARGO_TERM_COLOR": "never", "RUSTUP_AUTO_INSTALL": "0"}
    )
    shell.run(command, cwd=folder, env=env, on_line=found.append, timeout=timeout, hint=INSTALL)
    metadata: dict[str, Any] = next(json.loads(line) for line in found if line.startswith("{"))
    return metadata


def find_package(metadata: Mapping[str, Any], manifest: Path, name: str) -> Mapping[str, Any] | None:
    """Return the package of that name, or the manifest's own if none is named; None if there is none."""
    for package in metadata["packages"]:
        if package["name"] == name if name else os.path.samefile(package["manifest_path"], manifest):
            return dict(package)
    return None


def no_package(metadata: Mapping[str, Any], table: tuple[str, str], name: str) -> Mistake:
    """Say that the package that a table of llorch.toml names is not there, or that it has to name one."""
    names = [package["name"] for package in metadata["packages"]]
    near = nearest(name, names)
    hint = f"did you mean `{near}`?" if near else f"there are {', '.join(names[:10]) or 'none'}"
    message = f"there is no package `{name}`" if name else "must say which package of the workspace"
    return Mistake((*table, "package"), message, hint)


def cache_counts(wrapper: str, folder: Path) -> tuple[int, int] | None:
    """Return how many compilations sccache has answered, and how many it has not; None where it does not say."""
    if Path(wrapper).name != "sccache":
        return None
    try:
        program = str(folder / wrapper) if "/" in wrapper else wrapper
        stats = json.loads(shell.output([program, "--show-stats", "--stats-format", "json"]))["stats"]
        hits, misses = (sum(stats[key]["counts"].values()) for key in ("cache_hits", "cache_misses"))
    except (LlorchError, ValueError, KeyError, TypeError):
        return None
    return int(hits), int(misses)


def count(number: int, noun: str) -> str:
    """Return a number of things.

    >>> count(1, "warning"), count(2, "warning")
    ('1 warning', '2 warnings')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")
