"""Files copied to and from a host: resumed, verified, named last, whatever is in the way there."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llorch.errors import (
    Busy,
    ConnectionFailed,
    DiskFull,
    IntegrityError,
    LlorchError,
    NotInWorkspace,
    Refused,
    ToolMissing,
)
from llorch.remote.copy import Copier, File, Seen, ask_llorch
from llorch.remote.reach import Reach
from llorch.remote.streams import Connection
from tests.conftest import sha256
from tests.models.conftest import Heard
from tests.remote.far import Box, in_mounts, new_box, serving
from tests.remote.sshd import Sshd

DATA = os.urandom(100_000) * 30
MANY = "m/-a $(touch x) 'ö\".gguf"


@pytest.fixture(scope="module")
def far_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all hosts to copy to and from."""
    with serving(tmp_path_factory.mktemp("server")) as sshd:
        yield sshd


@pytest.fixture
def box(far_server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A host whose repository is empty."""
    return new_box(far_server, tmp_path, monkeypatch)


@pytest.fixture
def copier(box: Box) -> Iterator[Copier]:
    """Copies to and from the model folder of a box."""
    connection = box.reach().connect(box.host())
    yield Copier(box.host(), connection, ".test-models")
    connection.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of this machine."""
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


def file(path: str = "m/a", data: bytes = DATA) -> File:
    """Return what a file is to be."""
    return File(path, len(data), sha256(data))


def put(box: Box, path: str, data: bytes) -> Path:
    """Write a file of a box."""
    place = box.models / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return place


def test_a_file_goes_and_comes(box: Box, copier: Copier, source: Path) -> None:
    """A file whose name is code for a shell arrives under just that name, and comes back as it was."""
    heard, came = Heard(), bytearray()
    assert copier.send(source, file(MANY), 0, heard)
    assert (box.files(), heard.advanced) == ({MANY: DATA}, len(DATA))
    copier.receive(MANY, 7, len(DATA), came.extend)
    assert came == DATA[7:]
    assert copier.read(MANY, 10)[:11] == DATA[:11]


def test_looking_tells_what_is_there(box: Box, copier: Copier, source: Path) -> None:
    """Sizes of files and parts are told, digests only of files of the wanted size, and nothing of what is no file."""
    free, seen = copier.look({"m/a": len(DATA)})
    assert free > 0
    assert seen == {"m/a": Seen(-1, 0, None)}
    put(box, MANY, DATA)
    put(box, "m/b", b"other")
    put(box, "m/c.part", b"half")
    (box.models / "m/d").mkdir()
    _, seen = copier.look({MANY: len(DATA), "m/b": 7, "m/c": 8, "m/d": 0, "m/b/x": None})
    none = Seen(-1, 0, None)
    assert [*seen.values()] == [Seen(len(DATA), 0, sha256(DATA)), Seen(5, 0, None), Seen(-1, 4, None), none, none]


def test_a_part_is_gone_on_with(box: Box, copier: Copier, source: Path) -> None:
    """Only what a part lacks is sent; one that was wrong is dropped, one that is too long is begun anew."""
    part, heard = put(box, "m/a.part", DATA[:-10]), Heard()
    assert copier.send(source, file(), len(DATA) - 10, heard)
    assert (box.files(), heard.advanced) == ({"m/a": DATA}, 10)
    part.write_bytes(b"x" * 10)
    assert not copier.send(source, file(), 10, heard)
    assert not part.exists()
    part.write_bytes(b"x" * (len(DATA) + 1))
    assert copier.send(source, file(), len(DATA) + 1, heard)
    assert box.files() == {"m/a": DATA}


def test_wrong_bytes_get_no_name(box: Box, copier: Copier, source: Path) -> None:
    """What is not as promised when it has arrived is dropped, and what had the name keeps it."""
    put(box, "m/a", b"old")
    with pytest.raises(IntegrityError, match=f"expected sha256 {'0' * 64}, found sha256 {sha256(DATA)}"):
        copier.send(source, File("m/a", len(DATA), "0" * 64), 0, Heard())
    with pytest.raises(IntegrityError):
        copier.send(source, File("m/a", len(DATA) - 1, sha256(DATA[:-1])), 0, Heard())
    assert box.files() == {"m/a": b"old"}


def test_a_file_that_has_become_shorter_is_said(box: Box, copier: Copier, source: Path) -> None:
    """Less than was promised is kept as a part, and has no name."""
    with pytest.raises(LlorchError, match=r"`box:\.test-models/m/a` ended early"):
        copier.send(source, File("m/a", len(DATA) + 1, sha256(DATA)), 0, Heard())
    assert box.files() == {"m/a.part": DATA}


def test_a_part_can_be_left_to_another(box: Box, copier: Copier, source: Path) -> None:
    """Without a name to be given, the whole part stays, unread."""
    assert copier.send(source, file(), 0, Heard(), name=False)
    assert box.files() == {"m/a.part": DATA}
    with pytest.raises(Busy):
        copier.send(source, file(), 5, Heard())


@pytest.mark.parametrize("lock", ["flock", "perl", "python3"])
def test_of_two_at_once_one_is_refused(box: Box, copier: Copier, source: Path, lock: str) -> None:
    """While one sends, another is told so, whichever program takes the lock; the first one's file is right."""
    go_on, there = box.repository.parent / "go on", box.repository.parent / "there"
    for fifo in (go_on, there):
        os.mkfifo(fifo)
    if lock != "flock":
        box.without("flock", *(["perl"] if lock == "python3" else []))
    before = box.wrapper.read_text().split("exec sh")[0]
    box.program("cat", f'/bin/cat; echo >"{there}"; read x <"{go_on}"')
    if lock != "flock":
        box.before(f'{before.partition(chr(10))[2]} PATH="{box.repository.parent / "bin"}:$PATH"')
    sent: list[bool] = []
    first = threading.Thread(target=lambda: sent.append(copier.send(source, file(), 0, Heard())))
    first.start()
    there.read_text()
    second = box.reach().connect(box.host())
    with pytest.raises(Busy, match=r"another process is writing `box:.test-models/m/a\.part`"):
        Copier(box.host(), second, ".test-models").send(source, file(), 0, Heard())
    second.close()
    go_on.write_text("\n")
    first.join()
    assert (sent, box.files()) == ([True], {"m/a": DATA})


def test_a_link_cut_half_way_is_gone_on_with(box: Box, copier: Copier, source: Path) -> None:
    """When the connection goes, the error says so; the part has what came, and the rest is all that is sent then."""
    ended = box.stops_after(1_000_000, "kill -9 $SESSION")
    with pytest.raises(ConnectionFailed):
        copier.send(source, file(), 0, Heard())
    assert ended.read_text() == "ended\n"
    assert box.files() == {"m/a.part": DATA[:1_000_000]}
    box.before("")
    connection, heard = box.reach().connect(box.host()), Heard()
    again = Copier(box.host(), connection, ".test-models")
    _, seen = again.look({"m/a": len(DATA)})
    assert again.send(source, file(), seen["m/a"].part, heard)
    connection.close()
    assert (box.files(), heard.advanced) == ({"m/a": DATA}, len(DATA) - 1_000_000)


def test_links_and_folders_in_the_way(box: Box, copier: Copier, source: Path, tmp_path: Path) -> None:
    """A link with the file's name is replaced, not followed; one in place of a part or a folder is refused."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (box.models / "m/d").mkdir(parents=True)
    (box.models / "m/a").symlink_to(elsewhere)
    assert copier.send(source, file(), 0, Heard())
    assert box.files() == {"m/a": DATA}
    (box.models / "m/b.part").symlink_to(elsewhere / "x")
    os.mkfifo(box.models / "m/c.part")
    (box.models / "n").symlink_to(elsewhere)
    for path, reason in (("m/b", "no file"), ("m/c", "no file"), ("n/a", "outside"), ("m/d", "folder")):
        with pytest.raises(Refused, match=reason):
            copier.send(source, file(path), 0, Heard())
    assert [*elsewhere.iterdir()] == []


def test_what_may_not_be_written_is_said(box: Box, copier: Copier, source: Path) -> None:
    """A read-only folder is one message; so is a file in a folder's place."""
    box.models.mkdir()
    box.before(in_mounts(f'mount --bind "{box.models}" "{box.models}" && mount -o remount,ro,bind "{box.models}"'))
    with pytest.raises(DiskFull, match=r"`box:.test-models/m/a` cannot be written: Read-only file system"):
        copier.send(source, file(), 0, Heard())
    box.before("")
    put(box, "m", b"")
    with pytest.raises(DiskFull, match=r"cannot be written: (File exists|Not a directory)"):
        copier.send(source, file(), 0, Heard())


def test_a_disk_that_fills_on_the_way(box: Box, copier: Copier, source: Path) -> None:
    """The message says that the disk is full, and nothing has the name."""
    box.models.mkdir()
    box.before(in_mounts(f'mount -t tmpfs -o size=2m tmpfs "{box.models}"'))
    with pytest.raises(DiskFull, match=r"the disk is full: `box:.test-models/m/a` cannot be written"):
        copier.send(source, file(), 0, Heard())
    assert box.files() == {}


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        (("flock", "perl", "python3"), "neither `flock` nor perl nor python3"),
        (("openssl", "sha256sum", "shasum"), "no openssl"),
    ],
)
def test_what_is_needed_there_is_named(
    box: Box, copier: Copier, source: Path, gone: tuple[str, ...], reason: str
) -> None:
    """A host without a program that is needed is told of, and no file has its name."""
    box.without(*gone)
    with pytest.raises(ToolMissing, match=reason):
        copier.send(source, file(), 0, Heard())
    assert "m/a" not in box.files()


