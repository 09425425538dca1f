"""A stand-in for the Hugging Face Hub on this machine, which fails as told.

It answers what `huggingface_hub` asks on the way to a file, from two origins like the real one: the Hub itself, and the
content network with the bytes of LFS files behind signed URLs. For the client, set `HF_ENDPOINT` to `Hub.endpoint`.
"""

import fcntl
import hashlib
import json
import os
import random
import re
import select
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

Origin = Literal["hub", "cdn"]
At = Literal["hub", "head", "cdn", "any"]
Kind = Literal[
    "none",  # as without a fault: leaves that request alone
    "drop",  # a clean close after `after` bytes of the body
    "reset",  # a reset (RST) once the client has had `after` bytes of the body
    "stall",  # silence after `after` bytes of the body, until the client leaves or the hub stops
    "slow",  # `rate` bytes a second
    "truncate",  # the file ends after `size` bytes, and the headers agree
    "chunked",  # no Content-Length, and an orderly end after `after` bytes of the body
    "corrupt",  # one bit of the byte at `offset` of the file is flipped
    "ignore_range",  # 200 and the whole file
    "wrong_size",  # a HEAD says `size`
    "status",  # `code` with `headers`
    "portal",  # 200 and the login page of a captive portal
    "portal_redirect",  # 302 to such a page on another host
    "redirect",  # 302 to `url`, or else to a signed URL
    "expired",  # the signed URL answers 403 from now on
]
PLACES: Mapping[Kind, At] = {"wrong_size": "head", "status": "hub", "portal": "any", "portal_redirect": "any"}
"""Where a kind of fault strikes that does not strike at `cdn`."""
LOGIN_PAGE = b"<!DOCTYPE html><html><title>Log in</title><body>Accept the terms to use this network.</body></html>"
MODEL_ROUTE = re.compile(r"/api/models/([^/]+(?:/[^/]+)??)(?:/(revision|paths-info|tree)(?:/([^/]+)(?:/(.+))?)?)?")
BLOCK = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request, or with every one `forever`.

    It strikes `at` the requests to the Hub itself (`hub`), the HEADs of files there (`head`), the GETs that give bytes
    of a file, which are at the Hub for files kept in git (`cdn`), or all of these (`any`). Where there is no body to be
    cut short, `drop`, `reset` and `stall` come instead of an answer.
    """

    kind: Kind
    at: At | None = None
    after: int = 0
    size: int = 0
    offset: int = 0
    rate: int = 0
    code: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    forever: bool = False


@dataclass
class Request:
    """A request that came, and how many bytes of a file its answer had so far."""

    origin: Origin
    method: str
    path: str
    query: str
    headers: dict[str, str]
    repo: str = ""
    file: str = ""
    status: int = 0
    sent: int = 0

    @property
    def start(self) -> int | None:
        """Where the range begins that it asks for."""
        found = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(found[1]) if found else None

    def is_for(self, path: str) -> bool:
        """Tell whether it is for a file (`path` or `owner/repo/path`), the rest of a repo (`owner/repo`), or `*`."""
        return path in ("*", self.file or self.repo) or (bool(self.file) and path == f"{self.repo}/{self.file}")


@lru_cache(maxsize=4)
def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(BLOCK)  # repeatable, not secret


@dataclass(frozen=True)
class Generated:
    """The content of a file of any size, which needs no memory: noise whose blocks all differ."""

    size: int
    seed: int = 0

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`."""
        stop, noise = min(stop, self.size), _noise(self.seed)
        blocks = range(start // BLOCK, -(-stop // BLOCK))
        return b"".join(
            (n.to_bytes(8, "big") + noise[8:])[max(0, start - n * BLOCK) : stop - n * BLOCK] for n in blocks
        )

    @cached_property
    def sha256(self) -> str:
        """The digest of all of it."""
        digest = hashlib.sha256()
        for start in range(0, self.size, BLOCK):
            digest.update(self.read(start, start + BLOCK))
        return digest.hexdigest()


class _Blob:
    """A file as a commit has it."""

    def __init__(self, content: bytes | Generated, *, lfs: bool) -> None:
        self.content = content
        self.lfs = lfs or isinstance(content, Generated)
        self.size = content.size if isinstance(content, Generated) else len(content)
        self.sha256 = content.sha256 if isinstance(content, Generated) else hashlib.sha256(content).hexdigest()
        self.xet = hashlib.sha256(f"xet {self.sha256}".encode()).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()
        in_git = pointer if self.lfs else self.read(0, self.size)
        self.oid = hashlib.sha1(b"blob %d\0" % len(in_git) + in_git).hexdigest()
        self.of_lfs = {"size": self.size, "pointerSize": len(pointer)}

    def read(self, start: int, stop: int) -> bytes:
        return self.content.read(start, stop) if isinstance(self.content, Generated) else self.content[start:stop]


@dataclass
class _Repo:
    """A model's repository."""

    gated: bool = False
    private: bool = False
    license: str = ""
    commits: dict[str, dict[str, _Blob]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)


class _Refusal(Exception):
    """An error as the Hub answers it."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        named = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        self.headers = {name: value for name, value in named.items() if value}


class Hub:
    """A Hub to be used with `with`; `tokens` has the valid ones and the gated or private repos each may read."""

    def __init__(self, *, xet: bool = False) -> None:
        self.xet = xet
        self.endpoint = self.cdn = ""
        self.requests: list[Request] = []
        self.tokens: dict[str, set[str]] = {}
        self._repos: dict[str, _Repo] = {}
        self._faults: list[tuple[str, Fault]] = []
        self._links: dict[str, tuple[str, str, _Blob]] = {}
        self._issued = 0
        self._servers: dict[Origin, _Server] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start both origins."""
        self.plug("hub")
        self.plug("cdn")
        self.endpoint, self.cdn = (f"http://127.0.0.1:{self._servers[origin].port}" for origin in ("hub", "cdn"))
        return self

    def __exit__(self, *_: object) -> None:
        """End every connection and stop."""
        for server in self._servers.values():
            server.stop()

    def plug(self, origin: Origin) -> None:
        """Let an origin be reached, where it was before if it was."""
        self._servers[origin] = _Server(self, origin, self._servers[origin].port if origin in self._servers else 0)

    def unplug(self, origin: Origin) -> None:
        """Let connections to an origin be refused, and end those it has."""
        self._servers[origin].stop()

    def add(
        self,
        repo: str,
        files: Mapping[str, bytes | Generated],
        *,
        lfs: Collection[str] = (),
        revision: str | None = None,
        branch: str = "main",
        gated: bool = False,
        private: bool = False,
        license: str = "mit",
    ) -> str:
        """Commit files as all a repo has, move the branch there, and return the commit; generated ones are in LFS."""
        blobs = {path: _Blob(data, lfs=path in lfs) for path, data in sorted(files.items())}
        known = repr((repo, [(path, blob.lfs, blob.oid) for path, blob in blobs.items()]))
        commit = revision or hashlib.sha1(known.encode()).hexdigest()
        place = self._repos.setdefault(repo, _Repo())
        place.gated, place.private, place.license = gated, private, license
        place.commits[commit] = blobs
        place.branches[branch] = commit
        return commit

    def fault(self, path: str, *faults: Fault) -> None:
        """Let requests for a file go wrong (see `Request.is_for`), one for each fault, in this order."""
        with self._lock:
            self._faults += [(path, fault) for fault in faults]

    def heal(self) -> None:
        """Forget the faults that have not struck, and those that would for ever."""
        with self._lock:
            self._faults.clear()

    def bytes_sent(self, path: str) -> int:
        """Return how many bytes of a file were sent in all."""
        return sum(request.sent for request in self.requests if request.is_for(path))

    def link(self, repo: str, file: str, blob: _Blob | None = None) -> str:
        """Return a new signed URL of a file, by default of the one on the main branch."""
        blob = blob or self.commit(repo, "main")[1][file]
        with self._lock:
            self._issued += 1
            id = f"{self._issued:08x}"
            self._links[id] = (repo, file, blob)
        name = quote(file.rpartition("/")[2])
        query = f"response-content-disposition=inline%3B+filename%3D%22{name}%22%3B&Expires={int(time.time()) + 3600}"
        return f"{self.cdn}/xet-bridge-us/{id}/{blob.sha256}?{query}&Signature={id}&Key-Pair-Id=K0"

    def commit(self, repo: str, revision: str) -> tuple[str, dict[str, _Blob]]:
        """Return a revision's commit and its files."""
        place = self._repos[repo]
        commit = place.branches.get(revision.removeprefix("refs/heads/"), revision)
        if commit not in place.commits:
            raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit, place.commits[commit]

    def next_fault(self, request: Request, places: Collection[At]) -> Fault:
        """Take the first fault that strikes a request."""
        with self._lock:
            for n, (path, fault) in enumerate(self._faults):
                if request.is_for(path) and (fault.at or PLACES.get(fault.kind, "cdn")) in places:
                    if not fault.forever:
                        del self._faults[n]
                    return fault
        return Fault("none")

    def check(self, repo: str, headers: Mapping[str, str], *, content: bool) -> _Repo:
        """Return a repo, or refuse it or its content to those who may not read it."""
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise _Refusal(401, "Invalid credentials in Authorization header")
        place = self._repos.get(repo)
        allowed = repo in self.tokens.get(token, ())
        if place is None or (place.private and not allowed):
            refusal = (404, "Repository not found") if token else (401, "Invalid username or password.")
            raise _Refusal(*refusal, "RepoNotFound")
        if place.gated and content and not allowed:
            if not token:
                how = "You must have access to it and be authenticated to access it. Please log in."
                raise _Refusal(401, f"Access to model {repo} is restricted. {how}", "GatedRepo")
            why = f"Access to model {repo} is restricted and you are not in the authorized list."
            raise _Refusal(403, f"{why} Visit {self.endpoint}/{repo} to ask for access.", "GatedRepo")
        return place


class _Server(ThreadingHTTPServer):
    """One origin of a hub, and its connections."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, hub: Hub, origin: Origin, port: int) -> None:
        self.hub, self.origin = hub, origin
        self.connections: set[socket.socket] = set()
        self.stopped = threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self.serve_forever, args=(0.02,)).start()

    def stop(self) -> None:
        """Refuse connections, end those there are, and wait for their threads."""
        if not self.stopped.is_set():
            self.stopped.set()
            self.shutdown()
            for connection in [*self.connections]:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection for as long as it is open."""
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, unless the other side has left."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests on one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer a request."""
        hub, origin = self.server.hub, self.server.origin
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen = seen = Request(origin, self.command, unquote(url.path), url.query, headers)
        blob, answer = None, self._unknown
        if origin == "cdn":
            self.id = url.path.split("/")[2] if url.path.count("/") >= 2 else ""
            if link := hub._links.get(self.id):
                seen.repo, seen.file, blob = link
                answer = self._signed
        elif "/resolve/" in url.path:
            repo, _, rest = url.path[1:].partition("/resolve/")
            self.revision, _, file = map(unquote, rest.partition("/"))
            seen.repo, seen.file, answer = unquote(repo), file, self._resolve
            with suppress(_Refusal, KeyError):
                blob = hub.commit(seen.repo, self.revision)[1][file]
        elif found := MODEL_ROUTE.fullmatch(url.path):
            seen.repo, self.route, revision, folder = (unquote(part or "") for part in found.groups())
            self.revision, self.folder, answer = revision or "main", folder, self._api
        hub.requests.append(seen)
        self.blob = blob
        gives_bytes = self.command == "GET" and blob is not None and (origin == "cdn" or not blob.lfs)
        places: list[At] = ["any"]
        if origin == "hub":
            places += ["hub", "head"] if self.command == "HEAD" else ["hub"]
        self.fault = hub.next_fault(seen, [*places, "cdn"] if gives_bytes else places)
        if self._intercepted(gives_bytes=gives_bytes):
            return
        try:
            answer()
        except _Refusal as refusal:
            self._answer(refusal.status, refusal.headers, {"error": str(refusal)})

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, headers: Mapping[str, str], body: Any = b"") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "text/plain; charset=utf-8" if isinstance(body, bytes) else "application/json; charset=utf-8"
        self._head(status, {"Content-Type": kind, "Content-Length": str(len(data)), **headers})
        if self.command != "HEAD":
            self.wfile.write(data)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.seen.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _unknown(self) -> None:
        if self.seen.origin == "cdn":
            is_login = self.seen.path == "/login"
            return self._answer(200, {"Content-Type": "text/html"}, LOGIN_PAGE) if is_login else self._expired()
        if self.seen.path != "/api/whoami-v2":
            raise _Refusal(404, "Sorry, we can't find the page you are looking for.")
        if self.seen.headers.get("authorization", "").removeprefix("Bearer ") not in self.server.hub.tokens:
            raise _Refusal(401, "Invalid username or password.")
        return self._answer(200, {}, {"type": "user", "name": "tester", "orgs": [], "auth": {"type": "access_token"}})

    def _expired(self) -> None:
        why = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
        self._answer(403, {"Content-Type": "application/xml"}, why)

    def _resolve(self) -> None:
        hub, seen = self.server.hub, self.seen
        hub.check(seen.repo, seen.headers, content=True)
        commit, files = hub.commit(seen.repo, self.revision)
        blob = files.get(seen.file)
        if blob is None:
            raise _Refusal(404, "Entry not found", "EntryNotFound", commit)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{blob.oid}"'}
        if not blob.lfs:
            return self._send_file(blob, headers)
        wrong = self.fault.kind == "wrong_size"
        headers |= {"X-Linked-Size": str(self.fault.size if wrong else blob.size), "X-Linked-ETag": f'"{blob.sha256}"'}
        if hub.xet:
            token = f'<{hub.endpoint}/api/models/{seen.repo}/xet-read-token/{commit}>; rel="xet-auth"'
            parts = f'<{hub.cdn}/v1/reconstructions/{blob.xet}>; rel="xet-reconstruction-info"'
            headers |= {"X-Xet-Hash": blob.xet, "Link": f"{token}, {parts}"}
        url = hub.link(seen.repo, seen.file, blob)
        return self._answer(302, {**headers, "Location": url}, f"Found. Redirecting to {url}".encode())

    def _signed(self) -> None:
        assert self.blob
        name = quote(self.seen.file.rpartition("/")[2])
        etag = self.blob.xet  # not the file's sha256, as with the real one
        named = f"inline; filename*=UTF-8''{name};"
        self._send_file(self.blob, {"ETag": f'"{etag}"', "Content-Disposition": named})

    def _api(self) -> None:
        """Answer `/api/models/{repo}` and what is below it: who a gated one is not open to may read the former only."""
        hub, seen = self.server.hub, self.seen
        repo = hub.check(seen.repo, seen.headers, content=bool(self.route))
        commit, files = hub.commit(seen.repo, self.revision)
        if self.route == "tree":
            within = f"{self.folder}/" if self.folder else ""
            return self._answer(200, {}, self._entries(files, [path for path in files if path.startswith(within)]))
        if self.route == "paths-info":
            is_json = "json" in seen.headers.get("content-type", "")
            asked = json.loads(self.body) if is_json else parse_qs(self.body.decode())
            return self._answer(200, {}, self._entries(files, asked["paths"]))
        day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=[*repo.commits].index(commit))
        siblings: list[dict[str, Any]] = [{"rfilename": path} for path in files]
        for sibling, blob in zip(siblings, files.values(), strict=True) if "blobs" in parse_qs(seen.query) else ():
            sibling.update(blobId=blob.oid, size=blob.size)
            if blob.lfs:
                sibling["lfs"] = {"sha256": blob.sha256, **blob.of_lfs}
        about = {"id": seen.repo, "modelId": seen.repo, "author": seen.repo.partition("/")[0], "sha": commit}
        access = {"private": repo.private, "gated": repo.gated and "manual", "disabled": False}
        license = {"tags": [f"license:{repo.license}", "region:us"], "cardData": {"license": repo.license}}
        date = {"lastModified": day.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        return self._answer(200, {}, {**about, **access, **license, **date, "siblings": siblings})

    def _entries(self, files: Mapping[str, _Blob], paths: Iterable[str]) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        for path in paths:
            if blob := files.get(path):
                entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
                if blob.lfs:
                    xet = {"xetHash": blob.xet} if self.server.hub.xet else {}
                    entry |= {"lfs": {"oid": blob.sha256, **blob.of_lfs}, **xet}
                entries.append(entry)
            elif any(file.startswith(f"{path}/") for file in files):
                oid = hashlib.sha1(path.encode()).hexdigest()
                entries.append({"type": "directory", "oid": oid, "size": 0, "path": path})
        return entries

    def _intercepted(self, *, gives_bytes: bool) -> bool:
        """Send what a fault has sent instead of the answer; tell whether there was any."""
        fault, seen = self.fault, self.seen
        if fault.kind == "status":
            self._answer(fault.code, fault.headers, str(fault.code).encode())
        elif fault.kind == "portal":
            self._answer(200, {"Content-Type": "text/html"}, LOGIN_PAGE)
        elif fault.kind == "portal_redirect":
            self._answer(302, {"Location": f"{self.server.hub.cdn}/login"})
        elif fault.kind == "redirect":
            self._answer(302, {"Location": fault.url or self.server.hub.link(seen.repo, seen.file, self.blob)})
        elif fault.kind == "expired" and seen.origin == "cdn":
            self.server.hub._links.pop(self.id, None)
            self._expired()
        elif fault.kind in ("drop", "reset", "stall") and not gives_bytes:
            self._break_off()
        else:
            return False
        return True

    def _send_file(self, blob: _Blob, headers: dict[str, str]) -> None:
        """Send a file or the range that was asked for, in the way of the fault."""
        fault, kind = self.fault, self.fault.kind
        size = min(blob.size, fault.size) if kind == "truncate" else blob.size
        start, stop, status = 0, size, 200
        asked = re.fullmatch(r"bytes=(?=.*\d)(\d*)-(\d*)", self.seen.headers.get("range", ""))
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
        if asked and kind != "ignore_range" and self.command == "GET":
            start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
            stop = min(size, int(asked[2]) + 1) if asked[1] and asked[2] else size
            if start >= stop:
                return self._answer(416, {**headers, "Content-Range": f"bytes */{size}"})
            status = 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if kind == "chunked":
            self._head(status, {**headers, "Transfer-Encoding": "chunked"})
        else:
            self._head(status, {**headers, "Content-Length": str(fault.size if kind == "wrong_size" else stop - start)})
        if self.command == "HEAD":
            return None
        if kind in ("drop", "reset", "stall", "chunked"):
            stop = min(stop, start + fault.after)
        step = min(BLOCK, max(1, fault.rate // 10)) if kind == "slow" else BLOCK
        for at in range(start, stop, step):
            data = blob.read(at, min(at + step, stop))
            if kind == "corrupt" and at <= fault.offset < at + len(data):
                n = fault.offset - at
                data = data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if kind == "chunked" else data)
            self.seen.sent += len(data)
            if kind == "slow" and self.server.stopped.wait(len(data) / fault.rate):
                break
        if kind == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        if kind in ("drop", "reset", "stall"):
            self._break_off()
        return None

    def _break_off(self) -> None:
        """End the connection in the way of the fault."""
        self.close_connection = True
        if self.fault.kind == "stall":
            select.select([self.connection], [], [])  # until either side closes it
        if self.fault.kind == "reset":
            # A reset overtakes what is still on its way.
            while struct.unpack("i", fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4)))[0]:
                if select.select([self.connection], [], [], 0.001)[0]:  # either side has closed it
                    return
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
