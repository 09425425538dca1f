"""Fetching from the Hub with the real client, as programs: resumed, verified, adopted, and clear when it cannot be."""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, Run, program, sha256, write_dodo
from tests.hub import Fault, Hub
from tests.models.gguf_files import gguf_around

TOKEN = "hf_secretsecretsecretsecret"  # of nobody
WEIGHTS = gguf_around(random.Random(7).randbytes(3 << 20))
CONFIG = b'{"model_type": "llama"}\n'


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with a public and a gated repository, which the programs of the test take for the real one."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "2")
        hub.add("org/model", {"model.gguf": WEIGHTS, "config.json": CONFIG}, lfs=["model.gguf"])
        hub.add("org/gated", {"model.gguf": WEIGHTS}, lfs=["model.gguf"], gated=True)
        yield hub


def declare(root: Path, hub: Hub, *, pinned: bool = True, repo: str = "org/model", **more: Any) -> None:
    """Write a catalog with the model `m`, and keep what is changed in it."""
    files: list[dict[str, Any]] = [{"path": "model.gguf"}]
    files += [{"path": "config.json"}] if repo == "org/model" else []
    if pinned:
        contents = {"model.gguf": WEIGHTS, "config.json": CONFIG}
        for file in files:
            file |= {"size": len(contents[file["path"]]), "sha256": sha256(contents[file["path"]])}
    entry = {"repo": repo, "files": files, **({"revision": hub.commit(repo, "main")[0]} if pinned else {}), **more}
    lines = [f"{key} = {toml(value)}" for key, value in entry.items()]
    (root / "catalog.toml").write_text("[models.m]\n" + "\n".join(lines) + "\n")


def toml(value: Any) -> str:
    """Render a value of a catalog."""
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def download(**env: str) -> Run:
    """Run `llorch models download m --json`."""
    return program("llorch", "models", "download", "m", "--json", env=env)


def error_of(run: Run) -> Mapping[str, str]:
    """Return the first task's error."""
    error: Mapping[str, str] = next(task["error"] for task in run.json["tasks"] if task["error"])
    return error


def test_a_model_lands_verified(workspace: Path, hub: Hub) -> None:
    """Both files come once, the second run asks nothing, and the receipt names the commit."""
    declare(workspace, hub)
    write_dodo(workspace)
    assert program("doit", "models:m").code == 0
    assert Path(".test-models/m/model.gguf").read_bytes() == WEIGHTS
    assert Path(".test-models/m/config.json").read_bytes() == CONFIG
    assert (hub.bytes_sent("model.gguf"), hub.bytes_sent("config.json")) == (len(WEIGHTS), len(CONFIG))
    asked = len(hub.requests)
    assert {task["outcome"] for task in download().json["tasks"]} == {"up-to-date"}
    assert len(hub.requests) == asked


def test_a_branch_is_resolved_once(workspace: Path, hub: Hub) -> None:
    """An unpinned entry is recorded with its commit, and stays what it is when the branch moves on."""
    first = hub.commit("org/model", "main")[0]
    declare(workspace, hub, pinned=False)
    assert download().code == 0
    receipt = json.loads(Path(".test-models/m/receipt.json").read_text())
    assert (receipt["revision"], receipt["commit"]) == ("main", first)
    hub.add("org/model", {"model.gguf": b"newer", "config.json": CONFIG}, lfs=["model.gguf"])
    Path(".test-models/m/config.json").unlink()
    shutil.rmtree(".llorch")
    assert download().code == 0
    assert Path(".test-models/m/model.gguf").read_bytes() == WEIGHTS
    assert hub.bytes_sent("model.gguf") == len(WEIGHTS)
    verify = program("llorch", "models", "verify", "m", "--json")
    assert [file["state"] for file in verify.json["models"][0]["files"]] == ["unpinned", "unpinned"]


