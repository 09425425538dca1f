"""The forward passes in numpy: they compute what transformers does, and nothing is without effect on them."""

import json
from typing import Any

import numpy as np
import pytest

from tests.models.checkpoints import ARCHITECTURES, Architecture, configure, random_tensors
from tests.models.record import DATA
from tests.models.reference import logprobs

RECORDED = json.loads((DATA / "logprobs.json").read_text())


def name(case: dict[str, Any]) -> str:
    """Return what tells a case from the others."""
    return f"{case['architecture']} {case['style']} {', '.join([*case['changes']][4:])}".strip()


@pytest.mark.parametrize("case", RECORDED, ids=name)
def test_it_is_what_transformers_computes(case: dict[str, Any]) -> None:
    """All log-probabilities are those that `tests/models/record.py` has from transformers."""
    config = configure(case["architecture"], style=case["style"], **case["changes"])
    found = logprobs(config, random_tensors(config, case["seed"]), case["tokens"])
    assert np.abs(found - case["logprobs"]).max() < 1e-5
    assert np.exp(found).sum() == pytest.approx(1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_matters(architecture: Architecture) -> None:
    """No tensor can be mixed up unseen: with its rows turned by one, what comes out is another."""
    config = configure(architecture, vocab_size=64, tie_word_embeddings=False)
    tensors = random_tensors(config)
    tokens = [7, 50, 2, 2, 33, 8]
    right = logprobs(config, tensors, tokens)
    for each in tensors:
        wrong = {**tensors, each: np.roll(tensors[each], 1, axis=0)}
        assert np.abs(logprobs(config, wrong, tokens) - right).max() > 0.01, each


@pytest.mark.parametrize("architecture", ["granite", "granitemoehybrid"])
@pytest.mark.parametrize(
    "key", ["attention_multiplier", "embedding_multiplier", "residual_multiplier", "logits_scaling", "rope_theta"]
)
def test_every_number_matters(architecture: Architecture, key: str) -> None:
    """No multiplier can be left out unseen."""
    config = configure(architecture, vocab_size=64)
    tensors = random_tensors(config)
    tokens = [7, 50, 2, 2, 33, 8]
    change = np.abs(logprobs({**config, key: 1.0}, tensors, tokens) - logprobs(config, tensors, tokens)).max()
    assert change > 0.1
