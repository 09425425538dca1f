"""How a binary is shared: what decides it, told so that another machine with the same has the same words for it."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llorch import toolchain
from llorch.build.binary import note_restored
from llorch.build.bound import MADE
from llorch.build.found import above, as_inputs, sysroot_files, toolchain_files
from llorch.build.plan import Plan
from llorch.config import Workspace
from llorch.errors import Unshared
from llorch.share import Maker, Record, Share
from llorch.state import Recipe, State

# Where things are, and how many are done at once: none of it is in the binary.
_PLACES = re.compile(r"CARGO_HOME|RUSTUP_HOME|RUSTUP_TOOLCHAIN|CARGO_(BUILD_)?TARGET_DIR|CARGO_BUILD_JOBS")
_RUSTC = ("rustc", "rustc-wrapper", "rustc-workspace-wrapper")
_WRAPPERS = ("RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER")
_CONFIGURED = ("CARGO_BUILD_RUSTC", *(f"CARGO_BUILD_{name}" for name in _WRAPPERS))
"""Variables that stand for cargo's configuration."""
_FETCHED = ("registry", "git")
"""Folders of CARGO_HOME whose contents the lock file vouches for."""


class BinaryShare(Share):
    """A build, told so that other machines mean the same by it."""

    def __init__(self, plan: Plan, recipe: Recipe, wrapper: str, workspace: Workspace, state: State) -> None:
        super().__init__(recipe)
        self._plan, self._wrapper, self._workspace, self._state = plan, wrapper, workspace, state
        watched = {name: _digest_of(name) for name in plan.settings.env}
        self.settings = {**self._asked(), "watched": watched}
        self._sysroot = self._shim = ""
        self._gpus: str | None = None

    def here(self) -> Maker:
        """Return the toolchain that would build, or the one that is pinned where there is none."""
        toolchain.require_folder(self._plan.manifest, self._workspace.name(self._plan.manifest), self.recipe.name)
        self._refuse_other_rustc()
        self._gpus = toolchain.gpus_built_for() if self._plan.backend == "cuda" else None
        identity = toolchain.identify(self._plan.folder, self._state)
        if identity is not None:
            self._sysroot = str(identity.sysroot)
            self._shim = self._state.digest(identity.shim) if identity.shim else ""
            return Maker(self._facts(identity.exact["release"], self._shim, self._gpus), identity.exact)
        release = toolchain.pinned_release(self._plan.folder)
        if release is None:
            raise Unshared("there is no Rust here, and no rust-toolchain.toml that pins a version such as 1.95.0")
        return Maker(self._facts(release, "", self._gpus), None)

    def made(self, record: Record) -> Maker:
        """Return the toolchain that has built."""
        values = record.get("values") or {}
        if "toolchain" not in values:
            raise Unshared("it was built before the cache knew what to note")
        if self._plan.backend == "cuda" and "gpus" not in values:
            raise Unshared("nobody has noted which cards it was built for")
        self._refuse_other_rustc()
        if MADE in self.bound(record):
            raise Unshared("it does not run without files of its target folder")
        exact = json.loads(values["toolchain"])
        return Maker(self._facts(exact["release"], values.get("shim", ""), values.get("gpus")), exact)

    def _facts(self, release: str, shim: str, gpus: str | None) -> dict[str, Any]:
        facts = {**self._asked(), "release": release, "rustc": shim, "target": self._plan.target}
        return facts if gpus is None else {**facts, "gpus": gpus}

    def _asked(self) -> dict[str, Any]:
        """Return what is asked for, by llorch.toml and the environment."""
        environ = {name[1:]: value for name, value in self.recipe.definition.items() if name.startswith("$")}
        left = {name for name in environ if _PLACES.fullmatch(name)}
        left |= {name for name in _WRAPPERS if _is_transparent(environ.get(name, ""))}
        return {
            "command": list(self._plan.command),
            "folder": os.path.relpath(self._plan.folder, self._workspace.place),
            "rustc_wrapper": "" if _is_transparent(self._wrapper) else self._wrapper,
            "environment": {name: value for name, value in environ.items() if name not in left},
            "watched": sorted(self._plan.settings.env),
        }

    def _refuse_other_rustc(self) -> None:
        """Refuse where cargo's configuration names programs in rustc's place, of which nothing here knows."""
        import tomli

        for name in _CONFIGURED:
            if not _is_transparent(os.environ.get(name, "")):
                raise Unshared(f"the variable `{name}` is set")
        for path in sorted(above(self._plan.folder)):
            try:
                build = tomli.loads(Path(path).read_text(encoding="utf-8")).get("build")
            except (OSError, ValueError):
                continue  # it is not there, or no TOML, as the older rust-toolchain
            named = build if isinstance(build, dict) else {}
            odd = [key for key in _RUSTC if not _is_transparent(str(named.get(key, "")))]
            if odd:
                raise Unshared(f"`{self._workspace.name(path)}` sets `build.{odd[0]}`")

    def vouched(self, record: Record) -> set[str]:
        """Return the toolchain's own files, what cargo fetches, and what is not there and would only matter if it was.

        Another machine looks by itself for what is there in those places, see `around`.
        """
        definition, values, inputs = record["definition"], record.get("values") or {}, record["inputs"]
        sysroot = values.get("sysroot", "")
        files = sysroot_files(Path(sysroot)) if sysroot else set()
        files |= {path for path in (definition.get("cargo"), definition.get("rustc")) if path}
        files |= self._wrapper_files()
        home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
        fetched = tuple(os.path.join(os.path.normpath(home), name, "") for name in _FETCHED)
        places = as_inputs(above(self._plan.folder), self._workspace)
        return (
            as_inputs(files, self._workspace)
            | self._rustup()
            | {name for name in inputs if os.path.join(self._workspace.place, name).startswith(fetched)}
            | {name for name in places if inputs.get(name) is None}
        )

    def _wrapper_files(self) -> set[str]:
        """Return the wrappers of rustc that give what rustc gives, wherever they are."""
        named = [self._wrapper, *(os.environ.get(name) for name in _WRAPPERS)]
        found = {shutil.which(name) for name in named if name and _is_transparent(name)}
        return {path for path in found if path}

    def _rustup(self) -> set[str]:
        """Return rustup's settings: they decide on the toolchain, and that is known."""
        home = os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup")
        return as_inputs({os.path.join(home, "settings.toml")}, self._workspace)

    def bound(self, record: Record) -> tuple[str, ...]:
        """Return what the build has found."""
        return tuple((record.get("values") or {}).get("bound", "").split())

    def around(self) -> set[str]:
        """Return the configuration that is there, wherever cargo and rustup look for it."""
        every = as_inputs(above(self._plan.folder), self._workspace) - self._rustup()
        return {name for name in every if os.path.exists(self._state.absolute(name))}

    def folders(self) -> frozenset[str]:
        """Return cargo's target folder."""
        return frozenset({os.path.normpath(self._workspace.path(self._plan.target_folder))})

    def begin(self, names: set[str]) -> Mapping[str, str]:
        """Note for cargo, which goes by times, what it has not built since."""
        return {"started": note_restored(self._plan, self.recipe, names, self._workspace, self._state)}

    def watched(self, names: set[str]) -> set[str]:
        """Return the inputs with all places of configuration, and the files of the toolchain if there is one."""
        found = above(self._plan.folder)
        if self._sysroot:
            found |= toolchain_files(Path(self._sysroot), self._wrapper, self._plan.backend)
        return names | as_inputs(found, self._workspace)

    def sources(self) -> set[str]:
        """Return the files of all packages that are reached, and what cargo is configured by."""
        from llorch.build.sources import find_sources  # only a key is made of it

        made = os.path.join(self._workspace.path(self._plan.target_folder), "")
        return {path for path in find_sources(self._plan) if not path.startswith(made)}

    def values(self, maker: Maker, bound: tuple[str, ...]) -> Mapping[str, str]:
        """Return what a build would have noted."""
        return noted(maker.exact or {}, self._sysroot, self._shim, bound, self._gpus)


def _digest_of(name: str) -> str | None:
    """Return the sha256 of a variable's value, which may be a secret; None where there is none."""
    value = os.environb.get(os.fsencode(name))
    return None if value is None else hashlib.sha256(value).hexdigest()


def noted(
    exact: Mapping[str, str], sysroot: str, shim: str, bound: tuple[str, ...], gpus: str | None
) -> dict[str, str]:
    """Return what a binary's record has for its share: who has made it, and what else of this machine is in it.

    Args:
        gpus: the cards that it is built for; None where none matter, or where they are not known.
    """
    values = {"toolchain": json.dumps(dict(exact)), "sysroot": sysroot, "shim": shim, "bound": " ".join(bound)}
    return values if gpus is None else {**values, "gpus": gpus}


def cards(plan: Plan) -> str | None:
    """Return which cards a build would be for; None where none matter, or where they do not tell: it is not shared."""
    try:
        return toolchain.gpus_built_for() if plan.backend == "cuda" else None
    except Unshared:
        return None


def _is_transparent(wrapper: str) -> bool:
    """Tell whether a wrapper of rustc gives what rustc would give."""
    return not wrapper or os.path.basename(wrapper) == "sccache"
