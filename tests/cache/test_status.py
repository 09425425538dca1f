"""What stores have of a task."""

from pathlib import Path

import pytest

from llorch.cache.keys import blob_key
from llorch.cache.status import Held, look
from llorch.cache.stores import Stores
from llorch.config import Cache, Settings, Workspace
from llorch.errors import Unshared
from llorch.share import Maker, Share
from llorch.state import Recipe, State, Target
from tests.conftest import sha256


@pytest.fixture
def stores(workspace: Path, state: State) -> Stores:
    """The own store, and none besides."""
    return Stores(Workspace(workspace, declared=True), Settings(cache=Cache()), state, print)


@pytest.mark.parametrize(("names", "has"), [("", "missing"), ("a", "partly"), ("ab", "there")])
def test_promised_files(stores: Stores, names: str, has: str) -> None:
    """All, some or none of them."""
    opened = stores.local.open("write")
    assert opened is not None
    for name in names:
        opened[0].create(blob_key(sha256(name.encode())), b"x")
    recipe = Recipe("fetch:m", tuple(Target(name, None, sha256(name.encode())) for name in "ab"))
    assert look(stores, Share(recipe)) == Held(has, "unknown")  # type: ignore[arg-type]


def test_what_nobody_knows(stores: Stores) -> None:
    """Where it cannot be told what would be made, the reason is."""

    class Odd(Share):
        def here(self) -> Maker:
            raise Unshared("odd")

    recipe = Recipe("build:app", (Target("app"),), learns=True)
    assert look(stores, Odd(recipe)) == Held("unknown", "unknown", "odd")
    assert look(stores, Share(recipe)) == Held("missing", "unknown")
