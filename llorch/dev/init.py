"""The files of a new workspace: what each is to say, and writing those that are missing, all of them or none."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from llorch.config import Build, Paths, Settings, Test
from llorch.dev.declare import render_table
from llorch.dev.finding import listing
from llorch.errors import ConfigError, Refused
from llorch.rewrite import rewrite
from llorch.toml import load

Outcome = Literal["made", "changed", "kept"]
SETTINGS, CATALOG, HOSTS, DODO, IGNORE = "llorch.toml", "catalog.toml", "hosts.toml", "dodo.py", ".gitignore"
NAMES = (SETTINGS, CATALOG, HOSTS, DODO)
"""The files that make a workspace."""
KEPT = "as it was"
_NAMED = 8
"""Builds that are named, and the rest is counted."""
_COMPILED = "__pycache__/"
"""What Python makes of dodo.py, beside it."""

_SETTINGS = """\
# What llorch works with here. What is not said has its default; llorch's docs/configuration.md has all there is.
version = 1

# [paths]
# models = ".test-models"         # the model folder; another disk's, as "/srv/models"
# catalog = "catalog.toml"

# [git]
# branch = "main"                 # what `llorch git sync` takes of origin; default: origin's own

# [cargo]
# rustc_wrapper = "sccache"

# [cache]
# url = "file:///srv/llorch"      # a store that machines share
"""
_BUILDS = """
# Binaries: `llorch build NAME [BACKEND]`. More keys: package, profile, target, target_dir, env, no_default_features.
"""
_SUITES = """
# Test suites: `llorch test NAME`. What one needs is made first; LLORCH_TEST_MODEL_PATH is then the first model's file.
"""
_NEEDS = '# needs = ["models:smollm2"]\n'
_NO_BUILDS = """#
# [build.worker]
# manifest = "worker/Cargo.toml"
# backends = ["cpu", "cuda"]      # features that are built for one by one
# features = ["{backend}"]
# target_dir = "target/{backend}"
"""
_NO_SUITES = """#
# [test.unit]
# command = ["pytest", "-q"]
# needs = ["models:smollm2"]
"""
_CATALOG = """\
# The models of this workspace, besides those that come with llorch. `llorch models add OWNER/REPO:FILE` writes an entry
# for a model of the Hugging Face Hub, with its commit, sizes and digests; `llorch models catalog` shows them all.
version = 1
extends = "shipped"               # without this line there are only the models below

# [models.house-model]
# name = "Ours, fine-tuned"
# source = "file:/srv/models/house"
# files = [
#   { path = "house-q4_k_m.gguf" },
# ]
"""
_HOSTS = """\
# The machines that `--remote` can name, without secrets: this file is for all who use the repository. Your own, or your
# own user names on them, go into ~/.config/llorch/hosts.toml. `llorch remote hosts add` writes an entry.
version = 1

# [hosts.workstation]
# host = "workstation.home.arpa"  # what ssh would take; default: the table's name
# user = "me"
# repo_path = "~/src/project"     # where the repository is on it
# backends = ["cuda"]             # also what `--remote @cuda` means
"""
_DODO = '''\
"""The tasks of this workspace for plain `doit`; add your own below."""

from llorch.dodo import *  # noqa: F403  # DOIT_CONFIG and every task creator of llorch
'''


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of a file, and what it is to say where that changes."""

    name: str
    outcome: Outcome
    text: str
    about: str


def check_place(folder: Path) -> None:
    """Refuse a folder that so much is below that all of it would be in one workspace by mistake.

    A home that is a repository is meant, and so is a folder that has one of the files already.

    Raises:
        Refused: it is the file system's root, or the user's home.
    """
    home = os.path.expanduser("~")
    is_home = os.path.isdir(home) and os.path.samefile(folder, home) and not os.path.lexists(folder / ".git")
    if (is_home or folder == Path(folder.anchor)) and is_new(folder):
        hint = "name a folder: `llorch init DIR`; or write its llorch.toml by hand"
        raise Refused(f"`{folder}` is to be a workspace, and all that is below it would be in it", hint=hint)


