"""Conversions, held against what the checkpoint computes, and the many ways in which a checkpoint can be wrong."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

from llorch.errors import DiskFull, IntegrityError, LlorchError, Malformed, Unsupported
from llorch.models import architectures, convert
from llorch.models.architectures import Piece, Plan
from llorch.models.catalog import Outtype
from llorch.models.gguf import Gguf, load_gguf
from llorch.progress import Silent
from tests.conftest import sha256
from tests.models import llama
from tests.models.checkpoints import (
    ARCHITECTURES,
    KINDS,
    Architecture,
    Checkpoint,
    Dtype,
    configure,
    random_tensors,
    write_checkpoint,
    write_model,
    write_safetensors,
)
from tests.models.conftest import Heard
from tests.models.record import TEXTS
from tests.models.reference import logprobs
from tests.models.smollm2 import FRANCE, PARIS, smollm2_as_granite, smollm2_as_llama
from tests.models.test_checkpoint import FIRST, INDEX, SECOND, files_of, rewrite
from tests.models.tiny_gpt2 import SHIPPED
from tests.models.vocabularies import Kind, Style, Vocabulary, small

TOKENS = ((5, 17, 200, 33, 100, 7), (250,), tuple(range(20, 60)))
# The greatest differences of log-probabilities that a right conversion may have: ggml looks GELU up in a table of F16,
# and computes products in the type of the weights. The random models enlarge what a trained one would not.
EXACT: Mapping[Architecture, float] = {**dict.fromkeys(ARCHITECTURES, 1e-3), "gpt2": 1e-2}
ROUNDED: Mapping[Outtype, float] = {"f16": 0.1, "bf16": 0.6, "q8_0": 1.2}


def make(folder: Path, outtype: Outtype = "f32") -> Path:
    """Convert the checkpoint in a folder, and return the GGUF file."""
    place = folder.with_name(f"{folder.name} {outtype}.gguf")
    convert.convert(files_of(folder), place, "it.gguf", model="it", outtype=outtype, progress=Silent())
    return place


def difference(path: Path, checkpoint: Checkpoint, texts: Sequence[Sequence[int]] = TOKENS) -> float:
    """Return how far apart the log-probabilities are that a file and its checkpoint give for some texts."""
    found = llama.logprobs_of(path, texts)
    right = [logprobs(checkpoint.config, checkpoint.tensors, tokens) for tokens in texts]
    return max(float(np.abs(np.array(a) - b).max()) for a, b in zip(found, right, strict=True))


@pytest.mark.parametrize(("style", "dtype"), [("hub", "f32"), ("transformers-4", "f16"), ("transformers-5", "bf16")])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_computes_what_the_checkpoint_does(
    tmp_path: Path, architecture: Architecture, style: Style, dtype: Dtype
) -> None:
    """In llama.cpp the file gives every token the probability that the checkpoint does, as far as its type allows."""
    written = write_checkpoint(
        tmp_path / "ö", architecture, style=style, dtype=dtype, shards=2 if dtype == "bf16" else 1
    )
    assert difference(make(written.folder), written) <= EXACT[architecture]
    for outtype, limit in ROUNDED.items():
        assert difference(make(written.folder, outtype), written) <= limit


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("gpt2", "gpt2"), ("granitemoehybrid", "granite"), ("llama", "smollm2"), ("qwen2", "qwen2")],
)
def test_it_does_with_a_real_vocabulary(
    tmp_path: Path, architecture: Architecture, kind: Kind, real_vocabulary: Callable[[Kind], Vocabulary]
) -> None:
    """With all tokens of a real model, and embeddings that no token has, it is the same."""
    written = write_checkpoint(tmp_path / "x", architecture, style="transformers-5", vocabulary=real_vocabulary(kind))
    assert difference(make(written.folder), written, [(1000, 2, 30_000, 7)]) <= EXACT[architecture]


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("gpt2", {"tie_word_embeddings": False, "n_inner": 96}),
        ("llama", {"tie_word_embeddings": False, "head_dim": 32}),
        ("llama", {"num_key_value_heads": 4, "rope_theta": 500}),
        ("granitemoehybrid", {"tie_word_embeddings": False, "num_key_value_heads": 1}),
        ("granite", {"logits_scaling": 8.0, "attention_multiplier": 0.0078125, "embedding_multiplier": 12}),
        ("qwen2", {"tie_word_embeddings": False, "rms_norm_eps": 1e-3}),
    ],
)
def test_it_does_with_other_settings(tmp_path: Path, architecture: Architecture, changes: Mapping[str, Any]) -> None:
    """A head of its own, heads of another size, other groups and numbers: each is taken over."""
    written = write_checkpoint(tmp_path / "x", architecture, **changes)
    assert difference(make(written.folder), written) <= EXACT[architecture]


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_copy_of_the_embedding_has_to_be_one(tmp_path: Path, architecture: Architecture) -> None:
    """Where config.json ties them, a head that is the embedding is left out, and another one is refused."""
    config = configure(architecture, tie_word_embeddings=True)
    tensors = random_tensors({**config, "tie_word_embeddings": False})
    embedding = next(tensor for name, tensor in tensors.items() if "wte" in name or "embed_tokens" in name)
    tensors["lm_head.weight"] = embedding.copy()
    written = write_model(tmp_path / "x", config, tensors, small(KINDS[architecture]))
    assert difference(make(written.folder), written) <= EXACT[architecture]
    tensors["lm_head.weight"][-1, -1] += 1
    write_model(tmp_path / "y", config, tensors, small(KINDS[architecture]))
    with pytest.raises(Unsupported, match="has an output that is not the embedding"):
        make(tmp_path / "y")


RECORDED = json.loads((Path(__file__).parent / "data/tokens.json").read_text())
NORMALIZED = TEXTS[4]
"""Has letters that Qwen2's tokenizer composes first (NFC), and llama.cpp does not, whoever has converted the model."""


