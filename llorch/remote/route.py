"""How ssh itself would get to a host: its own configuration, with hosts.toml before it.

The ssh program is asked if there is one, since nothing else reads its configuration as it does. Connecting is for
others.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from llorch import shell
from llorch.errors import ConfigError, ConnectionFailed, LlorchError, Problem, TimedOut
from llorch.remote.command import quote
from llorch.remote.hosts import NO_JUMP, Host, check_destination
from llorch.remote.known_hosts import SSH_PORT
from llorch.remote.ssh_config import Settings, read_ssh_config
from llorch.remote.tokens import IN_COMMANDS, expand, expand_home, expand_path, tokens_of
from llorch.remote.transport import Deadline

CONFIG = "LLORCH_SSH_CONFIG"
"""The variable that names a configuration of ssh to be read instead of the user's and the system's, as `ssh -F`."""

IDENTITIES = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk")
"""Keys in ~/.ssh that are tried where none is named, in ssh's order."""

HostKeyPolicy = Literal["yes", "no", "ask", "accept-new"]

_STRICT: Mapping[str, HostKeyPolicy] = {"true": "yes", "yes": "yes", "false": "no", "no": "no", "off": "no",
                                        "ask": "ask", "accept-new": "accept-new"}  # fmt: skip
TOO_MANY_KEYS = (
    "servers give up after six keys: name the right one as `identity_file` in hosts.toml, and with"
    ' `transport = "openssh"` say `IdentitiesOnly yes` in ssh\'s configuration too'
)
"""The hint for those whose agent has more."""
MAX_WAY = 16
"""Hosts that each need the next one, by their own configuration."""

_SOURCE = "ssh's configuration"
_MARK = "llorch:first"
"""An identity file that is given to ssh, so that it adds no default ones to those that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How to get to a host. Nothing is ever forwarded, whatever the configuration says.

    Paths are expanded, and files need not be there; `own_key` is the one of `identity_files` that hosts.toml names.
    `hostname` is what to connect to, `host_key_alias` what known_hosts calls it if not that. Times are in seconds; 0
    means that no message keeps the connection alive. At most one of `proxy_command`, a line for the shell, and `jumps`
    is there. `jumps` begins with the first hop, and only that may have a `proxy_command`; no hop has jumps of its own.
    """

    hostname: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    certificate_files: tuple[Path, ...]
    identities_only: bool
    identity_agent: Path | None
    user_known_hosts: tuple[Path, ...]
    global_known_hosts: tuple[Path, ...]
    host_key_alias: str | None
    strict_host_key_checking: HostKeyPolicy
    proxy_command: str | None
    jumps: "tuple[Route, ...]"
    connect_timeout: int | None
    server_alive_interval: int
    hashed: bool
    revoked_host_keys: Path | None = None
    own_key: Path | None = None

    @property
    def entry(self) -> tuple[str, int]:
        """The name and the port that known_hosts has it under: an alias stands there without a port."""
        return (self.host_key_alias, SSH_PORT) if self.host_key_alias else (self.hostname, self.port)


def resolve(host: Host, hosts: Mapping[str, Host], deadline: Deadline) -> Route:
    """Return how to get to a host, all hops included.

    Args:
        hosts: those that the host's `jump` may name.

    Raises:
        ConfigError: ssh's configuration leads back to where it began, or needs ssh to be understood, and there is none.
        CommandFailed: ssh does not accept its configuration.
        ConnectionFailed: ssh does not come to an end of it in time.
        LlorchError: the configuration asks for what only ssh itself can do.
    """
    return _resolve(host, None, hosts, (), deadline)


def settings_of(host: Host, deadline: Deadline) -> Settings:
    """Return what ssh makes of its configuration and of what hosts.toml says of a host, as `ssh -G` prints it.

    Raises:
        ConfigError, CommandFailed, ConnectionFailed: as `resolve`.
    """
    login, _, name = host.host.rpartition("@")
    user = host.user or login
    file = ssh_config()
    if shutil.which("ssh") is None:
        given: dict[str, tuple[str, ...]] = {"identityfile": (_MARK,)}
        given.update({"user": (user,)} if user else {})
        given.update({"port": (str(host.port),)} if host.port else {})
        return read_ssh_config(name, file, given)
    command = ["ssh", "-G", "-o", f"IdentityFile={_MARK}"]
    command += ["-F", str(file)] if file else []
    command += ["-l", user] if user else []
    command += ["-p", str(host.port)] if host.port else []
    hint = f"`ssh -G {name}` says what is wrong with its configuration"
    try:
        raw = shell.output([*command, "--", name], timeout=deadline.left("reading ssh's configuration"), hint=hint)
    except TimedOut:
        reason = f"reading ssh's configuration took too long: {deadline.seconds:g} s are over"
        hint = f"see how far `ssh -vG {name}` gets: a `Match exec` in it, or CanonicalizeHostname, waits for something"
        raise ConnectionFailed(deadline.host, reason, hint=hint) from None
    return parse_settings(os.fsdecode(raw))


