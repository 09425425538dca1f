"""What the Hub has now: of the models in the catalog, and of a repository that is to be added.

What it tells is hostile until checked. Nothing is fetched, and nothing is written.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llorch.config import Workspace
from llorch.errors import IntegrityError, LlorchError, NotFound, Unreachable, nearest
from llorch.models import hub
from llorch.models.adopt import git_oid_of
from llorch.models.catalog import File, Model, check_repo, check_target
from llorch.models.fetch import expected_digests, usable_receipt
from llorch.parallel import in_parallel
from llorch.state import sha256_of

AT_ONCE = 8
"""Repositories that are asked for at once."""
SHOWN = 20
"""Candidates that a message names."""

Change = Literal["same", "changed", "gone", "unknown"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\.gguf)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file of a repository, as far as the Hub tells of it."""

    path: str
    size: int | None = None
    sha256: str | None = None
    git_oid: str | None = None
    """The id that git gives its contents, for files that have no sha256 there."""

    @property
    def told(self) -> bool:
        """Tell whether anything is known of its contents."""
        return self.size is not None and bool(self.sha256 or self.git_oid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository at one commit."""

    repo: str
    commit: str
    files: Mapping[str, Listed]
    license: str = ""
    gated: bool = False
    last_modified: str | None = None
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What has become of a model's files: by their path in the entry, in its order."""

    model: Model
    have: str | None
    """The commit that the entry or its receipt names."""
    latest: Repository | None
    changes: Mapping[str, Change]
    error: LlorchError | None = None

    @property
    def moved(self) -> bool:
        """Tell whether the repository is not what it was."""
        return self.latest is not None and (
            self.latest.commit != self.have if self.have else not {"same"} >= set(self.changes.values())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What a model's entry is to say so that it means one content; `open` are the files that are not proven yet."""

    model: Model
    revision: str
    files: tuple[File, ...]
    open: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Tell whether the entry says something else."""
        return (self.revision, self.files) != (self.model.entry.revision, self.model.entry.files)


def ask_repository(repo: str, revision: str | None = None) -> Repository:
    """Ask the Hub for a repository at a revision, the head of its default branch unless given.

    Raises:
        LlorchError: there is none, or the Hub cannot be asked.
    """
    hub.client()
    from huggingface_hub.errors import HFValidationError

    def question() -> Repository:
        with hub.told(repo, revision):
            try:
                found = hub.api().model_info(repo, revision=revision, files_metadata=True, timeout=hub.ask_timeout())
                return _parse(repo, found)
            except (AttributeError, KeyError, TypeError) as error:
                raise hub.of_answer(repo, error) or _no_hub() from error
            except json.JSONDecodeError:
                raise _no_hub() from None
            except HFValidationError as error:
                raise NotFound(f"`{repo}` is no repository of the Hub: {error}", hint="check the name") from None

    return hub.ask(question, f"`{repo}`")


def outdated(models: Iterable[Model], workspace: Workspace) -> list[News]:
    """Ask what the Hub has now of each model; what could not be asked has an error.

    Raises:
        Offline: asking is switched off.
    """
    hub.client()
    chosen = list(models)
    have = {model.id: _commit_of(model, workspace) for model in chosen}
    questions = dict.fromkeys((model.entry.repo, _branch_of(model)) for model in chosen)
    answers = dict(zip(questions, in_parallel(questions, _asked, AT_ONCE), strict=True))
    # Only where that leaves something open is the Hub asked what it had.
    past: dict[tuple[str, str | None], None] = {}
    for model in chosen:
        now, was = answers[model.entry.repo, _branch_of(model)], have[model.id]
        if isinstance(now, Repository) and was and "unknown" in _changes(model, workspace, now, was, None).values():
            past[model.entry.repo, was] = None
    before = dict(zip(past, in_parallel(past, _asked, AT_ONCE), strict=True))
    found = []
    for model in chosen:
        now, was = answers[model.entry.repo, _branch_of(model)], have[model.id]
        if isinstance(now, LlorchError):
            found.append(News(model=model, have=was, latest=None, changes={}, error=now))
            continue
        old = before.get((model.entry.repo, was))
        changes = _changes(model, workspace, now, was, old if isinstance(old, Repository) else None)
        found.append(News(model=model, have=was, latest=now, changes=changes))
    return found


def pin(model: Model, workspace: Workspace, revision: str | None = None) -> Pin:
    """Find out what fixes a model's contents: at `revision`, or what was fetched, or else what its entry's is now.

    Raises:
        IntegrityError: the Hub has other contents than the entry promises, and no other revision was asked for.
        LlorchError: the Hub does not have them, or cannot be asked.
    """
    receipt = usable_receipt(model, workspace)
    wanted = revision or (receipt.commit if receipt is not None else "") or model.entry.revision
    there = ask_repository(model.entry.repo, wanted)
    files, unproven = [], []
    for file in model.entry.files:
        listed = there.files.get(file.path)
        if listed is None:
            raise NotFound(
                f"`{model.entry.repo}` has no file `{file.path}` at revision `{wanted}`",
                hint=f"correct `files` of [models.{model.id}], or pin another revision with `--revision`",
            )
        listed = complete(there, listed)
        sha256 = listed.sha256 or _local_sha256(model, file, listed, workspace)
        if not revision:
            _compare(model, file, listed, sha256, workspace)
            sha256 = sha256 or file.sha256
        files.append(File(path=file.path, size=listed.size, sha256=sha256))
        if not sha256:
            unproven.append(file.path)
    return Pin(model=model, revision=there.commit, files=tuple(files), open=tuple(unproven))


def choose(there: Repository, file: str) -> tuple[Listed, ...]:
    """Return the files of a new entry: `file`, or the only GGUF there is, with all its shards.

    Raises:
        NotFound: there is no such file, or a shard is missing.
        LlorchError: there are several, or its name cannot be used.
    """
    usable = {path: listed for path, listed in there.files.items() if check_target(path) is None}
    if file:
        complaint = check_target(file)
        if complaint is not None:
            raise LlorchError(f"a file called so cannot be had: {complaint}", hint="choose another file")
        if file not in usable:
            near = nearest(file, list(usable))
            raise NotFound(
                f"`{there.repo}` has no file `{file}`" + (f"; did you mean `{near}`?" if near else ""),
                hint=_candidates(there, _series(usable)),
            )
        return _with_shards(there, usable, file)
    series = _series(usable)
    if len(series) != 1:
        what = f"{len(series)} GGUF files" if series else "no GGUF file"
        raise LlorchError(f"`{there.repo}` has {what}: say which file to add", hint=_candidates(there, series))
    (paths,) = series.values()
    return _with_shards(there, usable, paths[0])


def slug(path: str) -> str:
    """Return the id that a file suggests, empty if it has no letter or digit.

    >>> slug("sub/Qwen2.5 7B-Q4_K_M-00001-of-00002.gguf")
    'qwen2.5-7b-q4_k_m'
    """
    name = path.rsplit("/", 1)[-1]
    shard = _SHARD.fullmatch(name)
    stem = shard["stem"] if shard else re.sub(r"\.gguf\Z", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:100]


def complete(there: Repository, listed: Listed) -> Listed:
    """Return a file with what a mirror leaves out of its lists: size, and sha256 or git id.

    Raises:
        LlorchError: it cannot be asked for.
    """
    if listed.told:
        return listed
    found = hub.ask(lambda: hub.find(there.repo, listed.path, there.commit), f"`{listed.path}` of `{there.repo}`")
    return Listed(path=listed.path, size=found.size, sha256=found.sha256, git_oid=found.git_oid)


def _asked(question: tuple[str, str | None]) -> Repository | LlorchError:
    try:
        return ask_repository(*question)
    except LlorchError as error:
        return error


def _parse(repo: str, info: Any) -> Repository:
    """Take of an answer what has the form that it should have."""
    if not (isinstance(info.sha, str) and _COMMIT.fullmatch(info.sha)):
        raise _no_hub()
    files = {}
    for sibling in info.siblings or ():
        size, path = sibling.size, sibling.rfilename
        sha256 = sibling.lfs.sha256 if sibling.lfs else None
        files[path] = Listed(
            path=path,
            size=size if type(size) is int and 0 <= size < 1 << 63 else None,
            sha256=sha256 if sha256 and re.fullmatch(r"[0-9a-f]{64}", sha256) else None,
            git_oid=sibling.blob_id if not sibling.lfs and _COMMIT.fullmatch(sibling.blob_id or "") else None,
        )
    licenses = [tag.removeprefix("license:") for tag in info.tags or () if tag.startswith("license:")]
    license = "".join(char for char in (licenses or [""])[0] if char.isprintable())[:100]
    modified = info.last_modified.strftime("%Y-%m-%dT%H:%M:%SZ") if info.last_modified else None
    # A repository that was renamed answers under its old name too, until somebody else takes that.
    now = info.id if isinstance(info.id, str) and check_repo(info.id) is None else repo
    return Repository(
        repo=now, commit=info.sha, files=files, license=license, gated=bool(info.gated), last_modified=modified
    )


def _no_hub() -> Unreachable:
    return Unreachable(
        f"`{hub.endpoint()}` does not answer like a Hub: a login page of the network may stand before it",
        hint="open any page in a browser and log in to the network; or check HF_ENDPOINT",
    )


def _commit_of(model: Model, workspace: Workspace) -> str | None:
    """Return the commit that a model's files are of, as far as it is known."""
    if _COMMIT.fullmatch(model.entry.revision):
        return model.entry.revision
    receipt = usable_receipt(model, workspace)
    return (receipt.commit if receipt is not None else "") or None


def _branch_of(model: Model) -> str | None:
    """Return the branch or tag that a model follows, None for the default one."""
    return None if _COMMIT.fullmatch(model.entry.revision) else model.entry.revision


def _changes(
    model: Model, workspace: Workspace, now: Repository, was: str | None, old: Repository | None
) -> dict[str, Change]:
    digests = expected_digests(model, workspace)
    found: dict[str, Change] = {}
    for file in model.entry.files:
        listed = now.files.get(file.path)
        before = old.files.get(file.path) if old is not None else None
        digest = digests.get(file.path) or (before.sha256 if before is not None else None)
        if listed is None:
            found[file.path] = "gone"
        elif digest is not None and listed.sha256 is not None:
            found[file.path] = "same" if digest == listed.sha256 else "changed"
        elif was == now.commit:
            found[file.path] = "same"
        elif before is not None and before.told and listed.told:
            found[file.path] = "same" if before == listed else "changed"
        else:
            found[file.path] = "unknown"
    return found


def _compare(model: Model, promise: File, listed: Listed, sha256: str | None, workspace: Workspace) -> None:
    """Refuse contents that are not the promised ones; `sha256` is theirs, where it is known."""
    place = workspace.path(model.path(promise))
    expected = actual = ""
    if promise.sha256 is not None and sha256 is not None:
        expected, actual = f"sha256 {promise.sha256}", f"sha256 {sha256}"
    elif promise.sha256 is not None and place.is_file() and sha256_of(place) == promise.sha256:
        expected, actual = f"git id {git_oid_of(place)}", f"git id {listed.git_oid}"
    if expected == actual and promise.size is not None and listed.size is not None:
        expected, actual = f"{promise.size} bytes", f"{listed.size} bytes"
    if expected != actual:
        raise IntegrityError(
            f"{promise.path} of {model.entry.repo}",
            expected,
            actual,
            hint=f"it was changed there; `llorch models outdated {model.id}` shows what is new,"
            f" `llorch models pin {model.id} --revision REV` takes another revision as it is",
        )


def _local_sha256(model: Model, file: File, listed: Listed, workspace: Workspace) -> str | None:
    """Return the sha256 of the file on this machine if it is proven to be the one on the Hub."""
    place = workspace.path(model.path(file))
    if listed.git_oid is None or not place.is_file() or git_oid_of(place) != listed.git_oid:
        return None
    return sha256_of(place)


def _series(usable: Mapping[str, Listed]) -> dict[str, list[str]]:
    """Return the GGUF files, those of one split series together."""
    found: dict[str, list[str]] = {}
    for path in sorted(usable):
        shard = _SHARD.fullmatch(path)
        if path.lower().endswith(".gguf"):
            found.setdefault(f"{shard['stem']}-of-{shard['count']}" if shard else path, []).append(path)
    return found


def _with_shards(there: Repository, usable: Mapping[str, Listed], path: str) -> tuple[Listed, ...]:
    shard = _SHARD.fullmatch(path)
    if shard is None:
        return (complete(there, usable[path]),)
    count = int(shard["count"])
    if not 0 < count <= 1000:
        raise LlorchError(f"`{path}` is not of a series that can be had", hint="choose another file")
    names = [f"{shard['stem']}-{number:05}-of-{shard['count']}{shard['ending']}" for number in range(1, count + 1)]
    missing = [name for name in names if name not in usable]
    if missing:
        raise NotFound(
            f"`{there.repo}` lacks {len(missing)} of the {count} files of `{path}`, the first of them `{missing[0]}`",
            hint="choose another file, or another revision with `--revision`",
        )
    return tuple(complete(there, usable[name]) for name in names)


def _candidates(there: Repository, series: Mapping[str, list[str]]) -> str:
    """Return what can be chosen from, with sizes."""
    if not series and "config.json" in there.files and any(path.endswith(".safetensors") for path in there.files):
        return "it has a checkpoint, which is converted if no file is named"
    if not series:
        return f"see {hub.endpoint()}/{there.repo}/tree/{there.commit} for its files"
    lines = []
    for paths in [*series.values()][:SHOWN]:
        sizes = [there.files[path].size for path in paths]
        size = f"{sum(size or 0 for size in sizes):,} bytes" if None not in sizes else "size unknown"
        also = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        lines.append(f"  {there.repo}:{paths[0]}{also} ({size})")
    more = [f"  and {len(series) - SHOWN} more"] if len(series) > SHOWN else []
    return "\n".join(["name one of", *lines, *more])
