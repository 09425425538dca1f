"""Logs of real runs: by both doors, several at once, killed, followed, and where they cannot be written."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, MORTAL, program, program_of, write_catalog, write_dodo
from tests.git.conftest import isolated, repository

__all__ = ["isolated"]  # a fixture

TASKS = """
from llorch.engine import Command


def task_bad():
    return {"actions": ["false"]}


waits = Command("waits", ["sh", "-c", "echo waiting; read line <gate; echo $line"], doc="Wait for a line")
says = Command("says", ["sh", "-c", "echo token $HF_TOKEN; echo --password swordfish"], doc="Say what it should not")
"""


@pytest.fixture
def root(workspace: Path) -> Path:
    """A workspace with a model, tasks that fail, wait and say secrets, and a gate that the waiting one reads."""
    write_catalog(workspace, {"model": {"a.gguf": b"model"}})
    write_dodo(workspace, TASKS)
    os.mkfifo(workspace / "gate")
    return workspace


def runs(root: Path) -> list[dict[str, Any]]:
    """Return the runs that have left a log, the last one first."""
    found: list[dict[str, Any]] = program("llorch", "log", "--list", "--json", cwd=root).json["runs"]
    return found


def events(root: Path, *, run: int = 1) -> list[dict[str, Any]]:
    """Return the events of a run."""
    found: list[dict[str, Any]] = program("llorch", "log", str(run), "--json", cwd=root).json["events"]
    return found


@contextmanager
def waiting(root: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Give a run that waits at the gate."""
    environ = {**os.environ, "LLORCH_LOG_LEVEL": "debug"}
    run = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]], cwd=root, env=environ, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    try:
        assert run.stdout.readline() == "waiting\n"
        yield run
    finally:
        run.kill()
        run.wait()
        run.stdout.close()


def open_gate(root: Path, text: str = "go") -> None:
    """Let one run that waits go on; for one that has ended, or a program that it left, nobody waits without end."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(OSError):  # nobody has opened it yet
            gate = os.open(root / "gate", os.O_WRONLY | os.O_NONBLOCK)
            os.write(gate, f"{text}\n".encode())
            os.close(gate)
            return
        time.sleep(0.01)


@pytest.mark.parametrize("door", [("doit",), ("llorch", "doit")])
def test_a_task_that_fails_is_in_the_log(root: Path, door: tuple[str, ...]) -> None:
    """Both doors leave the command, each task with its outcome, and the exit code."""
    done = program(*door, "-c", "models:model", "bad", cwd=root)
    told = events(root)
    assert done.code == 1
    assert (told[0]["event"], told[0]["command"]) == ("run", " ".join([*door, "-c", "models:model", "bad"]))
    tasks = {event["name"]: (event["level"], event["outcome"]) for event in told if event["event"] == "task"}
    assert tasks == {
        "fetch:model": ("info", "done"),
        "verify:model": ("info", "done"),
        "bad": ("error", "failed"),
    }
    assert all(event["seconds"] >= 0 for event in told if event["event"] == "task")
    assert (told[-2]["done"], told[-2]["failed"]) == (2, 1)
    assert (told[-1]["event"], told[-1]["exit"]) == ("end", 1)


def test_errors_and_exit_codes_are_those_of_the_command(root: Path) -> None:
    """What llorch ends with, and why, is what its log ends with."""
    (root / "sources/model/a.gguf").write_bytes(b"other")
    done = program("llorch", "models", "download", "model", cwd=root)
    told = events(root)
    assert (done.code, told[-1]["exit"]) == (6, 6)
    assert [event["code"] for event in told if event["level"] == "error"] == ["integrity"]
    failed = program("llorch", "git", "pull", cwd=root)
    assert (failed.code, events(root)[-1]["exit"]) == (1, 1)
    assert "not in a git repository" in events(root)[-2]["text"]
    wrong = program("llorch", "models", "download", cwd=root)
    assert (wrong.code, events(root)[-1]["exit"]) == (2, 2)
    assert (events(root)[-2]["code"], events(root)[-2]["text"]) == ("usage", "name one or more models, or give --all")


def test_secrets_that_programs_say_are_left_out(root: Path) -> None:
    """At the level that has programs' output, a token of the environment is in no log, nor is a password."""
    environ = {"LLORCH_LOG_LEVEL": "debug", "HF_TOKEN": "hf-very-secret"}
    done = program("doit", "says", cwd=root, env=environ)
    assert "hf-very-secret" in done.out
    (log,) = (root / ".llorch/log").iterdir()
    text = log.read_text()
    assert ("very-secret" in text, "swordfish" in text) == (False, False)
    assert [event["text"] for event in events(root) if event["event"] == "output"] == ["token ***", "--password ***"]


def test_programs_output_is_left_out_otherwise(root: Path) -> None:
    """Unless it is asked for, only that a program ran is told."""
    program("doit", "says", cwd=root)
    told = events(root)
    assert [event["event"] for event in told] == [
        "run",
        "task-begins",
        "program-begins",
        "program",
        "task",
        "tasks",
        "end",
    ]
    assert (told[3]["exit"], told[3]["command"].startswith("sh -c ")) == (0, True)


def test_two_runs_at_once_have_a_log_each(root: Path) -> None:
    """Each tells of its own, and both are known to be running until they end."""
    with waiting(root, "doit", "waits") as first, waiting(root, "llorch", "doit", "waits") as second:
        assert [(run["command"], run["state"]) for run in runs(root)] == [
            ("llorch doit waits", "running"),
            ("doit waits", "running"),
        ]
        open_gate(root)
        open_gate(root)
        assert (first.wait(), second.wait()) == (0, 0)
    assert [(run["state"], run["exit"]) for run in runs(root)] == [("ended", 0), ("ended", 0)]
    told = [events(root, run=number) for number in (1, 2)]
    assert told[0][0]["pid"] == second.pid
    assert told[1][0]["pid"] == first.pid
    assert {len(each) for each in told} <= {8, 9}  # one may come to the end of the gate without a line


