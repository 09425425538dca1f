"""Mistakes in `[cache]`, found without reaching any store."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from llorch.cache.check import check_cache
from llorch.config import Cache, Workspace

KIND = "must be `env:NAME` or `file:PATH`, the path absolute or with `~`"
KNOWN = "`file:`, `s3:`, `gs:`, `az:`, `https:`, `http:`, `sftp:`"


def found(root: Path, cache: Cache, environ: Mapping[str, str] | None = None) -> list[tuple[str, str, str]]:
    """Return the key, the message and the severity of each mistake."""
    mistakes = check_cache(cache, Workspace(root, declared=True), environ or {})
    return [(".".join(map(str, each.key[1:])), each.message, each.severity) for each in mistakes]


@pytest.mark.parametrize(
    ("url", "message", "severity"),
    [
        ("nonsense", f"begins with no kind of store; known are {KNOWN}", "error"),
        ("ftp://host/x", f"`ftp:` is no kind of store; known are {KNOWN}", "error"),
        ("file://host/x", "`file:` takes a path, as `file:/srv/llorch` or `file:///srv/llorch`", "error"),
        ("file:nowhere", "the store `file:{root}/nowhere` cannot be used: No such file or directory", "warn"),
    ],
)
def test_urls_that_lead_nowhere(tmp_path: Path, url: str, message: str, severity: str) -> None:
    """No kind of store is a mistake; a folder that is not there may be a disk that is not mounted."""
    assert found(tmp_path, Cache(url=url)) == [("url", message.format(root=tmp_path), severity)]


def test_what_only_this_machine_lacks_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of a cloud, and a netrc file that can be read; its contents are not shown."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    ((key, message, severity),) = found(tmp_path, Cache(url="az://container/x"))
    assert (key, "Account must be specified" in message, severity) == ("url", True, "warn")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine host login me\nsecret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    ((key, message, severity),) = found(tmp_path, Cache(url="https://host/x"))
    assert re.fullmatch(rf"cannot be used: {re.escape(str(netrc))}:\d: is not a netrc file that can be read", message)
    assert (key, severity) == ("url", "warn")
    ((_, _, severity),) = found(tmp_path, Cache(url="az:/container"))
    assert severity == "error"


def test_what_is_right_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store, a folder that is there, a key that only the publishing machine has, and one that is switched off."""
    for cache in (Cache(), Cache(url=f"file:{tmp_path}"), Cache(sign_key="env:LLORCH_SIGN_KEY")):
        assert found(tmp_path, cache) == []
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    assert found(tmp_path, Cache(url="https://store.invalid/llorch")) == []


def test_a_mistake_of_hosts_toml_is_not_the_stores(tmp_path: Path) -> None:
    """It is told of hosts.toml; the URL is right."""
    (tmp_path / "hosts.toml").write_text("[hosts.nas]\nport = 0\n")
    assert found(tmp_path, Cache(url="sftp://nas/store")) == []


@pytest.mark.parametrize(
    ("sign_key", "environ", "message", "severity"),
    [
        ("secret", {}, KIND, "error"),
        ("env:", {}, KIND, "error"),
        ("env:KEY", {"KEY": "x"}, "the variable `KEY` has no private key of OpenSSH's kind", "warn"),
        ("file:/no/such", {}, "`/no/such` cannot be read: No such file or directory", "warn"),
    ],
)
def test_sign_keys_that_are_none(
    tmp_path: Path, sign_key: str, environ: Mapping[str, str], message: str, severity: str
) -> None:
    """One that is written wrongly is a mistake; what is wrong on this machine is a warning."""
    assert found(tmp_path, Cache(sign_key=sign_key), environ) == [("sign_key", message, severity)]


def test_trusted_keys_that_are_none_have_their_places(tmp_path: Path) -> None:
    """Each is told with its number."""
    cache = Cache(trusted_keys=("nonsense", "ssh-ed25519 AAAA damaged"))
    assert found(tmp_path, cache) == [
        ("trusted_keys.0", "begins with no `ssh-ed25519`", "error"),
        ("trusted_keys.1", "is damaged", "error"),
    ]