@pytest.mark.parametrize("gone", [("openssl",), ("openssl", "sha256sum")])
def test_any_program_for_digests_will_do(box: Box, copier: Copier, source: Path, gone: tuple[str, ...]) -> None:
    """Where openssl is missing, sha256sum or shasum verifies."""
    box.without(*gone)
    assert copier.send(source, file(), 0, Heard())
    assert box.files() == {"m/a": DATA}


def test_what_cannot_be_read_is_said(box: Box, copier: Copier) -> None:
    """A missing file, folder or shell is an error of its own."""
    with pytest.raises(LlorchError, match=r"`box:.test-models/m/a` cannot be read: .*No such file"):
        copier.read("m/a", 10)
    box.before("exit 3")
    with pytest.raises(LlorchError, match="does not run commands: it ended with 3"):
        copier.read("m/a", 10)
    box.before("")
    box.program("df", "echo '$(hostile) 12'")
    with pytest.raises(LlorchError, match=r"`box` cannot tell what is in `.test-models`"):
        copier.look({"m/a": None})
    box.repository.rename(box.repository.with_name("gone"))
    with pytest.raises(NotInWorkspace):
        copier.look({})


def test_a_dead_connection_is_told(box: Box, source: Path) -> None:
    """Over a connection that is gone nothing is sent, and no file stays open."""
    connection = box.reach().connect(box.host())
    connection.close()
    before = os.listdir("/dev/fd")
    with pytest.raises(ConnectionFailed):
        Copier(box.host(), connection, ".test-models").send(source, file(), 0, Heard())
    assert len(os.listdir("/dev/fd")) <= len(before)


