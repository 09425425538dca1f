"""Read the workspace's `llorch.toml` and the user's `config.toml` into frozen settings.

A value comes from, in this order: a flag, the environment (`LLORCH_*`), the workspace's file, the user's file, the
default. What a room makes of its values is the room's business.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from llorch.errors import ConfigError, Problem
from llorch.text import shown, without_credentials
from llorch.workspace import Workspace as Workspace  # whoever needs settings needs both
from llorch.workspace import find_workspace as find_workspace

if TYPE_CHECKING:
    from llorch.errors import Severity
    from llorch.toml import Document
    from llorch.typed import Key

WORKSPACE_FILE = "llorch.toml"


def _check_given(value: str) -> str | None:
    return None if value else "is empty"


def _check_timeout(value: int) -> str | None:
    return None if value > 0 else "must be more than 0 seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """`[paths]`: where things are."""

    models: str = field(default=".test-models", metadata={"check": _check_given})
    """The model folder; relative to the workspace, or absolute."""
    catalog: str = field(default="catalog.toml", metadata={"check": _check_given})
    """The catalog."""
    catalog_url: str = ""
    """Where `llorch models update` looks: an address with `https:` or `file:`."""


def _check_manifest(value: str) -> str | None:
    return None if not value or os.path.basename(value) == "Cargo.toml" else "must be the path of a `Cargo.toml`"


def _check_word(value: str) -> str | None:
    plain = value.replace("{backend}", "backend")
    return None if not plain or _is_word(plain) else "may have letters, digits, `_` and `-`, and `{backend}`"


def _check_backends(value: tuple[str, ...]) -> str | None:
    wrong = next((backend for backend in value if not _is_word(backend)), None)
    return None if wrong is None else f"`{wrong}` may have letters, digits, `_` and `-`"


def _is_word(text: str) -> bool:
    return text.isascii() and text.replace("-", "_").replace("_", "a").isalnum() and not text.startswith("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """`[build.NAME]`: a binary of a cargo workspace; `{backend}` stands for each of its backends."""

    manifest: str = field(metadata={"check": _check_manifest})
    """The `Cargo.toml` of the package, or of its workspace."""
    package: str = field(default="", metadata={"check": _check_word})
    """The package, where the manifest has several."""
    bin: str = field(default="", metadata={"check": _check_word})
    """The binary; without it the package's name, or else the table's."""
    backends: tuple[str, ...] = field(default=(), metadata={"check": _check_backends})
    """What it is built for: each is a task, `build:NAME-BACKEND`."""
    features: tuple[str, ...] = ()
    """Features of the package."""
    no_default_features: bool = False
    """Leave out the package's default features."""
    profile: str = field(default="release", metadata={"check": _check_word})
    """The profile of cargo."""
    target: str = ""
    """The target triple, to build for other machines."""
    target_dir: str = ""
    """Cargo's target folder, where it is not cargo's own choice."""
    env: tuple[str, ...] = ()
    """Variables that change the binary, besides those that cargo names itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """`[test.NAME]`: a test suite, of cargo or by any other command; `{backend}` stands for the chosen backend."""

    manifest: str = field(default="", metadata={"check": _check_manifest})
    """The `Cargo.toml` of a package: the suite is `cargo test` in its folder."""
    package: str = field(default="", metadata={"check": _check_word})
    """The package, where the manifest has several."""
    backends: tuple[str, ...] = field(default=(), metadata={"check": _check_backends})
    """What `--backend` chooses from; without it the first."""
    features: tuple[str, ...] = ()
    """Features of the package."""
    args: tuple[str, ...] = ()
    """Arguments of `cargo test`."""
    command: tuple[str, ...] = ()
    """Any other command instead, run at the workspace's root."""
    needs: tuple[str, ...] = ()
    """Tasks that are made first, such as `models:smollm2`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """`[cargo]`: how cargo is called."""

    rustc_wrapper: str = ""
    """A wrapper of rustc, such as `sccache`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """`[git]`: the repository."""

    branch: str = ""
    """What `llorch git sync` takes of origin; without it origin's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """`[remote]`: connections; times in seconds."""

    connect_timeout: int = field(default=10, metadata={"check": _check_timeout})
    """Seconds for a connection to stand, over all stages."""
    default_host: str = ""
    """The host of `remote info`, `setup` and `sync` where none is named."""


def parse_size(text: str) -> int:
    """Return the bytes that a size means.

    Raises:
        ValueError: it is none.

    >>> parse_size("50GiB"), parse_size("1.5 MB"), parse_size("0")
    (53687091200, 1500000, 0)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    power = " kmgt".index((match[2] or " ").lower())
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


_SIZE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) *(?:([kKMGT])(i)?)?B?", re.ASCII)


def _check_size(value: str) -> str | None:
    try:
        parse_size(value)
    except ValueError:
        return 'is no size, such as "50GiB", "800MB" or "0"'
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """`[cache]`: the shared store, and how large the user's own may become."""

    url: str = ""
    """The shared store: an address with `file:`, `s3:`, `gs:`, `az:`, `https:` or `sftp:`."""
    read: bool = True
    """Take targets from it."""
    write: bool = False
    """Put targets into it."""
    sign_key: str = ""
    """Where the key is that records are signed with, such as `env:LLORCH_SIGN_KEY`."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys whose records are taken."""
    local_limit: str = field(default="50GiB", metadata={"check": _check_size})
    """How large the user's own store may become."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of `llorch.toml`."""

    paths: Paths = Paths()
    build: Mapping[str, Build] = field(default_factory=dict)
    test: Mapping[str, Test] = field(default_factory=dict)
    cargo: Cargo = Cargo()
    git: Git = Git()
    remote: Remote = Remote()
    cache: Cache = Cache()


