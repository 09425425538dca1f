"""`llorch models check` as a program, with a real model and real llama.cpp."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import BIN, program, write_catalog
from tests.e2e.test_json import mismatch
from tests.models.gguf_files import loadable_gguf

SHAPE = {
    "schema": int,
    "ok": bool,
    "model": str,
    "path": str,
    "text": str,
    "tokens": int,
    "seconds": float,
    "detail": str,
}


@pytest.fixture
def models(smollm2: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that has the real model."""
    monkeypatch.setenv("LLORCH_MODEL_BASE_DIR", str(smollm2.parents[1]))
    return workspace


def test_a_real_model_works(models: Path) -> None:
    """It loads and generates, and the document has its shape."""
    run = program("llorch", "models", "check", "smollm2", "--json")
    assert mismatch(run.json, SHAPE) is None
    assert (run.code, run.json["ok"], run.err) == (0, True, "")
    assert run.json["text"].startswith(" Paris.")


def test_damage_that_is_none_to_the_structure(smollm2: Path, workspace: Path) -> None:
    """A real model cut off, and one whose weights are no numbers, are not ok; nothing is left behind."""
    data = smollm2.read_bytes()
    damaged = {"cut": data[:-1_000_000], "nan": data[:-64] + b"\xff" * 64}
    write_catalog(workspace, {id: {"a.gguf": data} for id, data in damaged.items()})
    assert program("llorch", "models", "download", "--all").code == 0
    (workspace / "tmp").mkdir()
    for id, why in (("cut", "is not within the file bounds"), ("nan", "has invalid data")):
        run = program("llorch", "models", "check", id, "--json", env={"TMPDIR": str(workspace / "tmp")})
        assert mismatch(run.json, SHAPE) is None
        assert (run.code, run.json["ok"]) == (1, False)
        assert why in run.json["detail"]
    assert os.listdir("tmp") == []


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, ["", "interrupted"]), (signal.SIGTERM, 143, [])],
    ids=["INT", "TERM"],
)
def test_an_end_is_one_for_llama_cpp_too(models: Path, number: signal.Signals, code: int, said: list[str]) -> None:
    """Ctrl-C, or being told to end, ends both processes, and leaves nothing behind."""
    (models / "tmp").mkdir()
    (models / "hooks").mkdir()
    os.mkfifo("alive")
    opened = f"os.open({str(models / 'alive')!r}, os.O_WRONLY)"
    hook = f"import os, sys\nif 'llorch.models.llama' in sys.orig_argv:\n    {opened}\n"
    (models / "hooks" / "sitecustomize.py").write_text(hook)
    env = {**os.environ, "TMPDIR": str(models / "tmp"), "PYTHONPATH": str(models / "hooks")}
    command = [str(BIN / "llorch"), "models", "check", "smollm2", "--tokens", "1000"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    with open("alive", "rb") as alive:  # there is a child
        process.send_signal(number)
        assert alive.read() == b""  # there is none any more
    _, err = process.communicate()
    assert (process.returncode, err.splitlines()[2:]) == (code, said)  # where it works, and what it does, come before
    assert os.listdir("tmp") == []


def test_without_the_extra(workspace: Path) -> None:
    """Where xllamacpp is not installed, the command says how to get it."""
    write_catalog(workspace, {"tiny": {"a.gguf": loadable_gguf().render()}})
    assert program("llorch", "models", "download", "tiny").code == 0
    (workspace / "hooks").mkdir()
    (workspace / "hooks" / "sitecustomize.py").write_text("import sys\nsys.modules['xllamacpp'] = None\n")
    run = program("llorch", "models", "check", "tiny", env={"PYTHONPATH": str(workspace / "hooks")})
    assert run.code == 4
    assert run.err.endswith("\n\nhint: `pip install 'llorch[check]'` installs it, into llorch's own environment\n")
