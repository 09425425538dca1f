"""Full and read-only disks, made of mounts that only the program under test sees."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import BIN, MORTAL, Run, program, sha256, write_catalog, write_dodo
from tests.hub import Fault, Hub

DATA = bytes(3 << 20)
FULL = "mkdir -p .test-models && mount -t tmpfs -o size=2m tmpfs .test-models"
READ_ONLY = "mount --bind . . && mount -o remount,ro,bind . && cd ."
LOOK = "find .test-models -type f | sort"


def mounted(mount: str, *command: str) -> Run:
    """Run `llorch` or `doit` after mounting, and list the model folder on stdout."""
    script = f'{mount} || exit 99; cd "$PWD"; "$@"; code=$?; {LOOK}; exit $code'
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(BIN / command[0]), *command[1:]]
    done = subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return Run(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with a file that is larger than the disk."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add("org/m", {"a.gguf": DATA}, lfs=["a.gguf"])
        yield hub


def test_too_little_room_is_refused_before(workspace: Path, hub: Hub) -> None:
    """What does not fit is not begun, and the message has both numbers."""
    pin = f'size = {len(DATA)}, sha256 = "{sha256(DATA)}"'
    Path("catalog.toml").write_text(f'[models.m]\nrepo = "org/m"\nfiles = [{{ path = "a.gguf", {pin} }}]\n')
    run = mounted(FULL, "llorch", "models", "download", "m")
    assert run.code == 1
    assert "`m` needs 3,145,728 bytes, and " in run.err
    assert "has 2,097,152 left" in run.err
    assert (run.out, hub.bytes_sent("a.gguf")) == ("", 0)


def test_a_disk_that_fills_on_the_way_is_survived(workspace: Path, hub: Hub) -> None:
    """When the size was not known, the error says that the disk is full, and nothing has the file's name."""
    hub.fault("a.gguf", Fault("chunked", after=len(DATA)))
    url = hub.link("org/m", "a.gguf")
    Path("catalog.toml").write_text(f'[models.m]\nsource = "https:"\nfiles = [{{ path = "a.gguf", url = "{url}" }}]\n')
    run = mounted(FULL, "llorch", "models", "download", "m")
    assert (run.code, run.out) == (1, "")
    assert "error: the disk is full: `.test-models/m/a.gguf` cannot be written\nhint: make room below" in run.err


@pytest.mark.parametrize("door", ["llorch", "doit"])
def test_read_only_with_nothing_to_do(workspace: Path, door: str) -> None:
    """Where everything is done, nothing has to be written."""
    write_catalog(workspace, {"m": {"a.gguf": DATA}})
    write_dodo(workspace)
    assert program("doit", "models:m").code == 0
    command = ("doit", "models:m") if door == "doit" else ("llorch", "models", "download", "m")
    run = mounted(READ_ONLY, *command)
    assert (run.code, run.err) == (0, "nothing to do: models:m is up to date\n")


@pytest.mark.parametrize("door", ["llorch", "doit"])
def test_read_only_with_something_to_do(workspace: Path, door: str) -> None:
    """Where something has to be written, one message says what cannot be."""
    write_catalog(workspace, {"m": {"a.gguf": DATA}})
    write_dodo(workspace)
    command = ("doit", "models:m") if door == "doit" else ("llorch", "models", "download", "m")
    run = mounted(READ_ONLY, *command)
    assert run.code == 1
    assert run.err.count("error: ") == 1
    assert "Read-only file system" in run.err
    assert "hint: " in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize("place", ["m/a.gguf", "m", ""])
@pytest.mark.parametrize(
    "command",
    [
        ("llorch", "models", "verify", "m", "--json"),
        ("llorch", "models", "download", "m", "--json"),
        ("llorch", "models", "list", "--json"),
        ("llorch", "models", "info", "m", "--json"),
        ("llorch", "models", "delete", "m", "--yes", "--json"),
        ("doit", "models:m"),
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_what_may_not_be_read_is_said(
    workspace: Path, llorch: Callable[..., Run], command: tuple[str, ...], place: str
) -> None:
    """Without the right to read there is one message, one document, and no traceback."""
    write_catalog(workspace, {"m": {"a.gguf": DATA}})
    write_dodo(workspace)
    assert llorch("models", "download", "m").code == 0
    path = workspace / ".test-models" / place
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        inside = [*MORTAL, str(BIN / command[0]), *command[1:]]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=60, check=False)
    finally:
        if path.exists():  # deleting a file needs no right to read it
            path.chmod(mode)
    assert "Traceback" not in done.stderr
    if command[0] == "llorch":
        document = json.loads(done.stdout)
        assert document["schema"] == 1
        assert done.returncode in (0, 1, 6)


def test_doctor_tells_of_a_full_disk(workspace: Path) -> None:
    """Records and locks have no place there, and what makes room is told."""
    full = "mkdir .llorch && mount -t tmpfs -o size=1m tmpfs .llorch && ! cat /dev/zero >.llorch/much 2>/dev/null"
    run = mounted(full, "llorch", "dev", "doctor", "-q")
    assert run.code == 1
    assert f"`{workspace}/.llorch` cannot be written in: No space left on device\n" in run.out
    assert "llorch models gc\n" in run.out


def test_unshare_is_there() -> None:
    """The mounts of these tests need `unshare` of util-linux, and the right to use it."""
    assert subprocess.run(["unshare", "--map-root-user", "--mount", "true"], check=False).returncode == 0
