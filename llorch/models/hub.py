"""Ask the Hugging Face Hub, through its own client, what a file is and where its bytes are.

The client reads its environment (HF_ENDPOINT, HF_TOKEN, HF_HOME, …) when it is imported, which costs 150 ms: only when
something is to be fetched.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from llorch.errors import AccessDenied, ConfigError, LlorchError, NotFound, Offline, Problem, Unreachable
from llorch.switches import is_on

if TYPE_CHECKING:
    from huggingface_hub import HfApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A file as its server describes it; what is not told is None."""

    url: str
    """Where its bytes are now; a signed address expires."""
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    sha256: str | None = None
    git_oid: str | None = None
    """The id that git gives the file, where the Hub has no sha256 of it: sha1 of `blob SIZE`, a zero byte and the
    contents."""
    commit: str | None = None
    renewable: bool = False
    """Whether asking again gives another address."""


PROXIES = ("http_proxy", "https_proxy", "all_proxy")
"""The variables that name proxies, in small or in capital letters."""


class Passing(Exception):
    """A failure that may pass: a lost connection, a server's trouble, a limit; `wait` is what the server asks for."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def find(repo: str, path: str, revision: str) -> Remote:
    """Ask the Hub for a file.

    Raises:
        Passing: it cannot tell now.
        AccessDenied: it wants a token, or another one.
        NotFound: there is no such repository, revision or file.
        Unreachable: what answers is not a Hub.
        Offline: asking is switched off.
    """
    hub = client()
    url = hub.hf_hub_url(repo, path, revision=revision)
    token = hub.get_token()
    with told(repo, revision, path):
        found = hub.get_hf_file_metadata(url, token=token or False, timeout=ask_timeout())
    if found.commit_hash is None and not found.etag:
        raise Unreachable(
            f"`{endpoint()}` does not answer like a Hub: a login page of the network may stand before it",
            hint="open any page in a browser and log in to the network; or check HF_ENDPOINT",
        )
    etag = found.etag or ""
    authorized = token is not None and origin(found.location) == origin(url)
    return Remote(
        url=found.location,
        headers={"authorization": f"Bearer {token}"} if authorized else {},
        size=found.size if found.size is not None and 0 <= found.size < 1 << 63 else None,
        sha256=etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None,
        git_oid=etag if re.fullmatch(r"[0-9a-f]{40}", etag) else None,
        commit=found.commit_hash,
        renewable=True,
    )


def download(repo: str, path: str, revision: str, folder: Path) -> Path:
    """Have the client itself bring a file into a folder, by Xet where the repository and the machine have it.

    Raises:
        Unreachable: it could not; what it tells of the reason is not made for people, and differs by transport.
    """
    import httpx2

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    hub = client()
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hub.hf_hub_download(repo, path, revision=revision, local_dir=folder))
    except (OSError, RuntimeError, ValueError, AttributeError, HfHubHTTPError, httpx2.HTTPError) as error:
        # AttributeError: what the client itself makes of an error whose body is no JSON object. The words of any of
        # them may hold a signed address.
        raise Unreachable(
            f"the Hub's client could not bring `{path}` of `{repo}` ({type(error).__name__})",
            hint="without LLORCH_XET it comes by plain HTTP, which goes on where it stopped",
        ) from error


def client(what: str = "what is needed") -> Any:
    """Return the `huggingface_hub` module.

    Args:
        what: what is to be fetched, for messages.

    Raises:
        Offline: LLORCH_OFFLINE or HF_HUB_OFFLINE is set.
        ConfigError: the client cannot work with what the environment, or its file of the token, says.
    """
    if is_on("LLORCH_OFFLINE"):
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if not os.environ.get("HF_ENDPOINT"):
        os.environ.pop("HF_ENDPOINT", None)  # one that is empty says nothing, but to the client
    _check_endpoint(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ValueError as error:
        raise ConfigError([Problem("HF_*", None, "", f"the Hub client refuses a variable: {error}")]) from None

    if constants.is_offline_mode():
        raise Offline(
            f"{what} is not here, and fetching is switched off", hint="unset LLORCH_OFFLINE or HF_HUB_OFFLINE"
        )
    _check_settings(huggingface_hub)
    return huggingface_hub


def _check_endpoint(address: str) -> None:
    found = re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:([0-9]{1,5}))?(/[\w./-]*)?", address)
    if found is None or int(found[3] or 0) > 65535:
        named = address.rpartition("@")[2].partition("?")[0]  # what is before and behind them may be a secret
        message = f"`{named}` is not an address such as https://huggingface.co"
        hint = "give it without user and password; HF_TOKEN logs in" if "@" in address else None
        raise ConfigError([Problem("HF_ENDPOINT", None, "", message, hint)])


def _check_settings(client: Any) -> None:
    """Have the client read what it would otherwise stumble over in the middle of a question."""
    import httpx2
    from huggingface_hub import constants

    for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        if getattr(constants, name) < 0:
            raise ConfigError([Problem(name, None, "", "is a number of seconds, and not below 0")])

    proxies = ", ".join(name for name in sorted(os.environ) if name.lower() in PROXIES and os.environ[name])
    try:
        client.get_session()
    except ImportError:
        problem = Problem(proxies, None, "", "a SOCKS proxy needs a package", "`pip install socksio`, where llorch is")
    except (ValueError, httpx2.InvalidURL):  # in whose words a password may be
        problem = Problem(proxies, None, "", "is not the address of a proxy, such as http://proxy.example:3128")
    except OSError as error:
        problem = Problem("SSL_CERT_FILE", None, "", f"has no certificates that can be read: {error.strerror or error}")
    else:
        try:
            client.get_token()
            return
        except UnicodeDecodeError:
            from huggingface_hub.constants import HF_TOKEN_PATH

            problem = Problem(HF_TOKEN_PATH, None, "", "is not UTF-8 text", "`hf auth login` writes it anew")
    raise ConfigError([problem])


def api() -> "HfApi":
    """Return the client for questions about repositories."""
    client()  # sets what is read when the next line imports it
    from huggingface_hub import HfApi

    return HfApi(library_name="llorch")


def endpoint() -> str:
    """Return the address of the Hub in use."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def ask_timeout() -> float:
    """Return how many seconds a question may take (HF_HUB_ETAG_TIMEOUT)."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_ETAG_TIMEOUT)


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return whom a token for `url` may be shown to: scheme, host and port."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


@contextmanager
def told(repo: str, revision: str | None = None, path: str | None = None) -> Iterator[None]:
    """Turn the client's errors into ours: one message with what to do about it."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise Offline(
            f"`{repo}` cannot be asked for while fetching is switched off", hint="unset HF_HUB_OFFLINE"
        ) from None
    except errors.GatedRepoError as error:
        raise _gated(repo, error) from None
    except errors.RepositoryNotFoundError as error:
        raise _no_repository(repo, error) from None
    except errors.RevisionNotFoundError:
        raise _no_revision(repo, revision or "main") from None
    except errors.EntryNotFoundError:
        raise NotFound(
            f"`{repo}` has no file `{path}` at revision `{revision}`",
            hint=f"see {endpoint()}/{repo}/tree/{revision} for what it has, and correct `files` in the catalog",
        ) from None
    except errors.HfHubHTTPError as error:
        raise _of_status(repo, error) from None
    except httpx2.TooManyRedirects:
        raise Unreachable(
            f"{endpoint()} sends from one address to the next without end", hint="check HF_ENDPOINT, or try again later"
        ) from None
    except httpx2.TransportError as error:
        raise Passing(f"{endpoint()} does not answer ({type(error).__name__})") from error
    except UnicodeEncodeError:
        raise AccessDenied("the token has letters that no token has", hint="check HF_TOKEN") from None
    except httpx2.InvalidURL as error:
        raise ConfigError([Problem("HF_ENDPOINT", None, "", f"`{endpoint()}` is not an address: {error}")]) from None
    except ValueError as error:  # an answer that is no JSON
        raise Passing(f"{endpoint()} does not answer as a Hub ({error})") from error


