"""The log that a run writes."""

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llorch import beside, log, shell, ui
from llorch.board import Board
from llorch.errors import ConfigError, LlorchError, ToolMissing
from llorch.log import Log, begin, is_being_written, is_log, list_logs, remove_oldest, wanted_level
from llorch.runs import Event, parse_event
from llorch.workspace import Workspace
from tests.conftest import as_mortal

NAME = "20260102T030405.{:06}Z-1.log"


@pytest.fixture
def begun(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Log]:
    """Begin a log of a level in the workspace, which has a folder for it unless `bare`."""

    def start(level: str = "", *, bare: bool = False) -> Log:
        if not bare:
            (workspace / ".llorch").mkdir()
        monkeypatch.setenv("LLORCH_LOG_LEVEL", level)
        assert begin(Workspace(workspace, declared=True), ["llorch", "do", "a b"])
        assert ui.log is not None
        return ui.log

    return start


def written(root: Path) -> str:
    """Return the text of all logs of a workspace, the oldest first."""
    return "".join(path.read_text() for path in sorted((root / ".llorch/log").glob("*.log")))


def events(root: Path) -> list[Event]:
    """Return the events of all logs of a workspace."""
    parsed = [parse_event(line) for line in written(root).splitlines()]
    assert None not in parsed
    return [event for event in parsed if event is not None]


def test_a_line_is_an_event(begun: Callable[..., Log], workspace: Path) -> None:
    """Each line has a time, a level, an event and values that are read back as they were."""
    values: dict[str, Any] = {
        "text": 'a "b" \\ c',
        "name": "x:y",
        "count": 3,
        "seconds": 1.5,
        "number": "12",
        "nothing": "",
        "no": None,
    }
    begun().event("info", "test", **values)
    line = written(workspace).splitlines()[-1]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info    test           text=", line)
    event = parse_event(line)
    assert event is not None
    assert event.values == {name: value for name, value in values.items() if value is not None}


def test_it_begins_with_the_command_and_ends_with_the_code(begun: Callable[..., Log], workspace: Path) -> None:
    """The first line says what was run, the last one how it ended; the folder is git-ignored, the file one's own."""
    begun().end(3)
    first, last = events(workspace)
    assert (first.name, first.values["command"], first.values["pid"]) == ("run", "llorch do 'a b'", os.getpid())
    assert (first.values["cwd"], last.name, last.values["exit"]) == (str(workspace), "end", 3)
    (file,) = (workspace / ".llorch/log").iterdir()
    assert (is_log(file.name), file.stat().st_mode & 0o777) == (True, 0o600)
    assert ui.log is None


def test_what_a_terminal_would_obey_is_written_out(begun: Callable[..., Log], workspace: Path) -> None:
    """Escapes, line ends and bytes that are no text stand in the line as text."""
    begun().warning("a\x1b[31m\n\x07\udcff")
    assert written(workspace).splitlines()[-1].endswith(r'text="a\x1b[31m\n\x07\xff"')


