"""Runs that share a model folder and not a state, and a state that goes while they run."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.conftest import BIN, program, sha256, write_catalog
from tests.e2e.test_models import MODELS, finals, outcomes


def test_two_workspaces_share_a_model_folder(tmp_path: Path) -> None:
    """Both end well, every file is fetched by one of them, and what is there is right."""
    env = {**os.environ, "LLORCH_MODEL_BASE_DIR": str(tmp_path / "shared")}
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
        write_catalog(root, MODELS)
    command = [str(BIN / "llorch"), "models", "download", "--all"]
    runs = [subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True) for root in roots]
    ended = [(run.communicate(timeout=60)[1], run.returncode) for run in runs]
    assert [code for _, code in ended] == [0, 0], "\n".join(said for said, _ in ended)
    for id, files in MODELS.items():
        for path, data in files.items():
            assert sha256((tmp_path / "shared" / id / path).read_bytes()) == sha256(data)


def test_the_state_may_go_at_any_time(workspace: Path) -> None:
    """A run whose `.llorch/` is deleted again and again ends well, and the next has nothing to do."""
    write_catalog(workspace, MODELS)
    command = [str(BIN / "llorch"), "models", "download", "--all"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while run.poll() is None:
        if (workspace / ".llorch" / "locks").exists():
            shutil.rmtree(workspace / ".llorch", ignore_errors=True)
            try:
                run.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
    assert run.stderr is not None
    with run.stderr:
        assert run.returncode == 0, run.stderr.read()
    before = finals(workspace)
    again = program("llorch", "models", "download", "--all", "--json")
    assert set(outcomes(again).values()) == {"up-to-date"}
    assert finals(workspace) == before
