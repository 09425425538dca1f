"""Quantizing, by the real llama-quantize and by programs that do it wrong."""

import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter

from llorch.config import Workspace
from llorch.errors import Busy, CommandFailed, DiskFull, LlorchError, Malformed, ToolMissing
from llorch.models.ggml import NEED_MATRIX
from llorch.models.gguf import load_gguf
from llorch.models.quantize import BUILD, find_llama_quantize, quantize
from llorch.progress import Silent
from tests.models.conftest import Heard

WIDTH = 256
NAME = ".test-models/tiny/tiny-q4_k_m.gguf"
TENSORS = {
    **{f"blk.0.attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
    **{f"blk.0.ffn_{part}.weight": (WIDTH, WIDTH) for part in ("gate", "up", "down")},
    **dict.fromkeys(("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"), (WIDTH,)),
}


def write_llama(path: Path, type: GGMLQuantizationType = GGMLQuantizationType.F16, architecture: str = "llama") -> Path:
    """Write a GGUF of one block with random weights, in this type where they are matrices."""
    from gguf.quants import quantize as pack

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_rope_dimension_count(WIDTH // 4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"token{number}" for number in range(32)])
    writer.add_token_scores([0.0] * 32)
    writer.add_token_types([1] * 32)
    chance = np.random.default_rng(1)
    for name, shape in {"token_embd.weight": (32, WIDTH), **TENSORS}.items():
        data = chance.normal(size=shape).astype(np.float32)
        if len(shape) > 1:
            writer.add_tensor(name, pack(data, type), raw_dtype=type)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def source(workspace: Path) -> Path:
    """A GGUF of 16 bits."""
    return write_llama(workspace / ".test-models" / "tiny" / "tiny-f16.gguf")


@pytest.fixture
def place(workspace: Path) -> Path:
    """Where the quantized file belongs."""
    return workspace / NAME


@pytest.fixture
def fake(workspace: Path) -> Callable[[str], Path]:
    """Write a llama-quantize that is a shell script: `$1` is the source, `$2` the file to write, `$3` the type."""

    def write(script: str) -> Path:
        program = workspace / "llama-quantize"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return write


@pytest.mark.parametrize("type", ["Q4_K_M", "Q8_0", "IQ4_NL", "F32"])
def test_the_real_program_quantizes(source: Path, place: Path, llama_quantize: Path, type: str) -> None:
    """What it makes has the type asked for, all tensors and its name, and nothing is left beside it."""
    heard = Heard()
    quantize(source, place, NAME, type, llama_quantize, heard)
    made = load_gguf(place, NAME)
    assert (made.quantization.name, len(made.tensors)) == (type, 11)
    sizes = sum(tensor.size for tensor in load_gguf(source, "").tensors)
    assert (heard.said, heard.totals, heard.advanced) == ([f"{type} of tiny-f16.gguf"], [sizes], sizes)
    assert sorted(os.listdir(place.parent)) == ["tiny-f16.gguf", "tiny-q4_k_m.gguf"]
    assert stat.S_IMODE(place.stat().st_mode) == stat.S_IMODE(source.stat().st_mode)


def test_what_was_there_gives_way(source: Path, place: Path, llama_quantize: Path) -> None:
    """A stale file keeps its name until the new one is whole; leftovers of killed runs vanish."""
    for left in (place, place.with_name(place.name + ".part"), place.with_name(place.name + ".replaced")):
        left.write_bytes(b"stale")
    with pytest.raises(LlorchError):
        quantize(source, place, NAME, "TQ1_0", llama_quantize, Silent())
    assert place.read_bytes() == b"stale"
    quantize(source, place, NAME, "Q4_K_M", llama_quantize, Silent())
    assert load_gguf(place, NAME).quantization.name == "Q4_K_M"
    assert sorted(os.listdir(place.parent)) == ["tiny-f16.gguf", "tiny-q4_k_m.gguf"]


@pytest.mark.parametrize("type", NEED_MATRIX)
def test_types_that_are_refused_beforehand_really_fail(
    source: Path, place: Path, llama_quantize: Path, type: str
) -> None:
    """The list of types that need an importance matrix is the program's own."""
    with pytest.raises(CommandFailed) as caught:
        quantize(source, place, NAME, type, llama_quantize, Silent())
    assert "importance matrix" in caught.value.tail


def test_a_type_that_the_program_does_not_know_is_said(source: Path, place: Path, llama_quantize: Path) -> None:
    """Programs differ in what they can make; the message names the one that cannot, the hint a way out."""
    with pytest.raises(LlorchError) as caught:
        quantize(source, place, NAME, "TQ1_0", llama_quantize, Silent())
    assert caught.value.message == f"`{llama_quantize}` cannot make TQ1_0"
    assert BUILD in (caught.value.hint or "")


def test_types_of_a_fork_are_refused(source: Path, place: Path, llama_quantize: Path) -> None:
    """The ready-made program writes some mixtures so that llama.cpp cannot read them; those get no name."""
    with pytest.raises(Malformed, match=r"tensor `token_embd.weight` has the unknown type 140") as caught:
        quantize(source, place, NAME, "IQ4_XS", llama_quantize, Silent())
    assert "build llama.cpp" in (caught.value.hint or "")
    assert os.listdir(place.parent) == [source.name]


def test_nothing_is_quantized_twice(place: Path, fake: Callable[[str], Path]) -> None:
    """A source that is quantized already is refused before anything runs."""
    source = write_llama(place.with_name("q8.gguf"), GGMLQuantizationType.Q8_0)
    with pytest.raises(LlorchError, match=r"`q8.gguf` has tensors of Q8_0 already") as caught:
        quantize(source, place, NAME, "Q4_K_M", fake("touch ran"), Silent())
    assert ("convert.outtype" in (caught.value.hint or ""), Path("ran").exists()) == (True, False)


def test_a_malformed_source_is_refused(place: Path, fake: Callable[[str], Path]) -> None:
    """llama-quantize is given nothing that is no GGUF."""
    place.parent.mkdir(parents=True)
    source = place.with_name("bad.gguf")
    source.write_bytes(b"GGUF but no more")
    with pytest.raises(Malformed, match=r"`bad.gguf` is malformed"):
        quantize(source, place, NAME, "Q4_K_M", fake("touch ran"), Silent())
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("exit 0", Malformed, "the file ends within its first bytes"),
        ('cp "$1" "$2"', Malformed, "llama-quantize has made it F16, not Q4_K_M"),
        ('head -c 3000 "$1" >"$2"', Malformed, "the file ends"),
        ('cp other.gguf "$2"', Malformed, "has not kept the architecture and all tensors"),
        ("echo why; exit 3", CommandFailed, "exited with 3:\nwhy"),
        ("echo 'basic_ios::clear: iostream error'; exit 1", DiskFull, f"`{NAME}` cannot be written"),
        ("echo \"unknown model architecture: 'x99'\"; exit 1", LlorchError, "does not know the architecture `x99`"),
        ('rm "$2"', Malformed, "No such file or directory"),
    ],
)
def test_what_a_program_does_wrong_leaves_nothing(
    source: Path, place: Path, fake: Callable[[str], Path], script: str, error: type[LlorchError], said: str
) -> None:
    """Whatever a program ends with, only a right file of the type asked for gets its name."""
    writer = GGUFWriter("other.gguf", "gpt2")
    writer.add_file_type(15)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(error) as caught:
        quantize(source, place, NAME, "Q4_K_M", fake(script), Silent())
    assert said in caught.value.message
    assert os.listdir(place.parent) == ["tiny-f16.gguf"]


