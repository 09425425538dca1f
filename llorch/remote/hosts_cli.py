"""`llorch remote hosts …`: which machines are declared, and whether they can be reached."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import click

from llorch import ui
from llorch.cli import Command, Table, yes_option
from llorch.errors import ConnectionFailed, HostKeyRefused
from llorch.remote.cli import HERE, choose_hosts
from llorch.remote.command import RUN
from llorch.remote.fleet import Fleet, Outcome, exit_code
from llorch.remote.hosts import Host
from llorch.remote.reach import Reach
from llorch.remote.streams import Request
from llorch.session import session
from llorch.table import HOSTS


@click.group(
    cls=Table,
    table=HOSTS,
    local=HERE,
    example="llorch remote hosts list --check\nllorch remote hosts add mac --user me",
)
def hosts() -> None:
    """Declare the machines that commands can run on, in hosts.toml."""


@click.command(
    "list", cls=Command, looks=True, local=HERE, example="llorch remote hosts list\nllorch remote hosts list --check"
)
@click.option("--check", is_flag=True, help="Connect to each, and say whether that works.")
def list_hosts(check: bool) -> int:
    """List the hosts of hosts.toml, the workspace's and your own."""
    reach, chosen = choose_hosts("all", declared=True, none=True)
    outcomes = {outcome.host: outcome for outcome in _try(reach, chosen)} if check else {}
    if ui.mode.json:
        ui.emit_json({"hosts": [_document(host, outcomes.get(host.name)) for host in chosen]})
        return 0
    if not chosen:
        ui.tell("no hosts are declared: `llorch remote hosts add NAME` declares one")
        return 0
    rows = [
        [
            host.name,
            f"{host.user}@{host.host}" if host.user else host.host,
            "" if host.port is None else str(host.port),
            " ".join("@" + tag for tag in (*host.tags, *host.backends)),
            *([_word(outcomes[host.name])] if check else []),
        ]
        for host in chosen
    ]
    ui.table(["host", "address", "port>", "tags", *(["reached"] if check else [])], rows)
    return 0


def _from_here(ctx: click.Context, param: click.Parameter, file: str | None) -> str | None:
    """Return a path that means the same in whichever file; it was written for the current folder."""
    return file if file is None or file.startswith("~") else os.path.abspath(file)


@click.command(cls=Command, local=HERE, example="llorch remote hosts add mac --host mac.local --user me --tag gpu")
@click.argument("name")
@click.option("--host", help="Its address, as ssh would take it; else NAME.")
@click.option("--user", help="Who logs in.")
@click.option("--port", type=int, help="Its sshd's port.")
@click.option("--identity-file", metavar="FILE", callback=_from_here, help="The key to log in with.")
@click.option("--repo-path", metavar="DIR", help="Where the repository is there.")
@click.option("--jump", metavar="HOST", help="The host to go through, or several with commas.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A word to choose it by, as @TAG; repeatable.")
@click.option("--backend", "backends", metavar="NAME", multiple=True, help="What it can build for; repeatable.")
@click.option("--transport", type=click.Choice(["paramiko", "openssh"]), default="paramiko", help="How it is reached.")
@click.option("--user-file", is_flag=True, help="Write your own hosts.toml, not the workspace's.")
@click.option("--accept", is_flag=True, help="Take its key without asking, if none is known yet.")
@yes_option
def add(
    name: str,
    host: str | None,
    user: str | None,
    port: int | None,
    identity_file: str | None,
    repo_path: str | None,
    jump: str | None,
    tags: tuple[str, ...],
    backends: tuple[str, ...],
    transport: Literal["paramiko", "openssh"],
    user_file: bool,
    accept: bool,
) -> int:
    """Declare a host, once a connection to it stands. The key of an unknown one is shown, and is yours to accept."""
    from llorch.remote.hosts_edit import add_host

    run = session()
    new = Host(
        name=name,
        host=host or name,
        user=user,
        port=port,
        identity_file=identity_file,
        repo_path=repo_path,
        jump=jump,
        tags=tags,
        backends=backends,
        transport=transport,
    )
    add_host(run.workspace, new, user_file=user_file, write=False)
    reach, _ = choose_hosts("all", declared=True, none=True)
    reach = reach._replace(hosts={**reach.hosts, name: new})
    (outcome,) = _accepted(reach, [new], _try(reach, [new]), accept)
    if isinstance(outcome.error, HostKeyRefused) and outcome.error.accept is not None:  # `check` knows no such host yet
        outcome.error.hint = "compare the fingerprint with what who runs it says, then repeat it with `--accept`"
    if outcome.error is not None:
        raise outcome.error
    file = add_host(run.workspace, new, user_file=user_file)
    if ui.mode.json:
        ui.emit_json({"file": file, "hosts": [_document(new, outcome)]})
    else:
        ui.emit(f"{name}: connected, and written into {file}")
    return 0


