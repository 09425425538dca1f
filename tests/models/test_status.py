"""What is on disk of a model, told without reading big files."""

import os
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.models.catalog import Convert, Entry, File, Model, Quantize
from llorch.models.receipt import Made, render_receipt
from llorch.models.status import (
    FileStatus,
    Other,
    find_others,
    folder_size,
    leftovers,
    other_folders,
    status_of,
)
from llorch.state import SMALL, State
from tests.conftest import sha256

DATA = b"the right bytes"
BIG = b"x" * (SMALL + 1)
FOLDER = ".test-models/tiny"


def write(root: Path, files: dict[str, bytes]) -> None:
    """Write files into the model's folder."""
    for path, data in files.items():
        place = root / FOLDER / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


A = File(path="a", size=15, sha256=sha256(DATA))
B = File(path="b", size=len(BIG), sha256=sha256(BIG))
FREE = File(path="free")
RECEIPT = {"receipt.json": b"any"}


@pytest.mark.parametrize(
    ("files", "there", "states", "verdict", "size"),
    [
        ((A, B), {}, ["missing", "missing"], "missing", 15 + len(BIG)),
        ((FREE,), {}, ["missing"], "missing", 0),
        ((A,), {"a": DATA}, ["ok"], "unverified", 15),
        ((A,), {"a": DATA, **RECEIPT}, ["ok"], "ok", 15),
        ((A,), {"a": DATA.upper(), **RECEIPT}, ["corrupt"], "corrupt", 15),
        ((A,), {"a": b"short", **RECEIPT}, ["corrupt"], "corrupt", 5),
        ((A,), {"a.part": b"some"}, ["partial"], "partial", 15),
        ((A, B), {"a": DATA}, ["ok", "missing"], "partial", 15 + len(BIG)),
        ((A, B), {"b.part": b""}, ["missing", "partial"], "partial", 15 + len(BIG)),
        ((A, B), {"a": DATA, "b": BIG, **RECEIPT}, ["ok", "unverified"], "unverified", 15 + len(BIG)),
        ((A, B), {"a": DATA.upper()}, ["corrupt", "missing"], "corrupt", 15 + len(BIG)),
        ((A, FREE), {"a": DATA, "free": b"1234", **RECEIPT}, ["ok", "unverified"], "unverified", 19),
    ],
)
def test_a_model_is_as_good_as_its_files(
    workspace: Path,
    state: State,
    files: tuple[File, ...],
    there: dict[str, bytes],
    states: list[str],
    verdict: str,
    size: int,
) -> None:
    """The model's state follows from its files' and the receipt; the size is that on disk, else the promised one."""
    write(workspace, there)
    model = Model("tiny", Entry(files=files), FOLDER)
    status = status_of(model, Workspace(root=workspace, declared=True), state)
    assert ([file.state for file in status.files], status.state, status.size) == (states, verdict, size)
    assert status.present is (verdict != "missing")
    assert [file.present for file in status.files] == [file.path in there for file in files]
    assert status.model is model


def made(path: str, data: bytes) -> Made:
    """Return what a receipt says of a file that was made."""
    return Made(path=path, size=len(data), sha256=sha256(data), task="", tool="", version="", options={}, sources={})


@pytest.mark.parametrize(
    ("there", "said", "states", "verdict"),
    [
        ({}, [], ["missing", "missing"], "missing"),
        ({"source/a": DATA}, [], ["ok", "missing"], "partial"),
        ({"source/a": DATA, "c": b"made"}, [], ["ok", "unverified"], "unverified"),
        ({"source/a": DATA, "c": b"made"}, [made("c", b"made")], ["ok", "ok"], "ok"),
        ({"source/a": DATA, "c": b"MADE"}, [made("c", b"made")], ["ok", "corrupt"], "corrupt"),
        ({"source/a": DATA, "c": b"mad"}, [made("c", b"made")], ["ok", "corrupt"], "corrupt"),
        ({"source/a": DATA, "c.part": b"ma"}, [], ["ok", "partial"], "partial"),
    ],
)
def test_what_is_made_of_the_files_is_of_the_model(
    workspace: Path, state: State, there: dict[str, bytes], said: list[Made], states: list[str], verdict: str
) -> None:
    """A model is whole only with what is to be made of it; the receipt says what that is."""
    write(workspace, there)
    model = Model("tiny", Entry(files=(A,), convert=Convert(to="c"), source="file:x"), FOLDER)
    if said:
        write(workspace, {"receipt.json": render_receipt(model, {"a": (15, sha256(DATA))}, made=said).encode()})
    status = status_of(model, Workspace(root=workspace, declared=True), state)
    assert [file.path for file in status.files] == [f"{FOLDER}/source/a", f"{FOLDER}/c"]
    assert ([file.state for file in status.files], status.state) == (states, verdict)
    assert status.is_sized


