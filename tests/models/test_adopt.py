"""Taking files that are on this machine already."""

import fcntl
import os
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.errors import DiskFull
from llorch.models.adopt import adopt, git_oid_of, is_near
from llorch.models.catalog import Convert, Entry, File, Model
from llorch.models.hub import Remote
from llorch.models.part import landing
from llorch.progress import Silent
from tests.conftest import as_mortal, sha256

DATA = b"the right bytes"
FILE = File(path="sub/a [1].gguf")
COMMIT = "c" * 40
SHA = sha256(DATA)


def model(*, convert: bool = False, source: str = "hf") -> Model:
    """Return a model of one file."""
    made = Convert(to="x.gguf") if convert else None
    return Model("m", Entry(files=(FILE,), repo="org/m", source=source, convert=made), "models/m")


def take(root: Path, promise: Remote, wanted: Model | None = None) -> str | None:
    """Adopt the file in a workspace."""
    return adopt(wanted or model(), FILE, promise, Workspace(root=root, declared=True), Silent())


def put(path: Path, data: bytes = DATA) -> Path:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "place",
    [
        "models/m/pytorch/sub/a [1].gguf",
        "models/other/a [1].gguf",
        "home/.cache/huggingface/hub/models--org--m/blobs/" + SHA,
        f"home/.cache/huggingface/hub/models--org--m/snapshots/{COMMIT}/sub/a [1].gguf",
        "home/.cache/huggingface/hub/models--org--m/snapshots/main/sub/a [1].gguf",
    ],
)
def test_places_that_are_looked_at(tmp_path: Path, place: str) -> None:
    """A file with the promised contents is taken, and stays where it was."""
    found = put(tmp_path / place)
    assert take(tmp_path, Remote(url="", size=len(DATA), sha256=SHA, commit=COMMIT)) == SHA
    assert (tmp_path / "models/m/sub/a [1].gguf").read_bytes() == found.read_bytes() == DATA


def test_what_is_near_is_told_by_its_size(tmp_path: Path) -> None:
    """Without reading it, and only where its contents are promised; what is in its own place is not elsewhere."""
    promise = Remote(url="", size=len(DATA), sha256=SHA)

    def found(promise: Remote) -> bool:
        return is_near(model(), FILE, promise, Workspace(root=tmp_path, declared=True))

    put(tmp_path / "models/m/sub/a [1].gguf")
    assert not found(promise)
    near = put(tmp_path / "models/other/a [1].gguf", b"x" * len(DATA))
    assert found(promise)
    assert not found(Remote(url="", size=len(DATA)))
    assert not found(Remote(url="", sha256=SHA))
    assert not found(Remote(url="", size=1, sha256=SHA))
    near.parent.chmod(0o600)
    assert not as_mortal(lambda: found(promise))
    near.parent.chmod(0o700)


def test_a_conversions_source_is_found_where_scripts_put_it(tmp_path: Path) -> None:
    """With a conversion the file belongs in `source`, and may be beside it."""
    put(tmp_path / "models/m/sub/a [1].gguf")
    assert take(tmp_path, Remote(url="", sha256=SHA), model(convert=True)) == SHA
    assert (tmp_path / "models/m/source/sub/a [1].gguf").read_bytes() == DATA


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"])
def test_the_cache_is_where_the_client_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The variables that move the Hub's cache are followed."""
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    inner = {"HF_HOME": "hub/", "HF_HUB_CACHE": "", "XDG_CACHE_HOME": "huggingface/hub/"}[variable]
    put(tmp_path / f"cache/{inner}models--org--m/blobs/{SHA}")
    assert take(tmp_path, Remote(url="", sha256=SHA)) == SHA
    assert take(tmp_path / "other", Remote(url="", sha256=SHA), model(source="https:")) is None


@pytest.mark.parametrize(
    "promise",
    [
        Remote(url="", size=len(DATA), sha256=sha256(b"other")),
        Remote(url="", size=len(DATA) + 1, sha256=SHA),
        Remote(url="", git_oid="0" * 40),
        Remote(url=""),
    ],
    ids=["digest", "size", "git id", "nothing promised"],
)
def test_other_files_are_left(tmp_path: Path, promise: Remote) -> None:
    """What is not the promised file is not taken."""
    put(tmp_path / "models/other/a [1].gguf")
    assert take(tmp_path, promise) is None
    assert not (tmp_path / "models/m").exists()


def test_files_kept_in_git_are_told_by_their_id(tmp_path: Path) -> None:
    """Where there is no sha256 the id that `git hash-object` prints decides."""
    import subprocess

    found = put(tmp_path / "models/other/a [1].gguf")
    oid = subprocess.run(["git", "hash-object", found], check=True, capture_output=True, text=True).stdout.strip()
    assert git_oid_of(found) == oid
    assert take(tmp_path, Remote(url="", git_oid=oid)) == SHA


def test_what_is_taken_is_a_file_of_its_own(tmp_path: Path) -> None:
    """An edit of the one does not change the other, also where a link led to it."""
    put(tmp_path / "elsewhere/real")
    (tmp_path / "models/other").mkdir(parents=True)
    (tmp_path / "models/other/a [1].gguf").symlink_to(tmp_path / "elsewhere/real")
    assert take(tmp_path, Remote(url="", sha256=SHA)) == SHA
    taken = tmp_path / "models/m/sub/a [1].gguf"
    assert (taken.is_symlink(), taken.stat().st_nlink) == (False, 1)
    assert taken.stat().st_ino != (tmp_path / "elsewhere/real").stat().st_ino


def test_a_clone_shares_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system can clone, no byte is copied, and the result is proven all the same."""

    def clone(new: int, request: int, old: int) -> int:
        return os.pwrite(new, os.pread(old, 100, 0), 0)

    monkeypatch.setattr(fcntl, "ioctl", clone)
    put(tmp_path / "models/other/a [1].gguf")
    assert take(tmp_path, Remote(url="", sha256=SHA)) == SHA
    assert (tmp_path / "models/m/sub/a [1].gguf").read_bytes() == DATA


def test_a_place_that_another_process_is_at_is_left(tmp_path: Path) -> None:
    """Nothing is taken while another process writes the file."""
    put(tmp_path / "models/other/a [1].gguf")
    with landing(tmp_path / "models/m/sub/a [1].gguf", "a", size=None, sha256=None):
        assert take(tmp_path, Remote(url="", sha256=SHA)) is None


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """A candidate without the right to read it is none."""
    put(tmp_path / "models/other/a [1].gguf").chmod(0)
    as_mortal(lambda: _assert_none(tmp_path))


def _assert_none(root: Path) -> None:
    assert take(root, Remote(url="", sha256=SHA)) is None


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A folder that may not be written to is named."""
    put(tmp_path / "models/other/a [1].gguf")
    (tmp_path / "models/m").mkdir(mode=0o555)

    def attempt() -> None:
        with pytest.raises(DiskFull, match="cannot be written"):
            take(tmp_path, Remote(url="", sha256=SHA))

    as_mortal(attempt)
