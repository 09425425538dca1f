"""The stand-in for the Hub, as the real client sees it, and each fault it can have."""

import hashlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import sha256
from tests.hub import Fault, Generated, Hub

WEIGHTS = bytes(range(256)) * 4096
CONFIG = b'{"model_type": "test"}\n'
ELSEWHERE = ("status", "portal", "portal_redirect", "redirect")
"""The faults whose answer is not the Hub's own."""
FILES = {"config.json": CONFIG, "weights.gguf": WEIGHTS, "sub folder/ü.txt": b"deep"}

CLIENT = """
import json, logging, sys, time
time.sleep = lambda seconds: None
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.utils import logging as hub_logging
hub_logging.set_verbosity_error()
api = HfApi()

def error(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except Exception as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        answer = getattr(error, "response", None)
        return [type(error).__name__, cause, answer and answer.status_code, getattr(error, "server_message", None)]

def show(value):
    print(json.dumps(value))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with a public, a gated and a private repo, and two tokens."""
    with Hub() as hub:
        hub.add("org/model", FILES, lfs=["weights.gguf"], license="apache-2.0")
        hub.add("org/gated", FILES, gated=True)
        hub.add("org/secret", FILES, private=True)
        hub.tokens = {"hf_may": {"org/gated", "org/secret"}, "hf_none": set()}
        yield hub


