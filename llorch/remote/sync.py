"""Bring a host's repository to the commit that is HEAD here, with its submodules.

A host is looked at, gets what it lacks, is told what it would lose, and only then moved. What it lacks comes as git
bundles over the connection that there is, so it needs no way to where the repository comes from.
"""

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from llorch.errors import Busy, CommandFailed, Refused
from llorch.remote import sync_scripts as scripts
from llorch.remote.facts import Facts, parse_facts
from llorch.remote.parts import Part, bundle, is_lacking, known
from llorch.remote.there import There

_LOCKED = re.compile(
    r"Unable to create '(.*\.lock)': File exists|could not lock config file .*: File exists"
    r"|cannot lock ref '.*': (?:is at |reference already exists)|HEAD has moved meanwhile, by another sync"
    r"|another sync has the lock"
)
"""What git and our scripts say, in English, where another run is at work, maybe with the lock's path."""


class Move(NamedTuple):
    """What is to become of one repository.

    Attributes:
        head: the commit that it is at; empty if there is none.
        lost: what it would lose, in words.
        there: whether it is there at all.
    """

    part: Part
    there: bool
    head: str
    lost: Sequence[str] = ()
    step: str = ""


class Plan(NamedTuple):
    """What is to be done on a host; `new`: there is no repository yet."""

    folder: str
    new: bool
    moves: Sequence[Move]
    question: str | None

    @property
    def steps(self) -> Sequence[str]:
        """What is to be done, in words."""
        return [move.step for move in self.moves if move.step]

    @property
    def lost(self) -> Sequence[str]:
        """What would be lost, in words."""
        return [lost for move in self.moves for lost in move.lost]

    def as_json(self) -> Mapping[str, Any]:
        """Return what JSON documents have of it."""
        return {
            "steps": list(self.steps),
            "commit": self.moves[0].part.target,
            "lost": list(self.lost),
            "restore": None,
        }


def plan_sync(there: There, parts: Sequence[Part]) -> Plan:
    """Look at a host, bring what it lacks, and return what is to be done.

    Raises:
        Refused: there are files but no repository, or something is in progress.
        Busy: another run is changing it.
    """
    root = there.host.repository.rstrip("/")
    facts = _look(there, "")
    if facts["files"]:
        raise Refused(
            f"`{facts['folder']}` on `{there.host.name}` has files, but is no repository",
            hint="say another `repo_path` in hosts.toml, or move them away",
        )
    if not facts["repository"]:
        moves = [Move(part, False, "", step=_step(part, "make")) for part in parts]
        return Plan(facts["folder"] or root, True, moves, None)
    moves = [_plan_move(there, part, _look(there, part.path)) for part in parts]
    lost = [lost for move in moves for lost in move.lost]
    question = f"`{there.host.name}` would lose {', '.join(lost)}" if lost else None
    return Plan(facts["folder"], False, moves, question)


def carry_out(plan: Plan, there: There, origin: str | None) -> Mapping[str, Any]:
    """Do what is planned, and return what JSON documents have of that.

    Args:
        origin: where a new repository is to say that it comes from.

    Raises:
        CommandFailed: git there could not.
        Busy: another run is changing it, or has made it meanwhile.
    """
    if not plan.new:
        return {"restore": _carry_out(plan, there, plan.folder)}
    with there.beside("git", scripts.INIT, folder=plan.folder) as facts:
        for each in facts.all("removed"):
            there.say(f"removed `{each}`, which a run that was killed had left")
        made = facts["made"]
        root = posixpath.join(made, posixpath.basename(made))
        if origin is not None:
            _run(there, scripts.ORIGIN, origin, folder=root)
        restore = _carry_out(plan, there, root)
        placed = parse_facts(there.run("mv", scripts.PLACE, made, folder=plan.folder))
    if placed["busy"]:
        raise Busy(
            f"`{plan.folder}` on `{there.host.name}` is there now: another sync has made it", hint="run it again"
        )
    return {"restore": restore}


def _run(there: There, text: str, *arguments: str, folder: str, stdin: int | None = None) -> Facts:
    """Run a script in a repository, and return what it tells.

    Raises:
        CommandFailed: git there could not.
        Busy: another run is changing the repository.
    """
    try:
        return parse_facts(there.run("git", text, *arguments, folder=folder, stdin=stdin))
    except CommandFailed as error:
        if (found := _LOCKED.search(error.tail)) is None:
            raise
        left = f"; if nothing is at work there, `rm {shlex.quote(found[1])}` there first" if found[1] else ""
        raise Busy(
            f"another run of llorch or git is changing `{folder}` on `{there.host.name}`",
            hint=f"run it again when that has ended{left}",
        ) from error


