"""Buckets: logins and rights, what their servers answer, and what goes to Google's and Azure's."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llorch.cache import bucket
from llorch.cache import store as stores
from llorch.cache.store import Store, open_store
from llorch.config import Workspace
from llorch.errors import AccessDenied, ConfigError, DiskFull, LlorchError, NotFound, ToolMissing, Unreachable
from tests.cache.places import Place
from tests.cache.servers import BUCKET, only_known_users
from tests.remote.conftest import wait_for


class Answers:
    """A server that answers each request alike, or as the next of `answers` says, and remembers what came."""

    def __init__(self, status: int = 200, body: bytes = b"") -> None:
        self.status = status
        self.body = body
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Serve, and yield the port."""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.seen.append((self.command, self.path, headers, body))
                self.send_response(site.status)
                self.send_header("content-length", str(len(site.body)))
                self.send_header("etag", '"1"')
                self.send_header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(site.body)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815 # http.server calls them

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
        server.server_close()


def s3_at(port: int, here: Workspace, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store whose S3 is at a port."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    return open_store(f"s3://{BUCKET}/x", here, 2)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login."""
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)


def test_readers_cannot_write(s3_place: Place, s3: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With rights to read only, as a pull request's job has them, a store is read, and everything else is denied."""
    s3_place.open().create("cas/a", b"by somebody who may")
    with only_known_users(s3, "s3:GetObject", "s3:ListBucket", "s3:HeadObject") as (key_id, secret):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        store = s3_place.open()
        assert b"".join(store.read("cas/a")) == b"by somebody who may"
        assert store.size("cas/b") is None
        assert [item.key for item in store.items()] == ["cas/a"]
        for denied in (
            lambda: store.create("cas/b", b"x"),
            lambda: store.create("cas/b", bytes(9 << 20)),
            lambda: store.replace("cas/a", b"x"),
            lambda: store.delete("cas/a"),
        ):
            with pytest.raises(AccessDenied, match="refuses us"):
                denied()
    assert b"".join(s3_place.open().read("cas/a")) == b"by somebody who may"
    assert s3_place.open().size("cas/b") is None


def test_a_wrong_login(s3_place: Place, s3: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not know the key says so, and the hint has the variables; the secret is not repeated."""
    with only_known_users(s3, "s3:GetObject"):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not to be shown")
        with pytest.raises(AccessDenied) as caught:
            list(s3_place.open().read("cas/a"))
    told = f"{caught.value.message} {caught.value.hint}"
    assert "403 (InvalidAccessKeyId)" in told
    assert "AWS_SECRET_ACCESS_KEY" in told
    assert "not to be shown" not in told


def test_no_login_at_all(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables a cloud's own machine is taken for granted; when it is none, that is told in bounded time."""
    answers = Answers(404)
    with answers.serving() as port:
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{port}")
        with pytest.raises(AccessDenied, match="there are no credentials") as caught:
            open_store(f"s3://{BUCKET}", here).size("a")
    assert caught.value.hint is not None
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    assert answers.seen


def test_there_is_no_bucket(s3_place: Place) -> None:
    """Whoever writes to a bucket that is not there, or lists it, learns that."""
    store = open_store("s3://nowhere/x", s3_place.workspace)
    with pytest.raises(NotFound, match="there is no bucket `s3://nowhere/x`"):
        store.create("a", b"x")
    with pytest.raises(NotFound, match="there is no bucket"):
        list(store.items())


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (503, b"<Error><Code>SlowDown</Code></Error>", Unreachable, "answers 503"),
        (400, b"<Error><Code>ExpiredToken</Code><Message>secret</Message></Error>", Unreachable, "400 (ExpiredToken)"),
        (301, b"", Unreachable, "cannot be reached"),
        (507, b"", DiskFull, "is full"),
        (401, b"", AccessDenied, "401"),
        (403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", AccessDenied, "403 (SignatureDoesNotMatch)"),
        (404, b"", NotFound, "does not have it"),
    ],
)
def test_what_servers_answer(
    here: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
    error: type[LlorchError],
    said: str,
) -> None:
    """Each answer becomes one of our errors, with the server's code but not its words."""
    with Answers(status, body).serving() as port:
        store = s3_at(port, here, monkeypatch)
        with pytest.raises(error) as caught:
            store.replace("a", b"x")
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    assert "secret" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.usefixtures("aws")
def test_a_failure_in_passing_is_tried_again(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server in trouble is asked a few times."""
    answers = Answers(500)
    with answers.serving() as port:
        store = s3_at(port, here, monkeypatch)
        with pytest.raises(Unreachable):
            store.size("a")
    assert len(answers.seen) == 1 + bucket.RETRIES


@pytest.mark.usefixtures("aws")
def test_plain_http_must_be_allowed(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without encryption is used only where AWS_ALLOW_HTTP says so, as everywhere with object_store."""
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    answers = Answers()
    with answers.serving() as port, pytest.raises(Unreachable):
        s3_at(port, here, monkeypatch).size("a")
    assert not answers.seen


@pytest.mark.parametrize("size", [bucket.SMALL, bucket.SMALL + 1])
def test_small_objects_are_only_created(s3_place: Place, size: int) -> None:
    """Up to `SMALL` bytes the bucket itself refuses a second one, also to those that saw none before."""
    blind = [s3_place.open() for _ in range(4)]
    for store in blind:
        store.size = lambda key: None  # type: ignore[method-assign] # as if all had looked before any of them stored
    with ThreadPoolExecutor(4) as pool:
        did = list(pool.map(lambda store: store.create("cas/a", bytes(size)), blind))
    assert did.count(True) == (1 if size <= bucket.SMALL else 4)
    assert s3_place.open().size("cas/a") == size


def is_left_behind() -> bool:
    """Tell whether a thread of `in_parallel` still waits."""
    return any(thread.name.endswith("(run)") for thread in threading.enumerate())


@pytest.mark.parametrize("deed", ["create", "size", "read"])
def test_ctrl_c_ends_every_wait(s3_place: Place, monkeypatch: pytest.MonkeyPatch, deed: str) -> None:
    """Nobody waits for a server that hangs until obstore gives up: what waits for it is left behind."""
    monkeypatch.setattr(stores, "STALL", 5.0)
    line = s3_place.line
    assert line is not None
    store = s3_place.open()
    store.size("a")
    line.fail_after(0, cut=False)

    def interrupt() -> None:
        wait_for(lambda: line.passed)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    deeds: dict[str, Callable[[], object]] = {
        "create": lambda: store.create("a", bytes(bucket.SMALL + 1)),
        "size": lambda: store.size("a"),
        "read": lambda: list(store.read("a")),
    }
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        deeds[deed]()
    assert is_left_behind()
    line.mend()
    wait_for(lambda: not is_left_behind())
    assert store.size("a") is None


def test_keys_of_others_are_not_listed(s3_place: Place) -> None:
    """What somebody put beside our objects under names that no key can have is left out."""
    import obstore
    from obstore.store import from_url

    other = from_url(s3_place.url, client_options={"allow_http": True})
    for name in ("ac/UPPER", "ac/ok", "ac/a b"):
        obstore.put(other, name, b"x")
    assert [item.key for item in s3_place.open().items("ac/")] == ["ac/ok"]


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Answers, int]]:
    """A server in place of Google's and Azure's; logins that are never asked for anything."""
    answers = Answers(200)
    with answers.serving() as port:
        key = "a2V5"
        account = f'{{"gcs_base_url": "http://127.0.0.1:{port}", "disable_oauth": true, "client_email": "", '
        variables = {
            "GOOGLE_SERVICE_ACCOUNT_KEY": account + '"private_key": "", "private_key_id": ""}',
            "GOOGLE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": "account",
            "AZURE_STORAGE_ACCOUNT_KEY": key,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}",
            "AZURE_ALLOW_HTTP": "true",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield answers, port