def client(hub: Hub, home: Path, script: str, **env: str) -> Any:
    """Run a script with the real client, and return what it shows."""
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT + script],
        env={**os.environ, **settings, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Send one request, and return the status, the headers and the body or as much of it as came."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    try:
        connection.request(method, f"{place.path}?{place.query}", headers=headers)
        answer = connection.getresponse()
        body = b""
        try:
            while data := answer.read1():
                body += data
        except (http.client.IncompleteRead, ConnectionResetError) as error:
            body += getattr(error, "partial", b"")
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
    finally:
        connection.close()


def resolve(hub: Hub, file: str, repo: str = "org/model", revision: str = "main") -> str:
    """Return the URL of a file at the Hub."""
    return f"{hub.endpoint}/{repo}/resolve/{revision}/{file}"


def signed(hub: Hub) -> str:
    """Return a new signed URL of the weights, as a HEAD gives it."""
    return ask(resolve(hub, "weights.gguf"), "HEAD")[1]["location"]


def test_the_client_downloads_and_learns_all_about_a_repo(hub: Hub, tmp_path: Path) -> None:
    """Both kinds of file arrive, sizes and digests are told in each way, and old commits stay."""
    old = hub.add("org/moved", {"a.txt": b"old"}, revision="c0ffee" + "0" * 34)
    new = hub.add("org/moved", {"a.txt": b"new"})
    shown = client(
        hub,
        tmp_path,
        f"""
info = api.model_info("org/model", files_metadata=True)
paths = api.get_paths_info("org/model", ["weights.gguf", "config.json", "sub folder", "none"], revision=info.sha)
heads = [get_hf_file_metadata(hf_hub_url("org/model", name)) for name in ("weights.gguf", "config.json")]
show({{
    "files": [open(hf_hub_download("org/model", name), "rb").read().hex() for name in {[*FILES]!r}],
    "old": [open(hf_hub_download("org/moved", "a.txt", revision=r)).read() for r in ({old!r}, {new!r}, "main")],
    "info": [info.sha, info.gated, info.private, info.tags, info.card_data.license, str(info.last_modified)],
    "siblings": [[s.rfilename, s.size, s.blob_id, s.lfs and s.lfs.sha256] for s in info.siblings],
    "bare": [[s.rfilename, s.size] for s in api.model_info("org/model", revision="main").siblings],
    "paths": [[p.path, getattr(p, "size", None), getattr(p, "lfs", None)] for p in paths],
    "heads": [[h.etag, h.size, h.commit_hash, h.location.partition("/xet")[0], h.xet_file_data] for h in heads],
    "listed": api.list_repo_files("org/model"),
}})
""",
    )
    commit = hub.commit("org/model", "main")[0]
    oid = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
    digest = sha256(WEIGHTS)
    assert shown["files"] == [data.hex() for data in FILES.values()]
    assert shown["old"] == ["old", "new", "new"]
    assert shown["info"][:5] == [commit, False, False, ["license:apache-2.0", "region:us"], "apache-2.0"]
    assert shown["info"][5].startswith("2024-01-01 00:00:00")
    assert shown["siblings"][0] == ["config.json", len(CONFIG), oid, None]
    assert shown["siblings"][2][:2] == ["weights.gguf", len(WEIGHTS)]
    assert shown["siblings"][2][3] == digest
    assert shown["bare"] == [[name, None] for name in sorted(FILES)]
    pointer = {"size": len(WEIGHTS), "sha256": digest, "pointer_size": 132}
    files = [["weights.gguf", len(WEIGHTS), pointer], ["config.json", len(CONFIG), None], ["sub folder", None, None]]
    assert shown["paths"] == files
    assert shown["heads"][0] == [digest, len(WEIGHTS), commit, hub.cdn, None]
    assert shown["heads"][1] == [oid, len(CONFIG), commit, resolve(hub, "config.json"), None]
    assert shown["listed"] == sorted(FILES)
    assert hub.bytes_sent("org/model/weights.gguf") == hub.bytes_sent("weights.gguf") == len(WEIGHTS)
    assert {request.origin for request in hub.requests if request.sent} == {"hub", "cdn"}


def test_each_refusal_is_the_error_the_client_has_for_it(hub: Hub, tmp_path: Path) -> None:
    """Missing and closed repos, revisions and files are told apart, and a bad token fails for public ones too."""
    shown = client(
        hub,
        tmp_path,
        """
get = lambda repo, file="config.json", **more: error(hf_hub_download, repo, file, **more)
show({
    "repo, anonymous": get("org/none"),
    "repo, token": get("org/none", token="hf_none"),
    "private, anonymous": get("org/secret"),
    "private, no access": get("org/secret", token="hf_none"),
    "private": get("org/secret", token="hf_may"),
    "revision": get("org/model", revision="none"),
    "file": get("org/model", "none"),
    "gated, anonymous": get("org/gated"),
    "gated, no access": get("org/gated", token="hf_none"),
    "gated": get("org/gated", token="hf_may"),
    "bad token": get("org/model", token="hf_bad"),
    "api repo": error(api.model_info, "org/none"),
    "api revision": error(api.model_info, "org/model", revision="none"),
    "api bad token": error(api.model_info, "org/model", token="hf_bad"),
    "api gated, about": api.model_info("org/gated").gated,
    "api gated, paths": error(api.get_paths_info, "org/gated", ["config.json"]),
    "whoami": api.whoami(token="hf_none")["name"],
    "whoami, bad token": error(api.whoami, token="hf_bad"),
})
""",
    )
    bad = "Invalid credentials in Authorization header"
    login = "Access to model org/gated is restricted. You must have access to it and be authenticated to access it."
    ask_for = f"restricted and you are not in the authorized list. Visit {hub.endpoint}/org/gated to ask for access."
    assert {name: value[0] for name, value in shown.items() if isinstance(value, list)} == {
        "repo, anonymous": "RepositoryNotFoundError",
        "repo, token": "RepositoryNotFoundError",
        "private, anonymous": "RepositoryNotFoundError",
        "private, no access": "RepositoryNotFoundError",
        "revision": "RevisionNotFoundError",
        "file": "RemoteEntryNotFoundError",
        "gated, anonymous": "GatedRepoError",
        "gated, no access": "GatedRepoError",
        "bad token": "HfHubHTTPError",
        "api repo": "RepositoryNotFoundError",
        "api revision": "RevisionNotFoundError",
        "api bad token": "HfHubHTTPError",
        "api gated, paths": "GatedRepoError",
        "whoami, bad token": "HfHubHTTPError",
    }
    assert [shown[name] for name in ("private", "gated", "api gated, about", "whoami")] == [
        None,
        None,
        "manual",
        "tester",
    ]
    statuses = [shown[name][2] for name in ("repo, anonymous", "repo, token", "gated, anonymous", "gated, no access")]
    assert statuses == [401, 404, 401, 403]
    assert (shown["bad token"][2:], shown["gated, anonymous"][3][: len(login)]) == ([401, bad], login)
    assert shown["gated, no access"][3].endswith(ask_for)


def test_the_client_sees_the_faults_of_a_download(hub: Hub, tmp_path: Path) -> None:
    """A reset is raised, a drop is gone on from, damage is noticed only if the size is wrong."""
    hub.fault("weights.gguf", Fault("reset", after=300_000), Fault("drop", after=400_000))
    shown = client(
        hub,
        tmp_path,
        """
constants.DOWNLOAD_CHUNK_SIZE = 65536
get = lambda **more: hf_hub_download("org/model", "weights.gguf", force_download=True, **more)
show([error(get), error(get)])
""",
    )
    assert shown == [["ReadError", "ReadError", None, None], None]
    gets = [request for request in hub.requests if request.origin == "cdn"]
    assert [(request.start, request.sent) for request in gets[:2]] == [(None, 300_000), (None, 400_000)]
    assert gets[2].start == 400_000 // 65536 * 65536
    assert gets[2].sent == len(WEIGHTS) - gets[2].start
    assert all("authorization" not in request.headers for request in gets)
    ok = Fault("none", at="head")
    hub.fault("weights.gguf", Fault("corrupt", offset=9), Fault("truncate", size=9), Fault("chunked", after=9))
    hub.fault("weights.gguf", ok, ok, ok, Fault("wrong_size", size=9), Fault("status", code=503))
    hub.fault("config.json", Fault("status", code=429), Fault("portal_redirect"))
    hub.fault("config.json", Fault("status", "cdn", code=429, headers={"Retry-After": "7"}))
    hub.fault("org/model", Fault("portal"))
    shown = client(
        hub,
        tmp_path,
        """
get = lambda name="weights.gguf": hf_hub_download("org/model", name, force_download=True)
waits = []
time.sleep = waits.append
show([
    open(get(), "rb").read()[9],
    error(get), error(get), error(get), error(get),
    error(api.model_info, "org/model"),
    error(get_hf_file_metadata, hf_hub_url("org/model", "config.json")),
    error(get, "config.json"),
    [error(get, "config.json"), waits],
])
""",
        HF_TOKEN="hf_may",
    )
    assert shown[0] == 8
    assert [found and found[:2] for found in shown[1:5]] == [
        ["OSError", None],
        ["OSError", None],
        ["OSError", None],
        ["ValueError", "HfHubHTTPError"],
    ]
    assert shown[5][0] == "JSONDecodeError"
    assert shown[6][0] == "HfHubHTTPError"
    assert shown[7][:2] == ["ValueError", "FileMetadataError"]
    assert shown[8] == [None, [8.0]]
    assert any("authorization" in request.headers for request in hub.requests if request.origin == "hub")
    assert all("authorization" not in request.headers for request in hub.requests if request.origin == "cdn")


def test_ranges_are_answered_as_the_standard_has_it(hub: Hub) -> None:
    """Both origins give parts, and say so if there is no such part."""
    cdn, small = signed(hub), resolve(hub, "config.json")
    for url, data in ((cdn, WEIGHTS), (small, CONFIG)):
        size = len(data)
        for asked, start, stop in (("3-", 3, size), ("3-9", 3, 10), ("-5", size - 5, size), ("9-99999999", 9, size)):
            status, headers, body = ask(url, Range=f"bytes={asked}")
            assert (status, body) == (206, data[start:stop])
            assert headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        status, headers, _ = ask(url, Range=f"bytes={size}-")
        assert (status, headers["content-range"]) == (416, f"bytes */{size}")
        status, headers, body = ask(url)
        assert (status, headers["accept-ranges"], body) == (200, "bytes", data)
        assert sha256(data) not in headers["etag"]
    hub.fault("weights.gguf", Fault("drop", after=3), Fault("truncate", size=14), Fault("truncate", size=10))
    parts = [ask(cdn, Range="bytes=10-")[::2] for _ in range(3)]
    assert parts == [(206, WEIGHTS[10:13]), (206, WEIGHTS[10:14]), (416, b"")]
    hub.fault("weights.gguf", Fault("ignore_range"))
    assert ask(cdn, Range="bytes=3-")[::2] == (200, WEIGHTS)
    assert ask(cdn, Range="bytes=3-")[0] == 206


def test_a_generated_file_is_the_same_each_time_and_in_each_part(hub: Hub) -> None:
    """Its bytes depend on its size and seed alone, and any part is what the whole has there."""
    whole = Generated(3_000_001, seed=1)
    data = whole.read(0, whole.size)
    assert (len(data), sha256(data)) == (whole.size, whole.sha256)
    assert Generated(3_000_001, seed=2).sha256 != whole.sha256
    assert data[: 1 << 20] != data[1 << 20 : 2 << 20]
    hub.add("org/big", {"big.gguf": whole})
    url = hub.link("org/big", "big.gguf")
    assert ask(url)[2] == data
    assert ask(url, Range="bytes=1048570-2097160")[2] == data[1048570:2097161]


@pytest.mark.parametrize("at", ["hub", "cdn"])
@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault("none"), 200, WEIGHTS),
        (Fault("drop", after=1000), 200, WEIGHTS[:1000]),
        (Fault("reset", after=500_000), 200, WEIGHTS[:500_000]),
        (Fault("truncate", size=1000), 200, WEIGHTS[:1000]),
        (Fault("chunked", after=1000), 200, WEIGHTS[:1000]),
        (Fault("corrupt", offset=5), 200, WEIGHTS[:5] + b"\x04" + WEIGHTS[6:]),
        (Fault("slow", rate=20_000_000), 200, WEIGHTS),
        (Fault("status", "cdn", code=503, headers={"Retry-After": "1"}), 503, b"503"),
        (Fault("portal"), 200, None),
        (Fault("portal_redirect"), 302, b""),
        (Fault("redirect", url="http://127.0.0.1:1/"), 302, b""),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_a_fault_strikes_once(hub: Hub, at: str, fault: Fault, status: int, body: bytes | None) -> None:
    """Each kind does what it says at both origins, and the request after it is answered as ever."""
    hub.add("org/git", {"weights.gguf": WEIGHTS})
    url = resolve(hub, "weights.gguf", "org/git") if at == "hub" else signed(hub)
    hub.fault("weights.gguf", fault)
    found = ask(url)
    assert found[0] == status
    assert ("x-repo-commit" in found[1]) == (at == "hub" and fault.kind not in ELSEWHERE)
    if body is not None:
        assert found[2] == body
    assert ask(url)[::2] == (200, WEIGHTS)


