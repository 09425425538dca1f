"""`llorch dev doctor`: what this machine lacks for the workspace, and the commands that mend it."""

import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from llorch import shell, ui
from llorch.cli import Command, dry_run_option, yes_option
from llorch.dev.finding import listing
from llorch.errors import LlorchError
from llorch.text import shown

if TYPE_CHECKING:
    from llorch.dev.finding import Finding, Severity

WORDS: "dict[Severity, tuple[str, ui.Style]]" = {
    "ok": ("ok", "good"),
    "warn": ("warn", "note"),
    "error": ("fail", "bad"),
}
INDENT = 6
"""Columns before what is said of a finding, below it."""
NAMED = 10
"""Findings that are named in the last line."""


@click.command(cls=Command, example="llorch dev doctor\nllorch dev doctor --fix\nllorch dev doctor --hosts --json")
@click.option("--hosts", is_flag=True, help="Also connect to the hosts of hosts.toml.")
@click.option("--fix", is_flag=True, help="Run the fixes that only add what is missing, after showing them.")
@yes_option
@dry_run_option
def doctor(hosts: bool, fix: bool) -> int:
    """Say what this machine lacks for the workspace, with the command that mends it.

    Only what the workspace needs can fail. The exit code is 0 when nothing is worse than a warning, else 1.
    """
    from llorch.config import find_workspace
    from llorch.dev.doctor import examine, safe_fixes
    from llorch.switches import is_on

    findings = examine(find_workspace(), hosts=hosts)
    commands = list(safe_fixes(findings)) if fix else []
    if is_on("LLORCH_DRY_RUN"):
        return _tell_plan(findings, commands)
    if not commands:
        if fix:
            ui.tell("there is nothing that --fix does by itself")
        return show_findings(findings)
    if not ui.mode.json:
        show_findings(findings)
    ui.tell("\n".join(["", "--fix runs:", *(f"  {shown(command)}" for command in commands)]))
    ui.confirm("Run them?", "this runs the commands that are listed above")
    fixed = [_run(command) for command in commands]
    return show_findings(examine(find_workspace(), hosts=hosts), dry_run=False, fixed=fixed)


def _tell_plan(findings: "Sequence[Finding]", commands: Sequence[str]) -> int:
    code = show_findings(findings, dry_run=True, fixed=[{"command": command, "error": None} for command in commands])
    if not ui.mode.json:
        for command in commands:
            ui.emit(f"would run {shown(command)}")
    return code


def show_findings(findings: "Sequence[Finding]", **more: Any) -> int:
    """Write findings, as a document with `more` in it if that is asked for, and return the exit code."""
    from llorch.dev.doctor import is_well

    if ui.mode.json:
        ui.emit_json({"ok": is_well(findings), "findings": list(map(asdict, findings)), **more})
    else:
        ui.emit(render(findings))
    return 0 if is_well(findings) else 1


def render(findings: "Sequence[Finding]") -> str:
    """Return findings for people: a line each, what is wrong below it, each fix on a line of its own to be pasted."""
    width = max(len(finding.id) for finding in findings)
    told = [each for each in findings if each.severity != "ok" or not ui.mode.quiet]
    last = (ui.style(line, "bold") for line in textwrap.wrap(_summary(findings), _room(), break_on_hyphens=False))
    return "\n".join([*(line for finding in told for line in _lines(finding, width)), *last])


def _room() -> int:
    """Return how long lines may be."""
    return ui.columns() if ui.is_terminal(sys.stdout) else 1000


def _lines(finding: "Finding", width: int) -> list[str]:
    """Return a finding's lines; what paths, files and programs bring into them, no terminal obeys."""
    word, style = WORDS[finding.severity]
    room = _room()
    first = f"{ui.style(f'{word:<4}', style)}  {shown(finding.id):<{width}}  "
    before = INDENT + width + 2
    need = f", for {finding.needed_for}" if finding.needed_for else ""
    said = shown(f"{finding.found or 'not found'}{need}")
    head, *rest = textwrap.wrap(said, max(20, room - before), break_on_hyphens=False, break_long_words=False)
    lines = [(first + head).rstrip(), *(" " * before + line for line in rest)]
    for text in ui.harmless(finding.text).splitlines():
        wrapped = textwrap.wrap(text, room - INDENT, break_on_hyphens=False, break_long_words=False)
        lines += [" " * INDENT + line for line in wrapped]
    if finding.severity != "ok":
        lines += [" " * (INDENT + 2) + ui.style(shown(command), "bold") for command in finding.fix]
    return lines


def _summary(findings: "Sequence[Finding]") -> str:
    by = {severity: [each.id for each in findings if each.severity == severity] for severity in WORDS}
    parts = [
        _counted(by["error"], "failure") or "no failures",
        _counted(by["warn"], "warning"),
        f"{len(by['ok'])} ok",
    ]
    return ", ".join(filter(None, parts))


def _counted(ids: list[str], noun: str) -> str:
    """Return how many there are and which, the first ones of many, nothing if there are none."""
    plural = "" if len(ids) == 1 else "s"
    return f"{len(ids)} {noun}{plural} ({listing([*dict.fromkeys(ids)], NAMED)})" if ids else ""


def _run(command: str) -> dict[str, Any]:
    """Run a fix, whose words are shown as it says them; another one may still do its work when this one fails."""
    ui.tell(f"running {shown(command)}")
    words = shlex.split(command)
    if os.path.basename(words[0]) == "llorch":  # this one, whichever is in PATH
        words = [sys.executable, "-m", "llorch", *words[1:]]
    try:
        shell.run(words, on_line=lambda line: ui.tell(f"  {ui.harmless(line)}"))
    except LlorchError as error:
        if not ui.mode.json:
            ui.warn(ui.harmless(error.message))
        return {"command": command, "error": error.as_json()}
    return {"command": command, "error": None}