def _carry_out(plan: Plan, there: There, root: str) -> str | None:
    """Move what is to be moved in a folder, and return the command that brings back what was lost, if anything."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    restores: list[str] = []
    for move in plan.moves:
        if move.step:
            there.say(f"bringing {move.part.name} to {move.part.target[:9]}")
            if not move.there:
                _bring_new(there, move.part, root)
            restores += _move(there, move, posixpath.join(root, move.part.path), moment)
    command = " && ".join(restores)
    return f"llorch remote exec {there.host.name} -- sh -c {shlex.quote(command)}" if command else None


def _look(there: There, path: str) -> Facts:
    facts = _run(there, scripts.LOOK, folder=posixpath.join(there.host.repository, path))
    if facts["operation"]:
        doing = facts["operation"].removesuffix("_HEAD").removesuffix("_LOG").lower().replace("_", "-")
        raise Refused(
            f"a {doing} is in progress in `{facts['folder']}` on `{there.host.name}`", hint="end it there first"
        )
    return facts


def _plan_move(there: There, part: Part, facts: Facts) -> Move:
    if not facts["repository"]:
        return Move(part, False, "", step=_step(part, "make"))
    folder = posixpath.join(there.host.repository, part.path)
    _bring(there, part, facts["head"].split() + facts["refs"].split(), folder)
    found = _run(there, scripts.LOSSES, part.target, part.final, part.branch or "", folder=folder)
    prefix = f"{part.path}: " if part.path else ""
    lost = [f"{prefix}commit {line}" for line in found.all("commit")]
    lost += [f"{prefix}changes of {path}" for path in dict.fromkeys(found.all("change"))]
    lost += [f"{prefix}the file {path}" for path in found.all("file")]
    is_so = facts["head"] == part.target and facts["branch"] == (part.branch or "") and not lost
    as_it_is = found["ours"] or part.target  # what its work tree has, if nothing is lost
    if is_so and as_it_is == part.final:
        return Move(part, True, facts["head"])
    return Move(part, True, facts["head"], lost, _step(part, "move"))


def _step(part: Part, verb: str) -> str:
    where = f"{part.branch} at " if part.branch else ""
    changes = ", with the changes that are not committed" if part.final != part.target else ""
    return f"{verb} {part.name}: {where}{part.target[:9]}{changes}"


def _bring(there: There, part: Part, refs: Sequence[str], folder: str) -> None:
    """Bring the commits that a repository with these refs lacks."""
    basis = known(part, refs)
    if not is_lacking(part, basis):
        return
    there.say(f"bringing commits of {part.name}")
    with bundle(part, basis) as file:
        _run(there, scripts.FETCH, part.ref, folder=folder, stdin=file)


def _bring_new(there: There, part: Part, root: str) -> None:
    """Have a repository that is not there: fetched by git there if it can, else from here."""
    folder = posixpath.join(root, part.path)
    if part.parent is not None:
        above, path = posixpath.join(root, part.parent), posixpath.relpath(part.path, part.parent or ".")
        try:
            _run(there, scripts.UPDATE, path, folder=above)
        except CommandFailed:
            there.say(f"{part.name} cannot be fetched there, and comes from here")
            _run(there, scripts.GRAFT, path, folder=above)
    facts = _run(there, scripts.LOOK, folder=folder)
    _bring(there, part, facts["refs"].split(), folder)


def _move(there: There, move: Move, folder: str, moment: str) -> Sequence[str]:
    """Move a repository, and return the command that brings back what it loses, if anything."""
    part = move.part
    facts = _run(there, scripts.LOOK, folder=folder)
    head = facts["head"] if not move.there else move.head
    arguments = (part.target, part.final, part.branch or "", head, moment if move.lost else "")
    said = _run(there, scripts.MOVE, *arguments, folder=folder)
    if part.parent is not None and not move.there:
        above = posixpath.join(folder[: -len(part.path)], part.parent)
        _run(there, scripts.ABSORB, posixpath.relpath(part.path, part.parent or "."), folder=above)
    if not move.lost:
        return []
    git = f"git -C {shlex.quote(facts['folder'])}"
    on = f"-B {shlex.quote(facts['branch'])}" if facts["branch"] else "--detach"
    steps = [f"{git} checkout -q -f {on} {head}"] if head else []
    if said["old"] and facts["branch"] != part.branch:
        steps.append(f"{git} branch -f {shlex.quote(part.branch or '')} {said['old']}")
    if said["kept"]:
        steps.append(f"{git} stash apply -q --index {said['kept']}")
    return steps
