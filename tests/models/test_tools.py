"""Tools: pinned, installed once, whole or not at all."""

import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from llorch.errors import Busy, LlorchError, Offline, ToolMissing
from llorch.models import tools
from llorch.models.tools import CONVERT, LLAMA_QUANTIZE, Tool, install
from llorch.progress import Silent
from tests.conftest import write_wheel
from tests.models.conftest import Heard

TINY = Tool(name="hammer", package="tiny", version="1.0", file="tiny/bin/hammer", more=("handle==2.0",))
FILES = {"tiny/bin/hammer": b"bang", "tiny/__init__.py": b""}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where tools are, in these tests; its path has a space and non-ASCII letters."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "Cäche of mine"))
    return tmp_path / "Cäche of mine" / "llorch" / "tools"


@pytest.fixture
def index(tmp_path: Path, wheels: Callable[..., Path]) -> Path:
    """A folder that is all that pip knows, with the two wheels of a tool."""
    wheels(FILES)
    write_wheel(tmp_path / "wheels", "handle", "2.0", {"handle.py": b"length = 1"})
    return tmp_path / "wheels"


def names(cache: Path) -> list[str]:
    """Return what is in the folder of tools, digests cut off."""
    return sorted(path.name.replace(TINY.folder.name, "hammer") for path in cache.iterdir())


def test_a_tool_is_installed_once(cache: Path, index: Path) -> None:
    """All that was asked for is in a folder of its name; what is there is not asked for again."""
    heard = Heard()
    assert install(TINY, heard) is True
    assert TINY.folder.parent == cache
    assert (TINY.path.read_bytes(), (TINY.folder / "handle.py").is_file()) == (b"bang", True)
    assert names(cache) == ["hammer", "hammer.lock"]
    wheels = {"tiny-1.0-py3-none-any.whl", "handle-2.0-py3-none-any.whl"}
    assert (heard.said[0], {*heard.said[1:-1]}, heard.said[-1]) == (
        "tiny 1.0 from PyPI",
        wheels,
        "installing 2 packages",
    )
    for wheel in index.iterdir():
        wheel.unlink()
    assert install(TINY, Silent()) is False


def test_other_requirements_are_another_folder(cache: Path) -> None:
    """A folder's name stands for all that pip is asked for, so a newer llorch and an older one share none."""
    other = Tool(name="hammer", package="tiny", version="1.0", file="tiny/bin/hammer", more=("handle==3.0",))
    assert other.folder != TINY.folder
    assert other.folder.name.startswith("hammer-1.0-")


@pytest.mark.parametrize("base", ["", "relative"])
def test_tools_are_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    """Without a right XDG_CACHE_HOME it is ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert tools.tools_folder() == Path.home() / ".cache" / "llorch" / "tools"


def test_what_pip_cannot_do_leaves_nothing(cache: Path, index: Path) -> None:
    """A requirement that is not there is pip's own message, and nothing has the tool's name."""
    (index / "handle-2.0-py3-none-any.whl").unlink()
    with pytest.raises(LlorchError, match=r"pip could not install tiny 1.0: Could not find a version.*handle==2.0"):
        install(TINY, Silent())
    assert names(cache) == ["hammer.lock"]


def test_a_package_without_the_program_is_refused(cache: Path, index: Path, wheels: Callable[..., Path]) -> None:
    """What came is looked at before it has the tool's name."""
    wheels({"tiny/__init__.py": b""})
    with pytest.raises(LlorchError, match=r"tiny 1\.0 came without `tiny/bin/hammer`"):
        install(TINY, Silent())
    assert names(cache) == ["hammer.lock"]


def test_what_a_killed_run_left_is_replaced(cache: Path, index: Path) -> None:
    """A half-made folder, and one that has lost its program, both give way to a whole one."""
    for left in (TINY.folder.with_name(TINY.folder.name + ".abc.part") / "new", TINY.folder):
        left.mkdir(parents=True)
        (left / "leftover").touch()
    assert install(TINY, Silent()) is True
    assert (names(cache), (TINY.folder / "leftover").exists()) == (["hammer", "hammer.lock"], False)


