"""Open a checkpoint as the Hub keeps them: its config.json, and where each of its tensors lies. No tensor is read.

What the files say is compared with what is there: an index that names a shard which is not, or a tensor that is not in
the shard, is refused. What the numbers mean is for `architectures`.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from llorch.errors import Malformed, NotFound
from llorch.models.pickled import load_pickled
from llorch.models.safetensors import DTYPES, NAME_LIMIT, load_safetensors

CONFIG = "config.json"
JSON_LIMIT = 64 << 20
"""Bytes of a JSON file; the biggest tokenizers have half of it."""


class Source(NamedTuple):
    """A file of a checkpoint, and how messages call it."""

    place: Path
    name: str


Files = Mapping[str, Source]
"""The files of a checkpoint's folder by their names in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A tensor on disk, row after row; `offset` and `size` in bytes of the file."""

    file: Source
    shape: tuple[int, ...]
    dtype: str
    offset: int
    size: int

    def rows(self, first: int, count: int) -> "Stored":
        """Return some of its rows."""
        row = math.prod(self.shape[1:]) * DTYPES[self.dtype] // 8
        return replace(self, shape=(count, *self.shape[1:]), offset=self.offset + first * row, size=count * row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint: what config.json says, and its tensors by their names."""

    files: Files
    config: Mapping[str, Any]
    tensors: Mapping[str, Stored]


def choose_files(every: Mapping[str, tuple[Path, str]]) -> Files:
    """Return the files of the checkpoint among those of a model: those in the folder of config.json.

    Args:
        every: place and name in messages, by the path in the model's entry.
    """
    configs = sorted((path for path in every if os.path.basename(path) == CONFIG), key=len)
    folder = os.path.dirname(configs[0]) if configs else ""
    return {
        os.path.basename(path): Source(*source) for path, source in every.items() if os.path.dirname(path) == folder
    }


def open_checkpoint(files: Files) -> Checkpoint:
    """Read config.json and the headers of the weights.

    Raises:
        NotFound: there is no config.json, or there are no weights.
        Malformed: a file is wrong, or two of them contradict each other.
    """
    if CONFIG not in files:
        raise NotFound(f"there is no `{CONFIG}` among the files", hint="add it to the entry's `files`")
    config = read_json(files[CONFIG])
    tensors: dict[str, Stored] = {}
    ending = _ending(files)
    for name in sorted(name for name in files if name.endswith(ending)):
        for tensor, stored in _tensors(files[name]):
            if tensor in tensors:
                raise Malformed(files[name].name, f"tensor `{tensor}` is in `{tensors[tensor].file.name}` too")
            tensors[tensor] = stored
    for name in files:
        if name.endswith(f"{ending}.index.json"):
            _check_index(files[name], files, tensors)
    return Checkpoint(files=files, config=config, tensors=tensors)


def read_json(source: Source) -> dict[str, Any]:
    """Return the object that a JSON file has.

    Raises:
        Malformed: it has none, or cannot be read.
    """
    try:
        with open(source.place, "rb") as file:
            text = file.read(JSON_LIMIT + 1)
        if len(text) > JSON_LIMIT:
            raise Malformed(source.name, f"it has more than {JSON_LIMIT >> 20} MiB")
        found = json.loads(text.decode())
        if b"\\ud" in text.lower():  # half of a pair of surrogates is no text, and cannot be written
            json.dumps(found, ensure_ascii=False).encode()
    except OSError as error:
        raise Malformed(source.name, f"it cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(source.name, f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Malformed(source.name, "it has no JSON object")
    return found


def _ending(files: Files) -> str:
    """Return what the names of the weights end in: those that torch pickled count where there are no others."""
    for ending in (".safetensors", ".bin"):
        if any(name.endswith(ending) for name in files):
            return ending
    raise NotFound(
        "there are no weights among the files: no `.safetensors`, no `.bin`", hint="add them to the entry's `files`"
    )


def _tensors(source: Source) -> Iterator[tuple[str, Stored]]:
    if source.place.suffix == ".bin":
        tensors, start = load_pickled(source.place, source.name), 0
    else:
        header = load_safetensors(source.place, source.name)
        tensors, start = header.tensors, header.data_offset
    for tensor in tensors:
        yield (
            tensor.name,
            Stored(file=source, shape=tensor.shape, dtype=tensor.dtype, offset=start + tensor.offset, size=tensor.size),
        )


def _is_name(found: Any) -> bool:
    """Tell whether something can be a name, and be shown on a terminal."""
    return isinstance(found, str) and len(found) <= NAME_LIMIT and found.isprintable()


def read_index(index: Source) -> Mapping[str, str]:
    """Return in which shard each tensor is, as an index says.

    Raises:
        Malformed: it does not say so, or in names that no file or tensor has.
    """
    said = read_json(index).get("weight_map")
    if not isinstance(said, dict) or not said or not all(map(_is_name, (*said, *said.values()))):
        raise Malformed(index.name, "its `weight_map` is no object of file names")
    return said


def _check_index(index: Source, files: Files, tensors: Mapping[str, Stored]) -> None:
    """Compare what an index says with the shards."""
    said = read_index(index)
    for tensor, shard in said.items():
        if shard not in files:
            raise Malformed(
                index.name, f"it names the shard `{shard}`, which is not there", hint="add it to the entry's `files`"
            )
        if tensor not in tensors or tensors[tensor].file != files[shard]:
            raise Malformed(index.name, f"it says that tensor `{tensor}` is in `{shard}`, and it is not")
    extra = next((tensor for tensor in tensors if tensor not in said), None)
    if extra is not None:
        raise Malformed(index.name, f"it does not name tensor `{extra}` of `{tensors[extra].file.name}`")
