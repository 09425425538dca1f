"""What is left over is found and removed; what is needed, held, young or behind a link is not."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llorch.config import Settings, Workspace
from llorch.errors import DiskFull
from llorch.models import leftovers
from llorch.models.catalog import Entry, File, Model
from llorch.models.leftovers import Found, find_leftovers, remove
from tests.conftest import as_mortal

BASE = ".test-models"
HUB = f"{BASE}/m/.cache/huggingface/download"
HF = "home/.cache/huggingface/hub"
OLD = time.time() - 2 * leftovers.YOUNG


def put(path: Path, *, old: bool = True) -> Path:
    """Write a file of seven bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1234567")
    if old:
        os.utime(path, (OLD, OLD))
    return path


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the kernel's lock on a file, as another process would."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find(root: Path, *models: Model) -> Found:
    """Look for leftovers."""
    known = {model.id: model for model in models}
    return find_leftovers(Workspace(root=root, declared=True), Settings(), known)


def paths(root: Path, *models: Model) -> list[str]:
    """Return the paths of the leftovers, those of the home as `~`."""
    return sorted(item.path.replace(os.environ["HOME"], "~") for item in find(root, *models).leftovers)


def model(source: str = "hf", *files: str) -> Model:
    """Return a model with these files in the folder `m`."""
    return Model("m", Entry(files=tuple(File(path=path) for path in files), source=source), f"{BASE}/m")


def test_all_kinds_are_found(workspace: Path) -> None:
    """Parts, files kept aside, receipts' parts, the Hub client's files, and the folder for temporary things."""
    home = Path(os.environ["HOME"])
    for name in (
        "gone/a.gguf.part",
        "gone/sub/b.replaced",
        "m/receipt.json.part",
        "m/a.gguf",
        "m/receipt.json",
        "m/mine",
    ):
        put(workspace / BASE / name)
    put(workspace / HUB / "sub/x.abc.1234.incomplete")
    put(workspace / HUB / "sub/x.metadata")
    blobs = home / ".cache/huggingface/hub/models--a--b/blobs"
    put(blobs / "abc.12345678.incomplete")
    put(blobs / "abc")
    put(home / ".cache/huggingface/hub/datasets--a--b/blobs/abc.12345678.incomplete")
    put(workspace / ".llorch/tmp/fetch-m/sub/a.whl")
    put(workspace / ".llorch/tmp/file")
    put(workspace / ".llorch/state.part")
    put(workspace / "outside.part")
    found = find(workspace, model("hf", "a.gguf"))
    expected = [
        ".llorch/tmp/fetch-m",
        ".llorch/tmp/file",
        f"{HUB}/sub/x.abc.1234.incomplete",
        f"{BASE}/gone/a.gguf.part",
        f"{BASE}/gone/sub/b.replaced",
        f"{BASE}/m/receipt.json.part",
        "~/.cache/huggingface/hub/models--a--b/blobs/abc.12345678.incomplete",
    ]
    assert paths(workspace, model("hf", "a.gguf")) == sorted(expected)
    assert {item.size for item in found.leftovers} == {7}
    here = Workspace(root=workspace, declared=True)
    assert remove(found.leftovers, here) == list(found.leftovers)
    assert find(workspace) == Found(leftovers=(), unfinished=())
    rest = {path.name for path in workspace.rglob("*") if path.is_file()}
    assert rest == {"a.gguf", "receipt.json", "mine", "x.metadata", "state.part", "outside.part"}
    assert (blobs / "abc").is_file()