def test_a_run_is_followed_until_it_ends(root: Path) -> None:
    """What it has written comes at once, the rest as it is written, and the follower ends with the run."""
    with waiting(root, "doit", "waits") as run:
        command = [str(BIN / "llorch"), "log", "-f"]
        follower = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
        assert follower.stdout is not None
        with follower.stdout as lines:
            seen = [next(lines)]
            while "text=waiting" not in seen[-1]:
                seen.append(next(lines))
            open_gate(root, "what was waited for")
            seen += lines
        assert (follower.wait(), run.wait()) == (0, 0)
    assert ' command="doit waits" ' in seen[0]
    assert any('text="what was waited for"' in line for line in seen)
    assert " end            exit=0 " in seen[-1]
    assert program("llorch", "log", cwd=root).out == "".join(seen)


@contextmanager
def following(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a follower that has shown the first line of the run that it follows."""
    command = [str(BIN / "llorch"), "log", "-f"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe, text=True) as follower:
        assert follower.stdout is not None
        assert ' command="doit waits" ' in follower.stdout.readline()
        yield follower


def test_following_ends_with_a_killed_run_and_with_the_key(root: Path) -> None:
    """A run that is killed is followed no longer; Ctrl-C ends the follower alone."""
    with waiting(root, "doit", "waits") as run:
        with following(root) as follower:
            follower.send_signal(signal.SIGINT)
            assert follower.communicate()[1].strip() == "interrupted"
        assert (follower.returncode, run.poll()) == (130, None)
        with following(root) as follower:
            run.kill()
            follower.communicate()
        assert follower.returncode == 0
        open_gate(root)  # for the program that the run has left


def test_a_killed_run_leaves_what_it_did(root: Path) -> None:
    """After kill -9 the log has all that was done, and says which program was running."""
    with waiting(root, "doit", "models:model", "waits") as run:
        run.kill()
        run.wait()
        open_gate(root)  # for the program that it has left
    assert runs(root)[0]["state"] == "killed"
    told = events(root)
    assert [event["name"] for event in told if event["event"] == "task"] == ["fetch:model", "verify:model"]
    assert [event["event"] for event in told[-2:]] == ["program-begins", "output"]


def test_the_oldest_logs_go(root: Path) -> None:
    """A run leaves no more than a hundred logs, its own among them."""
    folder = root / ".llorch/log"
    folder.mkdir(parents=True)
    for number in range(110):
        (folder / f"20260102T030405.{number:06}Z-1.log").write_text("old\n")
    program("doit", "bad", cwd=root)
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 100
    assert left[0] == "20260102T030405.000011Z-1.log"
    assert events(root)[0]["command"] == "doit bad"


@pytest.mark.parametrize("level", ["", "info"])
def test_a_folder_that_cannot_be_written_hinders_nothing(root: Path, level: str) -> None:
    """The command does its work, and only who has asked for a log is told, once."""
    program("doit", "models:model", cwd=root)
    (root / ".llorch/log").chmod(0o500)
    before = runs(root)
    for command in (["doit", "bad"], ["llorch", "models", "verify", "model"]):
        path = str(BIN / command[0])
        done = program_of(*MORTAL, "--", path, *command[1:], cwd=root, env={"LLORCH_LOG_LEVEL": level})
        assert done.code == (1 if command[0] == "doit" else 0)
        assert done.err.count("this run's log cannot be written") == (1 if level else 0)
    assert runs(root) == before


@pytest.mark.parametrize("command", [("doit", "bad"), ("doit", "list"), ("llorch", "models", "download", "model")])
def test_a_wrong_level_is_a_configuration_error(root: Path, command: tuple[str, ...]) -> None:
    """Both doors name the variable and what it may be, and do nothing."""
    done = program(*command, cwd=root, env={"LLORCH_LOG_LEVEL": "loud"})
    assert done.code == 3
    assert "LLORCH_LOG_LEVEL: `loud` is no level; give one of debug, info, warning, error, off" in done.err
    assert not (root / ".llorch/log").exists()


LOOKING = [
    "--version",
    "--help",
    "models --help",
    "models list",
    "models catalog",
    "models info model",
    "models disk-usage",
    "build list",
    "git status",
    "git log",
    "git branches",
    "git submodules list",
    "remote hosts list",
    "list",
    "why models:model",
    "graph",
    "log",
    "dev completion bash",
    "dev completion fish -- models info m",
    "doit list",
    "nonsense",
]


@pytest.mark.parametrize("command", LOOKING)
def test_who_only_looks_leaves_no_log(root: Path, command: str) -> None:
    """What shows something makes no folder, and asks for nothing in the log's place."""
    repository(root / "repository")
    (root / ".git").symlink_to("repository/.git")
    assert program("llorch", *command.split(), cwd=root).code in (0, 2)
    assert not (root / ".llorch/log").exists()


def test_a_folder_of_nobodys_stays_empty(workspace: Path) -> None:
    """Where no file declares a workspace, in a dry run and after a mistake there is no log unless tasks are made."""
    program("llorch", "git", "pull", cwd=workspace)
    program("llorch", "models", "download", "tiny-gpt2", "--dry-run", cwd=workspace)
    program("llorch", "models", "download", "no-such-model", cwd=workspace)
    assert [*workspace.iterdir()] == []
    program("llorch", "models", "download", "tiny-gpt2", cwd=workspace)
    assert runs(workspace)[0]["command"] == "llorch models download tiny-gpt2"
    assert runs(workspace)[0]["exit"] == 0
