"""What is taken over of a checkpoint, and that whatever is not proven is refused by name. Numbers: `test_convert`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from llorch.errors import LlorchError, Malformed, Unsupported
from llorch.models.architectures import Plan, plan_conversion
from llorch.models.checkpoint import open_checkpoint
from tests.models.checkpoints import (
    ARCHITECTURES,
    Architecture,
    configure,
    random_tensors,
    write_checkpoint,
    write_model,
)
from tests.models.test_checkpoint import files_of
from tests.models.vocabularies import Style, small


def plan(folder: Path, architecture: Architecture, **changes: Any) -> Plan:
    """Write a checkpoint with changes in its config.json, and plan its conversion."""
    write_checkpoint(folder, architecture, **changes)
    return plan_conversion(open_checkpoint(files_of(folder)))


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_has_a_place(tmp_path: Path, architecture: Architecture, style: Style) -> None:
    """Whoever wrote the checkpoint, all of its numbers are in the plan, in tensors with llama.cpp's names."""
    written = write_checkpoint(tmp_path, architecture, style=style)
    found = plan_conversion(open_checkpoint(files_of(tmp_path)))
    assert found.architecture == architecture.removesuffix("moehybrid")
    assert sum(int(np.prod(piece.shape)) for piece in found.pieces) == sum(
        each.size for each in written.tensors.values()
    )
    names = [piece.name for piece in found.pieces]
    assert len(set(names)) == len(names)
    assert {"token_embd.weight", "blk.1.attn_norm.weight", "output_norm.weight"} <= {*names}
    assert "output.weight" not in names
    assert found.vocabulary == written.config["vocab_size"]
    assert found.parameters["block_count"] == 2


def test_gpt2_parameters(tmp_path: Path) -> None:
    """GPT-2's numbers are where llama.cpp looks for them, an inner width of its own too."""
    assert plan(tmp_path, "gpt2", n_inner=96).parameters == {
        "block_count": 2,
        "context_length": 128,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.layer_norm_epsilon": 1e-5,
    }


