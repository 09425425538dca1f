"""Log in to a server with the keys that ssh would offer: the agent's, then files, those with a passphrase last.

The one that hosts.toml names comes before the agent's others, since servers give up after a few. Whose machine it is
has been settled before (`known_hosts`).
"""

import base64
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from llorch.errors import ConnectionFailed
from llorch.remote.route import TOO_MANY_KEYS, Route
from llorch.remote.transport import Deadline

if TYPE_CHECKING:
    import paramiko

Ask = Callable[[str], str | None]
"""Ask a person for a secret; None where there is nobody to ask."""

_passphrases: dict[str, str] = {}
"""By file, so that each is asked for once however many hosts take the key; kept in this process only."""
_asking = threading.Lock()
_TRIES = 3
"""As often as ssh asks for one passphrase."""


class _Offer(NamedTuple):
    """A key to offer, and how messages call it."""

    name: str
    key: "paramiko.PKey"


def log_in(transport: "paramiko.Transport", route: Route, deadline: Deadline, ask: Ask) -> None:
    """Log in with the first key that the server takes, or without any where it asks for none.

    The time that a person takes for a passphrase does not count against the deadline.

    Raises:
        ConnectionFailed: it takes none, or not in time.
    """
    from paramiko import AuthenticationException, BadAuthenticationType, SSHException

    tried: list[str] = []
    left_out: list[str] = []
    allowed: list[str] = []
    offers = _offers(route, deadline, ask, left_out)
    try:
        for offer in offers:
            transport.auth_timeout = deadline.left("logging in")
            tried.append(offer.name)
            try:
                more = transport.auth_publickey(route.user, offer.key)
            except BadAuthenticationType as error:
                allowed = error.allowed_types
                break
            except AuthenticationException:
                if not transport.is_active():
                    raise
                continue
            if not more:
                return
            allowed = more
            break
        else:
            transport.auth_timeout = deadline.left("logging in")
            transport.auth_none(route.user)
            return
    except BadAuthenticationType as error:
        allowed = error.allowed_types
    except (SSHException, EOFError) as error:
        deadline.left("logging in")
        why = f"; the server says: {error}" if transport.is_active() else "; then the server hung up"
        raise _refused(route, deadline.host, tried, left_out, [], why) from None
    finally:
        offers.close()
    raise _refused(route, deadline.host, tried, left_out, allowed, "")


def _refused(
    route: Route, host: str, tried: list[str], left_out: list[str], allowed: list[str], why: str
) -> ConnectionFailed:
    paths = ", ".join(f"`{path}`" for path in route.identity_files)
    none = f"there is no key to offer, neither of an agent nor in {paths}"
    offered = f"none of {len(tried)} keys was taken: {', '.join(tried)}" if tried else none
    missing = "".join(f"; {text}" for text in left_out)
    if "publickey" not in allowed and allowed:
        hint = (
            f'the server wants {", ".join(allowed)}, which is not done here: set `transport = "openssh"` for the host'
        )
    elif len(tried) > 5:
        hint = TOO_MANY_KEYS
    else:
        port = f"-p {route.port} " if route.port != 22 else ""
        hint = f"`ssh-copy-id {port}{route.user}@{route.hostname}` lets a key in; `ssh-add` gives one to the agent"
    return ConnectionFailed(host, f"{route.user}@{route.hostname} may not log in ({offered}{missing}{why})", hint=hint)


def _offers(route: Route, deadline: Deadline, ask: Ask, left_out: list[str]) -> Generator[_Offer, None, None]:
    """Return what ssh would offer, in its order but for files with a passphrase, which come last."""
    with _agent_keys(route, deadline) as agent:
        yield from _from(agent, route, deadline, ask, left_out)


