"""What can be told of `[cache]` without reaching a store: URLs that lead to none, keys that are none."""

import os
from collections.abc import Iterator, Mapping

from llorch.cache.signing import Trusted, load_signer
from llorch.cache.store import URL, open_store
from llorch.config import Cache, Mistake, Workspace
from llorch.errors import ConfigError, LlorchError, Offline, ToolMissing


def check_cache(cache: Cache, workspace: Workspace, environ: Mapping[str, str] = os.environ) -> Iterator[Mistake]:
    """Yield what is wrong with the settings of the shared store. What only this machine lacks is a warning."""
    if cache.url:
        yield from _url(cache.url, workspace)
    for index, line in enumerate(cache.trusted_keys):
        try:
            Trusted([line])
        except ConfigError as error:
            yield Mistake(("cache", "trusted_keys", index), error.problems[0].message, error.hint)
    yield from _sign_key(cache.sign_key, environ)


def _url(url: str, workspace: Workspace) -> Iterator[Mistake]:
    try:
        open_store(url, workspace)
    except (Offline, ToolMissing):  # the one is asked for, the other `llorch dev doctor` tells
        return
    except ConfigError as error:
        for problem in error.problems:
            if problem.file == URL:
                yield Mistake(("cache", "url"), problem.message.removeprefix("it "), None, problem.severity)
            elif not url.lower().startswith("sftp:"):  # that store reads hosts.toml, which is told of itself
                yield Mistake(("cache", "url"), f"cannot be used: {problem}", error.hint, "warn")
    except LlorchError as error:
        yield Mistake(("cache", "url"), error.message, error.hint, "warn")


def _sign_key(sign_key: str, environ: Mapping[str, str]) -> Iterator[Mistake]:
    kind, _, name = sign_key.partition(":")
    if kind == "env" and name and not environ.get(name):
        return  # this machine publishes nothing
    try:
        load_signer(sign_key, environ)
    except ConfigError as error:
        here = kind in ("env", "file") and name
        for problem in error.problems:
            yield Mistake(("cache", "sign_key"), problem.message, error.hint, "warn" if here else "error")
