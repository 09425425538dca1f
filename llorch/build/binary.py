"""Build one binary: look for the tools, call cargo, and say what the result was made from."""

import os
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llorch import cargo
from llorch.build.checkouts import Checkouts, begin_folder
from llorch.build.found import CHECKSUMS, Sources, above, as_inputs, find_inputs, toolchain_files
from llorch.build.plan import Plan
from llorch.config import Workspace, wrong
from llorch.errors import TaskFailure
from llorch.progress import Progress
from llorch.state import GRAIN_NS, Reason, Recipe, State
from llorch.toolchain import (
    Identity,
    Wrapper,
    cuda_files,
    identify,
    require_backend,
    require_folder,
    require_toolchain,
    require_version,
    try_wrapper,
)

EDITED = "edited during the build"
"""Stands for the digest of a file of which nobody knows whether the build has seen its old or its new content."""
UNBUILT = "changed before a build that did not end"
"""Stands for the digest of a file whose content then cargo may have compiled already, whatever the content is now."""
ABSENT = "wanted by a build script"
"""Stands for the digest of a file that is not there, for which cargo runs a build script each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a build is made with, and from."""

    folder: Path
    sysroot: Path
    identity: Identity | None
    metadata: Mapping[str, Any]
    package: Mapping[str, Any]
    wrapper: Wrapper

    @property
    def environ(self) -> dict[str, str]:
        """The variables that cargo gets."""
        return {"RUSTC_WRAPPER": self.wrapper.name} if self.wrapper.name else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one call of cargo came to.

    `started` in ns since 1970; `fresh` if the binary was there already; `own` are variables that only llorch.toml
    watches, and files that only flags name: cargo looks at neither; `used` are files and folders that were there.
    """

    inputs: Mapping[str, str | None]
    started: int
    warnings: int
    fresh: bool
    own: Set[str]
    sources: Sources
    used: Set[str]
    bound: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build came to; `hits` are what sccache has answered and has not, None where it was not asked."""

    inputs: Mapping[str, str | None]
    started: int
    warnings: int
    bound: tuple[str, ...]
    hits: tuple[int, int] | None


def look_for_tools(plan: Plan, workspace: Workspace, state: State, wrapper: str) -> Tools:
    """Look for all that the build needs.

    Raises:
        NotInWorkspace: the manifest is not there.
        ToolMissing: what it is built with is missing, does not work or is too old.
        CommandFailed: a manifest is wrong.
        ConfigError: there is no such package.
    """
    folder = require_folder(plan.manifest, workspace.name(plan.manifest), plan.task)
    sysroot = require_toolchain(folder)
    require_backend(plan.backend, folder)
    metadata = cargo.load_metadata(folder)
    package = _package(plan, workspace, metadata)
    require_version(package, folder)
    return Tools(
        folder=folder,
        sysroot=sysroot,
        identity=identify(folder, state),
        metadata=metadata,
        package=package,
        wrapper=try_wrapper(wrapper, folder),
    )


