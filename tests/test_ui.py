"""What a terminal, a pipe and a program that reads JSON are given."""

import io
import json
import os
import pty
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from llorch import ui
from llorch.errors import Refused
from tests.conftest import Run, in_terminal

HOSTILE = "[bold]not bold[/bold] :smile: [link=x]"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[str]]:
    """The writing end of a real terminal."""
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    with open(follower, "w") as stream:
        yield stream
    os.close(leader)


def python(script: str, *, columns: int = 80, typed: str = "", env: dict[str, str] | None = None) -> Run:
    """Run a script that has `ui` in a terminal."""
    return in_terminal(sys.executable, "-c", "from llorch import ui\n" + script, columns=columns, typed=typed, env=env)


def test_names_of_others_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """In an error nothing but its own line ends reaches the terminal as it is, and JSON is UTF-8 whatever it has."""
    name = os.fsdecode(b"caf\xe9\x1b[2J")
    ui.show_error(Refused(f"no:\n{name}", hint=name))
    assert capsys.readouterr().err == "error: no:\ncaf\\xe9\\x1b[2J\n\nhint: caf\\xe9\\x1b[2J\n"
    ui.emit_json({"name": name})
    assert json.loads(capsys.readouterr().out.encode())["name"] == "caf\\xe9\x1b[2J"


