"""The Hub: whether it answers, whether it takes the token, and whether this machine's clock agrees with its.

All three are told by one answer. The token itself is told nowhere.
"""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llorch.dev.finding import PATIENCE, Finding, Severity, listing, own
from llorch.dev.needs import Needs
from llorch.errors import ConfigError, Offline

if TYPE_CHECKING:
    import httpx2

MOST_SKEW = 60
"""Seconds that the clocks may differ: certificates and signed addresses have a time in them."""


def needs_hub(needs: Needs) -> str:
    """Return the models that are to come from the Hub and are not here."""
    return listing(_wanted(needs, gated=False))


def _wanted(needs: Needs, *, gated: bool) -> list[str]:
    """Return the tasks of the models that are to come from the Hub, only of gated ones if that is asked for."""
    models = [(id, model) for id, model in needs.models.items() if model.entry.gated or not gated]
    return [f"models:{id}" for id, model in models if _is_wanted(needs, model)]


def _is_wanted(needs: Needs, model: Any) -> bool:
    """Tell whether a file of a model has to be fetched from the Hub: it is not elsewhere on this machine either."""
    if model.entry.source != "hf":
        return False
    from llorch.models.adopt import is_near
    from llorch.models.fetch import expected_files

    promises = expected_files(model, needs.workspace)
    return any(not is_near(model, file, promises[file.path], needs.workspace) for file in needs.absent(model))


def check_hub(needs: Needs, need: str) -> Iterator[Finding]:
    """Ask the Hub who we are."""
    from llorch.models import hub

    severity: Severity = "error" if need else "warn"
    try:
        client = hub.client()
    except Offline:
        text = "fetching is switched off, by LLORCH_OFFLINE or HF_HUB_OFFLINE" if need else ""
        off: Severity = "warn" if need else "ok"
        fix = ("unset LLORCH_OFFLINE HF_HUB_OFFLINE",) if need else ()
        yield Finding(id="hub", severity=off, found="switched off", needed_for=need, text=text, fix=fix)
        return
    except ConfigError as error:
        variable = error.problems[0].file
        fix = (f"unset {variable}",) if variable in os.environ else ()
        text = error.message
        yield Finding(id="hub", severity=severity, found=variable, needed_for=need, text=text, fix=fix)
        return
    found = f"huggingface_hub {client.__version__}, {hub.endpoint()}"
    token = client.get_token()
    try:
        answer = _ask(client, hub.endpoint(), token)
    except NoAnswer as error:
        text = f"{hub.endpoint()} {error}"
        fix = (f"unset {error.variable}",) if os.environ.get(error.variable) else ()
        yield Finding(id="hub", severity=severity, found=found, needed_for=need, text=text, fix=fix)
        yield from _check_token(needs, token, None)
        return
    doubt = _doubt(answer)
    if doubt:
        text = f"{hub.endpoint()} answers {answer.status_code}: {doubt}"
        yield Finding(id="hub", severity="warn", found=found, needed_for=need, text=text)
    else:
        yield Finding(id="hub", found=found, needed_for=need)
    yield from _check_token(needs, token, None if doubt else answer)
    yield from _check_clock(needs, need, answer)


class NoAnswer(Exception):
    """Says why the Hub has not answered, and which variable may be at fault."""

    def __init__(self, message: str, variable: str = "HF_ENDPOINT") -> None:
        by_proxy = variable.lower().endswith("_proxy")
        super().__init__(f"{message}, by the proxy of {variable}" if by_proxy else message)
        self.variable = variable