def test_a_signed_url_ends_for_good(hub: Hub) -> None:
    """An expired one answers 403 ever after, and a new one works."""
    old = signed(hub)
    hub.fault("weights.gguf", Fault("expired"))
    assert [ask(old)[0], ask(old)[0], ask(signed(hub))[0]] == [403, 403, 200]


def test_a_fault_lasts_for_ever_until_healed(hub: Hub) -> None:
    """One that stays strikes every request it is for."""
    hub.fault("*", Fault("portal", forever=True))
    pages = [ask(url)[1] for url in (hub.endpoint, hub.cdn, resolve(hub, "config.json"))]
    assert [(page["content-type"], "x-repo-commit" in page) for page in pages] == [("text/html", False)] * 3
    hub.heal()
    assert ask(resolve(hub, "config.json"))[2] == CONFIG


def test_a_stall_ends_with_the_client_or_the_hub(hub: Hub) -> None:
    """Silence lasts until either side leaves, before the answer and within it."""
    hub.fault("config.json", Fault("stall", after=5, forever=True), Fault("stall", at="head"))
    place = urlsplit(resolve(hub, "config.json"))
    waiting = [http.client.HTTPConnection(place.netloc, timeout=0.05) for _ in range(2)]
    for connection, method in zip(waiting, ("GET", "HEAD"), strict=True):
        connection.request(method, place.path)
    answer = waiting[0].getresponse()
    assert answer.read(5) == CONFIG[:5]
    with pytest.raises(TimeoutError):
        answer.read(1)
    with pytest.raises(TimeoutError):
        waiting[1].getresponse()
    hub.unplug("hub")
    for connection in waiting:
        connection.close()
    answer.close()


