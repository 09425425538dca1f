"""`llorch log`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, in_terminal

START = '2026-01-02T03:04:{:02}.000Z info    run            command="llorch do {}" pid=1\n'
END = "2026-01-02T03:05:07.500Z info    end            exit=3 seconds=62.500\n"
LOUD = 'T debug output text=x\nT warning warning text=x\nT error error text="a\\x1b[31m"\n'


@pytest.fixture
def logs(workspace: Path) -> Path:
    """A workspace with the logs of three runs, of which the second was killed."""
    (workspace / "llorch.toml").touch()
    folder = workspace / ".llorch/log"
    folder.mkdir(parents=True)
    for number, rest in enumerate((END, "", LOUD + END), 1):
        (folder / f"20260102T03040{number}.000000Z-1.log").write_text(START.format(number, number) + rest)
    return workspace


def test_the_last_run_is_shown(llorch: Callable[..., Run], logs: Path) -> None:
    """Its lines are shown as they are, or those of an earlier one that is named by its number."""
    assert llorch("log").out == START.format(3, 3) + LOUD + END
    assert llorch("log", "3").out == START.format(1, 1) + END
    assert llorch("log", "-f").out == llorch("log").out
    missing = llorch("log", "4")
    assert (missing.code, "there is no run `4`" in missing.err) == (3, True)


def test_runs_are_listed(llorch: Callable[..., Run], logs: Path) -> None:
    """Each has its number, when it began, how it ended, how long it took, and its command; the last one is below."""
    assert [line.split("\t") for line in llorch("log", "--list").out.splitlines()] == [
        ["3", "2026-01-02T03:04:01Z", "exit 3", "1 min 2 s", "llorch do 1"],
        ["2", "2026-01-02T03:04:02Z", "killed", "", "llorch do 2"],
        ["1", "2026-01-02T03:04:03Z", "exit 3", "1 min 2 s", "llorch do 3"],
    ]


def test_json_has_both(llorch: Callable[..., Run], logs: Path) -> None:
    """`runs` is the list, the last one first; `events` are a run's, with their values."""
    runs = llorch("log", "--list", "--json").json["runs"]
    assert [(run["command"], run["state"], run["exit"]) for run in runs] == [
        ("llorch do 3", "ended", 3),
        ("llorch do 2", "killed", None),
        ("llorch do 1", "ended", 3),
    ]
    shown = llorch("log", "--json").json
    assert shown["run"] == runs[0]
    assert (shown["run"]["file"], shown["run"]["seconds"]) == (".llorch/log/20260102T030403.000000Z-1.log", 62.5)
    assert shown["events"][0] == {
        "time": "2026-01-02T03:04:03.000Z",
        "level": "info",
        "event": "run",
        "command": "llorch do 3",
        "pid": 1,
    }


def test_without_a_log_that_is_said(llorch: Callable[..., Run], workspace: Path) -> None:
    """Where no run has left one, there is nothing to show, and nothing is made."""
    (workspace / "llorch.toml").touch()
    done = llorch("log")
    assert (done.code, done.out, done.err) == (0, "", "no run has left a log here yet\n")
    assert llorch("log", "--json").json == {"schema": 1, "run": None, "events": []}
    assert llorch("log", "--list", "--json").json == {"schema": 1, "runs": []}
    assert not (workspace / ".llorch").exists()


@pytest.mark.parametrize("options", [("-f", "--json"), ("-f", "--list"), ("-f", "2"), ("0",)])
def test_what_does_not_go_together_is_said(llorch: Callable[..., Run], logs: Path, options: tuple[str, ...]) -> None:
    """A document cannot be followed, and neither can a list."""
    assert llorch("log", *options).code == 2


def test_a_terminal_shows_levels_and_obeys_nothing(logs: Path) -> None:
    """Warnings and errors have their colours, what a program said is dim, and escapes in a log stay text."""
    log = logs / ".llorch/log/20260102T030403.000000Z-1.log"
    log.write_text(log.read_text() + "T error error text=raw\x1b[31m\n")
    run = in_terminal(str(BIN / "llorch"), "log", columns=120, cwd=logs)
    assert "\x1b[2mT debug output text=x\x1b[0m\n" in run.out
    assert "\x1b[33mT warning warning text=x\x1b[0m\n" in run.out
    assert '\x1b[31mT error error text="a\\x1b[31m"\x1b[0m\n' in run.out
    assert "\x1b[31mT error error text=raw\\x1b[31m\x1b[0m\n" in run.out
