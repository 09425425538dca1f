"""Look at a checkpoint on the Hub before its weights come: which files it is made of, and what can convert it.

Names are looked at first. Then the small files are brought to a temporary folder and read as the converter reads them,
so that what it would refuse is known before gigabytes have come. Nothing is kept.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llorch.errors import LlorchError, Malformed, NotFound, Unsupported
from llorch.models import hub
from llorch.models.architectures import plan_conversion
from llorch.models.catalog import Engine, check_target
from llorch.models.checkpoint import CONFIG, JSON_LIMIT, Checkpoint, Files, Source, Stored, read_index, read_json
from llorch.models.fetch import AT_ONCE
from llorch.models.news import SHOWN, Listed, Repository, complete
from llorch.models.part import landing
from llorch.models.reader import Tensors
from llorch.models.transfer import transfer
from llorch.models.vocabulary import load_vocabulary
from llorch.parallel import in_parallel
from llorch.progress import Silent
from llorch.text import shown

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""In transformers' order, where each may be one file or an index of several."""
INDEX = ".index.json"
MODULES = "modules.json"
"""Says that a model is one of sentence-transformers, and what is made of its last layer."""
REASON = 400
"""Letters of a reason that are told."""
TOKENIZERS = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"),
    *("vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tekken.json"),
)
"""Files of which a tokenizer is made; llorch's own converter reads the first, third and fourth."""
SETTINGS = (
    *("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json"),
    *(MODULES, "1_Pooling/config.json", "sentence_bert_config.json"),
)
"""What else either converter reads."""
_PIPELINE = "model_index.json"
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The files of a checkpoint, and what is to convert it."""

    files: tuple[Listed, ...]
    engine: Engine
    reason: str
    """Why llorch itself cannot; empty if it can."""


def is_wanted(there: Repository, file: str, *, converted: bool) -> bool:
    """Tell whether a checkpoint is meant, and no file as it is.

    Args:
        file: what was named of the repository, empty if nothing was.
        converted: whether a conversion was asked for.
    """
    if converted or not file:
        return converted or not _ggufs(there)
    is_part = "/" not in file and file.endswith((".safetensors", ".bin", INDEX)) and file in there.files
    return file == CONFIG or (is_part and CONFIG in there.files)


def preview(there: Repository, file: str = "") -> Preview:
    """Return what a repository's checkpoint is made of, and what can convert it.

    Args:
        file: one that has to be among its files; empty for any.

    Raises:
        NotFound: there is none, or a file is missing.
        Malformed: config.json, or the index of the weights, is wrong.
        LlorchError: the small files cannot be had, or it is a repository of another kind.
    """
    usable = {
        path: listed
        for path, listed in there.files.items()
        if ("/" not in path or path in SETTINGS) and check_target(path) is None
    }
    weights = [name for each in WEIGHTS for name in (each, each + INDEX) if name in usable][:1]
    lacking = [f"`{CONFIG}`"] if CONFIG not in usable else []
    lacking += ["weights (`model.safetensors`, `pytorch_model.bin`, or an index of several)"] if not weights else []
    lacking += ["a tokenizer"] if not any(name in usable for name in TOKENIZERS) else []
    _refuse_other_kinds(there, usable, lacking)
    small = [name for name in (CONFIG, *TOKENIZERS, *SETTINGS, *weights) if name in usable and name not in WEIGHTS]
    with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
        brought = in_parallel(small, lambda name: _bring(there, usable[name], Path(folder)), AT_ONCE)
        files = {name: Source(Path(folder) / name, f"{name} of {there.repo}") for name in small}
        big = [name for each in weights for name in _shards(files, each, usable)]
        engine, reason = _choose_engine(files, read_json(files[CONFIG]))
    if file and file not in (*small, *big):
        raise LlorchError(
            f"`{shown(file)}` is no file of the checkpoint in `{there.repo}`",
            hint=f"leave it out, and `{big[0]}` is converted" + (f" with {len(big) - 1} more" if big[1:] else ""),
        )
    return Preview(
        files=(*brought, *in_parallel(big, lambda name: complete(there, usable[name]), AT_ONCE)),
        engine=engine,
        reason=reason,
    )


class _Promised(Tensors):
    """The tensors of weights that are not here: all that the model needs, in the right shape."""

    def __contains__(self, name: str) -> bool:
        return False

    def take(self, name: str, *shape: int) -> Stored:
        return Stored(file=Source(Path(name), name), shape=shape, dtype="F32", offset=0, size=0)


def _ggufs(there: Repository) -> list[str]:
    return [path for path in there.files if path.lower().endswith(".gguf")]


def _shards(files: Files, weights: str, usable: Mapping[str, Listed]) -> Iterator[str]:
    """Yield the files that the weights are in."""
    if weights in WEIGHTS:
        yield weights
        return
    ending = Path(weights.removesuffix(INDEX)).suffix
    for shard in sorted({*read_index(files[weights]).values()}):
        if shard not in usable or Path(shard).suffix != ending:
            raise Malformed(files[weights].name, f"it names the shard `{shard}`, which is not there, or no shard")
        yield shard


def _refuse_other_kinds(there: Repository, usable: Mapping[str, Listed], lacking: list[str]) -> None:
    if _PIPELINE in usable:
        raise Unsupported(
            f"`{there.repo}` is a pipeline of diffusers, and no language model: it is not converted here",
            hint="take another repository",
        )
    if lacking and any(name in usable for name in _ADAPTER):
        raise Unsupported(
            f"`{there.repo}` is an adapter (LoRA): what is to be added to another model, and no model",
            hint="its page says which; take that one, or a repository in which both are merged",
        )
    if lacking:
        nor = "no checkpoint to convert" if _ggufs(there) else "neither a GGUF file nor a checkpoint to convert"
        more = f", and {len(there.files) - SHOWN} more" if len(there.files) > SHOWN else ""
        hint = f"it has {', '.join(map(shown, sorted(there.files)[:SHOWN])) or 'no files'}{more}"
        if _ggufs(there):
            hint = "it has GGUF files, which are taken as they are without `--outtype` and `--quantize`"
        raise NotFound(f"`{there.repo}` has {nor}: it lacks {', '.join(lacking)}", hint=hint)


def _bring(there: Repository, listed: Listed, folder: Path) -> Listed:
    """Fetch a small file, and return it with its sha256 if it is proven."""
    listed = complete(there, listed)
    name = f"{listed.path} of {there.repo}"
    if listed.size is None or listed.size > JSON_LIMIT:
        size = "no size" if listed.size is None else f"{listed.size:,} bytes"
        raise LlorchError(
            f"`{name}` has {size} on the Hub, and at most {JSON_LIMIT:,} are read", hint="take another repository"
        )
    with landing(folder / listed.path, name, size=listed.size, sha256=listed.sha256) as part:
        part.promise(git_oid=listed.git_oid)
        transfer(part, lambda: hub.find(there.repo, listed.path, there.commit), Silent())
    return replace(listed, sha256=part.sha256 if part.provable else None)


def _choose_engine(files: Files, config: Mapping[str, Any]) -> tuple[Engine, str]:
    if MODULES in files:
        return "llama.cpp", f"`{MODULES}` makes it a model of embeddings, which llorch itself does not convert"
    checkpoint = Checkpoint(files=files, config=config, tensors={})
    try:
        plan = plan_conversion(checkpoint, _Promised(checkpoint))
        load_vocabulary(files, config, plan.vocabulary)
    except (Malformed, Unsupported) as error:
        return "llama.cpp", shown(error.message)[:REASON]  # with what a tokenizer calls itself
    return "builtin", ""
