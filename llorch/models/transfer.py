"""Bring a file's bytes over HTTP: on from where it stopped, in bounded time, whatever the line does.

It uses the Hub client's own HTTP session. The client's `http_get` is not used: it waits without end and without a word
when the server limits it, takes no chunk size, and is not public.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llorch.errors import AccessDenied, LlorchError, NotFound, Unreachable
from llorch.models import hub
from llorch.models.hub import Passing, Remote
from llorch.models.part import Part
from llorch.progress import Progress

if TYPE_CHECKING:
    pass

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
                raise Unreachable(
                    f"`{part.name}` cannot be fetched: {error}, {TRIES} times in a row",
                    hint="what has come is kept; run the same command again when the server or the line is better",
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
            _check_status(response, part, remote, progress)
            if remote.size is None and (length := response.headers.get("content-length", "")).isdigit():
                part.promise(size=part.size + int(length))
                progress.total(part.size + int(length), part.size)
            for chunk in response.iter_raw():  # as it comes: gathering larger chunks loses what a cut line had brought
                part.write(chunk)
                progress.advance(len(chunk))
    except httpx2.TimeoutException as error:
        raise Passing(f"nothing came for {_read_timeout():.0f} s") from error
    except (httpx2.TransportError, httpx2.StreamError) as error:
        raise Passing("the connection was lost") from error
    if part.missing:
        raise Passing(f"the answer ended {part.missing:,} bytes early")


def _check_status(response: Any, part: Part, remote: Remote, progress: Progress) -> None:
    """Take a whole body, or the one that goes on where the part ends; anything else raises."""
    status = response.status_code
    if status == 200:
        if part.size:  # the server does not know Range
            _restart(part, remote, progress)
        return
    if status == 206 and response.headers.get("content-range", "").startswith(f"bytes {part.size}-"):
        return
    if status in (206, 416):
        part.restart()
        raise Passing("the server cannot go on where it stopped")
    if remote.renewable and status in (401, 403, 404, 410):
        raise Passing(f"the file's address has expired ({status})")  # `find` gets a new one, or says what is wrong
    if status in (404, 410):
        raise NotFound(f"there is no `{remote.url}` ({status})", hint="correct `url` in the catalog")
    if status in (401, 403):
        raise AccessDenied(f"`{remote.url}` is refused ({status})", hint="it must be readable without a login")
    if status in (408, 429) or status >= 500:
        raise hub.trouble(status, response.headers)
    raise LlorchError(f"the server answers {status} for `{part.name}`", hint="try again later, or another source")


def _restart(part: Part, remote: Remote, progress: Progress) -> None:
    part.restart()
    progress.total(remote.size or 0)


def _read_timeout() -> float:
    """Return the seconds of silence after which a connection counts as dead (HF_HUB_DOWNLOAD_TIMEOUT)."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
