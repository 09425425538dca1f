"""Programs that run, fail, say a lot, are missing, and are ended."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from llorch import shell
from llorch.errors import CommandFailed, TimedOut, ToolMissing
from llorch.signals import terminated

PYTHON = sys.executable


def test_arguments_reach_the_program_unchanged(workspace: Path) -> None:
    """Spaces, quotes, `%` and `$` mean nothing: there is no shell."""
    lines: list[str] = []
    arguments = ["a b", "'", '"', "%d", "$HOME", "*", "", "ü"]
    shell.run([PYTHON, "-c", "import sys; print(sys.argv[1:])", *arguments], on_line=lines.append)
    assert lines == [repr(arguments)]


def test_both_streams_are_given_line_by_line(workspace: Path) -> None:
    """What a program writes, wherever, comes in order, in its folder and with the variables set for it."""
    script = 'echo "$WORD"; echo "$WORD" >&2; pwd; cat; printf "\\377 no newline"'
    lines: list[str] = []
    (workspace / "sub").mkdir()
    shell.run(["sh", "-c", script], cwd=workspace / "sub", env={"WORD": "here"}, on_line=lines.append)
    assert lines == ["here", "here", str(workspace / "sub"), "� no newline"]


@pytest.mark.parametrize(
    ("script", "returncode", "message"),
    [
        ("exit 3", 3, "`sh` exited with 3"),
        ("echo why; exit 1", 1, "`sh` exited with 1:\nwhy"),
        ("kill -9 $$", -9, "`sh` was ended by signal 9"),
        ("seq 100; exit 1", 1, "`sh` exited with 1:\n" + "\n".join(map(str, range(61, 101)))),
    ],
)
def test_a_failure_has_the_end_of_what_was_said(script: str, returncode: int, message: str) -> None:
    """A program's failure says how it ended and repeats its last lines."""
    with pytest.raises(CommandFailed) as caught:
        shell.run(["sh", "-c", script], hint="look there")
    assert (caught.value.returncode, caught.value.message, caught.value.hint) == (returncode, message, "look there")


@pytest.mark.parametrize("path", [None, "/nowhere"])
def test_a_missing_program_is_named(path: str | None) -> None:
    """A program that is not there, or not in the PATH it would have, is an error of its own."""
    name = "sh" if path else "no-such-program"
    with pytest.raises(ToolMissing, match=f"`{name}` is not installed"):
        shell.run([name], env={"PATH": path} if path else None, hint="install it")


def test_an_error_while_listening_ends_the_program(workspace: Path) -> None:
    """If the one who takes the lines fails, the program and its children do not go on."""
    os.mkfifo("alive")
    reader = os.open("alive", os.O_RDONLY | os.O_NONBLOCK)

    def fail(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError, match="begun"):
        shell.run(["sh", "-c", "exec 3>alive; (sleep 1000) & echo begun; wait"], on_line=fail)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # the end of the file: nobody has it open
    os.close(reader)


