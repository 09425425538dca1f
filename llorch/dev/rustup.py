"""What toolchain a cargo workspace asks for, and whether rustup has it.

rustup is never made to install anything by being asked: only its lists are read.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from llorch.dev.finding import Finding, Severity, ask, listing
from llorch.dev.needs import Needs
from llorch.dev.system import edit
from llorch.workspace import upwards

QUIET: Mapping[str, str] = {"RUSTUP_AUTO_INSTALL": "0", "RUST_BACKTRACE": "0"}
# https://rust-lang.github.io/rustup/concepts/toolchains.html
_CHANNEL = re.compile(
    r"(stable|beta|nightly|\d+\.\d+(\.\d+)?(-beta(\.\d+)?)?)(-\d{4}-\d{2}-\d{2})?(-[a-z0-9_]+-[a-z]+-[a-z0-9-]+)?"
)
_HOST = r"(-[a-z0-9_]+-[a-z]+-[a-z0-9-]+)?"
_WORD = re.compile(r"\w[\w.+-]*", re.ASCII)


class Toolchain(NamedTuple):
    """What is asked for, and where: a file, or RUSTUP_TOOLCHAIN. `path` is a folder in a channel's place."""

    source: str
    channel: str = ""
    path: str = ""
    components: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


def find_rustup() -> str | None:
    """Return rustup: it may be in PATH under cargo's name alone, which is then a link to it or lies beside it."""
    cargo = shutil.which("cargo") or ""
    beside = (os.path.realpath(cargo), os.path.join(os.path.dirname(cargo), "rustup"))
    found = (path for path in beside if os.path.basename(path) == "rustup" and os.access(path, os.X_OK))
    return "rustup" if shutil.which("rustup") else next(found, None)


class Flaw(Exception):
    """Says what is wrong with a toolchain file."""


def find_toolchain_file(folder: Path) -> Path | None:
    """Return the file that rustup would take in a folder, None where there is none."""
    names = ("rust-toolchain", "rust-toolchain.toml")
    places = (Path(above, name) for above in upwards(os.path.abspath(folder)) for name in names)
    return next((place for place in places if place.is_file()), None)


