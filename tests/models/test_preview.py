"""What a repository has to convert, told from its names and small files, which come from a Hub on this machine."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llorch.errors import IntegrityError, LlorchError, Malformed, NotFound, Unsupported
from llorch.models import hub as client
from llorch.models import preview as rules
from llorch.models.hub import Remote
from llorch.models.news import Listed, Repository, ask_repository
from llorch.models.preview import SETTINGS, TOKENIZERS, Preview, is_wanted, preview
from llorch.progress import Silent
from tests.conftest import sha256
from tests.hub import Fault, Generated, Hub
from tests.models.checkpoints import ARCHITECTURES, Architecture, write_checkpoint

SMALL = ("config.json", "tokenizer.json", "vocab.json")
WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def tiny(tmp_path: Path) -> dict[str, bytes]:
    """The files of a small checkpoint."""
    write_checkpoint(tmp_path / "checkpoint", "llama")
    return contents(tmp_path / "checkpoint")


def look(hub: Hub, files: Mapping[str, bytes | Generated], file: str = "") -> Preview:
    """Have a repository of these files, and look at it."""
    hub.add("org/m", files, lfs=[path for path in files if path.endswith((".safetensors", ".bin"))])
    return see(ask_repository("org/m"), file)


def see(there: Repository, file: str = "") -> Preview:
    """Look at a repository."""
    with tempfile.TemporaryDirectory() as folder:
        return preview(there, file, Path(folder), Silent())


def repository(*paths: str) -> Repository:
    """Return a repository with these files, of which no more than the names is looked at."""
    files = {path: Listed(path=path, size=1, sha256="0" * 64) for path in paths}
    return Repository(repo="org/m", commit="f" * 40, files=files)


# is_wanted


@pytest.mark.parametrize(
    ("file", "paths", "meant", "asked"),
    [
        ("", ("a.gguf", "config.json", WEIGHTS), False, True),
        ("", ("sub/A.GGUF",), False, True),
        ("", ("config.json", WEIGHTS), True, True),
        ("", (), True, True),
        ("a.gguf", ("a.gguf", "config.json", WEIGHTS), False, True),
        ("config.json", ("a.gguf", "config.json", WEIGHTS), True, True),
        (WEIGHTS, ("a.gguf", "config.json", WEIGHTS), True, True),
        (INDEX, ("config.json", INDEX), True, True),
        ("pytorch_model-00001-of-00002.bin", ("config.json", "pytorch_model-00001-of-00002.bin"), True, True),
        ("adapter_model.safetensors", ("adapter_model.safetensors",), False, True),
        (f"sub/{WEIGHTS}", ("config.json", f"sub/{WEIGHTS}"), False, True),
        ("nothing.safetensors", ("config.json", WEIGHTS), False, True),
        ("README.md", ("config.json", WEIGHTS, "README.md"), False, True),
    ],
)
def test_what_is_meant(file: str, paths: tuple[str, ...], meant: bool, asked: bool) -> None:
    """A GGUF is taken where there is one, unless a file of the checkpoint is named or a conversion is asked for."""
    there = repository(*paths)
    assert (is_wanted(there, file, converted=False), is_wanted(there, file, converted=True)) == (meant, asked)


# preview


def test_exactly_what_a_conversion_reads_is_taken(empty_hub: Hub, tiny: dict[str, bytes]) -> None:
    """One format, and no file of another framework; each small file has its sha256, and no weight was fetched."""
    every = dict.fromkeys((*TOKENIZERS, *SETTINGS), b"x") | tiny
    others = [
        *("README.md", "pytorch_model.bin", "pytorch_model.bin.index.json", INDEX, "consolidated.safetensors"),
        *("model.fp16.safetensors", "tf_model.h5", "modeling.py", "original/params.json", "a.gguf"),
    ]
    found = look(empty_hub, {**every, **dict.fromkeys(others, b"y"), f"onnx/{WEIGHTS}": b"z"})
    assert [file.path for file in found.files] == ["config.json", *TOKENIZERS, *SETTINGS, WEIGHTS]
    assert {file.path: file.sha256 for file in found.files} == {path: sha256(data) for path, data in every.items()}
    assert empty_hub.bytes_sent("org/m/model.safetensors") == 0


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_all_shards_are_taken_and_no_others(empty_hub: Hub, tiny: dict[str, bytes], ending: str) -> None:
    """Those that the index names, whatever they are called, and what an older upload has left is not."""
    del tiny[WEIGHTS]
    stem = "model" if ending == "safetensors" else "pytorch_model"
    shards = [f"{stem}.{ending}-0000{n}-of-00002.{ending}" for n in (1, 2)]
    index = {f"{stem}.{ending}.index.json": json.dumps({"weight_map": dict(zip("abc", shards * 2, strict=False))})}
    weights: dict[str, bytes | Generated] = {
        name: Generated(9) for name in (*shards, f"{stem}-00001-of-00003.{ending}")
    }
    files = {**tiny, **weights, **{name: text.encode() for name, text in index.items()}}
    found = look(empty_hub, files, shards[1])
    assert [file.path for file in found.files][-3:] == [*index, *shards]
    assert {file.path for file in found.files} == {*tiny, *index, *shards}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_llorch_can_convert_is_its_own(empty_hub: Hub, tmp_path: Path, architecture: Architecture) -> None:
    """Every architecture that it knows, tied or not, told without a weight."""
    for tied in (True, False):
        write_checkpoint(tmp_path / str(tied), architecture, tie_word_embeddings=tied)
        files = contents(tmp_path / str(tied))
        found = look(empty_hub, {**files, WEIGHTS: b"none"})
        assert (found.engine, found.reason) == ("builtin", "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["GemmaForCausalLM"]}, "is of 'GemmaForCausalLM', and what can be converted here is"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 32.0}}, "has `rope_scaling` = "),
        ({"quantization_config": {"quant_method": "gptq"}}, "has `quantization_config` = "),
        ({"hidden_size": None}, "`hidden_size` is to be a number above 0, and is None"),
    ],
)
def test_another_architecture_is_for_llama_cpp(
    empty_hub: Hub, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    """Also one of a known name with a setting that is not proven here."""
    write_checkpoint(tmp_path / "c", "llama")
    config = json.loads((tmp_path / "c/config.json").read_text()) | changes
    found = look(empty_hub, {**contents(tmp_path / "c"), "config.json": json.dumps(config).encode()})
    assert (found.engine, words in found.reason) == ("llama.cpp", True)
    assert "`config.json of org/m`" in found.reason


def test_another_tokenizer_is_for_llama_cpp(empty_hub: Hub, tiny: dict[str, bytes]) -> None:
    """A Llama with the tokenizer of Llama 2 is not one that is proven here."""
    del tiny["tokenizer.json"]
    found = look(empty_hub, {**tiny, "tokenizer.model": b"sentencepiece"})
    assert (found.engine, found.reason) == ("llama.cpp", "there is no `tokenizer.json` among the files")
    found = look(empty_hub, {**tiny, "tokenizer.json": json.dumps({"model": {"type": "\x1b[31m" * 99}}).encode()})
    assert (found.reason.count("its model is \\x1b[31m"), found.reason.isprintable(), len(found.reason)) == (
        1,
        True,
        400,
    )


def test_a_model_of_embeddings_is_for_llama_cpp(empty_hub: Hub, tiny: dict[str, bytes]) -> None:
    """Its last steps are not llorch's to make of a Llama; what llama.cpp reads of them comes too."""
    more = {"modules.json": b"[]", "1_Pooling/config.json": b"{}"}
    found = look(empty_hub, {**tiny, **more, "2_Dense/config.json": b"{}"})
    assert (found.engine, "`modules.json`" in found.reason) == ("llama.cpp", True)
    assert {file.path for file in found.files} == {*tiny, *more}


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "awq"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes"),
        ({"text_config": {"quantization_config": {"quant_method": "\x1b[31m"}}}, "\\x1b[31m"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "MLX"),
        ({"quantization_config": {"group_size": 64, "bits": 4}, "quantization": {"group_size": 64, "bits": 4}}, "MLX"),
    ],
)
def test_what_nothing_converts_is_refused(empty_hub: Hub, tmp_path: Path, changes: dict[str, Any], how: str) -> None:
    """Numbers of a few bits that neither converter reads are no gigabytes to fetch."""
    write_checkpoint(tmp_path / "c", "llama")
    config = json.loads((tmp_path / "c/config.json").read_text()) | changes
    with pytest.raises(Unsupported) as caught:
        look(empty_hub, {**contents(tmp_path / "c"), "config.json": json.dumps(config).encode()})
    assert caught.value.message.startswith(f"`org/m` is quantized ({how}), in a way that neither llorch nor")
    assert caught.value.hint == "its page says of which model it was made; take that one, and `--quantize`"


