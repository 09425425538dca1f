"""What connections to hosts need: ssh, an agent with keys, and, when asked for, the hosts themselves."""

import shutil
from collections.abc import Iterator

from llorch.dev.finding import PATIENCE, Finding, ask, listing, own
from llorch.dev.needs import Needs
from llorch.errors import CommandFailed, HostKeyRefused, ToolMissing
from llorch.text import shown


def needs_ssh(needs: Needs) -> str:
    """Return the hosts that are declared."""
    return listing(list(needs.hosts))


def check_ssh(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the ssh program: it reads its configuration, and is the way to some hosts."""
    by_ssh = [host.name for host in needs.hosts.values() if host.transport == "openssh"]
    try:
        version = ask(["ssh", "-V"]).partition(",")[0]
    except ToolMissing:
        text = "ssh is not installed, or not in PATH; its configuration is read without it, as far as that is certain"
        if by_ssh:
            text = f"ssh is not installed, or not in PATH, and is the way to {listing(by_ssh)}"
        fix = needs.system.install("ssh")
        yield Finding(
            id="ssh", severity="error" if by_ssh else "warn", needed_for=listing(by_ssh) or need, text=text, fix=fix
        )
        return
    yield Finding(id="ssh", found=shown(version), needed_for=need)


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
    yield Finding(id="agent", found=f"{keys} key" + ("s" if keys != 1 else ""), needed_for=need)


def check_hosts(needs: Needs, need: str) -> Iterator[Finding]:
    """Connect to every host, all at once, and ask nobody anything."""
    from llorch.remote.command import RUN
    from llorch.remote.fleet import Fleet
    from llorch.remote.reach import Reach
    from llorch.remote.streams import Request

    timeout = min(PATIENCE, needs.settings.remote.connect_timeout)
    fleet = Fleet(Reach(needs.hosts, timeout, lambda question: None))
    hosts = list(needs.hosts.values())
    outcomes = fleet.run(hosts, lambda _: Request(RUN, ("", "true")), lambda _: (_drop, _drop))
    for outcome in outcomes:
        id, error = f"host:{outcome.host}", outcome.error
        if error is None:
            yield Finding(id=id, found=f"reached in {outcome.seconds:.1f} s", needed_for="--remote")
        else:
            text = shown(f"{error.message}\n{error.hint or ''}".strip(), keep="\n")
            # It shows the key, and asks whether it is the right one.
            asks = isinstance(error, HostKeyRefused) and error.accept is not None
            fix = (own("llorch", "remote", "hosts", "check", outcome.host),) if asks else ()
            found = "not reached"
            yield Finding(id=id, severity="error", found=found, needed_for="--remote", text=text, fix=fix)


def _drop(data: bytes) -> None:
    """Take what nobody wants to see."""