@pytest.mark.parametrize(
    ("name", "value", "colored"),
    [
        ("TERM", "xterm", True),
        ("TERM", "dumb", False),
        ("NO_COLOR", "1", False),
        ("NO_COLOR", "", True),
        ("LLORCH_NO_COLOR", "1", False),
        ("CI", "true", False),
    ],
)
def test_color_is_for_terminals_that_want_it(
    terminal: IO[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, colored: bool
) -> None:
    """The environment decides over colours on a terminal."""
    monkeypatch.setenv(name, value)
    assert ui.style("word", "good", terminal) == ("\x1b[32mword\x1b[0m" if colored else "word")


def test_no_color_by_option_and_in_pipes(terminal: IO[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--no-color` takes them away, and what is no terminal never has them."""
    assert ui.has_color(terminal)
    assert ui.style("word", "bad") == ui.style("word", "bad", io.StringIO()) == "word"
    ui.mode.color = False
    assert not ui.has_color(terminal)


@pytest.mark.parametrize(
    ("quiet", "as_json", "out", "err"),
    [
        (False, False, "data\n", "talk\nwarning: careful\nerror: wrong\n\nhint: do this\n"),
        (True, False, "data\n", "warning: careful\nerror: wrong\n\nhint: do this\n"),
        (False, True, None, "warning: careful\n"),
    ],
)
def test_streams(capsys: pytest.CaptureFixture[str], quiet: bool, as_json: bool, out: str | None, err: str) -> None:
    """Data goes to stdout and talk to stderr; a quiet run and one in JSON have less talk."""
    ui.mode.quiet, ui.mode.json = quiet, as_json
    if not as_json:
        ui.emit("data")
    ui.tell("talk")
    ui.warn("careful")
    ui.show_error(Refused("wrong", hint="do this"))
    found = capsys.readouterr()
    assert found.err == err
    if out is not None:
        assert found.out == out
    else:
        error = {"code": "refused", "message": "wrong", "hint": "do this"}
        assert json.loads(found.out) == {"schema": 1, "error": error}


def test_an_error_without_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """It is one line."""
    ui.show_error(Refused("wrong"))
    assert capsys.readouterr().err == "error: wrong\n"


# Questions


@pytest.mark.parametrize(
    ("typed", "outcome"), [("y\n", "gone"), (" YES \n", "gone"), ("n\n", "kept"), ("\n", "kept"), ("\x04", "kept")]
)
def test_a_question_is_answered(typed: str, outcome: str) -> None:
    """Only a clear yes lets something be destroyed; no, nothing at all and the end of the input refuse."""
    script = """
from llorch.errors import Refused
try:
    ui.confirm("Delete it?", "this deletes x")
    print("gone")
except Refused as error:
    print("kept", error)
"""
    done = python(script, typed=typed)
    assert "this deletes x\nDelete it? [y/N] " in done.out
    assert (outcome in done.out, "nothing was changed" in done.out) == (True, outcome == "kept")


def test_yes_is_not_asked() -> None:
    """With `--yes` nobody need be there."""
    ui.mode.yes = True
    ui.confirm("Delete it?", "this deletes x")


@pytest.mark.parametrize(("setting", "env"), [("json = True", {}), ("quiet = True", {"CI": "1"})])
def test_nobody_is_asked_where_a_program_reads(setting: str, env: dict[str, str]) -> None:
    """On CI and with `--json` a question is refused, though there is a terminal."""
    done = python(f"ui.mode.{setting}\nui.confirm('Delete it?', 'this deletes x')", env=env)
    assert "this deletes x, and nobody can be asked here" in done.out
    assert "[y/N]" not in done.out


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe a question is refused, and the hint says how to mean it."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(Refused) as caught:
        ui.confirm("Delete it?", "this deletes x")
    assert caught.value.hint == "repeat it with `--yes` if you mean it"


# Tables

ROWS = [["tinyllama", "668.8 MB", HOSTILE], ["qwen", "1.0 GB", "a long description " * 8]]
TABLE = f"ui.table(['id', 'size>', 'what'], {ROWS!r})"


def test_a_table_in_a_pipe_is_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    """One row a line, tabs between the values, no titles, nothing cut."""
    ui.table(["id", "size>", "what"], ROWS)
    assert capsys.readouterr().out == "".join("\t".join(row) + "\n" for row in ROWS)


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_fits_the_window(columns: int) -> None:
    """On a terminal no line is wider than the window, nothing is lost, and a text's markup is shown as it is."""
    lines = python(TABLE, columns=columns, env={"NO_COLOR": "1"}).out.splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[0].split() == ["id", "size", "what"]
    assert lines[1].startswith("tinyllama  668.8 MB  [bold]not bold[/bold] :smile: [link=x]")
    assert lines[2].startswith("qwen         1.0 GB  a long description")
    assert sum(line.count("description") for line in lines) == 8
    assert (len(lines) > 4) == (columns == 80)


def test_a_table_without_rows_is_nothing() -> None:
    """Titles alone, over nothing, would only puzzle."""
    assert python("ui.table(['id'], []); print('end')").out == "end\n"


def test_titles_are_bold_where_there_is_color() -> None:
    """A terminal with colours shows the titles in bold."""
    assert re.search(r"\x1b\[1m\s*id", python(TABLE).out)


# Bars and lines


def test_a_board_in_a_pipe_writes_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done is a line; how far it is, one every few seconds."""
    stream = io.StringIO()
    board = ui.Board(stream)
    board.width = 8
    with board.start("fetch:a") as line:
        line.say(HOSTILE)
        for pace in ("DRAW_EVERY", "PLAIN_EVERY"):
            monkeypatch.setattr(ui, pace, -1.0)
        line.advance(5)
        line.total(2_000_000)
        line.advance(1_500_000)
    board.close()
    assert stream.getvalue().splitlines() == [
        f"fetch:a   {HOSTILE}",
        f"fetch:a   {HOSTILE}: 5 B",
        f"fetch:a   {HOSTILE}: 1.5 MB of 2.0 MB",
    ]


@pytest.mark.parametrize("name", ["quiet", "json"])
def test_a_board_can_be_silent(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A quiet run, and one in JSON, say nothing of their progress."""
    setattr(ui.mode, name, True)
    for pace in ("DRAW_EVERY", "PLAIN_EVERY"):
        monkeypatch.setattr(ui, pace, -1.0)
    stream = io.StringIO()
    with ui.Board(stream).start("fetch:a") as line:
        line.say("text")
        line.advance(5)
    assert stream.getvalue() == ""


BARS = f"""
board = ui.Board()
with board.start("fetch:a") as line, board.start("verify:b") as other, board.start("fetch:c") as third:
    line.say({HOSTILE[:22]!r})
    line.total(2_000_000)
    line.advance(1_000_000)
    other.advance(5)
    third.total(1_000_000, 500_000)
    third.advance(0)
    board.bars().refresh()
    board.print(ui.style("a line above", "good"))
    line.say("the next")
    board.bars().refresh()
board.close()
with board.start("late") as line:
    line.say("after the end")
"""


@pytest.mark.parametrize("columns", [80, 120])
def test_a_board_on_a_terminal_draws_bars(columns: int) -> None:
    """Each task has a bar with its name, text and bytes, within the window; lines stand above; all is gone at last."""
    out = python(BARS, columns=columns, env={"NO_COLOR": "1"}).out
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out).replace("\r", "\n")
    bar = next(line for line in plain.splitlines() if "1.0/2.0 MB" in line)
    assert bar.startswith("fetch:a  [bold]not bold[/bold]")
    assert max(map(len, plain.splitlines())) <= columns
    assert "verify:b" in plain
    assert re.search(r"in all .* 1\.5/3\.0 MB", plain)
    assert "\na line above" in plain
    assert "the next" in plain
    assert plain.endswith("late  after the end\n")  # no bars once it is closed
    assert out.rindex("\x1b[2K") > out.rindex("fetch:a")  # erased


def test_a_line_and_the_bars_are_not_drawn_at_once(terminal: IO[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """While a line is written above the bars rich's own thread draws none: a line was lost then, or a bar left."""
    board = ui.Board(terminal)
    with board.start("fetch:a") as line, ThreadPoolExecutor(1) as another:
        line.say("text")
        bars = board.bars()
        assert bars is not None
        free: list[bool] = []
        lock = bars.live._lock

        def could_draw() -> bool:
            taken = lock.acquire(blocking=False)
            if taken:
                lock.release()
            return taken

        monkeypatch.setattr(bars.console, "print", lambda *_, **__: free.append(another.submit(could_draw).result()))
        board.print("above")
        monkeypatch.undo()
    board.close()
    assert free == [False]


def test_work_that_is_not_counted_in_bytes_shows_none() -> None:
    """A line that announces no bytes has its name and text and no amounts, and so has the sum of such lines."""
    script = """
board = ui.Board()
with board.start("build:a") as a, board.start("build:b") as b:
    a.say("7 of 9 crates")
    b.say("8 of 9 crates")
    board.bars().refresh()
board.close()
"""
    out = python(script, columns=100, env={"NO_COLOR": "1"}).out
    assert ("7 of 9 crates" in out, "8 of 9 crates" in out, "in all" in out, "bytes" in out) == (
        True,
        True,
        True,
        False,
    )


@pytest.mark.parametrize("env", [{"CI": "1"}, {"TERM": "dumb"}])
def test_no_bars_where_they_would_not_work(env: dict[str, str]) -> None:
    """On CI and on a dumb terminal there are plain lines."""
    script = (
        "board = ui.Board()\nwith board.start('fetch:a') as line:\n    line.say('text')\nassert board.bars() is None"
    )
    assert python(script, env=env).out == "fetch:a  text\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (10**15, "1000.0 TB")],
)
def test_bytes_text(size: int, text: str) -> None:
    """A size has the unit that leaves it below a thousand."""
    assert ui.bytes_text(size) == text


def test_the_door_is_light(workspace: Path) -> None:
    """Rich is not loaded for what a pipe is given."""
    script = "import sys; ui.table(['a'], [['b']]); ui.Board().print('c'); print('rich' in sys.modules)"
    assert python(script, env={"CI": "1"}).out == "b\nc\nFalse\n"
