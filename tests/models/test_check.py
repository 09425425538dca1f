"""Which file is checked, and which files work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llorch.config import Workspace
from llorch.errors import LlorchError
from llorch.models.catalog import Convert, Entry, File, Model, Quantize
from llorch.models.check import Report, check, find_gguf
from tests.models.gguf_files import (
    END,
    I32,
    U16,
    WIDTH,
    GgufFile,
    Plan,
    floats,
    gguf_around,
    loadable_gguf,
    scalar,
    string,
)

NAN, INF, HIGHEST = float("nan"), float("inf"), 3e38
"""What no weight should be, and nearly the largest number that F32 has."""
UNLOADABLE = "llama.cpp cannot load it:"


@pytest.fixture
def try_out(workspace: Path) -> Callable[..., Report]:
    """Check a file with these contents, asking for eight tokens after `a`."""

    def try_out(data: bytes | GgufFile, prompt: str = "a", tokens: int = 8, timeout: float = 60) -> Report:
        path = workspace / "a b.gguf"
        path.write_bytes(data if isinstance(data, bytes) else data.render())
        return check(path, prompt, tokens, timeout)

    return try_out


def with_data(name: str, data: bytes) -> GgufFile:
    """Return a file that would work if one of its tensors did not have this data."""
    file = loadable_gguf()
    file.tensor(name).data = data
    return file


def test_smollm2_works(smollm2: Path) -> None:
    """A real model is loaded, and says what it should."""
    report = check(smollm2, "The capital of France is", 16, 300)
    assert (report.ok, report.tokens, report.detail) == (True, 16, "")
    assert report.text.startswith(" Paris.")
    assert report.seconds > 0


@pytest.mark.parametrize(
    ("file", "detail"),
    [
        (b"GGUX" + bytes(60), f"{UNLOADABLE} invalid magic characters: 'GGUX', expected 'GGUF'"),
        (gguf_around(b"x"), f"{UNLOADABLE} unknown model architecture: 'test'"),
        (loadable_gguf(blocks=2), f"{UNLOADABLE} check_tensor_dims: tensor 'blk.1.attn_norm.weight' not found"),
        (loadable_gguf(blocks=1 << 31), "llama.cpp was ended by signal 6 (Aborted): GGML_ASSERT("),
        (loadable_gguf().render()[:-20_000], f"{UNLOADABLE} tensor 'blk.0."),
        (with_data("output_norm.weight", floats(NAN)), f"{UNLOADABLE} tensor 'output_norm.weight' has invalid data"),
        (with_data("blk.0.ffn_up.weight", floats(INF)), f"{UNLOADABLE} tensor 'blk.0.ffn_up.weight' has invalid data"),
        (with_data("output_norm.weight", floats(HIGHEST)), "its probabilities are no numbers (NaN)"),
    ],
    ids=["junk", "architecture", "a block too few", "abort", "truncated", "NaN", "infinite", "overflow"],
)
def test_what_does_not_work(try_out: Callable[..., Report], file: bytes | GgufFile, detail: str) -> None:
    """A file that does not load, on which llama.cpp aborts, or that gives no numbers, is not ok, and it says why."""
    report = try_out(file)
    assert not report.ok
    assert report.detail.startswith(detail)


def test_time_is_limited(try_out: Callable[..., Report]) -> None:
    """What is not done in time is not ok."""
    report = try_out(loadable_gguf(), timeout=0.001)
    assert (report.ok, report.detail) == (False, "llama.cpp was not done after 0.001 s, and was ended")


@pytest.mark.parametrize(
    ("tokens", "detail"),
    [(7, ""), (8, "it says one token over and over, as after an overflow, or as some small models do")],
)
def test_one_token_over_and_over(try_out: Callable[..., Report], tokens: int, detail: str) -> None:
    """It works, and is worth a word, since overflows look like that; a few tokens alike are not."""
    report = try_out(loadable_gguf(), tokens=tokens)
    assert (report.ok, report.text, report.tokens, report.detail) == (True, "x" * tokens, tokens, detail)


def test_an_end_at_once(try_out: Callable[..., Report]) -> None:
    """A model may end before the asked tokens have come; one that says nothing at all is told so."""
    report = try_out(loadable_gguf(says=END))
    assert (report.ok, report.text, report.tokens) == (True, "", 1)
    assert report.detail == "it ends at once, without a word"


def test_half_a_character(try_out: Callable[..., Report]) -> None:
    """Where only beginnings of characters come there are no probabilities to judge by."""
    report = try_out(loadable_gguf(says=0xE2), tokens=1)
    assert (report.ok, report.tokens) == (False, 1)
    assert report.detail == "no whole character came; ask for more tokens"


@pytest.mark.parametrize(
    ("prompt", "tokens", "detail"),
    [
        ("a" * 65, 1, "llama.cpp loads it and generates nothing: request (65 tokens) exceeds"),
        ("a" * 60, 8, "only 4 of 8 tokens came"),
    ],
)
def test_more_than_the_model_takes(try_out: Callable[..., Report], prompt: str, tokens: int, detail: str) -> None:
    """A model's own context, here of 64 tokens, may be too small for what is asked."""
    report = try_out(loadable_gguf(), prompt=prompt, tokens=tokens)
    assert not report.ok
    assert report.detail.startswith(detail)


