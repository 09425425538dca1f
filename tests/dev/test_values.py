"""Every value of the configuration, without secrets, and where it is from."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from llorch.build.plan import every_build
from llorch.config import Settings, Workspace, read_settings
from llorch.dev.values import OF_THE_SCRIPTS, VARIABLES, Value, find_ignored, list_settings, list_variables
from llorch.test.plan import every_suite
from tests.conftest import ROOT

FILE = """\
[paths]
models = "elsewhere"
catalog_url = "https://me:pw@example.org/c.toml?sig=abc"

[build.app]
manifest = "app/Cargo.toml"
backends = [
  "cpu",
]

[cache]
url = "s3://bucket"
sign_key = "{key}"
trusted_keys = ["abc"]
"""


def values(root: Path, key: str = "env:LLORCH_SIGN_KEY", **environ: str) -> dict[str, tuple[object, str]]:
    """Return each value and its origin."""
    (root / "llorch.toml").write_text(FILE.format(key=key))
    here = Workspace(root=root, declared=True)
    loaded = read_settings(here, {"HOME": "/none", **environ})
    found = list_settings(loaded, every_build(loaded.settings, here), every_suite(loaded.settings, here))
    assert len({value.key for value in found}) == len(found)
    return {value.key: (value.value, value.origin) for value in found}


def test_every_value_has_its_origin(workspace: Path) -> None:
    """Of each table every key is there; tables of the workspace, variables and defaults are told apart."""
    found = values(workspace, LLORCH_CACHE_URL="file:/srv")
    assert found["paths.models"] == ("elsewhere", "llorch.toml:2")
    assert found["paths.catalog"] == ("catalog.toml", "default")
    assert found["build.app.backends"] == (["cpu"], "llorch.toml:7")
    assert found["build.app.profile"] == ("release", "default")
    assert found["cache.url"] == ("file:/srv", "environment LLORCH_CACHE_URL")
    assert found["remote.connect_timeout"] == (10, "default")
    assert {key.split(".")[0] for key in found} == {field.name for field in fields(Settings)} - {"test"}


def test_tables_that_hold_by_default_are_shown(workspace: Path) -> None:
    """In a cargo workspace there are the binaries and test suites of llama-orch."""
    (workspace / "Cargo.toml").touch()
    found = values(workspace)
    assert found["build.worker.backends"] == (["cpu", "cuda", "metal"], "default")
    assert found["test.unit.args"] == (["--lib"], "default")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("env:LLORCH_SIGN_KEY", "env:LLORCH_SIGN_KEY"),
        ("file:~/key", "file:~/key"),
        ("", ""),
        ("c2VjcmV0", "***"),
    ],
)
def test_secrets_are_not_shown(workspace: Path, key: str, shown: str) -> None:
    """Where a key is may be told, but not what it is; public ones and the rest of an address stay."""
    found = values(workspace, key)
    assert found["cache.sign_key"] == (shown, "llorch.toml:13")
    assert found["cache.trusted_keys"] == (["abc"], "llorch.toml:14")
    assert found["paths.catalog_url"] == ("https://example.org/c.toml?***", "llorch.toml:3")


def test_variables_are_those_that_change_something() -> None:
    """They come in order, without what they keep secret."""
    environ = {"PATH": "/bin", "LLORCH_JOBS": "2", "HF_TOKEN": "hf_x", "CI": "1", "HF_ENDPOINT": "https://u:p@hub"}
    assert list_variables(environ) == [
        Value("CI", "1", "environment"),
        Value("HF_ENDPOINT", "https://hub", "environment"),
        Value("HF_TOKEN", "***", "environment"),
        Value("LLORCH_JOBS", "2", "environment"),
    ]


def test_variables_that_nobody_reads_are_found() -> None:
    """A misspelt one and one of the scripts; not what a file names, nor what resembles none and may be a program's."""
    environ = dict.fromkeys(
        [*VARIABLES, "LLORCH_MODLE_BASE_DIR", "LLORCH_REMOTE_PATH", "LLORCH_COLOUR_OF_OURS", "HOME"], "x"
    )
    assert list(find_ignored(environ)) == [
        ("LLORCH_MODLE_BASE_DIR", "did you mean `LLORCH_MODEL_BASE_DIR`?"),
        ("LLORCH_REMOTE_PATH", "`repo_path` of a host in hosts.toml says where its repository is"),
    ]
    assert list(find_ignored({"LLORCH_SIGN_KEYS": "x"}, {"LLORCH_SIGN_KEYS"})) == []
    assert list(find_ignored({"LLORCH_PORT": "1", "LLORCH_LOG": "x", "LLORCH_MODEL_PATH": "m"})) == []
    assert list(find_ignored({"LLORCH_CACHE": "x"})) == [
        ("LLORCH_CACHE", "did you mean `LLORCH_NO_CACHE` or `LLORCH_CACHE_URL`?")
    ]


def test_every_variable_is_known() -> None:
    """Those of the reference, and of the scripts those that the guide tells."""
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs/configuration.md").read_text(), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"LLORCH_[A-Z_]+", row)} == VARIABLES
    rows = re.findall(r"^\| `(LLORCH_\w+)` \|", (ROOT / "docs/migration.md").read_text(), re.MULTILINE)
    assert set(rows) == {*OF_THE_SCRIPTS, "LLORCH_TEST_MODEL_PATH"}
