"""Checkpoints opened: config.json, weights in one file or several, and what two files say of each other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llorch.errors import LlorchError, Malformed, NotFound
from llorch.models import checkpoint
from llorch.models.checkpoint import Files, Source, choose_files, open_checkpoint, read_json
from tests.models.checkpoints import encode, write_checkpoint, write_safetensors

INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def files_of(folder: Path) -> Files:
    """Return all files of a folder, called by their names."""
    return {path.name: Source(path, path.name) for path in folder.iterdir()}


@pytest.mark.parametrize("shards", [1, 2])
def test_tensors_are_found_where_they_are(tmp_path: Path, shards: int) -> None:
    """Each tensor's bytes are at the place that is told, in one file or in the right one of two."""
    written = write_checkpoint(tmp_path, "llama", dtype="bf16", shards=shards)
    found = open_checkpoint(files_of(tmp_path))
    assert found.config == written.config
    assert {name: stored.shape for name, stored in found.tensors.items()} == {
        name: tensor.shape for name, tensor in written.tensors.items()
    }
    for name, stored in found.tensors.items():
        data = stored.file.place.read_bytes()[stored.offset : stored.offset + stored.size]
        assert (stored.dtype, data) == ("BF16", encode(written.tensors[name], "bf16"))
    assert len({stored.file.name for stored in found.tensors.values()}) == shards


def test_rows_are_a_part_of_a_tensor(tmp_path: Path) -> None:
    """Some rows of a tensor are its bytes from the first of them on."""
    written = write_checkpoint(tmp_path, "llama", dtype="f16")
    stored = open_checkpoint(files_of(tmp_path)).tensors["model.embed_tokens.weight"].rows(3, 2)
    data = stored.file.place.read_bytes()[stored.offset : stored.offset + stored.size]
    assert stored.shape == (2, 64)
    assert data == encode(written.tensors["model.embed_tokens.weight"][3:5], "f16")


def test_what_torch_pickled_counts_where_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.bin` file beside safetensors is left alone, and so is its index; alone it is read."""
    write_checkpoint(tmp_path, "llama")
    (tmp_path / "pytorch_model.bin").write_bytes(b"whatever")
    (tmp_path / "pytorch_model.bin.index.json").write_text("[]")
    assert "model.norm.weight" in open_checkpoint(files_of(tmp_path)).tensors
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin.index.json").unlink()
    with pytest.raises(Malformed, match=r"`pytorch_model.bin` is malformed"):
        open_checkpoint(files_of(tmp_path))


def rewrite(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    """Change the index of a folder."""
    document = json.loads((folder / INDEX).read_text())
    change(document["weight_map"])
    (folder / INDEX).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / SECOND).unlink(), f"`{INDEX}` is malformed: it names the shard `{SECOND}`, which is not there"),
        (lambda d: rewrite(d, lambda m: m.update({"model.norm.weight": FIRST})), f"is in `{FIRST}`, and it is not"),
        (lambda d: rewrite(d, lambda m: m.update(other=FIRST)), f"tensor `other` is in `{FIRST}`, and it is not"),
        (lambda d: rewrite(d, lambda m: m.update(other="../x")), "names the shard `../x`, which is not there"),
        (lambda d: rewrite(d, lambda m: m.pop("model.norm.weight")), "does not name tensor `model.norm.weight` of"),
        (lambda d: (d / INDEX).write_text('{"weight_map": []}'), "its `weight_map` is no object of file names"),
        (lambda d: (d / INDEX).write_text('{"weight_map": {"a": 1}}'), "its `weight_map` is no object of file names"),
        (lambda d: rewrite(d, lambda m: m.update(other="\x1b[31m")), "its `weight_map` is no object of file names"),
        (lambda d: rewrite(d, lambda m: m.update({"a\nb": FIRST})), "its `weight_map` is no object of file names"),
        (lambda d: rewrite(d, lambda m: m.update(other="x" * 5000)), "its `weight_map` is no object of file names"),
        (lambda d: (d / INDEX).write_text("{}"), "its `weight_map` is no object of file names"),
        (
            lambda d: write_safetensors(d / "model.safetensors", {"model.norm.weight": ("F32", (1,), bytes(4))}),
            f"tensor `model.norm.weight` is in `{SECOND}` too",
        ),
        (lambda d: (d / FIRST).write_bytes((d / FIRST).read_bytes()[:-1]), f"`{FIRST}` is malformed"),
        (lambda d: (d / "config.json").write_text("{"), "`config.json` is malformed: it is no JSON"),
        (lambda d: (d / "config.json").write_text("[" * 100_000), "`config.json` is malformed: it is no JSON"),
        (lambda d: (d / "config.json").write_text("[]"), "`config.json` is malformed: it has no JSON object"),
        (lambda d: (d / "config.json").write_text(r'{"a": "\ud800"}'), "`config.json` is malformed: it is no JSON"),
        (lambda d: (d / "config.json").write_text(r'{"\uDFFF": 1}'), "`config.json` is malformed: it is no JSON"),
        (
            lambda d: (d / "config.json").write_text("{}", encoding="utf-16"),
            "`config.json` is malformed: it is no JSON",
        ),
        (lambda d: (d / "config.json").write_bytes(b"\xff\xfe{}"), "`config.json` is malformed: it is no JSON"),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    """A shard that is missing, an index that lies, a tensor that is there twice: one message that names the file."""
    write_checkpoint(tmp_path, "llama", shards=2)
    change(tmp_path)
    with pytest.raises(Malformed) as caught:
        open_checkpoint(files_of(tmp_path))
    assert message in caught.value.message


@pytest.mark.parametrize(("gone", "what"), [("config.json", "`config.json`"), ("model.safetensors", "weights")])
def test_files_that_a_checkpoint_needs(tmp_path: Path, gone: str, what: str) -> None:
    """Without config.json or weights there is nothing to convert, and the message says which is missing."""
    write_checkpoint(tmp_path, "llama")
    (tmp_path / gone).unlink()
    with pytest.raises(NotFound, match=what) as caught:
        open_checkpoint(files_of(tmp_path))
    assert caught.value.hint == "add it to the entry's `files`" or "them" in str(caught.value.hint)


def test_json_is_bounded_and_has_to_be_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON file that is too big, or not there, is refused with its name."""
    path = tmp_path / "x.json"
    with pytest.raises(Malformed, match="`x` is malformed: it cannot be read: No such file"):
        read_json(Source(path, "x"))
    path.write_text('{"a": 1}')
    assert read_json(Source(path, "x")) == {"a": 1}
    monkeypatch.setattr(checkpoint, "JSON_LIMIT", 7)
    with pytest.raises(LlorchError, match="it has more than 0 MiB"):
        read_json(Source(path, "x"))


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        (["config.json", "a.safetensors", "deep/config.json", "deep/b.safetensors"], ["a.safetensors", "config.json"]),
        (["deep/config.json", "deep/b.safetensors", "README.md"], ["b.safetensors", "config.json"]),
        (["a.safetensors"], ["a.safetensors"]),
    ],
)
def test_the_checkpoint_is_where_its_config_is(paths: list[str], chosen: list[str]) -> None:
    """Of a model's files those beside the topmost config.json are the checkpoint."""
    every: dict[str, Any] = {path: (Path("/x") / path, path) for path in paths}
    assert sorted(choose_files(every)) == chosen
