"""Stores on real servers, each behind a line that can fail."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from llorch.cache import web as client
from llorch.cache.store import Store, open_store
from llorch.config import Workspace
from tests.cache.servers import BUCKET, Line, PutServer, serving_s3
from tests.remote.conftest import configure, declare, entry
from tests.remote.sshd import Sshd

FAR = ["s3", "http", "sftp", "sftp-openssh"]


class Place(NamedTuple):
    """Where a store is: its URL, the workspace that opens it, and the line to its server; a folder has none."""

    url: str
    workspace: Workspace
    line: Line | None = None

    def open(self, timeout: float = 10.0) -> Store:
        """Open the store anew."""
        return open_store(self.url, self.workspace, timeout)


@pytest.fixture(scope="session")
def s3() -> Iterator[int]:
    """Run an S3, and tell its port."""
    with serving_s3() as port:
        yield port


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Run an sshd."""
    with Sshd(tmp_path_factory.mktemp("sshd") / "its own") as server:
        yield server


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    """A workspace."""
    root = tmp_path / "it's a workspace"
    root.mkdir()
    return Workspace(root, declared=True)


@pytest.fixture
def s3_place(here: Workspace, s3: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A folder of keys in a bucket, and the environment that leads to it."""
    line = Line(s3)
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}",
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield Place(f"s3://{BUCKET}/{tmp_path.name}", here, line)
    line.close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[PutServer]:
    """Run a web server that takes PUT."""
    folder = tmp_path / "served"
    folder.mkdir()
    with PutServer(folder) as server:
        yield server


@pytest.fixture
def http_place(here: Workspace, web: PutServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A folder of a web server, with no pauses between requests."""
    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0))
    line = Line(web.port)
    yield Place(f"http://127.0.0.1:{line.port}/store", here, line)
    line.close()


@pytest.fixture
def sftp_place(here: Workspace, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A folder of the host `nas`; `tin` is the same by the system's ssh."""
    line = Line(sshd.port)
    known = tmp_path / "known_hosts"
    known.write_text("".join(sshd.known_hosts_line(kind, f"[127.0.0.1]:{line.port}") for kind in sshd.host_keys))
    configure(monkeypatch, tmp_path, known)
    entries = [
        entry(name, sshd, port=line.port, transport=transport)
        for name, transport in (("nas", "paramiko"), ("tin", "openssh"))
    ]
    declare(here.root, *entries)
    folder = tmp_path / "on the nas"
    folder.mkdir()
    yield Place(f"sftp://nas{tmp_path}/on%20the%20nas", here, line)
    line.close()


@pytest.fixture(params=["file", *FAR])
def place(request: pytest.FixtureRequest, here: Workspace) -> Place:
    """An empty store of each kind."""
    if request.param == "file":
        folder = here.root / "shared folder"
        folder.mkdir()
        folder.chmod(0o2775)
        return Place(f"file:{folder}", here)
    return _far_place(request)


@pytest.fixture(params=FAR)
def far(request: pytest.FixtureRequest) -> Place:
    """An empty store of each kind that is behind a line."""
    return _far_place(request)


def _far_place(request: pytest.FixtureRequest) -> Place:
    kind = request.param
    found: Place = request.getfixturevalue(f"{'sftp' if kind == 'sftp-openssh' else kind}_place")
    return found._replace(url=found.url.replace("//nas", "//tin")) if kind == "sftp-openssh" else found
