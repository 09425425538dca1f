"""Which tensors a model of an architecture has, what they are called in a GGUF file, and what they mean there.

Every tensor of a checkpoint has to be known, every one that is needed has to be there in the right shape, and whatever
of config.json would change the model is either taken over or refused: nothing is guessed. `reader` says how each is
taken; no tensor is read.

Names and keys on the GGUF side are those of gguf-py/gguf/constants.py of llama.cpp; the other side is transformers'
modeling_gpt2.py, modeling_llama.py, modeling_qwen2.py, modeling_granite.py and modeling_granitemoehybrid.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from llorch.errors import Malformed, Unsupported
from llorch.models.checkpoint import Checkpoint, Stored
from llorch.models.gguf import BLOCKS_LIMIT
from llorch.models.reader import HINT, Config, Tensors, shown

Order = Literal["rows", "transposed", "rotary"]
Value = int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A tensor to write, and the stored one that it is made of."""

    name: str
    source: Stored
    order: Order = "rows"
    """`transposed`: columns become rows. `rotary`: the two halves of each head's rows become neighbours."""
    heads: int = 1
    exact: bool = False
    """Whether it stays F32 whatever the others become."""
    twin: Stored | None = None
    """Another stored one that it stands for too, and that has to be the same."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, rows first."""
        return self.source.shape[::-1] if self.order == "transposed" else self.source.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of a checkpoint: the architecture, its parameters without the prefix, the tensors in their order."""

    architecture: str
    parameters: Mapping[str, Value]
    vocabulary: int
    """Tokens that there are embeddings for."""
    pieces: tuple[Piece, ...]


def plan_conversion(checkpoint: Checkpoint, tensors: Tensors | None = None) -> Plan:
    """Say what becomes of a checkpoint, of whose tensors others can be told than its own.

    Raises:
        Malformed: the files contradict each other, or a tensor is missing or of the wrong shape.
        Unsupported: it is of an architecture, or has a setting, that is not proven here.
    """
    config = Config(checkpoint)
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else names
    kind, planner = _PLANNERS.get(name, ("", None)) if isinstance(name, str) else ("", None)
    if planner is None:
        known = ", ".join(sorted(_PLANNERS))
        raise Unsupported(f"`{config.name}` is of {shown(name)}, and what can be converted here is {known}", hint=HINT)
    config.must("model_type", kind)  # what transformers goes by
    for key in ("quantization_config", "auto_map", "text_config", "vision_config"):
        config.must(key, None)
    return planner(config, tensors or Tensors(checkpoint))


def _plan_gpt2(config: Config, tensors: Tensors) -> Plan:
    config.must("activation_function", "gelu_new")
    config.must("scale_attn_weights", True)
    for key in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        config.must(key, False)
    width, blocks, heads = config.count("n_embd"), _blocks(config, "n_layer"), config.count("n_head")
    context, inner = config.count("n_positions", "n_ctx"), config.count("n_inner", default=4 * width)
    vocabulary = config.count("vocab_size")
    if _divides(config, width, heads) == 1:  # llama.cpp ends the process
        raise Unsupported(f"`{config.name}` has heads of 1, which llama.cpp cannot compute", hint="take another model")
    tensors.shorten("transformer.")
    twin, head = _head(tensors, vocabulary, width, is_tied=config.flag("tie_word_embeddings", True))
    tensors.drop(r"h\.\d+\.attn\.(bias|masked_bias)")  # the causal mask, which is no weight

    def pieces() -> Iterator[Piece]:
        embedding = tensors.take("wte.weight", vocabulary, width)
        yield Piece(name="token_embd.weight", source=embedding, twin=twin)
        yield Piece(name="position_embd.weight", source=tensors.take("wpe.weight", context, width), exact=True)
        for block in range(blocks):
            of, to = f"h.{block}.", f"blk.{block}."
            for theirs, ours in (("ln_1", "attn_norm"), ("ln_2", "ffn_norm")):
                for kind in ("weight", "bias"):
                    norm = tensors.take(f"{of}{theirs}.{kind}", width)
                    yield Piece(name=f"{to}{ours}.{kind}", source=norm, exact=True)
            for theirs, ours, rows, columns in (
                ("attn.c_attn", "attn_qkv", width, 3 * width),
                ("attn.c_proj", "attn_output", width, width),
                ("mlp.c_fc", "ffn_up", width, inner),
                ("mlp.c_proj", "ffn_down", inner, width),
            ):
                weight = tensors.take(f"{of}{theirs}.weight", rows, columns)
                yield Piece(name=f"{to}{ours}.weight", source=weight, order="transposed")
                yield Piece(name=f"{to}{ours}.bias", source=tensors.take(f"{of}{theirs}.bias", columns), exact=True)
        for kind in ("weight", "bias"):
            yield Piece(name=f"output_norm.{kind}", source=tensors.take(f"ln_f.{kind}", width), exact=True)
        yield from head

    return Plan(
        architecture="gpt2",
        parameters={
            "block_count": blocks,
            "context_length": context,
            "embedding_length": width,
            "feed_forward_length": inner,
            "attention.head_count": heads,
            "attention.layer_norm_epsilon": config.number("layer_norm_epsilon"),
        },
        vocabulary=vocabulary,
        pieces=_all(pieces(), tensors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """How a model of Llama's kind differs from Llama."""

    architecture: str
    inner: str = "intermediate_size"
    rotary: bool = True
    """Whether llama.cpp turns neighbours instead of halves, so that the rows of q and k change places."""
    biases: bool = False
    """Whether q, k and v have a bias."""
    merged: bool = False
    """Whether gate and up are one tensor, and it is called as in Granite 4."""
    multipliers: bool = False
    head_dim: bool = False
    """Whether the size of a head may be another than width by heads."""


