"""Vocabularies: what becomes of real and small tokenizers, and that no other is taken for one of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from llorch.errors import Malformed, Unsupported
from llorch.models.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, Vocabulary, load_vocabulary
from tests.models import vocabularies
from tests.models.test_checkpoint import files_of
from tests.models.vocabularies import TEMPLATE, Kind, Style, small

PRE: dict[Kind, str] = {"gpt2": "gpt-2", "granite": "dbrx", "qwen2": "qwen2", "smollm2": "smollm"}
SIZE = 400
Change = Callable[[dict[str, Any]], object]


def load(folder: Path, config: dict[str, Any] | None = None, size: int = SIZE) -> Vocabulary:
    """Read the vocabulary in a folder."""
    return load_vocabulary(files_of(folder), config or {}, size)


@pytest.mark.parametrize("style", get_args(Style))
@pytest.mark.parametrize("kind", get_args(Kind))
def test_tokens_merges_and_types_are_taken_over(tmp_path: Path, kind: Kind, style: Style) -> None:
    """Tokens by id, fillers above them, special tokens as control tokens, the merges in order, the way of splitting."""
    written = small(kind)
    written.write(tmp_path, style)
    found = load(tmp_path)
    count = len(written.tokens)
    assert found.tokens[:count] == written.tokens
    assert found.tokens[count:] == tuple(f"[PAD{id}]" for id in range(count, SIZE))
    special = {id for id in written.added if written.is_special(id)}
    assert {id for id, type in enumerate(found.types) if type == CONTROL} == special
    assert {id for id, type in enumerate(found.types) if type == USER_DEFINED} == written.added - special
    assert found.types[count:] == (UNUSED,) * (SIZE - count)
    assert found.types.count(NORMAL) == count - len(written.added)
    assert found.merges == tuple(" ".join(pair) for pair in written.merges)
    assert found.pre == PRE[kind]
    assert found.add == {"bos": False, "eos": False}
    assert found.chat_template == ("" if kind == "gpt2" else TEMPLATE)
    roles = {role: written.id(role) for role in ("bos", "eos", "pad", "unk")}
    told = kind != "gpt2" or style != "hub"  # whose tokenizer_config.json names none
    assert found.special == ({role: id for role, id in roles.items() if id is not None} if told else {})


@pytest.mark.parametrize("kind", get_args(Kind))
def test_real_vocabularies_are_taken_over(
    kind: Kind, real_vocabulary: Callable[[Kind], vocabularies.Vocabulary], tmp_path: Path
) -> None:
    """All of a real vocabulary's tokens and merges are there, in order."""
    written = real_vocabulary(kind)
    written.write(tmp_path)
    found = load(tmp_path, size=len(written.tokens) + 1)
    assert found.tokens == (*written.tokens, f"[PAD{len(written.tokens)}]")
    assert found.merges == tuple(" ".join(pair) for pair in written.merges)


def test_config_names_special_tokens_that_the_tokenizer_does_not(tmp_path: Path) -> None:
    """Ids in config.json stand in for what tokenizer_config.json leaves out, and do not overrule it."""
    small("gpt2").write(tmp_path, "hub")
    assert load(tmp_path, {"bos_token_id": 309, "eos_token_id": [1, 2]}).special == {"bos": 309}
    small("smollm2").write(tmp_path, "hub")
    assert load(tmp_path, {"bos_token_id": 0}).special["bos"] == 1


GPT2 = {"architectures": ["GPT2LMHeadModel"]}


def test_gpt2_without_tokenizer_json(tmp_path: Path) -> None:
    """GPT-2's own two files are enough."""
    written = small("gpt2")
    written.write(tmp_path)
    whole = load(tmp_path, GPT2)
    (tmp_path / "tokenizer.json").unlink()
    assert load(tmp_path, GPT2) == whole
    (tmp_path / "merges.txt").write_text("a b c\n")
    with pytest.raises(Malformed, match=r"`merges.txt` is malformed: the merge 'a b c' is no pair of tokens"):
        load(tmp_path, GPT2)
    (tmp_path / "merges.txt").write_bytes(b"\xff")
    with pytest.raises(Malformed, match=r"`merges.txt` is malformed: it cannot be read"):
        load(tmp_path, GPT2)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(Unsupported, match=r"there is no `tokenizer\.json`"):
        load(tmp_path, GPT2)


