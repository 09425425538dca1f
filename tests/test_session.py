"""The session: one for a process, of the workspace of the current folder."""

from pathlib import Path

import pytest

from llorch.errors import ConfigError
from llorch.session import Done, session


def test_one_session_for_all(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task of a process shares the workspace's settings and state, whichever folder below it is current."""
    (workspace / "llorch.toml").write_text('version = 1\n[paths]\nmodels = "elsewhere"\n')
    (workspace / "sub").mkdir()
    monkeypatch.chdir(workspace / "sub")
    run = session()
    assert run is session()
    assert (run.workspace.root, run.settings.paths.models) == (workspace, "elsewhere")
    assert run.state.file == workspace / ".llorch" / "state.db"
    assert not run.cancelled.is_set()
    assert not (workspace / ".llorch").exists()


def test_no_session_on_a_wrong_configuration(workspace: Path) -> None:
    """The mistake is told each time it is asked for, and gone once it is corrected."""
    file = workspace / "llorch.toml"
    file.write_text("version = 1\n[path]\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"llorch.toml:2: path"):
            session()
    file.write_text("version = 1\n")
    assert session().workspace.root == workspace


def test_what_an_action_did_is_making_unless_it_says_otherwise() -> None:
    """An action that says nothing has made something."""
    assert Done() == Done(detail="", made=True)
