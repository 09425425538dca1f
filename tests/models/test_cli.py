"""`llorch models …`, in this process."""

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Run, write_catalog


def test_download_makes_it_once(workspace: Path, llorch: Callable[..., Run]) -> None:
    """A second download finds nothing to do."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    first = llorch("models", "download", "tiny", "--json")
    assert (first.code, [task["outcome"] for task in first.json["tasks"]]) == (0, ["done", "done"])
    second = llorch("models", "download", "tiny", "--json")
    assert [task["outcome"] for task in second.json["tasks"]] == ["up-to-date", "up-to-date"]