def test_a_split_file(workspace: Path) -> None:
    """The first part stands for all of them; a part that belongs to another file is named."""
    whole = loadable_gguf()
    parts = [GgufFile(whole.keys[:], whole.tensors[:4]), GgufFile([], whole.tensors[4:])]
    for number, part in enumerate(parts):
        part.put("general.architecture", string("llama"))
        part.put("split.no", scalar(U16, number))
        part.put("split.count", scalar(U16, 2))
        part.put("split.tensors.count", scalar(I32, len(whole.tensors)))
        (workspace / f"a-0000{number + 1}-of-00002.gguf").write_bytes(part.render())
    first = workspace / "a-00001-of-00002.gguf"
    assert check(first, "a", 3, 60).text == "xxx"
    (workspace / "a-00002-of-00002.gguf").write_bytes(GgufFile(tensors=[Plan("x", (WIDTH,))]).render())
    assert "llama.cpp cannot load it" in check(first, "a", 3, 60).detail


CONVERT, QUANTIZE = Convert(to="made.gguf"), Quantize(to="small.gguf", type="Q4_K_M")
PARTS = ("sub/m-00002-of-00002.gguf", "sub/m-00001-of-00002.gguf")
SOURCES = ("model.safetensors", "other.gguf")


def put(root: Path, files: tuple[str, ...], **steps: Any) -> Model:
    """Put the files of a model, and all that may be made of them, on disk."""
    model = Model("tiny", Entry(files=tuple(File(path=path) for path in files), **steps), "m")
    for path in (*model.paths, "m/made.gguf", "m/small.gguf"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return model


@pytest.mark.parametrize(
    ("files", "steps", "found", "needed"),
    [
        (("readme.md", "a.GGUF"), {}, "m/a.GGUF", "m/a.GGUF"),
        (PARTS, {}, "m/sub/m-00001-of-00002.gguf", "m/sub/m-00002-of-00002.gguf"),
        (SOURCES, {"convert": CONVERT}, "m/made.gguf", "m/made.gguf"),
        (SOURCES, {"convert": CONVERT, "quantize": QUANTIZE}, "m/small.gguf", "m/small.gguf"),
    ],
)
def test_the_file_that_is_checked(
    workspace: Path, files: tuple[str, ...], steps: dict[str, Any], found: str, needed: str
) -> None:
    """It is what is made last, else the first GGUF file, of a split one its first part; all parts have to be there."""
    model = put(workspace, files, **steps)
    place = Workspace(root=workspace, declared=True)
    assert find_gguf(model, place) == found
    (workspace / needed).unlink()
    with pytest.raises(LlorchError, match=f"`{needed}` is not on disk") as caught:
        find_gguf(model, place)
    assert caught.value.hint == "`llorch models download tiny` gets it"


def test_a_model_without_a_gguf_file(workspace: Path) -> None:
    """Nothing can be checked, and the entry is where that can be changed."""
    model = put(workspace, ("model.safetensors",))
    with pytest.raises(LlorchError, match="`tiny` has no GGUF file") as caught:
        find_gguf(model, Workspace(root=workspace, declared=True))
    assert "`convert` in its entry" in (caught.value.hint or "")
