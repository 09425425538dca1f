"""Every value of the configuration, and where it is from."""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

from llorch.config import Build, Loaded, Origin, Test
from llorch.secrets import HIDDEN, Hider
from llorch.typed import Key, render_key

SHOWN = ("LLORCH_", "HF_", "DOIT_")
"""How variables begin that change what llorch does."""
_SECRETS = ("TOKEN", "KEY", "SECRET", "PASSWORD")
"""How variables and keys end whose values are hidden, however short."""
PREFIX = "LLORCH_"
VARIABLES = frozenset(
    PREFIX + name
    for name in (
        "CACHE_DIR", "CACHE_URL", "CATALOG", "CONFIG_PATH", "DRY_RUN", "FORWARDED", "JOBS", "LOG_LEVEL",
        "MODEL_BASE_DIR", "NO_CACHE", "NO_COLOR", "NO_WAIT", "OFFLINE", "REMOTE_HOST", "REPO_ROOT", "SIGN_KEY",
        "SSH_CONFIG", "TEST_MODEL_PATH", "XET",
    )
)  # fmt: skip
"""Those of llorch's own that mean something."""
_SET_HERE = {"LLORCH_FORWARDED", "LLORCH_TEST_MODEL_PATH"}
"""Those that llorch itself sets, for what it runs."""
_LIKENESS = 0.84
"""Of a variable and a misspelt one, by difflib; a program of the user's may have one that begins so, too."""
OF_THE_SCRIPTS: Mapping[str, str] = {
    "LLORCH_REMOTE_PATH": "`repo_path` of a host in hosts.toml says where its repository is",
    "LLORCH_REPO_URL": "`llorch remote sync HOST` brings the commits from here",
}
"""Those that the scripts had, and what there is instead."""
ALSO = ("CI", "NO_COLOR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")


class Value(NamedTuple):
    """A value without secrets: text, number, truth or a list of texts; `origin` in words."""

    key: str
    value: Any
    origin: str


def list_settings(loaded: Loaded, builds: Mapping[str, Build], suites: Mapping[str, Test]) -> list[Value]:
    """Return all that llorch.toml can say.

    Args:
        builds: the tables that hold, declared or not.
        suites: likewise.
    """
    settings = replace(loaded.settings, build=builds, test=suites)
    return [
        Value(render_key(key), _harmless(key, value, loaded.environ), describe(loaded.origin(key)))
        for key, value in _leaves(settings, ())
    ]


def list_variables(environ: Mapping[str, str] = os.environ) -> list[Value]:
    """Return the variables that are set and change what llorch does."""
    names = sorted(name for name in environ if name.startswith(SHOWN) or name in ALSO)
    return [Value(name, _harmless((name,), environ[name], environ), "environment") for name in names]


def find_ignored(environ: Mapping[str, str], known: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield the variables that nobody reads and somebody means for llorch, each with what there is instead.

    Args:
        known: variables that the files name.
    """
    from difflib import get_close_matches

    wanted = sorted(VARIABLES - _SET_HERE)
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        if variable in VARIABLES or variable in known:
            continue
        if variable in OF_THE_SCRIPTS:
            yield variable, OF_THE_SCRIPTS[variable]
        elif near := get_close_matches(variable, wanted, 2, _LIKENESS):
            yield variable, f"did you mean {' or '.join(f'`{name}`' for name in near)}?"


def describe(origin: Origin) -> str:
    """Return an origin in words.

    >>> describe(Origin("file", "llorch.toml", 3)), describe(Origin("environment", "LLORCH_CATALOG"))
    ('llorch.toml:3', 'environment LLORCH_CATALOG')
    """
    if origin.kind == "file":
        return origin.name if origin.line is None else f"{origin.name}:{origin.line}"
    return f"{origin.kind} {origin.name}".strip()


def harmless(text: str, environ: Mapping[str, str]) -> str:
    """Return a text without secrets, and without what an address asks for or leads to, which may sign it.

    >>> harmless("https://me:pw@example.org/x?sig=1#a", {})
    'https://example.org/x?***'
    """
    import re

    return re.sub(r"(://[^\s?#'\"`]*[?#])[^\s'\"`]+", rf"\1{HIDDEN}", Hider(environ).hide(text))


def _leaves(value: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _leaves(getattr(value, field.name), (*key, field.name))
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, (*key, name))
    else:
        yield key, list(value) if isinstance(value, tuple) else value


def _harmless(key: Key, value: Any, environ: Mapping[str, str]) -> Any:
    """Return a value that may be shown. Where a key is, as `env:NAME`, is no secret."""
    if isinstance(value, list):
        return [_harmless(key, each, environ) for each in value]
    if not isinstance(value, str):
        return value
    secret = str(key[-1]).upper().endswith(_SECRETS)
    return HIDDEN if secret and value and not value.startswith(("env:", "file:")) else harmless(value, environ)