def _from(
    agent: Mapping[bytes, _Offer], route: Route, deadline: Deadline, ask: Ask, left_out: list[str]
) -> Iterator[_Offer]:
    paths = [str(path) for path in route.identity_files]
    named = {blob for path in paths if (blob := _public_blob(path + ".pub")) is not None}
    files = [path for path in paths if os.path.exists(path) and _public_blob(path + ".pub") not in agent]
    locked: list[str] = []

    def open_ones(paths: Sequence[str]) -> Iterator[_Offer]:
        for path in paths:
            try:
                yield from _load(path, route, None, left_out)
            except _Locked:
                locked.append(path)

    yield from (offer for blob, offer in agent.items() if blob in named)
    own = str(route.own_key)
    yield from open_ones([path for path in files if path == own])
    if not route.identities_only:
        yield from (offer for blob, offer in agent.items() if blob not in named)
    yield from open_ones([path for path in files if path != own])
    for path in locked:
        yield from _unlock(path, route, deadline, ask, left_out)


class _Locked(Exception):
    """A key's file has a passphrase."""


def _load(path: str, route: Route, passphrase: str | None, left_out: list[str]) -> Iterator[_Offer]:
    """Return a file's key, preceded by its certificates."""
    from paramiko import PasswordRequiredException, PKey, SSHException
    from paramiko.pkey import UnknownKeyType

    try:
        key = PKey.from_path(path, passphrase.encode() if passphrase is not None else None)  # type: ignore[arg-type]
    except (PasswordRequiredException, TypeError):
        raise _Locked from None
    except (SSHException, UnknownKeyType, ValueError, OSError) as error:
        if passphrase is not None:
            raise _Locked from error
        left_out.append(f"`{path}` cannot be used: {_reason(error)}")
        return
    key.public_blob = None
    for certificate in (path + "-cert.pub", *map(str, route.certificate_files)):
        if os.path.exists(certificate):
            certified = copy(key)
            try:
                certified.load_certificate(certificate)
            except (ValueError, SSHException):
                continue  # another key's
            yield _Offer(f"`{certificate}`", certified)
    yield _Offer(f"`{path}`", key)


def _unlock(path: str, route: Route, deadline: Deadline, ask: Ask, left_out: list[str]) -> Iterator[_Offer]:
    for _ in range(_TRIES):
        passphrase = _passphrase(path, deadline, ask)
        if not passphrase:
            why = "nobody to ask" if passphrase is None else "none was given"
            left_out.append(f"`{path}` has a passphrase, and {why}: `ssh-add {quote(path)}` gives it to the agent")
            return
        try:
            offers = list(_load(path, route, passphrase, left_out))
        except _Locked:
            _passphrases.pop(path, None)
            continue
        yield from offers
        return
    left_out.append(f"the passphrase of `{path}` was wrong {_TRIES} times")


def _passphrase(path: str, deadline: Deadline, ask: Ask) -> str | None:
    """Return a file's passphrase; while somebody is asked, other hosts wait for the same answer."""
    begun = time.monotonic()
    with _asking:
        passphrase = _passphrases.get(path) or ask(f"Passphrase of {path}: ")
        if passphrase:
            _passphrases[path] = passphrase
    deadline.extend(time.monotonic() - begun)
    return passphrase


@contextmanager
def _agent_keys(route: Route, deadline: Deadline) -> Iterator[Mapping[bytes, _Offer]]:
    """Return the agent's keys by their public half; none where there is no agent, or one that does not answer."""
    if route.identity_agent is None:
        yield {}
        return
    from paramiko import SSHException
    from paramiko.agent import AgentSSH

    agent = AgentSSH()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(deadline.left("asking the agent"))
        with suppress(OSError, SSHException):  # as ssh does; which keys were offered is told when none of them is taken
            sock.connect(str(route.identity_agent))
            agent._connect(sock)  # type: ignore[attr-defined] # the class for one that is not the environment's
        deadline.left("asking the agent")
        yield {
            key.asbytes(): _Offer(f"`{key.comment or key.get_name()}` of the agent", key) for key in agent.get_keys()
        }


def _public_blob(path: str) -> bytes | None:
    """Return the key in a `.pub` file, or None."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return base64.b64decode(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
