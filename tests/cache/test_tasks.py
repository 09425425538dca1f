"""The tasks `cache:*`, for plain doit."""

from pathlib import Path

from llorch.cache.tasks import COMMANDS
from llorch.table import CACHE
from tests.conftest import program, write_catalog, write_dodo


def test_they_run_the_commands(workspace: Path) -> None:
    """Each is one of the commands, and its exit code is the command's."""
    assert set(COMMANDS) <= set(CACHE)
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    write_dodo(workspace)
    done = program("doit", "cache:key")
    assert (done.code, len(done.out.strip())) == (0, 64)
    assert "cache:push" in program("doit", "list", "--all").out
    assert "cache" not in {line.split()[0] for line in program("doit", "list").out.splitlines()}
