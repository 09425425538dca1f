"""What is asked of the Hub, and how its errors are told; the rest is proven by the programs in tests/e2e."""

import httpx2
import pytest

from llorch.errors import AccessDenied, ConfigError, LlorchError, NotFound, Offline, Unreachable
from llorch.models import hub
from llorch.models.hub import Passing


def test_tokens_belong_to_one_origin() -> None:
    """Scheme, host and port make an origin; the scheme's own port may be left out."""
    assert hub.origin("https://hub.example/x") == hub.origin("https://hub.example:443/y")
    others = ("http://hub.example/x", "https://hub.example:8443/x", "https://hub.example.org/x")
    assert hub.origin("https://hub.example/x") not in map(hub.origin, others)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 90 ", 90.0),
        ("-5", None),
        ("1.5", None),
        ("9" * 30, None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("tomorrow", None),
    ],
)
def test_retry_after_has_two_forms(value: str | None, seconds: float | None) -> None:
    """Seconds and dates are read, a date that has passed is now, and anything else is nothing."""
    assert hub.retry_after(value, now=100.0) == seconds


def answer(status: int, headers: dict[str, str] | None = None) -> Exception:
    """Return the client's error for an answer of the Hub."""
    from huggingface_hub.errors import HfHubHTTPError

    request = httpx2.Request("GET", "https://hub.example/x")
    return HfHubHTTPError(str(status), response=httpx2.Response(status, headers=headers, request=request))


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (answer(503), Passing, "the server answers 503"),
        (answer(408), Passing, "the server answers 408"),
        (answer(401), AccessDenied, r"refuses `org/m` \(401\)"),
        (answer(403), AccessDenied, r"refuses `org/m` \(403\)"),
        (answer(418), LlorchError, "answers 418 for `org/m`"),
        (httpx2.ConnectError("refused"), Passing, r"does not answer \(ConnectError\)"),
        (httpx2.ReadTimeout(""), Passing, r"does not answer \(ReadTimeout\)"),
        (httpx2.TooManyRedirects("20"), Unreachable, "sends from one address to the next without end"),
        (ValueError("no JSON"), Passing, "no JSON"),
    ],
)
def test_errors_are_told(error: Exception, kind: type[Exception], words: str) -> None:
    """What may pass is told apart from what does not."""
    with pytest.raises(kind, match=words), hub.told("org/m", "main", "x"):
        raise error


def test_a_limit_says_how_long() -> None:
    """The wait that the Hub asks for goes with the error."""
    with pytest.raises(Passing) as caught, hub.told("org/m"):
        raise answer(429, {"Retry-After": "17"})
    assert caught.value.wait == 17.0


def test_offline_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fetching switched off the client is not even asked."""
    from huggingface_hub import constants, errors

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Offline, match="fetching is switched off"):
        hub.client()
    with pytest.raises(Offline, match="`org/m` cannot be asked for"), hub.told("org/m"):
        raise errors.OfflineModeIsEnabled("off")


@pytest.mark.parametrize(
    ("revision", "hint"),
    [
        ("v1", "/org/m/tree/main shows its branches and tags"),
        ("607a30d", "shows its branches and tags; a commit is named by all of its 40 digits"),
        ("6" * 40, "pin another with `llorch models pin`"),
    ],
)
def test_a_revision_that_is_not_there_is_told(revision: str, hint: str) -> None:
    """The message names the repository and the revision, and the hint is for what was meant."""
    from huggingface_hub.errors import RevisionNotFoundError

    response = httpx2.Response(404, request=httpx2.Request("GET", "https://hub.example/x"))
    with pytest.raises(NotFound, match=f"`org/m` has no revision `{revision}`") as caught, hub.told("org/m", revision):
        raise RevisionNotFoundError("gone", response=response)
    assert (caught.value.hint or "").endswith(hint)


@pytest.mark.parametrize("name", ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"])
def test_a_time_below_0_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The client would take it, and the system would not."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, name, -1)
    with pytest.raises(ConfigError, match=f"^{name}: is a number of seconds"):
        hub.client()


@pytest.mark.parametrize("address", ["http://me:secret@hub.example", "secret@hub.example", "hub.example?token=secret"])
def test_an_address_with_a_secret_is_told_without_it(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """HF_ENDPOINT may not have a user or a query; the message shows neither."""
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(ConfigError, match=r"^HF_ENDPOINT: `hub\.example` is not an address such as") as caught:
        hub.client()
    assert "secret" not in str(caught.value)
