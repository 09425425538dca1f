"""The stores of a run: which there are, for what, and with whose keys."""

from pathlib import Path
from typing import Any

import pytest

from llorch.cache.local import store_folder
from llorch.cache.shelf import Own, Signed
from llorch.cache.stores import Stores
from llorch.config import Cache, Settings, Workspace
from llorch.state import State
from tests.cache.conftest import Shared


def stores(root: Path, warned: list[str], **settings: Any) -> Stores:
    """Return the stores of a workspace with these settings."""
    state = State(root / ".llorch/state.db", root)
    return Stores(Workspace(root, declared=True), Settings(cache=Cache(**settings)), state, warned.append)


def test_without_settings_there_is_the_own_one(workspace: Path) -> None:
    """It is for reading and writing, made when it is needed, and large enough for a while."""
    found = stores(workspace, [])
    assert not store_folder().exists()
    assert (found.local.ways, found.remote.ways, found.limit) == ({"read", "write"}, set(), 50 << 30)
    opened = found.local.open("read")
    assert opened is not None
    assert isinstance(opened[1], Own)
    assert store_folder().is_dir()
    assert found.remote.open("read") is None


@pytest.mark.parametrize(
    ("settings", "local", "remote"),
    [
        ({"local_limit": "0"}, set(), set()),
        ({"url": "file:/srv"}, {"read", "write"}, {"read"}),
        ({"url": "file:/srv", "write": True}, {"read", "write"}, {"read", "write"}),
        ({"url": "file:/srv", "read": False, "write": True}, {"read", "write"}, {"write"}),
        ({"write": True}, {"read", "write"}, set()),
    ],
)
def test_what_each_may_be_used_for(
    workspace: Path, settings: dict[str, Any], local: set[str], remote: set[str]
) -> None:
    """A limit of nothing turns the own one off; the shared one is used as it says."""
    found = stores(workspace, [], **settings)
    assert (found.local.ways, found.remote.ways) == (local, remote)


def test_a_shared_folder_needs_keys(workspace: Path, shared: Shared) -> None:
    """A folder that others may write to has signed records; one that is the user's alone has not."""
    opened = stores(workspace, [], **shared.settings).remote.open("write")
    assert opened is not None
    assert isinstance(opened[1], Signed)
    assert (opened[1].can_sign, opened[1].trusts) == (True, True)
    opened = stores(workspace, [], **shared.reading).remote.open("read")
    assert opened is not None
    assert isinstance(opened[1], Signed)
    assert (opened[1].can_sign, opened[1].trusts) == (False, True)
    shared.folder.chmod(0o700)
    opened = stores(workspace, [], **shared.reading).remote.open("read")
    assert opened is not None
    assert isinstance(opened[1], Own)


def test_a_machine_without_the_secret_only_reads(
    workspace: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same configuration publishes where the variable of its key is set, and elsewhere says nothing of it."""
    warned: list[str] = []
    settings = {**shared.settings, "sign_key": "env:LAB_KEY"}
    found = stores(workspace, warned, **settings)
    assert found.remote.open("read") is not None
    assert found.remote.ways == {"read"}
    assert found.remote.error is not None
    assert "`LAB_KEY`, the `sign_key`, is not set" in found.remote.error.message
    monkeypatch.setenv("LAB_KEY", shared.key.read_text())
    assert stores(workspace, warned, **settings).remote.open("write") is not None
    assert warned == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trusted_keys": ["nonsense"]}, "trusted_keys"),
        ({"sign_key": "file:/no/such"}, "sign_key"),
        ({"url": "file:/no/such"}, "file:/no/such"),
        ({"url": "gopher:x"}, "no kind of store"),
    ],
)
def test_what_is_wrong_is_told_once(workspace: Path, shared: Shared, settings: dict[str, Any], said: str) -> None:
    """A store that cannot be used as it is configured is a warning, not an error."""
    warned: list[str] = []
    found = stores(workspace, warned, **{**shared.settings, **settings})
    for _ in range(2):
        assert found.remote.open("read") is None
    (warning,) = warned
    assert said in warning
    assert "this run goes on without" in warning


def test_an_own_store_that_cannot_be_made(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache folder is none the run goes on without."""
    (workspace / "file").touch()
    monkeypatch.setenv("LLORCH_CACHE_DIR", str(workspace / "file/store"))
    warned: list[str] = []
    assert stores(workspace, warned).local.open("read") is None
    assert "cannot be made: " in warned[0]


def test_what_is_told_is_told_once(workspace: Path) -> None:
    """However many tasks have the same to say."""
    warned: list[str] = []
    found = stores(workspace, warned)
    for text in ("a", "b", "a"):
        found.warn(text)
    assert warned == ["a", "b"]
