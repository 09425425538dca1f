"""Write small checkpoints as folders, laid out and worded as on the Hub and by transformers 4 and 5.

The configs have the keys that transformers 4.57.6 and 5.23.0 write, and on the Hub those of gpt2, granite-4.0-micro,
SmolLM2 and Qwen2.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tests.models.vocabularies import Kind, Style, Vocabulary, small, write_json

Architecture = Literal["gpt2", "granite", "granitemoehybrid", "llama", "qwen2"]
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)
Dtype = Literal["f32", "f16", "bf16"]
Array = npt.NDArray[np.float32]

CLASSES: Mapping[Architecture, str] = {
    "gpt2": "GPT2LMHeadModel",
    "granite": "GraniteForCausalLM",
    "granitemoehybrid": "GraniteMoeHybridForCausalLM",
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
}
KINDS: Mapping[Architecture, Kind] = {
    "gpt2": "gpt2",
    "granite": "granite",
    "granitemoehybrid": "granite",
    "llama": "smollm2",
    "qwen2": "qwen2",
}
_TORCH = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
_VERSIONS: Mapping[Style, str] = {"hub": "4.55.0", "transformers-4": "4.57.6", "transformers-5": "5.23.0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint's folder and what is in it; the tensors as they were rounded to its dtype, without mask buffers."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Array]
    vocabulary: Vocabulary


def write_checkpoint(
    folder: Path,
    architecture: Architecture,
    *,
    style: Style = "hub",
    dtype: Dtype = "f32",
    shards: int = 1,
    seed: int = 0,
    vocabulary: Vocabulary | None = None,
    **changes: Any,
) -> Checkpoint:
    """Write a checkpoint of random weights.

    Args:
        changes: what its config.json says differently, as `hidden_size=256` or `tie_word_embeddings=False`.
    """
    vocabulary = vocabulary or small(KINDS[architecture])
    config = configure(architecture, vocabulary, style=style, dtype=dtype, **changes)
    return write_model(folder, config, random_tensors(config, seed), vocabulary, style, dtype, shards)


def write_model(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Array],
    vocabulary: Vocabulary,
    style: Style = "hub",
    dtype: Dtype = "f32",
    shards: int = 1,
) -> Checkpoint:
    """Write a checkpoint of these weights."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    ids = {f"{role}_token_id": config[f"{role}_token_id"] for role in ("bos", "eos") if f"{role}_token_id" in config}
    generation = {"_from_model_config": True, **ids, "transformers_version": _VERSIONS[style]}
    write_json(folder / "generation_config.json", generation)
    vocabulary.write(folder, style)
    stored = {name: (_TYPES[dtype], array.shape, encode(array, dtype)) for name, array in tensors.items()}
    if config["model_type"] == "gpt2" and style == "hub":
        stored = {**stored, **_masks(config)}
    write_weights(folder, stored, shards)
    rounded = {
        name: decode(data, dtype).reshape(tensors[name].shape)
        for name, (_, _, data) in stored.items()
        if name in tensors
    }
    return Checkpoint(folder=folder, config=config, tensors=rounded, vocabulary=vocabulary)