def load_toolchain(file: Path, name: str) -> Toolchain:
    """Return what a toolchain file asks for (https://rust-lang.github.io/rustup/overrides.html).

    Raises:
        Flaw: rustup could not read it, or not what is in it.
    """
    from llorch.toml import Document

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Flaw(f"`{name}` cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    lines = text.split()
    if file.suffix != ".toml" and len(lines) == 1 and _WORD.fullmatch(lines[0]):
        return Toolchain(name, lines[0])
    document = Document(name, text)
    if document.problems:
        raise Flaw("\n".join(map(str, document.problems)))
    table = document.data.get("toolchain")
    if not isinstance(table, dict) or not table:
        raise Flaw(f"{name}: has no table `[toolchain]` that says anything")
    found = {key: table.get(key, kind()) for key, kind in (("channel", str), ("path", str))}
    lists = {key: table.get(key, []) for key in ("components", "targets")}
    for key, value in {**found, **lists}.items():
        words = value if key in lists else [value]
        line = document.line_of(("toolchain", key))
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            kind = "a string" if key in found else "an array of strings"
            raise Flaw(f"{name}:{line}: toolchain.{key}: must be {kind}")
        wrong = next((word for word in words if key in table and key != "path" and not _WORD.fullmatch(word)), None)
        if wrong is not None:
            raise Flaw(f"{name}:{line}: toolchain.{key}: `{wrong}` is no name")
    if found["path"] and (found["channel"] or lists["components"] or lists["targets"]):
        raise Flaw(f"{name}: toolchain: `path` goes with nothing else")
    return Toolchain(name, found["channel"], found["path"], tuple(lists["components"]), tuple(lists["targets"]))


def check_toolchain(needs: Needs, need: str, file: Path | None, folders: Sequence[Path]) -> Iterator[Finding]:
    """Compare what a toolchain file, or RUSTUP_TOOLCHAIN, asks for with what rustup has.

    Args:
        folders: where the file counts.
    """
    named = os.environ.get("RUSTUP_TOOLCHAIN", "")
    rustup = find_rustup()
    try:
        if named:
            is_folder = os.sep in named
            wanted = Toolchain("RUSTUP_TOOLCHAIN", "" if is_folder else named, named if is_folder else "")
        elif file is not None:
            wanted = load_toolchain(file, needs.workspace.name(file))
        else:
            wanted = Toolchain("")
    except Flaw as flaw:
        # Only rustup reads it.
        severity: Severity = "error" if rustup else "warn"
        found = needs.workspace.name(str(file))
        mend = (edit(str(file)),)
        yield Finding(id="toolchain", severity=severity, found=found, needed_for=need, text=str(flaw), fix=mend)
        return
    targets = tuple(dict.fromkeys((*wanted.targets, *_targets(needs))))
    if rustup is None:
        if wanted.source:
            text = f"`{wanted.source}` counts for nothing: this cargo is not rustup's"
            fix = needs.system.install_rust()
            found = wanted.channel or wanted.path
            yield Finding(id="toolchain", severity="warn", found=found, needed_for=need, text=text, fix=fix)
    elif wanted.path:
        yield from _check_folder(wanted, need, file)
    elif wanted.channel or targets:
        yield from _check_installed(rustup, wanted._replace(targets=targets), need)


def _targets(needs: Needs) -> Iterator[str]:
    """Yield the targets that builds are declared for, but for files of a target's own."""
    for plan in needs.builds:
        target = plan.settings.target.replace("{backend}", plan.backend)
        if target and not target.endswith(".json"):
            yield target


def _check_folder(wanted: Toolchain, need: str, file: Path | None) -> Iterator[Finding]:
    folder = os.path.join(os.path.dirname(file or ""), wanted.path)
    if os.path.isfile(os.path.join(folder, "bin", "rustc")):
        yield Finding(id="toolchain", found=wanted.path, needed_for=need)
        return
    text = f"`{wanted.source}` names the folder `{wanted.path}`, and there is no toolchain in it"
    mend = (f"unset {wanted.source}" if wanted.source in os.environ else edit(str(file)),)
    yield Finding(id="toolchain", severity="error", found="not there", needed_for=need, text=text, fix=mend)


def _check_installed(rustup: str, wanted: Toolchain, need: str) -> Iterator[Finding]:
    """Compare with what rustup has."""
    on = f" by `{wanted.source}`" if wanted.source else ""
    if wanted.channel and not _has_channel(wanted.channel, _list(rustup, "toolchain", "list")):
        yield _no_channel(rustup, wanted, need, on)
        return
    chosen = ("--toolchain", wanted.channel) if wanted.channel else ()
    missing: list[tuple[str, str]] = []
    if wanted.components:
        installed = _list(rustup, "component", "list", "--installed", *chosen)
        missing += [("component", name) for name in _missing(wanted.components, installed)]
    if wanted.targets:
        installed = _list(rustup, "target", "list", "--installed", *chosen)
        missing += [("target", name) for name in wanted.targets if name not in installed]
    for kind, name in missing:
        yield Finding(
            id="toolchain",
            severity="error",
            found=f"no {name}",
            needed_for=need,
            text=f"the {kind} `{name}` is wanted{on}, and is not installed",
            fix=(shlex.join([rustup, kind, "add", name, *chosen]),),
            safe=True,
        )
    if not missing:
        yield Finding(id="toolchain", found=wanted.channel or listing(wanted.targets), needed_for=need)


def _no_channel(rustup: str, wanted: Toolchain, need: str, on: str) -> Finding:
    more = [word for name in wanted.components for word in ("--component", name)]
    more += [word for name in wanted.targets for word in ("--target", name)]
    text = f"the toolchain `{wanted.channel}` is wanted{on}, and is not installed"
    is_of_rust = _CHANNEL.fullmatch(wanted.channel) is not None
    if not is_of_rust:
        text += "; it is none of Rust's own: `rustup toolchain link` gives a folder that name"
    return Finding(
        id="toolchain",
        severity="error",
        found="not installed",
        needed_for=need,
        text=text,
        fix=(shlex.join([rustup, "toolchain", "install", wanted.channel, *more]),) if is_of_rust else (),
        safe=is_of_rust,
    )


def _list(rustup: str, *command: str) -> list[str]:
    """Return the first words of a list of rustup's; to ask for it installs nothing."""
    return [line.split()[0] for line in ask([rustup, *command], env=QUIET).splitlines() if line.strip()]


def _has_channel(channel: str, installed: Sequence[str]) -> bool:
    """Tell whether a toolchain is installed, by its name or its name with a host's.

    >>> _has_channel("nightly", ["nightly-2024-01-01-x86_64-unknown-linux-gnu"])
    False
    """
    return any(re.fullmatch(re.escape(channel) + _HOST, name) for name in installed)


def _missing(components: Sequence[str], installed: Sequence[str]) -> list[str]:
    """Return the components that are not installed; rustup lists most of them with a host behind.

    >>> _missing(["rustfmt", "llvm-tools-preview", "miri"], ["rustfmt-x86_64-unknown-linux-gnu", "llvm-tools-x"])
    ['miri']
    """
    names = {name: name.removesuffix("-preview") for name in components}
    return [name for name, base in names.items() if not any(f"{has}-".startswith(f"{base}-") for has in installed)]