@pytest.mark.parametrize("end", ["sleep 1000", "exit 0", "exit 1"])
def test_a_program_has_only_so_much_time(workspace: Path, end: str) -> None:
    """After its time a program is ended with its children, also with those that outlive it and keep its output open."""
    os.mkfifo("alive")
    with open(os.open("alive", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        lines: list[str] = []
        command = ["sh", "-c", f"exec 3>alive; sleep 1000 & echo begun; {end}"]
        with pytest.raises(TimedOut) as caught:
            shell.run(command, on_line=lines.append, timeout=0.5, hint="give it more")
        with pytest.raises(TimedOut) as again:
            shell.output(command, timeout=0.5, hint="give it more")
        os.set_blocking(reader.fileno(), True)
        assert reader.read() == b""
    for error in (caught.value, again.value):
        assert (error.message, error.hint) == ("`sh` was not done after 0.5 s, and was ended", "give it more")
    assert lines == ["begun"]


def test_a_program_in_time_ends_as_ever(workspace: Path) -> None:
    """A limit that is not reached changes nothing, in success and in failure."""
    shell.run(["true"], timeout=1000)
    assert shell.output(["echo", "hi"], timeout=1000) == b"hi\n"
    with pytest.raises(CommandFailed, match="exited with 3"):
        shell.run(["sh", "-c", "exit 3"], timeout=1000)


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_all_that_runs_is_ended(workspace: Path, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    """`end_all` ends programs and their children, also those that do not want to."""
    os.mkfifo("alive")
    failures: list[CommandFailed] = []
    begun = threading.Event()
    monkeypatch.setattr(shell._end, "__defaults__", (0.05 if trap else 10.0,))

    def run() -> None:
        script = f"{trap}exec 3>alive; sh -c '{trap}echo begun; while :; do sleep 1000; done'"
        with pytest.raises(CommandFailed) as caught:
            shell.run(["sh", "-c", script], on_line=lambda _: begun.set())
        failures.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    with open("alive", "rb") as reader:
        begun.wait()
        shell.end_all()
        thread.join()
        assert reader.read() == b""
    assert [failure.returncode for failure in failures] == [-9 if trap else -15]
    shell.end_all()  # nothing is left to end


def test_who_stops_has_threads_begin_nothing(workspace: Path) -> None:
    """After `stop` only the main thread can start a program, to leave things in order; a thread ends without a word."""
    shell.stop()
    ends: list[str] = []

    def run() -> None:
        try:
            shell.output(["touch", "begun"])
        except SystemExit:
            ends.append("ended")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert (ends, Path("begun").exists()) == (["ended"], False)
    assert shell.output(["echo", "hi"]) == b"hi\n"


def test_variables_can_be_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program need not have all variables of this process."""
    monkeypatch.setenv("SECRET", "x")
    lines: list[str] = []
    shell.run(["sh", "-c", 'echo "${SECRET-none}"'], env={"SECRET": None}, on_line=lines.append)
    assert lines == ["none"]


def test_a_rewritten_line_is_given_each_time() -> None:
    """A bar that a program draws with carriage returns comes as a line for each of its states."""
    lines: list[str] = []
    shell.run(["printf", "a\\rb\\rc\\n"], on_line=lines.append)
    assert lines == ["a", "b", "c"]


def test_an_open_file_can_be_inherited(workspace: Path) -> None:
    """A program has the files that it is to have, and no others."""
    with open("a", "w") as inherited, open("b", "w") as kept:
        script = f"import os; os.write({inherited.fileno()}, b'here'); os.fstat({kept.fileno()})"
        with pytest.raises(CommandFailed, match="Bad file descriptor"):
            shell.run([PYTHON, "-c", script], inherit=(inherited.fileno(),))
    assert Path("a").read_text() == "here"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_it_starts_ends_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Told to end before it knows of the program that it is starting, this process ends that too."""
    os.mkfifo("alive")
    start = subprocess.Popen

    def interrupted(*args: Any, **more: Any) -> Any:
        process = start(*args, **more)
        signal.raise_signal(number)
        return process

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with open(os.open("alive", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with terminated(), pytest.raises((KeyboardInterrupt, SystemExit)):
            shell.run(["sh", "-c", "exec 3>alive; sleep 1000"])
        os.set_blocking(reader.fileno(), True)
        assert reader.read() == b""


def test_output_is_bytes_of_stdout_alone(workspace: Path) -> None:
    """NULs and what is no text come as they are; what is said on stderr, however much, is not in them."""
    script = "import sys; sys.stderr.write('x' * 1_000_000); sys.stdout.buffer.write(b'a\\0\\xff\\n' * 100_000)"
    assert shell.output([PYTHON, "-c", script]) == b"a\0\xff\n" * 100_000
    assert shell.output(["sh", "-c", 'pwd; echo "$WORD"'], env={"WORD": "here"}) == f"{workspace}\nhere\n".encode()


def test_output_may_fail() -> None:
    """A failure has the end of what was said on stderr; a missing program is one."""
    with pytest.raises(CommandFailed) as caught:
        shell.output(["sh", "-c", "echo out; seq 100 >&2; exit 3"], hint="look there")
    assert (caught.value.returncode, caught.value.hint) == (3, "look there")
    assert caught.value.tail == "\n".join(map(str, range(61, 101)))
    with pytest.raises(ToolMissing, match="`no-such-program` is not installed"):
        shell.output(["no-such-program"])


@pytest.mark.parametrize("patience", [10.0, 0.05])
def test_what_output_runs_is_ended_too(workspace: Path, monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    """`end_all` ends it with its children, also if it does not want to, while a thread reads what it writes."""
    os.mkfifo("alive")
    failures: list[int] = []
    trap = "" if patience > 1 else "trap '' TERM; "
    monkeypatch.setattr(shell._end, "__defaults__", (patience,))

    def run() -> None:
        with pytest.raises(CommandFailed) as caught:
            shell.output(
                ["sh", "-c", f"{trap}exec 3>alive; sh -c '{trap}echo begun >&3; while :; do sleep 1000; done'"]
            )
        failures.append(caught.value.returncode)

    thread = threading.Thread(target=run)
    thread.start()
    with open("alive", "rb") as reader:
        assert reader.readline() == b"begun\n"
        shell.end_all()
        thread.join()
        assert reader.read() == b""
    assert failures == [-15 if patience > 1 else -9]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_output_starts_ends_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Told to end before it knows of the program that it is starting, this process ends that too."""
    os.mkfifo("alive")
    start = os.posix_spawnp

    def interrupted(*args: Any, **more: Any) -> int:
        pid = start(*args, **more)
        signal.raise_signal(number)
        return pid

    monkeypatch.setattr(os, "posix_spawnp", interrupted)
    with open(os.open("alive", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with terminated(), pytest.raises((KeyboardInterrupt, SystemExit)):
            shell.output(["sh", "-c", "exec 3>alive; sleep 1000"])
        os.set_blocking(reader.fileno(), True)
        assert reader.read() == b""


def _said(*scripts: str) -> "shell.Talk[list[str]]":
    """Run scripts one after the other; a failure counts for what it said."""
    said = []
    for script in scripts:
        try:
            said.append((yield ("sh", "-c", script), {"WORD": "here", "GONE": None}).decode())
        except CommandFailed as error:
            said.append(f"{error.returncode} {error.tail}")
    return said


def test_a_talk_goes_on_with_what_a_program_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent what each program wrote, or has the error raised where it waits."""
    monkeypatch.setenv("GONE", "set")
    talks = [_said('printf "$WORD$GONE"', "echo why >&2; exit 3", "printf end"), _said(), _said("printf 2")]
    ends = [["here", "3 why", "end"], [], ["2"]]
    assert shell.talk_at_once(talks, 2) == ends
    assert shell.talk(_said('printf "$WORD$GONE"', "echo why >&2; exit 3", "printf end")) == ends[0]
    assert shell.talk_at_once([], 2) == []


def test_talks_run_programs_at_once_and_no_more(workspace: Path) -> None:
    """Two that wait for each other both run; where one at a time may run, none meets another."""
    for name in "ab":
        os.mkfifo(name)
    assert shell.talk_at_once([_said("echo 1 >a; cat b"), _said("cat a; echo 2 >b")], 2) == [["2\n"], ["1\n"]]
    alone = "mkdir busy && seq 10000 >busy/work && rm -r busy && printf alone"
    assert shell.talk_at_once([_said(alone, alone) for _ in range(5)], 1) == [["alone"] * 2] * 5


def test_an_error_that_a_talk_lets_through_ends_all(workspace: Path) -> None:
    """The programs of the others do not go on, and a missing program is such an error."""

    def fails() -> "shell.Talk[list[str]]":
        yield ("sh", "-c", "cat begun; exit 3"), {}
        return []

    def misses() -> "shell.Talk[list[str]]":
        yield ("cat", "begun"), {}
        yield ("no-such-program",), {}
        return []

    for wrong, error in ((fails, CommandFailed), (misses, ToolMissing)):
        for name in ("alive", "begun"):
            os.mkfifo(name)
        with open(os.open("alive", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
            with pytest.raises(error):
                shell.talk_at_once([wrong(), _said("exec 3>alive; echo >begun; sleep 1000 & wait")], 2)
            os.set_blocking(reader.fileno(), True)
            assert reader.read() == b""
        for name in ("alive", "begun"):
            os.unlink(name)
