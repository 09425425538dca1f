"""`llorch remote …` and `--remote`: commands on other machines."""

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from llorch import __version__, ui
from llorch.cli import Command, Table
from llorch.table import REMOTE
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.remote.fleet import Outcome
    from llorch.remote.hosts import Host
    from llorch.remote.reach import Reach
    from llorch.remote.streams import Process, Request, Sink

HERE = "it works on other machines from this one"
"""Why no command of this room goes to another machine itself."""


@click.group(
    cls=Table,
    table=REMOTE,
    local=HERE,
    example="llorch remote exec workstation -- nvidia-smi\nllorch remote hosts list",
)
def remote() -> None:
    """Run commands on other machines, and see what is there."""


class Exec(Command):
    """A command whose options end where the other machine's command begins."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave all from the second word that is no option, or from `--`, to the other machine."""
        own: list[str] = []
        words: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--" or (words and not word.startswith("-")):
                words += [*([] if word == "--" else [word]), *rest]
            elif word.startswith("-") and word != "-":
                own.append(word)
                own += [next(rest, "")] if word in ("-C", "--directory") else []
            else:
                words.append(word)
        ui.mode.json = "--json" in own
        return super().parse_args(ctx, [*own, "--", *words])


@click.command("exec", cls=Exec, local=HERE, example="llorch remote exec mac -- cargo build --release")
@click.argument("host", metavar="HOST")
@click.argument("command", metavar="CMD...", nargs=-1, required=True)
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
def exec_(host: str, command: tuple[str, ...], tty: bool) -> int:
    """Run a program on a host, or on several (`mac,box`, `@TAG`, `all`) at once.

    It gets its arguments as they are. One word alone that has a blank in it, such as `'du -sh * | sort -h'`, is read by
    sh there. It runs in the folder that hosts.toml names as `repo_path`, else in the home folder, and its exit code is
    this command's.
    """
    from llorch.remote.command import RUN
    from llorch.remote.streams import Request
    from llorch.remote.terminal import this_terminal

    if len(command) == 1 and any(map(str.isspace, command[0])):  # as ssh does, and no program is called so
        command = ("sh", "-c", command[0])
    reach, chosen = choose_hosts(host, declared=False)
    if len(chosen) == 1 and not ui.mode.json:
        terminal = this_terminal() if tty else None
        request = Request(RUN, (chosen[0].repo_path or "", *command), stdin=_stdin(), terminal=terminal)
        return _run_one(reach, chosen[0], request)
    if tty:
        raise click.UsageError("`-t` gives one host the terminal, and goes with neither several nor `--json`")
    return _run_all(reach, chosen, lambda host: Request(RUN, (host.repo_path or "", *command)), _text_of_both)


def forward_command(hosts: str, arguments: Sequence[str]) -> int:
    """Run this command line on other machines, in their repositories."""
    from llorch.remote import forward
    from llorch.remote.hosts import means_several

    reach, chosen = choose_hosts(hosts, declared=True)
    words = forward.without_host(arguments)
    terminals = [name for name in ("stdout", "stderr") if ui.is_terminal(getattr(sys, name))]

    def request(host: "Host") -> "Request":
        return forward.forward_request(host, words, terminals, ui.columns() - prefix)

    if len(chosen) == 1 and not (ui.mode.json and means_several(hosts)):
        prefix = 0
        return _run_one(reach, chosen[0], request(chosen[0]))
    prefix = _width(chosen)
    return _run_all(reach, chosen, request, _parse_document)


def choose_hosts(text: str, *, declared: bool, none: bool = False) -> "tuple[Reach, Sequence[Host]]":
    """Return the hosts that are meant, and how to get to them.

    Args:
        text: names, `@TAG` or `all`, with commas between them; or one destination of ssh; or nothing, for the default.
        declared: take only hosts of hosts.toml.
        none: `all` may be none.

    Raises:
        UnknownName: nothing is declared under one of them.
    """
    from llorch.remote.hosts import find_host, load_hosts, means_several, select_hosts
    from llorch.remote.reach import Reach
    from llorch.session import session

    run = session()
    hosts = load_hosts(run.workspace)
    text = text or run.settings.remote.default_host
    if not text:
        raise click.UsageError("name a host, or set `[remote] default_host` in llorch.toml")
    several = declared or text in hosts or means_several(text)
    if none and not hosts and text == "all":
        chosen: Sequence[Host] = ()
    else:
        chosen = select_hosts(text, hosts) if several else (find_host(text, hosts),)
    is_asked = len(chosen) == 1 and ui.can_ask()
    return Reach(hosts, run.settings.remote.connect_timeout, ui.ask_secret, is_asked), chosen


