"""Files by SFTP: to and from a real server, and from one that answers as the protocol allows but OpenSSH does not."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llorch.errors import ConnectionFailed
from llorch.remote.sftp import REQUEST, UNDER_WAY, open_sftp, read, write
from llorch.remote.streams import Connection
from tests.remote.conftest import reach_of

BOTH = pytest.mark.parametrize("name", ["box", "tin"])
WHOLE = REQUEST * UNDER_WAY


def connect(workspace: Path, name: str) -> Connection:
    """Return a connection to a host."""
    reach = reach_of(workspace)
    return reach.connect(reach.hosts[name])


@pytest.fixture
def client(box: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A session to the server, by paramiko or by the system's ssh."""
    connection = connect(box, getattr(request, "param", "box"))
    client = open_sftp(connection, 10, 10)
    yield client
    client.close()
    connection.close()


@pytest.mark.parametrize("client", ["box", "tin"], indirect=True)
@pytest.mark.parametrize("size", [0, 1, REQUEST, REQUEST + 1, WHOLE, WHOLE + REQUEST + 1])
def test_files_go_and_come(client: Any, tmp_path: Path, size: int) -> None:
    """A file of any size is there as it was sent, and comes as it is there."""
    data = os.urandom(size)
    place = tmp_path / "a file"
    write(client, str(place), [data[:7], b"", data[7:]])
    assert place.read_bytes() == data
    assert b"".join(read(client, str(place))) == data


def test_a_file_that_is_there_stays(client: Any, tmp_path: Path) -> None:
    """Only new files are written."""
    place = tmp_path / "file"
    place.write_bytes(b"mine")
    with pytest.raises(OSError, match="Failure"):
        write(client, str(place), [b"x"])
    assert place.read_bytes() == b"mine"


def test_a_file_that_is_not_there(client: Any, tmp_path: Path) -> None:
    """It is told as everywhere."""
    with pytest.raises(FileNotFoundError):
        list(read(client, str(tmp_path / "nowhere")))
    with pytest.raises(FileNotFoundError):
        write(client, str(tmp_path / "nowhere" / "file"), [b"x"])


def test_a_session_serves_again(client: Any, tmp_path: Path) -> None:
    """What is given up in the middle does not disturb what follows."""
    place = tmp_path / "file"
    data = os.urandom(WHOLE * 2)
    place.write_bytes(data)
    reading = read(client, str(place))
    next(reading)
    reading.close()  # type: ignore[attr-defined] # it is a generator
    assert b"".join(read(client, str(place))) == data


@BOTH
def test_a_subsystem_that_there_is_not(box: Path, name: str) -> None:
    """What the server does not start is told as a failed connection."""
    connection = connect(box, name)

    def begin() -> None:
        pipe = connection.open_subsystem("no-such-thing")
        try:
            pipe.recv(1)
        finally:
            pipe.close()

    with pytest.raises(ConnectionFailed):
        begin()
    connection.close()


def packet(kind: int, *parts: bytes) -> bytes:
    """Return a packet of SFTP."""
    body = bytes([kind]) + b"".join(parts)
    return struct.pack(">I", len(body)) + body


def text(value: bytes) -> bytes:
    """Return a string of SFTP."""
    return struct.pack(">I", len(value)) + value


def status(number: bytes, code: int, said: bytes = b"") -> bytes:
    """Return the packet that tells how a request went."""
    return packet(101, number, struct.pack(">I", code), text(said), text(b""))


