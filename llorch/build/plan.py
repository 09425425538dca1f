"""What is to be built: the declared binaries, each with its task, its command line and where cargo puts it.

Nothing is run here: tasks are made from this at every `doit list`.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llorch.config import Build, Mistake, Settings, Workspace, wrong
from llorch.state import Recipe, Target

MESSAGES = ("--message-format", "json-render-diagnostics")

Record = Mapping[str, Any]
DEFAULTS: Mapping[str, Build] = {
    "worker": Build(
        manifest="bin/llorch-candled/Cargo.toml",
        package="llorch-candled",
        bin="llorch-{backend}-candled",
        backends=("cpu", "cuda", "metal"),
        features=("{backend}",),
        env=("CUDA_COMPUTE_CAP",),
    ),
    "orchestrator": Build(manifest="bin/orchestratord/Cargo.toml", package="orchestratord", bin="orchestratord"),
    "pool-manager": Build(manifest="bin/pool-managerd/Cargo.toml", package="pool-managerd", bin="pool-managerd"),
}
"""What holds where llorch.toml does not say otherwise, in a cargo workspace: the binaries of llama-orch."""
COMMANDS = ("list", "clean")
"""Names that `llorch build` has commands for."""

# What changes what cargo and rustc make, besides what they name themselves:
# https://doc.rust-lang.org/cargo/reference/environment-variables.html
WATCHED = (
    "CARGO_BUILD_", "CARGO_ENCODED_RUSTFLAGS", "CARGO_HOME", "CARGO_INCREMENTAL", "CARGO_PROFILE_", "CARGO_TARGET_",
    "CARGO_UNSTABLE_", "MACOSX_DEPLOYMENT_TARGET", "RUSTC", "RUSTFLAGS", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "SDKROOT",
)  # fmt: skip
_FOLDERS = {"dev": "debug", "test": "debug", "bench": "release"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_IS_WORKSPACE = re.compile(r"^\s*\[\s*workspace\s*[\].]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One binary.

    `target` is where cargo puts it, below `target_folder`, relative to the workspace, or absolute outside it;
    `target_dir` is what cargo is told, relative to the manifest's folder, empty where cargo has its own way. `declared`
    is false for a default.
    """

    name: str
    backend: str
    settings: Build
    manifest: Path
    target: str = ""
    target_folder: str = ""
    target_dir: str = ""
    declared: bool = True

    @property
    def task(self) -> str:
        """What its task is called."""
        return f"build:{self.name}" + (f"-{self.backend}" if self.backend else "")

    @property
    def folder(self) -> Path:
        """Where cargo is called."""
        return self.manifest.parent

    @property
    def package(self) -> str:
        """The package, where one is named."""
        return self._of(self.settings.package)

    @property
    def bin(self) -> str:
        """The binary's name."""
        return self._of(self.settings.bin) or self.package or self.name

    @property
    def place(self) -> tuple[str, ...]:
        """Which files of the target folder are meant: the arguments that `cargo clean` takes too."""
        chosen = [("--profile", self._of(self.settings.profile)), ("--target", self._of(self.settings.target))]
        chosen.append(("--target-dir", self.target_dir))
        return tuple(word for name, value in chosen if value for word in (name, value))

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments of cargo."""
        features = ",".join(self._of(feature) for feature in self.settings.features)
        package = ("--package", self.package) if self.package else ()
        chosen = ("--features", features) if features else ()
        default = ("--no-default-features",) if self.settings.no_default_features else ()
        return ("build", *package, "--bin", self.bin, *chosen, *default, *self.place, *MESSAGES)

    def recipe(self, wrapper: str, record: Record, environ: Mapping[str, str] = os.environ) -> Recipe:
        """Return what decides whether it is up to date; the inputs are what the last build has found.

        Args:
            record: of the last build. A program that is not in PATH now changes nothing.
        """
        was = record.get("definition", {})
        programs = {name: shutil.which(name, path=environ.get("PATH")) for name in ("cargo", "rustc")}
        definition = {
            "command": list(self.command),
            **{name: found or was.get(name) for name, found in programs.items()},
            "rustc_wrapper": wrapper,
            **{f"${name}": environ[name] for name in sorted(environ) if name.startswith(WATCHED)},
        }
        shared = self.target_folder if self.manifest.is_file() else ""
        return Recipe(self.task, (Target(self.target),), (), definition, learns=True, shared=shared)

    def _of(self, text: str) -> str:
        return text.replace("{backend}", self.backend)


def plan_builds(settings: Settings, workspace: Workspace, environ: Mapping[str, str] = os.environ) -> dict[str, Plan]:
    """Return each binary by its task.

    Raises:
        ConfigError: a name is none, or two tasks would make the same file.
    """
    plans, mistakes = read_builds(settings, workspace, environ)
    if mistakes:
        raise wrong(workspace, *mistakes, environ=environ)
    return plans


def read_builds(
    settings: Settings, workspace: Workspace, environ: Mapping[str, str] = os.environ
) -> tuple[dict[str, Plan], list[Mistake]]:
    """Return what can be built of what is declared, and every mistake."""
    mistakes: list[Mistake] = []
    plans: dict[str, Plan] = {}
    makers: dict[str, str] = {}
    for name, build in every_build(settings, workspace).items():
        declared = name in settings.build
        mistakes += _mistakes(name, build)
        for backend in build.backends or ("",):
            plan = _plan(name, backend, build, workspace, environ, declared=declared)
            if plan.task in plans or plan.target in makers:
                mistakes += (_clash(plan, makers),) if declared else ()
                continue
            plans[plan.task], makers[plan.target] = plan, plan.task
    return plans, mistakes


def every_build(settings: Settings, workspace: Workspace) -> dict[str, Build]:
    """Return the tables that are declared, then those that hold by default."""
    rust = workspace.path("Cargo.toml").is_file()
    every = dict(settings.build)
    for name, build in DEFAULTS.items():
        if rust or workspace.path(build.manifest).is_file():
            every.setdefault(name, build)
    return every


def _mistakes(name: str, build: Build) -> Iterator[Mistake]:
    key = ("build", name)
    if not _NAME.fullmatch(name):
        yield Mistake(key, "the name may have small letters, digits, `.`, `_` and `-`")
    if name in COMMANDS:
        yield Mistake(key, f"`llorch build {name}` is a command", "rename the table")
    texts = {"bin": build.bin, "package": build.package, "profile": build.profile, "target_dir": build.target_dir}
    texts |= {"features": " ".join(build.features), "target": build.target}
    for field, text in texts.items():
        if "{backend}" in text and not build.backends:
            yield Mistake((*key, field), "has {backend}, and there are no backends", "list them in `backends`")


def _clash(plan: Plan, makers: Mapping[str, str]) -> Mistake:
    key = ("build", plan.name)
    if plan.target not in makers:
        return Mistake((*key, "backends"), f"makes a second task `{plan.task}`", "rename one")
    message = f"`{plan.task}` and `{makers[plan.target]}` would both make `{plan.target}`, each over the other's"
    return Mistake((*key, "bin"), message, "put {backend} into `bin` or `target_dir`")


def _plan(
    name: str, backend: str, build: Build, workspace: Workspace, environ: Mapping[str, str], *, declared: bool
) -> Plan:
    given_manifest = workspace.path(build.manifest)
    # Without links, as cargo will see it: what is above the folder there is what decides.
    manifest = Path(os.path.realpath(given_manifest.parent), given_manifest.name)
    given = build.target_dir.replace("{backend}", backend)
    told = os.path.relpath(workspace.path(given), manifest.parent) if given else ""
    plan = Plan(name=name, backend=backend, settings=build, manifest=manifest, target_dir=told, declared=declared)
    profile = build.profile.replace("{backend}", backend)
    base = _target_folder(plan, environ)
    place = base / build.target.replace("{backend}", backend) / _FOLDERS.get(profile, profile) / plan.bin
    return replace(plan, target=workspace.name(place), target_folder=workspace.name(base))


def _target_folder(plan: Plan, environ: Mapping[str, str]) -> Path:
    """Return cargo's target folder; a `.cargo/config.toml` may say otherwise, which is found when it is built."""
    for told in (plan.target_dir, environ.get("CARGO_TARGET_DIR"), environ.get("CARGO_BUILD_TARGET_DIR")):
        if told:
            return plan.folder / told
    return cargo_root(plan.folder) / "target"


def cargo_root(folder: Path) -> Path:
    """Return the root of the cargo workspace that a package's folder is in: the folder itself where it is in none."""
    for candidate in (folder, *folder.parents):
        try:
            if _IS_WORKSPACE.search((candidate / "Cargo.toml").read_text(errors="replace")):
                return candidate
        except OSError:
            continue
    return folder
