"""Real servers on loopback that stores are kept on: an S3, a web server that takes PUT, and a line that can fail."""

import base64
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

BUCKET = "lab"


class Line:
    """What stands between a client and a server on loopback: it passes everything on until it is told to fail.

    Attributes:
        port: where clients connect to.
        passed: bytes that have been passed on, in both directions.
    """

    def __init__(self, port: int) -> None:
        """Take the port of the server."""
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.passed = 0
        self._limit: int | None = None
        self._cuts = True
        self._lock = threading.Condition()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def fail_after(self, count: int, *, cut: bool) -> None:
        """Pass on so many more bytes, and then cut each connection, or let nothing through."""
        with self._lock:
            self.passed, self._limit, self._cuts = 0, count, cut

    def mend(self) -> None:
        """Pass on everything again, over new connections."""
        with self._lock:
            self._limit = None
            self._hang_up()
            self._lock.notify_all()

    def close(self) -> None:
        """Take no connections any more, and cut those there are."""
        self.fail_after(0, cut=True)
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.mend()

    def _hang_up(self) -> None:
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._join, args=[client], daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        """Connect a client with the server until one of them hangs up."""
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._lock:
                self._sockets += [client, server]
            there = threading.Thread(target=self._pass, args=[client, server], daemon=True)
            there.start()
            self._pass(server, client)
            there.join()
            with self._lock:
                self._sockets = [sock for sock in self._sockets if sock not in (client, server)]

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not self._lets(len(data)):
                    break
                sink.sendall(data)
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _lets(self, count: int) -> bool:
        """Tell whether bytes may pass; where nothing is to get through, wait until the line is mended."""
        with self._lock:
            self.passed += count
            if self._limit is None or self.passed <= self._limit:
                return True
            if not self._cuts:
                self._lock.wait_for(lambda: self._limit is None)
            return False


class PutServer:
    """A web server that keeps what is PUT in a folder, whole or not at all, as nginx does.

    Attributes:
        login: what it asks for, as `user:password`; None for nothing.
        answers: what it answers next, instead of doing anything: status codes.
        heeds: whether it takes `If-None-Match: *` for what it says.
        told: whether it tells the size of what it gives.
        seen: the requests that came.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.login: str | None = None
        self.answers: list[int] = []
        self.heeds = True
        self.told = True
        self.seen: list[str] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def _handler(site: PutServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:  # http.server calls it
            self._give(body=False)

        def do_GET(self) -> None:
            self._give(body=True)

        def do_PUT(self) -> None:
            if not self._may():
                return
            left = int(self.headers["content-length"])
            part = site.folder / f".{threading.get_ident()}.part"
            with part.open("wb") as file:
                while left and (data := self.rfile.read(min(left, 1 << 16))):
                    file.write(data)
                    left -= len(data)
            if left:
                part.unlink()
                self.close_connection = True
                return
            place = site.folder / self.path.lstrip("/")
            with site.lock:
                if site.heeds and self.headers["if-none-match"] == "*" and place.exists():
                    part.unlink()
                    self._answer(412)
                    return
                place.parent.mkdir(parents=True, exist_ok=True)
                part.rename(place)
            self._answer(201)

        def do_DELETE(self) -> None:
            if not self._may():
                return
            try:
                (site.folder / self.path.lstrip("/")).unlink()
            except FileNotFoundError:
                self._answer(404)
            else:
                self._answer(204)

        def _give(self, *, body: bool) -> None:
            if not self._may():
                return
            try:
                file = (site.folder / self.path.lstrip("/")).open("rb")
            except (FileNotFoundError, IsADirectoryError):
                self._answer(404)
                return
            with file:
                self.send_response(200)
                if site.told:
                    self.send_header("content-length", str(Path(file.name).stat().st_size))
                else:
                    self.close_connection = True
                self.end_headers()
                if body:
                    with suppress(OSError):
                        shutil.copyfileobj(file, self.wfile)

        def _may(self) -> bool:
            site.seen.append(f"{self.command} {self.path}")
            if site.answers:
                self._refuse(site.answers.pop(0))
                return False
            if site.login is not None:
                wanted = "Basic " + base64.b64encode(site.login.encode()).decode()
                if self.headers["authorization"] != wanted:
                    self._refuse(401)
                    return False
            return True

        def _refuse(self, status: int) -> None:
            with suppress(OSError):
                self.rfile.read(int(self.headers["content-length"] or 0))
                self._answer(status)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "https://elsewhere.example/")
            if status != 204:
                self.send_header("content-length", "7")
            self.end_headers()
            if status != 204 and self.command != "HEAD":
                self.wfile.write(b"nothing")

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving_s3() -> Iterator[int]:
    """Run an S3 with a bucket, and yield its port."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    moto = DomainDispatcherApplication(create_backend_app)
    lock = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        # It looks whether there is an object and then stores one, which two could do at once.
        with lock if "HTTP_IF_NONE_MATCH" in environ else nullcontext():
            return moto(environ, start_response)

    class Silent(WSGIRequestHandler):
        def log(self, *_: object) -> None:
            pass

    server = make_server("127.0.0.1", 0, answer, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    with urlopen(Request(f"http://127.0.0.1:{server.port}/{BUCKET}", method="PUT")):
        pass
    try:
        yield server.port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def only_known_users(port: int, *actions: str) -> Iterator[tuple[str, str]]:
    """Have the S3 refuse strangers for a while, and yield the id and secret of a user who may do these."""
    import json

    import boto3
    from moto import settings
    from moto.core.authorization import ActionAuthenticatorMixin

    login = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": "us-east-1"}
    iam = boto3.client("iam", endpoint_url=f"http://127.0.0.1:{port}", **login)
    name = secrets.token_hex(8)
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.close()
    before = settings.INITIAL_NO_AUTH_ACTION_COUNT
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    ActionAuthenticatorMixin.request_count = 0
    try:
        yield key["AccessKeyId"], key["SecretAccessKey"]
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = before