def trouble(status: int, headers: Mapping[str, str]) -> Passing | None:
    """Return the error for an answer that may be another one later, with the seconds that its headers ask to wait."""
    import time

    if status not in (408, 429) and status < 500:
        return None
    left = None if "retry-after" in headers else limited(headers.get("ratelimit"))
    wait = retry_after(headers.get("retry-after"), time.time()) if left is None else left
    return Passing(f"the server answers {status}", wait)


def limited(value: str | None) -> float | None:
    """Return the seconds until a RateLimit header that leaves no request gives new ones, as the Hub sends it.

    The format is that of draft-ietf-httpapi-ratelimit-headers; the second more is what is lost to rounding.

    >>> limited('"resolvers";r=0;t=55'), limited('"api";r=4;t=55')
    (56.0, None)
    """
    found = re.search(r";\s*r=0\s*;\s*t=(\d{1,9})\s*(?:[;,]|$)", value or "")
    return None if found is None else float(found[1]) + 1


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, in either of its forms (RFC 9110, 10.2.3).

    >>> retry_after("120", 0.0), retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 30.0), retry_after("soon", 0.0)
    (120.0, 30.0, None)
    """
    from email.utils import parsedate_to_datetime

    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def _gated(repo: str, error: Any) -> AccessDenied:
    page = f"{endpoint()}/{repo}"
    if client().get_token() is None:
        return AccessDenied(
            f"`{repo}` is gated, and there is no token",
            hint=f"accept its terms at {page}, then set HF_TOKEN or run `hf auth login`",
        )
    return AccessDenied(f"`{repo}` is gated, and the token's account has no access", hint=f"ask for it at {page}")


def _no_repository(repo: str, error: Any) -> LlorchError:
    if _status(error) == 401 and client().get_token() is not None:
        return _bad_token(repo)
    if client().get_token() is None:
        return NotFound(f"there is no public repository `{repo}`", hint="check the name; a private one needs HF_TOKEN")
    return NotFound(
        f"there is no repository `{repo}` that the token may see", hint="check the name and the token's rights"
    )


def _no_revision(repo: str, revision: str) -> NotFound:
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return NotFound(
            f"`{repo}` has no revision `{revision}` any more",
            hint="`llorch models outdated` shows what it has now; pin another with `llorch models pin`",
        )
    whole = "; a commit is named by all of its 40 digits" if re.fullmatch(r"[0-9a-f]{4,39}", revision) else ""
    return NotFound(
        f"`{repo}` has no revision `{revision}`",
        hint=f"{endpoint()}/{repo}/tree/main shows its branches and tags{whole}",
    )


def _bad_token(repo: str) -> AccessDenied:
    return AccessDenied(
        f"the Hub does not take the token, not even for a public repository such as `{repo}` may be",
        hint="get a new one and set HF_TOKEN, or unset it; `hf auth whoami` tests it",
    )


def _of_status(repo: str, error: Any) -> Exception:
    status = _status(error)
    if status and (passing := trouble(status, error.response.headers)):
        return passing
    if status == 401 and client().get_token() is not None:
        return _bad_token(repo)
    if status in (401, 403):
        return AccessDenied(f"the Hub refuses `{repo}` ({status})", hint="check HF_TOKEN and its rights")
    return LlorchError(f"the Hub answers {status} for `{repo}`", hint=f"see {endpoint()}/{repo}")


def _status(error: Any) -> int:
    response = getattr(error, "response", None)
    return int(response.status_code) if response is not None else 0


ASK_PAUSES = (0.5, 1.0, 2.0)
"""Seconds before a question is asked again."""
LONGEST_PAUSE = 30.0
"""Seconds that a server may ask us to wait before a question is asked again."""
Answer = TypeVar("Answer")


def ask(question: Callable[[], Answer], what: str) -> Answer:
    """Ask a server, and again a few times where a failure may pass.

    Args:
        what: how messages call what is asked for.

    Raises:
        Unreachable: it fails each time, or the server asks for too long a wait.
        LlorchError: what the question raises.
    """
    import time

    failures = 0
    while True:
        try:
            return question()
        except Passing as error:
            if error.wait is not None and error.wait > LONGEST_PAUSE:
                raise Unreachable(
                    f"{what} cannot be asked for: {error} and asks to wait {error.wait:.0f} s",
                    hint="run the same command again after that; a token (HF_TOKEN) has a higher limit",
                ) from None
            if failures == len(ASK_PAUSES):
                raise Unreachable(
                    f"{what} cannot be asked for: {error}, {failures + 1} times in a row",
                    hint="check the connection and the address, and run the same command again later",
                ) from None
            pause = ASK_PAUSES[failures] if error.wait is None else error.wait
        failures += 1
        time.sleep(pause)


def of_answer(repo: str, error: Exception) -> Exception | None:
    """Return our error for an answer that made the client stumble, or None if it stumbled over something else.

    It takes the body of an error for an object where it is JSON at all.
    """
    import httpx2

    answer = error.__context__
    return _of_status(repo, answer) if isinstance(answer, httpx2.HTTPStatusError) else None