@pytest.mark.parametrize("size", ["small", "real"])
@pytest.mark.parametrize("kind", get_args(Kind))
def test_text_becomes_the_same_tokens(
    tmp_path: Path, kind: Kind, size: str, real_vocabulary: Callable[[Kind], Vocabulary]
) -> None:
    """llama.cpp splits and merges a text as the checkpoint's own tokenizer does, whose tokens are recorded."""
    vocabulary = small(kind) if size == "small" else real_vocabulary(kind)
    write_checkpoint(tmp_path / "x", "llama", vocabulary=vocabulary)
    texts = dict(zip(TEXTS, RECORDED[f"{size} {kind}"], strict=True))
    if kind == "qwen2":
        del texts[NORMALIZED]
    found = llama.likeliest(make(tmp_path / "x", "f16"), [*texts, *texts.values()], 20)
    assert found[: len(texts)] == found[len(texts) :]
    assert len({max(each, key=each.__getitem__) for each in found}) > 1


def untransposed(piece: Piece) -> Piece:
    """Leave a square matrix of GPT-2 as it is."""
    return replace(piece, order="rows") if piece.order == "transposed" and len({*piece.shape}) == 1 else piece


def swapped(pieces: tuple[Piece, ...]) -> Iterator[Piece]:
    """Take gate for up and up for gate."""
    sources = {piece.name: piece.source for piece in pieces}
    names = {"ffn_gate": "ffn_up", "ffn_up": "ffn_gate"}
    for piece in pieces:
        block, _, rest = piece.name.rpartition("ffn_")
        kind = f"ffn_{rest}".removesuffix(".weight")
        yield replace(piece, source=sources[f"{block}{names[kind]}.weight"]) if block and kind in names else piece


def without(key: str) -> Callable[[Plan], Plan]:
    """Have a multiplier change nothing."""
    return lambda plan: replace(plan, parameters={**plan.parameters, key: 1.0})


def each(change: Callable[[Piece], Piece]) -> Callable[[Plan], Plan]:
    """Change every tensor."""
    return lambda plan: replace(plan, pieces=tuple(map(change, plan.pieces)))