def configure(
    architecture: Architecture,
    vocabulary: Vocabulary | None = None,
    *,
    style: Style = "hub",
    dtype: Dtype = "f32",
    **changes: Any,
) -> dict[str, Any]:
    """Return the content of a config.json."""
    vocabulary = vocabulary or small(KINDS[architecture])
    config = _gpt2(style) if architecture == "gpt2" else _llama(architecture, style)
    roles = {"bos": vocabulary.id("bos"), "eos": vocabulary.id("eos"), "pad": vocabulary.id("pad")}
    config |= {f"{role}_token_id": id for role, id in roles.items() if id is not None or style == "transformers-5"}
    config |= {"architectures": [CLASSES[architecture]], "model_type": architecture, "use_cache": True}
    config |= {"vocab_size": len(vocabulary.tokens), "transformers_version": _VERSIONS[style]}
    if architecture in ("granite", "granitemoehybrid", "qwen2"):
        config["vocab_size"] = -(-len(vocabulary.tokens) // 128) * 128  # more rows than tokens
    if architecture != "gpt2" or style != "hub":
        config["torch_dtype" if style == "hub" else "dtype"] = _TORCH[dtype]
    if style == "transformers-5" and architecture != "gpt2":
        config["rope_parameters"] = {"rope_theta": config.pop("rope_theta"), "rope_type": "default"}
        del config["rope_scaling"]
    return dict(sorted((config | changes).items()))


def _gpt2(style: Style) -> dict[str, Any]:
    config: dict[str, Any] = {
        "activation_function": "gelu_new",
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "n_embd": 64,
        "n_head": 4,
        "n_layer": 2,
        "n_positions": 128,
        "summary_type": "cls_index",
        "summary_use_proj": True,
        **dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout"), 0.1),
    }
    if style == "hub":
        task = {"text-generation": {"do_sample": True, "max_length": 50}}
        return {**config, "n_ctx": 128, "task_specific_params": task}
    config |= {"n_inner": None, "reorder_and_upcast_attn": False}
    config |= {"scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True}
    return {**config, "tie_word_embeddings": True} if style == "transformers-5" else config


def _llama(architecture: Architecture, style: Style) -> dict[str, Any]:
    config: dict[str, Any] = {
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "hidden_size": 64,
        "initializer_range": 0.1,
        "intermediate_size": 96,
        "max_position_embeddings": 256,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000000 if style == "hub" else 10000000.0,
        "tie_word_embeddings": True,
    }
    full = ["full_attention"] * 2
    if architecture == "qwen2":
        config |= {"max_window_layers": 2, "sliding_window": None, "use_sliding_window": False}
        return config if style == "hub" else {**config, "layer_types": full}
    config["attention_bias"] = False
    if architecture == "llama":
        config |= {"mlp_bias": False, "pretraining_tp": 1}
        return {**config, "rope_interleaved": False} if style == "hub" else {**config, "head_dim": 16}
    # All far from 1 and from each other, so that none can be forgotten or taken for another.
    config |= {"attention_multiplier": 0.5, "embedding_multiplier": 1.5}
    config |= {"logits_scaling": 0.5, "residual_multiplier": 0.7}
    if architecture == "granite":
        return {**config, "mlp_bias": False}
    config |= {
        "layer_types": full if style == "transformers-5" else ["attention"] * 2,
        "num_experts_per_tok": 0,
        "num_local_experts": 0,
        "output_router_logits": False,
        "position_embedding_type": "rope",
        "router_aux_loss_coef": 0.01,
        "shared_intermediate_size": 96,
    }
    config |= {"mamba_chunk_size": 256, "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_head": 32}
    config |= {"mamba_d_state": 128, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 4}
    config["mamba_proj_bias"] = False  # no layer is of that kind, and the keys are there
    if style == "hub":
        return {**config, "init_method": "mup", "normalization_function": "rmsnorm"}
    return {**config, "time_step_limit": [0.0, {"__float__": "Infinity"}]} if style == "transformers-5" else config


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the tensors that a config.json asks for."""
    return _gpt2_shapes(config) if config["model_type"] == "gpt2" else _llama_shapes(config)


def _gpt2_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    width, vocabulary = config["n_embd"], config["vocab_size"]
    inner = config.get("n_inner") or 4 * width
    # The Hub's gpt2 was saved as the model without its head, whose names have no prefix; its config alone has `n_ctx`.
    prefix = "" if "n_ctx" in config else "transformer."
    found: dict[str, tuple[int, ...]] = {
        "wte.weight": (vocabulary, width),
        "wpe.weight": (config["n_positions"], width),
    }
    for layer in range(config["n_layer"]):
        for name, shape in (
            ("ln_1", (width,)),
            ("attn.c_attn", (width, 3 * width)),
            ("attn.c_proj", (width, width)),
            ("ln_2", (width,)),
            ("mlp.c_fc", (width, inner)),
            ("mlp.c_proj", (inner, width)),
        ):
            found |= {f"h.{layer}.{name}.weight": shape, f"h.{layer}.{name}.bias": shape[-1:]}
    found |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    found = {prefix + name: shape for name, shape in found.items()}
    return found if config.get("tie_word_embeddings", True) else {**found, "lm_head.weight": (vocabulary, width)}


def _llama_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    width, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim") or width // heads
    keys = config["num_key_value_heads"] * head
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        block: dict[str, tuple[int, ...]]
        block = {"input_layernorm.weight": (width,), "post_attention_layernorm.weight": (width,)}
        for name, rows in (("q", heads * head), ("k", keys), ("v", keys)):
            block[f"self_attn.{name}_proj.weight"] = (rows, width)
            if config["model_type"] == "qwen2":
                block[f"self_attn.{name}_proj.bias"] = (rows,)
        block["self_attn.o_proj.weight"] = (width, heads * head)
        if config["model_type"] == "granitemoehybrid":
            shared = config["shared_intermediate_size"]
            block |= {"shared_mlp.input_linear.weight": (2 * shared, width)}
            block |= {"shared_mlp.output_linear.weight": (width, shared)}
        else:
            block |= {"mlp.gate_proj.weight": (inner, width), "mlp.up_proj.weight": (inner, width)}
            block |= {"mlp.down_proj.weight": (width, inner)}
        found |= {f"model.layers.{layer}.{name}": shape for name, shape in block.items()}
    found["model.norm.weight"] = (width,)
    return found if config["tie_word_embeddings"] else {**found, "lm_head.weight": (config["vocab_size"], width)}


def random_tensors(config: Mapping[str, Any], seed: int = 0) -> dict[str, Array]:
    """Return random weights, the same on every machine, with which nothing in the model is without effect.

    NumPy's promise is for the raw numbers of a bit generator only, so the weights are of a uniform distribution.
    """
    bits = np.random.PCG64(seed)
    tensors = {}
    for name, shape in shapes(config).items():
        raw = bits.random_raw(int(np.prod(shape))) >> np.uint64(11)
        uniform = (raw * 2.0**-52 - 1.0) * np.sqrt(3)  # of mean 0 and variance 1
        if "norm" in name or ".ln_" in name or name.startswith("ln_"):
            uniform = 0.2 * uniform + name.endswith("weight")
        elif len(shape) == 1:
            uniform *= 0.3
        else:
            embeds = any(part in name for part in ("wte", "wpe", "embed_tokens", "lm_head"))
            uniform *= 0.4 if embeds else 1.2 / math.sqrt(min(shape))
        tensors[name] = uniform.astype(np.float32).reshape(shape)
    return tensors


def encode(array: Array, dtype: Dtype) -> bytes:
    """Return an array's bytes, rounded to the nearest number that the type has, to an even one of two as near."""
    if dtype == "f32":
        return array.astype("<f4").tobytes()
    if dtype == "f16":
        return array.astype("<f2").tobytes()
    bits = np.ascontiguousarray(array, dtype="<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return bytes(rounded.astype("<u2").tobytes())


def decode(data: bytes, dtype: Dtype) -> Array:
    """Return what `encode` wrote, as one row."""
    if dtype == "bf16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, "<f4" if dtype == "f32" else "<f2").astype(np.float32, copy=False)


_TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
Stored = Mapping[str, tuple[str, tuple[int, ...], bytes]]
"""By their names: tensors' safetensors type, shape and bytes."""


def _masks(config: Mapping[str, Any]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return the buffers that checkpoints of before transformers 4.31 have among their weights."""
    length = config["n_positions"]
    mask = np.tril(np.ones((length, length), "<f4"))[None, None]
    found = {}
    for layer in range(config["n_layer"]):
        found[f"h.{layer}.attn.bias"] = ("F32", mask.shape, mask.tobytes())
        found[f"h.{layer}.attn.masked_bias"] = ("F32", (), struct.pack("<f", -1e4))
    return found


def write_weights(folder: Path, tensors: Stored, shards: int = 1) -> None:
    """Write model.safetensors, or as many parts with an index."""
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors)
        return
    names = sorted(tensors)
    index: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        part = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        write_safetensors(folder / file, {name: tensors[name] for name in part})
        index |= dict.fromkeys(part, file)
    size = sum(len(data) for _, _, data in tensors.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": index})


def write_safetensors(path: Path, tensors: Stored) -> None:
    """Write a safetensors file with its tensors by name, as transformers does."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in sorted(tensors):
        dtype, shape, data = tensors[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(tensors[name][2])
