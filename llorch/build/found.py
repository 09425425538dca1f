"""What a build has read, found in what cargo leaves and says: dep-info files, build scripts' output, manifests.

Dep-info alone leaves out manifests, configuration, the toolchain, the environment and what must stay absent; all of
it is gathered here, as inputs in `state`'s own form.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llorch.build.bound import MADE, find_bounds, needs_made
from llorch.build.checkouts import CACHE_TAG
from llorch.build.named import named_files
from llorch.config import Workspace
from llorch.toolchain import cuda_files, drivers
from llorch.workspace import repository_of

Message = Mapping[str, Any]
CHECKSUMS = ".cargo-checksum.json"
"""Has the digests of the files of a package that `cargo vendor` has written; cargo builds none that differ."""

_RUSTC = ("RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER")
"""Variables that name programs in rustc's place; `CARGO_BUILD_` may stand before each."""

# What cargo sets for crates: https://doc.rust-lang.org/cargo/reference/environment-variables.html
_CARGOS = {
    "CARGO", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PRIMARY_PACKAGE",
    "CARGO_RUSTC_CURRENT_DIR", "CARGO_TARGET_TMPDIR", "OUT_DIR",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a finished build tells of where its inputs are."""

    workspace: Workspace
    folder: Path
    """Where cargo was called."""
    executable: Path
    target_dir: str
    """What cargo was told, relative to the folder; empty where it had its own way."""
    metadata: Message
    artifacts: Sequence[Message]
    scripts: Sequence[Message]
    sysroot: Path
    wrapper: str
    backend: str

    @property
    def roots(self) -> tuple[str, ...]:
        """Return the folders of what cargo makes itself."""
        named = [self.metadata["target_directory"], self.metadata.get("build_directory")]
        named += [self.folder / self.target_dir] if self.target_dir else []
        return tuple(os.path.join(os.path.realpath(folder), "") for folder in named if folder)

    def compiled(self, pattern: str) -> list[Path]:
        """Return the files of this profile, for the target and for the host, that a pattern matches."""
        beside = self.executable.parent
        inner = (beside.name, os.path.join(beside.parent.name, beside.name))
        places = {beside, *(Path(root, each) for root in self.roots for each in inner)}
        return [path for place in places for path in place.glob(pattern)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The inputs of a build, in `state`'s own form."""

    used: set[str]
    """Files and folders that were there when the build read them."""
    guarded: set[str]
    """Variables, and files that would be read if they were there; some are."""
    missing: set[str]
    """What a build script wants in vain: cargo runs it each time."""
    unseen: set[str]
    """Those used files that cargo does not look at."""
    bound: tuple[str, ...]
    """What else of this machine is in the binary; see `bound`."""


def find_inputs(sources: Sources, environ: Mapping[str, str] = os.environ) -> Found:
    """Return the inputs of a build."""
    packages = _path_packages(sources.artifacts)
    found = {*packages.values(), *_vendored(sources.artifacts, environ)}
    missing: set[str] = set()
    depinfo = sources.executable.with_name(sources.executable.stem + ".d")
    compiled = parse_depinfo(depinfo.read_text(errors="surrogateescape"), str(sources.executable))
    for path in compiled:
        found |= walk(path) if os.path.isdir(path) else {path}
    guarded = {other for path in found for other in _alternatives(path)}
    for script in sources.scripts:
        named, wanted = _of_script(script, packages.get(script["package_id"]))
        found |= named
        missing |= wanted
    found |= _of_workspace(sources)
    said = [line for script in sources.scripts for line in _script_output(script)]
    folders = {str(sources.folder), sources.metadata["workspace_root"]}
    flagged = named_files(
        above(sources.folder, environ), said, folders, repository_of(sources.workspace.place), environ
    )
    guarded |= {path for manifest in packages.values() for path in _of_package(manifest)}
    guarded |= above(sources.folder, environ)
    guarded |= toolchain_files(sources.sysroot, sources.wrapper, sources.backend, environ)
    notes = _of_crates(sources, missing)
    variables = {*_of_scripts(sources.scripts), *(name for name in notes if not _is_cargos(name))} - {""}
    own = (*sources.roots, os.path.join(os.path.realpath(sources.workspace.state), ""))
    seen = as_inputs(found, sources.workspace, own)
    unseen = as_inputs(flagged, sources.workspace, own) - seen
    used = seen | unseen
    odd = {name for name in used if not _is_text(name)}
    bound = find_bounds(
        sources.executable,
        sources.workspace.place,
        used,
        sources.roots,
        notes,
        {*packages.values(), *_of_workspace(sources), *above(sources.folder, environ)},
        said,
        environ,
    )
    return Found(
        used=used - odd,
        guarded={f"${name}" for name in variables} | as_inputs(guarded, sources.workspace, own) - used,
        # What the state's file cannot hold is given up on: cargo is called each time.
        missing=as_inputs(missing, sources.workspace) | {ascii(name) for name in odd},
        unseen=unseen - odd,
        bound=(*bound, *_needs(sources, compiled)),
    )


def _needs(sources: Sources, compiled: Sequence[str]) -> tuple[str, ...]:
    made = {*sources.roots, *(os.path.join(script["out_dir"], "") for script in sources.scripts)}
    return (MADE,) if needs_made(sources.executable, made, compiled, _of_libraries(sources)) else ()


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_inputs(paths: set[str], workspace: Workspace, own: tuple[str, ...] = ()) -> set[str]:
    """Return paths as inputs, without those below the folders that builds write into."""
    kept = (_plain(path) for path in paths if not own or not os.path.join(os.path.realpath(path), "").startswith(own))
    names = {workspace.name(path) + ("/" if path.endswith("/") else "") for path in kept}
    return {os.path.join(workspace.root, name) if name.startswith("$") else name for name in names}


def _plain(path: str) -> str:
    """Return a path whose `..` may be dropped with the name before: as it is, unless that is a link elsewhere."""
    if os.pardir not in path.split(os.sep):
        return path
    real = os.path.realpath(path)
    if os.path.realpath(os.path.normpath(path)) == real:
        return path
    return os.path.join(real, "") if path.endswith("/") else real


# Dep-info


def parse_depinfo(text: str, executable: str) -> list[str]:
    r"""Return the absolute paths that a dep-info file lists for its target.

    Only a space is escaped, and with `build.dep-info-basedir` paths are relative to a folder that the target's own
    name tells.

    >>> parse_depinfo("/w/target/release/a: /w/x\\ y.rs /w/b#c:d.rs\n", "/w/target/release/a")
    ['/w/x y.rs', '/w/b#c:d.rs']
    >>> parse_depinfo("target/release/a: src/a.rs /other/b.rs\n", "/w/target/release/a")
    ['/w/src/a.rs', '/other/b.rs']
    """
    line = text.split("\n", 1)[0]
    ends = [match.start() for match in re.finditer(": |:$", line)]
    name = next(plain for end in ends if executable.endswith(plain := line[:end].replace("\\ ", " ")))
    base = executable.removesuffix(name) or "/"
    paths = re.split(r"(?<!\\) ", line[len(name.replace(" ", "\\ ")) + 1 :].strip(" "))
    return [os.path.join(base, path.replace("\\ ", " ")) for path in paths if path]


def _alternatives(path: str) -> tuple[str, ...]:
    """Return where else rustc looks for a module: a file there would be an error.

    >>> _alternatives("/w/src/a.rs"), _alternatives("/w/src/a/mod.rs"), _alternatives("/w/x.txt")
    (('/w/src/a/mod.rs',), ('/w/src/a.rs',), ())
    """
    if path.endswith("/mod.rs"):
        return (path.removesuffix("/mod.rs") + ".rs",)
    return (path.removesuffix(".rs") + "/mod.rs",) if path.endswith(".rs") else ()


def walk(folder: str) -> set[str]:
    """Return all files below a folder, and the folders, leaving out other packages, caches and what is hidden."""
    found: set[str] = set()
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen or (parent != folder and ("Cargo.toml" in files or CACHE_TAG in files)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.add(os.path.join(parent, ""))
        found |= {os.path.join(parent, name) for name in files}
    return found


# Packages and build scripts


def _path_packages(artifacts: Sequence[Message]) -> dict[str, str]:
    """Return the manifest of each package that is a folder, not one that a registry or git vouches for."""
    return {each["package_id"]: each["manifest_path"] for each in artifacts if "path+file://" in each["package_id"]}


def _vendored(artifacts: Sequence[Message], environ: Mapping[str, str]) -> Iterator[str]:
    """Return what says of each package of a registry that is in a folder of the user's own how its files are.

    The lock file does not vouch for those, which may be edited together with this file.
    """
    fetched = os.path.join(environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"), "")
    for each in artifacts:
        path = os.path.join(os.path.dirname(each["manifest_path"]), CHECKSUMS)
        if not path.startswith(fetched) and os.path.exists(path):
            yield path


def _of_package(manifest: str) -> Iterator[str]:
    """Return what cargo would take for a part of the package if it were there."""
    folder = os.path.dirname(manifest)
    for name in ("build.rs", "src/lib.rs", "src/main.rs", "src/bin/"):
        yield os.path.join(folder, name)


def _of_script(script: Message, manifest: str | None) -> tuple[set[str], set[str]]:
    """Return what a build script has read, as far as it says, and the files it names that are not there."""
    lines = _script_output(script)
    named = [value for line in lines if (value := _instruction(line, "rerun-if-changed")) is not None]
    folder = os.path.dirname(manifest) if manifest else "/"
    # What a registry's package has in itself does not change.
    paths = {os.path.join(folder, path) for path in named if manifest or os.path.isabs(path)}
    found: set[str] = set()
    for path in paths:
        found |= walk(path) if os.path.isdir(path) else {path}
    says = any(re.match("cargo::?rerun-if-", line) for line in lines)
    if manifest and not says:
        found |= walk(folder)
    found |= set(_static_libraries(script))
    return found, {path for path in paths if not os.path.exists(path)}


def _static_libraries(script: Message) -> Iterator[str]:
    """Return what a build script has linked: all libraries of its folders if it names none, as sources may do it."""
    names = [name.rpartition("=")[2].partition(":")[0] for name in script["linked_libs"]]
    for path in script["linked_paths"]:
        folder = Path(path.partition("=")[2] or path)
        files = [folder / f"lib{name}.a" for name in names] or folder.glob("lib*.a")
        yield from (str(file) for file in files if file.is_file())
    for line in _script_output(script):
        match = re.fullmatch(r"cargo::?rustc-link-arg(?:-\w+)?=(?:[^/]*=)?(/.*\.[ao])", line)
        if match is not None and os.path.isfile(match[1]):
            yield match[1]


def _of_libraries(sources: Sources) -> set[str]:
    """Return the folders in which there may be shared libraries that were made with the binary."""
    linked = {path.partition("=")[2] or path for script in sources.scripts for path in script["linked_paths"]}
    crates = {each["filenames"][0] for each in sources.artifacts if "dylib" in each["target"]["crate_types"]}
    inner = {path for path in linked if os.path.join(os.path.realpath(path), "").startswith(sources.roots)}
    return {str(sources.executable.parent), *inner, *map(os.path.dirname, crates)}


def _script_output(script: Message) -> list[str]:
    output = Path(script["out_dir"]).with_name("output")
    return output.read_text(errors="surrogateescape").splitlines() if output.is_file() else []


def _instruction(line: str, key: str) -> str | None:
    """Return the value of a build script's instruction, None if the line is another.

    >>> _instruction("cargo::rerun-if-changed=data", "rerun-if-changed"), _instruction("hello", "x")
    ('data', None)
    """
    match = re.fullmatch(rf"cargo::?{re.escape(key)}=(.*)", line)
    return match[1] if match else None


def _of_scripts(scripts: Sequence[Message]) -> Iterator[str]:
    """Return the variables that build scripts have asked for."""
    for script in scripts:
        for line in _script_output(script):
            yield _instruction(line, "rerun-if-env-changed") or ""


def _of_crates(sources: Sources, missing: set[str]) -> dict[str, set[str]]:
    """Return the variables that sources have asked for, and their values, as rustc notes them for each crate."""
    found: dict[str, set[str]] = {}
    crates = sources.compiled("deps/*.d")
    if not crates:
        # A cargo that keeps them elsewhere: nobody knows, so cargo is called each time.
        missing.add(str(sources.executable.parent / "deps" / f"{sources.executable.name}.d"))
    for path in (*crates, *sources.compiled("build/*/build_script_*.d")):
        notes = path.read_text(errors="surrogateescape")
        for name, value in re.findall(r"^# env-dep:([^=\n]*)=?(.*)", notes, re.MULTILINE):
            found.setdefault(name, set()).add(value)
    return found


def _is_cargos(name: str) -> bool:
    """Tell whether a variable is one that cargo sets itself; it goes by others with such a name, as rustc notes them.

    >>> _is_cargos("CARGO_PKG_VERSION"), _is_cargos("CARGO_MANIFEST_DIR"), _is_cargos("CARGO_RELEASED_BY")
    (True, True, False)
    """
    return name in _CARGOS or name.startswith(("CARGO_PKG_", "CARGO_BIN_EXE_"))


# Around the packages


def _of_workspace(sources: Sources) -> set[str]:
    """Return the manifests that cargo reads besides those it builds, its lock file, and folders of members."""
    import tomli

    root = Path(sources.metadata["workspace_root"])
    manifest = root / "Cargo.toml"
    found = {str(manifest), str(root / "Cargo.lock")}
    found |= {package["manifest_path"] for package in sources.metadata["packages"]}
    members = tomli.loads(manifest.read_text(encoding="utf-8")).get("workspace", {}).get("members", [])
    for pattern in members:
        fixed = re.split(r"[^/]*[*?\[]", pattern)[0]
        if fixed != pattern:
            found.add(os.path.join(root, fixed, ""))
    return found


def above(folder: Path, environ: Mapping[str, str] = os.environ) -> set[str]:
    """Return where cargo and rustup look for workspaces and configuration; what is not there must stay so."""
    home = Path(environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo"))
    rustup = Path(environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup"))
    configs = {parent / ".cargo" / name for parent in (folder, *folder.parents) for name in ("config.toml", "config")}
    configs |= {home / "config.toml", home / "config"}
    pins = {parent / name for parent in (folder, *folder.parents) for name in ("rust-toolchain.toml", "rust-toolchain")}
    included = {path for config in configs for path in _included(config)}
    roots = {parent / "Cargo.toml" for parent in (folder, *folder.parents)}
    return {str(path) for path in (*configs, *included, *pins, *roots, rustup / "settings.toml")}


def _included(config: Path) -> Iterator[Path]:
    """Return the files that a configuration includes."""
    import tomli

    try:
        include = tomli.loads(config.read_text(encoding="utf-8")).get("include", [])
    except (OSError, ValueError):
        return
    for each in include if isinstance(include, list) else [include]:
        path = each.get("path") if isinstance(each, dict) else each
        if isinstance(path, str):
            yield config.parent / path
            yield from _included(config.parent / path)


def toolchain_files(sysroot: Path, wrapper: str, backend: str, environ: Mapping[str, str] = os.environ) -> set[str]:
    """Return the files that tell one toolchain from another."""
    used = [wrapper, *(environ.get(prefix + name) for prefix in ("", "CARGO_BUILD_") for name in _RUSTC)]
    path = environ.get("PATH")
    programs = {shutil.which(program, path=path) for program in ("cargo", "rustc", *used) if program}
    cuda = cuda_files(environ) if backend == "cuda" else ()
    return sysroot_files(sysroot) | {path for path in programs if path} | set(cuda)


def sysroot_files(sysroot: Path) -> set[str]:
    """Return the toolchain's own files that tell it from others."""
    found = {sysroot / "bin" / name for name in ("cargo", "rustc")} | drivers(sysroot)
    found.add(sysroot / "lib/rustlib/multirust-channel-manifest.toml")
    return {str(path) for path in found}
