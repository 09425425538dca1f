"""Vocabularies for checkpoints: that what the tokenizers package makes of their files is in them, and goes back."""

import json
import unicodedata
from collections.abc import Callable
from typing import get_args

import pytest

from tests.models.record import DATA, TEXTS
from tests.models.vocabularies import Kind, Vocabulary, byte_letters, small

RECORDED = json.loads((DATA / "tokens.json").read_text())
KINDS: tuple[Kind, ...] = get_args(Kind)
SIZES = {"gpt2": (50257, 50000), "granite": (100272, 100000), "qwen2": (151648, 151387), "smollm2": (49152, 48900)}


def text(vocabulary: Vocabulary, ids: list[int]) -> str:
    """Return the text that tokens stand for."""
    return bytes(byte_letters().index(letter) for id in ids for letter in vocabulary.tokens[id]).decode()


def check(vocabulary: Vocabulary, recorded: list[list[int]]) -> None:
    """Compare the recorded tokens with the texts that they are of, and the merges with the tokens that they make."""
    for wanted, ids in zip(TEXTS, recorded, strict=True):
        composed = unicodedata.normalize("NFC", wanted)
        assert text(vocabulary, ids) == (composed if vocabulary.kind == "qwen2" else wanted)
    known = set(vocabulary.tokens)
    assert len(known) == len(vocabulary.tokens)
    assert all({left, right, left + right} <= known for left, right in vocabulary.merges)


@pytest.mark.parametrize("kind", KINDS)
def test_small_vocabularies_are_whole(kind: Kind) -> None:
    """Any bytes can be said with the few tokens, and all that was recorded is said back."""
    vocabulary = small(kind)
    assert {*byte_letters()} < {*vocabulary.tokens}
    check(vocabulary, RECORDED[f"small {kind}"])


@pytest.mark.parametrize("kind", KINDS)
def test_real_vocabularies_are_real(kind: Kind, real_vocabulary: Callable[[Kind], Vocabulary]) -> None:
    """They are as big as the models' own, and all that was recorded is said back."""
    vocabulary = real_vocabulary(kind)
    assert (len(vocabulary.tokens), len(vocabulary.merges)) == SIZES[kind]
    check(vocabulary, RECORDED[f"real {kind}"])


def test_kinds_split_text_each_in_its_way() -> None:
    """The recorded tokens of ` 1999` tell the kinds apart: one takes digits by threes, one with the space before."""
    merged = {kind: "19" in [small(kind).tokens[id] for id in RECORDED[f"small {kind}"][1]] for kind in KINDS}
    assert merged == {"gpt2": False, "granite": True, "qwen2": False, "smollm2": False}
    spaced = {kind: "Ġ1" in [small(kind).tokens[id] for id in RECORDED[f"small {kind}"][1]] for kind in KINDS}
    assert spaced == {"gpt2": True, "granite": False, "qwen2": False, "smollm2": False}
