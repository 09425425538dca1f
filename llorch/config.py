"""Read the workspace's `llorch.toml` and the user's `config.toml` into frozen settings.

A value comes from, in this order: a flag, the environment (`LLORCH_*`), the workspace's file, the user's file, the
default. What a room makes of its values is the room's business.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llorch.errors import ConfigError, Problem
from llorch.workspace import Workspace as Workspace  # whoever needs settings needs both
from llorch.workspace import find_workspace as find_workspace

if TYPE_CHECKING:
    from llorch.toml import Document


def _check_given(value: str) -> str | None:
    return None if value else "is empty"


def _check_timeout(value: int) -> str | None:
    return None if value > 0 else "must be more than 0 seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """`[paths]`: where things are."""

    models: str = field(default=".test-models", metadata={"check": _check_given})
    catalog: str = field(default="catalog.toml", metadata={"check": _check_given})
    catalog_url: str = ""


def _check_manifest(value: str) -> str | None:
    return None if not value or os.path.basename(value) == "Cargo.toml" else "must be the path of a `Cargo.toml`"


def _check_word(value: str) -> str | None:
    plain = value.replace("{backend}", "")
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
    package: str = field(default="", metadata={"check": _check_word})
    bin: str = field(default="", metadata={"check": _check_word})
    backends: tuple[str, ...] = field(default=(), metadata={"check": _check_backends})
    features: tuple[str, ...] = ()
    no_default_features: bool = False
    profile: str = field(default="release", metadata={"check": _check_word})
    target: str = ""
    target_dir: str = ""
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """`[test.NAME]`: a test suite, of cargo or by any other command; `{backend}` stands for the chosen backend."""

    manifest: str = field(default="", metadata={"check": _check_manifest})
    package: str = field(default="", metadata={"check": _check_word})
    backends: tuple[str, ...] = field(default=(), metadata={"check": _check_backends})
    features: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cargo:
    """`[cargo]`: how cargo is called."""

    rustc_wrapper: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """`[git]`: the repository."""

    branch: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """`[remote]`: connections; times in seconds."""

    connect_timeout: int = field(default=10, metadata={"check": _check_timeout})
    default_host: str = ""


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
    read: bool = True
    write: bool = False
    sign_key: str = ""
    trusted_keys: tuple[str, ...] = ()
    local_limit: str = field(default="50GiB", metadata={"check": _check_size})


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


def load_settings(workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the workspace's settings.

    Raises:
        ConfigError: with every mistake of both files.
    """
    from dataclasses import replace

    from llorch.toml import Document

    problems: list[Problem] = []
    merged: dict[str, Any] = {}
    for document in _documents(workspace, environ):
        if document.read(Settings) is not None:
            _merge(merged, document.data)
        problems += document.problems
    if problems:
        raise ConfigError(problems)
    settings = Document("settings", "")
    settings.data = merged
    value = settings.read(Settings)
    assert value is not None, "merging two right documents makes a right one"
    for variable, (table, key) in ENVIRONMENT.items():
        if environ.get(variable):
            value = replace(value, **{table: replace(getattr(value, table), **{key: environ[variable]})})
    return value


def user_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the user's own configuration (XDG base directories)."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", os.path.expanduser("~")), ".config")
    return Path(base) / "llorch"


def _documents(workspace: Workspace, environ: Mapping[str, str]) -> "list[Document]":
    from llorch.toml import load

    named = environ.get("LLORCH_CONFIG_PATH")
    user = Path(os.path.expanduser(named)) if named else user_folder(environ) / "config.toml"
    found = []
    for path, name, required in (
        (user, str(user), bool(named)),
        (workspace.root / "llorch.toml", "llorch.toml", False),
    ):
        try:
            found.append(load(path, name))
        except (FileNotFoundError, NotADirectoryError):
            if required:
                raise ConfigError([Problem("LLORCH_CONFIG_PATH", None, "", f"there is no file `{name}`")]) from None
        except OSError as error:
            raise ConfigError([Problem(name, None, "", f"cannot be read: {error.strerror}")]) from None
    return found


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value