@pytest.mark.parametrize(
    ("url", "path", "header", "value"),
    [
        ("gs://lab/fol/der", "/lab/fol%2Fder%2Fcas%2Fa", "x-goog-if-generation-match", "0"),
        ("az://lab/fol/der", "/lab/fol/der/cas/a", "if-none-match", "*"),
    ],
)
def test_what_goes_to_other_clouds(
    here: Workspace, clouds: tuple[Answers, int], url: str, path: str, header: str, value: str
) -> None:
    """A small object goes to the right place of the bucket, on the condition that there is none."""
    answers, _ = clouds
    store = open_store(url, here)
    assert store.name == url
    answers.status = 404
    assert store.size("cas/a") is None
    answers.seen.clear()
    store.size = lambda key: None  # type: ignore[method-assign] # the server has no memory
    answers.status = 201
    assert store.create("cas/a", b"contents")
    ((method, asked, headers, body),) = answers.seen
    assert (method, asked.partition("?")[0], body) == ("PUT", path, b"contents")
    assert headers[header] == value


@pytest.mark.parametrize("url", ["gs://lab/x", "az://lab/x"])
@pytest.mark.parametrize(("status", "error"), [(403, AccessDenied), (404, NotFound), (503, Unreachable)])
def test_what_other_clouds_answer(
    here: Workspace, clouds: tuple[Answers, int], url: str, status: int, error: type[LlorchError]
) -> None:
    """Their answers become our errors as S3's do."""
    answers, _ = clouds
    answers.status = status
    with pytest.raises(error):
        list(open_store(url, here).read("a"))


def test_azure_needs_an_account(here: Workspace) -> None:
    """What the environment lacks is told when a store is opened."""
    with pytest.raises(ConfigError, match=r"Account must be specified.*AZURE_STORAGE_ACCOUNT_NAME"):
        open_store("az://lab/x", here)


def test_without_obstore(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named that has it."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ToolMissing, match="needs the package `obstore`") as caught:
        open_store("s3://lab/x", here)
    assert caught.value.hint is not None
    assert "llorch[cache]" in caught.value.hint


def test_nothing_is_loaded_before(here: Workspace) -> None:
    """Neither obstore nor an HTTP client or ssh is loaded for a store in a folder."""
    code = (
        "import sys; from llorch.cache.store import open_store; from llorch.config import Workspace;"
        f"open_store('file:.', Workspace({here.place!r}, True));"
        "print(sorted({'obstore', 'httpx2', 'paramiko', 'cryptography'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