ENVIRONMENT: Mapping[str, tuple[str, str]] = {
    "LLORCH_MODEL_BASE_DIR": ("paths", "models"),
    "LLORCH_CATALOG": ("paths", "catalog"),
    "LLORCH_CACHE_URL": ("cache", "url"),
}


MOST_JOBS = 256


class Mistake(NamedTuple):
    """What is wrong with a value of the settings."""

    key: "Key"
    message: str
    hint: str | None = None
    severity: "Severity" = "error"


class Origin(NamedTuple):
    """Where a value is from: its default, a line of a file, or a variable; `name` is the file's or the variable's."""

    kind: Literal["default", "file", "environment"]
    name: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings as far as they are right, every mistake, and what is needed to tell where a value is from."""

    settings: Settings
    problems: tuple[Problem, ...]
    documents: "tuple[Document, ...]"
    """The user's, then the workspace's, those that there are."""
    environ: Mapping[str, str]

    def origin(self, key: "Key") -> Origin:
        """Return where the value at a key is from."""
        for variable, place in ENVIRONMENT.items():
            if key == place and self.environ.get(variable):
                return Origin("environment", variable)
        for document in reversed(self.documents):
            if document.has(key):
                return Origin("file", document.name, document.line_of(key))
        return Origin("default")

    def locate(self, mistake: Mistake) -> Problem:
        """Return a mistake with its place: where its value is from, or else the table that lacks it."""
        from llorch.typed import render_key

        found = Origin("default")
        for length in range(len(mistake.key), 0, -1):
            found = self.origin(mistake.key[:length])
            if found.kind != "default":
                break
        key = "" if found.kind == "environment" else shown(render_key(mistake.key))
        file, hint = found.name or WORKSPACE_FILE, mistake.hint and shown(mistake.hint)
        return Problem(file, found.line, key, shown(without_credentials(mistake.message)), hint, mistake.severity)


def load_settings(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the workspace's settings.

    Raises:
        ConfigError: with every mistake of both files.
    """
    found = read_settings(workspace, environ)
    if found.problems:
        raise ConfigError(found.problems)
    return found.settings


def read_settings(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Return what is right of the workspace's settings, and what is wrong."""
    from dataclasses import replace

    from llorch.toml import Document

    documents, problems = _documents(workspace, environ)
    merged: Mapping[str, Any] = {}
    for document in documents:
        document.read(Settings)
        problems += document.problems
        merged = _merged(merged, document.data)
    settings = Document("settings", "")
    settings.data = dict(merged)
    value = settings.read(Settings)
    assert not settings.problems, "merging two right documents makes a right one"
    for variable, (table, key) in ENVIRONMENT.items():
        if environ.get(variable):
            value = replace(value, **{table: replace(getattr(value, table), **{key: environ[variable]})})
    return Loaded(value, tuple(problems), tuple(documents), environ)


def wrong(
    workspace: Workspace, *mistakes: Mistake, environ: Mapping[str, str] = os.environ, hint: str | None = None
) -> ConfigError:
    """Return the error for values that a room cannot use, each with the file and line that it is from."""
    found = read_settings(workspace, environ)
    return ConfigError([found.locate(mistake) for mistake in mistakes], hint=hint)


def read_jobs(default: int, environ: Mapping[str, str] = os.environ) -> int:
    """Return how many tasks are to run at once (LLORCH_JOBS).

    Raises:
        ConfigError: the variable has no such number.
    """
    value = environ.get("LLORCH_JOBS", "")
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 5 and int(value) <= MOST_JOBS):
        message = f"`{value}` is not a number up to {MOST_JOBS}; give how many tasks to run at once"
        raise ConfigError([Problem("LLORCH_JOBS", None, "", message)])
    return int(value)


def user_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the user's own configuration (XDG base directories)."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", os.path.expanduser("~")), ".config")
    return Path(base) / "llorch"


def _documents(workspace: Workspace, environ: Mapping[str, str]) -> "tuple[list[Document], list[Problem]]":
    """Return the files that there are, and what is wrong with those that are not."""
    from llorch.toml import load

    named = environ.get("LLORCH_CONFIG_PATH")
    user = Path(os.path.expanduser(named)) if named else user_folder(environ) / "config.toml"
    found, problems = [], []
    for path, name in ((user, str(user)), (workspace.root / WORKSPACE_FILE, WORKSPACE_FILE)):
        try:
            found.append(load(path, name))
        except (FileNotFoundError, NotADirectoryError):
            if named and path == user:
                problems.append(Problem("LLORCH_CONFIG_PATH", None, "", f"there is no file `{name}`"))
    return found, problems


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return two documents in one, value by value; what is in `over` counts."""
    found = dict(base)
    for key, value in over.items():
        inner = found.get(key)
        found[key] = _merged(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return found
