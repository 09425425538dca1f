"""Taking over a newer catalog: read from where it is, compared, and never over what is the user's own."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tomli

from llorch.config import Settings, Workspace, load_settings
from llorch.errors import AccessDenied, Busy, ConfigError, LlorchError, NotFound, Offline, Unreachable
from llorch.models import hub, update
from llorch.models.update import Difference, compare, describe_change, look, write

URL = "https://example.org/catalog.toml"
A = {"repo": "a/a", "files": [{"path": "a"}]}
NEWER = {"repo": "a/a", "revision": "v2", "files": [{"path": "a"}]}
TEXT = 'version = 1\n[models.a]\nrepo = "a/a"\nfiles = [{ path = "a" }]\n'


@dataclass
class Site:
    """A web site on this machine: by path the status, the headers and the body of its answers."""

    address: str = ""
    pages: dict[str, tuple[int, Mapping[str, str], bytes]] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def add(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        """Have an answer, and return its address."""
        self.pages[path] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)
        return self.address + path


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web site, and no pauses between questions."""
    import huggingface_hub

    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = site.pages.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    monkeypatch.setattr(hub, "ASK_PAUSES", (0.0, 0.0, 0.0))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield site
        huggingface_hub.close_session()
        server.shutdown()
        thread.join()


@pytest.fixture
def here(workspace: Path) -> Workspace:
    """The workspace, with a catalog that has no models yet."""
    (workspace / "catalog.toml").write_text("version = 1\n")
    return Workspace(root=workspace, declared=True)


def settings(here: Workspace, url: str) -> Settings:
    """Return the settings of a workspace that says where to look."""
    here.path("llorch.toml").write_text(f"[paths]\ncatalog_url = '{url}'\n")
    return load_settings(here)


def looked(here: Workspace, url: str) -> Difference:
    """Look at an address."""
    return look(here, settings(here, url))


# compare


def test_entries_are_compared() -> None:
    """What is new, what is another, what is gone, and what is the user's own are told apart."""
    own = {
        "mine": A,
        "same": {**A, "updated_from": "elsewhere"},
        "old": {**A, "updated_from": URL},
        "gone": {**A, "updated_from": URL},
        "only-mine": A,
    }
    shipped = {"mine": NEWER, "shipped": A, "shipped-old": A, "shipped-only": A}
    new = {
        "new": A,
        "mine": NEWER,
        "same": {**A, "updated_from": "x"},
        "old": NEWER,
        "shipped": A,
        "shipped-old": NEWER,
    }
    found = compare(URL, new, own, shipped)
    assert (found.added, found.changed, found.gone, found.kept) == (
        ("new",),
        ("old", "shipped-old"),
        ("gone",),
        ("mine",),
    )
    assert found.after == {
        "new": {**A, "updated_from": URL},
        "old": {**NEWER, "updated_from": URL},
        "shipped-old": {**NEWER, "updated_from": URL},
    }
    assert (found.before["old"], found.empty) == (own["old"], False)
    assert compare(URL, {"mine": NEWER}, {"mine": A}, {}).empty


def test_changes_are_described() -> None:
    """Pins are told from old to new, files that come and go are named, and the keys of the rest."""
    old = {
        "revision": "1" * 40,
        "files": [{"path": "a", "size": 1000, "sha256": "a" * 64}, {"path": "b"}, {"path": "c"}],
        "license": "mit",
        "updated_from": "x",
    }
    new = {
        "revision": "2" * 40,
        "files": [{"path": "a", "size": 2000, "sha256": "b" * 64}, {"path": "c"}, {"path": "d", "size": 1}],
        "license": "apache-2.0",
        "gated": True,
    }
    assert describe_change(old, new) == [
        "revision: 111111111111 -> 222222222222",
        "a: 1,000 bytes, sha256 aaaaaaaaaaaa -> 2,000 bytes, sha256 bbbbbbbbbbbb",
        "d: new, 1 bytes, sha256 none",
        "b: gone",
        "license",
        "gated",
    ]
    assert describe_change(A, NEWER) == ["revision: none -> v2"]
    assert describe_change(A, A) == []


# look and write


