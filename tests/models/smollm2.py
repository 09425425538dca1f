"""A real trained model as a checkpoint: SmolLM2-135M-Instruct out of its GGUF, laid out as Llama and as Granite.

The weights are those of the quantized file, so what it says is what the GGUF says, to the rounding of the arithmetic.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llorch.models.gguf import load_gguf
from tests.models.checkpoints import Architecture, Array, Checkpoint, Dtype, configure, write_model
from tests.models.gguf_files import read_keys
from tests.models.vocabularies import Style, Vocabulary

FRANCE = (504, 3575, 282, 4649, 314)
"""`The capital of France is`; the most likely token after it is ` Paris`."""
PARIS = 7042

LAYERS, HEADS, GROUPS, WIDTH = 30, 9, 3, 64
_SHAPE: Mapping[str, Any] = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": GROUPS,
    "rms_norm_eps": 1e-05,
    "rope_theta": 100000,
    "vocab_size": 49152,
}
_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def smollm2_as_llama(folder: Path, gguf: Path, *, dtype: Dtype = "bf16", style: Style = "hub") -> Checkpoint:
    """Write SmolLM2 as it is on the Hub, a LlamaForCausalLM."""
    return _write(folder, gguf, "llama", _read_tensors(gguf), dtype, style)


def smollm2_as_granite(folder: Path, gguf: Path, *, dtype: Dtype = "bf16", style: Style = "hub") -> Checkpoint:
    """Write SmolLM2 laid out as granite-4.0-micro, with multipliers that change nothing."""
    tensors = _read_tensors(gguf)
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        halves = [tensors.pop(f"{block}.mlp.{name}_proj.weight") for name in ("gate", "up")]
        tensors[f"{block}.shared_mlp.input_linear.weight"] = np.concatenate(halves)
        tensors[f"{block}.shared_mlp.output_linear.weight"] = tensors.pop(f"{block}.mlp.down_proj.weight")
    granite = {
        **dict.fromkeys(("embedding_multiplier", "logits_scaling", "residual_multiplier"), 1.0),
        "attention_multiplier": WIDTH**-0.5,
        "layer_types": ["full_attention" if style == "transformers-5" else "attention"] * LAYERS,
        "mamba_d_head": 36,
        "mamba_n_heads": 32,
        "shared_intermediate_size": 1536,
    }
    return _write(folder, gguf, "granitemoehybrid", tensors, dtype, style, **granite)


@functools.cache
def read_vocabulary(gguf: Path) -> Vocabulary:
    """Return the vocabulary that is in the GGUF."""
    said = read_keys(gguf)
    tokens, kinds, merges = (said[f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type", "merges"))
    added = frozenset(id for id, kind in enumerate(kinds) if kind == 3)
    pairs = tuple((left, right) for left, right in (merge.split(" ") for merge in merges))
    return Vocabulary(kind="smollm2", tokens=tuple(tokens), merges=pairs, added=added)


def _write(
    folder: Path,
    gguf: Path,
    architecture: Architecture,
    tensors: Mapping[str, Array],
    dtype: Dtype,
    style: Style,
    **changes: Any,
) -> Checkpoint:
    vocabulary = read_vocabulary(gguf)
    shape = dict(_SHAPE)
    if style == "transformers-5":
        shape["rope_parameters"] = {"rope_theta": float(shape.pop("rope_theta")), "rope_type": "default"}
    if architecture == "llama" and style != "hub":
        shape["head_dim"] = WIDTH
    config = configure(architecture, vocabulary, style=style, dtype=dtype, **shape, **changes)
    return write_model(folder, config, tensors, vocabulary, style, dtype)


def _read_tensors(path: Path) -> dict[str, Array]:
    """Return the GGUF's weights under the names that they have on the Hub."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    header = load_gguf(path, path.name)
    data = np.asarray(np.memmap(path, np.uint8, "r", header.data_offset))  # each part of a memmap costs as much again
    found = {}
    for tensor in header.tensors:
        raw = data[tensor.offset : tensor.offset + tensor.size].reshape(*tensor.shape[:0:-1], -1)
        weights = dequantize(raw, GGMLQuantizationType[tensor.type]).astype(np.float32)
        found[_name(tensor.name)] = _unturn(tensor.name, weights)
    return found


def _name(name: str) -> str:
    outside = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in outside:
        return outside[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_NAMES[part]}.weight"


def _unturn(name: str, weights: Array) -> Array:
    """Undo what llama.cpp does to queries and keys: the pairs that its rope turns are neighbours, not a half apart."""
    if not name.endswith(("attn_q.weight", "attn_k.weight")):
        return weights
    return weights.reshape(-1, WIDTH // 2, 2, weights.shape[-1]).swapaxes(1, 2).reshape(weights.shape)