def test_an_origin_can_be_out_of_reach(hub: Hub) -> None:
    """Without its plug it refuses, and with it it is where it was."""
    url = resolve(hub, "config.json")
    hub.unplug("hub")
    with pytest.raises(ConnectionRefusedError):
        ask(url)
    hub.plug("hub")
    assert ask(url)[2] == CONFIG


def test_a_redirect_leads_to_where_headers_are_recorded(hub: Hub, tmp_path: Path) -> None:
    """The client takes its token along to the Hub only, also from a file kept in git."""
    hub.fault("config.json", Fault("redirect"))
    script = 'show(open(hf_hub_download("org/model", "config.json")).read())'
    assert client(hub, tmp_path, script, HF_TOKEN="hf_may") == CONFIG.decode()
    last = hub.requests[-1]
    assert (last.origin, last.file, last.sent, "authorization" in last.headers) == ("cdn", "config.json", 23, False)


def test_xet_is_offered_on_request(tmp_path: Path) -> None:
    """The headers and the hash are there for LFS files, and the plain route works all the same."""
    with Hub(xet=True) as hub:
        hub.add("org/model", FILES, lfs=["weights.gguf"])
        shown = client(
            hub,
            tmp_path,
            """
found = [get_hf_file_metadata(hf_hub_url("org/model", n)).xet_file_data for n in ("weights.gguf", "config.json")]
data = open(hf_hub_download("org/model", "weights.gguf"), "rb").read()
path = api.get_paths_info("org/model", "weights.gguf")[0]
show([found[0].file_hash == path.xet_hash, found[0].refresh_route, found[1], len(data)])
""",
        )
        route = f"{hub.endpoint}/api/models/org/model/xet-read-token/{hub.commit('org/model', 'main')[0]}"
        assert shown == [True, route, None, len(WEIGHTS)]