def test_the_two_files_are_enough_for_gpt2_alone(tmp_path: Path) -> None:
    """Qwen2 and Llama have files of these names too, and split text in another way."""
    small("qwen2").write(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(Unsupported, match=r"there is no `tokenizer\.json`"):
        load(tmp_path, {"architectures": ["Qwen2ForCausalLM"]})


@pytest.mark.parametrize("name", ["tokenizer_config.json", "added_tokens.json"])
def test_added_tokens_want_tokenizer_json(tmp_path: Path, name: str) -> None:
    """Without it, what was added to GPT-2's tokens would be fillers."""
    small("gpt2").write(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    added = {"<x>": 390} if name == "added_tokens.json" else {"added_tokens_decoder": {"390": {"content": "<x>"}}}
    (tmp_path / name).write_text(json.dumps(added))
    with pytest.raises(Unsupported, match="there are added tokens"):
        load(tmp_path, GPT2)


def test_more_tokens_than_any_file_may_have(tmp_path: Path) -> None:
    """A size that nobody has is refused before there is a filler for each."""
    small("gpt2").write(tmp_path)
    with pytest.raises(Malformed, match="has 1,000,000,000,000 embeddings, more than"):
        load(tmp_path, size=10**12)


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    """Return a pre-tokenizer of several steps."""
    return {"type": "Sequence", "pretokenizers": list(steps)}


DIGITS = {"type": "Digits", "individual_digits": True}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPLIT = {"type": "Split", "pattern": {"Regex": vocabularies.CL100K}, "behavior": "Isolated", "invert": False}
RAW = {**BYTES, "use_regex": False}


@pytest.mark.parametrize(
    ("pre_tokenizer", "ignore_merges", "name"),
    [
        (BYTES, False, "gpt-2"),
        ({key: BYTES[key] for key in ("type", "add_prefix_space")}, False, "gpt-2"),
        (sequence(BYTES), False, "gpt-2"),
        (sequence(DIGITS, BYTES), False, "smollm"),
        (sequence(SPLIT, RAW), False, "dbrx"),
        (sequence(SPLIT, RAW), True, "llama-bpe"),
        (sequence({**SPLIT, "behavior": "Removed", "invert": True}, RAW), False, "dbrx"),
        (sequence({**SPLIT, "pattern": {"Regex": vocabularies.QWEN2}}, RAW), False, "qwen2"),
        (sequence({**SPLIT, "pattern": {"Regex": vocabularies.QWEN2}}, RAW), True, None),
        (None, False, None),
        ({**BYTES, "add_prefix_space": True}, False, None),
        ({"type": "ByteLevel"}, False, None),
        (BYTES, True, None),
        (RAW, False, None),
        ({"type": "Metaspace"}, False, None),
        (sequence(), False, None),
        ({"type": "Sequence", "pretokenizers": 5}, False, None),
        (sequence({**DIGITS, "individual_digits": False}, BYTES), False, None),
        (sequence(BYTES, DIGITS), False, None),
        (sequence(DIGITS, DIGITS, BYTES), False, None),
        (sequence(SPLIT, BYTES), False, None),
        (sequence(SPLIT, SPLIT, RAW), False, None),
        (sequence({**SPLIT, "invert": True}, RAW), False, None),
        (sequence({**SPLIT, "pattern": {"String": " "}}, RAW), False, None),
        (sequence({**SPLIT, "pattern": {"Regex": vocabularies.CL100K + "|x"}}, RAW), False, None),
        (sequence({**SPLIT, "pattern": None}, RAW), False, None),
    ],
)
def test_the_way_of_splitting_is_told_from_its_structure(
    tmp_path: Path, pre_tokenizer: Any, ignore_merges: bool, name: str | None
) -> None:
    """Known structures have llama.cpp's name, whatever the words are; one that is only like them is refused."""
    change(tmp_path, lambda t: t.update(pre_tokenizer=pre_tokenizer))
    change(tmp_path, lambda t: t["model"].update(ignore_merges=ignore_merges), anew=False)
    if name is not None:
        assert load(tmp_path).pre == name
        return
    with pytest.raises(Unsupported, match="it splits text in a way that is not known here") as caught:
        load(tmp_path)
    assert 'engine = "llama.cpp"' in str(caught.value.hint)


def change(folder: Path, edit: Change, *, anew: bool = True) -> None:
    """Write a small tokenizer with a change in its tokenizer.json."""
    if anew:
        small("gpt2").write(folder, "transformers-4")
    document = json.loads((folder / "tokenizer.json").read_text())
    edit(document)
    (folder / "tokenizer.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda t: t["model"].update(type="WordPiece"), "its model is WordPiece, not BPE"),
        (lambda t: t["model"].update(type="Unigram"), "its model is Unigram, not BPE"),
        (lambda t: t["model"].update(byte_fallback=True), "its model has `byte_fallback`"),
        (lambda t: t["model"].update(dropout=0.1), "its model has `dropout`"),
        (lambda t: t["model"].update(end_of_word_suffix="</w>"), "its model has `end_of_word_suffix`"),
        (lambda t: t["model"].update(continuing_subword_prefix="##"), "its model has `continuing_subword_prefix`"),
        (lambda t: t.update(normalizer={"type": "NFC"}), "it has the normalizer NFC"),
        (lambda t: t.update(normalizer={"type": "Lowercase"}), "it has the normalizer Lowercase"),
        (lambda t: t.update(decoder={"type": "WordPiece"}), "its decoder is not ByteLevel"),
        (lambda t: t.update(decoder=None), "its decoder is not ByteLevel"),
        (lambda t: t.update(post_processor={"type": "RobertaProcessing"}), "the post-processor RobertaProcessing"),
        (lambda t: t.update(post_processor=template("a", "a", None)), "its template is more than one token"),
        (lambda t: t.update(post_processor=template(None, None)), "its template is more than one token"),
        (lambda t: t.update(post_processor=template("a", None, "a", "a")), "its template is more than one token"),
        (lambda t: t.update(post_processor=template("x", None)), "its template has `x` where the `bos` token belongs"),
    ],
)
def test_tokenizers_that_are_not_known_are_refused(tmp_path: Path, edit: Change, what: str) -> None:
    """Whatever would make other tokens of a text is refused by name."""
    change(tmp_path, edit)
    with pytest.raises(Unsupported) as caught:
        load(tmp_path)
    assert what in caught.value.message
    assert "`tokenizer.json`" in caught.value.message


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda t: t.update(model=None), "its vocabulary is no object of token ids"),
        (lambda t: t["model"].update(vocab=[]), "its vocabulary is no object of token ids"),
        (lambda t: t["model"].update(vocab={}), "its vocabulary is no object of token ids"),
        (lambda t: t["model"]["vocab"].update(x="1"), "its vocabulary is no object of token ids"),
        (lambda t: t["model"]["vocab"].update(x=-1), "its vocabulary is no object of token ids"),
        (lambda t: t["model"]["vocab"].update(x=0), "two tokens of its vocabulary have one id"),
        (lambda t: t["model"]["vocab"].update(x=1 << 40), "the token id 1,099,511,627,776, and the model has 400 emb"),
        (lambda t: t["model"]["vocab"].update(x=400), "the token id 400, and the model has 400 embeddings"),
        (lambda t: t["model"].update(merges=None), "it has no merges"),
        (lambda t: t["model"].update(merges=[]), "it has no merges"),
        (lambda t: t["model"].update(merges=["a"]), "the merge 'a' is no pair of tokens"),
        (lambda t: t["model"].update(merges=[["a", "b", "c"]]), "is no pair of tokens"),
        (lambda t: t["model"].update(merges=[["a", 5]]), "is no pair of tokens"),
        (lambda t: t["model"].update(merges=["z z"]), "the merge 'z z' is of tokens that its vocabulary does not have"),
        (lambda t: t["model"]["vocab"].update({"a ": 390, "a b": 391}), None),
        (lambda t: t["model"].update(merges=[["a ", "b"]]), "is of tokens that its vocabulary does not have"),
        (lambda t: t.update(added_tokens=[{"id": 5}]), "one of its `added_tokens` has no text or no id"),
        (lambda t: t.update(added_tokens=[{"content": "x", "id": -1}]), "one of its `added_tokens`"),
        (lambda t: t.update(added_tokens=[7]), "one of its `added_tokens` has no text or no id"),
        (lambda t: t.update(added_tokens=7), "`added_tokens` is no list"),
        (lambda t: t.update(post_processor={"type": "TemplateProcessing", "single": 7}), "`single` is no list"),
        (lambda t: t["added_tokens"].append({"id": 5, "content": "[x]"}), "and '[x]' have one id, 5"),
        (lambda t: t["added_tokens"].append({"id": 390, "content": "a"}), "two ids have the token 'a'"),
        (lambda t: t["added_tokens"].append({"id": 390, "content": "[PAD391]"}), "two ids have the token '[PAD391]'"),
    ],
)
def test_tokenizers_that_are_wrong_are_refused(tmp_path: Path, edit: Change, what: str | None) -> None:
    """A vocabulary with holes, doubles or wrong types is malformed, and the message says where."""
    change(tmp_path, edit)
    if what is None:
        load(tmp_path)
        return
    with pytest.raises(Malformed) as caught:
        load(tmp_path)
    assert caught.value.message.startswith("`tokenizer.json` is malformed: ")
    assert what in caught.value.message