def plan_files(folder: Path, builds: Mapping[str, Build], suites: Mapping[str, Test]) -> tuple[Step, ...]:
    """Return what becomes of each file of a workspace.

    Raises:
        ConfigError: the llorch.toml that is there is wrong.
    """
    paths = _own_paths(folder)
    texts = {
        SETTINGS: (render_settings(builds, suites), _count(builds, "build") + ", " + _count(suites, "test suite")),
        CATALOG: (_CATALOG, "the models that come with llorch"),
        HOSTS: (_HOSTS, "no machines yet"),
        DODO: (_DODO, "llorch's tasks for plain `doit`"),
    }
    steps = []
    for name, (text, about) in texts.items():
        place = folder / name
        if name == CATALOG and paths.catalog != CATALOG:
            continue  # it is called otherwise
        if not os.path.lexists(place):
            steps.append(Step(name, "made", text, about))
        elif name == DODO and place.is_file() and b"llorch" not in place.read_bytes():
            steps.append(Step(name, "kept", "", f"{KEPT}; `from llorch.dodo import *` in it brings llorch's tasks"))
        else:
            steps.append(Step(name, "kept", "", KEPT))
    return (*steps, _ignoring(folder, paths.models))


def is_new(folder: Path) -> bool:
    """Tell whether a folder has none of a workspace's files, or only what a `write_files` has left that was killed."""
    texts = {CATALOG: _CATALOG, HOSTS: _HOSTS, DODO: _DODO}
    for name in NAMES:
        place = folder / name
        if os.path.lexists(place):
            left = name in texts and place.is_file() and place.read_bytes() == texts[name].encode()
            if not left:
                return False
    return True


def write_files(folder: Path, steps: Sequence[Step]) -> None:
    """Write what is to be made or changed, llorch.toml last; where one cannot be written, none is.

    Raises:
        DiskFull: a file cannot be written.
    """
    with ExitStack() as undoing:
        for step in sorted(steps, key=lambda step: step.name == SETTINGS):
            place = folder / step.name
            if step.outcome == "made" and not os.path.lexists(place):
                rewrite(place, step.name, partial(_unless_there, step.text))
                undoing.callback(place.unlink, missing_ok=True)
            elif step.outcome == "changed":
                undoing.callback(os.truncate, place, place.stat().st_size)
                with place.open("ab") as file:
                    file.write(step.text.encode())
        undoing.pop_all()


def _unless_there(text: str, old: str | None) -> str:
    return text if old is None else old


def render_settings(builds: Mapping[str, Build], suites: Mapping[str, Test]) -> str:
    """Return the llorch.toml of a workspace with these tables."""
    parts = [_SETTINGS, _BUILDS, "\n".join(render_table(f"build.{name}", build) for name, build in builds.items())]
    parts += [] if builds else [_NO_BUILDS]
    parts += [_SUITES, "\n".join(render_table(f"test.{name}", suite) + _NEEDS for name, suite in suites.items())]
    parts += [] if suites else [_NO_SUITES]
    return "".join(parts)


def _own_paths(folder: Path) -> Paths:
    """Return the paths that the folder's own llorch.toml gives, whatever a user's settings say."""
    try:
        document = load(folder / SETTINGS, SETTINGS)
    except FileNotFoundError:
        return Paths()
    settings = document.read(Settings)
    if settings is None or document.problems:
        raise ConfigError(document.problems)
    return settings.paths


def _ignoring(folder: Path, models: str) -> Step:
    """Return what has git ignore the model folder, if it is below, and what Python makes of dodo.py."""
    name = os.path.normpath(models)
    lines = {"__pycache__": _COMPILED}
    if not (os.path.isabs(os.path.expanduser(name)) or name.split("/")[0] in (".", "..")):
        lines = {name: "/" + re.sub(r"([\\*?\[ ])", r"\\\1", name) + "/", **lines}
    try:
        old: bytes | None = (folder / IGNORE).read_bytes()
    except FileNotFoundError:
        old = None
    said = {line.strip().strip(b"/").removeprefix(b"**/") for line in (old or b"").splitlines()}
    new = {name: line for name, line in lines.items() if line.strip("/").encode() not in said}
    if not new:
        return Step(IGNORE, "kept", "", KEPT)
    end = "\r\n" if old and b"\r\n" in old else "\n"
    text = ("" if not old or old.endswith(b"\n") else end) + "".join(line + end for line in new.values())
    about = f"keeps {' and '.join(new)} out of git"
    return Step(IGNORE, "made" if old is None else "changed", text, about)


def _count(tables: Mapping[str, object], what: str) -> str:
    """Return how many tables there are, with their names if there are any.

    >>> _count({}, "build"), _count({"a": 1, "b": 2}, "build")
    ('no builds', 'builds a and b')
    """
    *most, last = tables or ("",)
    if len(most) >= _NAMED:
        return f"{what}s {listing([*tables], _NAMED)}"
    return f"no {what}s" if not tables else f"{what} {last}" if not most else f"{what}s {', '.join(most)} and {last}"
