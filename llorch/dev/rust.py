"""Rust: cargo and rustc, the linker, and a wrapper of rustc."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from llorch.dev.finding import Finding, ask
from llorch.dev.needs import Needs
from llorch.dev.rustup import QUIET, check_toolchain, find_rustup, find_toolchain_file
from llorch.dev.system import edit
from llorch.errors import CommandFailed, ToolMissing


def check_rust(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for cargo and rustc, once for each toolchain that the crates ask for, then for the wrapper of rustc."""
    if shutil.which("cargo") is None:
        yield _no_cargo(needs, need)
        return
    folders = [manifest.parent for manifest in needs.manifests] or [needs.workspace.root]
    fine = True
    for file in dict.fromkeys(map(find_toolchain_file, folders)):
        chosen = [folder for folder in folders if find_toolchain_file(folder) == file]
        for look in (check_toolchain, _check_programs):
            if fine:  # else cargo would say the same again
                answers = list(look(needs, need, file, chosen))
                fine = not any(answer.severity == "error" for answer in answers)
                yield from answers
    if fine and needs.settings.cargo.rustc_wrapper:
        yield from check_wrapper(needs, folders[0])


def _no_cargo(needs: Needs, need: str) -> Finding:
    home = Path(os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))
    if os.access(home / "bin" / "cargo", os.X_OK):
        text = f"cargo is in `{home}/bin`, and that is not in PATH"
        fix: tuple[str, ...] = (f"export PATH={shlex.quote(str(home))}/bin:$PATH",)
    else:
        text, fix = "cargo is not installed, or not in PATH", needs.system.install_rust()
    return Finding(id="cargo", severity="error", needed_for=need, text=text, fix=fix)


def _check_programs(needs: Needs, need: str, file: Path | None, folders: Sequence[Path]) -> Iterator[Finding]:
    """Ask cargo and rustc for their versions where they are to work, and compare with what the packages want."""
    from llorch.toolchain import require_version

    rustc = os.environ.get("RUSTC") or "rustc"
    for id, program in (("cargo", "cargo"), ("rustc", rustc)):
        try:
            said = ask([program, "--version"], cwd=folders[0], env=QUIET)
            if id == "rustc":
                for package in _packages(folders):
                    require_version(package, folders[0])
        except ToolMissing as error:
            fix = (_update(file) if shutil.which(program) else ()) or needs.system.install_rust()
            yield Finding(id=id, severity="error", needed_for=need, text=error.message, fix=fix)
        except CommandFailed as error:
            yield _failed(id, need, error)
            return  # rustc would say the same
        else:
            yield Finding(id=id, found=_version(said), needed_for=need)


def _version(said: str) -> str:
    """Return the version out of what a program of Rust says.

    >>> _version("cargo 1.95.0 (f2d3ce0bd 2026-03-21)")
    '1.95.0'
    """
    return next(iter(re.findall(r"\d+\.\d+\S*", said)), said.partition("\n")[0])


def _failed(id: str, need: str, error: CommandFailed) -> Finding:
    lines = [line for line in error.tail.splitlines() if line.strip()]
    text = lines[0].removeprefix("error: ") if lines else error.message
    rustup = find_rustup()
    fix = (shlex.join([rustup, "default", "stable"]),) if "no default" in error.tail and rustup else ()
    found = "does not work"
    return Finding(id=id, severity="error", found=found, needed_for=need, text=text, fix=fix, safe=bool(fix))


def _update(file: Path | None) -> tuple[str, ...]:
    if file is not None:
        return (edit(str(file)),)
    rustup = find_rustup()
    return (shlex.join([rustup, "update", "stable"]),) if rustup else ()


def _packages(folders: Sequence[Path]) -> Iterator[Mapping[str, str]]:
    """Yield what `toolchain.require_version` wants to know of packages; cargo itself tells of broken manifests."""
    import tomli

    for folder in folders:
        try:
            package = tomli.loads((folder / "Cargo.toml").read_text()).get("package", {})
        except (OSError, ValueError):
            continue
        if isinstance(package, dict) and isinstance(package.get("rust-version"), str):
            yield {"name": str(package.get("name")), "rust_version": package["rust-version"]}


def check_linker(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the C compiler, by which rustc links."""
    try:
        if needs.system.platform == "darwin":  # where `cc` is always there, and asks for the tools in a window
            ask(["xcode-select", "-p"])
        said = ask(["cc", "--version"])
    except (ToolMissing, CommandFailed) as error:
        text = f"{error.message}: rustc links by it, and build scripts compile C"
        fix = needs.system.install("compiler")
        yield Finding(id="linker", severity="error", needed_for=need, text=text, fix=fix)
        return
    yield Finding(id="linker", found=said.partition("\n")[0], needed_for=need)


def check_wrapper(needs: Needs, folder: Path) -> Iterator[Finding]:
    """Try the wrapper of rustc as a build would; without it a build takes longer, but is made."""
    from llorch.toolchain import try_wrapper

    name, need = needs.settings.cargo.rustc_wrapper, "[cargo] rustc_wrapper"
    id = "sccache" if os.path.basename(name) == "sccache" else "wrapper"
    flaw = try_wrapper(name, folder).flaw
    if flaw:
        fix = needs.system.install("sccache") if name == "sccache" and shutil.which(name) is None else ()
        text = f"builds leave it out: {flaw}"
        yield Finding(id=id, severity="warn", found=name, needed_for=need, text=text, fix=fix)
        return
    try:
        found = ask([name, "--version"], cwd=folder).partition("\n")[0]
    except CommandFailed:  # it may be anything that runs rustc
        found = name
    yield Finding(id=id, found=found, needed_for=need)
