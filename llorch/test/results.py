"""What a run of tests has shown, read from what libtest writes for people: its own JSON is not stable."""

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Outcome = Literal["passed", "failed", "ignored"]
SHOWN = 40
"""Lines of a failing test's output that are shown, of the end."""
MOST = 10
"""Failing tests whose output is shown; of more, the names are."""
KEPT = 2000
"""Lines of it that are kept."""
_RUNNING = re.compile(r"\s*(?:Running (?:unittests )?(.+?) \(.+\)|Doc-tests (.+))")
_TEST = re.compile(r"test (.+?) \.\.\. (ok|FAILED|ignored)\b.*")
_BLOCK = re.compile(r"---- (.+?) (?:stdout|stderr) ----")
_RESULT = re.compile(r"test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored;.*")
_OUTCOMES: dict[str, Outcome] = {"ok": "passed", "FAILED": "failed", "ignored": "ignored"}


class Case(NamedTuple):
    """One test, and the binary that has it."""

    binary: str
    name: str
    outcome: Outcome


class Failure(NamedTuple):
    """A failing test, and what it wrote."""

    test: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a suite has shown; `seconds` with all that it took."""

    name: str
    passed: int
    failed: int
    ignored: int
    seconds: float
    failures: tuple[Failure, ...]
    cases: tuple[Case, ...]

    def as_json(self) -> dict[str, Any]:
        """Return its part of the JSON document."""
        keys = ("name", "passed", "failed", "ignored")
        failures = [failure._asdict() for failure in self.failures]
        return {**{key: getattr(self, key) for key in keys}, "seconds": round(self.seconds, 3), "failures": failures}

    @property
    def summary(self) -> str:
        """Say the counts."""
        counts = {"passed": self.passed, "failed": self.failed, "ignored": self.ignored}
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "passed")

    @property
    def report(self) -> str:
        """Say which tests have failed, each with the end of what it wrote."""
        parts = [f"{self.failed} of {self.passed + self.failed} tests failed"]
        for failure in self.failures[:MOST]:
            lines = failure.message.strip().splitlines()
            left = [f"… {len(lines) - SHOWN} lines before"] if len(lines) > SHOWN else []
            parts.append("\n".join([f"---- {failure.test}", *left, *lines[-SHOWN:]]))
        if self.failures[MOST:]:
            parts.append("also failed: " + ", ".join(failure.test for failure in self.failures[MOST:]))
        return "\n\n".join(parts)


def never_ran(name: str, why: str) -> Result:
    """Return what stands for a suite that could not run."""
    return Result(
        name=name,
        passed=0,
        failed=1,
        ignored=0,
        seconds=0.0,
        failures=(Failure(name, why),),
        cases=(Case(name, name, "failed"),),
    )


@dataclass(slots=True)
class Reader:
    """Takes the lines of `cargo test`, one after the other."""

    passed: int = 0
    failed: int = 0
    ignored: int = 0
    cases: list[Case] = field(default_factory=list)
    messages: dict[str, deque[str]] = field(default_factory=dict)
    failing: list[str] = field(default_factory=list)
    binary: str = ""
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN))
    _open: bool = False
    _block: str = ""
    _in_list: bool = False

    def __call__(self, line: str) -> None:
        """Take a line."""
        if running := _RUNNING.fullmatch(line):
            self._end_binary()
            self.binary = running[1] or f"doc-tests {running[2]}"
            self._open = True
        elif result := _RESULT.fullmatch(line):
            passed, failed, ignored = map(int, result.groups())
            self.passed, self.failed, self.ignored = self.passed + passed, self.failed + failed, self.ignored + ignored
            self._open = self._in_list = False
            self._block = ""
            self._tail.clear()
        elif block := _BLOCK.fullmatch(line):
            self._block, self._in_list = block[1], False
        elif line == "failures:":
            self._block, self._in_list = "", True
        elif self._block:
            self.messages.setdefault(self._block, deque(maxlen=KEPT)).append(line)
        elif self._in_list and line.startswith("    "):
            self.failing.append(line.strip())
        elif test := _TEST.fullmatch(line):
            self.cases.append(Case(self.binary, test[1].removesuffix(" - should panic"), _OUTCOMES[test[2]]))
        else:
            self._tail.append(line)

    def _end_binary(self) -> None:
        """Count a binary that has ended without a result, as after an abort, as a failing test."""
        if self._open:
            name = f"{self.binary} (ended before its tests did)"
            self.failed += 1
            self.failing.append(name)
            self.cases.append(Case(self.binary, name, "failed"))
            self.messages[name] = deque(self._tail)
        self._open = False
        self._tail.clear()

    def finish(self, name: str, seconds: float) -> Result:
        """Return what all of it comes to."""
        self._end_binary()
        return Result(
            name=name,
            passed=self.passed,
            failed=self.failed,
            ignored=self.ignored,
            seconds=seconds,
            failures=tuple(Failure(test, "\n".join(self.messages.get(test, ())).strip()) for test in self.failing),
            cases=tuple(self.cases),
        )
