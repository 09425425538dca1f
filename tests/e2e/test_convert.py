"""Conversions by the real program: from nothing to a model that runs, and whatever can happen on the way."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from llorch.models.gguf import load_gguf
from tests.conftest import BIN, Run, in_terminal, program, sha256, write_dodo
from tests.e2e.test_disk import mounted
from tests.hub import Hub
from tests.models import llama
from tests.models.checkpoints import write_checkpoint
from tests.models.smollm2 import smollm2_as_granite

FOLDER = Path(".test-models/it")
BIG, SMALL = FOLDER / "it-f16.gguf", FOLDER / "it-q4.gguf"


def declare(outtype: str = "f16", type: str | None = "Q4_0") -> None:
    """Write a catalog with the checkpoint in `checkpoint`, to be converted, and quantized unless to no type."""
    pins = [
        f'{{ path = "{path.name}", size = {path.stat().st_size}, sha256 = "{sha256(path.read_bytes())}" }}'
        for path in sorted(Path("checkpoint").iterdir())
    ]
    Path("catalog.toml").write_text(
        f'[models.it]\nsource = "file:checkpoint"\nfiles = [{", ".join(pins)}]\n'
        f'convert = {{ to = "{BIG.name}", outtype = "{outtype}" }}\n'
        + (f'quantize = {{ to = "{SMALL.name}", type = "{type}" }}\n' if type is not None else "")
    )


@pytest.fixture
def checkpoint(workspace: Path, llama_quantize: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace with a checkpoint of 61 MB in two shards, and llama-quantize in PATH."""
    shape: dict[str, Any] = {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
    }
    write_checkpoint(workspace / "checkpoint", "llama", dtype="bf16", shards=2, **shape)
    monkeypatch.setenv("PATH", f"{llama_quantize.parent}:{os.environ['PATH']}")
    declare()
    write_dodo(workspace)


def outcomes(run: Run) -> dict[str, str]:
    """Return how each task of a run ended."""
    return {task["name"].partition(":")[0]: task["outcome"] for task in run.json["tasks"]}


def contents() -> dict[str, str]:
    """Return the digests of all that has a final name."""
    files = (path for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".part")
    return {path.name: sha256(path.read_bytes()) for path in files if path.name != "receipt.json"}


def has_come(path: Path, size: int | None) -> bool:
    """Say whether so many bytes of a file are there, or, if None, all of it under its name."""
    part = path.with_name(f"{path.name}.part")
    with suppress(FileNotFoundError):  # between two looks
        return path.exists() or (size is not None and part.stat().st_size >= size)
    return path.exists()


@pytest.mark.usefixtures("checkpoint")
def test_killed_at_any_moment(workspace: Path) -> None:
    """After SIGKILL in the middle of any file, or behind it, nothing half-made has its name, and the next run goes on.

    The moments are told by what is on disk: of those told by a clock most were before the first file.
    """
    assert program("doit", "models:it").code == 0
    right = contents()
    shards = [FOLDER / "source" / f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    sizes = {path: path.stat().st_size for path in (*shards, BIG, SMALL)}
    receipt = FOLDER / "receipt.json"
    moments = [(path, int(random.random() * size)) for path, size in sizes.items()]
    killed = 0
    for path, size in (*moments, (BIG, None), (SMALL, None), (receipt, None)):
        for folder in (FOLDER, Path(".llorch")):
            shutil.rmtree(folder)
        with subprocess.Popen([BIN / "doit", "models:it"], stderr=subprocess.DEVNULL) as process:
            while not has_come(path, size) and process.poll() is None:
                os.sched_yield()
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
        left = contents()
        assert left.items() <= right.items(), f"killed after {size} of {path}"
        run = program("llorch", "models", "download", "it", "--json")
        assert run.code == 0, f"killed after {size} of {path}: {run.out}{run.err}"
        assert contents() == right, f"killed after {size} of {path}"
        assert not [*FOLDER.rglob("*.part")]
        made = {file["path"]: file["sha256"] for file in json.loads(receipt.read_text())["made"]}
        assert made == {path.name: right[path.name] for path in (BIG, SMALL)}
    assert killed > 1


@pytest.mark.usefixtures("checkpoint")
def test_two_at_once_make_it_once(workspace: Path) -> None:
    """Of two runs one makes each file, and the other finds it made."""
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: program("llorch", "models", "convert", "it", "--json"), range(2)))
    assert [run.code for run in runs] == [0, 0], runs
    for task in ("fetch", "convert", "quantize", "verify"):
        assert sorted(outcomes(run)[task] for run in runs) == ["done", "up-to-date"], task


