"""HTTP at its worst, against a server that does it on purpose."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from llorch.errors import AccessDenied, IntegrityError, LlorchError, NotFound, Unreachable
from llorch.models import transfer as module
from llorch.models.hub import Passing, Remote
from llorch.models.part import landing
from llorch.models.transfer import transfer
from llorch.progress import Silent
from tests.conftest import sha256
from tests.hub import Fault, Generated, Hub
from tests.tls import https_server

DATA = bytes(range(256)) * 4096
SIZE = len(DATA)
SHA = sha256(DATA)


class Heard(Silent):
    """Remembers the pauses, and makes none."""

    def __init__(self) -> None:
        self.pauses: list[tuple[float, str]] = []
        self.totals: list[tuple[int, int]] = []

    def pause(self, seconds: float, why: str) -> None:
        """Note it."""
        self.pauses.append((seconds, why))

    def total(self, size: int, done: int = 0) -> None:
        """Note it."""
        self.totals.append((size, done))


@pytest.fixture
def heard() -> Heard:
    """What the transfer says."""
    return Heard()


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with one file."""
    with Hub() as hub:
        hub.add("org/m", {"a.bin": DATA}, lfs=["a.bin"])
        yield hub


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a silent connection for dead soon."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)


def bring(hub: Hub, place: Path, heard: Heard, *, start: bytes = b"", pinned: bool = True) -> None:
    """Fetch the file as the rules do, with what is there of it."""
    if start:
        place.with_name("a.bin.part").write_bytes(start)

    def find() -> Remote:
        return Remote(
            url=hub.link("org/m", "a.bin"),
            size=SIZE if pinned else None,
            sha256=SHA if pinned else None,
            renewable=pinned,
        )

    with landing(place, "a.bin", size=None, sha256=None, resume=True) as part:
        transfer(part, find, heard)


