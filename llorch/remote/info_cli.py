"""`llorch remote info`: what machine a host is and what is there, of several at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from llorch import ui
from llorch.cli import Command
from llorch.remote.cli import HERE, choose_hosts, outcome_json, summarize
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.remote.fleet import Outcome
    from llorch.remote.hosts import Host
    from llorch.remote.info import Gpu, Info
    from llorch.remote.reach import Reach
    from llorch.remote.streams import Sink


@click.command(cls=Command, local=HERE, example="llorch remote info workstation\nllorch remote info @cuda --json")
@click.argument("hosts", metavar="[HOST]...", nargs=-1)
def info(hosts: tuple[str, ...]) -> int:
    """Show what machine a host is, and what is there: processors, memory, disk, Rust, the repository, models, binaries.

    Nothing has to be installed on it. Several hosts are asked at once.
    """
    from llorch.remote.fleet import exit_code
    from llorch.remote.hosts import means_several

    named = ",".join(hosts)
    reach, chosen = choose_hosts(named, declared=False)
    asked = _ask(reach, chosen)
    if len(chosen) == 1 and not (ui.mode.json and means_several(named)):
        ((outcome, found),) = asked
        if outcome.error is not None:
            raise outcome.error
        if ui.mode.json:
            ui.emit_json({"host": outcome.host, **found.as_json()})
        else:
            ui.emit("\n".join(render(found)))
        return 0
    outcomes = [outcome for outcome, _ in asked]
    if ui.mode.json:
        ui.emit_json({"hosts": [outcome_json(outcome, found.as_json()) for outcome, found in asked]})
    else:
        told = [(outcome.host, found) for outcome, found in asked if outcome.error is None]
        ui.emit("\n\n".join("\n".join([ui.style(name, "bold"), *render(found)]) for name, found in told))
        summarize(outcomes)
    return exit_code(outcomes)


def _ask(reach: "Reach", hosts: "Sequence[Host]") -> "list[tuple[Outcome, Info]]":
    """Return how it went with each host and what it said, which is nothing if it went wrong."""
    from llorch.remote.facts import parse_facts
    from llorch.remote.fleet import Fleet
    from llorch.remote.info import info_request, parse_info

    taken = {host.name: bytearray() for host in hosts}

    def sinks(host: "Host") -> "tuple[Sink, Sink]":
        return taken[host.name].extend, lambda _: None

    outcomes = Fleet(reach).run(hosts, info_request, sinks)
    return [(outcome, parse_info(parse_facts(bytes(taken[outcome.host])))) for outcome in outcomes]


def render(info: "Info") -> Iterator[str]:
    """Yield the lines that tell people; what a host says is not obeyed by the terminal."""
    for key, value in _lines(info):
        yield f"{key + ':':<13}{shown(value)}"


def _lines(info: "Info") -> Iterator[tuple[str, str]]:
    yield "system", _join(info.os, info.system and f"{info.system} {info.kernel}", info.architecture)
    yield "cpu", _join(info.cpu, _count(info.cores, "core"), _count(info.threads, "thread"))
    free = info.memory_available
    yield "memory", _join(_size(info.memory), free is not None and f"{_size(free)} available")
    for gpu in info.gpus:
        yield "gpu", _gpu(gpu)
    if info.gpu_error:
        yield "gpu", f"none to see: nvidia-smi says: {info.gpu_error}"
    if info.disk:
        yield "disk", f"{_size(info.disk['free'])} of {_size(info.disk['size'])} free at {info.disk['mount']}"
    yield "repository", _repository(info.repository)
    tools = {"rustc": info.rustc, "cargo": info.cargo, "git": info.git}
    yield "tools", _join(*(f"{name} {version}" if version else f"no {name}" for name, version in tools.items()))
    yield "llorch", "{version} at {path}".format_map(info.llorch) if info.llorch else "not there"
    for kind, made in (("model", info.models), ("build", info.builds)):
        for each in made:
            name = each.get("id") or each.get("task") or each.get("path")
            yield kind, _join(name, each.get("state"), _size(each.get("size")))


def _repository(repository: Mapping[str, Any]) -> str:
    path, commit = repository["path"], repository["commit"]
    if repository["state"] != "repository":
        return f"{path} is " + ("no repository" if repository["state"] == "folder" else "not there")
    if repository["error"]:
        return f"{path}: {repository['error']}"
    branch = repository["branch"] or "detached"
    return f"{path}: {branch} at {commit[:9]}" if commit else f"{path}: {branch}, no commits yet"


def _gpu(gpu: "Gpu") -> str:
    return _join(
        gpu.name,
        _size(gpu.memory),
        gpu.free is not None and f"{_size(gpu.free)} free",
        _count(gpu.cores, "core"),
        gpu.driver and f"driver {gpu.driver}",
        gpu.compute_capability and f"compute capability {gpu.compute_capability}",
        gpu.metal,
    )


def _join(*parts: str | bool | None) -> str:
    return ", ".join(part for part in parts if part and isinstance(part, str)) or "unknown"


def _count(number: int | None, what: str) -> str | None:
    return f"{number} {what}" + ("s" if number != 1 else "") if number else None


def _size(size: Any) -> str | None:
    return ui.bytes_text(size) if isinstance(size, int) else None
