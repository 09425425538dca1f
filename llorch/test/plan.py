"""What test suites there are, and the command line of each. Nothing is run here."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llorch import config
from llorch.errors import UnknownName

_WORKER = "bin/llorch-candled/Cargo.toml"
_BACKENDS = ("cpu", "cuda", "metal")


def _default(*args: str) -> config.Test:
    return config.Test(manifest=_WORKER, backends=_BACKENDS, features=("{backend}",), args=args)


DEFAULTS: Mapping[str, config.Test] = {
    "unit": _default("--lib"),
    "integration": _default("--test", "team_011_integration"),
    "smoke": _default("--test", "team_009_smoke"),
}
"""What holds where llorch.toml does not say otherwise, in a cargo workspace: the worker's tests in llama-orch."""
ALL = "all"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One suite; `declared` is false for a default. A suite of cargo has a manifest, any other has a command."""

    name: str
    settings: config.Test
    manifest: Path | None
    declared: bool

    @property
    def task(self) -> str:
        """What its task is called."""
        return f"test:{self.name}"

    @property
    def is_there(self) -> bool:
        """Tell whether the workspace has what is to be tested, as far as it is known before."""
        return self.manifest is None or self.manifest.is_file()

    def backend(self, chosen: str) -> str:
        """Return the backend that is tested: the chosen one, or else the first.

        Raises:
            UnknownName: the suite does not have it.
        """
        known = self.settings.backends
        if chosen and chosen not in known:
            hint = f"`{self.name}` has {', '.join(known)}" if known else f"`{self.name}` has no backends"
            raise UnknownName("backend", chosen, known, hint=hint)
        return chosen or next(iter(known), "")

    def command(self, backend: str, filters: Sequence[str]) -> tuple[str, ...]:
        """Return the arguments of cargo, or the whole command; filters come last."""
        settings = self.settings
        if self.manifest is None:
            return (*_of(settings.command, backend), *filters)
        package = ("--package", settings.package) if settings.package else ()
        features = ",".join(_of(settings.features, backend))
        chosen = ("--features", features) if features else ()
        args = _of(settings.args, backend)
        rest = (*(() if "--" in args or not filters else ("--",)), *filters)
        return ("test", *package, *chosen, "--no-fail-fast", *args, *rest)


def _of(texts: Sequence[str], backend: str) -> tuple[str, ...]:
    return tuple(text.replace("{backend}", backend) for text in texts)


def plan_suites(settings: config.Settings, workspace: config.Workspace) -> dict[str, Suite]:
    """Return each suite by its name.

    Raises:
        ConfigError: a table is wrong.
    """
    suites, mistakes = read_suites(settings, workspace)
    if mistakes:
        raise config.wrong(workspace, *mistakes)
    return suites


def read_suites(
    settings: config.Settings, workspace: config.Workspace
) -> tuple[dict[str, Suite], list[config.Mistake]]:
    """Return each suite by its name, right or not, and every mistake."""
    mistakes = [mistake for name, test in settings.test.items() for mistake in _mistakes(name, test)]
    suites = {
        name: Suite(
            name=name,
            settings=test,
            manifest=Path(os.path.normpath(workspace.path(test.manifest))) if test.manifest else None,
            declared=name in settings.test,
        )
        for name, test in every_suite(settings, workspace).items()
    }
    return suites, [*mistakes, *_circles(suites)]


def _circles(suites: Mapping[str, Suite]) -> Iterator[config.Mistake]:
    """Yield each need by which a suite would need itself, also by way of others."""
    needs = {suite.task: suite.settings.needs for suite in suites.values()}
    needs |= dict.fromkeys(("test", f"test:{ALL}"), tuple(needs))
    for suite in suites.values():
        for index, need in enumerate(suite.settings.needs):
            reached, waiting = set[str](), [need]
            while waiting:
                task = waiting.pop()
                if task not in reached:
                    reached.add(task)
                    waiting += needs.get(task, ())
            if suite.task in reached:
                message = f"`{suite.task}` would need itself" + (f", by way of `{need}`" if need != suite.task else "")
                yield config.Mistake(("test", suite.name, "needs", index), message)


def every_suite(settings: config.Settings, workspace: config.Workspace) -> dict[str, config.Test]:
    """Return the tables that hold by default, and those that are declared."""
    rust = any(workspace.path(path).is_file() for path in ("Cargo.toml", _WORKER))
    return {**(DEFAULTS if rust else {}), **settings.test}


def _mistakes(name: str, test: config.Test) -> Iterator[config.Mistake]:
    def mistake(message: str, hint: str | None = None, field: tuple[str, ...] = ()) -> config.Mistake:
        return config.Mistake(("test", name, *field), message, hint)

    if not _NAME.fullmatch(name):
        yield mistake("the name may have small letters, digits, `.`, `_` and `-`")
    if name == ALL:
        yield mistake("`all` is every suite", "rename the table")
    if bool(test.manifest) == bool(test.command):
        yield mistake("must have either `manifest`, for cargo, or `command`")
    if test.command and (test.package or test.args or test.features):
        yield mistake("`package`, `features` and `args` are of cargo, and this is a `command`")
    for field in ("features", "args", "command"):
        if not test.backends and any("{backend}" in text for text in getattr(test, field)):
            yield mistake("has {backend}, and there are no backends", "list them in `backends`", (field,))