def _plan_llama(config: Config, tensors: Tensors) -> Plan:
    for key in ("attention_bias", "mlp_bias", "rope_interleaved"):
        config.must(key, False)
    config.must("pretraining_tp", 1)
    return _plan_family(config, tensors, _Family(architecture="llama", head_dim=True))


def _plan_qwen2(config: Config, tensors: Tensors) -> Plan:
    config.must("use_sliding_window", False)
    config.must("use_mrope", False)
    return _plan_family(config, tensors, _Family(architecture="qwen2", rotary=False, biases=True))


def _plan_granite(config: Config, tensors: Tensors) -> Plan:
    for key in ("attention_bias", "mlp_bias"):
        config.must(key, False)
    return _plan_family(config, tensors, _Family(architecture="granite", multipliers=True))


def _plan_granite4(config: Config, tensors: Tensors) -> Plan:
    """Plan a Granite 4 that has neither experts nor Mamba layers, which makes it a Granite."""
    config.must("num_local_experts", 0)
    config.must("attention_bias", False)
    config.must("normalization_function", "rmsnorm")
    if config.get("position_embedding_type") != "rope":
        config.must("position_embedding_type")
        raise Unsupported(f"`{config.name}` has no `position_embedding_type`, and `rope` is what is proven", hint=HINT)
    if not config.get("layer_types"):
        raise Unsupported(f"`{config.name}` has no `layer_types`, so that its layers may be of any kind", hint=HINT)
    family = _Family(architecture="granite", inner="shared_intermediate_size", merged=True, multipliers=True)
    return _plan_family(config, tensors, family)


