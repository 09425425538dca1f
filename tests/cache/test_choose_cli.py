"""Which tasks the commands of the cache are about."""

from pathlib import Path

import pytest

from llorch.cache.choose_cli import choose
from llorch.errors import UnknownName, Unshared
from tests.conftest import write_catalog


@pytest.fixture
def _models(workspace: Path) -> None:
    entry = '\nconvert = { to = "m.gguf" }\n'
    write_catalog(workspace, {"plain": {"a.gguf": b"a"}, "made": {"b": b"b"}})
    catalog = workspace / "catalog.toml"
    catalog.write_text(catalog.read_text().rstrip() + entry)


@pytest.mark.usefixtures("_models")
@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ((), ["fetch:plain", "fetch:made", "convert:made"]),
        (("models:made",), ["fetch:made", "convert:made"]),
        (("convert:made",), ["fetch:made", "convert:made"]),
        (("fetch:plain", "models:plain"), ["fetch:plain"]),
    ],
)
def test_tasks_and_what_they_need(names: tuple[str, ...], chosen: list[str]) -> None:
    """Groups stand for their members; what is needed comes first; what only this machine can use is left out."""
    assert list(choose(names)) == chosen


@pytest.mark.usefixtures("_models")
def test_tasks_that_are_not_meant() -> None:
    """Unknown ones, and those that make nothing to share."""
    with pytest.raises(UnknownName):
        choose(["fetch:plian"])
    for name in ("git:status", "tool:llama-quantize"):
        with pytest.raises(Unshared, match=f"`{name}` makes nothing that others could make"):
            choose([name])