KILLED = """
import sys
from llorch.models import tools
from llorch.progress import Silent
from tests.models.test_tools import TINY
tools.os.sync = lambda: (print("installed", flush=True), sys.stdin.read())
tools.install(TINY, Silent())
"""


def test_a_run_killed_at_the_last_moment_leaves_nothing(cache: Path, index: Path) -> None:
    """Killed with all in place but the name, the tool is not there, and the next run makes it."""
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "installed\n"
        run.send_signal(signal.SIGKILL)
    assert (TINY.folder.exists(), {Path(name).suffix for name in names(cache)}) == (False, {".part", ".lock"})
    assert install(TINY, Silent()) is True
    assert names(cache) == ["hammer", "hammer.lock"]


def test_two_at_once_install_one(cache: Path, index: Path) -> None:
    """Of two runs that need a tool, one installs it and the other waits and finds it."""
    start = threading.Barrier(2)

    def run(heard: Heard) -> bool:
        start.wait()
        return install(TINY, heard)

    heards = [Heard(), Heard()]
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(run, heards)) == [False, True]
    said = sorted(heard.said for heard in heards)
    assert said[1] == ["waits for another run that is installing hammer"]


def test_nobody_waits_who_would_not(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LLORCH_NO_WAIT a tool that another run is installing is an error; an ended run waits no longer."""
    cache.mkdir(parents=True)

    class Ended(Silent):
        """The progress of a run that has been ended."""

        def advance(self, size: int) -> None:
            """End the work."""
            raise KeyboardInterrupt

    with FileLock(TINY.folder.with_name(TINY.folder.name + ".lock")):
        with pytest.raises(KeyboardInterrupt):
            install(TINY, Ended())
        monkeypatch.setenv("LLORCH_NO_WAIT", "1")
        with pytest.raises(Busy, match="another run is installing hammer"):
            install(TINY, Silent())


def test_offline_nothing_is_installed(cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With LLORCH_OFFLINE what is there serves, and what is not is an error."""
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    with pytest.raises(Offline, match="`hammer` is not here, and LLORCH_OFFLINE is set"):
        install(TINY, Silent())
    monkeypatch.delenv("LLORCH_OFFLINE")
    install(TINY, Silent())
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    assert install(TINY, Silent()) is False


@pytest.mark.parametrize(
    ("system", "machine", "flags", "runs"),
    [
        ("Linux", "x86_64", "flags\t\t: fpu avx avx2 bmi2\n", True),
        ("Linux", "x86_64", "flags\t\t: fpu avx bmi2\n", False),
        ("Linux", "aarch64", "", False),
        ("Darwin", "arm64", "", True),
        ("Darwin", "x86_64", "", False),
    ],
)
def test_a_machine_without_a_wheel_is_told(
    cache: Path, index: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, flags: str, runs: bool
) -> None:
    """Where the ready-made program cannot run, pip is not asked, and the other ways are told."""
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda path: flags if str(path) == "/proc/cpuinfo" else "")
    error, said = (LlorchError, "pip could not install") if runs else (ToolMissing, "no ready-made `llama-quantize`")
    with pytest.raises(error, match=said) as caught:
        install(LLAMA_QUANTIZE, Silent())
    assert ("in PATH" in (caught.value.hint or "")) is not runs


def test_every_requirement_is_pinned() -> None:
    """No tool's requirements leave pip a choice, and none is there twice."""
    for tool in (LLAMA_QUANTIZE, CONVERT):
        pins = [requirement.split("==") for requirement in tool.requirements]
        assert all(len(pin) == 2 for pin in pins)
        assert len({name for name, _ in pins}) == len(pins)