def test_a_catalog_is_taken_over(here: Workspace, site: Site) -> None:
    """What was written says where it is from, and is known the next time; no token was sent along."""
    url = site.add("/catalog.toml", (TEXT + '[models."b.1"]\nrepo = "b/b"\nfiles = [{ path = "b" }]\n').encode())
    found = looked(here, url)
    assert (found.added, write(found, here, settings(here, url))) == (("a", "b.1"), "catalog.toml")
    models = tomli.loads(here.path("catalog.toml").read_text())["models"]
    assert models["a"] == {**A, "updated_from": url}
    assert looked(here, url).empty
    site.add("/catalog.toml", TEXT.replace('"a/a"', '"a/a"\nrevision = "v2"').encode())
    found = looked(here, url)
    assert (found.changed, found.gone) == (("a",), ("b.1",))
    write(found, here, settings(here, url), dry_run=True)
    assert set(tomli.loads(here.path("catalog.toml").read_text())["models"]) == {"a", "b.1"}
    write(found, here, settings(here, url))
    assert tomli.loads(here.path("catalog.toml").read_text())["models"] == {"a": {**NEWER, "updated_from": url}}
    assert all("authorization" not in headers for _, headers in site.asked)


def test_a_catalog_that_changes_meanwhile_is_not_written(here: Workspace) -> None:
    """What was shown would not be what is done."""
    here.path("new.toml").write_text(TEXT)
    found = looked(here, "file:new.toml")
    here.path("catalog.toml").write_text(TEXT)
    with pytest.raises(Busy, match="changed while this was under way"):
        write(found, here, settings(here, "file:new.toml"))
    assert here.path("catalog.toml").read_text() == TEXT


@pytest.mark.parametrize(
    "form", ["file:sub/new cat%.toml", "file:{}/sub/new cat%.toml", "file://{}/sub/new%20cat%25.toml"]
)
def test_files_are_read(here: Workspace, form: str) -> None:
    """An address of a file is one of the workspace, or absolute in both of its forms."""
    here.path("sub").mkdir()
    here.path("sub/new cat%.toml").write_text(TEXT.replace('repo = "a/a"', 'source = "file:/srv"'))
    assert looked(here, form.format(here.root)).added == ("a",)


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("", ConfigError, "llorch.toml:2: paths.catalog_url: is not set"),
        ("file:none.toml", NotFound, "there is no `file:none.toml`"),
        ("file:catalog.toml/x", NotFound, "there is no `file:catalog.toml/x`"),
        ("file:sub", LlorchError, "`file:sub` cannot be read: Is a directory"),
        ("file:/dev/zero", LlorchError, "`file:/dev/zero` is not a file"),
        ("file:large.toml", LlorchError, "`file:large.toml` has more than 10,000,000 bytes"),
        ("file:wrong.toml", ConfigError, r"^file:wrong.toml:2: models.a.files\[0\].path: .* has a part `..`"),
        ("file:latin.toml", ConfigError, r"^file:latin.toml:1: is not UTF-8 text"),
        ("file:next.toml", ConfigError, r"^file:next.toml:1: version: is the integer 2"),
        (
            "http://example.org/x",
            ConfigError,
            "paths.catalog_url: must begin with https://, not `http://example.org/x`",
        ),
        ("http://127.0.0.1:1@example.org/", ConfigError, "has a user or password in it"),
        ("https://u:p@example.org/x", ConfigError, "has a user or password in it"),
        ("https://", ConfigError, "`https://` is not an address of http"),
        ("https://[x/", ConfigError, "is not an address: Invalid IPv6 URL"),
        ("https://me:secret@/x", ConfigError, "`https:///x` is not an address of http"),
        ("https://x:99999/y?sig=secret", ConfigError, "`https://x:99999/y` is not an address: Port"),
        ("https://x/\t", ConfigError, "has characters that cannot be printed"),
        ("catalog.toml", ConfigError, "`catalog.toml` is not an address of http"),
    ],
)
def test_where_there_is_no_catalog(here: Workspace, url: str, error: type[LlorchError], words: str) -> None:
    """The address and what is wrong there are named, mistakes with their lines, and there is a hint."""
    here.path("sub").mkdir()
    here.path("large.toml").write_bytes(b"#" * (update.LIMIT + 1))
    here.path("wrong.toml").write_text('[models]\na = { repo = "a/a", files = [{ path = "../x" }] }\n')
    here.path("latin.toml").write_bytes(b"# \xfc\n")
    here.path("next.toml").write_text("version = 2\n")
    with pytest.raises(error, match=words) as caught:
        looked(here, url)
    assert caught.value.hint


