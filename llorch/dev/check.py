"""Everything that can be wrong with a workspace's files, asked of the rooms that they belong to, all at once.

Each room says what is wrong with its own; what belongs to none, and what goes across them, is looked at here.
"""

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from llorch.config import Loaded, Mistake, Workspace, read_jobs, read_settings
from llorch.dev.dodo_file import check_dodo
from llorch.dev.replaced import find_scripts
from llorch.dev.values import find_ignored
from llorch.errors import ConfigError, LlorchError, Offline, Problem, nearest
from llorch.log import wanted_level
from llorch.parallel import in_parallel
from llorch.rewrite import PART
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.build.plan import Plan
    from llorch.models.catalog import Catalog
    from llorch.remote.hosts import Declared
    from llorch.test.plan import Suite

OLD = 60 * 60
"""Seconds for which a file that an edit grows in may be one that is at work."""
_OF_MODELS = ("models", "fetch", "convert", "quantize", "verify")

Names = Callable[[], Collection[str]]


class Skipped(NamedTuple):
    """What was not looked at, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Every problem, errors first; how many things of a kind were looked at; and what was not."""

    problems: tuple[Problem, ...]
    files: tuple[str, ...]
    counts: Mapping[str, int]
    skipped: tuple[Skipped, ...]

    @property
    def ok(self) -> bool:
        """Tell whether there is nothing but warnings."""
        return not any(problem.severity == "error" for problem in self.problems)


