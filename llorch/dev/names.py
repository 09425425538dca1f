"""The names that a workspace's files declare, for completion: by the rules of those who use them, without a program."""

from __future__ import annotations

from llorch.dev.spec import TASKS
from llorch.workspace import find_workspace, read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from llorch.build.plan import Plan
    from llorch.models.catalog import Model
    from llorch.test.plan import Suite
    from llorch.workspace import Workspace

    Names = Mapping[str, str]


def load_names(kind: str, folder: str | None, about: str) -> Names:
    """Return names of a kind, each with a word on what it is or nothing; none of a kind that has no names.

    Args:
        folder: whose workspace is meant; None for the current one's.
        about: the build or test suite whose backends are meant.

    Raises:
        LlorchError: a file that declares them is wrong.
        OSError: it cannot be read.
    """
    if kind not in _KINDS:
        return {}
    from pathlib import Path

    return _KINDS[kind](find_workspace(Path(folder) if folder is not None else None), about)


def _of_models(workspace: Workspace, about: str) -> Names:
    return {id: model.entry.name for id, model in _models(workspace).items()}


def _of_tasks(workspace: Workspace, about: str) -> Names:
    return dict.fromkeys([*TASKS, *_tasks(workspace)], "")


def _of_hosts(workspace: Workspace, about: str) -> Names:
    from llorch.remote.hosts import load_hosts

    return {name: host.host for name, host in load_hosts(workspace).items()}


def _of_several_hosts(workspace: Workspace, about: str) -> Names:
    from llorch.remote.hosts import load_hosts

    hosts = load_hosts(workspace)
    tags = sorted({f"@{tag}" for host in hosts.values() for tag in (*host.tags, *host.backends)})
    return {**_of_hosts(workspace, about), **dict.fromkeys([*tags, *(["all"] if hosts else [])], "")}


def _of_submodules(workspace: Workspace, about: str) -> Names:
    from llorch.git.modules import submodule_paths
    from llorch.git.repo import find_repo

    return dict.fromkeys(submodule_paths(find_repo(workspace.place).place), "")


def _of_builds(workspace: Workspace, about: str) -> Names:
    return dict.fromkeys([plan.name for plan in _plans(workspace).values()], "")


def _of_backends(workspace: Workspace, about: str) -> Names:
    return dict.fromkeys([plan.backend for plan in _plans(workspace).values() if plan.name == about], "")


def _of_suites(workspace: Workspace, about: str) -> Names:
    from llorch.test.plan import ALL

    return dict.fromkeys([*_suites(workspace), ALL], "")


def _of_tested_backends(workspace: Workspace, about: str) -> Names:
    suites = _suites(workspace)
    chosen = [suites[about]] if about in suites else suites.values()
    return dict.fromkeys([backend for suite in chosen for backend in suite.settings.backends], "")


_KINDS: Mapping[str, Callable[[Workspace, str], Names]] = {
    "model": _of_models,
    "task": _of_tasks,
    "host": _of_hosts,
    "hosts": _of_several_hosts,
    "submodule": _of_submodules,
    "build": _of_builds,
    "backend": _of_backends,
    "suite": _of_suites,
    "tested backend": _of_tested_backends,
}
"""What `docs/completion.py` may say that a word is, besides files, folders and choices."""


def _tasks(workspace: Workspace) -> Iterator[str]:
    """Yield the tasks that the files declare; of a dodo.py's own, which only doit knows, those that are called so."""
    for id, model in _models(workspace).items():
        made = {"convert": model.entry.convert, "quantize": model.entry.quantize}
        for step in ("models", "fetch", "verify", *(name for name, how in made.items() if how is not None)):
            yield f"{step}:{id}"
    for task, plan in _plans(workspace).items():
        yield from (task, f"build:{plan.name}")
    for suite in _suites(workspace).values():
        yield from (suite.task, f"{suite.task.partition(':')[0]}:all")
    import re

    try:
        text = read_file(f"{workspace.place}/dodo.py").decode(errors="replace")
        yield from re.findall(r"^def task_(\w+)\(", text, re.MULTILINE)
    except FileNotFoundError:
        return


def _models(workspace: Workspace) -> Mapping[str, Model]:
    from llorch.config import load_settings
    from llorch.models.catalog import load_models

    return load_models(workspace, load_settings(workspace))


def _plans(workspace: Workspace) -> Mapping[str, Plan]:
    from llorch.build.plan import plan_builds
    from llorch.config import load_settings

    return plan_builds(load_settings(workspace), workspace)


def _suites(workspace: Workspace) -> Mapping[str, Suite]:
    from llorch.config import load_settings
    from llorch.test.plan import plan_suites

    return plan_suites(load_settings(workspace), workspace)