def _plan_family(config: Config, tensors: Tensors, family: _Family) -> Plan:
    config.must("hidden_act", "silu")
    width, blocks = config.count("hidden_size"), _blocks(config, "num_hidden_layers")
    heads = config.count("num_attention_heads")
    groups = config.count("num_key_value_heads", default=heads)
    inner, vocabulary = config.count(family.inner), config.count("vocab_size")
    if family.head_dim and config.get("head_dim") is not None:
        size = config.count("head_dim")
    else:
        size = _divides(config, width, heads)
        config.must("head_dim", size)
    if heads % groups or size % 2:
        raise Malformed(config.name, f"{heads} heads of {size} cannot share {groups} of keys and values")
    config.must("layer_types", *([kind] * blocks for kind in ("full_attention", "attention")))

    def pieces() -> Iterator[Piece]:
        embedding = tensors.take("model.embed_tokens.weight", vocabulary, width)
        yield Piece(name="token_embd.weight", source=embedding, twin=twin)
        for block in range(blocks):
            of, to = f"model.layers.{block}.", f"blk.{block}."
            for theirs, ours in (("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")):
                yield Piece(name=f"{to}{ours}.weight", source=tensors.take(f"{of}{theirs}.weight", width), exact=True)
            yield from _attention(tensors, of, to, width, size, heads, groups, family)
            yield from _feed_forward(tensors, of, to, width, inner, merged=family.merged)
        yield Piece(name="output_norm.weight", source=tensors.take("model.norm.weight", width), exact=True)
        yield from head

    twin, head = _head(tensors, vocabulary, width, is_tied=config.flag("tie_word_embeddings", False))
    tensors.drop(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")  # computed, not learned
    return Plan(
        architecture=family.architecture,
        parameters={
            "block_count": blocks,
            "context_length": config.count("max_position_embeddings"),
            "embedding_length": width,
            "feed_forward_length": inner,
            "attention.head_count": heads,
            "attention.head_count_kv": groups,
            "attention.key_length": size,
            "attention.value_length": size,
            "attention.layer_norm_rms_epsilon": config.number("rms_norm_eps"),
            "rope.dimension_count": size,
            "rope.freq_base": _rope_base(config),
            "vocab_size": vocabulary,
            **(_multipliers(config) if family.multipliers else {}),
        },
        vocabulary=vocabulary,
        pieces=_all(pieces(), tensors),
    )


def _attention(
    tensors: Tensors, of: str, to: str, width: int, size: int, heads: int, groups: int, family: _Family
) -> Iterator[Piece]:
    for letter, count in (("q", heads), ("k", groups), ("v", groups)):
        order: Order = "rotary" if family.rotary and letter != "v" else "rows"
        theirs = f"{of}self_attn.{letter}_proj"
        weight = tensors.take(f"{theirs}.weight", count * size, width)
        yield Piece(name=f"{to}attn_{letter}.weight", source=weight, order=order, heads=count)
        if family.biases:
            bias = tensors.take(f"{theirs}.bias", count * size)
            yield Piece(name=f"{to}attn_{letter}.bias", source=bias, exact=True)
    output = tensors.take(f"{of}self_attn.o_proj.weight", width, heads * size)
    yield Piece(name=f"{to}attn_output.weight", source=output)


def _feed_forward(tensors: Tensors, of: str, to: str, width: int, inner: int, *, merged: bool) -> Iterator[Piece]:
    if merged:
        both = tensors.take(f"{of}shared_mlp.input_linear.weight", 2 * inner, width)
        gate, up = both.rows(0, inner), both.rows(inner, inner)
        down = tensors.take(f"{of}shared_mlp.output_linear.weight", width, inner)
    else:
        gate = tensors.take(f"{of}mlp.gate_proj.weight", inner, width)
        up = tensors.take(f"{of}mlp.up_proj.weight", inner, width)
        down = tensors.take(f"{of}mlp.down_proj.weight", width, inner)
    yield Piece(name=f"{to}ffn_gate.weight", source=gate)
    yield Piece(name=f"{to}ffn_up.weight", source=up)
    yield Piece(name=f"{to}ffn_down.weight", source=down)


def _head(tensors: Tensors, vocabulary: int, width: int, *, is_tied: bool) -> tuple[Stored | None, tuple[Piece, ...]]:
    """Return the copy of the embedding that some checkpoints have where it is the output too; else the output's own."""
    name = "lm_head.weight"
    stored = tensors.take(name, vocabulary, width) if name in tensors or not is_tied else None
    if stored is None or is_tied:
        return stored, ()
    return None, (Piece(name="output.weight", source=stored),)


def _multipliers(config: Config) -> dict[str, Value]:
    return {
        "attention.scale": config.number("attention_multiplier"),
        "embedding_scale": config.number("embedding_multiplier"),
        "residual_scale": config.number("residual_multiplier"),
        "logit_scale": config.number("logits_scaling"),
        "rope.scaling.finetuned": True,  # what llama.cpp's Granite takes for having positions at all
    }


def _rope_base(config: Config) -> float:
    """Return the base of the positions' angles, refusing angles that are scaled."""
    base = 10000.0  # transformers' default for all of these
    for key in ("rope_parameters", "rope_scaling"):
        found = config.get(key)
        if found is None:
            continue
        known = {"rope_theta", "rope_type", "type", "partial_rotary_factor"}
        plain = isinstance(found, dict) and found.keys() <= known
        if not plain or found.get("rope_type", found.get("type", "default")) != "default":
            raise Unsupported(f"`{config.name}` has `{key}` = {shown(found)}, which is not proven here", hint=HINT)
        if found.get("partial_rotary_factor", 1) != 1:
            raise Unsupported(f"`{config.name}` turns only a part of each head, which is not proven here", hint=HINT)
        base = said = found.get("rope_theta", base)
        # transformers 4 heeds the one, 5 the other.
        if "rope_theta" in found and config.get("rope_theta") not in (None, said):
            both = f"{shown(said)} in `{key}`, and {shown(config.get('rope_theta'))} beside it"
            raise Malformed(config.name, f"`rope_theta` is {both}")
    config.must("partial_rotary_factor", 1)
    if config.get("rope_theta") is not None:
        base = config.get("rope_theta")
    return config.above_0("rope_theta", base)


def _blocks(config: Config, key: str) -> int:
    count = config.count(key)
    if count > BLOCKS_LIMIT:
        raise Malformed(config.name, f"`{key}` is {count:,}, more than {BLOCKS_LIMIT:,}")
    return count


def _divides(config: Config, width: int, heads: int) -> int:
    if width % heads:
        raise Malformed(config.name, f"a width of {width} cannot be shared by {heads} heads")
    return width // heads


def _all(pieces: Iterator[Piece], tensors: Tensors) -> tuple[Piece, ...]:
    """Collect the pieces, then see that no tensor is left over."""
    found = tuple(pieces)
    tensors.finish()
    return found


_PLANNERS: Mapping[str, tuple[str, Callable[[Config, Tensors], Plan]]] = {
    "GPT2LMHeadModel": ("gpt2", _plan_gpt2),
    "GraniteForCausalLM": ("granite", _plan_granite),
    "GraniteMoeHybridForCausalLM": ("granitemoehybrid", _plan_granite4),
    "LlamaForCausalLM": ("llama", _plan_llama),
    "Qwen2ForCausalLM": ("qwen2", _plan_qwen2),
}
