"""What connections to hosts need: ssh, an agent with keys, and, when asked for, the hosts themselves."""

import shutil
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llorch.dev.finding import PATIENCE, Finding, ask, first_line, listing, own, words_of
from llorch.dev.needs import Needs
from llorch.errors import CommandFailed, HostKeyRefused, LlorchError, ToolMissing

if TYPE_CHECKING:
    from llorch.remote.hosts import Host


def needs_ssh(needs: Needs) -> str:
    """Return the hosts that are declared."""
    return listing(list(needs.hosts))


def check_ssh(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the ssh program: it reads its configuration, and is the way to some hosts."""
    by_ssh = [host.name for host in needs.hosts.values() if host.transport == "openssh"]
    try:
        version = first_line(ask(["ssh", "-V"]).partition(",")[0])
    except ToolMissing:
        text = "ssh is not installed, or not in PATH; its configuration is read without it, as far as that is certain"
        if by_ssh:
            text = f"ssh is not installed, or not in PATH, and is the way to {listing(by_ssh)}"
        fix = needs.system.install("ssh")
        yield Finding(
            id="ssh", severity="error" if by_ssh else "warn", needed_for=listing(by_ssh) or need, text=text, fix=fix
        )
        return
    yield Finding(id="ssh", found=version, needed_for=need)


def check_agent(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for an agent and its keys; keys without a passphrase need none."""
    if shutil.which("ssh-add") is None:
        return  # ssh is not installed, which is said
    try:
        keys = len(ask(["ssh-add", "-l"]).splitlines())
    except CommandFailed as error:
        has_agent = error.returncode == 1  # it answers, and has no keys
        text = "the agent has no keys" if has_agent else "there is no agent"
        text += ": a key's passphrase is asked for at each connection, and not at all where nobody can be asked"
        fix = ("ssh-add",) if has_agent else ('eval "$(ssh-agent -s)"', "ssh-add")
        found = "no keys" if has_agent else "none"
        yield Finding(id="agent", severity="warn", found=found, needed_for=need, text=text, fix=fix)
        return
    except LlorchError as error:  # as an agent of another machine does, whose connection is dead
        yield Finding(id="agent", severity="warn", found="no answer", needed_for=need, text=error.message)
        return
    yield Finding(id="agent", found=f"{keys} key" + ("s" if keys != 1 else ""), needed_for=need)


def check_host(host: "Host", needs: Needs, need: str) -> Iterator[Finding]:
    """Connect to a host, and ask nobody anything."""
    from llorch.remote.command import RUN
    from llorch.remote.forward import judge
    from llorch.remote.reach import Reach
    from llorch.remote.streams import Request

    id, begun = host_id(host), time.monotonic()
    reach = Reach(needs.hosts, min(PATIENCE, needs.settings.remote.connect_timeout), lambda question: None)
    try:
        judge(host, reach.run(host, Request(RUN, ("", "true")), _drop, _drop))
    except LlorchError as error:
        text = words_of(error)
        # The command shows the key, and asks whether it is the right one.
        asks = isinstance(error, HostKeyRefused) and error.accept is not None
        fix = (own("llorch", "remote", "hosts", "check", host.name),) if asks else ()
        yield Finding(id=id, severity="error", found="not reached", needed_for=need, text=text, fix=fix)
        return
    yield Finding(id=id, found=f"reached in {time.monotonic() - begun:.1f} s", needed_for=need)


def host_id(host: "Host") -> str:
    """Return what a host's finding is called."""
    return f"host:{host.name}"


def _drop(data: bytes) -> None:
    """Take what nobody wants to see."""
