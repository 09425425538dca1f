"""The untrained GPT-2 that is shipped: what made it, what it says of itself, and that it computes something."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from llorch.models.safetensors import load_safetensors
from tests.models.reference import logprobs
from tests.models.tiny_gpt2 import SHIPPED, write_tiny_gpt2
from tests.models.vocabularies import byte_letters


def test_what_is_shipped_is_what_is_made(tmp_path: Path) -> None:
    """Each shipped file is made again byte for byte, and there are no others."""
    write_tiny_gpt2(tmp_path)
    assert {path.name for path in SHIPPED.iterdir()} == {path.name for path in tmp_path.iterdir() if path.is_file()}
    for path in SHIPPED.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_it_is_small_and_says_what_it_is() -> None:
    """All of it takes little in the package, and nobody can take it for a trained model."""
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 160_000
    assert "nobody has trained" in (SHIPPED / "README.md").read_text(encoding="utf-8")
    assert load_safetensors(SHIPPED / "model.safetensors", "it").dtypes == ("F32",)


def test_what_it_says_depends_on_what_it_was_told(tmp_path: Path) -> None:
    """Its probabilities are neither alike nor all on one token, and change with each token before and its place."""
    made = write_tiny_gpt2(tmp_path)
    texts = [(10, 20, 30), (11, 20, 30), (20, 10, 30), (20, 30), (50, 257, 261)]
    found = [logprobs(made.config, made.tensors, text) for text in texts]
    assert len({int(each.argmax()) for each in found}) >= 3
    for each, other in pairwise(found):
        assert -3 < each.max() < -0.1
        assert np.abs(each - other).max() > 0.1


def test_what_it_writes_is_text(tmp_path: Path) -> None:
    """Its likeliest tokens are bytes of UTF-8 together, so that whoever tries it can read what comes out."""
    made = write_tiny_gpt2(tmp_path)
    letters = byte_letters()
    tokens = [51, 258]  # `The`
    for _ in range(24):
        tokens.append(int(logprobs(made.config, made.tensors, tokens).argmax()))
    written = "".join(made.vocabulary.tokens[id] for id in tokens)
    assert bytes(map(letters.index, written)).decode().isprintable()
    assert len(set(tokens)) >= 5
