"""Make the untrained GPT-2 that is shipped in `llorch/models/shipped/tiny-gpt2`: `python -m tests.models.tiny_gpt2`."""

from pathlib import Path

from tests.models.checkpoints import Checkpoint, configure, random_tensors, write_model
from tests.models.vocabularies import MERGES, small

SHIPPED = Path(__file__).parent.parent.parent / "llorch/models/shipped/tiny-gpt2"
README = """\
---
license: mit
pipeline_tag: text-generation
---
# tiny-gpt2

A GPT-2 that nobody has trained: its weights are random numbers, and what it writes means nothing. It is there to try
conversion, quantization and loading without a download, as its files are laid out like those of any GPT-2 checkpoint.

2 layers of width 32 with 2 heads, 128 positions, F32; a byte-level vocabulary of 256 bytes, GPT-2's first 40 merges and
`<|endoftext|>`. `tests/models/tiny_gpt2.py` of llorch makes the same files again, byte for byte.
"""


def write_tiny_gpt2(folder: Path) -> Checkpoint:
    """Write the checkpoint, always the same."""
    vocabulary = small("gpt2", MERGES[:40])
    config = configure("gpt2", vocabulary, style="transformers-4", n_embd=32, n_head=2, n_inner=64)
    tensors = random_tensors(config)
    for name, weights in tensors.items():
        if name.endswith("c_proj.weight"):
            weights *= 2  # else it says most tokens again and again
    # Bytes that are no text alone, which come behind `~` as the space does, are to be seldom the likeliest.
    rare = [id for id, token in enumerate(vocabulary.tokens[:256]) if token > "~" and token != "Ġ"]
    tensors["transformer.wte.weight"][rare] *= 0.125
    made = write_model(folder, config, tensors, vocabulary, "transformers-4")
    (folder / "README.md").write_text(README, encoding="utf-8")
    return made


if __name__ == "__main__":
    write_tiny_gpt2(SHIPPED)