GOOD = {
    "nothing wrong": ([], SIZE),
    "dropped three times": ([Fault("drop", after=n) for n in (0, 1, 70_000)], SIZE),
    "reset three times": ([Fault("reset", after=n) for n in (0, 65_536, 300_001)], SIZE),
    "dropped again and again with something new each time": ([Fault("drop", after=300_000)] * 3, SIZE),
    "a body cut short": ([Fault("truncate", size=1000)], SIZE),
    "chunks that end early": ([Fault("chunked", after=1000)], SIZE),
    "a flipped byte": ([Fault("corrupt", offset=77)], 2 * SIZE),
    "a flipped byte in the second half": ([Fault("drop", after=600_000), Fault("corrupt", offset=SIZE - 1)], 2 * SIZE),
    "no answer": ([Fault("stall")], SIZE),
    "silence half way": ([Fault("stall", after=SIZE // 2)], SIZE),
    "no Range": ([Fault("drop", after=1000), Fault("ignore_range")], SIZE + 1000),
    "an expired address": ([Fault("expired")], SIZE),
    "an address that expires on the way": ([Fault("drop", after=9000), Fault("expired")], SIZE),
    "408, 502 and 503": ([Fault("status", "cdn", code=code) for code in (408, 502, 503)], SIZE),
    "503 when going on": ([Fault("drop", after=9000), Fault("status", "cdn", code=503)], SIZE),
    "a redirect": ([Fault("redirect")], SIZE),
}


@pytest.mark.parametrize(("faults", "sent"), GOOD.values(), ids=GOOD)
def test_what_passes_is_survived(tmp_path: Path, hub: Hub, heard: Heard, faults: list[Fault], sent: int) -> None:
    """The file ends right, and no byte comes twice that need not."""
    hub.fault("a.bin", *faults)
    bring(hub, tmp_path / "a.bin", heard)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert hub.bytes_sent("a.bin") == sent
    assert not (tmp_path / "a.bin.part").exists()


@pytest.mark.parametrize(
    ("start", "sent"),
    [
        (DATA[:1], SIZE - 1),
        (DATA[: SIZE // 2], SIZE // 2),
        (DATA, 0),
        (DATA.upper()[:1000] + b"!", 2 * SIZE - 1001),
        (DATA + b"more", SIZE),
    ],
    ids=["one byte", "half", "whole", "of another file", "too long"],
)
def test_what_is_there_is_used(tmp_path: Path, hub: Hub, heard: Heard, start: bytes, sent: int) -> None:
    """A part is gone on with, and one that proves wrong is dropped."""
    bring(hub, tmp_path / "a.bin", heard, start=start)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert hub.bytes_sent("a.bin") == sent
    assert heard.totals[0] == (SIZE, len(start))


def test_parts_of_unknown_files_are_not_mixed(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """Where nothing could prove the whole, a part is not gone on with."""
    bring(hub, tmp_path / "a.bin", heard, start=b"of yesterday", pinned=False)
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    ("faults", "error", "words"),
    [
        ([Fault("corrupt", offset=5, forever=True)], IntegrityError, "is not the promised file: expected sha256"),
        ([Fault("truncate", size=300_000, forever=True)], Unreachable, "6 times in a row"),
        ([Fault("reset", after=10, forever=True)], Unreachable, "the connection was lost, 6 times in a row"),
        ([Fault("stall", forever=True)], Unreachable, "nothing came for 0 s, 6 times in a row"),
        ([Fault("status", "cdn", code=503, forever=True)], Unreachable, "the server answers 503, 6 times in a row"),
        ([Fault("status", "cdn", code=403, forever=True)], Unreachable, r"address has expired \(403\), 6 times"),
        ([Fault("portal", "cdn", forever=True)], Unreachable, "a web page came instead of `a.bin`"),
        ([Fault("redirect", forever=True)], Unreachable, "its address leads to others without end"),
        ([Fault("redirect", url="file:///etc/passwd")], Unreachable, "or to no http address"),
        (
            [Fault("status", "cdn", code=200, headers={"Content-Encoding": "gzip"})],
            LlorchError,
            r"in another form than it is \(gzip\)",
        ),
        ([Fault("status", "cdn", code=418)], LlorchError, "the server answers 418 for `a.bin`"),
        (
            [Fault("status", "cdn", code=429, headers={"Retry-After": "3600"})],
            Unreachable,
            "the server answers 429 and asks to wait 3600 s",
        ),
    ],
    ids=["corrupt", "truncated", "reset", "stall", "503", "403", "page", "loop", "file", "gzip", "418", "an hour"],
)
def test_what_stays_is_said(
    tmp_path: Path, hub: Hub, heard: Heard, faults: list[Fault], error: type[LlorchError], words: str
) -> None:
    """A fault that does not pass ends in one error after few attempts, and the file does not have its name."""
    hub.fault("a.bin", *faults)
    with pytest.raises(error, match=words) as caught:
        bring(hub, tmp_path / "a.bin", heard)
    assert caught.value.hint
    assert not (tmp_path / "a.bin").exists()
    assert len(heard.pauses) <= module.TRIES


@pytest.mark.parametrize("size", [3, None])
@pytest.mark.parametrize("headers", [{"Content-Type": "text/html"}, {"Content-Encoding": "x-gzip"}])
def test_the_digest_decides_what_the_file_is(
    tmp_path: Path, hub: Hub, heard: Heard, headers: dict[str, str], size: int | None
) -> None:
    """A server may call everything a web page, and Apache calls a `.gz` encoded, which it is itself."""
    hub.fault("a.bin", Fault("status", "cdn", code=200, headers=headers))
    url, data = hub.link("org/m", "a.bin"), b"200"
    with landing(tmp_path / "a.bin", "a.bin", size=None, sha256=None) as part:
        transfer(part, lambda: Remote(url=url, size=size, sha256=sha256(data)), heard)
    assert (tmp_path / "a.bin").read_bytes() == data


@pytest.mark.parametrize("size", [SIZE, None])
@pytest.mark.parametrize("headers", [{"Content-Type": "text/html"}, {"Content-Encoding": "gzip"}])
def test_what_is_refused_costs_no_byte_that_is_there(
    tmp_path: Path, hub: Hub, heard: Heard, headers: dict[str, str], size: int | None
) -> None:
    """A login page or a body in another form, come instead of the rest, leaves the part as it is."""
    hub.fault("a.bin", Fault("status", "cdn", code=200, headers=headers, forever=True))
    (tmp_path / "a.bin.part").write_bytes(DATA[:-3])  # what comes is as long as the rest
    with (
        pytest.raises(LlorchError, match=r"web page came|in another form"),
        landing(tmp_path / "a.bin", "a.bin", size=size, sha256=SHA, resume=True) as part,
    ):
        transfer(part, lambda: Remote(url=hub.link("org/m", "a.bin")), heard)
    assert (tmp_path / "a.bin.part").read_bytes() == DATA[:-3]


def test_a_whole_page_is_taken_where_its_length_is_the_files(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """A server that knows no Range and calls the file a web page sends all of it, not what is missing."""
    hub.fault("a.bin", Fault("status", "cdn", code=200, headers={"Content-Type": "text/html"}))
    (tmp_path / "a.bin.part").write_bytes(b"2")
    with landing(tmp_path / "a.bin", "a.bin", size=3, sha256=sha256(b"200"), resume=True) as part:
        transfer(part, lambda: Remote(url=hub.link("org/m", "a.bin")), heard)
    assert (tmp_path / "a.bin").read_bytes() == b"200"


def test_a_part_of_a_file_is_not_taken_for_all(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """A server that sends a range unasked has more, and nothing is kept that could not be gone on with."""
    ranged = Fault("status", "cdn", code=206, headers={"Content-Range": "bytes 0-2/100"}, forever=True)
    hub.fault("a.bin", ranged)
    with pytest.raises(Unreachable, match="ended 97 bytes early, 6 times") as caught:
        bring(hub, tmp_path / "a.bin", heard, pinned=False)
    assert caught.value.hint == "run the same command again when the server or the line is better"
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


@pytest.mark.parametrize("back", [False, True])
def test_what_nothing_proves_has_to_come_encrypted(
    tmp_path: Path, hub: Hub, heard: Heard, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    """An https address that leads to an http one, even if `back` to https, is good enough for what has a sha256."""
    from huggingface_hub import close_session

    elsewhere = hub.link("org/m", "a.bin")

    class Redirects(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Send on to where nothing is encrypted, unless that has sent here."""
            body = DATA if self.path == "/back" else b""
            self.send_response(200 if body else 302)
            self.send_header("Location", elsewhere)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    place, chain = tmp_path / "a.bin", tmp_path / "chain.pem"
    with https_server(Redirects, chain) as address:
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
        if back:
            hub.fault("a.bin", Fault("redirect", url=f"{address}/back", forever=True))
        close_session()  # the next one reads the variable
        with (
            pytest.raises(LlorchError, match="would come unencrypted"),
            landing(place, "a.bin", size=None, sha256=None) as part,
        ):
            transfer(part, lambda: Remote(url=f"{address}/a.bin"), heard)
        with landing(place, "a.bin", size=None, sha256=SHA) as part:
            transfer(part, lambda: Remote(url=f"{address}/a.bin"), heard)
        close_session()
    assert place.read_bytes() == DATA


@pytest.mark.parametrize("url", ["https://[::1", "https://a..b/x", "https://me:secret@xn--ü.example/x?sig=secret"])
def test_what_is_no_address_is_said(tmp_path: Path, heard: Heard, url: str) -> None:
    """It is shown without what may be a secret, and not tried again."""
    with (
        pytest.raises(LlorchError, match="is not an address") as caught,
        landing(tmp_path / "a.bin", "a.bin", size=None, sha256=None) as part,
    ):
        transfer(part, lambda: Remote(url=url), heard)
    assert ("secret" in str(caught.value), heard.pauses) == (False, [])


def test_what_came_is_kept_for_the_next_run(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """After a failure the part is there, and the next run fetches only the rest."""
    hub.fault("a.bin", Fault("drop", after=200_000), Fault("status", "cdn", code=503, forever=True))
    with pytest.raises(Unreachable):
        bring(hub, tmp_path / "a.bin", heard)
    assert (tmp_path / "a.bin.part").read_bytes() == DATA[:200_000]
    hub.heal()
    bring(hub, tmp_path / "a.bin", heard)
    assert hub.bytes_sent("a.bin") == SIZE


@pytest.mark.parametrize("form", ["seconds", "date", "window"])
def test_a_limit_is_waited_for(tmp_path: Path, hub: Hub, heard: Heard, form: str) -> None:
    """Retry-After is obeyed in both of its forms, and the Hub's own RateLimit to the end of its window."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 60))
    headers = {
        "seconds": {"Retry-After": "7"},
        "date": {"Retry-After": date},
        "window": {"RateLimit": '"resolvers";r=0;t=300', "RateLimit-Policy": '"fixed window";"resolvers";q=3000;w=300'},
    }
    hub.fault("a.bin", Fault("status", "cdn", code=429, headers=headers[form]))
    bring(hub, tmp_path / "a.bin", heard)
    ((seconds, why),) = heard.pauses
    assert {"seconds": seconds == 7, "date": 50 < seconds <= 60, "window": seconds == 301}[form]
    assert why == "the server answers 429"


def test_a_limit_that_is_not_reached_is_none(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """What the Hub says of its windows with any other answer is no wish to wait."""
    left = {"RateLimit": '"resolvers";r=2999;t=300'}
    hub.fault("a.bin", Fault("status", "cdn", code=503, headers=left))
    bring(hub, tmp_path / "a.bin", heard)
    assert [seconds < 1 for seconds, _ in heard.pauses] == [True]


def test_pauses_grow_and_end(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """The pauses between attempts grow, so that a server in trouble is left alone."""
    hub.fault("a.bin", Fault("status", "cdn", code=502, forever=True))
    with pytest.raises(Unreachable):
        bring(hub, tmp_path / "a.bin", heard)
    pauses = [seconds for seconds, _ in heard.pauses]
    assert pauses[:4] == sorted(pauses[:4])
    least = sum(module.BACK_OFF) + module.BACK_OFF[-1]
    assert least <= sum(pauses) <= least * 1.25


@pytest.mark.parametrize(("code", "error"), [(404, NotFound), (403, AccessDenied)])
def test_a_plain_address_has_no_other(
    tmp_path: Path, hub: Hub, heard: Heard, code: int, error: type[LlorchError]
) -> None:
    """Of a file with a fixed address 404 and 403 are final."""
    hub.fault("a.bin", Fault("status", "cdn", code=code, forever=True))
    with pytest.raises(error, match=str(code)):
        bring(hub, tmp_path / "a.bin", heard, pinned=False)


def test_a_server_that_is_gone(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """A refused connection is tried again, then said."""
    url = hub.link("org/m", "a.bin")
    hub.unplug("cdn")
    with (
        pytest.raises(Unreachable, match="the connection was lost, 6 times"),
        landing(tmp_path / "a.bin", "a.bin", size=None, sha256=None, resume=True) as part,
    ):
        transfer(part, lambda: Remote(url=url, size=SIZE, sha256=SHA), heard)


def test_a_failing_question_is_asked_again(tmp_path: Path, hub: Hub, heard: Heard) -> None:
    """What `find` cannot tell now, it may tell later."""
    answers: list[Passing | None] = [Passing("not now"), Passing("nor now"), None]

    def find() -> Remote:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return Remote(url=hub.link("org/m", "a.bin"), size=SIZE, sha256=SHA)

    with landing(tmp_path / "a.bin", "a.bin", size=None, sha256=None, resume=True) as part:
        transfer(part, find, heard)
    assert [why for _, why in heard.pauses] == ["not now", "nor now"]


def test_a_large_file_needs_little_memory(tmp_path: Path, heard: Heard) -> None:
    """What comes is written as it comes."""
    import tracemalloc

    large = Generated(64 << 20, seed=1)
    with Hub() as hub:
        hub.add("org/m", {"large.bin": large})
        url = hub.link("org/m", "large.bin")
        with landing(tmp_path / "large.bin", "large.bin", size=large.size, sha256=large.sha256, resume=True) as part:
            tracemalloc.start()
            transfer(part, lambda: Remote(url=url, size=large.size), heard)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < 16 << 20