def target(host: Host, settings: Settings) -> Route:
    """Return what a host is, without how to get there."""
    return _route(host, host.host.rpartition("@")[2], settings, None)


def ssh_config() -> Path | None:
    """Return the configuration to be given to ssh as `-F`, None for its own.

    Raises:
        ConfigError: LLORCH_SSH_CONFIG names no file.
    """
    named = os.environ.get(CONFIG)
    if not named:
        return None
    path = Path(os.path.abspath(os.path.expanduser(named)))
    if not path.exists():
        raise ConfigError([Problem(CONFIG, None, "", f"there is no file `{path}`")])
    return path


def options_for(host: Host, hosts: Mapping[str, Host]) -> tuple[str, ...]:
    """Return the options of ssh(1) that stand for what hosts.toml says of a host, all but its address.

    A hop is reached by a ProxyCommand, since ProxyJump would leave out its key.

    Raises:
        ConfigError: LLORCH_SSH_CONFIG names no file, or a jump is none.
    """
    file = ssh_config()
    options = ["-F", str(file)] if file else []
    options += ["-l", host.user] if host.user else []
    options += ["-p", str(host.port)] if host.port else []
    options += ["-i", os.path.expanduser(host.identity_file)] if host.identity_file else []
    if host.jump is not None:
        hop = hop_to(host, hosts)
        if hop is None:
            return (*options, "-o", "ProxyCommand=none", "-o", "ProxyJump=none")
        inner = ["ssh", *options_for(hop, hosts), "-o", "ForwardAgent=no", "-o", "StrictHostKeyChecking=yes"]
        words = [quote(word.replace("%", "%%")) for word in inner]
        options += ["-o", "ProxyCommand=" + " ".join([*words, "-W", "'[%h]:%p'", "--", quote(hop.host)])]
    return tuple(options)


def hop_to(host: Host, hosts: Mapping[str, Host]) -> Host | None:
    """Return the last hop that hosts.toml has to a host, which has those before it as its own, or None.

    Raises:
        ConfigError: a jump is none.
    """
    *before, last = parse_jump(host.jump or NO_JUMP, hosts) or (None,)
    return replace(last, jump=",".join(hop.name for hop in before)) if last and before else last


def parse_jump(text: str, hosts: Mapping[str, Host]) -> tuple[Host, ...]:
    """Return the hops of a jump, the first one first; a hop that is no declared host is a destination of ssh.

    Raises:
        ConfigError: it is no list of `user@host:port`.

    >>> [(hop.host, hop.user, hop.port) for hop in parse_jump("me@a:2222,[::1],b", {})]
    [('a', 'me', 2222), ('::1', None, None), ('b', None, None)]
    """
    return () if text.lower() == NO_JUMP else tuple(hosts.get(hop) or _destination(hop) for hop in text.split(","))


def _resolve(
    host: Host, before: tuple[Host, ...] | None, hosts: Mapping[str, Host], way: tuple[Host, ...], deadline: Deadline
) -> Route:
    """Return how to get to a host.

    Args:
        before: the hops to it; those of its own configuration if None.
        way: the hosts whose own configuration has led here.
    """
    _, _, name = host.host.rpartition("@")
    settings = settings_of(host, deadline)
    jumps, command = before, None
    if jumps is None:
        if host in way or len(way) == MAX_WAY:  # `ProxyJump x%h` has another name each time
            loop = " → ".join(f"`{host.name}`" for host in (*way, host)[:5])
            hint = "say `ProxyJump none` for the host that is to be reached directly"
            raise ConfigError([Problem(_SOURCE, None, "ProxyJump", f"never ends: {loop}")], hint=hint)
        way = (*way, host)
        jumps, command = _own_way(host, name, settings, hosts)
    route = _route(host, name, settings, command)
    if not jumps:
        return route
    last = _resolve(jumps[-1], jumps[:-1] or None, hosts, way, deadline)
    return replace(route, jumps=(*last.jumps, replace(last, jumps=())))


def _own_way(
    host: Host, name: str, settings: Settings, hosts: Mapping[str, Host]
) -> tuple[tuple[Host, ...], str | None]:
    """Return the jumps of a host, or the command that connects to it."""
    if host.jump is not None:
        return parse_jump(host.jump, hosts), None
    (text,) = settings.get("proxyjump") or settings.get("proxycommand") or (NO_JUMP,)
    if text.lower() == NO_JUMP:
        return (), None
    tokens = {key: value for key, value in _tokens(name, settings).items() if key in IN_COMMANDS + "%"}
    text = expand(text, tokens)
    if settings.get("proxyjump"):
        return parse_jump(text, {}), None
    if settings.get("proxyusefdpass") == ("yes",):
        hint = f'set `transport = "openssh"` for `{host.name}` in hosts.toml'
        raise LlorchError(f"only ssh itself can reach `{host.name}`: it has ProxyUseFdpass", hint=hint)
    return (), text