@pytest.mark.parametrize(
    "found", [None, {}, [], "fp8", {"quant_method": "gptq"}, {"quant_method": None, "quant_algo": "NVFP4"}]
)
def test_what_llama_cpp_reads_of_quantized_ones_is_left_to_it(
    empty_hub: Hub, tiny: dict[str, bytes], found: Any
) -> None:
    """It undoes some ways of quantizing; what is no such statement is no reason to refuse."""
    config = json.loads(tiny["config.json"]) | {"quantization_config": found}
    engine = look(empty_hub, {**tiny, "config.json": json.dumps(config).encode()}).engine
    assert engine == ("builtin" if found is None else "llama.cpp")


def test_a_model_quantized_by_modelopt_is_for_llama_cpp(empty_hub: Hub, tiny: dict[str, bytes]) -> None:
    """A file of its own says so, not config.json, and llama.cpp needs that file."""
    more = {"hf_quant_config.json": b'{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}'}
    found = look(empty_hub, {**tiny, **more})
    assert (found.engine, "`hf_quant_config.json`" in found.reason) == ("llama.cpp", True)
    assert {file.path for file in found.files} == {*tiny, *more}


@pytest.mark.parametrize(
    ("paths", "error", "message", "hint"),
    [
        (
            (),
            NotFound,
            "has neither a GGUF file nor a checkpoint to convert: it lacks `config.json`",
            "it has no files",
        ),
        (
            ("config.json", WEIGHTS),
            NotFound,
            "has neither a GGUF file nor a checkpoint to convert: it lacks a tokenizer",
            "it has config.json, model.safetensors",
        ),
        (
            (*SMALL, "tf_model.h5"),
            NotFound,
            "it lacks weights (`model.safetensors`, `pytorch_model.bin`, or an index of several)",
            "it has config.json, tf_model.h5, tokenizer.json, vocab.json",
        ),
        (
            (*SMALL, f"sub/{WEIGHTS}", "a.gguf"),
            NotFound,
            "`org/m` has no checkpoint to convert: it lacks weights",
            "it has GGUF files, which are taken as they are without `--outtype` and `--quantize`",
        ),
        (
            ("\x1b[31m", *(f"{n:02}" for n in range(30))),
            NotFound,
            "it lacks `config.json`, weights",
            f"it has \\x1b[31m, {', '.join(f'{n:02}' for n in range(19))}, and 11 more",
        ),
        (
            ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json"),
            Unsupported,
            "`org/m` is an adapter (LoRA): what is to be added to another model, and no model",
            "its page says which; take that one, or a repository in which both are merged",
        ),
        (
            ("model_index.json", "unet/config.json"),
            Unsupported,
            "`org/m` is a pipeline of diffusers, and no language model: it is not converted here",
            "take another repository",
        ),
    ],
)
def test_what_is_no_checkpoint(paths: tuple[str, ...], error: type[LlorchError], message: str, hint: str) -> None:
    """Nothing is asked of the Hub, and the error says what is missing and what is there."""
    with pytest.raises(error) as caught:
        see(repository(*paths))
    assert (message in caught.value.message, caught.value.hint) == (True, hint)


