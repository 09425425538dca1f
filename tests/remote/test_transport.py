"""The stages before a login: in time, or with an error that says which one was not; and links that die."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llorch.errors import ConnectionFailed
from llorch.remote import transport as rules
from llorch.remote.transport import Deadline, Socket, connect_tcp, keep_alive, load_paramiko, negotiate, socket_of
from tests.remote.conftest import wait_for
from tests.remote.sshd import Sshd


@contextmanager
def server(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on loopback and handle one connection; return the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                handle(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


def test_a_deadline_names_the_stage() -> None:
    """A stage that begins after the end says how long there was."""
    deadline = Deadline("box", 0)
    with pytest.raises(ConnectionFailed, match="no connection to `box`: logging in took too long: 0 s are over"):
        deadline.left("logging in")


def test_a_person_has_time() -> None:
    """The seconds that a question takes are given back."""
    deadline = Deadline("box", 5)
    deadline.extend(100)
    assert deadline.left("logging in") > 100


def test_a_silent_server_is_given_up() -> None:
    """A server that takes connections and says nothing ends in the time that there is, not in paramiko's."""
    load_paramiko()
    done = threading.Event()

    def wait(connection: socket.socket) -> None:
        done.wait(10)

    with server(wait) as port:
        begun = time.monotonic()
        sock = connect_tcp("127.0.0.1", port, Deadline("box", 5))
        with pytest.raises(ConnectionFailed, match=r"the start of SSH took too long: 0\.3 s are over"):
            negotiate(sock, (), Deadline("box", 0.3))
        assert time.monotonic() - begun < 5
        done.set()


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak SSH as it should: "), (b"", "does not speak SSH")],
)
def test_another_server_is_told(said: bytes, reason: str) -> None:
    """What speaks something else, or hangs up, is no SSH server."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(said)

    with server(answer) as port:
        sock = connect_tcp("127.0.0.1", port, Deadline("box", 5))
        with pytest.raises(ConnectionFailed, match=reason):
            negotiate(sock, (), Deadline("box", 5))


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", "kex"),
        ("Ciphers chacha20-poly1305@openssh.com", "ciphers"),
        ("MACs umac-128-etm@openssh.com\nCiphers aes256-ctr", "macs"),
    ],
)
def test_algorithms_that_only_openssh_has(tmp_path: Path, setting: str, what: str) -> None:
    """A server that was hardened is no broken one: which transport gets in is said."""
    with Sshd(tmp_path / "sshd", options=[setting]) as sshd:
        sock = connect_tcp(sshd.address, sshd.port, Deadline("box", 5))
        with pytest.raises(ConnectionFailed, match=f"algorithms that paramiko does not have: .*{what}") as caught:
            negotiate(sock, (), Deadline("box", 5))
        assert '`transport = "openssh"`' in str(caught.value.hint)
        assert subprocess.run([*sshd.ssh(), "true"], check=False).returncode == 0


def test_nobody_listens() -> None:
    """A port without a server is said with its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ConnectionFailed, match=f"127.0.0.1 port {port}: Connection refused"):
            connect_tcp("127.0.0.1", port, Deadline("box", 5))


def test_an_unknown_name() -> None:
    """A name that no resolver knows, or that is none, is said."""
    for name in ("no-such.invalid", "a" * 64 + ".invalid"):
        with pytest.raises(ConnectionFailed, match=r"the name `.*invalid` is not known"):
            connect_tcp(name, 22, Deadline("box", 5))


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver has no deadline, and gets one."""
    hang = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hang.wait(10))
    with pytest.raises(ConnectionFailed, match="looking up the name took too long"):
        connect_tcp("box.lan", 22, Deadline("box", 0.1))
    hang.set()


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that takes no connection leaves the others their time; one that never answers is told as such."""
    with server(lambda _: None) as port, full_server() as full:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", full)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        connect_tcp("box.lan", 22, Deadline("box", 1)).close()
        del addresses[1]
        with pytest.raises(ConnectionFailed, match="connecting took too long"):
            connect_tcp("box.lan", 22, Deadline("box", 0.2))


@contextmanager
def full_server() -> Iterator[int]:
    """Return a port at which connections hang, since a server takes none and its queue is full."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
            waiting.append(sock)
        yield listening.getsockname()[1]
        for sock in waiting:
            sock.close()


def test_keys_on_record_are_asked_for_first(sshd: Sshd) -> None:
    """A server with several keys shows the kind that is known of it."""
    for kind in ("ecdsa-sha2-nistp256", "ssh-ed25519"):
        sock = connect_tcp(sshd.address, sshd.port, Deadline("box", 5))
        transport = negotiate(sock, ("ssh-rsa", kind), Deadline("box", 5))
        assert transport.get_remote_server_key().get_name() == kind
        transport.close()


class Link:
    """Passes bytes between a client and a server until it is cut: then all is silent, as with a cable pulled out."""

    def __init__(self, port: int) -> None:
        self.near, self._ours = socket.socketpair()
        self._far = socket.create_connection(("127.0.0.1", port))
        self.cut = threading.Event()
        for pair in ((self._ours, self._far), (self._far, self._ours)):
            threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(1 << 16):
            if not self.cut.is_set():
                target.sendall(data)

    def close(self) -> None:
        """Let go of both ends."""
        for sock in (self._ours, self._far):
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def test_a_dead_link_is_noticed(sshd: Sshd) -> None:
    """A server that answers is kept, however little is said; one that is not heard any more is given up."""
    link = Link(sshd.port)
    transport = negotiate(Socket(link.near), (), Deadline("box", 5))
    transport.auth_publickey(sshd.user, load_paramiko().PKey.from_path(sshd.client_key))
    keep_alive(transport, 0.05)
    sock = socket_of(transport)
    for _ in range(3):  # the answers to three questions
        heard = sock.heard
        wait_for(lambda heard=heard: sock.heard > heard)  # type: ignore[misc] # a default is no argument of it
    assert transport.is_active()
    link.cut.set()
    wait_for(lambda: not transport.is_active())
    assert sock.silence is not None
    assert sock.silence >= 0.05 * rules.ALIVE_COUNT
    link.close()