def build(plan: Plan, recipe: Recipe, tools: Tools, workspace: Workspace, state: State, progress: Progress) -> Built:
    """Have cargo make the binary.

    Raises:
        CommandFailed: cargo failed.
        TaskFailure: cargo puts the binary elsewhere.
    """
    begin_folder(folder := workspace.path(plan.target_folder))
    checkouts = Checkouts(folder, workspace.path(plan.target), tools.metadata)
    checkouts.begin(package["manifest_path"] for package in tools.metadata["packages"])
    counted = cargo.cache_counts(tools.wrapper.name, tools.folder)
    reasons = state.reasons(recipe, read=True)
    begun = _begun(recipe)
    is_known = _is_known(recipe, begun, state)
    changes, began = _begin_anew(recipe, begun, reasons, state)
    changed = {reason.what for reason in changes}
    unseen = {name for name in changed if _is_unseen(name, plan, workspace)}
    unseen |= _renew(_sources_of(changes, tools, plan, workspace), began, state)
    if unseen:
        _clean_all(plan, unseen, progress)
    attempt = _attempt(plan, recipe, tools, workspace, state, progress)
    if not unseen and changed & attempt.own:
        _clean_all(plan, changed & attempt.own, progress)
        attempt = _attempt(plan, recipe, tools, workspace, state, progress)
    later = _doubtful(attempt, checkouts, workspace, state, is_known=is_known)
    if later:  # what cargo has kept may be of something else
        unseen = {name for name in later if name in attempt.own or _is_unseen(name, plan, workspace)}
        unseen |= _renew(sorted(later - unseen), attempt.started, state)
        if unseen:
            _clean_all(plan, unseen, progress)
        attempt = _attempt(plan, recipe, tools, workspace, state, progress)
    edited = [name for name, digest in attempt.inputs.items() if digest == EDITED]
    if attempt.fresh and _is_spoiled(plan, recipe, reasons, state):
        progress.say("the binary was written over: building it again")
        clean(plan, str(tools.package["name"]), progress)
        attempt = _attempt(plan, recipe, tools, workspace, state, progress)
    elif edited and all(name.endswith("/") for name in edited):
        # By cargo itself, which has made its target folder or lock file there: once more, and they are settled.
        attempt = _attempt(plan, recipe, tools, workspace, state, progress)
    checkouts.end(_manifests(attempt, workspace))
    state.forget(begun.name)
    now = cargo.cache_counts(tools.wrapper.name, tools.folder)
    hits = (now[0] - counted[0], now[1] - counted[1]) if now and counted else None
    return Built(
        inputs=attempt.inputs,
        started=attempt.started,
        warnings=attempt.warnings,
        bound=attempt.bound,
        hits=hits,
    )


def note_restored(plan: Plan, recipe: Recipe, names: Set[str], workspace: Workspace, state: State) -> str:
    """Note for the next build what has changed since the last, as the binary is going to be one that others have built.

    Args:
        names: the inputs that it was made of.

    Returns:
        When the last build here began, in ns since 1970.
    """
    begun = _begun(recipe)
    if begin_folder(workspace.path(plan.target_folder)):
        state.forget(begun.name)
        return "0"
    if _is_known(recipe, begun, state):
        return str(_begin_anew(recipe, begun, state.reasons(recipe, read=True), state)[1])
    # Nobody knows what is compiled there.
    started = str(time.time_ns())
    inputs = dict.fromkeys(names, UNBUILT)
    state.save(begun.name, {"definition": {}, "inputs": inputs, "targets": {}, "values": {"started": started}})
    return started


def clean(plan: Plan, package: str | None, progress: Progress) -> None:
    """Have cargo remove what it has built of a package in the binary's profile, or else all of it.

    Raises:
        ToolMissing: there is no cargo.
        CommandFailed: cargo failed.
    """
    every = ("--target-dir", plan.target_dir) if plan.target_dir else ()
    which = ("--package", package, *plan.place) if package else every
    cargo.run(["clean", *which], plan.folder, {}, cargo.Output(progress))


def package_of(plan: Plan, workspace: Workspace) -> str:
    """Return the name of the package that has the binary.

    Raises:
        CommandFailed: a manifest is wrong.
        ConfigError: there is no such package.
    """
    return str(_package(plan, workspace, cargo.load_metadata(plan.folder))["name"])