def test_a_named_file_has_to_be_of_it(empty_hub: Hub, tiny: dict[str, bytes]) -> None:
    """Another one, as of half the precision, is not silently exchanged."""
    files = {**tiny, "model.fp16.safetensors": b"x"}
    assert look(empty_hub, files, "config.json") == look(empty_hub, files, WEIGHTS) == look(empty_hub, files)
    with pytest.raises(
        LlorchError, match=r"`model.fp16.safetensors` is no file of the checkpoint in `org/m`"
    ) as caught:
        look(empty_hub, files, "model.fp16.safetensors")
    assert caught.value.hint == "leave it out, and `model.safetensors` is converted"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("config.json", b"[]", "`config.json of org/m` is malformed: it has no JSON object"),
        (INDEX, b"{}", "`model.safetensors.index.json of org/m` is malformed: its `weight_map` is no object of file"),
        (INDEX, b'{"weight_map": {"a": "../x.safetensors"}}', "names the shard `../x.safetensors`, which is not there"),
        (INDEX, b'{"weight_map": {"a": "config.json"}}', "names the shard `config.json`, which is not there, or no"),
        (INDEX, b'{"weight_map": {"a": "\\u001b.safetensors"}}', "its `weight_map` is no object of file names"),
    ],
)
def test_what_is_hostile_is_refused(empty_hub: Hub, tiny: dict[str, bytes], name: str, data: bytes, words: str) -> None:
    """A config.json and an index are checked before anything of them is used."""
    if name == INDEX:
        del tiny[WEIGHTS]
    with pytest.raises(Malformed, match=re.escape(words)):
        look(empty_hub, {**tiny, name: data})