def test_the_caches_place_can_be_set(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is looked for where the Hub's client has it."""
    put(workspace / "cache/models--a--b/blobs/x.1.incomplete")
    monkeypatch.setenv("HF_HUB_CACHE", str(workspace / "cache"))
    assert paths(workspace) == ["cache/models--a--b/blobs/x.1.incomplete"]


@pytest.mark.parametrize(
    ("source", "is_there", "unfinished"),
    [("hf", False, True), ("https:", False, True), ("hf", True, False), ("file:x", False, False)],
)
def test_what_a_download_goes_on_with_is_unfinished(
    workspace: Path, source: str, is_there: bool, unfinished: bool
) -> None:
    """A part of a declared file is worth its bytes until the file is there, where fetching can go on with it."""
    put(workspace / BASE / "m/a.gguf.part")
    put(workspace / BASE / "m/a.gguf.replaced")
    put(workspace / BASE / "m/b.gguf.part")
    if is_there:
        put(workspace / BASE / "m/a.gguf")
    found = find(workspace, model(source, "a.gguf"))
    own = {f"{BASE}/m/a.gguf.part", f"{BASE}/m/a.gguf.replaced"}
    assert {item.path for item in found.unfinished} == (own if unfinished else set())
    assert {item.path for item in found.leftovers} == {f"{BASE}/m/b.gguf.part"} | (set() if unfinished else own)


def test_what_is_held_stays(workspace: Path) -> None:
    """A file that a process is writing stays, and so does what it has kept aside, and what it holds by a lock."""
    home = Path(os.environ["HOME"]) / ".cache/huggingface/hub"
    part = put(workspace / BASE / "x/a.part")
    put(workspace / BASE / "x/a.replaced")
    put(workspace / HUB / "x.abc.1.incomplete")
    of_download = put(workspace / HUB / "x.lock")
    put(home / "models--a--b/blobs/abc.1.incomplete")
    of_cache = put(home / ".locks/models--a--b/abc.lock")
    put(workspace / ".llorch/tmp/file")
    of_run = put(workspace / ".llorch/locks/1.lock")
    every = paths(workspace)
    assert len(every) == 5
    for lock, count in ((part, 2), (of_download, 1), (of_cache, 1), (of_run, 1)):
        with held(lock):
            assert len(paths(workspace)) == len(every) - count
    assert paths(workspace) == every


def test_a_file_that_is_taken_meanwhile_stays(workspace: Path) -> None:
    """Between finding and removing, a file can be locked, replaced, or gone; then it is let be."""
    taken, other, gone = (put(workspace / BASE / f"x/{name}.part") for name in "abc")
    here = Workspace(root=workspace, declared=True)
    found = find(workspace).leftovers
    put(workspace / "new")
    os.replace(workspace / "new", other)
    gone.unlink()
    with held(taken):
        assert remove(found, here) == []
    assert (taken.exists(), other.exists()) == (True, True)


def test_young_files_of_the_hubs_client_stay(workspace: Path) -> None:
    """It may be at them on a file system that knows no locks."""
    put(workspace / HUB / "x.abc.1.incomplete", old=False)
    put(Path(os.environ["HOME"]) / ".cache/huggingface/hub/models--a--b/blobs/abc.1.incomplete", old=False)
    assert paths(workspace) == []


def test_links_are_not_followed(workspace: Path) -> None:
    """Neither a link with such a name nor a folder behind a link is looked at."""
    outside = workspace / "outside"
    put(outside / "a.part")
    put(outside / "blobs/abc.1.incomplete")
    hub = Path(os.environ["HOME"]) / ".cache/huggingface/hub"
    for place in (
        workspace / BASE / "folder",
        workspace / BASE / "file.part",
        workspace / ".llorch/tmp",
        hub / "models--a--b",
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(outside)
    (hub / "models--c--d").mkdir()
    (hub / "models--c--d/blobs").symlink_to(outside / "blobs")
    (workspace / BASE / "nowhere.part").symlink_to("nothing")
    os.mkfifo(workspace / BASE / "pipe.part")
    assert paths(workspace) == []


def test_a_final_name_is_never_touched(workspace: Path) -> None:
    """A model's file may have the name of what the Hub's client leaves."""
    name = ".cache/huggingface/download/x.incomplete"
    put(workspace / BASE / "m" / name)
    assert paths(workspace) == [f"{BASE}/m/{name}"]
    assert paths(workspace, model("hf", name)) == []


def test_a_declared_file_below_a_folder_of_the_hubs_client_stays(workspace: Path) -> None:
    """A link can lead a model's folder into one that is called as the client's are."""
    for name in ("gone", "mine"):
        put(workspace / BASE / f".xet-{name}/a.gguf")
    (workspace / BASE / "m").symlink_to(".xet-mine")
    assert paths(workspace) == [f"{BASE}/.xet-gone", f"{BASE}/.xet-mine"]
    assert paths(workspace, model("hf", "a.gguf")) == [f"{BASE}/.xet-gone"]


def test_a_download_behind_a_link_goes_on(workspace: Path) -> None:
    """The part of a model whose folder is a link is unfinished, too."""
    put(workspace / BASE / "big/a.gguf.part")
    (workspace / BASE / "m").symlink_to("big")
    found = find(workspace, model("hf", "a.gguf"))
    assert ([item.path for item in found.unfinished], found.leftovers) == ([f"{BASE}/big/a.gguf.part"], ())


def vanish(name: str, at: int) -> Callable[[object], os.stat_result]:
    """Return an `os.lstat` for which a file is gone when it is looked at for the nth time."""
    real, seen = os.lstat, 0

    def lstat(path: object) -> os.stat_result:
        nonlocal seen
        if str(path).endswith(name):
            seen += 1
            if seen == at:
                raise FileNotFoundError(path)
        return real(str(path))

    return lstat


@pytest.mark.parametrize(("path", "at"), [("x/a.part", 1), ("m/.cache/huggingface/download/x.incomplete", 1)])
def test_what_vanishes_is_no_leftover(workspace: Path, monkeypatch: pytest.MonkeyPatch, path: str, at: int) -> None:
    """A file may go while we look."""
    put(workspace / BASE / path)
    monkeypatch.setattr(os, "lstat", vanish(path, at))
    assert find(workspace).leftovers == ()


def test_a_held_back_removal_is_named(workspace: Path) -> None:
    """What cannot be removed is an error, after all that can be is gone."""
    for name in ("x/a.part", "x/b.part", "y/c.part"):
        put(workspace / BASE / name)
    (workspace / BASE / "x").chmod(0o500)
    here = Workspace(root=workspace, declared=True)
    found = find(workspace).leftovers
    with pytest.raises(DiskFull, match=r"x/a.part` cannot be removed: Permission denied, nor can 1 more"):
        as_mortal(lambda: remove(found, here))
    (workspace / BASE / "x").chmod(0o700)
    assert paths(workspace) == [f"{BASE}/x/a.part", f"{BASE}/x/b.part"]