@pytest.mark.usefixtures("checkpoint")
def test_interrupted_by_the_user(workspace: Path) -> None:
    """Ctrl-C in the middle of a conversion ends it at once with 130, and leaves no half file and no traceback."""
    declare("q8_0", None)  # takes longest
    command = [str(BIN / "llorch"), "models", "convert", "it"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(re.match(r"convert:it +\d+ tensors, Q8_0", line) for line in process.stderr)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert (process.wait(60), rest.splitlines()[-1], "Traceback" in rest) == (130, "interrupted", False)
    assert not [*FOLDER.glob("*.gguf*")]


@pytest.mark.usefixtures("checkpoint")
@pytest.mark.parametrize(("size", "name"), [(80, BIG.name), (130, SMALL.name)])
def test_a_full_disk(workspace: Path, size: int, name: str) -> None:
    """Where what is to be made does not fit, that is said before it is begun, with numbers; what fits is kept."""
    run = mounted(
        f"mkdir -p {FOLDER} && mount -t tmpfs -o size={size}m tmpfs .test-models", "llorch", "models", "convert", "it"
    )
    assert run.code == 1
    assert re.search(r"needs [\d,]+ bytes, and `.*` has [\d,]+ left", run.err)
    assert name not in run.out
    assert ".part" not in run.out
    assert "source/config.json" in run.out


@pytest.mark.usefixtures("checkpoint")
def test_a_source_that_changes_makes_it_again(workspace: Path) -> None:
    """Another file in the checkpoint, or another type, and the GGUF is made anew; back again, and so is it."""
    assert program("doit", "models:it").code == 0
    first = contents()
    write_checkpoint(workspace / "checkpoint", "llama", dtype="bf16", seed=7)
    for shard in workspace.glob("checkpoint/model-*"):
        shard.unlink()
    (workspace / "checkpoint/model.safetensors.index.json").unlink()
    declare()
    assert outcomes(program("llorch", "models", "download", "it", "--json"))["convert"] == "done"
    second = contents()
    assert second[BIG.name] != first[BIG.name]
    declare("q8_0", None)
    assert outcomes(program("llorch", "models", "download", "it", "--json"))["convert"] == "done"
    assert load_gguf(BIG, "it").quantization.name == "Q8_0"
    declare()
    assert program("llorch", "models", "download", "it").code == 0
    assert {name: contents()[name] for name in (BIG.name, SMALL.name)} == {
        name: second[name] for name in (BIG.name, SMALL.name)
    }


def test_from_the_hubs_layout_to_an_answer(
    workspace: Path, smollm2: Path, llama_quantize: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real model, laid out as a Granite 4, is converted, quantized to Q4_K_M and still knows what it knew."""
    smollm2_as_granite(workspace / "checkpoint", smollm2)
    monkeypatch.setenv("PATH", f"{llama_quantize.parent}:{os.environ['PATH']}")
    declare(type="Q4_K_M")
    run = program("llorch", "models", "download", "it")
    assert run.code == 0, run.err
    assert "Paris" in llama.greedy(BIG, "The capital of France is", 8)
    run = program("llorch", "models", "check", "it", "--json")
    assert (run.code, run.json["ok"]) == (0, True), run.out
    assert "Paris" in run.json["text"]
    assert run.json["path"] == str(SMALL)


@pytest.mark.usefixtures("checkpoint")
@pytest.mark.parametrize("columns", [80, 120])
def test_progress_on_a_terminal(workspace: Path, columns: int) -> None:
    """A conversion has a bar with bytes, rate and time left, and no line is longer than the terminal is wide."""
    run = in_terminal(str(BIN / "llorch"), "models", "convert", "it", columns=columns)
    assert run.code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run.out)
    assert re.search(r"convert:it +.*\d+\.\d/\d+\.\d MB", plain)
    assert max(len(line) for part in plain.split("\r") for line in part.split("\n")) <= columns


def test_from_a_page_of_the_hub_to_a_quantized_model(
    workspace: Path, llama_quantize: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One command declares it, pinned, one makes it of one download, and then there is nothing to do."""
    monkeypatch.setenv("PATH", f"{llama_quantize.parent}:{os.environ['PATH']}")
    shape: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4}
    write_checkpoint(workspace / "checkpoint", "qwen2", dtype="bf16", shards=3, **shape)
    files = {path.name: path.read_bytes() for path in Path("checkpoint").iterdir()}
    shards = [name for name in files if name.endswith(".safetensors")]
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add("org/Qwen-4M", {**files, "README.md": b"# Qwen"}, lfs=shards)
        added = program("llorch", "models", "add", f"{hub.endpoint}/org/Qwen-4M", "--quantize", "Q4_K_M", "--json")
        assert (added.code, added.json["entry"]["id"]) == (0, "qwen-4m-q4_k_m")
        assert {file["path"]: file["sha256"] for file in added.json["entry"]["files"]} == {
            name: sha256(data) for name, data in files.items()
        }
        done = program("llorch", "models", "download", "qwen-4m-q4_k_m", "--json")
        assert (done.code, outcomes(done)) == (0, dict.fromkeys(("fetch", "convert", "quantize", "verify"), "done"))
        assert {name: hub.bytes_sent(name) for name in shards} == {name: len(files[name]) for name in shards}
    folder = Path(".test-models/qwen-4m-q4_k_m")
    kinds = {path.name: load_gguf(path, path.name).quantization.name for path in folder.glob("*.gguf")}
    assert kinds == {"Qwen-4M.gguf": "BF16", "Qwen-4M-Q4_K_M.gguf": "Q4_K_M"}
    assert program("llorch", "models", "verify", "qwen-4m-q4_k_m").code == 0
    again = program("llorch", "models", "download", "qwen-4m-q4_k_m", "--json")
    assert (again.code, {*outcomes(again).values()}) == (0, {"up-to-date"})