def template(*names: str | None) -> dict[str, Any]:
    """Return a post-processor that puts tokens around a text, which is None here."""
    parts = [{"Sequence": {"id": "A"}} if name is None else {"SpecialToken": {"id": name}} for name in names]
    return {"type": "Sequence", "processors": [RAW, {"type": "TemplateProcessing", "single": parts}]}


END = "<|endoftext|>"


@pytest.mark.parametrize(
    ("parts", "settings", "add"),
    [
        ((END, None), {}, (True, False)),
        ((None, END), {}, (False, True)),
        ((END, None, END), {}, (True, True)),
        ((None,), {}, (False, False)),
        ((END, None), {"add_bos_token": False}, (False, False)),
        ((None,), {"add_bos_token": True, "add_eos_token": True}, (True, True)),
    ],
)
def test_tokens_around_a_text(
    tmp_path: Path, parts: tuple[str | None, ...], settings: dict[str, bool], add: tuple[bool, bool]
) -> None:
    """The tokenizer's template says whether a text begins and ends with special tokens, its settings overrule it."""
    change(tmp_path, lambda t: t.update(post_processor=template(*parts)))
    document = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(document | settings))
    assert load(tmp_path).add == dict(zip(("bos", "eos"), add, strict=True))


def test_a_token_that_is_not_there_is_not_put_in_front(tmp_path: Path) -> None:
    """Without a `bos` token there is nothing to add, whatever the settings say; one out of range is refused."""
    small("gpt2").write(tmp_path, "hub")
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    assert load(tmp_path).add == {"bos": False, "eos": False}
    with pytest.raises(Malformed, match="its `bos` token would be 400, and there are 400"):
        load(tmp_path, {"bos_token_id": 400})
    (tmp_path / "tokenizer_config.json").unlink()
    assert load(tmp_path).special == {}


def test_the_default_of_several_chat_templates(tmp_path: Path) -> None:
    """Of several templates by name the default one is taken; a file of its own is one, unless it cannot be read."""
    small("smollm2").write(tmp_path, "hub")
    several = [{"name": "tool", "template": "no"}, {"name": "default", "template": "yes"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert load(tmp_path).chat_template == "yes"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several[:1]}))
    assert load(tmp_path).chat_template == ""
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(Malformed, match=r"`chat_template.jinja` is malformed"):
        load(tmp_path)