def test_a_small_file_is_small(empty_hub: Hub, tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bigger, or of no size that is told, is not fetched."""
    monkeypatch.setattr(rules, "JSON_LIMIT", 100_000)
    with pytest.raises(
        LlorchError, match=r"`tokenizer.model of org/m` has 100,001 bytes on the Hub, and at most 100,000"
    ):
        look(empty_hub, {**tiny, "tokenizer.model": Generated(100_001)})
    assert empty_hub.bytes_sent("org/m/tokenizer.model") == 0
    monkeypatch.setattr(client, "find", lambda *_: Remote(url=""))
    with pytest.raises(LlorchError, match=r"`config.json of org/m` has no size on the Hub"):
        see(Repository(repo="org/m", commit="f" * 40, files={name: Listed(path=name) for name in (*SMALL, WEIGHTS)}))


def test_what_comes_is_proven(empty_hub: Hub, tiny: dict[str, bytes]) -> None:
    """A line that is cut is no harm; contents that are not those of the commit are refused."""
    empty_hub.fault("org/m/config.json", Fault("reset", after=10), Fault("corrupt"))
    assert look(empty_hub, tiny).engine == "builtin"
    empty_hub.fault("org/m/config.json", Fault("corrupt", forever=True))
    with pytest.raises(IntegrityError, match=r"`config.json of org/m` is not the promised file"):
        look(empty_hub, tiny)


def test_what_cannot_be_proven_has_no_digest(
    empty_hub: Hub, tiny: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a mirror that tells no digest the file is read, and recorded after the download like any other."""
    real = client.find

    def find(repo: str, path: str, revision: str) -> Remote:
        found = real(repo, path, revision)
        return Remote(url=found.url, size=found.size, commit=found.commit)

    empty_hub.add("org/m", tiny, lfs=[WEIGHTS])
    there = ask_repository("org/m")
    bare = {**there.files, "config.json": Listed(path="config.json")}
    monkeypatch.setattr(client, "find", find)
    found = see(Repository(repo=there.repo, commit=there.commit, files=bare))
    assert [file.path for file in found.files if file.sha256 is None] == ["config.json"]
