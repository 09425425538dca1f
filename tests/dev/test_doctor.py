"""How the checks run: all at once, none too long, and what each may leave to the others."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llorch.config import find_workspace
from llorch.dev import doctor
from llorch.dev.doctor import CHECKS, Check, Finding, examine, is_well, safe_fixes
from llorch.dev.finding import ask
from llorch.dev.needs import Needs
from llorch.errors import ToolMissing
from tests.dev.conftest import Programs


def told(id: str, **more: object) -> Finding:
    """Return a finding."""
    return Finding(id=id, **more)  # type: ignore[arg-type]


def check(id: str, look: object, need: str = "it", *, always: bool = False) -> Check:
    """Return a check that is needed for something."""
    return Check(id, lambda needs: need, look, always=always)  # type: ignore[arg-type]


def results(root: Path, *checks: Check, monkeypatch: pytest.MonkeyPatch, limit: float = 30.0) -> list[Finding]:
    """Return what these checks find, without what is said of the configuration."""
    monkeypatch.setattr(doctor, "CHECKS", checks)
    return examine(find_workspace(root), limit=limit)[1:]


def test_all_run_at_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for all others here, and they are told in their order."""
    together = threading.Barrier(3, timeout=30)

    def look(needs: Needs, need: str) -> Iterator[Finding]:
        together.wait()
        yield told(need)

    checks = [check(id, look, id) for id in ("c", "a", "b")]
    assert [finding.id for finding in results(workspace, *checks, monkeypatch=monkeypatch)] == ["c", "a", "b"]


def test_what_nothing_needs_is_not_looked_at(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what is always told."""
    checks = [check("a", lambda *_: [told("a")], ""), check("b", lambda *_: [told("b")], "", always=True)]
    assert [finding.id for finding in results(workspace, *checks, monkeypatch=monkeypatch)] == ["b"]


def test_a_check_that_hangs(workspace: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, with what it has found, and what it runs is ended; it fails only if it is needed."""
    programs.link("sleep")
    ended = threading.Event()

    def look(needs: Needs, need: str) -> Iterator[Finding]:
        yield told("first")
        try:
            ask(["sleep", "600"])
        finally:
            ended.set()

    checks = [check("a", look), check("b", lambda *_: threading.Event().wait(), "", always=True)]
    checks.append(check("c", lambda *_: [told("c")]))
    found = results(workspace, *checks, monkeypatch=monkeypatch, limit=0.5)
    assert [(finding.id, finding.severity) for finding in found] == [
        ("first", "ok"), ("a", "error"), ("b", "warn"), ("c", "ok"),
    ]  # fmt: skip
    assert found[1].text == "was not done after 0.5 s, and was given up"
    assert ended.wait(30)


def test_errors_of_ours_are_findings(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the hint; those of the disk too, and as bad as what needs the check."""

    def missing(needs: Needs, need: str) -> Iterator[Finding]:
        yield told("first")
        raise ToolMissing("it is missing", hint="install it")

    def closed(needs: Needs, need: str) -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", "/x")

    found = results(workspace, check("a", missing), check("b", closed, "", always=True), monkeypatch=monkeypatch)
    assert [(finding.id, finding.severity) for finding in found] == [("first", "ok"), ("a", "error"), ("b", "warn")]
    assert found[1].text == "it is missing\ninstall it"
    assert "`/x` cannot be used" in found[2].text


@pytest.mark.parametrize("error", [ValueError("a bug"), ChildProcessError(10, "No child processes")])
def test_mistakes_of_ours_are_raised(workspace: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Nothing is made up for them."""

    def look(needs: Needs, need: str) -> Iterator[Finding]:
        raise error

    with pytest.raises(type(error)):
        results(workspace, check("a", look), monkeypatch=monkeypatch)


def test_failures_and_fixes() -> None:
    """Warnings are no failures; fixes are taken once, of what is wrong and safe."""
    findings = [
        told("a", severity="warn", fix=("one", "two"), safe=True),
        told("b", severity="warn", fix=("two", "three"), safe=True),
        told("c", severity="warn", fix=("four",)),
        told("d", fix=("five",), safe=True),
    ]
    assert is_well(findings)
    assert not is_well([*findings, told("e", severity="error")])
    assert list(safe_fixes(findings)) == ["one", "two", "three"]


def test_each_check_has_a_name_of_its_own() -> None:
    """So that one that was given up can be told."""
    names = [each.id for each in CHECKS]
    assert len(set(names)) == len(names)
