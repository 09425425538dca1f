"""What the tests share: a home of their own, workspaces with awkward names, and both doors to run."""

import ctypes
import hashlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, TypeVar
from unittest.mock import patch

import pytest
from huggingface_hub import constants  # it reads the environment when it is first imported: not in a test that sets it

from llorch import cli, shell, signals, ui
from llorch.build import tasks as build_tasks
from llorch.models import hub as client
from llorch.models import tasks
from llorch.models.tools import LLAMA_QUANTIZE, install, runs_llama_quantize
from llorch.progress import Silent
from llorch.session import session
from llorch.state import State
from tests.hub import Hub

IN_CI = bool(os.environ.get("CI"))
ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
"""Where the `llorch` and `doit` under test are."""
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # by nohup; what tests start would ignore it, too
    signal.signal(signal.SIGHUP, lambda number, frame: None)
NOBODY = "http://127.0.0.1:9"
"""The Hub of tests that have none: nobody listens there."""
MORTAL = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
"""Before a command: root, too, has no more rights to files than their modes give."""


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document on stdout, which has no key that the documentation does not name."""
        document = json.loads(self.out)
        missing = sorted(keys(document) - documented_keys())
        assert not missing, f"docs/json.md does not name {missing}"
        return document


def keys(document: object) -> set[str]:
    """Return the keys of a document at all depths, but not those in the values that `why` tells of."""
    if isinstance(document, list):
        return {key for item in document for key in keys(item)}
    if isinstance(document, dict):
        below = {key for name, value in document.items() if name not in ("was", "now") for key in keys(value)}
        return below | document.keys()
    return set()


@cache
def documented_keys() -> frozenset[str]:
    """Return the words in code on the pages that tell of JSON."""
    pages = "".join((ROOT / "docs" / name).read_text() for name in ("json.md", "errors.md"))
    return frozenset(word for code in re.findall(r"`([^`]+)`", pages) for word in re.findall(r"\w+", code))


def own_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a new folder for the home, and drop what the environment says to llorch and what it stands on."""
    for name in [*os.environ]:
        if name.startswith(("LLORCH_", "HF_", "XDG_", "DOIT_")) or name in ("CI", "NO_COLOR"):
            monkeypatch.delenv(name)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_ENDPOINT", NOBODY)
    monkeypatch.setenv("LLORCH_NO_CACHE", "1")  # the tests of what is made have it made; tests/cache has it on


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the tests away from the real home, the user's settings and each other's process-wide state."""
    own_home(tmp_path / "home", monkeypatch)
    # Commands set these for their process; setting them here too has them restored.
    for name in ("LLORCH_REPO_ROOT", "LLORCH_DRY_RUN", "LLORCH_NO_WAIT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "ENDPOINT", NOBODY)
    monkeypatch.setattr(shell, "_stopped", False)
    monkeypatch.setattr(signals, "_until", 0.0)
    forget_session()
    yield
    forget_session()


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real file of the shipped catalog's smallest model, fetched once for all tests; nobody changes it.

    Two folders above it is a model folder, to be LLORCH_MODEL_BASE_DIR.
    """
    root = tmp_path_factory.mktemp("smollm2")
    with pytest.MonkeyPatch.context() as monkeypatch:
        own_home(root / "home", monkeypatch)
        run = program("llorch", "models", "download", "smollm2", "--json", cwd=root)
    assert run.code == 0, run.out
    return root / str(run.json["tasks"][0]["targets"][0]["path"])


@pytest.fixture(scope="session")
def llama_quantize(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ready-made llama-quantize, installed once."""
    if not (IN_CI or runs_llama_quantize()):
        pytest.skip("there is no ready-made llama-quantize for this machine")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        install(LLAMA_QUANTIZE, Silent())
        return LLAMA_QUANTIZE.path


def forget_session() -> None:
    """Let the next run in this process read everything anew."""
    if session.cache_info().currsize:
        session().state.close()
    session.cache_clear()
    sys.modules.pop("dodo", None)  # the workspace's own
    tasks.models.cache_clear()
    build_tasks.plans.cache_clear()
    ui.log = None
    ui.mode.__init__()  # type: ignore[misc]  # back to how every process begins


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace whose path has a space and non-ASCII letters, as the current folder."""
    root = tmp_path / "Wörk späce"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[str]]:
    """The writing end of a real terminal."""
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    with open(follower, "w") as stream:
        yield stream
    os.close(leader)


