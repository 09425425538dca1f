"""Stores on web servers: logins, what servers answer, and servers that are none."""

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llorch.cache import web as module
from llorch.cache.store import CHUNK, Store, open_store
from llorch.cache.web import SMALL
from llorch.config import Workspace
from llorch.errors import AccessDenied, ConfigError, DiskFull, LlorchError, NotFound, Refused, Unreachable
from tests.cache.servers import PutServer
from tests.tls import https_server


def at(server: PutServer, here: Workspace, login: str = "", folder: str = "store") -> Store:
    """Return the store on a server."""
    return open_store(f"http://{login}127.0.0.1:{server.port}/{folder}", here)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing before a request is made again."""
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


def test_what_is_kept_is_a_plain_file(web: PutServer, here: Workspace) -> None:
    """An object is at its key below the URL, for whoever looks at the server's disk."""
    at(web, here, folder="a/b/").create("cas/x", b"contents")
    assert (web.folder / "a/b/cas/x").read_bytes() == b"contents"


def test_a_login_in_the_url(web: PutServer, here: Workspace) -> None:
    """It is given to the server, with its percent signs undone, and shown to nobody."""
    web.login = "me@lab:pass word/1"
    store = at(web, here, "me%40lab:pass%20word%2F1@")
    assert store.create("a", b"x")
    assert store.name == f"http://127.0.0.1:{web.port}/store"


@pytest.mark.parametrize("in_home", [True, False])
def test_a_login_of_netrc(
    web: PutServer, here: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_home: bool
) -> None:
    """The file that curl and git read has logins too, at home or where NETRC says."""
    web.login = "me:secret"
    file = Path(os.environ["HOME"]) / ".netrc" if in_home else tmp_path / "netrc"
    file.write_text("machine elsewhere login x password y\nmachine 127.0.0.1 login me password secret\n")
    if not in_home:
        monkeypatch.setenv("NETRC", str(file))
    assert at(web, here).create("a", b"x")


@pytest.mark.parametrize("login", ["", "me:wrong@", "somebody:secret@"])
def test_a_wrong_login(web: PutServer, here: Workspace, login: str) -> None:
    """It is denied, for reading and for writing, and nothing of the login is repeated."""
    (web.folder / "store").mkdir()
    (web.folder / "store/a").write_bytes(b"x")
    web.login = "me:secret"
    store = at(web, here, login)
    for denied in (lambda: store.size("a"), lambda: list(store.read("a")), lambda: store.replace("a", b"y")):
        with pytest.raises(AccessDenied, match="answers 401") as caught:
            denied()
        assert "wrong" not in str(caught.value)
    assert (web.folder / "store/a").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("text", "said"),
    [("machine 127.0.0.1 login me password\nsecret secret", "netrc:"), ("machine", "netrc"), ("\xff", "netrc")],
)
def test_a_netrc_that_cannot_be_read(here: Workspace, text: str, said: str) -> None:
    """Its line is told, not what stands there."""
    (Path(os.environ["HOME"]) / ".netrc").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="is not a netrc file") as caught:
        open_store("https://127.0.0.1/x", here)
    assert said in caught.value.message
    assert "secret" not in caught.value.message


def test_a_netrc_that_is_a_folder(here: Workspace) -> None:
    """What cannot be opened is told."""
    (Path(os.environ["HOME"]) / ".netrc").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        open_store("https://127.0.0.1/x", here)


def test_netrc_is_not_for_plain_http(here: Workspace) -> None:
    """Over plain HTTP to another machine no login is looked for: the file is not even read."""
    (Path(os.environ["HOME"]) / ".netrc").write_text("machine")
    assert open_store("http://nas/x", here).name == "http://nas/x"
    with pytest.raises(ConfigError):
        open_store("https://nas/x", here)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (302, Unreachable, "leads elsewhere"),
        (400, Unreachable, "answers 400"),
        (401, AccessDenied, "answers 401"),
        (403, AccessDenied, "answers 403"),
        (404, NotFound, "does not have it"),
        (405, Refused, "takes no such request"),
        (409, Refused, "makes no folders"),
        (413, Refused, "too large"),
        (501, Refused, "takes no such request"),
        (507, DiskFull, "is full"),
    ],
)
def test_what_servers_answer(web: PutServer, here: Workspace, status: int, error: type[LlorchError], said: str) -> None:
    """Each answer becomes one of our errors, at once."""
    web.answers = [status]
    with pytest.raises(error, match=said) as caught:
        at(web, here).replace("a", b"x")
    assert caught.value.hint or status == 404
    assert len(web.seen) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_failure_in_passing_is_tried_again(web: PutServer, here: Workspace, status: int) -> None:
    """A server in trouble is asked three times; what it takes then is stored."""
    web.answers = [status, status]
    at(web, here).replace("a", b"x")
    assert (web.folder / "store/a").read_bytes() == b"x"
    web.answers = [status] * 3
    with pytest.raises(Unreachable, match=f"answers {status}"):
        at(web, here).size("a")


def test_large_objects_are_sent_once(web: PutServer, here: Workspace) -> None:
    """What cannot be sent again for nothing is not; the error is told at once."""
    store = at(web, here)
    assert store.size("a") is None
    web.answers = [404, 503]
    with pytest.raises(Unreachable, match="answers 503"):
        store.create("a", bytes(SMALL + 1))
    assert web.seen.count("PUT /store/a") == 1


def test_what_is_there_is_not_sent(web: PutServer, here: Workspace) -> None:
    """A server is asked before a large object goes to it."""
    store = at(web, here)
    store.create("a", bytes(CHUNK))
    web.seen.clear()
    assert not store.create("a", bytes(CHUNK))
    assert web.seen == ["HEAD /store/a"]


def test_a_server_that_does_not_heed_the_condition(web: PutServer, here: Workspace) -> None:
    """Where the last one wins, what is there is still whole."""
    web.heeds = False
    web.answers = [404]
    store = at(web, here)
    assert store.create("a", b"one")
    web.answers = [404]
    assert store.create("a", b"the other")
    assert b"".join(store.read("a")) == b"the other"


def test_another_was_quicker(web: PutServer, here: Workspace) -> None:
    """A server that refuses a second object on our condition has the first one's."""
    store = at(web, here)
    store.create("a", b"one")
    web.answers = [404]  # as if it had come since
    assert not store.create("a", b"the other")


def test_a_server_that_tells_no_size(web: PutServer, here: Workspace) -> None:
    """Without a size nothing can be said of what is there."""
    store = at(web, here)
    store.create("a", b"x")
    web.told = False
    with pytest.raises(Unreachable, match="does not tell how large"):
        store.size("a")


def test_nobody_listens(here: Workspace) -> None:
    """No connection is told with its reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=r"no connection: .*refused"):
        open_store(f"http://127.0.0.1:{port}/x", here).size("a")


class Endless(BaseHTTPRequestHandler):
    """Answers with a body that has no end."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """Take it, and talk on and on."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(201)
        self.send_header("content-length", str(1 << 40))
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_an_answer_without_end(here: Workspace) -> None:
    """Of what comes with an answer no more is taken than a few words."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    open_store(f"http://127.0.0.1:{server.server_address[1]}", here).replace("a", b"x")
    server.shutdown()
    server.server_close()


def test_certificates_are_checked(web: PutServer, here: Workspace, tmp_path: Path) -> None:
    """A server that cannot prove to be the one that was asked for is not talked to."""
    with (
        https_server(Endless, tmp_path / "chain.pem") as url,
        pytest.raises(Unreachable, match="certificate"),
    ):
        open_store(url, here).replace("a", b"x")