MISTAKES: Mapping[str, tuple[Architecture, Callable[[Plan], Plan]]] = {
    "no transpose": ("gpt2", each(untransposed)),
    "no permutation": ("granitemoehybrid", each(lambda piece: replace(piece, order="rows"))),
    "no permutation of k": (
        "llama",
        each(lambda piece: replace(piece, order="rows") if "attn_k" in piece.name else piece),
    ),
    "a permutation too many": (
        "qwen2",
        each(lambda piece: replace(piece, order="rotary", heads=4) if "attn_q.weight" in piece.name else piece),
    ),
    "q permuted as k": (
        "granite",
        each(lambda piece: replace(piece, heads=2) if "attn_q" in piece.name else piece),
    ),
    "gate and up swapped": (
        "granitemoehybrid",
        lambda plan: replace(plan, pieces=tuple(swapped(plan.pieces))),
    ),
    "no attention multiplier": ("granitemoehybrid", without("attention.scale")),
    "no embedding multiplier": ("granitemoehybrid", without("embedding_scale")),
    "no residual multiplier": ("granitemoehybrid", without("residual_scale")),
    "no logits scaling": ("granitemoehybrid", without("logit_scale")),
    "no rope base": ("llama", without("rope.freq_base")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_caught(tmp_path: Path, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that makes a mistake is found out by the comparison, by far: nothing here passes by chance."""
    architecture, wrong = MISTAKES[mistake]
    written = write_checkpoint(tmp_path / "x", architecture)
    right = architectures.plan_conversion
    monkeypatch.setattr(convert, "plan_conversion", lambda checkpoint: wrong(right(checkpoint)))
    assert difference(make(written.folder), written) > 50 * EXACT[architecture]


def knows_paris(checkpoint: Checkpoint) -> npt.NDArray[np.float64]:
    """Return what SmolLM2's checkpoint says after `The capital of France is`: ` Paris`, as sure as in transformers."""
    words = [checkpoint.vocabulary.tokens[id] for id in (*FRANCE, PARIS)]
    assert words == ["The", "Ġcapital", "Ġof", "ĠFrance", "Ġis", "ĠParis"]
    found = logprobs(checkpoint.config, checkpoint.tensors, FRANCE)
    assert found.argmax() == PARIS
    assert found[PARIS] == pytest.approx(-0.2606, abs=1e-3)  # transformers 5.23.0 says so
    return found


def test_a_real_model_still_knows_paris(tmp_path: Path, smollm2: Path) -> None:
    """SmolLM2, laid out as a Granite 4, goes on with the capital of France as before, and as exactly as it should.

    In F16, too: tests/e2e/test_convert.py.
    """
    written = smollm2_as_granite(tmp_path / "granite", smollm2)
    exact = make(written.folder)
    found = llama.logprobs(exact, FRANCE)
    assert np.abs(np.array(found) - knows_paris(written)).max() <= 1e-3
    assert int(np.argmax(found)) == PARIS


def test_and_as_the_llama_that_it_is(tmp_path: Path, smollm2: Path) -> None:
    """Laid out as on the Hub, a LlamaForCausalLM in BF16, it is converted too."""
    written = smollm2_as_llama(tmp_path / "llama", smollm2)
    knows_paris(written)
    assert "Paris" in llama.greedy(make(written.folder, "auto"), "The capital of France is", 8)


DIGESTS: Mapping[Outtype, str] = {
    "f32": "89faf8460c9a824a87dbf781e56cee3362bded92b72446ec8aca2d43eda037ae",
    "f16": "b131b26a9c2e23e3ba7ab0ff13dfb3f38b1b03a600bee7083791aa12fa5c63b0",
    "bf16": "ad31df3376b5ae412c94b67bd38e4e496661b29bd440625cd1c03625ac94f423",
    "q8_0": "56573636f5d4aeb188bcb09526f5265f1103bb3c9d9e7172548801c55fdc9a8d",
    "auto": "b131b26a9c2e23e3ba7ab0ff13dfb3f38b1b03a600bee7083791aa12fa5c63b0",
}


@pytest.mark.parametrize("outtype", get_args(Outtype))
def test_the_same_checkpoint_becomes_the_same_file(tmp_path: Path, outtype: Outtype) -> None:
    """The bytes are always the same. If these change on purpose, `CONVERTER` in llorch/models/tasks.py has to rise."""
    (tmp_path / "it").symlink_to(SHIPPED)
    assert sha256(make(tmp_path / "it", outtype).read_bytes()) == DIGESTS[outtype]


def types_of(path: Path) -> dict[str, str]:
    """Return the type of each tensor of a file."""
    return {tensor.name: tensor.type for tensor in header(path).tensors}


def header(path: Path) -> Gguf:
    """Return a file's header."""
    return load_gguf(path, path.name)


@pytest.mark.parametrize(("dtype", "main"), [("f32", "F16"), ("f16", "F16"), ("bf16", "BF16")])
def test_auto_keeps_the_type_of_the_checkpoint(tmp_path: Path, dtype: Dtype, main: str) -> None:
    """`auto` is the type that the checkpoint has, and F16 for one in F32; norms, biases and positions stay F32."""
    written = write_checkpoint(tmp_path / "x", "gpt2", dtype=dtype)
    found = header(make(written.folder, "auto"))
    types = {tensor.name: tensor.type for tensor in found.tensors}
    assert found.quantization.name == main
    assert {types[name] for name in ("token_embd.weight", "blk.0.attn_qkv.weight", "blk.1.ffn_down.weight")} == {main}
    assert {types[name] for name in ("position_embd.weight", "output_norm.weight", "blk.0.attn_qkv.bias")} == {"F32"}


def test_rows_that_do_not_fill_blocks_stay_f16(tmp_path: Path) -> None:
    """Q8_0 has blocks of 32: a matrix with other rows is F16, and the file still computes the same."""
    written = write_checkpoint(tmp_path / "x", "llama", intermediate_size=80)
    found = make(written.folder, "q8_0")
    types = types_of(found)
    assert (types["blk.0.ffn_down.weight"], types["blk.0.ffn_up.weight"]) == ("F16", "Q8_0")
    assert difference(found, written) <= ROUNDED["q8_0"]


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_the_size_of_the_portions_is_of_no_account(
    tmp_path: Path, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few rows at a time, or one head: the file is the same as in one piece."""
    written = write_checkpoint(tmp_path / "x", architecture, dtype="bf16")
    files = []
    for portion in (1, 3000, 1 << 30):
        monkeypatch.setattr(convert, "CHUNK", portion)
        files.append(make(written.folder, "q8_0").read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_numbers_too_large_for_f16_are_refused(tmp_path: Path, dtype: Dtype) -> None:
    """A weight beyond 65,504 would become infinite in F16; the other types have room for it."""
    config = configure("llama")
    tensors = random_tensors(config)
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = 70_000
    written = write_model(tmp_path / "x", config, tensors, small("smollm2"), dtype=dtype)
    with pytest.raises(Unsupported, match=r"has values for `blk.1.ffn_up.weight` that are too large for F16") as caught:
        make(written.folder, "f16")
    assert caught.value.hint == 'set `outtype = "bf16"` or `"f32"` in the entry\'s `convert`'
    assert not [*tmp_path.glob("*.gguf*")]
    make(written.folder, "bf16")


@pytest.mark.parametrize("tiny", [1e-45, 1e-41, 3.7e-37, 3.9e-37])
def test_numbers_too_small_for_a_scale_are_nothing(tmp_path: Path, tiny: float) -> None:
    """A row that was never trained, next to 0, is 0 in Q8_0, and the others are what they are."""
    config = configure("llama")
    tensors = random_tensors(config)
    row = tensors["model.layers.1.mlp.up_proj.weight"][3]
    row[:] = 0
    zero = make(write_model(tmp_path / "zero", config, tensors, small("smollm2")).folder, "q8_0")
    row[:] = tiny
    written = write_model(tmp_path / "tiny", config, tensors, small("smollm2"))
    small_ones = make(written.folder, "q8_0")
    assert small_ones.stat().st_size == zero.stat().st_size
    assert difference(small_ones, written) <= ROUNDED["q8_0"]


@pytest.mark.parametrize("outtype", get_args(Outtype))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_what_is_no_number_is_refused(tmp_path: Path, dtype: Dtype, value: float, outtype: Outtype) -> None:
    """Weights that are NaN or infinite are a damaged checkpoint, whatever would become of them."""
    config = configure("gpt2", n_layer=1)
    tensors = random_tensors(config)
    tensors["h.0.mlp.c_fc.weight"][3, 4] = value
    write_model(tmp_path / "x", config, tensors, small("gpt2"), dtype=dtype)
    with pytest.raises(Malformed, match=r"`model.safetensors` is malformed: .*`blk.0.ffn_up.weight`.* not finite"):
        make(tmp_path / "x", outtype)


def rewrite_config(folder: Path, **changes: Any) -> None:
    """Change a config.json."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: (d / SECOND).unlink(), f"it names the shard `{SECOND}`, which is not there"),
        (lambda d: (d / INDEX).unlink() or (d / SECOND).unlink(), "the model needs a tensor `"),
        (lambda d: rewrite(d, lambda names: names.update(x=FIRST)), "tensor `x` is in"),
        (lambda d: (d / FIRST).write_bytes((d / FIRST).read_bytes()[:-4]), f"`{FIRST}` is malformed"),
        (lambda d: (d / "tokenizer.json").write_text("{}"), "it splits text in a way that is not known here"),
        (lambda d: (d / "tokenizer.json").unlink(), "no `tokenizer.json` among the files"),
        (lambda d: rewrite_config(d, vocab_size=200), "tensor `model.embed_tokens.weight` is 314 x 64"),
        (lambda d: rewrite_config(d, num_hidden_layers=1), "has a tensor `model.layers.1."),
        (lambda d: rewrite_config(d, architectures=["BertModel"]), "is of 'BertModel'"),
        (
            lambda d: write_safetensors(d / "more.safetensors", {"extra": ("I8", (1,), b"1")}),
            "does not name tensor `extra`",
        ),
    ],
)
def test_what_cannot_be_converted_leaves_nothing(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    """A checkpoint that is wrong ends in one message, and no file, not even a part, is there."""
    written = write_checkpoint(tmp_path / "x", "llama", dtype="bf16", shards=2)
    if "tokenizer.json` among" in message:
        (written.folder / "vocab.json").unlink()
    spoil(written.folder)
    with pytest.raises(LlorchError) as caught:
        make(written.folder)
    assert message in caught.value.message
    assert [path.name for path in tmp_path.glob("x*")] == ["x"]


def test_quantized_checkpoints_are_refused(tmp_path: Path) -> None:
    """Weights that are stored as something else than numbers of 16 or 32 bits are not taken."""
    written = write_checkpoint(tmp_path / "x", "llama")
    every = {name: ("I8", array.shape, bytes(array.size)) for name, array in written.tensors.items()}
    write_safetensors(written.folder / "model.safetensors", every)
    with pytest.raises(
        Unsupported, match=r"has a tensor for `token_embd.weight` of I8, which is none of F32, F16, BF16"
    ):
        make(written.folder)


def test_progress_is_in_bytes(tmp_path: Path) -> None:
    """The size of the file is announced, and every byte of it is counted."""
    written = write_checkpoint(tmp_path / "x", "gpt2")
    heard, place = Heard(), tmp_path / "x.gguf"
    convert.convert(files_of(written.folder), place, "x", model="x", outtype="f16", progress=heard)
    assert heard.totals == [place.stat().st_size]
    assert heard.advanced == place.stat().st_size
    assert heard.said == ["28 tensors, F16"]


def test_too_little_room_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is known before anything is written, and compared with what the disk has."""
    written = write_checkpoint(tmp_path / "x", "gpt2")
    full = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(DiskFull, match=r"`it` needs [\d,]+ bytes, and `.*` has 1,000 left"):
        make(written.folder)
    assert [path.name for path in tmp_path.glob("x*")] == ["x"]


def test_a_header_that_cannot_be_read_back_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is read back before it has its name."""
    written = write_checkpoint(tmp_path / "x", "gpt2")
    monkeypatch.setattr(convert, "_header", lambda *_: bytes(1000))
    with pytest.raises(Malformed, match=r"`it.gguf` is malformed: it begins with"):
        make(written.folder)
    assert [path.name for path in tmp_path.glob("x*")] == ["x"]


def test_weights_that_go_away_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another run sets aside at this moment is what cannot be read; nothing is wrong with the new one."""
    written = write_checkpoint(tmp_path / "x", "gpt2")
    check = convert._check_stored

    def take_away(plan: Plan) -> None:
        check(plan)
        (written.folder / "model.safetensors").unlink()

    monkeypatch.setattr(convert, "_check_stored", take_away)
    with pytest.raises(Malformed, match=r"`model\.safetensors` is malformed: it cannot be read: No such file"):
        make(written.folder)


def test_weights_that_shrink_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is cut while it is read ends in a message."""
    written = write_checkpoint(tmp_path / "x", "gpt2")
    check = convert._check_stored

    def cut(plan: Plan) -> None:
        check(plan)
        weights = written.folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100_000])

    monkeypatch.setattr(convert, "_check_stored", cut)
    with pytest.raises((Malformed, IntegrityError), match="the file is getting shorter"):
        make(written.folder)
