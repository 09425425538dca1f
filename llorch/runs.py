"""Read the logs that runs have left, and follow the one that a run is writing. What is written is `log`'s business."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress

from llorch.log import FOLDER, is_being_written, list_logs
from llorch.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, Literal

    from llorch.workspace import Workspace

POLL = 0.1
"""Seconds between two looks at a log that grows."""
_END = 16_384
"""Bytes at a log's end among which its last line is."""
_LINE = re.compile(r"(?P<time>\S+) +(?P<level>\w+) +(?P<event>[\w-]+) *(?P<values>.*)")
_VALUE = re.compile(r'([\w-]+)=("(?:[^"\\]|\\.)*"|[^ ]*)')
_WRITTEN = {"n": "\n", "t": "\t"}
"""What is written out in a value and stands for itself in JSON; what a terminal would obey stays written out."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Event(Record):
    """A line of a log: `level` and `name` as in docs/log.md."""

    time: str
    level: str
    name: str
    values: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the event's part of the JSON document."""
        return {"time": self.time, "level": self.level, "event": self.name, **self.values}


class Run(Record):
    """What a log says of its run.

    Attributes:
        file: the log, relative to the workspace.
        exit, seconds: None for one that has not ended, or was killed.
    """

    file: str
    began: str
    command: str
    state: Literal["running", "ended", "killed"]
    exit: int | None
    seconds: float | None


def load_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that have left a log, in the order in which they began.

    Raises:
        OSError: a log cannot be read.
    """
    folder = os.path.join(workspace.place, *FOLDER)
    try:
        names = list_logs(folder)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        with suppress(FileNotFoundError):  # another run may remove the oldest ones meanwhile
            found.append(_load_run(workspace, os.path.join(*FOLDER, name)))
    return found


def _load_run(workspace: Workspace, file: str) -> Run:
    path = os.path.join(workspace.place, file)
    runs = is_being_written(path)
    with open(path, "rb") as log:
        first = parse_event(_text(log.readline()).rstrip("\n"))
        log.seek(max(0, os.path.getsize(path) - _END))
        last = parse_event(_text(log.read()).rstrip("\n").rpartition("\n")[2])
    began, command = (first.time, str(first.values.get("command", ""))) if first is not None else ("", "")
    if last is not None and last.name == "end":
        return Run(file, began, command, "ended", last.values.get("exit"), last.values.get("seconds"))
    return Run(file, began, command, "running" if runs else "killed", None, None)


def follow(workspace: Workspace, run: Run) -> Iterator[str]:
    """Yield the lines of a log, and those that come, until its run ends."""
    rest = b""
    path = os.path.join(workspace.place, run.file)
    with open(path, "rb") as log:
        while True:
            runs = is_being_written(path)
            rest += log.read()
            *lines, rest = rest.split(b"\n")
            yield from map(_text, lines)
            if not runs:
                return
            if not lines:
                time.sleep(POLL)


def read(workspace: Workspace, run: Run) -> list[str]:
    """Return the whole lines of a log."""
    with open(os.path.join(workspace.place, run.file), "rb") as log:
        return [_text(line) for line in log.read().split(b"\n")[:-1]]


def parse_event(line: str) -> Event | None:
    r"""Return the event that a line tells, or None where it tells none.

    >>> parse_event('2026-01-02T03:04:05.678Z info    program  exit=0 command="a \\"b\\"" cwd=/w').values
    {'exit': 0, 'command': 'a "b"', 'cwd': '/w'}
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    values = {name: _value(text) for name, text in _VALUE.findall(match["values"])}
    return Event(match["time"], match["level"], match["event"], values)


def _value(text: str) -> str | int | float:
    if text.startswith('"'):
        return re.sub(r'\\([nt"\\])', lambda match: _WRITTEN.get(match[1], match[1]), text[1:-1])
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
