"""What a terminal, a pipe and a program that reads JSON are given."""

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import IO

import pytest

from llorch import ui
from llorch.errors import Refused
from tests.conftest import Run, in_terminal

HOSTILE = "[bold]not bold[/bold] :smile: [link=x]"


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


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (10**15, "1000.0 TB")],
)
def test_bytes_text(size: int, text: str) -> None:
    """A size has the unit that leaves it below a thousand."""
    assert ui.bytes_text(size) == text


def test_the_door_is_light(workspace: Path) -> None:
    """Rich is not loaded for what a pipe is given."""
    script = "import sys; ui.table(['a'], [['b']]); print('rich' in sys.modules)"
    assert python(script, env={"CI": "1"}).out == "b\nFalse\n"