def _package(plan: Plan, workspace: Workspace, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    package = cargo.find_package(metadata, plan.manifest, plan.package)
    if package is None:
        raise wrong(workspace, cargo.no_package(metadata, ("build", plan.name), plan.package))
    return package


def _begin() -> int:
    """Return the time, so that a file written after this returns cannot have an earlier one (see `GRAIN_NS`)."""
    now = time.time_ns()
    time.sleep(GRAIN_NS / 1e9)
    return now


def _sources_of(changes: Sequence[Reason], tools: Tools, plan: Plan, workspace: Workspace) -> list[str]:
    """Return the files and folders that have changed and that cargo knows by their times."""
    others = as_inputs(toolchain_files(tools.sysroot, tools.wrapper.name, plan.backend), workspace)
    there = (each.what for each in changes if each.now is not None)
    return [path for path in there if not path.startswith("$") and path not in others]


def _begun(recipe: Recipe) -> Recipe:
    return Recipe(f"{recipe.name} begun", learns=True)


def _is_known(recipe: Recipe, begun: Recipe, state: State) -> bool:
    """Tell whether it is noted what cargo may have compiled here; of a first build that did not end nothing is."""
    return bool(state.record(recipe.name) or state.record(begun.name).get("inputs"))


def _begin_anew(recipe: Recipe, begun: Recipe, reasons: Sequence[Reason], state: State) -> tuple[Sequence[Reason], int]:
    """Return the inputs that have changed since the last build that ended well, and when that began, in ns.

    It is noted in a record of its own, until this build has ended well: doit forgets a task's record when it fails, and
    what has changed may be compiled then, and be the old again by the time of the next.
    """
    note, record = state.record(begun.name), state.record(recipe.name)
    every = [*reasons, *(state.reasons(begun, read=True) if note else ())]
    changes = list({reason.what: reason for reason in every if reason.kind == "input"}.values())
    inputs = {**note.get("inputs", {}), **record.get("inputs", {}), **{each.what: UNBUILT for each in changes}}
    values = record.get("values") or note.get("values") or {"started": "0"}
    state.save(begun.name, {"definition": {}, "inputs": inputs, "targets": {}, "values": values})
    return changes, int(values.get("started", 0))


def _is_unseen(name: str, plan: Plan, workspace: Workspace) -> bool:
    """Tell whether cargo does not look at an input: a library that is linked, a vendored package, the CUDA toolkit."""
    cuda = as_inputs(set(cuda_files()), workspace) if plan.backend == "cuda" else ()
    last = os.path.basename(name)
    return name in cuda or last == CHECKSUMS or last.endswith((".a", ".o"))


def _clean_all(plan: Plan, why: Set[str], progress: Progress) -> None:
    """Have the whole profile built again, since cargo cannot tell what of it has changed."""
    progress.say(f"cargo does not look at `{min(why)}`, which has changed: building all again")
    cargo.run(["clean", *plan.place], plan.folder, {}, cargo.Output(progress))


def _renew(changed: Sequence[str], began: int, state: State) -> set[str]:
    """Give what has changed a new time where its own is older than the last build, or was set: cargo goes by times.

    Returns:
        What has no new time, since others own it.
    """
    refused = set()
    for name in changed:
        path = state.absolute(name)
        try:
            status = os.stat(path)
            if status.st_mtime_ns <= began or status.st_mtime_ns < status.st_ctime_ns:
                os.utime(path)
        except PermissionError:
            refused.add(name)
    return refused


def _attempt(
    plan: Plan, recipe: Recipe, tools: Tools, workspace: Workspace, state: State, progress: Progress
) -> Attempt:
    """Call cargo once."""
    lock = workspace.name(Path(tools.metadata["workspace_root"]) / "Cargo.lock")
    locked: dict[str, str | None] = {}

    def note_lock() -> None:
        locked[lock] = _digest(state, lock)

    watched = {*state.inputs(recipe), *as_inputs(above(tools.folder), workspace)}
    there = {name for name in watched if not name.startswith("$") and os.path.exists(state.absolute(name))}
    started = _begin()
    output = cargo.Output(progress, on_begin=note_lock)
    cargo.run(plan.command, tools.folder, tools.environ, output)
    made = [each for each in output.artifacts if each["executable"] and each["target"]["name"] == plan.bin][-1]
    executable = Path(made["executable"])
    if os.path.realpath(executable) != os.path.realpath(workspace.path(plan.target)):
        raise TaskFailure(
            f"cargo puts the binary at `{workspace.name(executable)}`, and `{plan.task}` makes `{plan.target}`",
            hint=f"set `target_dir` or `target` in `[build.{plan.name}]` as they are in cargo's configuration",
        )
    sources = Sources(
        workspace=workspace,
        folder=tools.folder,
        executable=executable,
        target_dir=plan.target_dir,
        metadata=tools.metadata,
        artifacts=output.artifacts,
        scripts=output.scripts,
        sysroot=tools.sysroot,
        wrapper=tools.wrapper.name,
        backend=plan.backend,
    )
    found = find_inputs(sources)
    own = {f"${name}" for name in plan.settings.env} - found.guarded | found.unseen
    there |= found.used
    names = sorted(found.used | found.guarded | own)
    inputs = {name: _digest_since(state, name, started, name in there) for name in names}
    inputs |= locked | dict.fromkeys(found.missing, ABSENT)
    return Attempt(
        inputs=inputs,
        started=started,
        warnings=output.warnings,
        fresh=bool(made["fresh"]),
        own=own,
        sources=sources,
        used=found.used,
        bound=found.bound,
    )


def _doubtful(
    attempt: Attempt, checkouts: Checkouts, workspace: Workspace, state: State, *, is_known: bool
) -> set[str]:
    """Return the files of which cargo may have kept something else than what they are now."""
    if checkouts.has_others(_manifests(attempt, workspace, kept=True)):
        return {name for name in attempt.used if not name.endswith("/")}
    return set() if is_known else _later(attempt, workspace, state)


def _later(attempt: Attempt, workspace: Workspace, state: State) -> set[str]:
    """Return the files that were written or put in place since cargo began the oldest of what it has kept here.

    That goes by the time that nobody can set: a file may have come with an older one, as by `cp -p`, which is what
    cargo goes by.
    """
    import tomli

    texts = (Path(path).read_text(encoding="utf-8") for path in _manifests(attempt, workspace, kept=True))
    names = {tomli.loads(text)["package"]["name"] for text in texts}
    if not names:
        return set()
    stamps = [f"{folder}/{name}-*/invoked.timestamp" for name in names for folder in (".fingerprint", "build")]
    oldest = min((path.stat().st_mtime_ns for stamp in stamps for path in attempt.sources.compiled(stamp)), default=0)
    files = ((name, state.absolute(name)) for name in attempt.used if not name.endswith("/"))
    return {name for name, path in files if os.path.exists(path) and os.stat(path).st_ctime_ns > oldest}


def _manifests(attempt: Attempt, workspace: Workspace, *, kept: bool = False) -> set[str]:
    """Return the manifests of all packages but those that cargo has fetched, or of those not wholly compiled now."""
    every = {each["manifest_path"] for each in attempt.sources.artifacts if each["fresh"] or not kept}
    return {path for path in every if as_inputs({path, str(Path(path).with_name(CHECKSUMS))}, workspace) & attempt.used}


def _is_spoiled(plan: Plan, recipe: Recipe, reasons: Sequence[Reason], state: State) -> bool:
    """Tell whether cargo has kept a binary that is not what it once made from the same inputs.

    The binary is a hard link to the file that cargo keeps: whoever writes into the one writes into the other.
    """
    was = state.record(recipe.name).get("targets", {}).get(plan.target)
    if state.read(plan.target) == was:
        return False
    if all(reason.kind == "target" for reason in reasons):
        return was is not None
    # Others than this may have built it from what has changed; cargo notes each binary after it is written.
    place = Path(state.absolute(plan.target))
    notes = [note.stat().st_mtime_ns for note in place.parent.glob(f".fingerprint/*/bin-{plan.bin}")]
    return bool(notes) and place.stat().st_mtime_ns > max(notes)


def _digest(state: State, name: str) -> str | None:
    try:
        return state.digest(name)
    except OSError:
        return None


def _digest_since(state: State, name: str, started: int, was_there: bool) -> str | None:
    """Return an input's digest, or `EDITED` if it was written or deleted since the build has begun."""
    digest = _digest(state, name)
    if name.startswith(("$", "/proc/")):  # what has no time of its own
        return digest
    try:
        status = os.stat(state.absolute(name))
    except OSError:
        return EDITED if was_there else None
    return EDITED if max(status.st_mtime_ns, status.st_ctime_ns) >= started else digest