def test_an_interrupt_ends_the_sending(box: Box, copier: Copier, source: Path) -> None:
    """What the progress raises goes to the caller, and the part stays."""

    class Interrupted(Heard):
        def advance(self, size: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copier.send(source, file(), 0, Interrupted())
    assert [*box.files()] == ["m/a.part"]


def test_many_bytes_go_by_ssh(box: Box, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a size on, the ssh program carries the bytes both ways, asked for once; a cut link is told all the same."""
    monkeypatch.setattr("llorch.remote.copy.BULK", 1000)
    host, came = box.host(), bytearray()
    connection = box.reach().connect(host)
    asked: list[Connection | None] = []

    def bulk() -> Connection | None:
        asked.append(box.reach().connect_for_bulk(host))
        return asked[0]

    copier = Copier(host, connection, ".test-models", bulk)
    assert copier.send(source, file(), 0, Heard())
    copier.receive("m/a", 0, len(DATA), came.extend)
    assert (bytes(came), box.files(), len(asked)) == (DATA, {"m/a": DATA}, 1)
    ended = box.stops_after(1_000_000, "kill -9 $SESSION")
    with pytest.raises(ConnectionFailed):
        copier.send(source, file("m/b"), 0, Heard())
    assert ended.read_text() == "ended\n"
    connection.close()


def test_many_bytes_go_through_hops(box: Box, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ssh program takes the way that hosts.toml says: hops one after the other, each with its own key, or none."""
    monkeypatch.setattr("llorch.remote.copy.BULK", 1)
    plain = box.host()
    hosts = {
        "first": replace(plain, name="first", user=box.sshd.user),
        "second": replace(plain, name="second", jump="first"),
        "box": replace(plain, jump="first,second"),
    }
    for host in (hosts["second"], hosts["box"], replace(plain, jump="none")):
        bulk = Reach(hosts, 10, lambda _: None).connect_for_bulk(host)
        assert bulk is not None
        Copier(host, bulk, ".test-models").send(source, file(host.name), 0, Heard())
    assert box.files() == {"second": DATA, "box": DATA}


def test_an_ssh_that_would_ask_is_not_used(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host's key is not known, and where there is no ssh, many bytes go as few do."""
    (tmp_path / "ssh_config").write_text("Host *\nUserKnownHostsFile /dev/null\nGlobalKnownHostsFile /dev/null\n")
    assert box.reach().connect_for_bulk(box.host()) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert box.reach().connect_for_bulk(box.host()) is None


def test_what_the_llorch_there_says(box: Box) -> None:
    """Its document is given back, its errors are told with the host's name, and what is no document is refused."""
    host = box.host()
    connection = box.reach().connect(host)
    assert ask_llorch(host, connection, ["models", "catalog"]) is None
    own = box.repository / ".venv/bin/llorch"
    own.parent.mkdir(parents=True)
    from llorch import __version__

    def says(text: str) -> None:
        own.write_text(
            f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'llorch {__version__}' && exit\ncat <<'E'\n{text}\nE\n"
        )
        own.chmod(0o755)

    says('{"a": 1}')
    assert ask_llorch(host, connection, ["x"]) == {"a": 1}
    error = {"code": "busy", "message": "no", "hint": "wait"}
    says(json.dumps({"error": error}))
    with pytest.raises(LlorchError, match="`box`: no") as caught:
        ask_llorch(host, connection, ["x"])
    assert caught.value.hint == "wait"
    says(json.dumps({"error": {**error, "code": "integrity", "path": "a", "expected": "b", "actual": "c"}}))
    with pytest.raises(IntegrityError, match="`box:a` is not the promised file"):
        ask_llorch(host, connection, ["x"])
    for text in ("[1]", "no", '{"error": 1}', '{"error": {}}'):
        says(text)
        with pytest.raises(LlorchError, match="answers with no document"):
            ask_llorch(host, connection, ["x"])
    connection.close()
