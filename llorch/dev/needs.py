"""What a workspace declares, and so what it needs of this machine; and what is wrong with its declarations.

What one of its files says wrongly is a finding, and counts as not said: the rest is looked at all the same.
"""

import itertools
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from llorch.config import Settings, Workspace, load_settings
from llorch.dev.dodo_file import check_dodo
from llorch.dev.finding import Finding, listing
from llorch.dev.system import System, edit
from llorch.errors import ConfigError

if TYPE_CHECKING:
    from llorch.build.plan import Plan
    from llorch.models.catalog import File, Model
    from llorch.remote.hosts import Host
    from llorch.test.plan import Suite

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a workspace declares.

    Attributes:
        models: those that are wanted: of the workspace's own catalog, and what its test suites need. Those that only
            come with llorch are on offer.
        builds, suites: those that are declared, or that the workspace has the crate of.
    """

    workspace: Workspace
    system: System
    settings: Settings
    models: "Mapping[str, Model]"
    builds: "tuple[Plan, ...]" = ()
    suites: "tuple[Suite, ...]" = ()
    hosts: "Mapping[str, Host]"

    @property
    def rust(self) -> str:
        """What needs Rust, in words; empty where nothing does."""
        tasks = [plan.task for plan in self.builds] or [f"[build.{name}]" for name in self.settings.build]
        tasks += [suite.task for suite in self.suites if suite.manifest]
        if not tasks and self.workspace.path("Cargo.toml").is_file():
            return "the cargo workspace"
        return listing(tasks)

    @property
    def manifests(self) -> tuple[Path, ...]:
        """The crates that are there, each once."""
        named = (build.manifest for build in self.settings.build.values() if build.manifest)
        paths = [plan.manifest for plan in self.builds] + [suite.manifest for suite in self.suites if suite.manifest]
        paths += map(self.workspace.path, (*named, "Cargo.toml"))
        return tuple(dict.fromkeys(path for path in paths if path.is_file()))

    def absent(self, model: "Model") -> "tuple[File, ...]":
        """Return the files of a model's entry that are not in their places, as far as sizes tell."""
        places = ((file, self.workspace.path(model.path(file))) for file in model.entry.files)
        return tuple(file for file, place in places if not _is_there(place, file.size))


def load_needs(workspace: Workspace, system: System) -> tuple[Needs, list[Finding]]:
    """Return what a workspace declares, and what was found of its configuration."""
    from llorch.build.plan import plan_builds
    from llorch.models.catalog import load_models
    from llorch.remote.hosts import load_hosts
    from llorch.test.plan import plan_suites

    findings: list[Finding] = []

    def tried(load: Callable[[], Value], instead: Value) -> Value:
        try:
            return load()
        except ConfigError as error:
            findings.extend(_wrong(error, workspace))
            return instead

    settings = tried(lambda: load_settings(workspace), Settings())
    plans: dict[str, Plan] = tried(lambda: plan_builds(settings, workspace), {})
    suites: dict[str, Suite] = tried(lambda: plan_suites(settings, workspace), {})
    every: dict[str, Model] = tried(lambda: load_models(workspace, settings), {})
    hosts: Mapping[str, Host] = tried(lambda: load_hosts(workspace), {})
    tried(lambda: check_dodo(workspace), None)
    chosen = tuple(suite for suite in suites.values() if suite.declared or suite.is_there)
    wanted = _own_models(workspace, settings) | {name for suite in chosen for name in _models_of(suite, every)}
    needs = Needs(
        workspace=workspace,
        system=system,
        settings=settings,
        models={id: model for id, model in every.items() if id in wanted},
        builds=tuple(plan for plan in plans.values() if plan.declared or plan.manifest.is_file()),
        suites=chosen,
        hosts=hosts,
    )
    return needs, findings or [_right(workspace, settings)]


def _right(workspace: Workspace, settings: Settings) -> Finding:
    files = ("llorch.toml", settings.paths.catalog, "hosts.toml", "dodo.py")
    found = [workspace.name(file) for file in files if workspace.path(file).is_file()]
    return Finding(id="configuration", found=", ".join(found) or "defaults alone", needed_for="llorch")


def _wrong(error: ConfigError, workspace: Workspace) -> list[Finding]:
    """Return a finding for each file that has mistakes."""
    findings = []
    by_file = sorted(error.problems, key=lambda problem: problem.file)
    for file, problems in itertools.groupby(by_file, key=lambda problem: problem.file):
        text = "\n".join(map(str, problems)) + (f"\n{error.hint}" if error.hint else "")
        findings.append(
            Finding(
                id="configuration",
                severity="error",
                found=file,
                needed_for="llorch",
                text=text,
                fix=(_mend(file, workspace),),
            )
        )
    return findings


def _mend(file: str, workspace: Workspace) -> str:
    """Return the command to begin with: problems may also be in a variable."""
    return f"unset {shlex.quote(file)}" if file in os.environ else edit(str(workspace.path(file)))


def _own_models(workspace: Workspace, settings: Settings) -> set[str]:
    """Return the ids that the workspace's own catalog has."""
    from llorch.toml import load

    path = workspace.path(settings.paths.catalog)
    try:
        models = load(path, workspace.name(path)).data.get("models")
    except OSError:
        return set()
    return set(models) if isinstance(models, dict) else set()


def _models_of(suite: "Suite", every: "Mapping[str, Model]") -> list[str]:
    """Return the models that a suite needs, by its tasks: `models:ID`, `fetch:ID` …, or `models`, which is all."""
    if "models" in suite.settings.needs:
        return list(every)
    return [task.partition(":")[2] for task in suite.settings.needs]


def _is_there(place: Path, size: int | None) -> bool:
    try:
        return place.is_file() and size in (None, place.stat().st_size)
    except OSError:
        return False
