"""What can be told of declared hosts without connecting to them: keys that cannot be used, names that lead nowhere."""

import os
import stat
from collections.abc import Iterator

from llorch.errors import ConfigError, ConnectionFailed, LlorchError, Problem, nearest
from llorch.parallel import in_parallel
from llorch.remote.hosts import NO_JUMP, Declared, Host
from llorch.remote.route import parse_jump, resolve, ssh_config
from llorch.remote.transport import Deadline, look_up

AT_ONCE = 8
PATIENCE = 3.0
"""Seconds for a name's address to be found."""

Found = tuple[str, str | None]
"""A message and a hint."""


def check_hosts(declared: Declared) -> list[Problem]:
    """Return what is wrong with the hosts' keys and jumps, and with the variable that names ssh's configuration."""
    problems = [problem for host in declared.hosts.values() for problem in _identity(declared, host)]
    try:
        ssh_config()
    except ConfigError as error:
        return [*problems, *error.problems]
    jumps = [
        (name, hop)
        for name, host in declared.hosts.items()
        for hop in (host.jump or NO_JUMP).split(",")
        if hop.lower() != NO_JUMP
    ]
    for (name, _), found in zip(
        jumps, in_parallel(jumps, lambda jump: lookup(jump[1], declared), AT_ONCE), strict=True
    ):
        if found is not None:
            problems.append(declared.documents[name].problem(("hosts", name, "jump"), *found))
    return problems


def lookup(name: str, declared: Declared) -> Found | None:
    """Return what is wrong with a name that is to be a declared host or a destination of ssh, or None.

    Of an address, or a name with a dot, nothing can be told without connecting. One word alone is a declared host, or
    ssh's configuration has it, or the network does.
    """
    if declared.left_out is None or name in declared.hosts or name in declared.left_out:
        return None
    try:
        (host,) = parse_jump(name, {})
        if "." in host.host or ":" in host.host:
            return None
        route = resolve(host, {})
    except LlorchError as error:
        return " ".join(error.message.split()), error.hint
    if route.hostname != host.host or route.jumps or route.proxy_command or _has_address(host.host):
        return None
    near = nearest(name, [*declared.hosts])
    hint = f"did you mean `{near}`?" if near else f"`llorch remote hosts add {host.host}` declares it"
    return f"there is no host `{name}`: neither hosts.toml nor ssh's configuration has it, and it has no address", hint


def _identity(declared: Declared, host: Host) -> Iterator[Problem]:
    """Look at a host's key as ssh does before it uses one."""
    if host.identity_file is None:
        return
    path = os.path.expanduser(host.identity_file)

    def problem(message: str, hint: str, *, warn: bool = False) -> Problem:
        document = declared.documents[host.name]
        at = ("hosts", host.name, "identity_file")
        return document.problem(at, f"`{host.identity_file}` {message}", hint, "warn" if warn else "error")

    try:
        status = os.stat(path)
    except OSError as error:
        if not os.path.exists(path + ".pub"):  # the agent may have the key then
            hint = "keys of the agent, and those in ~/.ssh, are offered without being named"
            yield problem(f"cannot be used here: {error.strerror}", hint, warn=True)
        return
    if not stat.S_ISREG(status.st_mode):
        yield problem("is not a file", "name the file of a private key")
    elif status.st_mode & 0o077 and status.st_uid == os.getuid() and not path.endswith(".pub"):
        yield problem(
            f"may be read by others ({stat.filemode(status.st_mode)}), and ssh refuses it",
            f"`chmod 600 {host.identity_file}`",
        )


def _has_address(name: str) -> bool:
    """Tell whether the network knows a name, as far as it says so in time."""
    try:
        look_up(name, 22, Deadline(name, PATIENCE))
    except ConnectionFailed:
        return False
    return True
