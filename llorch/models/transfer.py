"""Bring a file's bytes over HTTP: on from where it stopped, in bounded time, whatever the line does.

It uses the Hub client's own HTTP session. The client's `http_get` is not used: it waits without end and without a word
when the server limits it, takes no chunk size, and is not public.
"""

import random
import re
from collections.abc import Callable
from typing import Any

from llorch.errors import AccessDenied, LlorchError, NotFound, Unreachable
from llorch.models import hub
from llorch.models.hub import Passing, Remote
from llorch.models.part import Part
from llorch.progress import Progress
from llorch.text import shown, without_credentials

TRIES = 6
"""Attempts in a row that may bring nothing."""
WORTH = 256 * 1024
"""Bytes beyond all that was there before that make an attempt count as one that brought something."""
BACK_OFF = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each further attempt, and up to a quarter more, so that many clients do not return at once."""
LONGEST_WAIT = 301.0
"""Seconds that a server may ask us to wait; more is said and ends the attempt. The Hub counts in windows of 300 s."""


def transfer(part: Part, find: Callable[[], Remote], progress: Progress) -> None:
    """Fill the part with the file that `find` finds.

    What is in the part already is kept if the whole then proves right; otherwise all is fetched once more. Whether it
    is right in the end is for the part to say.

    Raises:
        Unreachable: nothing more came, for too many attempts, or the server asks for too long a wait.
        LlorchError: what `find` raises.
    """
    failures = best = 0
    again = False
    while True:
        best = max(best, part.size)
        try:
            remote = find()
            part.promise(size=remote.size, sha256=remote.sha256, git_oid=remote.git_oid)
            if part.size and not part.provable:
                part.restart()
            progress.total(remote.size or 0, part.size)
            if part.size != remote.size or not remote.size:
                _stream(part, remote, progress)
        except Passing as error:
            failures = 0 if part.size - best >= WORTH else failures + 1
            if failures >= TRIES:
                kept = "what has come is kept; " if part.size and part.provable else ""
                raise Unreachable(
                    f"`{part.name}` cannot be fetched: {error}, {TRIES} times in a row",
                    hint=f"{kept}run the same command again when the server or the line is better",
                ) from None
            _wait(error, failures, progress)
            continue
        if part.difference() is None or again:
            return
        again = True
        best = 0
        part.restart()


def _wait(error: Passing, failures: int, progress: Progress) -> None:
    if error.wait is None:
        seconds = BACK_OFF[min(failures, len(BACK_OFF) - 1)]
        progress.pause(seconds + random.uniform(0, seconds / 4), str(error))  # noqa: S311  # not a secret
        return
    if error.wait > LONGEST_WAIT:
        raise Unreachable(
            f"{error} and asks to wait {error.wait:.0f} s",
            hint="run the same command again after that; a token (HF_TOKEN) has a higher limit",
        )
    progress.pause(error.wait, str(error))


def _stream(part: Part, remote: Remote, progress: Progress) -> None:
    import httpx2

    session: httpx2.Client = hub.client().get_session()
    headers = {**remote.headers, "accept-encoding": "identity"}
    if part.size:
        headers["range"] = f"bytes={part.size}-"
    timeout = httpx2.Timeout(_read_timeout(), connect=hub.ask_timeout())
    try:
        with session.stream("GET", remote.url, headers=headers, timeout=timeout) as response:
            _check_status(response, part, remote)
            _check_body(response, part)
            _check_way(response, part, remote)
            if part.size and response.status_code == 200:  # the server does not know Range
                part.restart()
                progress.total(remote.size or 0)
            if remote.size is None and (size := _told_size(response)) is not None:
                part.promise(size=size)
                progress.total(size, part.size)
            for chunk in response.iter_raw():  # as it comes: gathering larger chunks loses what a cut line had brought
                part.write(chunk)
                progress.advance(len(chunk))
    except (httpx2.InvalidURL, UnicodeError):  # the latter of a host whose name cannot be one
        raise LlorchError(
            f"`{part.name}` cannot be fetched: `{_address(remote)}` is not an address",
            hint="correct `url` in the catalog",
        ) from None
    except (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol):
        raise Unreachable(
            f"`{part.name}` cannot be fetched: its address leads to others without end, or to no http address",
            hint="try again later, or another source",
        ) from None
    except httpx2.TimeoutException as error:
        raise Passing(f"nothing came for {_read_timeout():.0f} s") from error
    except (httpx2.TransportError, httpx2.StreamError) as error:
        raise Passing("the connection was lost") from error
    if part.missing:
        raise Passing(f"the answer ended {part.missing:,} bytes early")


def _check_status(response: Any, part: Part, remote: Remote) -> None:
    """Take a whole body, or the one that goes on where the part ends; anything else raises."""
    status = response.status_code
    if status == 200:
        return
    if status == 206 and response.headers.get("content-range", "").startswith(f"bytes {part.size}-"):
        return
    if status in (206, 416):
        part.restart()
        raise Passing("the server cannot go on where it stopped")
    if remote.renewable and status in (401, 403, 404, 410):
        raise Passing(f"the file's address has expired ({status})")  # `find` gets a new one, or says what is wrong
    if status in (404, 410):
        raise NotFound(f"there is no `{_address(remote)}` ({status})", hint="correct `url` in the catalog")
    if status in (401, 403):
        raise AccessDenied(f"`{_address(remote)}` is refused ({status})", hint="it must be readable without a login")
    if passing := hub.trouble(status, response.headers):
        raise passing
    raise LlorchError(f"the server answers {status} for `{part.name}`", hint="try again later, or another source")


def _check_body(response: Any, part: Part) -> None:
    """Refuse what is not the file itself, as far as the headers tell."""
    headers = response.headers
    fits = _can_fit(response, part)
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity") and not fits:
        raise LlorchError(
            f"the server sends `{part.name}` in another form than it is ({shown(encoding)})",
            hint="it was asked for the file as it is; take another address, or another source",
        )
    is_page = headers.get("content-type", "").lower().startswith("text/html")
    if is_page and not fits and not part.name.lower().endswith((".html", ".htm")):
        raise Unreachable(
            f"a web page came instead of `{part.name}`",
            hint="a login page, of the network or of the server, may stand before it; open any page in a browser, "
            "or take another address",
        )


def _can_fit(response: Any, part: Part) -> bool:
    """Tell whether an answer may be the file whatever its headers call it: its digest decides in the end.

    Where they do not tell by the length either, what is there already is not given up for it.
    """
    goes_on = response.status_code == 206
    told = response.headers.get("content-length")
    if told is None or part.whole is None:
        return part.provable and (goes_on or not part.size)
    return part.provable and told == str(part.missing if goes_on else part.whole)


def _check_way(response: Any, part: Part, remote: Remote) -> None:
    """Refuse what nothing proves if an address of https led over one of http, where anybody can send it elsewhere."""
    plain = any(each.url.scheme != "https" for each in (*response.history, response))
    if remote.url.startswith("https:") and plain and not part.provable:
        raise LlorchError(
            f"`{part.name}` would come unencrypted: its address leads to one of http",
            hint="give its sha256 in the catalog, or another address",
        )


def _told_size(response: Any) -> int | None:
    """Return how many bytes the whole file has, by the answer; one may bring a part of it unasked."""
    if response.status_code == 206:
        found = re.fullmatch(r"bytes \d+-\d+/(\d{1,18})", response.headers.get("content-range", ""))
    else:
        found = re.fullmatch(r"(\d{1,18})", response.headers.get("content-length", ""))
    return int(found[1]) if found else None


def _address(remote: Remote) -> str:
    """Return where a file is, without what may be a secret."""
    return shown(without_credentials(remote.url.partition("?")[0]))


def _read_timeout() -> float:
    """Return the seconds of silence after which a connection counts as dead (HF_HUB_DOWNLOAD_TIMEOUT)."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