def test_too_little_room_is_told_beforehand(
    source: Path, place: Path, fake: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers are told, and nothing runs; where a type's size is not known, it is tried."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(DiskFull) as caught:
        quantize(source, place, NAME, "Q4_K_M", fake("touch ran"), Silent())
    # 467,712 weights at 144 bytes for 256
    assert caught.value.message == f"`{NAME}` needs 263,088 bytes, and `{place.parent}` has 1,000 left"
    assert not Path("ran").exists()
    with pytest.raises(Malformed):
        quantize(source, place, NAME, "IQ3_M", fake("touch ran"), Silent())


RUN = """
import sys
from pathlib import Path
from llorch.models.quantize import quantize
from llorch.progress import Silent
source, place, program = map(Path, sys.argv[1:])
quantize(source, place, place.name, "Q4_K_M", program, Silent())
"""


def test_a_program_that_outlives_its_run_keeps_others_away(
    source: Path, place: Path, fake: Callable[[str], Path], llama_quantize: Path
) -> None:
    """A killed run's llama-quantize may still write; until it ends nobody else writes the same file."""
    os.mkfifo("alive")
    os.mkfifo("gate")
    slow = fake('exec 9>alive; read word <gate; cp "$1" "$2"')
    with subprocess.Popen([sys.executable, "-c", RUN, source, place, slow]) as run, open("alive") as alive:
        run.kill()
        run.wait()
        with pytest.raises(Busy, match="another process is writing"):
            quantize(source, place, NAME, "Q4_K_M", llama_quantize, Silent())
        open("gate", "w").close()
        alive.read()
    with open(place.with_name(place.name + ".part")) as part:
        fcntl.flock(part, fcntl.LOCK_EX)  # waits for the end of the program
    assert not place.exists()
    quantize(source, place, NAME, "Q4_K_M", llama_quantize, Silent())
    assert sorted(os.listdir(place.parent)) == sorted([source.name, place.name])


def test_which_program_is_taken(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace's own build comes first, then what is in PATH; what cannot be run is passed over."""
    here = Workspace(root=workspace, declared=True)
    bin = workspace / "bin"
    bin.mkdir()
    monkeypatch.setenv("PATH", "bin")
    assert find_llama_quantize(here) is None
    for program, mode in ((bin / "llama-quantize", 0o755), (workspace / BUILD, 0o644)):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_bytes(b"a program")
        program.chmod(mode)
    assert find_llama_quantize(here) == bin / "llama-quantize"
    (workspace / BUILD).chmod(0o755)
    assert find_llama_quantize(here) == workspace / BUILD


def test_a_program_that_vanished_is_said(source: Path, place: Path) -> None:
    """A program that is not there is an error of its own."""
    with pytest.raises(ToolMissing, match=r"/nowhere/llama-quantize` is not installed"):
        quantize(source, place, NAME, "Q4_K_M", Path("/nowhere/llama-quantize"), Silent())