@pytest.mark.parametrize("architecture", ["granite", "granitemoehybrid"])
def test_granite_parameters(tmp_path: Path, architecture: Architecture) -> None:
    """Granite's multipliers are among its numbers, whatever its layout, and its positions are said to be used."""
    assert plan(tmp_path, architecture).parameters == {
        "block_count": 2,
        "context_length": 256,
        "embedding_length": 64,
        "feed_forward_length": 96,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "attention.value_length": 16,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.scale": 0.5,
        "embedding_scale": 1.5,
        "residual_scale": 0.7,
        "logit_scale": 0.5,
        "rope.dimension_count": 16,
        "rope.freq_base": 10_000_000.0,
        "rope.scaling.finetuned": True,
        "vocab_size": 384,
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_head_of_its_own(tmp_path: Path, architecture: Architecture) -> None:
    """An output that is not the embedding is a tensor; the copy that some keep of one that is, is left out."""
    assert plan(tmp_path, architecture, tie_word_embeddings=False).pieces[-1].name == "output.weight"
    config = configure(architecture, tie_word_embeddings=True)
    tensors = random_tensors({**config, "tie_word_embeddings": False})
    write_model(tmp_path, config, tensors, small("smollm2"))
    names = [piece.name for piece in plan_conversion(open_checkpoint(files_of(tmp_path))).pieces]
    assert "output.weight" not in names


def test_heads_of_another_size(tmp_path: Path) -> None:
    """Llama's heads may be of a size that the width does not tell."""
    found = plan(tmp_path, "llama", head_dim=32)
    assert (found.parameters["attention.key_length"], found.parameters["rope.dimension_count"]) == (32, 32)


def test_as_many_keys_as_heads_where_nothing_is_said(tmp_path: Path) -> None:
    """A config.json of before grouped heads has no `num_key_value_heads`."""
    write_checkpoint(tmp_path, "llama", num_key_value_heads=4)
    edit(tmp_path, lambda config: config.pop("num_key_value_heads"))
    assert plan_conversion(open_checkpoint(files_of(tmp_path))).parameters["attention.head_count_kv"] == 4


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the config.json of a folder."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


REFUSED: list[tuple[Architecture, Mapping[str, Any]]] = [
    ("gpt2", {"activation_function": "gelu"}),
    ("gpt2", {"activation_function": "relu"}),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    ("gpt2", {"scale_attn_weights": False}),
    ("gpt2", {"add_cross_attention": True}),
    ("gpt2", {"quantization_config": {"bits": 4}}),
    ("gpt2", {"auto_map": {"AutoModelForCausalLM": "x.Y"}}),
    ("llama", {"hidden_act": "gelu"}),
    ("llama", {"model_type": "qwen2"}),
    ("llama", {"attention_bias": True}),
    ("llama", {"mlp_bias": True}),
    ("llama", {"rope_interleaved": True}),
    ("llama", {"pretraining_tp": 2}),
    ("llama", {"partial_rotary_factor": 0.5}),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
    ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}),
    ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}),
    ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}),
    ("llama", {"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
    ("llama", {"rope_scaling": "linear"}),
    ("llama", {"layer_types": ["full_attention", "sliding_attention"]}),
    ("llama", {"layer_types": ["full_attention"]}),
    ("llama", {"text_config": {}}),
    ("qwen2", {"use_sliding_window": True}),
    ("qwen2", {"use_mrope": True}),
    ("qwen2", {"head_dim": 32}),
    ("granite", {"attention_bias": True}),
    ("granite", {"head_dim": 8}),
    ("granitemoehybrid", {"num_local_experts": 8}),
    ("granitemoehybrid", {"position_embedding_type": "nope"}),
    ("granitemoehybrid", {"position_embedding_type": None}),
    ("granitemoehybrid", {"layer_types": ["mamba", "attention"]}),
    ("granitemoehybrid", {"layer_types": None}),
    ("granitemoehybrid", {"normalization_function": "layernorm"}),
    ("granitemoehybrid", {"attention_bias": True}),
    ("llama", {"architectures": ["MistralForCausalLM"]}),
    ("llama", {"architectures": ["LlamaForCausalLM", "GPT2LMHeadModel"]}),
    ("llama", {"architectures": None}),
    ("llama", {"architectures": [["LlamaForCausalLM"]]}),
]


@pytest.mark.parametrize(("architecture", "changes"), REFUSED, ids=str)
def test_what_is_not_proven_is_refused(tmp_path: Path, architecture: Architecture, changes: Mapping[str, Any]) -> None:
    """A setting that would make another model of it is refused by its name, with llama.cpp's converter as a way out."""
    write_checkpoint(tmp_path, architecture)
    edit(tmp_path, lambda config: config.update(changes))
    with pytest.raises(Unsupported) as caught:
        plan_conversion(open_checkpoint(files_of(tmp_path)))
    (key,) = changes
    assert "`config.json`" in caught.value.message
    assert key in caught.value.message or key in ("architectures", "rope_parameters")
    assert 'engine = "llama.cpp"' in str(caught.value.hint)


WRONG: list[tuple[Architecture, Mapping[str, Any], str]] = [
    ("gpt2", {"n_embd": 65}, "a width of 65 cannot be shared by 4 heads"),
    ("gpt2", {"n_layer": 0}, "`n_layer` is to be a number above 0, and is 0"),
    ("gpt2", {"n_layer": 513}, "`n_layer` is 513, more than 512"),
    ("gpt2", {"n_layer": 3}, "the model needs a tensor `h.2.ln_1.weight`, and the weights have none"),
    ("gpt2", {"vocab_size": 5}, "tensor `wte.weight` is 310 x 64, and by `config.json` it is 5 x 64"),
    ("gpt2", {"layer_norm_epsilon": None}, "`layer_norm_epsilon` is to be a number above 0, and is None"),
    ("llama", {"rope_theta": 1e-60}, "`rope_theta` is to be a number above 0, and is 1e-60"),
    ("gpt2", {"tie_word_embeddings": "yes"}, "`tie_word_embeddings` is to be true or false, and is 'yes'"),
    ("llama", {"num_key_value_heads": 3}, "4 heads of 16 cannot share 3 of keys and values"),
    ("llama", {"head_dim": 15}, "4 heads of 15 cannot share 2 of keys and values"),
    ("llama", {"rope_theta": -1}, "`rope_theta` is to be a number above 0, and is -1"),
    ("llama", {"rope_theta": None, "rope_parameters": {"rope_theta": "x"}}, "`rope_theta` is to be a number above 0"),
    ("llama", {"rope_theta": 5, "rope_parameters": {"rope_theta": 6}}, "is 6 in `rope_parameters`, and 5 beside it"),
    ("llama", {"tie_word_embeddings": False}, "the model needs a tensor `lm_head.weight`, and the weights have none"),
    ("granite", {"residual_multiplier": None}, "`residual_multiplier` is to be a number above 0, and is None"),
    ("granitemoehybrid", {"shared_intermediate_size": 95}, "is 192 x 64, and by `config.json` it is 190 x 64"),
]


def test_heads_of_one_are_refused(tmp_path: Path) -> None:
    """llama.cpp loads a GPT-2 with as many heads as its width has numbers, and ends at the first token."""
    write_checkpoint(tmp_path, "gpt2")
    edit(tmp_path, lambda config: config.update(n_head=config["n_embd"]))
    with pytest.raises(Unsupported, match=r"has heads of 1, which llama.cpp cannot compute"):
        plan_conversion(open_checkpoint(files_of(tmp_path)))


@pytest.mark.parametrize(("architecture", "changes", "message"), WRONG, ids=str)
def test_configs_that_do_not_fit_are_refused(
    tmp_path: Path, architecture: Architecture, changes: Mapping[str, Any], message: str
) -> None:
    """Numbers that are none, or that do not fit the tensors, are refused with what is there and what would be right."""
    write_checkpoint(tmp_path, architecture)
    edit(tmp_path, lambda config: config.update(changes))
    with pytest.raises(Malformed) as caught:
        plan_conversion(open_checkpoint(files_of(tmp_path)))
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("architecture", "name", "kind"),
    [
        ("llama", "model.layers.0.self_attn.q_proj.bias", Unsupported),
        ("llama", "model.layers.2.input_layernorm.weight", Unsupported),
        ("llama", "model.layers.0.self_attn.q_norm.weight", Unsupported),
        ("granitemoehybrid", "model.layers.0.block_sparse_moe.router.layer.weight", Unsupported),
        ("gpt2", "h.0.crossattention.c_attn.weight", Unsupported),
        ("gpt2", "score.weight", Unsupported),
        ("gpt2", "transformer.wte.weight", Malformed),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", None),
    ],
)
def test_tensors_that_are_not_known_are_refused(
    tmp_path: Path, architecture: Architecture, name: str, kind: type[LlorchError] | None
) -> None:
    """A tensor more is another model, unless it is known to be none of the weights."""
    config = configure(architecture)
    tensors = {**random_tensors(config), name: np.zeros(64, np.float32)}
    write_model(tmp_path, config, tensors, small("gpt2"))
    checkpoint = open_checkpoint(files_of(tmp_path))
    if kind is None:
        assert plan_conversion(checkpoint).architecture == architecture
        return
    with pytest.raises(kind) as caught:
        plan_conversion(checkpoint)
    assert f"`{name}`" in caught.value.message
