"""Checkpoints for tests: that their folders are what they are to be, read with other eyes."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from llorch.models.safetensors import load_safetensors
from tests.models.checkpoints import (
    ARCHITECTURES,
    Architecture,
    Dtype,
    decode,
    encode,
    random_tensors,
    write_checkpoint,
)
from tests.models.vocabularies import Style


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_has_what_the_config_says(architecture: Architecture, style: Style, tmp_path: Path) -> None:
    """The config and the weights read back are those that were made, in the words of each style."""
    made = write_checkpoint(tmp_path / "Modèl 1", architecture, style=style)
    config = json.loads((made.folder / "config.json").read_text())
    assert config == made.config
    assert ("rope_theta" in config) == (style != "transformers-5" and architecture != "gpt2")
    assert ("torch_dtype" in config) == (style == "hub" and architecture != "gpt2")
    header = load_safetensors(made.folder / "model.safetensors", "it")
    data = (made.folder / "model.safetensors").read_bytes()[header.data_offset :]
    names = {tensor.name for tensor in header.tensors}
    assert names >= set(made.tensors)
    assert all(".attn.bias" in name or "masked_bias" in name for name in names - set(made.tensors))
    for tensor in header.tensors:
        if tensor.name in made.tensors:
            array = made.tensors[tensor.name]
            assert (tensor.shape, tensor.dtype) == (array.shape, "F32")
            assert data[tensor.offset : tensor.offset + tensor.size] == array.tobytes()


def test_shards_are_parts_of_one_whole(tmp_path: Path) -> None:
    """Each tensor is in the file that the index says, and no other."""
    made = write_checkpoint(tmp_path, "llama", shards=2, dtype="bf16", tie_word_embeddings=False)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert not (tmp_path / "model.safetensors").exists()
    assert set(index["weight_map"]) == set(made.tensors)
    sizes = []
    for file in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        header = load_safetensors(tmp_path / file, file)
        assert {tensor.name for tensor in header.tensors} == {
            name for name, place in index["weight_map"].items() if place == file
        }
        assert header.dtypes == ("BF16",)
        sizes.append(sum(tensor.size for tensor in header.tensors))
    assert min(sizes) > 0
    assert sum(sizes) == index["metadata"]["total_size"]


@pytest.mark.parametrize(
    ("dtype", "value", "rounded"),
    [
        ("f32", 1.1, np.float32(1.1)),
        ("f16", 1 + 2**-11, 1.0),  # halfway, to the even one
        ("f16", 1 + 3 * 2**-11, 1 + 2**-9),
        ("bf16", 1 + 2**-8, 1.0),
        ("bf16", 1 + 3 * 2**-8, 1 + 2**-6),
        ("bf16", -(1 + 2**-8 + 2**-20), -(1 + 2**-7)),
        ("bf16", 3.0e38, 3.0e38),
    ],
)
def test_rounding_is_to_the_nearest(dtype: Dtype, value: float, rounded: float) -> None:
    """What is written is the nearest number of the type, and an even one of two."""
    (found,) = decode(encode(np.array([value], np.float32), dtype), dtype)
    assert found == pytest.approx(rounded, rel=1e-2 if abs(value) > 1e30 else 0)


def test_random_weights_are_the_same_everywhere() -> None:
    """They are what they were when transformers' answers were recorded, and others with another seed."""
    config = {"model_type": "gpt2", "vocab_size": 2, "n_embd": 2, "n_layer": 0, "n_positions": 1}
    first = random_tensors(config)["transformer.wte.weight"]
    assert first.tolist() == [[0.18977968394756317, -0.31899288296699524], [-0.6360457539558411, -0.669918954372406]]
    assert not np.array_equal(first, random_tensors(config, 1)["transformer.wte.weight"])
    assert np.array_equal(first, random_tensors(config)["transformer.wte.weight"])
