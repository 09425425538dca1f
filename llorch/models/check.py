"""Whether a model works: its GGUF file loads in llama.cpp and generates. What its bytes are is for `verify`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llorch.config import Workspace
from llorch.errors import LlorchError
from llorch.models import llama
from llorch.models.catalog import Model
from llorch.text import shown

MARGIN = 8
"""Tokens of context besides those of prompt and answer: for what a tokenizer puts in front."""
MONOTONE = 8
"""So many times the same token, and nothing else, is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found: `tokens` were generated, in `seconds` with loading; `detail` is a sentence, or empty."""

    ok: bool
    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    detail: str = ""


def find_gguf(model: Model, workspace: Workspace) -> str:
    """Return the GGUF file that a model is used by: what is made of it last, else its first, of a split one part 1.

    Raises:
        LlorchError: there is none, or something of it is not on disk.
    """
    files = [model.main] if model.made else [path for path in model.paths if path.lower().endswith(".gguf")]
    if not files:
        raise LlorchError(
            f"`{model.id}` has no GGUF file, and llama.cpp loads no others",
            hint=f"`llorch models info {model.id}` shows its files; `convert` in its entry has a GGUF made of them",
        )
    for path in files:
        if not workspace.path(path).is_file():
            raise LlorchError(f"`{path}` is not on disk", hint=f"`llorch models download {model.id}` gets it")
    return model.main


def check(path: Path, prompt: str, tokens: int, timeout: float) -> Report:
    """Load a GGUF file in llama.cpp and have it go on with a prompt, always by the likeliest token.

    Args:
        timeout: seconds for all of it.

    Raises:
        ToolMissing: xllamacpp is not installed, or cannot be loaded.
    """
    # A token is a byte at the least. Weights that are not finite are named by llama.cpp if it is told to look.
    settings = {"n_ctx": len(prompt.encode()) + tokens + MARGIN, "check_tensors": True}
    completion = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "n_probs": 1}
    begun = time.monotonic()
    outcome = llama.run(path, settings, [completion], timeout=timeout)
    seconds = time.monotonic() - begun
    if outcome.failure:
        return Report(ok=False, seconds=seconds, detail=outcome.failure)
    (answer,) = outcome.answers
    if "error" in answer:
        said = shown(str(answer["error"]["message"]))
        return Report(ok=False, seconds=seconds, detail=f"llama.cpp loads it and generates nothing: {said}")
    flaw, note = _judge(answer, tokens)
    return Report(
        ok=not flaw,
        text=answer["choices"][0]["text"],
        tokens=answer["usage"]["completion_tokens"],
        seconds=seconds,
        detail=flaw or note,
    )


def _judge(answer: Mapping[str, Any], asked: int) -> tuple[str, str]:
    """Return what is wrong with an answer, and what is only worth a word; each empty if there is nothing."""
    (choice,) = answer["choices"]
    count = answer["usage"]["completion_tokens"]
    # A token that ends within a character has none, and logprobs is null if that is so of all.
    said = choice["logprobs"]["content"] if choice["logprobs"] else []
    # What is NaN or infinite is null in JSON.
    if any(token["logprob"] is None for token in said):
        return "its probabilities are no numbers (NaN): weights are wrong, or their products overflow", ""
    if count < asked and choice["finish_reason"] != "stop":
        return f"only {count} of {asked} tokens came", ""
    if not said:
        return "no whole character came; ask for more tokens", ""
    ids = [token["id"] for token in said]
    if len(ids) >= MONOTONE and len(set(ids)) == 1:
        return "", "it says one token over and over, as after an overflow, or as some small models do"
    return "", "" if choice["text"] else "it ends at once, without a word"
