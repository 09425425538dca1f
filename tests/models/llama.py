"""Run GGUF files in llama.cpp to compare what they compute, exactly as far as llama.cpp can: all in F32."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llorch.models.llama import run

ALL = 1 << 20
"""More tokens than a vocabulary has."""
EXACT = {
    "cache_type_k": 0,  # GGML_TYPE_F32
    "cache_type_v": 0,
    "flash_attn_type": 0,  # LLAMA_FLASH_ATTN_TYPE_DISABLED
    "fit_params": False,  # looks how much fits on a GPU, which takes longer than to load a small file
}
MARGIN = 8


def logprobs(path: Path, tokens: Sequence[int]) -> list[float]:
    """Return the natural log-probability of each token of the vocabulary, by its id, to come after these tokens."""
    (found,) = logprobs_of(path, [tokens])
    return found


def logprobs_of(path: Path, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return the same for several prompts, which are read as they are: no token is put in front."""
    return [[said[id] for id in range(len(said))] for said in likeliest(path, prompts, ALL)]


def likeliest(path: Path, prompts: Sequence[Sequence[int] | str], count: int) -> list[dict[int, float]]:
    """Return the log-probabilities of the likeliest tokens to come after each prompt, by their ids."""
    completions = [
        {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "n_predict": 1,
            "temperature": 0,
            "n_probs": count,
            "cache_prompt": False,  # each by itself: what was computed for another may differ in its last digits
            # What is said does not matter, but must not end within a character, for which there are no probabilities;
            # the first token of a vocabulary does not. They are those from before this bias.
            "logit_bias": [[0, 1e6]],
        }
        for prompt in prompts
    ]
    found = []
    room = max(len(prompt.encode()) if isinstance(prompt, str) else len(prompt) for prompt in prompts)
    for answer in _answers(path, room + MARGIN, completions):
        (said,) = answer["choices"][0]["logprobs"]["content"]
        found.append({token["id"]: token["logprob"] for token in said["top_logprobs"]})
    return found


def greedy(path: Path, prompt: str, count: int) -> str:
    """Return how a file goes on with a prompt, always by the likeliest token."""
    completion = {"prompt": prompt, "n_predict": count, "temperature": 0}
    (answer,) = _answers(path, len(prompt.encode()) + count + MARGIN, [completion])
    return str(answer["choices"][0]["text"])


def _answers(path: Path, context: int, completions: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    outcome = run(path, {**EXACT, "n_ctx": context}, completions, timeout=600)
    assert not outcome.failure, outcome.failure
    assert not any("error" in answer for answer in outcome.answers), outcome.answers
    return outcome.answers