class Strange:
    """A server that answers in its own order, gives less than it is asked for, and fails when it is told to.

    Attributes:
        file: what is in its one file.
        gives: bytes that it gives at most at once.
        holds: answers that it holds back, and then gives in reverse order.
        fails_at: the byte from which on it writes nothing.
        syncs: what it answers when a file is to be on the disk.
    """

    def __init__(self, file: bytes = b"") -> None:
        self.file = bytearray(file)
        self.size = len(file)
        self.gives = 1 << 30
        self.holds = 1
        self.fails_at = 1 << 30
        self.syncs = (8, b"Operation unsupported")
        self.ours, theirs = socket.socketpair()
        threading.Thread(target=self._serve, args=[theirs], daemon=True).start()

    def open_subsystem(self, name: str) -> "Pipe":
        """Be the connection, too."""
        return Pipe(self.ours)

    def _serve(self, sock: socket.socket) -> None:
        held: list[bytes] = []
        with sock, sock.makefile("rb") as stream:
            while head := stream.read(4):
                body = stream.read(struct.unpack(">I", head)[0])
                answer, can_wait = self._answer(body[0], body[1:])
                held.append(answer)
                if not can_wait or len(held) >= self.holds:
                    for answer in reversed(held):
                        sock.sendall(answer)
                    held.clear()

    def _answer(self, kind: int, body: bytes) -> tuple[bytes, bool]:
        if kind == 1:  # INIT
            return packet(2, struct.pack(">I", 3)), False
        number = body[:4]
        if kind == 3:  # OPEN
            return packet(102, number, text(b"handle")), False
        if kind == 8:  # FSTAT
            return packet(105, number, struct.pack(">IQ", 1, self.size)), False
        if kind == 200:  # EXTENDED
            return status(number, *self.syncs), False
        if kind in (5, 6):  # READ, WRITE
            offset, count = struct.unpack_from(">QI", body, 4 + 10)
            if kind == 6:
                if offset >= self.fails_at:
                    return status(number, 4, b"no space"), True
                self.file[offset:] = body[4 + 10 + 12 :]
                return status(number, 0), True
            data = bytes(self.file[offset : offset + min(count, self.gives)])
            return (packet(103, number, text(data)) if data else status(number, 1)), True
        return status(number, 0), False  # CLOSE


class Pipe:
    """The near end of a strange server."""

    def __init__(self, sock: socket.socket) -> None:
        self.recv = sock.recv
        self.send = sock.send
        self.settimeout = sock.settimeout
        self.close = sock.close

    def get_name(self) -> str:
        """Return a name."""
        return "strange"


def session(server: Strange) -> Any:
    """Return a session to a strange server."""
    return open_sftp(server, 10, 10)  # type: ignore[arg-type] # it can do no more than that


@pytest.mark.parametrize("gives", [1 << 30, REQUEST - 1, 1000])
@pytest.mark.parametrize("holds", [1, 2, UNDER_WAY])
def test_answers_in_any_order_and_of_any_size(gives: int, holds: int) -> None:
    """A server may answer later requests first, and give less than it was asked for."""
    data = os.urandom(REQUEST * UNDER_WAY)
    server = Strange(data)
    server.gives, server.holds = gives, holds if gives > REQUEST else 1
    client = session(server)
    assert b"".join(read(client, "file")) == data
    client.close()


@pytest.mark.parametrize("holds", [1, UNDER_WAY])
@pytest.mark.parametrize("at", [0, 5 * REQUEST, (UNDER_WAY - 1) * REQUEST])
def test_no_write_that_fails_is_missed(at: int, holds: int) -> None:
    """The first and the last, whenever its answer comes."""
    server = Strange()
    server.fails_at, server.holds = at, holds
    client = session(server)
    with pytest.raises(OSError, match="no space"):
        write(client, "file", [bytes(REQUEST * UNDER_WAY)])
    client.close()


def test_a_server_that_cannot_sync() -> None:
    """Having what is written on the disk at once is what a server may not know."""
    server = Strange()
    client = session(server)
    write(client, "file", [b"contents"])
    assert server.file == b"contents"
    client.close()


def test_a_disk_that_fails() -> None:
    """What cannot be had on the disk is not written."""
    server = Strange()
    server.syncs = (4, b"broken disk")
    client = session(server)
    with pytest.raises(OSError, match="broken disk"):
        write(client, "file", [b"contents"])
    client.close()


def test_a_file_that_becomes_shorter() -> None:
    """What is there is given; whoever knows the size sees that it is less."""
    server = Strange(b"x" * 1000)
    server.size = 1_000_000
    client = session(server)
    assert b"".join(read(client, "file")) == b"x" * 1000
    client.close()


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_server_that_stalls_is_waited_for_once(way: str) -> None:
    """After the first answer that does not come the session is over, and whatever is asked next fails at once."""
    server = Strange(b"x" * REQUEST)
    server.holds = 1 << 30
    client = open_sftp(server, 10, 0.05)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        write(client, "file", [b"contents"]) if way == "up" else list(read(client, "file"))
    assert server.ours.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        client.remove("file")


def test_a_server_that_does_not_begin() -> None:
    """It is waited for as long as was said, and nothing is left open."""
    ours, theirs = socket.socketpair()
    server = Strange()
    server.ours.close()
    server.ours = ours
    with theirs, pytest.raises(TimeoutError):
        open_sftp(server, 0.05, 10)  # type: ignore[arg-type]
    assert ours.fileno() == -1