@pytest.fixture
def state(workspace: Path) -> Iterator[State]:
    """The state of the workspace."""
    with closing(State(workspace / ".llorch" / "state.db", workspace)) as state:
        yield state


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that this process takes for the real one, with no pauses between questions."""
    import huggingface_hub

    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(client, "ASK_PAUSES", (0.0, 0.0, 0.0))
        yield hub
        huggingface_hub.close_session()


@pytest.fixture
def llorch(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Run a `llorch` command line in this process, in the current folder or another."""
    monkeypatch.chdir(Path.cwd())

    def run(*arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
        forget_session()
        with patch.dict(os.environ, env or {}), chdir(cwd or Path.cwd()):
            for name in {"LLORCH_REPO_ROOT", "LLORCH_DRY_RUN", "LLORCH_NO_WAIT"}.difference(env or ()):
                os.environ.pop(name, None)
            monkeypatch.setattr(sys, "argv", ["llorch", *arguments])
            capfd.readouterr()
            code = cli.run(list(arguments))
        out, err = capfd.readouterr()
        return Run(code, out, err)

    return run


def program(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Run `doit` or `llorch` as a program of its own."""
    return program_of(str(BIN / command[0]), *command[1:], cwd=cwd, env=env)


def program_of(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Run any program."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def sha256(data: bytes) -> str:
    """Return the digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def write_catalog(root: Path, models: Mapping[str, Mapping[str, bytes]], *, pinned: bool = True) -> Path:
    """Write a catalog whose models come from `file:` folders with these files; return the folder of the sources."""
    sources = root / "sources"
    lines = ["version = 1"]
    for id, files in models.items():
        lines += ["", f"[models.{id}]", f'source = "file:sources/{id}"', "files = ["]
        for path, data in files.items():
            place = sources / id / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            pins = f', size = {len(data)}, sha256 = "{sha256(data)}"' if pinned else ""
            lines.append(f'  {{ path = "{path}"{pins} }},')
        lines.append("]")
    (root / "catalog.toml").write_text("\n".join(lines) + "\n")
    return sources


def write_dodo(root: Path, more: str = "") -> None:
    """Write a dodo.py that uses llorch, with tasks of its own below."""
    (root / "dodo.py").write_text("from llorch.dodo import *\n" + more)


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, bytes]) -> Path:
    """Write a wheel that pip accepts, with these files in it."""
    import zipfile

    folder.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    every = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    every[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*every, f"{info}/RECORD"]).encode()
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in every.items():
            archive.writestr(path, data)
    return wheel


Made = TypeVar("Made")


def as_mortal(function: Callable[[], Made]) -> Made:
    """Call a function as a user whom file permissions bind, also where the tests run as root.

    A thread's rights are its own on Linux, so one of its own gives them up, also for the programs that it starts.
    """

    def give_up_and_call() -> Made:
        if os.geteuid() == 0:
            libc = ctypes.CDLL(None, use_errno=True)
            set_securebits, noroot = 28, 1
            if libc.prctl(set_securebits, noroot):
                raise OSError(ctypes.get_errno(), "prctl")
            version_3_of_this_thread = struct.pack("Ii", 0x20080522, 0)
            if libc.capset(version_3_of_this_thread, bytes(24)):
                raise OSError(ctypes.get_errno(), "capset")
        return function()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(give_up_and_call).result()


def in_terminal(
    *command: str, columns: int = 80, typed: str = "", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Run:
    """Run a program that has a terminal of this width, and give it what is typed; all it writes is in `out`."""
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**inherited, "TERM": "xterm-256color", **(env or {})},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    os.write(leader, typed.encode())
    output = b""
    with suppress(OSError):  # how Linux says that nobody has the terminal open any more
        while data := os.read(leader, 65536):
            output += data
    os.close(leader)
    return Run(process.wait(), output.decode(errors="replace").replace("\r\n", "\n"), "")
