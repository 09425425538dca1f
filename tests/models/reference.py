"""What a Hugging Face checkpoint computes, in numpy and float64, from its tensors and its config.json alone.

It shares nothing with the conversion to GGUF, so that what the converted file computes can be held against it. How each
architecture computes is described by its modeling file in transformers 5.23; `tests/models/test_reference.py` compares.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Config = Mapping[str, Any]
Tensors = Mapping[str, npt.NDArray[Any]]


def logprobs(config: Config, tensors: Tensors, tokens: Sequence[int]) -> Array:
    """Return the natural logarithms of the probabilities that each token of the vocabulary comes after some tokens."""
    logits = _gpt2(config, tensors, tokens) if config["model_type"] == "gpt2" else _llama(config, tensors, tokens)
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _gpt2(config: Config, tensors: Tensors, tokens: Sequence[int]) -> Array:
    """Return the logits behind the last token: learned positions, layer norms, biases, weights as [in, out]."""
    prefix = "transformer." if "transformer.wte.weight" in tensors else ""

    def weight(name: str) -> Array:
        return tensors[prefix + name].astype(np.float64)

    def linear(name: str, x: Array) -> Array:
        return x @ weight(f"{name}.weight") + weight(f"{name}.bias")

    def norm(name: str, x: Array) -> Array:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + config["layer_norm_epsilon"])
        return x * weight(f"{name}.weight") + weight(f"{name}.bias")

    assert config["activation_function"] == "gelu_new"
    assert not config.get("scale_attn_by_inverse_layer_idx")
    heads, width = config["n_head"], config["n_embd"] // config["n_head"]
    x = weight("wte.weight")[list(tokens)] + weight("wpe.weight")[: len(tokens)]
    for layer in range(config["n_layer"]):
        block = f"h.{layer}"
        query, key, value = np.split(linear(f"{block}.attn.c_attn", norm(f"{block}.ln_1", x)), 3, axis=-1)
        mixed = attention(*(part.reshape(-1, heads, width) for part in (query, key, value)), scale=width**-0.5)
        x = x + linear(f"{block}.attn.c_proj", mixed)
        inner = gelu_new(linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x)))
        x = x + linear(f"{block}.mlp.c_proj", inner)
    last = norm("ln_f", x)[-1]
    tied = config.get("tie_word_embeddings", True)  # transformers 4 leaves the default out
    head = weight("wte.weight") if tied else tensors["lm_head.weight"].astype(np.float64)
    return np.asarray(head @ last)


def _llama(config: Config, tensors: Tensors, tokens: Sequence[int]) -> Array:
    """Return the logits behind the last token: RMS norms, rotated positions, grouped heads, a gated SiLU.

    Qwen2 is this with biases. Granite is this with four multipliers, and the dense GraniteMoeHybrid calls its
    feed-forward network `shared_mlp`, with gate and up in one tensor.
    """
    granite = config["model_type"] in ("granite", "granitemoehybrid")
    assert not config.get("num_local_experts")
    assert {*config.get("layer_types", ["attention"])} <= {"attention", "full_attention"}
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    scale = config["attention_multiplier"] if granite else width**-0.5
    residual = config["residual_multiplier"] if granite else 1.0
    # GraniteMoeHybrid may have no positions at all; the others do not have the key.
    rotate = rope(config, len(tokens), width) if config.get("position_embedding_type", "rope") == "rope" else np.asarray

    def weight(name: str) -> Array:
        return tensors[f"{name}.weight"].astype(np.float64)

    def linear(name: str, x: Array) -> Array:
        bias = tensors.get(f"{name}.bias")
        return x @ weight(name).T + (0.0 if bias is None else bias.astype(np.float64))

    def norm(name: str, x: Array) -> Array:
        return np.asarray(x / np.sqrt(np.square(x).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight(name))

    def attend(name: str, x: Array) -> Array:
        query = linear(f"{name}.q_proj", x).reshape(-1, heads, width)
        key = linear(f"{name}.k_proj", x).reshape(-1, groups, width)
        value = linear(f"{name}.v_proj", x).reshape(-1, groups, width)
        return linear(f"{name}.o_proj", attention(rotate(query), rotate(key), value, scale=scale))

    def feed_forward(block: str, x: Array) -> Array:
        if config["model_type"] == "granitemoehybrid":
            gate, up = np.split(linear(f"{block}.shared_mlp.input_linear", x), 2, axis=-1)
            return linear(f"{block}.shared_mlp.output_linear", silu(gate) * up)
        gate, up = linear(f"{block}.mlp.gate_proj", x), linear(f"{block}.mlp.up_proj", x)
        return linear(f"{block}.mlp.down_proj", silu(gate) * up)

    assert config["hidden_act"] == "silu"
    embedding = weight("model.embed_tokens")
    x = embedding[list(tokens)] * (config["embedding_multiplier"] if granite else 1.0)
    for layer in range(config["num_hidden_layers"]):
        block = f"model.layers.{layer}"
        x = x + residual * attend(f"{block}.self_attn", norm(f"{block}.input_layernorm", x))
        x = x + residual * feed_forward(block, norm(f"{block}.post_attention_layernorm", x))
    last = norm("model.norm", x)[-1]
    logits = (embedding if config["tie_word_embeddings"] else weight("lm_head")) @ last
    return np.asarray(logits / (config["logits_scaling"] if granite else 1.0))


def attention(query: Array, key: Array, value: Array, *, scale: float) -> Array:
    """Mix the values of each token and those before it; all are [token, head, width], and heads may share keys."""
    shared = query.shape[1] // key.shape[1]
    key, value = np.repeat(key, shared, axis=1), np.repeat(value, shared, axis=1)
    scores = np.einsum("qhw,khw->hqk", query, key) * scale
    scores[:, np.triu(np.ones(scores.shape[1:], dtype=bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.asarray(np.einsum("hqk,khw->qhw", weights, value).reshape(len(query), -1))


def rope(config: Config, count: int, width: int) -> Callable[[Array], Array]:
    """Return a function that turns each pair of numbers, a half of the width apart, by its token's place."""
    settings = config.get("rope_parameters") or config  # transformers 5, transformers 4
    assert settings.get("rope_type", "default") == "default"
    assert not config.get("rope_scaling")
    angles = np.outer(np.arange(count), settings["rope_theta"] ** (-np.arange(0, width, 2) / width))
    cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]

    def rotate(x: Array) -> Array:
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    return rotate


def silu(x: Array) -> Array:
    """Return x times its logistic function."""
    return np.asarray(x / (1 + np.exp(-x)))


def gelu_new(x: Array) -> Array:
    """Return GPT-2's approximation of GELU, by a hyperbolic tangent."""
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
