"""`llorch models add`, with the real client: as a program, and in this process."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from llorch.models.catalog import SHIPPED_FILES
from llorch.models.gguf import load_gguf
from tests.conftest import BIN, Run, program, program_of, sha256
from tests.e2e.test_json import mismatch
from tests.hub import Fault, Generated, Hub
from tests.models.conftest import entries, llorch_models

Llorch = Callable[..., Run]
WEIGHTS = b"weights" * 1000
TINY = {path.name: path.read_bytes() for path in (SHIPPED_FILES / "tiny-gpt2").iterdir()}
"""A repository with a checkpoint that llorch converts itself."""
TAKEN = [
    *("config.json", "tokenizer.json", "vocab.json", "merges.txt", "generation_config.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "model.safetensors"),
]
ENTRY = {
    "id": str,
    "name": str,
    "repo": str,
    "revision": str,
    "files": [{"path": str, "size": int, "sha256": str}],
    "license": str,
}
ADD = {"schema": int, "dry_run": bool, "entry": ENTRY, "catalog": str}


@pytest.fixture
def hub(empty_hub: Hub) -> Hub:
    """A Hub with a public and a gated repository and a checkpoint, which programs take for the real one, too."""
    files = {"model.gguf": WEIGHTS, "config.json": b"{}"}
    empty_hub.add("org/model", files, lfs=["model.gguf"], license="apache-2.0")
    split = {f"big-0000{n}-of-00002.gguf": Generated(n) for n in (1, 2)}
    empty_hub.add("org/gated", {**split, "small.gguf": Generated(5)}, gated=True)
    empty_hub.add("org/Tiny", {**TINY, "onnx/model.onnx": b"x"}, lfs=["model.safetensors"])
    return empty_hub


def test_add_makes_a_catalog(workspace: Path, hub: Hub) -> None:
    """It shows license, gating, size and commit, and writes a pinned entry that can be downloaded."""
    commit = hub.commit("org/model", "main")[0]
    done = llorch_models("add", "org/model")
    assert (done.code, done.out) == (0, "added model to catalog.toml\n")
    shown = ["license:    apache-2.0", "gated:      no", "size:       7.0 kB, 1 file", f"org/model at {commit}"]
    assert [text for text in shown if text not in done.err] == []
    assert entries()["model"] == {
        "name": "model",
        "repo": "org/model",
        "revision": commit,
        "files": [{"path": "model.gguf", "size": 7000, "sha256": sha256(WEIGHTS)}],
        "license": "apache-2.0",
    }
    assert 'extends = "shipped"' in Path("catalog.toml").read_text()
    again = llorch_models("add", "org/model", "--json")
    assert (again.code, again.json["error"]["hint"]) == (8, "give the new one another id with `--id`")
    other = llorch_models("add", "org/model:model.gguf", "--id", "other", "--revision", commit, "--json")
    assert (other.code, mismatch(other.json, ADD), other.json["entry"]["id"]) == (0, None, "other")
    assert llorch_models("download", "model", "other").code == 0


def test_add_takes_all_of_a_split_model(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """All shards are in the entry, and that it is gated; no access is needed to declare it."""
    tried = llorch("models", "add", "org/gated:big-00001-of-00002.gguf", "--dry-run")
    assert (tried.code, tried.out.splitlines()[0], os.listdir()) == (0, "[models.big]", [])
    assert llorch("models", "add", "org/gated:big-00001-of-00002.gguf").code == 0
    assert entries()["big"]["gated"] is True
    assert [file["path"] for file in entries()["big"]["files"]] == [
        "big-00001-of-00002.gguf",
        "big-00002-of-00002.gguf",
    ]


def test_add_takes_a_split_model_of_large_letters(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """An ending in capitals is one too, and stays as it is."""
    names = [f"Big-0000{n}-of-00002.GGUF" for n in (1, 2)]
    hub.add("org/loud", {name: Generated(9) for name in names})
    assert llorch("models", "add", f"org/loud:{names[1]}").code == 0
    found = entries()["big"]
    assert ([file["path"] for file in found["files"]], found["name"]) == (names, "Big-00001-of-00002")


@pytest.mark.parametrize("name", ["模型 ü.gguf", "a%20b#c?d&e=f;g.gguf", "$(id)'\".gguf", "-rf.gguf", "e\u0301.GGUF"])
def test_add_takes_a_pasted_address_of_any_name(workspace: Path, hub: Hub, name: str) -> None:
    """What a browser has in its bar names repository, revision and file, and the file comes under its name."""
    hub.add("org/odd", {f"a b/{name}": Generated(99), "other.gguf": b""}, branch="v/1")
    address = f"{hub.endpoint}/org/odd/blob/v%2F1/{quote(f'a b/{name}')}?download=true"
    assert llorch_models("add", address, "--id", "odd").code == 0
    assert [file["path"] for file in entries()["odd"]["files"]] == [f"a b/{name}"]
    assert llorch_models("download", "odd").code == 0
    assert Path(".test-models/odd/a b", name).stat().st_size == 99


def test_add_wants_to_know_which(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """Several candidates are listed with their sizes."""
    done = llorch("models", "add", "org/gated")
    assert (done.code, "error: `org/gated` has 2 GGUF files: say which file to add" in done.err) == (1, True)
    assert "  org/gated:big-00001-of-00002.gguf and 1 more (3 bytes)\n  org/gated:small.gguf (5 bytes)" in done.err


def test_add_of_a_file_in_git(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """It has no sha256 yet, and how it gets one is said; without a license none is written."""
    hub.add("org/bare", {"Ü.gguf": b"x"}, license="")
    unnamed = llorch("models", "add", "org/bare")
    assert (unnamed.code, "hint: give one with `--id`" in unnamed.err) == (8, True)
    done = llorch("models", "add", "org/bare", "--id", "bare")
    assert (done.code, "warning: Ü.gguf has no sha256 on the Hub" in done.err) == (0, True)
    assert "license:    not named" in done.err
    assert entries()["bare"]["files"] == [{"path": "Ü.gguf", "size": 1}]
    assert "license" not in entries()["bare"]


@pytest.mark.parametrize(
    "arguments",
    [("../x",), ("a/b/c",), ("org/model", "--id", "../x"), ("org/model", "--revision", "-x"), ()],
)
def test_add_checks_what_is_typed(workspace: Path, llorch: Llorch, arguments: tuple[str, ...]) -> None:
    """A wrong repository, id or revision is wrong usage."""
    assert llorch("models", "add", *arguments, "--json").json["error"]["code"] == "usage"


def test_the_hub_may_fail(workspace: Path, hub: Hub) -> None:
    """Offline and unreachable are one message each, a passing failure is none, and the token stays with the Hub."""
    for env in ({"LLORCH_OFFLINE": "1"}, {"HF_HUB_OFFLINE": "1"}):
        offline = llorch_models("add", "org/model", "--json", **env)
        assert (offline.code, offline.json["error"]["code"]) == (1, "offline")
    hub.tokens = {"hf_secret": set()}
    hub.fault("org/model", Fault("status", code=503), Fault("reset", at="hub"))
    done = llorch_models("add", "org/model", "--dry-run", HF_TOKEN="hf_secret")
    assert (done.code, "hf_secret" in done.out + done.err) == (0, False)
    hub.unplug("hub")
    done = llorch_models("add", "org/model", "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "unreachable")


# checkpoints


def test_a_checkpoint_is_had_by_one_command_and_one_download(workspace: Path, hub: Hub) -> None:
    """Its entry is complete and pinned, whole by itself, and what comes of it is a right GGUF; then nothing is left."""
    Path("catalog.toml").write_text("version = 1\n")  # without the shipped ones, whose repositories are not there
    done = llorch_models("add", "org/Tiny")
    assert (done.code, done.out, "warning" in done.err) == (0, "added tiny to catalog.toml\n", False)
    assert "converted:  by llorch itself\n" in done.err
    assert done.err.endswith("`llorch models download tiny` fetches it and converts it\n")
    assert entries()["tiny"] == {
        "name": "Tiny",
        "repo": "org/Tiny",
        "revision": hub.commit("org/Tiny", "main")[0],
        "files": [{"path": name, "size": len(TINY[name]), "sha256": sha256(TINY[name])} for name in TAKEN],
        "license": "mit",
        "convert": {"to": "Tiny.gguf", "outtype": "auto", "engine": "builtin"},
    }
    assert llorch_models("pin", "tiny").out.startswith("nothing to do: tiny is pinned to ")
    assert program("llorch", "dev", "check").code == 0
    assert "tiny" in [model["id"] for model in llorch_models("catalog", "--json").json["models"]]
    assert llorch_models("download", "tiny").code == 0
    assert load_gguf(Path(".test-models/tiny/Tiny.gguf"), "Tiny.gguf").quantization.name == "F16"
    assert llorch_models("verify", "tiny").code == 0
    again = llorch_models("download", "tiny", "--json")
    assert {task["outcome"] for task in again.json["tasks"]} == {"up-to-date"}


def test_a_checkpoint_beside_a_gguf_is_taken_if_asked_for(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """A conversion that is asked for, or a file of the checkpoint that is named, means it; else the GGUF is meant."""
    hub.add("org/Both-1M", {**TINY, "sub/both.gguf": WEIGHTS}, lfs=["model.safetensors", "sub/both.gguf"])
    assert llorch("models", "add", "org/Both-1M").out == "added both to catalog.toml\n"
    assert "convert" not in entries()["both"]
    done = llorch("models", "add", "org/Both-1M", "--outtype", "F16", "--quantize", "q4_k_m", "--json")
    made = {"convert": {"to": str, "outtype": str, "engine": str}, "quantize": {"to": str, "type": str}}
    assert (done.code, mismatch(done.json, {**ADD, "entry": {**ENTRY, **made}})) == (0, None)
    assert [done.json["entry"][key] for key in ("id", "name", "convert", "quantize")] == [
        "both-1m-q4_k_m",
        "Both-1M-Q4_K_M",
        {"to": "Both-1M-F16.gguf", "outtype": "f16", "engine": "builtin"},
        {"to": "Both-1M-Q4_K_M.gguf", "type": "Q4_K_M"},
    ]
    named = llorch("models", "add", f"{hub.endpoint}/org/Both-1M/blob/main/model.safetensors", "--dry-run")
    assert (named.code, named.out.splitlines()[0]) == (0, "[models.both-1m]")
    assert 'convert = { to = "Both-1M.gguf", outtype = "auto", engine = "builtin" }' in named.out


def test_what_llorch_cannot_convert_is_for_llama_cpp(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """That is known, and told with its reason, before the weights come."""
    config = TINY["config.json"].replace(b"GPT2LMHeadModel", b"OtherForCausalLM")
    hub.add("org/other", {**TINY, "config.json": config}, lfs=["model.safetensors"])
    done = llorch("models", "add", "org/other", "--outtype", "q8_0")
    assert (done.code, hub.bytes_sent("org/other/model.safetensors")) == (0, 0)
    assert "converted:  by llama.cpp: `config.json of org/other` is of 'OtherForCausalLM'" in done.err
    assert entries()["other-q8_0"]["convert"] == {"to": "other-Q8_0.gguf", "outtype": "q8_0", "engine": "llama.cpp"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--quantize", "Q4_K"), "`Q4_K` is not a type; did you mean `Q4_K_S`? (there are F32, F16, Q4_0,"),
        (("--quantize", "IQ1_S"), "`IQ1_S` needs an importance matrix, which llorch does not make"),
        (("--outtype", "int4"), "`int4` is not one of `f32`, `f16`, `bf16`, `q8_0`, `auto`"),
        (("--outtype", "q8_0", "--quantize", "Q4_0"), "`--quantize Q4_0` needs another `--outtype`, of 16 or 32 bits"),
        (("--outtype", "f16", "--quantize", "F16"), "`--quantize F16` needs another `--outtype`, of 16 or 32 bits"),
    ],
)
def test_wrong_types_are_refused_before_anything_is_asked(
    workspace: Path, hub: Hub, llorch: Llorch, arguments: tuple[str, ...], words: str
) -> None:
    """It is wrong usage, and the types there are come with it."""
    done = llorch("models", "add", "org/Tiny", *arguments)
    assert (done.code, words in done.err, hub.requests) == (2, True, [])


def test_a_gated_checkpoint_needs_access(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """Its small files are read, unlike those of a GGUF."""
    hub.add("org/locked", TINY, lfs=["model.safetensors"], gated=True)
    refused = llorch("models", "add", "org/locked", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "access-denied")
    hub.tokens = {"hf_secret": {"org/locked"}}
    done = llorch("models", "add", "org/locked", "--json", env={"HF_TOKEN": "hf_secret"})
    assert (done.code, done.json["entry"]["gated"]) == (0, True)


def test_a_folder_of_a_repository_is_no_checkpoint(workspace: Path, hub: Hub, llorch: Llorch) -> None:
    """Where a page of a folder is pasted, the model at the top is not taken for the one in it; a GGUF is found."""
    hub.add("org/steps", {**TINY, **{f"checkpoint-10/{name}": data for name, data in TINY.items()}})
    done = llorch("models", "add", f"{hub.endpoint}/org/steps/tree/main/checkpoint-10")
    assert (done.code, hub.bytes_sent("config.json"), Path("catalog.toml").exists()) == (1, 0, False)
    assert "error: `checkpoint-10` is a folder of `org/steps`, and what is converted is at the top" in done.err
    hub.add("org/sub", {"q4/sub.gguf": WEIGHTS})
    assert llorch("models", "add", f"{hub.endpoint}/org/sub/tree/main/q4").code == 0


def test_an_end_leaves_no_file_behind(workspace: Path, hub: Hub) -> None:
    """What still works on small files is waited for before their folder goes; each was named as it was begun."""
    (workspace / "tmp").mkdir()
    hub.fault("org/Tiny/tokenizer.json", Fault("stall", after=1000))
    env = {**os.environ, "TMPDIR": str(workspace / "tmp")}
    command = [str(BIN / "llorch"), "models", "add", "org/Tiny"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not hub.bytes_sent("org/Tiny/tokenizer.json") and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, out, "Traceback" in err) == (143, "", False)
    assert "models:add  tokenizer.json\n" in err
    assert (os.listdir("tmp"), Path("catalog.toml").exists()) == ([], False)


def test_a_full_disk_is_told_with_a_way_out(workspace: Path, hub: Hub) -> None:
    """It is that of the temporary files, whose folder is gone when the message is read."""
    (workspace / "tmp").mkdir()
    script = 'mount -t tmpfs -o size=64k tmpfs tmp || exit 99; exec "$@"'
    hub.add("org/big", {**TINY, "tokenizer.model": Generated(100_000)}, lfs=["model.safetensors"])
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = program_of(*inside, str(BIN / "llorch"), "models", "add", "org/big", env={"TMPDIR": str(workspace / "tmp")})
    assert (done.code, "error: the disk is full: `" in done.err) == (1, True)
    assert f"\n\nhint: make room in `{workspace / 'tmp'}`, or set TMPDIR to a folder on another disk\n" in done.err
