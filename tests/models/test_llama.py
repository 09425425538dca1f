"""GGUF files in llama.cpp: what comes back, and every way in which nothing does."""

import math
import os
from pathlib import Path

import pytest

from llorch.errors import CommandFailed, ToolMissing
from llorch.models.llama import SAID_LIMIT, Outcome, run
from tests.models.gguf_files import END, STEP, floats, loadable_gguf, string
from tests.models.llama import greedy, logprobs, logprobs_of

THE_CAPITAL_OF_FRANCE_IS = [504, 3575, 282, 4649, 314]  # in SmolLM2's vocabulary
PARIS, LONDON = 7042, 4528
WORD = {"prompt": "a", "n_predict": 1}


@pytest.fixture
def file(workspace: Path) -> Path:
    """A file that llama.cpp loads."""
    path = workspace / "tiny model.gguf"
    path.write_bytes(loadable_gguf().render())
    return path


def hook(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Have the child run some code before anything else."""
    (folder / "hooks").mkdir()
    guarded = "import sys\nif 'llorch.models.llama' in sys.orig_argv:\n    " + code
    (folder / "hooks" / "sitecustomize.py").write_text(guarded)
    monkeypatch.setenv("PYTHONPATH", str(folder / "hooks"))


def test_probabilities_are_those_of_the_file(file: Path) -> None:
    """The whole vocabulary's, by id, as computed by hand from the weights, for any prompt."""
    total = math.log(END + math.exp(STEP))
    expected = [STEP - total if token == ord("x") else -total for token in range(END + 1)]
    for found in logprobs_of(file, [[1], [1, END, 2], [7] * 50]):
        assert found == pytest.approx(expected, abs=1e-5)


def test_smollm2_knows_the_capital_of_france(smollm2: Path) -> None:
    """A real file gives probabilities that add up to one, with the right answer on top, and generates it."""
    capital, other = logprobs_of(smollm2, [THE_CAPITAL_OF_FRANCE_IS, [1]])
    assert len(capital) == len(other) == 49152
    for found in (capital, other):
        assert math.fsum(map(math.exp, found)) == pytest.approx(1, abs=1e-3)
    assert max(range(len(capital)), key=capital.__getitem__) == PARIS
    assert capital[PARIS] > capital[LONDON] > other[PARIS]
    assert greedy(smollm2, "The capital of France is", 2) == " Paris."


def test_prompts_do_not_change_each_other(smollm2: Path) -> None:
    """In a child with others a prompt has the same probabilities as alone."""
    _, second = logprobs_of(smollm2, [THE_CAPITAL_OF_FRANCE_IS[:4], THE_CAPITAL_OF_FRANCE_IS])
    assert second == logprobs(smollm2, THE_CAPITAL_OF_FRANCE_IS)


def test_a_relative_path_and_one_prompt(file: Path) -> None:
    """A path counts from the current folder, though the child has a folder of its own."""
    assert greedy(Path(file.name), "é", 3) == "xxx"


def test_nothing_is_left_behind(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's folder is gone afterwards, when it worked and when it did not."""
    (file.parent / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(file.parent / "tmp"))
    assert run(file, {}, [WORD]).failure == ""
    assert run(file.parent / "none.gguf", {}, [WORD]).failure != ""
    assert os.listdir(file.parent / "tmp") == []


def test_what_llama_cpp_says_is_the_reason(file: Path) -> None:
    """Of several complaints the first is the cause; what a terminal would obey is written out, and it has an end."""
    wrong = loadable_gguf()
    wrong.put("general.architecture", string("\x1b[31m" + "x" * 1000))
    file.write_bytes(wrong.render())
    said = run(file, {}, [WORD]).failure
    assert said.startswith(r"llama.cpp cannot load it: unknown model architecture: '\x1b[31mxxx")
    assert len(said) == len("llama.cpp cannot load it: ") + SAID_LIMIT


def test_an_abort_is_told_from_a_refusal(file: Path) -> None:
    """A file on which llama.cpp aborts takes nobody along; the assertion is the reason."""
    file.write_bytes(loadable_gguf(blocks=1 << 31).render())
    reason = "llama.cpp was ended by signal 6 (Aborted): GGML_ASSERT(hparams.n_layer_all > 0"
    assert run(file, {}, [WORD]).failure.startswith(reason)


def test_killed_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system kills it, memory is the likely reason, and it has said nothing."""
    hook(file.parent, monkeypatch, "import os; os.kill(os.getpid(), 9)")
    reason = "llama.cpp was ended by signal 9 (Killed), as the system does when memory runs out"
    assert run(file, {}, [WORD]) == Outcome(failure=reason)


def test_time_is_limited(file: Path) -> None:
    """A file on which llama.cpp hangs, here in a chat template that it tries out, is given up."""
    loops = 6
    hanging = loadable_gguf()
    template = "{% for i in range(9999) %}" * loops + "{% endfor %}" * loops
    hanging.put("tokenizer.chat_template", string(template))
    file.write_bytes(hanging.render())
    assert run(file, {}, [WORD], timeout=1).failure == "llama.cpp was not done after 1 s, and was ended"


@pytest.mark.parametrize("name", ["xllamacpp.py", "libllama"])
def test_without_xllamacpp(file: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Where it is missing, or does not fit this machine, the extra is named, and what Python says."""
    hook(file.parent, monkeypatch, "sys.modules['xllamacpp'] = None")
    if name == "xllamacpp.py":
        (file.parent / "hooks" / name).write_text("raise ImportError('libstdc++ is too old')")
        (file.parent / "hooks" / "sitecustomize.py").unlink()
    with pytest.raises(ToolMissing) as caught:
        run(file, {}, [WORD])
    assert caught.value.hint == "`pip install 'llorch[check]'` installs it, into llorch's own environment"
    said = "libstdc++ is too old" if name == "xllamacpp.py" else "import of xllamacpp halted"
    assert caught.value.message.startswith(f"xllamacpp cannot be loaded: {said}")


def test_a_mistake_of_ours_is_none_of_the_file(file: Path) -> None:
    """A setting that llama.cpp does not have is no verdict on the file."""
    with pytest.raises(CommandFailed, match="no_such_setting"):
        run(file, {"no_such_setting": 1}, [WORD])


def test_settings_arrive(file: Path) -> None:
    """Told to look at the weights, llama.cpp names one that is not finite; else it does not notice."""
    wrong = loadable_gguf()
    wrong.tensor("blk.0.attn_v.weight").data = floats(float("nan"))
    file.write_bytes(wrong.render())
    assert run(file, {}, [WORD]).failure == ""
    reason = "llama.cpp cannot load it: tensor 'blk.0.attn_v.weight' has invalid data"
    assert run(file, {"check_tensors": True}, [WORD]).failure == reason
