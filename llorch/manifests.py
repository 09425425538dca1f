"""Tables of llorch.toml held against the cargo packages that they name: package, binaries, features, profile.

Cargo is asked what its manifests say. Nothing is built, and nothing is fetched.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llorch import cargo, shell
from llorch.config import Mistake, Workspace
from llorch.errors import CommandFailed, LlorchError, nearest
from llorch.parallel import in_parallel

AT_ONCE = 4
PATIENCE = 20.0
"""Seconds for cargo to read its manifests."""
PROFILES = ("dev", "release", "test", "bench")
"""Those that every package has (https://doc.rust-lang.org/cargo/reference/profiles.html)."""

Metadata = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a table says of a package; nothing where it says nothing."""

    table: tuple[str, str]
    manifest: Path
    package: str = ""
    every: bool = False
    """Cargo takes all packages of the workspace where none is named, and the manifest is none's own."""
    bins: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()


def check(wanted: Iterable[Wanted], workspace: Workspace) -> tuple[list[Mistake], str]:
    """Return what is not so, and why not all could be looked at, if so."""
    there: list[Wanted] = []
    mistakes: list[Mistake] = []
    for table in wanted:
        if table.manifest.is_file():
            there.append(table)
        else:
            name = workspace.name(table.manifest)
            mistakes.append(
                Mistake((*table.table, "manifest"), f"there is no file `{name}`", "add the crate, or say where it is")
            )
    folders = list(dict.fromkeys(table.manifest.parent for table in there))
    answers = dict(zip(folders, in_parallel(folders, _ask, AT_ONCE), strict=True))
    skipped = ""
    for table in there:
        answer = answers[table.manifest.parent]
        if isinstance(answer, CommandFailed) and _has_cargo(table.manifest.parent):
            mistakes.append(Mistake((*table.table, "manifest"), f"cargo cannot use it: {_reason(answer.tail)}"))
        elif isinstance(answer, CommandFailed):
            skipped = f"cargo does not work: {_reason(answer.tail).partition('; ')[0]}"
        elif isinstance(answer, LlorchError):
            skipped = answer.message.splitlines()[0]
        else:
            mistakes += _compare(table, answer)
    return mistakes, skipped


def _ask(folder: Path) -> Metadata | LlorchError:
    try:
        return cargo.load_metadata(folder, timeout=PATIENCE)
    except LlorchError as error:
        return error


def _reason(said: str) -> str:
    r"""Return what cargo says is wrong, on one line.

    >>> _reason("warning: x\nerror: extra `=`\n --> Cargo.toml:4:11\n  |\n4 | edition = = 2\n  |           ^")
    'extra `=`; --> Cargo.toml:4:11'
    """
    lines = said[max(0, said.find("error: ")) :].removeprefix("error: ").splitlines()
    words = (line.strip() for line in lines if not re.match(r"\s*\d* \||Caused by:", line))
    return "; ".join(filter(None, words))[:500]


def _has_cargo(folder: Path) -> bool:
    """Tell whether cargo itself works in a folder: if its toolchain is missing, no manifest is to blame."""
    try:
        shell.run(["cargo", "--version"], cwd=folder, env={"RUSTUP_AUTO_INSTALL": "0"}, timeout=PATIENCE)
    except LlorchError:
        return False
    return True


def _compare(table: Wanted, metadata: Metadata) -> Iterator[Mistake]:
    package = cargo.find_package(metadata, table.manifest, table.package)
    if package is None and table.every and not table.package and metadata["packages"]:
        yield from _features(table, "the workspace", metadata["packages"])
    elif package is None:
        yield cargo.no_package(metadata, table.table, table.package)
    else:
        bins = [target["name"] for target in package["targets"] if "bin" in target["kind"]]
        for name in table.bins:
            if name not in bins:
                yield _unknown(table, "bin", f"`{package['name']}` has no binary `{name}`", name, bins)
        yield from _features(table, f"`{package['name']}`", [package])
    own = _own_profiles(Path(metadata["workspace_root"]), table.manifest.parent)
    profiles = list(dict.fromkeys([*PROFILES, *own]))
    for name in table.profiles:
        if name not in profiles:
            message = f"there is no profile `{name}` in the workspace's Cargo.toml"
            yield _unknown(table, "profile", message, name, profiles)


def _features(table: Wanted, where: str, packages: Sequence[Metadata]) -> Iterator[Mistake]:
    dependencies = [each for package in packages for each in package["dependencies"]]
    optional = [each["rename"] or each["name"] for each in dependencies if each["optional"]]
    own = [name for package in packages for name in package["features"]]
    known = list(dict.fromkeys(["default", *own, *optional]))
    for name in table.features:
        if "/" not in name and name not in known:
            yield _unknown(table, "features", f"{where} has no feature `{name}`", name, known)


def _unknown(table: Wanted, field: str, message: str, name: str, known: Sequence[str]) -> Mistake:
    near = nearest(name, known)
    return Mistake(
        (*table.table, field),
        message,
        f"did you mean `{near}`?" if near else f"there are {', '.join(known[:10]) or 'none'}",
    )


def _own_profiles(root: Path, folder: Path, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Yield the profiles of a workspace's manifest, and of cargo's own configuration, which may have some too."""
    import tomli

    home = Path(environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))
    beside = [above / ".cargo" / name for above in (folder, *folder.parents) for name in ("config.toml", "config")]
    for file in (root / "Cargo.toml", *beside, home / "config.toml", home / "config"):
        try:
            yield from tomli.loads(file.read_text()).get("profile", {})
        except (OSError, ValueError):  # what is wrong with it, cargo says
            continue