def _stdin() -> int | None:
    """Return what a program there is to read: this command's own input, if it has any."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # it is closed
        return None


def _run_one(reach: "Reach", host: "Host", request: "Request") -> int:
    """Run on one host as if it were here: what comes goes out byte for byte, and its exit code is ours."""
    from llorch.remote.fleet import Outcome, logged
    from llorch.remote.forward import judge
    from llorch.remote.reach import run_on
    from llorch.remote.terminal import raw

    running: list[Process] = []

    @contextmanager
    def hold(process: "Process") -> Iterator[None]:
        running.append(process)
        yield

    with closing(reach.connect(host)) as connection, ExitStack() as stack:
        if request.terminal is not None and host.transport != "openssh":  # ssh sees to the terminal itself
            stack.enter_context(raw(lambda terminal: running[-1].resize(terminal) if running else None))
        begun = time.monotonic()
        ended = run_on(connection, request, _writer(1), _writer(2), hold)
    judge(host, ended)
    logged(Outcome(host.name, ended.code, time.monotonic() - begun))
    if ended.more and ended.more[0] != __version__:
        ui.tell(f"`{host.name}` has llorch {shown(ended.more[0])}, here it is {__version__}")
    return ended.code


def _writer(fd: int) -> "Sink":
    """Return what writes bytes to an open file at once, however many it takes at a time."""

    def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                select.select([], [fd], [])

    return write


def _run_all(
    reach: "Reach",
    hosts: "Sequence[Host]",
    request: "Callable[[Host], Request]",
    result: Callable[[bytes, bytes], Any],
) -> int:
    """Run on several hosts: line by line with the host's name, or as one document; the exit code is the first one's.

    Args:
        result: makes the document's part for a host of its stdout and stderr.
    """
    from llorch.remote.fleet import Fleet, Lines, exit_code

    lock = threading.Lock()
    width = _width(hosts)
    ends: list[Lines] = []
    taken: dict[tuple[str, int], bytearray] = {(host.name, fd): bytearray() for host in hosts for fd in (1, 2)}

    def sinks(host: "Host") -> "tuple[Sink, Sink]":
        return sink(host.name, 1), sink(host.name, 2)

    def sink(name: str, fd: int) -> "Sink":
        if ui.mode.json:
            return taken[name, fd].extend
        write = _writer(fd)
        prefix = ui.style(f"{name:<{width - len(_BAR)}}", "dim", sys.stdout if fd == 1 else sys.stderr) + _BAR

        def write_whole(data: bytes) -> None:
            with lock:
                write(data)

        lines = Lines(prefix, write_whole)
        ends.append(lines)
        return lines.feed

    outcomes = Fleet(reach).run(hosts, request, sinks)
    for lines in ends:
        lines.finish()
    if ui.mode.json:
        results = {host.name: result(bytes(taken[host.name, 1]), bytes(taken[host.name, 2])) for host in hosts}
        ui.emit_json({"hosts": [outcome_json(outcome, results[outcome.host]) for outcome in outcomes]})
    else:
        summarize(outcomes)
    return exit_code(outcomes)


_BAR = " | "


def _width(hosts: "Sequence[Host]") -> int:
    """Return how many characters stand before each line where there are several hosts."""
    return max(len(host.name) for host in hosts) + len(_BAR)


def outcome_json(outcome: "Outcome", result: Any) -> Mapping[str, Any]:
    """Return the part of a document that is one host's; it has no result where there is an error."""
    error = outcome.error
    return {
        "host": outcome.host,
        "exit": outcome.exit,
        "seconds": round(outcome.seconds, 3),
        "result": None if error else result,
        "error": error.as_json() if error else None,
    }


def _text_of_both(out: bytes, err: bytes) -> Any:
    return {"stdout": out.decode(errors="replace"), "stderr": err.decode(errors="replace")}


def _parse_document(out: bytes, err: bytes) -> Any:
    """Return the document that a llorch has written, or what it wrote instead."""
    import json

    try:
        return json.loads(out)
    except ValueError:
        return _text_of_both(out, err)


def summarize(outcomes: "Sequence[Outcome]") -> None:
    """Write to stderr how it ended on each host."""
    if ui.mode.quiet:
        return
    width = max(len(outcome.host) for outcome in outcomes)
    for outcome in outcomes:
        word = ui.style("ok    ", "good", sys.stderr) if outcome.exit == 0 else ui.style("failed", "bad", sys.stderr)
        detail = f"exit {outcome.exit}" if outcome.error is None else outcome.error.message
        after = f"  {detail}" if outcome.exit else ""
        ui.print_err(f"{outcome.host:<{width}}  {word}  {ui.seconds_text(outcome.seconds):>8}{after}")
        if outcome.error is not None and outcome.error.hint:
            ui.print_err(f"{'':<{width}}  hint: {outcome.error.hint}")