@click.command(cls=Command, local=HERE, example="llorch remote hosts remove mac")
@click.argument("name")
@click.option("--user-file", is_flag=True, help="Take it out of your own hosts.toml, not the workspace's.")
def remove(name: str, user_file: bool) -> int:
    """Take a host out of hosts.toml. What is on it stays as it is."""
    from llorch.remote.hosts_edit import remove_host

    file = remove_host(session().workspace, name, user_file=user_file)
    if ui.mode.json:
        ui.emit_json({"file": file, "removed": name})
    else:
        ui.emit(f"{name}: no longer in {file}")
    return 0


@click.command(cls=Command, local=HERE, example="llorch remote hosts check\nllorch remote hosts check mac --accept")
@click.argument("names", metavar="[HOST]...", nargs=-1)
@click.option("--accept", is_flag=True, help="Take the keys of hosts of which none is known yet.")
def check(names: tuple[str, ...], accept: bool) -> int:
    """Connect to hosts, all unless some are named, and say what stands in the way.

    The key of a host that is not known yet is shown, and accepted if you say so. One that has changed never is.
    """
    reach, chosen = choose_hosts(",".join(names) or "all", declared=not names, none=True)
    outcomes = _accepted(reach, chosen, _try(reach, chosen), accept)
    if ui.mode.json:
        by_name = {host.name: host for host in chosen}
        ui.emit_json(
            {
                "ok": not any(outcome.exit for outcome in outcomes),
                "hosts": [_document(by_name[outcome.host], outcome) for outcome in outcomes],
            }
        )
    else:
        for outcome in outcomes:
            _show(outcome)
    return exit_code(outcomes)


def _try(reach: Reach, chosen: Sequence[Host]) -> list[Outcome]:
    """Run nothing on each host, all at once."""
    return Fleet(reach).run(chosen, lambda _: Request(RUN, ("", "true")), lambda _: (_drop, _drop))


def _drop(data: bytes) -> None:
    """Take what nobody wants to see."""


def _accepted(reach: Reach, chosen: Sequence[Host], outcomes: Sequence[Outcome], accept: bool) -> list[Outcome]:
    """Try again those hosts, and hops to them, whose unknown keys are accepted."""
    hosts = {host.name: host for host in chosen}
    found = []
    for outcome in outcomes:
        seen: set[str] = set()
        while isinstance(outcome.error, HostKeyRefused) and outcome.error.accept is not None:
            if outcome.error.message in seen or not (accept or _accepts(outcome.error)):
                break  # what was written is not what ssh's configuration has read, as with /dev/null
            seen.add(outcome.error.message)
            outcome.error.accept()
            ui.tell(f"{outcome.host}: accepted {outcome.error.presented}")
            (outcome,) = _try(reach, [hosts[outcome.host]])
        found.append(outcome)
    return found


def _accepts(error: HostKeyRefused) -> bool:
    """Ask whether a key is right, where somebody can be asked."""
    return ui.agrees(f"{error.message}\nIs this the right key?")


def _word(outcome: Outcome) -> str:
    """Return the last column, which the host's name is a part of anyway."""
    if outcome.error is None:
        return "yes"
    why = outcome.error.reason if isinstance(outcome.error, ConnectionFailed) else outcome.error.message
    return f"no: {why.splitlines()[0]}"


def _show(outcome: Outcome) -> None:
    if outcome.error is None:
        ui.emit(f"{ui.style('ok    ', 'good')}  {outcome.host}  {ui.seconds_text(outcome.seconds)}")
        return
    ui.emit(f"{ui.style('failed', 'bad')}  {outcome.error.message}")
    if outcome.error.hint:
        ui.emit(f"        hint: {outcome.error.hint}")


def _document(host: Host, outcome: Outcome | None) -> Mapping[str, Any]:
    error = outcome.error if outcome is not None else None
    return {
        "name": host.name,
        "host": host.host,
        "user": host.user,
        "port": host.port,
        "tags": list(host.tags),
        "backends": list(host.backends),
        "reachable": None if outcome is None else error is None,
        "error": error.as_json() if error is not None else None,
    }