def test_a_url_lands_verified(workspace: Path, hub: Hub) -> None:
    """A file of any server lands the same way, with size and digest or without."""
    url = hub.link("org/model", "model.gguf")
    pin = f', sha256 = "{sha256(WEIGHTS)}"'
    for rest in (pin, ""):
        catalog = f'[models.m]\nsource = "https:"\nfiles = [{{ path = "x.gguf", url = "{url}"{rest} }}]\n'
        Path("catalog.toml").write_text(catalog)
        assert download().code == 0
        assert Path(".test-models/m/x.gguf").read_bytes() == WEIGHTS
        shutil.rmtree(".test-models")


SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
"""How a run ends by each."""


def test_killed_at_any_moment_only_the_rest_comes(workspace: Path, hub: Hub) -> None:
    """After any end of a run, at the first byte, the last or another, the next fetches just what was not on disk."""
    declare(workspace, hub)
    part = Path(".test-models/m/model.gguf.part")
    moments = (1, random.randrange(2, len(WEIGHTS) - 1), len(WEIGHTS) - 1)
    for number, after in product(SIGNALS, moments):
        shutil.rmtree(".test-models", ignore_errors=True)
        hub.heal()
        hub.requests.clear()
        # It comes to this point and stays there, so that the moment is exact.
        hub.fault("model.gguf", Fault("stall", after=after))
        process = subprocess.Popen(
            [str(BIN / "llorch"), "models", "download", "m"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        while not (part.exists() and part.stat().st_size == after) and process.poll() is None:
            os.sched_yield()
        process.send_signal(number)
        code = process.wait(timeout=20)
        assert code == SIGNALS[number]
        assert part.stat().st_size == after
        hub.heal()
        assert download().code == 0
        assert Path(".test-models/m/model.gguf").read_bytes() == WEIGHTS
        assert hub.bytes_sent("model.gguf") == len(WEIGHTS)


def test_what_is_here_is_not_fetched(workspace: Path, hub: Hub) -> None:
    """A whole file in the Hub's cache, in a folder of the old scripts, or in its place, is taken."""
    declare(workspace, hub)
    commit = hub.commit("org/model", "main")[0]
    cache = Path(os.environ["HOME"]) / f".cache/huggingface/hub/models--org--model/snapshots/{commit}"
    cache.mkdir(parents=True)
    for place in (cache / "model.gguf", Path(".test-models/m/pytorch/model.gguf"), Path(".test-models/m/model.gguf")):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(WEIGHTS)
        assert download().code == 0
        assert Path(".test-models/m/model.gguf").read_bytes() == WEIGHTS
        shutil.rmtree(".test-models")
        (cache / "model.gguf").unlink(missing_ok=True)
    assert hub.bytes_sent("model.gguf") == 0
    (cache / "model.gguf").write_bytes(WEIGHTS[:-1] + b"?")
    assert download().code == 0
    assert hub.bytes_sent("model.gguf") == len(WEIGHTS)


def test_a_wrong_file_is_kept_until_the_right_one_is_there(workspace: Path, hub: Hub) -> None:
    """While nothing comes it keeps its name, then it is set aside, then it goes."""
    declare(workspace, hub)
    place, aside = Path(".test-models/m/model.gguf"), Path(".test-models/m/model.gguf.replaced")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"wrong")
    hub.fault("model.gguf", Fault("portal", forever=True))
    assert download().code == 1
    assert place.read_bytes() == b"wrong"
    hub.heal()
    hub.fault("model.gguf", Fault("drop", after=10), Fault("status", "cdn", code=418))
    assert download().code == 1
    assert (place.exists(), aside.read_bytes()) == (False, b"wrong")
    hub.heal()
    assert download().code == 0
    assert (place.read_bytes(), aside.exists()) == (WEIGHTS, False)


MESSAGES: dict[str, tuple[dict[str, Any], list[Fault], dict[str, str], str, str]] = {
    "gated, no token": ({"repo": "org/gated"}, [], {}, "access-denied", "`org/gated` is gated, and there is no token"),
    "gated, no access": (
        {"repo": "org/gated"},
        [],
        {"HF_TOKEN": TOKEN},
        "access-denied",
        "`org/gated` is gated, and the token's account has no access",
    ),
    "bad token": ({}, [], {"HF_TOKEN": "hf_wrong"}, "access-denied", "the Hub does not take the token"),
    "no repository": ({"repo": "org/none"}, [], {}, "not-found", "there is no public repository `org/none`"),
    "no repository for the token": (
        {"repo": "org/none"},
        [],
        {"HF_TOKEN": TOKEN},
        "not-found",
        "there is no repository `org/none` that the token may see",
    ),
    "no revision": ({"revision": "f" * 40}, [], {}, "not-found", "`org/model` has no revision `ffff"),
    "no file": (
        {"files": [{"path": "gone"}]},
        [],
        {},
        "not-found",
        "`org/model` has no file `gone` at revision `main`",
    ),
    "portal": ({}, [Fault("portal", forever=True)], {}, "unreachable", "does not answer like a Hub"),
    "portal elsewhere": ({}, [Fault("portal_redirect", forever=True)], {}, "unreachable", "does not answer like a Hub"),
    "offline": ({}, [], {"LLORCH_OFFLINE": "1"}, "offline", "` is not here, and fetching is switched off"),
    "offline for the client": ({}, [], {"HF_HUB_OFFLINE": "1"}, "offline", "fetching is switched off"),
}


@pytest.mark.parametrize(("entry", "faults", "env", "code", "words"), MESSAGES.values(), ids=MESSAGES)
def test_each_failure_is_one_message(
    workspace: Path, hub: Hub, entry: dict[str, Any], faults: list[Fault], env: dict[str, str], code: str, words: str
) -> None:
    """What stands in the way is said in one message with a hint, and no token is in it."""
    hub.tokens[TOKEN] = set()
    declare(workspace, hub, pinned=False, **({"repo": "org/model"} | entry))
    hub.fault("*", *faults)
    run = download(**env)
    assert run.code == 1
    error = error_of(run)
    assert (error["code"], bool(error["hint"])) == (code, True)
    assert words in error["message"]
    assert "Traceback" not in run.err
    assert not any(token in run.out + run.err for token in env.values() if token.startswith("hf_"))
    assert not Path(".test-models/m/model.gguf").exists()


def test_changed_upstream_is_said_before_it_is_fetched(workspace: Path, hub: Hub) -> None:
    """A pinned file that a branch no longer has is told at once, with what there is now."""
    declare(workspace, hub, revision="main")
    hub.add("org/model", {"model.gguf": WEIGHTS[::-1], "config.json": CONFIG}, lfs=["model.gguf"])
    run = download()
    assert run.code == 6
    assert sha256(WEIGHTS[::-1]) in error_of(run)["message"]
    assert hub.bytes_sent("model.gguf") == 0


def test_a_receipt_that_says_otherwise_is_named(workspace: Path, hub: Hub) -> None:
    """Where only the receipt promises something, and the source has something else, the way out is the receipt."""
    declare(workspace, hub, pinned=False)
    assert download().code == 0
    receipt = Path(".test-models/m/receipt.json")
    receipt.write_text(receipt.read_text().replace(sha256(WEIGHTS), "0" * 64))
    Path(".test-models/m/model.gguf").unlink()
    run = download()
    assert run.code == 6
    assert f"expected sha256 {'0' * 64}, found sha256 {sha256(WEIGHTS)} at the source" in error_of(run)["message"]
    assert error_of(run)["hint"].startswith(f"`{receipt}` says what it was")
    receipt.unlink()
    assert download().code == 0


def test_the_token_is_shown_to_the_hub_alone(workspace: Path, hub: Hub) -> None:
    """The Hub sees the token, the server of the bytes does not, nor does a log, a message or a file."""
    hub.tokens[TOKEN] = {"org/gated"}
    declare(workspace, hub, repo="org/gated", files=[{"path": "model.gguf"}])
    run = download(HF_TOKEN=TOKEN, HF_DEBUG="1")
    assert run.code == 0, run.out
    seen = {(request.origin, "authorization" in request.headers) for request in hub.requests if request.repo}
    assert seen == {("hub", True), ("cdn", False)}
    hub.fault("model.gguf", Fault("redirect", at="any", url=f"{hub.cdn}/elsewhere", forever=True))
    shutil.rmtree(".test-models")
    failed = download(HF_TOKEN=TOKEN)
    assert all("authorization" not in request.headers for request in hub.requests if request.origin == "cdn")
    written = b"".join(path.read_bytes() for path in workspace.rglob("*") if path.is_file())
    assert TOKEN not in run.out + run.err + failed.out + failed.err
    assert TOKEN.encode() not in written


def test_too_little_room_is_refused_with_numbers(workspace: Path, hub: Hub) -> None:
    """What all files together need is compared with what is free, before anything comes."""
    declare(workspace, hub, files=[{"path": "model.gguf", "size": 1 << 60, "sha256": sha256(WEIGHTS)}])
    run = download()
    assert (run.code, error_of(run)["code"]) == (1, "disk")
    assert f"{1 << 60:,} bytes" in error_of(run)["message"]
    assert hub.bytes_sent("model.gguf") == 0


def test_the_client_can_bring_the_files(workspace: Path, hub: Hub) -> None:
    """With LLORCH_XET the client fetches as it likes; what it brings is verified, and nothing else is left."""
    declare(workspace, hub)
    hub.fault("model.gguf", Fault("corrupt", offset=9))
    wrong = download(LLORCH_XET="1")
    assert (wrong.code, error_of(wrong)["code"]) == (6, "integrity")
    assert not Path(".test-models/m/model.gguf").exists()
    assert download(LLORCH_XET="1").code == 0
    assert Path(".test-models/m/model.gguf").read_bytes() == WEIGHTS
    assert sorted(os.listdir(".test-models/m")) == ["config.json", "model.gguf", "receipt.json"]
    shutil.rmtree(".test-models")
    hub.fault("model.gguf", Fault("status", "cdn", code=418))
    failed = error_of(download(LLORCH_XET="1"))
    assert failed["code"] == "unreachable", failed["message"]
    assert "without LLORCH_XET" in failed["hint"]


def test_what_a_killed_client_has_left_is_removed(workspace: Path, hub: Hub) -> None:
    """Its folder goes with `gc`, but not while it is in use; the next download does without it."""
    declare(workspace, hub)
    hub.fault("model.gguf", Fault("stall", after=1000))
    command = [str(BIN / "llorch"), "models", "download", "m"]
    env = {**os.environ, "LLORCH_XET": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        other = Path(".test-models/m/config.json")
        while (hub.bytes_sent("model.gguf") < 1000 or not other.exists()) and running.poll() is None:
            os.sched_yield()
        (folder,) = Path(".test-models/m").glob(".xet-*")
        assert program("llorch", "models", "gc", "--yes", "--json").json["removed"] == []
        running.kill()
    assert folder.is_dir()
    removed = program("llorch", "models", "gc", "--yes", "--json").json["removed"]
    assert ([item["path"] for item in removed], folder.exists()) == ([str(folder)], False)
    assert download(LLORCH_XET="1").code == 0
    assert sorted(os.listdir(".test-models/m")) == ["config.json", "model.gguf", "receipt.json"]


def test_many_siblings_do_not_matter(workspace: Path, hub: Hub) -> None:
    """Two files of a repository with ten thousand come by themselves."""
    files = {f"extra/{number}.txt": b"x" for number in range(10_000)}
    hub.add("org/model", {"model.gguf": WEIGHTS, "config.json": CONFIG, **files}, lfs=["model.gguf"])
    declare(workspace, hub)
    assert download().code == 0
    assert {request.file for request in hub.requests if request.file} == {"model.gguf", "config.json"}


def test_a_repository_on_xet_comes_by_plain_http(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the Hub also offers by Xet comes over HTTP, which can go on where it stopped."""
    with Hub(xet=True) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.tokens[TOKEN] = set()
        hub.add("org/model", {"model.gguf": WEIGHTS, "config.json": CONFIG}, lfs=["model.gguf"])
        declare(workspace, hub)
        hub.fault("model.gguf", Fault("drop", after=1000))
        assert download(HF_TOKEN=TOKEN).code == 0
        assert hub.bytes_sent("model.gguf") == len(WEIGHTS)
        assert all("authorization" not in request.headers for request in hub.requests if request.origin == "cdn")
