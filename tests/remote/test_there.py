"""Scripts on one connection to a real server."""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from llorch.config import find_workspace
from llorch.errors import CommandFailed, ConnectionFailed, DiskFull, NotInWorkspace
from llorch.remote.command import EXPAND, FOLDER
from llorch.remote.hosts import load_hosts
from llorch.remote.reach import Reach
from llorch.remote.streams import Process
from llorch.remote.there import BEGIN, READY, There
from tests.remote.box import declare
from tests.remote.sshd import Sshd


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server."""
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def place(workspace: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the repository of `box` is to be."""
    return declare(workspace, sshd, monkeypatch)


@pytest.fixture
def there(place: Path) -> Iterator[There]:
    """The host `box`."""
    hosts = load_hosts(find_workspace())
    with There(Reach(hosts, 10, lambda _: None), hosts["box"], lambda _: nullcontext(), print) as there:
        yield there


def test_scripts_run_one_after_the_other(place: Path, there: There, tmp_path: Path) -> None:
    """Each in the repository or the folder named, with its arguments and its input."""
    place.mkdir(parents=True)
    assert there.run("pwd", FOLDER + BEGIN + ' pwd; printf "%s|" "$@"', "a b", "") == os.fsencode(f"{place}\na b||")
    (tmp_path / "input").write_bytes(bytes(range(256)))
    with open(tmp_path / "input", "rb") as file:
        assert there.run("cat", FOLDER + BEGIN + " cat", folder="/", stdin=file.fileno()) == bytes(range(256))


def test_failures_are_told(place: Path, there: There) -> None:
    """A folder that is not there; a program that fails, with the end of what it said."""
    with pytest.raises(NotInWorkspace, match="`box` has no folder"):
        there.run("true", FOLDER + BEGIN)
    with pytest.raises(CommandFailed) as failed:
        there.run("git", FOLDER + BEGIN + " echo no data; echo 'it hurts' >&2; exit 3", folder="")
    assert (failed.value.message, failed.value.returncode) == ("on `box`: `git` exited with 3:\nit hurts", 3)


def test_a_full_disk_is_told(there: There) -> None:
    """Whichever program says so."""
    with pytest.raises(DiskFull, match="the disk of `box` is full: `cat` cannot write"):
        there.run("cat", FOLDER + BEGIN + " echo more >&2; cat /bin/sh >/dev/full", folder="/")


def test_a_folder_that_looks_like_an_option(there: There, sshd: Sshd) -> None:
    """It is below the one that a login begins in, like any relative path."""
    for name in ("-", "-P", "rel"):
        with pytest.raises(NotInWorkspace):
            there.run("pwd", FOLDER + BEGIN + " pwd", folder=f"{name}/of a test")
        assert there.run("pwd", EXPAND + BEGIN + ' printf %s "$folder"', folder=name).decode() == f"./{name}"


def test_an_interrupt_ends_the_script(place: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its signal before the connection is left."""
    hosts = load_hosts(find_workspace())

    class Interrupts:
        def __init__(self, process: Process) -> None:
            process.beginning.came.wait(10)

        def __enter__(self) -> None:
            raise KeyboardInterrupt

        def __exit__(self, *_: object) -> None:
            raise AssertionError

    mark = sshd.home / "ended"
    with There(Reach(hosts, 10, lambda _: None), hosts["box"], Interrupts, print) as there:
        with pytest.raises(KeyboardInterrupt):
            there.run(
                "sleep",
                FOLDER + f" trap 'touch \"{mark}\"; exit' INT;" + BEGIN + " while :; do sleep 0.05; done",
                folder="",
            )
        assert mark.exists()


BESIDE = FOLDER + BEGIN + ' printf "%s\\0%s\\0" name value;' + READY + ' echo ended >"$1"'


def test_a_script_beside_others(there: There, tmp_path: Path) -> None:
    """It tells what it is to tell, is there while others run, and goes on when the block ends."""
    mark = tmp_path / "ended"
    with there.beside("sh", BESIDE, str(mark), folder="") as facts:
        assert facts["name"] == "value"
        assert there.run("echo", FOLDER + BEGIN + " echo hi", folder="") == b"hi\n"
        assert not mark.exists()
    assert mark.read_text() == "ended\n"


def test_a_script_beside_others_that_ends_before(there: There) -> None:
    """By its own wish it has told what it is to tell; if it fails, nothing is run beside it."""
    with there.beside("sh", FOLDER + BEGIN + ' printf "a\\0b\\0"', folder="") as facts:
        assert facts["a"] == "b"
    with (
        pytest.raises(CommandFailed, match="it hurts"),
        there.beside("x", FOLDER + BEGIN + " echo it hurts >&2; exit 3", folder=""),
    ):
        raise AssertionError


def test_a_script_beside_what_fails(there: There, tmp_path: Path) -> None:
    """It comes to its end whatever is raised."""
    mark = tmp_path / "ended"
    with pytest.raises(KeyboardInterrupt), there.beside("sh", BESIDE, str(mark), folder=""):
        raise KeyboardInterrupt
    assert mark.exists()


def test_no_connection(place: Path) -> None:
    """It is told at once."""
    hosts = load_hosts(find_workspace())
    with pytest.raises(ConnectionFailed):
        There(
            Reach(hosts, 10, lambda _: None),
            hosts["box"].__class__(name="x", host="127.0.0.1", port=1),
            lambda _: nullcontext(),
            print,
        )
