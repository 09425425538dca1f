"""Rust: cargo and rustc, the linker, and a wrapper of rustc."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from llorch.dev.finding import PATIENCE, Finding, ask, first_line
from llorch.dev.needs import Needs
from llorch.dev.rustup import QUIET, check_toolchain, find_rustup, find_toolchain_file
from llorch.dev.system import edit
from llorch.errors import LlorchError, ToolMissing
from llorch.workspace import upwards


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
    rustc = os.environ.get("RUSTC") or "rustc"
    for id, program in (("cargo", "cargo"), ("rustc", rustc)):
        try:
            said = ask([program, "--version"], cwd=folders[0], env=QUIET)
        except ToolMissing as error:
            fix = needs.system.install_rust()
            yield Finding(id=id, severity="error", needed_for=need, text=error.message, fix=fix)
            continue
        except LlorchError as error:
            yield _failed(id, need, error)
            return  # rustc would say the same
        version = next(iter(re.findall(rf"^{id} (\d+\.\d+\S*)", said, re.MULTILINE)), "")
        if not version:
            text = f"`{program} --version` does not say it is {id}: {first_line(said)}"
            yield Finding(id=id, severity="error", found="does not work", needed_for=need, text=text)
            return
        too_old = _too_old(folders) if id == "rustc" else ""
        fix = (_update(file) or needs.system.install_rust()) if too_old else ()
        yield Finding(
            id=id, severity="error" if too_old else "ok", found=version, needed_for=need, text=too_old, fix=fix
        )


def _too_old(folders: Sequence[Path]) -> str:
    """Return which package wants a newer Rust than there is, empty where none does."""
    from llorch.toolchain import parse_version, require_version

    packages = [*_packages(folders)]
    if not packages:
        return ""
    try:
        require_version(max(packages, key=lambda package: parse_version(package["rust_version"])), folders[0])
    except ToolMissing as error:
        return error.message
    return ""


def _failed(id: str, need: str, error: LlorchError) -> Finding:
    said: str = getattr(error, "tail", "")
    lines = [line for line in said.splitlines() if line.strip()]
    text = lines[0].removeprefix("error: ") if lines else error.message
    rustup = find_rustup()
    fix = (shlex.join([rustup, "default", "stable"]),) if "no default" in said and rustup else ()
    found = "does not work"
    return Finding(id=id, severity="error", found=found, needed_for=need, text=text, fix=fix, safe=bool(fix))


def _update(file: Path | None) -> tuple[str, ...]:
    if file is not None:
        return (edit(str(file)),)
    rustup = find_rustup()
    return (shlex.join([rustup, "update", "stable"]),) if rustup else ()


def _packages(folders: Sequence[Path]) -> Iterator[Mapping[str, str]]:
    """Yield what `toolchain.require_version` wants to know of packages; cargo itself tells of broken manifests."""
    for folder in folders:
        package = _table(_manifest(folder), "package")
        wanted = package.get("rust-version")
        if wanted == {"workspace": True}:
            manifests = (_manifest(Path(above)) for above in upwards(str(folder)))
            root = next((_table(each, "workspace") for each in manifests if "workspace" in each), {})
            wanted = _table(root, "package").get("rust-version")
        if isinstance(wanted, str):
            yield {"name": str(package.get("name")), "rust_version": wanted}


def _manifest(folder: Path) -> Mapping[str, Any]:
    import tomli

    try:
        return tomli.loads((folder / "Cargo.toml").read_text())
    except (OSError, ValueError):
        return {}


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def check_linker(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the C compiler, by which rustc links."""
    try:
        if needs.system.platform == "darwin":  # where `cc` is always there, and asks for the tools in a window
            ask(["xcode-select", "-p"])
        said = ask(["cc", "--version"])
    except LlorchError as error:
        text = f"rustc links by `cc`, and build scripts compile C\n{error.message}"
        fix = needs.system.install("compiler")
        yield Finding(id="linker", severity="error", needed_for=need, text=text, fix=fix)
        return
    yield Finding(id="linker", found=first_line(said), needed_for=need)


def check_wrapper(needs: Needs, folder: Path) -> Iterator[Finding]:
    """Try the wrapper of rustc as a build would; without it a build takes longer, but is made."""
    from llorch.toolchain import try_wrapper

    name, need = needs.settings.cargo.rustc_wrapper, "[cargo] rustc_wrapper"
    id = "sccache" if os.path.basename(name) == "sccache" else "wrapper"
    flaw = try_wrapper(name, folder, timeout=PATIENCE).flaw
    if flaw:
        fix = needs.system.install("sccache") if name == "sccache" and shutil.which(name) is None else ()
        text = f"builds leave it out: {flaw}"
        yield Finding(id=id, severity="warn", found=name, needed_for=need, text=text, fix=fix)
        return
    try:
        found = first_line(ask([name, "--version"], cwd=folder))
    except LlorchError:  # it may be anything that runs rustc
        found = name
    yield Finding(id=id, found=found, needed_for=need)