def test_secrets_are_left_out(begun: Callable[..., Log], workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of the environment is in no line, nor is one behind an option; values are cut after they are gone."""
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    run = begun("debug")
    run.program_says("x" * (log.LONGEST - 4) + "very-secret")
    run.error(LlorchError("very-secret", hint="https://me:pw@host/"))
    shell.run(["echo", "--password", "other-secret", "very-secret"])
    text = written(workspace)
    assert "very" not in text
    assert "other" not in text
    assert 'command="echo --password *** ***"' in text
    assert "https://host/" in text


def test_programs_are_told(begun: Callable[..., Log], workspace: Path) -> None:
    """Each door to programs leaves the command, the exit code and the seconds; long ones also that they begin."""
    begun("debug")
    shell.run(["sh", "-c", "echo said; echo more >&2"], cwd=workspace)
    shell.output(["sh", "-c", "echo out; echo err >&2"])
    beside.run_interactive(["true"])
    beside.start(["sh", "-c", "exit 4"]).communicate()
    with pytest.raises(LlorchError):
        shell.run(["sh", "-c", "kill -9 $$"])
    for call in (shell.run, shell.output, beside.run_interactive, beside.start):
        with pytest.raises(ToolMissing):
            call(["no-such-program"])
    told = events(workspace)
    programs = [event.values for event in told if event.name == "program"]
    assert [values.get("exit") for values in programs] == [0, 0, 0, 4, -9, None, None, None, None]
    assert programs[0]["cwd"] == str(workspace)
    assert all(values["seconds"] >= 0 for values in programs[:5])
    assert [event.values["text"] for event in told if event.name == "output"] == ["said", "more", "out", "err"]
    begins = {event.level: event.values["command"] for event in told if event.name == "program-begins"}
    assert begins == {"info": "sh -c 'kill -9 $$'", "debug": "sh -c 'echo out; echo err >&2'"}


def test_warnings_and_errors_are_told(begun: Callable[..., Log], workspace: Path) -> None:
    """What is said on the terminal stands in the log too."""
    run = begun("warning")
    ui.warn("careful")
    Board().warn("above the bars")
    ui.show_error(ConfigError([], hint="mend it"))
    run.bug(RuntimeError("oops"))
    run.event("info", "test")
    told = [(event.level, event.values.get("text"), event.values.get("code")) for event in events(workspace)[1:]]
    assert told == [
        ("warning", "careful", None),
        ("warning", "above the bars", None),
        ("error", "", "config"),
        ("error", "RuntimeError: oops", "bug"),
    ]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["run", "test", "warning", "error", "end"]),
        ("", ["run", "warning", "error", "end"]),
        ("warning", ["run", "warning", "error", "end"]),
        ("error", ["run", "error", "end"]),
    ],
)
def test_the_level_says_what_is_written(
    begun: Callable[..., Log], workspace: Path, level: str, expected: list[str]
) -> None:
    """What is below the level is left out, but for the command line and the end of a run that has a log."""
    run = begun(level)
    run.event("debug", "test")
    run.warning("x")
    run.error(LlorchError("x"))
    run.end(0)
    assert [event.name for event in events(workspace)] == expected


def test_a_run_without_anything_to_say_leaves_no_log(begun: Callable[..., Log], workspace: Path) -> None:
    """Above `info` there is a file only where there is a warning or an error."""
    begun("warning").end(0)
    assert [*(workspace / ".llorch").iterdir()] == []


def test_a_wrong_level_is_an_error() -> None:
    """The message names the variable and what it may be."""
    with pytest.raises(ConfigError, match="LLORCH_LOG_LEVEL: `loud` is no level; give one of debug, info"):
        wanted_level({"LLORCH_LOG_LEVEL": "loud"})


@pytest.mark.parametrize(
    ("declared", "makes", "dry", "made"),
    [(True, False, False, True), (False, False, False, False), (False, True, False, True), (True, True, True, False)],
)
def test_it_makes_no_folder_for_nothing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, declared: bool, makes: bool, dry: bool, made: bool
) -> None:
    """An error makes none; what is done does, in a declared workspace or where it is made anyway, unless it is dry."""
    monkeypatch.setenv("LLORCH_DRY_RUN", "1" if dry else "")
    assert begin(Workspace(workspace, declared), ["llorch"])
    assert not begin(Workspace(workspace, declared), ["doit"], makes=makes)
    assert ui.log is not None
    ui.log.error(LlorchError("first"))
    assert not (workspace / ".llorch").exists()
    ui.log.event("info", "task-begins", name="a:b")
    assert (workspace / ".llorch").exists() == made
    ui.log.end(0)
    assert (workspace / ".llorch/.gitignore").exists() == made
    assert [event.name for event in events(workspace)] == (["run", "error", "task-begins", "end"] if made else [])


def test_what_was_held_back_is_written_where_a_folder_is_made(begun: Callable[..., Log], workspace: Path) -> None:
    """If somebody else makes the folder, nothing is lost."""
    run = begun("warning", bare=True)
    run.warning("early")
    assert not (workspace / ".llorch").exists()
    (workspace / ".llorch").mkdir()
    run.end(0)
    assert [event.name for event in events(workspace)] == ["run", "warning", "end"]


def test_off_is_off_and_one_log_is_enough(begun: Callable[..., Log], monkeypatch: pytest.MonkeyPatch) -> None:
    """`off` begins none, and a run that has one begins no other."""
    run = begun()
    here = Workspace(Path.cwd(), declared=True)
    assert not begin(here, ["doit"])
    run.end(0)
    monkeypatch.setenv("LLORCH_LOG_LEVEL", "off")
    assert not begin(here, ["doit"])
    assert ui.log is None


@pytest.mark.parametrize("level", ["", "info"])
def test_a_folder_that_cannot_be_written_hinders_nothing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    """It is said once, and only to who has asked for a log."""
    monkeypatch.setenv("LLORCH_LOG_LEVEL", level)
    (workspace / ".llorch").mkdir(mode=0o500)

    def run() -> None:
        assert begin(Workspace(workspace, declared=True), ["llorch"])
        assert ui.log is not None
        for _ in range(2):
            ui.warn("careful")
        ui.log.end(0)

    as_mortal(run)
    said = capsys.readouterr().err
    assert (said.count("log cannot be written"), said.count("careful")) == (1 if level else 0, 2)
    assert not (workspace / ".llorch/log").exists()


def test_a_full_disk_hinders_nothing(begun: Callable[..., Log], capsys: pytest.CaptureFixture[str]) -> None:
    """Once a line cannot be written, none is any more."""
    run = begun("info")
    assert run._file is not None
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), run._file)
    run.warning("x")
    run.warning("y")
    run.end(0)
    assert capsys.readouterr().err.count("log cannot be written") == 1


def test_a_log_does_not_grow_without_end(
    begun: Callable[..., Log], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a limit, what programs write is left out, and that is said; warnings and the end still come."""
    monkeypatch.setattr(log, "LARGEST", 2000)
    run = begun("debug")
    for number in range(100):
        run.program_says(f"line {number}")
    run.warning("at last")
    run.end(0)
    told = events(workspace)
    assert [event.name for event in told[-3:]] == ["warning", "warning", "end"]
    assert "takes warnings, errors and the end alone" in told[-3].values["text"]
    assert len(written(workspace)) < 3000


def fill(folder: Path, sizes: list[int]) -> list[str]:
    """Write logs of these sizes, the oldest first."""
    folder.mkdir(parents=True)
    names = [NAME.format(number) for number in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        (folder / name).write_bytes(b"x" * size)
    return names


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no more than so many, of no more than so many bytes, and nothing else is removed."""
    monkeypatch.setattr(log, "MOST_RUNS", 5)
    monkeypatch.setattr(log, "MOST_BYTES", 100)
    names = fill(tmp_path / "many", [1] * 8)
    others = ["notes.log", "20260102T030405.678901Z-x.log", "20250102T030405.678901Z-1.txt"]
    for name in others:
        (tmp_path / "many" / name).touch()
    remove_oldest(str(tmp_path / "many"))
    assert sorted(os.listdir(tmp_path / "many")) == sorted([*names[3:], *others])
    names = fill(tmp_path / "large", [60, 30, 50, 20])
    remove_oldest(str(tmp_path / "large"))
    assert sorted(os.listdir(tmp_path / "large")) == names[1:]


def test_a_log_that_is_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next oldest goes in the place of one whose run goes on."""
    monkeypatch.setattr(log, "MOST_RUNS", 2)
    names = fill(tmp_path / "log", [1, 1, 1])
    with open(tmp_path / "log" / names[0], "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_being_written(file.name)
        remove_oldest(str(tmp_path / "log"))
        assert sorted(os.listdir(tmp_path / "log")) == [names[0], names[2]]
    assert not is_being_written(str(tmp_path / "log" / names[0]))


def test_a_secret_that_a_shell_would_quote_is_left_out(
    begun: Callable[..., Log], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password with blanks, quotes and a backslash is found in a command line, however it is quoted there."""
    secret = 'it\'s \\ "odd" $x'
    monkeypatch.setenv("MY_PASSWORD", secret)
    begun("debug")
    shell.run(["echo", secret, f"--with={secret}"])
    assert written(workspace).count("command=\"echo *** '--with=***'\"") == 2
    assert "odd" not in written(workspace)


def test_what_only_is_called_a_log_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links, folders and pipes are no logs: they are not removed, not read, and in nobody's way."""
    folder = tmp_path / "log"
    names = fill(folder, [1, 1])
    odd = [names[0].replace("Z-", f"Z-{number}") for number in range(1, 4)]
    (folder / odd[0]).symlink_to("nowhere")
    (folder / odd[1]).mkdir()
    os.mkfifo(folder / odd[2])
    assert list_logs(folder) == names
    monkeypatch.setattr("llorch.log.MOST_RUNS", 1)
    remove_oldest(str(folder))
    assert sorted(entry.name for entry in folder.iterdir()) == sorted([*odd, names[1]])