def _ask(client: Any, endpoint: str, token: str | None) -> "httpx2.Response":
    """Return what the Hub says to the token, or to none.

    Raises:
        NoAnswer: it says nothing, or what answers is no Hub.
    """
    import httpx2

    headers = {"authorization": f"Bearer {token}"} if token else {}
    session: httpx2.Client = client.get_session()
    try:
        answer = session.get(f"{endpoint}/api/whoami-v2", headers=headers, timeout=PATIENCE, follow_redirects=False)
    except httpx2.TimeoutException:
        raise NoAnswer(f"does not answer within {PATIENCE:g} s", _way(endpoint)) from None
    except httpx2.ConnectError as error:
        raise NoAnswer(f"cannot be reached: {error}", _way(endpoint)) from None
    except (httpx2.LocalProtocolError, UnicodeEncodeError):  # the error's own words have the token in them
        raise NoAnswer("cannot be asked: the token has letters that no token has", "HF_TOKEN") from None
    except (httpx2.RequestError, httpx2.InvalidURL) as error:
        raise NoAnswer(f"does not answer ({type(error).__name__})", _way(endpoint)) from None
    if answer.status_code == 407:
        raise NoAnswer("cannot be asked: the proxy wants a login", _way(endpoint))
    if answer.status_code >= 500:
        raise NoAnswer(f"answers {answer.status_code}: it has trouble of its own")
    if answer.is_redirect or (answer.is_success and "json" not in answer.headers.get("content-type", "")):
        raise NoAnswer("does not answer like a Hub: a login page of the network may stand before it")
    return answer


def _way(endpoint: str) -> str:
    """Return the variable that says by which way an address is asked: a proxy's, else HF_ENDPOINT."""
    from urllib.parse import urlsplit
    from urllib.request import proxy_bypass

    parts = urlsplit(endpoint)
    if not proxy_bypass(parts.netloc):
        for name in (f"{parts.scheme}_proxy", "all_proxy"):
            for variable in (name, name.upper()):
                if os.environ.get(variable):
                    return variable
    return "HF_ENDPOINT"


def _doubt(answer: "httpx2.Response") -> str:
    """Return why an answer may be none of a Hub that can be worked with; a mirror may have no users."""
    if answer.status_code == 429:
        return "too much was asked from here, and what is asked next may be refused too"
    if not answer.is_success and "html" in answer.headers.get("content-type", ""):
        return "that is a web page, and not how a Hub says it; a proxy or another server may stand before it"
    return ""


def _check_token(needs: Needs, token: str | None, answer: "httpx2.Response | None") -> Iterator[Finding]:
    """Tell of the token what can be told: without an answer, only that there is none where one is needed."""
    need = listing(_wanted(needs, gated=True))
    if token is None:
        if need:
            text = "there is no token, and gated models need one"
            fix = (own("hf", "auth", "login"),)
            yield Finding(id="token", severity="error", found="none", needed_for=need, text=text, fix=fix)
        return
    where = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "stored by `hf auth login`"
    if answer is None:
        return
    if answer.status_code == 401:
        text = f"the Hub does not take the token ({where}), and refuses whatever is asked with it"
        fix = (*(("unset HF_TOKEN",) if os.environ.get("HF_TOKEN") else ()), own("hf", "auth", "login"))
        severity: Severity = "error" if need else "warn"
        yield Finding(id="token", severity=severity, found="refused", needed_for=need, text=text, fix=fix)
    elif answer.is_success:
        yield Finding(id="token", found=f"of {_name(answer)}, {where}", needed_for=need)
    else:
        text = f"the Hub does not say whose the token is: it answers {answer.status_code}"
        yield Finding(id="token", severity="warn", found=where, needed_for=need, text=text)


def _name(answer: "httpx2.Response") -> str:
    try:
        who = answer.json()
    except ValueError:
        return "somebody"
    return str(who.get("name")) if isinstance(who, dict) else "somebody"


def _check_clock(needs: Needs, need: str, answer: "httpx2.Response") -> Iterator[Finding]:
    from email.utils import parsedate_to_datetime

    try:
        skew = time.time() - parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return  # it says no time
    if abs(skew) <= MOST_SKEW:
        yield Finding(id="clock", found=f"within {MOST_SKEW} s of the Hub's", needed_for=need)
        return
    way = "ahead of" if skew > 0 else "behind"
    fix = f"{needs.system.sudo}timedatectl set-ntp true"
    if needs.system.platform == "darwin":
        fix = f"{needs.system.sudo}sntp -sS time.apple.com"
    yield Finding(
        id="clock",
        severity="warn",
        found=f"{abs(skew):.0f} s {way} the Hub's",
        needed_for=need,
        text="certificates and signed addresses have a time in them, and may be refused",
        fix=(fix,),
    )
