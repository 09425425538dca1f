"""`llorch models check`, in this process and at a terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, in_terminal, write_catalog
from tests.models.gguf_files import loadable_gguf

Llorch = Callable[..., Run]
GOOD = ".test-models/good/a.gguf"


@pytest.fixture
def models(workspace: Path, llorch: Llorch) -> Path:
    """A workspace with models that load and one that does not."""
    wrong = loadable_gguf(blocks=2).render()
    models = {"good": loadable_gguf().render(), "bell": loadable_gguf(says=7).render(), "wrong": wrong}
    write_catalog(workspace, {id: {"a.gguf": data} for id, data in models.items()})
    assert llorch("models", "download", "--all").code == 0
    return workspace


def test_smollm2_is_checked(smollm2: Path, workspace: Path, llorch: Llorch) -> None:
    """With nothing but its id a real model is asked for the capital of France, and knows it."""
    done = llorch("models", "check", "smollm2", "--json", env={"LLORCH_MODEL_BASE_DIR": str(smollm2.parents[1])})
    assert (done.code, done.json["ok"], done.json["model"], done.json["path"]) == (0, True, "smollm2", str(smollm2))
    assert "Paris" in done.json["text"]
    assert (done.json["tokens"], done.json["detail"]) == (16, "")
    assert isinstance(done.json["seconds"], float)


def test_prompt_and_tokens_can_be_given(models: Path, llorch: Llorch) -> None:
    """What it goes on with and how far; the text is data, what is being done is talk."""
    done = llorch("models", "check", "good", "--prompt", "é\n?", "--tokens", "3")
    assert done.code == 0
    assert done.out.startswith(f"ok      {GOOD}: 3 tokens, ")
    assert done.out.endswith(" s\né\n?xxx\n")
    assert done.err == "check  llama.cpp runs a.gguf\n"


def test_what_is_wrong_is_shown(models: Path, llorch: Llorch) -> None:
    """It is a result like another, with exit code 1."""
    why = "llama.cpp cannot load it: check_tensor_dims: tensor 'blk.1.attn_norm.weight' not found"
    done = llorch("models", "check", "wrong")
    assert (done.code, done.out) == (1, f"failed  .test-models/wrong/a.gguf: {why}\n")
    document = llorch("models", "check", "wrong", "--json")
    seconds = document.json["seconds"]
    assert document.json == {
        "schema": 1,
        "ok": False,
        "model": "wrong",
        "path": ".test-models/wrong/a.gguf",
        "text": "",
        "tokens": 0,
        "seconds": seconds,
        "detail": why,
    }
    assert (document.code, document.err) == (1, "")


def test_something_worth_a_word_is_shown(models: Path, llorch: Llorch) -> None:
    """A model that works and behaves oddly is ok, with the remark beside it."""
    done = llorch("models", "check", "good")
    assert done.code == 0
    assert "; it says one token over and over" in done.out


def test_a_terminal_does_not_obey_the_text(models: Path) -> None:
    """Control characters are written out on a terminal, and only there; lines stay lines."""
    command = [str(BIN / "llorch"), "models", "check", "bell", "--tokens", "2", "--prompt", "a\nb"]
    shown = in_terminal(*command, env={"NO_COLOR": "1"}).out
    assert shown.endswith("\na\nb\\x07\\x07\n")
    assert "check llama.cpp runs a.gguf" in shown
    assert "bytes" not in shown


def test_elsewhere_the_text_is_as_it_is(models: Path, llorch: Llorch) -> None:
    """What a program reads is what the model said."""
    assert llorch("models", "check", "bell", "--tokens", "2").out.endswith("is\x07\x07\n")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("nothing",), 3, "unknown-name"),
        (("good", "--tokens", "0"), 2, "usage"),
        (("good", "--tokens", "1001"), 2, "usage"),
        (("good", "--timeout", "0"), 2, "usage"),
        (("good", "--prompt", ""), 2, "usage"),
        (("good", "--prompt", "é" * 2049), 2, "usage"),
        (("good", "--prompt", "\udcff"), 2, "usage"),
    ],
)
def test_wrong_usage(models: Path, llorch: Llorch, arguments: tuple[str, ...], code: int, error: str) -> None:
    """What cannot be meant is refused before anything runs."""
    done = llorch("models", "check", *arguments, "--json")
    assert (done.code, done.json["error"]["code"]) == (code, error)


def test_a_model_that_is_not_here(models: Path, llorch: Llorch) -> None:
    """It is an error, with what gets it."""
    (models / GOOD).unlink()
    done = llorch("models", "check", "good")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"error: `{GOOD}` is not on disk\n\nhint: `llorch models download good` gets it\n"
