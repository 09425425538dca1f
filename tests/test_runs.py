"""What the logs of runs say."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from llorch.runs import Run, follow, load_runs, parse_event, read
from llorch.workspace import Workspace

NAME = ".llorch/log/20260102T030405.{:06}Z-1.log"
RUN = '2026-01-02T03:04:05.000Z info    run            command="llorch do" pid=1\n'
END = "2026-01-02T03:04:07.500Z info    end            exit=3 seconds=2.500\n"


@pytest.fixture
def place(workspace: Path) -> Workspace:
    """A workspace with a folder for logs."""
    (workspace / ".llorch/log").mkdir(parents=True)
    return Workspace(workspace, declared=True)


def write(place: Workspace, number: int, text: str) -> str:
    """Write a log, and return its name."""
    name = NAME.format(number)
    (place.root / name).write_text(text)
    return name


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("T info e a=b c=1 d=-2.5", {"a": "b", "c": 1, "d": -2.5}),
        ('T info e a="1" b="x \\"y\\" \\\\ z" c=""', {"a": "1", "b": 'x "y" \\ z', "c": ""}),
        ('T info e a="x\\ny\\tz\\x1b" b=/w', {"a": "x\ny\tz\\x1b", "b": "/w"}),
        ("T info e", {}),
    ],
)
def test_values_are_read_back(line: str, values: dict[str, object]) -> None:
    """Numbers are numbers, quotes are gone, and what a terminal would obey stays written out."""
    event = parse_event(line)
    assert event is not None
    assert event._asdict() == {"time": "T", "level": "info", "name": "e", "values": values}
    assert event.as_json() == {"time": "T", "level": "info", "event": "e", **values}


@pytest.mark.parametrize("line", ["", "nonsense", "two words"])
def test_what_is_no_event_is_none(line: str) -> None:
    """A line that a full disk has cut is not an error."""
    assert parse_event(line) is None


def test_runs_come_in_their_order(place: Workspace) -> None:
    """Each has its command, and its end if there was one; what is no log is left alone."""
    ended, killed = write(place, 1, RUN + END), write(place, 2, RUN)
    empty = write(place, 3, "")
    (place.root / ".llorch/log/notes.txt").touch()
    began = "2026-01-02T03:04:05.000Z"
    assert load_runs(place) == [
        Run(ended, began, "llorch do", "ended", 3, 2.5),
        Run(killed, began, "llorch do", "killed", None, None),
        Run(empty, "", "", "killed", None, None),
    ]


def test_a_long_log_ends_at_its_end(place: Workspace) -> None:
    """The last line is found without reading what is before it."""
    write(place, 1, RUN + "T debug output text=x\n" * 10_000 + END)
    assert load_runs(place)[0].exit == 3


def test_without_a_log_there_is_no_run(workspace: Path) -> None:
    """A workspace without `.llorch/` has none."""
    assert load_runs(Workspace(workspace, declared=True)) == []


def test_one_that_is_removed_meanwhile_is_left_out(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run may remove the oldest while they are listed."""
    name = write(place, 1, RUN)
    monkeypatch.setattr(os, "listdir", lambda folder: [NAME.format(0).rsplit("/", 1)[1], name.rsplit("/", 1)[1]])
    assert [run.file for run in load_runs(place)] == [name]


def test_whole_lines_are_read(place: Workspace) -> None:
    """Half a line, which is being written, is left out."""
    write(place, 1, RUN + "2026")
    (run,) = load_runs(place)
    assert read(place, run) == [RUN.rstrip("\n")]


def test_a_run_is_followed_to_its_end(place: Workspace) -> None:
    """Lines come as they are written, each once and whole, until whoever writes them lets go."""
    name = write(place, 1, RUN)
    seen: list[str] = []
    with open(place.root / name, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (run,) = load_runs(place)
        assert run.state == "running"
        lines = follow(place, run)
        seen.append(next(lines))
        file.write("half a ")
        file.flush()
        reader = Thread(target=lambda: seen.extend(lines))
        reader.start()
        file.write("line\n" + END)
    reader.join()
    assert seen == [*RUN.splitlines(), "half a line", *END.splitlines()]


def test_one_that_has_ended_is_read_once(place: Workspace, llorch: Callable[..., object]) -> None:
    """Nobody waits for a run that has ended."""
    write(place, 1, RUN + END)
    (run,) = load_runs(place)
    assert [*follow(place, run)] == [*RUN.splitlines(), *END.splitlines()]