def parse_settings(text: str) -> Settings:
    r"""Parse what `ssh -G` prints.

    Raises:
        ConfigError: it prints several files in a way that does not tell where one ends.

    >>> parse_settings("port 22\nidentityfile ~/a b\nidentityfile ~/c\n")
    {'port': ('22',), 'identityfile': ('~/a b', '~/c')}
    """
    settings: dict[str, tuple[str, ...]] = {}
    for line in text.removesuffix("\n").split("\n"):
        key, _, value = line.partition(" ")
        values = _split_files(key, value) if key.endswith("knownhostsfile") else (value,)
        settings[key] = (*settings.get(key, ()), *values)
    return settings


def _split_files(key: str, value: str) -> tuple[str, ...]:
    """Split where the next path begins: ssh prints names with spaces as they are, and spaces between them."""
    files = tuple(re.split(r" (?=[/~])", value))
    if any(" " in file and not file.startswith(("/", "~")) for file in files):
        message = f"`{value}` has spaces, and does not tell where one file ends"
        raise ConfigError([Problem(_SOURCE, None, key, message)], hint="give absolute paths")
    return files


def _tokens(name: str, settings: Settings) -> Mapping[str, str]:
    (hostname,), (port,), (user,) = settings["hostname"], settings["port"], settings["user"]
    (alias,) = settings.get("hostkeyalias", (None,))
    return tokens_of(name, hostname=hostname, port=int(port), user=user, alias=alias)


def _route(host: Host, name: str, settings: Settings, command: str | None) -> Route:
    def one(key: str, default: str) -> str:
        return settings.get(key, (default,))[0]

    def paths(values: tuple[str, ...]) -> tuple[Path, ...]:
        """Return what ssh prints as it is written."""
        found = [expand_path(value, tokens) for value in values if value.lower() != "none"]
        return tuple(map(Path, dict.fromkeys(found)))

    def files(key: str) -> tuple[Path, ...]:
        """Return what ssh prints expanded, by old versions but for the home folder."""
        return tuple(Path(expand_home(value)) for value in settings.get(key, ()) if value.lower() != "none")

    tokens = _tokens(name, settings)
    own = (Path(os.path.expanduser(host.identity_file)),) if host.identity_file else ()
    named = tuple(file for file in settings["identityfile"] if file != _MARK)
    if not own and not named:
        named = tuple(f"~/.ssh/{key}" for key in IDENTITIES)
    timeout = one("connecttimeout", "none").replace("none", "0")
    return Route(
        hostname=one("hostname", ""),
        port=int(one("port", "")),
        user=one("user", ""),
        identity_files=tuple(dict.fromkeys((*own, *paths(named)))),
        certificate_files=paths(settings.get("certificatefile", ())),
        identities_only=one("identitiesonly", "no") == "yes",
        identity_agent=_agent(one("identityagent", "SSH_AUTH_SOCK")),
        user_known_hosts=files("userknownhostsfile"),
        global_known_hosts=files("globalknownhostsfile"),
        host_key_alias=settings.get("hostkeyalias", (None,))[0],
        strict_host_key_checking=_STRICT[one("stricthostkeychecking", "ask")],
        proxy_command=command,
        jumps=(),
        connect_timeout=int(timeout) or None,
        server_alive_interval=int(one("serveraliveinterval", "0")),
        hashed=one("hashknownhosts", "no") == "yes",
        revoked_host_keys=next(iter(files("revokedhostkeys")), None),
        own_key=next(iter(own), None),
    )


def _agent(value: str) -> Path | None:
    """Return the agent's socket."""
    if value == "SSH_AUTH_SOCK" or value.startswith("$"):
        value = os.environ.get(value.removeprefix("$"), "")
    return Path(expand_home(value)) if value and value.lower() != "none" else None


def _destination(text: str) -> Host:
    login, _, rest = text.rpartition("@")
    match = re.fullmatch(r"\[([^]]*)\](?::(\d+))?|([^:]*)(?::(\d+))?|(.*)", rest)
    assert match is not None, "the last alternative is anything"
    host = match[1] or match[3] or match[5] or ""
    port = match[2] or match[4]
    wrong = check_destination(host) or (check_destination(login) if login else None)
    if wrong is not None or (port and not 0 < int(port) < 65536):
        message = wrong or f"`{port}` is not a port"
        raise ConfigError([Problem(_SOURCE, None, "ProxyJump", message)], hint=f"see `{text}`")
    return Host(name=text, host=host, user=login or None, port=int(port) if port else None)