Found = Iterator[Problem | Mistake | Skipped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What the workspace's files say, as far as they are right, and what is wrong with each by itself."""

    workspace: Workspace
    loaded: Loaded
    catalog: "Catalog"
    hosts: "Declared"
    plans: "Mapping[str, Plan]"
    suites: "Mapping[str, Suite]"
    wrong: tuple[Problem, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind, binaries by their backends; a default that is not there is none."""
        return {
            "models": len(self.catalog.models),
            "hosts": len(self.hosts.hosts),
            "builds": sum(plan.declared or plan.manifest.is_file() for plan in self.plans.values()),
            "suites": sum(suite.declared or suite.is_there for suite in self.suites.values()),
        }

    def names(self) -> Iterator[str]:
        """Yield what the files are called."""
        from llorch.models.catalog import SHIPPED_NAME
        from llorch.remote.hosts import hosts_file

        workspace, paths = self.workspace, self.loaded.settings.paths
        yield from (document.name for document in self.loaded.documents)
        yield workspace.name(paths.catalog) if workspace.path(paths.catalog).is_file() else SHIPPED_NAME
        own = [hosts_file(workspace, user_file=user, environ=self.loaded.environ) for user in (False, True)]
        yield from (workspace.name(path) for path in (*own, workspace.root / "dodo.py") if path.is_file())


def read_files(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Files:
    """Read every file."""
    from llorch.build.plan import read_builds
    from llorch.models.catalog import read_catalog
    from llorch.remote.hosts import read_hosts
    from llorch.test.plan import read_suites

    loaded = read_settings(workspace, environ)
    catalog = read_catalog(workspace, loaded.settings)
    hosts = read_hosts(workspace, environ)
    plans, wrong_builds = read_builds(loaded.settings, workspace, environ)
    suites, wrong_suites = read_suites(loaded.settings, workspace)
    wrong: list[Problem | Mistake] = [*loaded.problems, *catalog.problems, *hosts.problems]
    wrong += [*wrong_builds, *wrong_suites]
    return Files(
        workspace=workspace,
        loaded=loaded,
        catalog=catalog,
        hosts=hosts,
        plans=plans,
        suites=suites,
        wrong=tuple(_located(wrong, loaded)),
    )


def _located(found: Sequence[Problem | Mistake], loaded: Loaded) -> list[Problem]:
    return [loaded.locate(each) if isinstance(each, Mistake) else each for each in found]


def check(workspace: Workspace, tasks: Names, environ: Mapping[str, str] = os.environ) -> Report:
    """Look at everything.

    Args:
        tasks: returns the names of all tasks, the user's own among them; asked only where the configuration is right.
    """
    files = read_files(workspace, environ)
    found: list[Problem | Mistake | Skipped] = [*files.wrong, *_environment(environ), *_dodo(workspace)]
    found += _needs(files, None if found else tasks)
    found += _variables(files, environ)
    looks = (_crates, _programs, _hub, _hosts, _cache, _leftovers, _locks, _scripts)
    for part in in_parallel(looks, lambda look: list(look(files)), len(looks)):
        found += part
    told = [each for each in found if not isinstance(each, Skipped)]
    problems = _located(told, files.loaded)
    return Report(
        problems=tuple(sorted(problems, key=lambda each: (each.severity, each.file, each.line or 0))),
        files=tuple(files.names()),
        counts=files.counts,
        skipped=tuple(each for each in found if isinstance(each, Skipped)),
    )


def _environment(environ: Mapping[str, str]) -> Found:
    for look in (lambda: read_jobs(0, environ), lambda: wanted_level(environ)):
        try:
            look()
        except ConfigError as error:
            yield from error.problems


def _variables(files: Files, environ: Mapping[str, str]) -> Found:
    """Look for variables that are misspelt, or were the scripts'."""
    settings = files.loaded.settings
    known = {name for plan in files.plans.values() for name in plan.settings.env}
    known |= {settings.cache.sign_key.removeprefix("env:")}
    for name, hint in find_ignored(environ, known):
        yield Problem(shown(name), None, "", "llorch reads no such variable", hint, "warn")


def _dodo(workspace: Workspace) -> Found:
    try:
        check_dodo(workspace)
    except ConfigError as error:
        yield from error.problems


def _needs(files: Files, tasks: Names | None) -> Found:
    """Look whether what test suites need is a task; all that there are, with a user's own, only doit knows."""
    catalog = files.catalog
    known = {f"{kind}:{id}" for kind in _OF_MODELS for id in (*catalog.models, *(catalog.left_out or ()))}
    known |= {*_OF_MODELS, "build", "test", "test:all", *files.plans, *(suite.task for suite in files.suites.values())}
    known |= {f"build:{plan.name}" for plan in files.plans.values()}
    unknown = {need for suite in files.suites.values() for need in suite.settings.needs} - known
    if unknown and tasks is not None:
        try:
            known |= set(tasks())
        except LlorchError as error:
            tasks = None
            own = [Problem("dodo.py", None, "", shown(error.message), error.hint)]
            yield from error.problems if isinstance(error, ConfigError) else own
    for name, suite in files.suites.items():
        for index, need in enumerate(suite.settings.needs):
            kind = need.partition(":")[0]
            lost = _is_lost(files, kind) if kind in (*_OF_MODELS, "build", "test") else tasks is None
            if need not in known and not lost:
                near = nearest(need, sorted(known))
                hint = f"did you mean `{near}`?" if near else "`llorch list` shows the tasks"
                yield Mistake(("test", name, "needs", index), f"there is no task `{need}`", hint)


def _is_lost(files: Files, kind: str) -> bool:
    """Tell whether a task of a kind may be one that is declared, in a table that cannot be read."""
    from llorch.toml import left_out

    if kind in _OF_MODELS:
        return files.catalog.left_out is None
    return left_out(files.loaded.documents, kind) != set()


def _crates(files: Files) -> Found:
    from llorch.manifests import Wanted, check

    def each(texts: Sequence[str], backend: str) -> tuple[str, ...]:
        return tuple(text.replace("{backend}", backend) for text in texts)

    wanted = [
        Wanted(
            table=("build", plan.name),
            manifest=plan.manifest,
            package=plan.package,
            bins=(plan.bin,),
            features=each(plan.settings.features, plan.backend),
            profiles=each((plan.settings.profile,), plan.backend),
        )
        for plan in files.plans.values()
        if plan.declared
    ]
    wanted += [
        Wanted(
            table=("test", suite.name),
            manifest=suite.manifest,
            package=suite.settings.package,
            every=True,
            features=each(suite.settings.features, backend),
        )
        for suite in files.suites.values()
        for backend in suite.settings.backends or ("",)
        if suite.declared and suite.manifest is not None
    ]
    mistakes, skipped = check(wanted, files.workspace)
    yield from dict.fromkeys(mistakes)  # several backends make the same one
    if skipped:
        yield Skipped("cargo packages", skipped)


def _programs(files: Files) -> Found:
    """Look for the programs that llorch.toml names."""
    wrapper = files.loaded.settings.cargo.rustc_wrapper
    if wrapper and not _is_program(wrapper, files.workspace):
        hint = "builds go without it until it is installed"
        yield Mistake(("cargo", "rustc_wrapper"), f"there is no program `{wrapper}` here", hint, "warn")
    for name, suite in files.suites.items():
        program = next(iter(suite.settings.command), "")
        if program and "{backend}" not in program and not _is_program(program, files.workspace):
            key = ("test", name, "command", 0)
            yield Mistake(key, f"there is no program `{program}` here", "install it, or correct its path", "warn")


def _is_program(name: str, workspace: Workspace) -> bool:
    return shutil.which(str(workspace.path(name)) if "/" in name else name) is not None


def _hub(files: Files) -> Found:
    from llorch.models.promises import check_revisions, compare, of_the_hub

    yield from check_revisions(files.catalog)
    if not of_the_hub(files.catalog):
        return
    try:
        problems, skipped = compare(files.catalog)
    except Offline:
        yield Skipped("the Hub", "fetching is switched off (LLORCH_OFFLINE, HF_HUB_OFFLINE)")
    except ConfigError as error:
        yield from error.problems
    else:
        yield from problems
        reasons = {why for _, why in skipped}
        if len(reasons) == 1 and len(skipped) == len(of_the_hub(files.catalog)):
            yield Skipped("the Hub", reasons.pop())
        else:
            for reason in dict.fromkeys(why for _, why in skipped):
                yield Skipped(f"{', '.join(id for id, why in skipped if why == reason)} on the Hub", reason)


def _hosts(files: Files) -> Found:
    from llorch.remote.check import check_hosts, lookup

    yield from check_hosts(files.hosts)
    default = files.loaded.settings.remote.default_host
    if default and (default != "all" and not default.startswith("@")):
        for name in default.split(","):
            found = lookup(name.strip(), files.hosts)
            if found is not None:
                yield Mistake(("remote", "default_host"), *found)


def _cache(files: Files) -> Found:
    from llorch.cache.check import check_cache

    return check_cache(files.loaded.settings.cache, files.workspace, files.loaded.environ)


def _leftovers(files: Files) -> Found:
    from llorch.models.leftovers import find_leftovers

    workspace, settings = files.workspace, files.loaded.settings
    if files.catalog.left_out != set():
        yield Skipped("what killed downloads have left", "the catalog has mistakes")
        return
    found = find_leftovers(workspace, settings, files.catalog.models)
    for item in found.leftovers:
        message = f"was left by a run that was killed ({item.size:,} bytes)"
        yield Problem(shown(item.path), None, "", message, "`llorch models gc` removes it", "warn")
    for item in found.unfinished:
        message = f"is an unfinished download ({item.size:,} bytes)"
        hint = "`llorch models download` goes on with it; `llorch models gc --unfinished` removes it"
        yield Problem(shown(item.path), None, "", message, hint, "warn")


def _locks(files: Files) -> Found:
    """Look for what killed edits and killed gits have left, which stands in the way of the next."""
    from llorch.git.repo import find_repo
    from llorch.git.stale import find_stale_locks
    from llorch.remote.hosts import hosts_file

    workspace = files.workspace
    try:
        left = find_stale_locks(find_repo(workspace.root))
    except LlorchError:  # it is in no repository
        left = []
    places = [hosts_file(workspace, user_file=user, environ=files.loaded.environ) for user in (False, True)]
    for place in (*places, workspace.path(files.loaded.settings.paths.catalog)):
        part = f"{place}{PART}"
        if os.path.isfile(part) and os.stat(part).st_mtime < time.time() - OLD:
            left.append(part)
    for path in left:
        name = shown(workspace.name(path))
        message = "was left by an edit that was killed" if path.endswith(PART) else "was left by a git that was killed"
        yield Problem(name, None, "", message, f"if nothing is at work there: `rm {quote(name)}`", "warn")


def _scripts(files: Files) -> Found:
    repos = {model.entry.repo: id for id, model in files.catalog.models.items() if model.entry.repo}
    scripts = find_scripts(files.workspace.root, repos)
    tracked = _tracked(files.workspace, [script.path for script in scripts])
    for script in scripts:
        remove = "git rm" if script.path in tracked else "rm"
        hint = f"`{remove} {quote(shown(script.path))}` deletes it; docs/migration.md has each of its calls"
        message = f"`{script.instead}` stands in for it"
        if script.more:
            words = ", ".join(f"`{word}`" for word in script.more)
            hint = f"see to those first, then `{remove} {quote(shown(script.path))}` deletes it"
            message += f", but not for what docs/migration.md does not have: {words}"
        yield Problem(shown(script.path), None, "", message, hint, "warn")


def _tracked(workspace: Workspace, paths: Sequence[str]) -> Collection[str]:
    """Return those paths that git knows."""
    from llorch.git.repo import find_repo

    if not paths:
        return ()
    try:
        repo = find_repo(workspace.root)
        listed = repo.look("ls-files", "-z", "--", *(str(workspace.path(path)) for path in paths))
    except LlorchError:
        return ()
    known = {str(repo.root / os.fsdecode(path)) for path in listed.split(b"\0") if path}
    return [path for path in paths if os.path.realpath(workspace.path(path)) in known]