def test_a_pipe_is_not_waited_for(here: Workspace) -> None:
    """What is no file is not opened."""
    import os

    os.mkfifo(here.path("pipe"))
    with pytest.raises(LlorchError, match="`file:pipe` is not a file"):
        looked(here, "file:pipe")


@pytest.mark.parametrize(
    ("status", "headers", "error", "words"),
    [
        (404, {}, NotFound, r"there is no `.*` \(404\)"),
        (403, {}, AccessDenied, r"is refused \(403\)"),
        (400, {}, LlorchError, "the server answers 400"),
        (503, {}, Unreachable, "the server answers 503, 4 times in a row"),
        (429, {"retry_after": "99"}, Unreachable, "asks to wait 99 s"),
        (200, {"content_encoding": "gzip"}, LlorchError, "comes compressed, unasked"),
        (200, {"content_length": "999"}, Unreachable, "4 times in a row"),
        (302, {"location": "/page"}, LlorchError, "leads from one address to the next"),
        (302, {"location": "http://example.org/"}, LlorchError, "leads elsewhere: must begin with https://"),
        (
            302,
            {"location": "file:///etc/passwd"},
            LlorchError,
            "leads elsewhere: `file:///etc/passwd` is not an address",
        ),
        (302, {"location": "https://[x"}, LlorchError, "leads to no address"),
    ],
)
def test_answers_that_are_no_catalog(
    here: Workspace, site: Site, status: int, headers: Mapping[str, str], error: type[LlorchError], words: str
) -> None:
    """Each is one clear error, in bounded time."""
    url = site.add("/page", b"", status, **headers)
    with pytest.raises(error, match=words) as caught:
        looked(here, url)
    assert caught.value.hint
    assert len(site.asked) <= update.REDIRECTS + 1


def test_a_redirect_is_followed(here: Workspace, site: Site) -> None:
    """To an address that could have been given; the entries are from the one that was."""
    url = site.add("/page", b"", 301, location="other?x=1")
    site.add("/other?x=1", TEXT.encode())
    found = looked(here, url)
    assert (found.added, found.after["a"]["updated_from"]) == (("a",), url)


def test_a_page_is_no_catalog(here: Workspace, site: Site) -> None:
    """A login page is named by its address and line, and nothing is changed."""
    url = site.add("/page", b"<!DOCTYPE html><html><title>Log in</title>")
    with pytest.raises(ConfigError, match=rf"^{url}:1: is not valid TOML") as caught:
        looked(here, url)
    assert caught.value.hint == "nothing was changed; is [paths] catalog_url right?"


def test_too_much_is_not_read(here: Workspace, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither more bytes nor more time than a catalog needs."""
    url = site.add("/page", b"#" * 200_000)
    monkeypatch.setattr(update, "LIMIT", 100_000)
    with pytest.raises(LlorchError, match="has more than 100,000 bytes"):
        looked(here, url)
    monkeypatch.setattr(update, "PATIENCE", -1.0)
    monkeypatch.setattr(update, "LIMIT", 1_000_000)
    with pytest.raises(Unreachable, match="takes longer than"):
        looked(here, url)


def test_a_catalog_from_elsewhere_names_no_folders_here(here: Workspace, site: Site) -> None:
    """It could have files of this machine taken for a model's."""
    url = site.add("/page", TEXT.replace('repo = "a/a"', 'source = "file:/etc"').encode())
    with pytest.raises(ConfigError, match=r":3: models.a.source: names a folder of this machine"):
        looked(here, url)
    for strange in (b"models = 1\n", b"[models]\na = 1\n"):
        site.add("/page", strange)
        with pytest.raises(ConfigError, match="must be a table"):
            looked(here, url)


def test_offline_only_files_are_read(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine is not asked when fetching is switched off."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    here.path("new.toml").write_text(TEXT)
    assert looked(here, "file:new.toml").added == ("a",)
    with pytest.raises(Offline):
        looked(here, URL)