def test_a_big_file_is_known_once_it_was_read(workspace: Path, state: State) -> None:
    """Until someone reads it, a big file is unverified; from then on it is what it is."""
    write(workspace, {"b": BIG})
    model = Model("tiny", Entry(files=(B,)), FOLDER)
    here = Workspace(root=workspace, declared=True)
    path = f"{FOLDER}/b"
    assert status_of(model, here, state).files == (FileStatus(path, len(BIG), B.sha256, "unverified", True),)
    state.read(path)
    assert status_of(model, here, state).files == (FileStatus(path, len(BIG), B.sha256, "ok", True),)


def test_leftovers_are_all_that_is_llorchs(workspace: Path) -> None:
    """Files, what they are made into, parts, replaced ones and receipts are found; what others put there is not."""
    entry = Entry(files=(A,), convert=Convert(to="c"), quantize=Quantize(to="q", type="Q8_0"))
    model = Model("tiny", entry, FOLDER)
    here = Workspace(root=workspace, declared=True)
    assert leftovers(model, here) == []
    own = ["source/a", "source/a.part", "source/a.replaced", "c", "c.part", "q", "receipt.json", "receipt.json.part"]
    write(workspace, {**dict.fromkeys(own, b""), "mine": b"", "source/mine": b"", "a": b""})
    (workspace / FOLDER / "q.replaced").symlink_to("nowhere")
    assert sorted(leftovers(model, here)) == sorted(f"{FOLDER}/{path}" for path in [*own, "q.replaced"])
    plain = Model("tiny", Entry(files=(A,)), FOLDER)
    assert leftovers(plain, here) == [f"{FOLDER}/{path}" for path in ("a", "receipt.json", "receipt.json.part")]


def test_a_folders_size_is_that_of_its_own_files(workspace: Path) -> None:
    """Files at every depth count, links for themselves and not for what they lead to."""
    here = Workspace(root=workspace, declared=True)
    assert folder_size(FOLDER, here) == 0
    write(workspace, {"a": DATA, "deep/er/b": b"12345"})
    (workspace / "elsewhere").write_bytes(BIG)
    assert folder_size(FOLDER, here) == 20
    (workspace / FOLDER / "link").symlink_to("../../elsewhere")
    assert folder_size(FOLDER, here) == 20 + len("../../elsewhere")


def test_what_a_link_leads_to_is_the_models(workspace: Path) -> None:
    """A model whose folder, or file, is a link within the model folder is not counted for another's."""
    write(workspace, {"big/a/x.gguf": b"12", "big/y.gguf": b"1", "store/z.gguf": b"1", "b/none": b""})
    (workspace / FOLDER / "a").symlink_to("big/a")
    (workspace / FOLDER / "b/z.gguf").symlink_to("../store/z.gguf")
    models = [
        Model("a", Entry(files=(File(path="x.gguf"),)), f"{FOLDER}/a"),
        Model("b", Entry(files=(File(path="z.gguf"),)), f"{FOLDER}/b"),
    ]
    here = Workspace(root=workspace, declared=True)
    assert find_others(models, FOLDER, here) == [Other(f"{FOLDER}/big/y.gguf", 1)]
    assert other_folders([model.folder for model in models], FOLDER, here) == [Other(f"{FOLDER}/store", 1)]


def test_what_is_on_its_way_or_goes_meanwhile_is_no_ones(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub client's folders are not looked into, and a file may go between listing and looking."""
    write(workspace, {".xet-1/a.gguf": b"1", "b.gguf": b"1", "gone.gguf": b"1"})
    real = os.lstat

    def lstat(path: str) -> os.stat_result:
        if path.endswith("gone.gguf"):
            Path(path).unlink(missing_ok=True)
        return real(path)

    monkeypatch.setattr(os, "lstat", lstat)
    here = Workspace(root=workspace, declared=True)
    assert find_others([], FOLDER, here) == [Other(f"{FOLDER}/b.gguf", 1)]
    write(workspace, {"gone.gguf": b"1"})
    assert folder_size(FOLDER, here) == 2


def test_what_no_model_has_is_found(workspace: Path) -> None:
    """Weights in or beside the folders of models, and folders that no model is in; links lead nowhere."""
    models = [Model("m", Entry(files=(File(path="deep/a.gguf"),)), f"{FOLDER}/group/m")]
    write(
        workspace, {"group/m/deep/a.gguf": b"1", "group/m/b.GGUF": b"1", "own/c.safetensors": b"1", "own/e.txt": b"1"}
    )
    (workspace / "elsewhere").mkdir()
    (workspace / "elsewhere/d.gguf").touch()
    (workspace / FOLDER / "link").symlink_to(workspace / "elsewhere")
    here = Workspace(root=workspace, declared=True)
    own = f"{FOLDER}/own"
    assert find_others(models, FOLDER, here) == [Other(f"{FOLDER}/group/m/b.GGUF", 1), Other(f"{own}/c.safetensors", 1)]
    assert other_folders([f"{FOLDER}/group/m"], FOLDER, here) == [Other(own, 2)]
    assert (find_others([], "gone", here), other_folders([], "gone", here)) == ([], [])
