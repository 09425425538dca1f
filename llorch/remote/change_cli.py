"""How a host is changed by a command, or several at once: looked at, told, asked about, and only then changed."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llorch import ui
from llorch.remote.cli import choose_hosts, outcome_json, summarize
from llorch.switches import is_on
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.remote.fleet import Outcome
    from llorch.remote.hosts import Host
    from llorch.remote.there import There


class Plan(Protocol):
    """What is to be done on a host: in words, and none if it is as it should be."""

    @property
    def steps(self) -> Sequence[str]:
        """Return them."""
        ...

    @property
    def question(self) -> str | None:
        """Return what has to be agreed to first, or None."""
        ...

    def as_json(self) -> Mapping[str, Any]:
        """Return what JSON documents have of it."""
        ...


AnyPlan = TypeVar("AnyPlan", bound=Plan)


def change(
    text: str, plan: "Callable[[There], AnyPlan]", carry_out: "Callable[[AnyPlan, There], Mapping[str, Any]]"
) -> int:
    """Change the hosts that `text` means; one that fails stops none of the others.

    Args:
        plan: looks at a host.
        carry_out: changes it, and returns what JSON documents have of that besides the plan.
    """
    from llorch.remote.fleet import Fleet
    from llorch.remote.hosts import means_several
    from llorch.remote.there import There

    reach, chosen = choose_hosts(text, declared=True)
    fleet = Fleet(reach)
    there: dict[str, There] = {}
    plans: dict[str, AnyPlan] = {}
    results: dict[str, Mapping[str, Any]] = {}

    def look(host: "Host") -> int:
        there[host.name] = stack.enter_context(There(reach, host, fleet.hold, partial(_tell, host)))
        plans[host.name] = plan(there[host.name])
        results[host.name] = plans[host.name].as_json()
        return 0

    def act(host: "Host") -> int:
        results[host.name] = {**results[host.name], **carry_out(plans[host.name], there[host.name])}
        return 0

    with ExitStack() as stack:
        outcomes = {outcome.host: outcome for outcome in fleet.each(chosen, look)}
        todo = [host for host in chosen if host.name in plans and plans[host.name].steps]
        for name in plans:
            for step in plans[name].steps or ["nothing to do"]:
                _tell(there[name].host, step)
        if todo and not is_on("LLORCH_DRY_RUN"):
            questions = [question for host in todo if (question := plans[host.name].question)]
            if questions:
                ui.confirm("Go on?", shown("; ".join(questions)))
            outcomes |= {outcome.host: outcome for outcome in fleet.each(todo, act)}
    single = len(chosen) == 1 and not (ui.mode.json and means_several(text))
    return _finish([outcomes[host.name] for host in chosen], results, single=single)


def _tell(host: "Host", text: str) -> None:
    ui.tell(f"{ui.style(host.name, 'dim', sys.stderr)}: {shown(text)}")


def _finish(outcomes: "Sequence[Outcome]", results: Mapping[str, Mapping[str, Any]], *, single: bool) -> int:
    """Tell how it went; return the exit code, the first failure's. `single`: it is told of one host alone."""
    from llorch.remote.fleet import exit_code

    dry = {"dry_run": is_on("LLORCH_DRY_RUN")}
    if single and outcomes[0].error is not None:
        raise outcomes[0].error
    if ui.mode.json and single:
        ui.emit_json({"host": outcomes[0].host, **dry, **results[outcomes[0].host]})
    elif ui.mode.json:
        hosts = [outcome_json(each, {**dry, **results.get(each.host, {})}) for each in outcomes]
        ui.emit_json({"hosts": hosts})
    else:
        for restore in (result.get("restore") for result in results.values()):
            if restore:
                ui.tell("what was taken away is kept there; this brings it back:")
                ui.emit(shown(restore))
        if not single:
            summarize(outcomes)
    return exit_code(outcomes)
