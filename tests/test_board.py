"""The progress of tasks, on a terminal and elsewhere."""

import io
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from llorch import ui
from llorch.board import Board
from tests.conftest import Run, in_terminal

HOSTILE = "[bold]not bold[/bold] :smile: [link=x]"


def python(script: str, *, columns: int = 80, env: dict[str, str] | None = None) -> Run:
    """Run a script that has `ui` and a `board` in a terminal."""
    head = "import sys\nfrom llorch import ui\nfrom llorch.board import Board\nboard = Board()\n"
    return in_terminal(sys.executable, "-c", head + script, columns=columns, env=env)


def test_a_board_in_a_pipe_writes_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done is a line; how far it is, one every few seconds."""
    stream = io.StringIO()
    board = Board(stream)
    board.width = 8
    with board.start("fetch:a") as line:
        line.say(HOSTILE)
        for pace in ("DRAW_EVERY", "PLAIN_EVERY"):
            monkeypatch.setattr(f"llorch.board.{pace}", -1.0)
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
        monkeypatch.setattr(f"llorch.board.{pace}", -1.0)
    stream = io.StringIO()
    with Board(stream).start("fetch:a") as line:
        line.say("text")
        line.advance(5)
    assert stream.getvalue() == ""


BARS = f"""
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
    board = Board(terminal)
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
    script = "with board.start('fetch:a') as line:\n    line.say('text')\nassert board.bars() is None"
    assert python(script, env=env).out == "fetch:a  text\n"


def test_the_board_is_light(workspace: Path) -> None:
    """Rich is not loaded for what a pipe is given."""
    assert python("board.print('c'); print('rich' in sys.modules)", env={"CI": "1"}).out == "c\nFalse\n"
