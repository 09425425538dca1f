"""The command line: help, options, mistakes, and how every run ends."""

import importlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch import cli
from llorch.table import BUILD, DEV, GIT, MODELS, SUBMODULES, TOP
from tests.conftest import BIN, Run, in_terminal, program, write_catalog, write_dodo

Llorch = Callable[..., Run]
TABLES = {
    (): TOP,
    ("models",): MODELS,
    ("build",): BUILD,
    ("git",): GIT,
    ("git", "submodules"): SUBMODULES,
    ("dev",): DEV,
}
COMMANDS = [(*group, name) for group, table in TABLES.items() for name in table]


@pytest.fixture
def tiny(workspace: Path) -> Path:
    """A workspace with one model."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    return workspace


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(workspace: Path, llorch: Llorch, command: tuple[str, ...]) -> None:
    """It says what the command does and gives an example that begins with it; the table's summary says the same."""
    place = TABLES[command[:-1]][command[-1]]
    done = llorch(*command, "--help")
    assert (done.code, done.err) == (0, "")
    example = done.out.partition("\nExample:\n")[2]
    assert example.strip().startswith(f"llorch {' '.join(command)}")
    module = importlib.import_module(place.module)
    wanted = getattr(module, place.name).example.splitlines()
    assert [line.strip() for line in example.splitlines()] == wanted, "each line whole, to be copied"
    assert f"Usage: llorch {' '.join(command)} [OPTIONS]" in done.out
    summary = llorch(*command[:-1], "--help").out
    assert f"  {command[-1]} " in summary
    assert place.summary in summary
    assert llorch(*command, "-h").out == done.out


def test_help_is_light(workspace: Path) -> None:
    """No help of any command loads doit, rich, sqlite or a TOML reader; the table's imports no command."""
    script = """
import sys
before = set(sys.modules)
from llorch import cli
cli.run(["--help"])
assert not any(name in sys.modules for name in ("llorch.commands", "llorch.models.cli")), "the table imports commands"
for command in COMMANDS:
    assert cli.run([*command, "--help"]) == 0
heavy = {"doit", "rich", "sqlite3", "tomli", "tomllib", "filelock", "asyncio", "urllib.request"}
print(sorted(heavy & (set(sys.modules) - before)), file=sys.stderr)
""".replace("COMMANDS", repr(COMMANDS))
    done = program("python", "-c", script)
    assert (done.code, done.err) == (0, "[]\n")


@pytest.mark.parametrize("group", list(TABLES))
def test_a_group_alone_shows_its_help(workspace: Path, llorch: Llorch, group: tuple[str, ...]) -> None:
    """It is wrong usage, told by the help itself; in JSON, by an error."""
    done = llorch(*group)
    assert (done.code, done.out) == (2, "")
    assert done.err == llorch(*group, "--help").out
    failed = llorch(*group, "--json")
    assert (failed.code, failed.json["error"]["code"]) == (2, "usage")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("modles",), "there is no command `modles`; did you mean `models`?\n\nhint: `llorch --help` "),
        (
            ("models", "downlaod", "x"),
            "there is no command `downlaod`; did you mean `download`?\n\nhint: `llorch models --",
        ),
        (("zzz",), "there is no command `zzz`\n\n"),
        (("\x1b[31m",), "there is no command `\\x1b[31m`\n\n"),
        (("--nope",), "no such option `--nope`"),
        (("models", "check", "m", "--tokens", "x"), "invalid value for `--tokens`: `x` is not a whole number\n"),
        (("models", "info"), "missing argument `ID`\n\nhint: `llorch models info --help` shows what it takes\n"),
        (("git", "--nope"), "no such option `--nope`\n\nhint: `llorch git --help` shows"),
        (("models", "download"), "name one or more models, or give --all"),
    ],
)
def test_usage_errors(tiny: Path, llorch: Llorch, arguments: tuple[str, ...], said: str) -> None:
    """Wrong usage is one line with a hint and code 2; with `--json` it is a document, wherever that stands."""
    done = llorch(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert said.replace("'", "").rstrip(".") in done.err.replace("'", "").replace(": --nope", " --nope")
    for line in (("--json", *arguments), (*arguments, "--json")):
        failed = llorch(*line)
        assert (failed.code, failed.json["error"]["code"], failed.err) == (2, "usage", "")
        assert said.partition("\n")[0].replace("'", "")[:20] in failed.json["error"]["message"].replace("'", "")


def test_an_option_without_its_value_is_a_commands_mistake(tiny: Path, llorch: Llorch) -> None:
    """The hint has the command whose option it is."""
    done = llorch("git", "sync", "--branch")
    assert (done.code, done.err.splitlines()[-1]) == (2, "hint: `llorch git sync --help` shows what it takes")


def test_what_follows_two_dashes_is_a_name(tiny: Path, llorch: Llorch) -> None:
    """It is no option, whatever it begins with."""
    assert "no such option" in llorch("--", "-x").err
    done = llorch("models", "info", "--", "--json")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: there is no model `--json`")


def test_our_errors_have_their_own_code(tiny: Path, llorch: Llorch) -> None:
    """An error ends in its exit code, as text or as the document."""
    done = llorch("models", "info", "tny")
    assert (done.code, done.err.splitlines()[0]) == (3, "error: there is no model `tny`; did you mean `tiny`?")
    assert llorch("models", "info", "tny", "--json").json["error"]["hint"] == "`llorch models catalog` shows them"


def test_bugs_keep_their_traceback(tiny: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not one of our errors is not made polite."""
    monkeypatch.setattr(cli, "enter_workspace", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        llorch("models", "list")
    monkeypatch.setattr(cli, "enter_workspace", Path("/no/such/file").read_text)
    with pytest.raises(FileNotFoundError):
        llorch("models", "list")


def test_what_the_disk_refuses_is_said(tiny: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the system, wherever it comes up, is a message."""
    monkeypatch.setattr(cli, "enter_workspace", Path("/proc/self").read_text)
    done = llorch("models", "list", "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "disk")
    assert done.json["error"]["message"] == "`/proc/self` cannot be used: Is a directory"


def test_an_interrupt_has_its_document(tiny: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted run writes one document too."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "enter_workspace", interrupt)
    done = llorch("models", "list", "--json")
    assert (done.code, done.json["error"]["code"]) == (130, "interrupted")


# Options that all have


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_global_options_stand_anywhere(tiny: Path, llorch: Llorch, place: int, tmp_path: Path) -> None:
    """`--json` and `-C` mean the same before, between and after the commands."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write_catalog(elsewhere, {"other": {"b.gguf": b"b"}})
    words = ["models", "info", "other"]
    line = [*words[:place], "--json", "-C", str(elsewhere), *words[place:]]
    assert llorch(*line).json["model"]["id"] == "other"


def test_the_workspace_is_found_from_its_folders(tiny: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder below, a command works at the workspace's root; `-C` of what is none is a configuration error."""
    (tiny / "sub").mkdir()
    monkeypatch.chdir(tiny / "sub")
    assert llorch("models", "catalog").out.startswith("tiny\t")
    for outcome in ("done", "up-to-date"):
        assert llorch("models", "download", "tiny", "--json").json["tasks"][0]["outcome"] == outcome
    assert (tiny / ".test-models/tiny/a.gguf").exists()
    failed = llorch("-C", "no-folder", "models", "list")
    assert (failed.code, failed.err) == (3, "error: -C: `no-folder` is not a folder\n")


def test_an_undeclared_workspace_is_said(workspace: Path, llorch: Llorch) -> None:
    """Where no file says that it is one, the folder is named, but not to a quiet run or one in JSON."""
    said = f"no llorch.toml, catalog.toml or dodo.py here or above: working in {workspace}\n"
    assert llorch("models", "list").err.startswith(said)
    assert llorch("models", "list", "-q").err == ""
    assert llorch("models", "list", "--json").err == ""
    (workspace / ".git").mkdir()
    assert llorch("models", "list").err.startswith(said)
    (workspace / "bin").mkdir()
    below = llorch("-C", "bin", "models", "list").err.splitlines()[0]
    assert below == f"{said.strip()}/bin; `-C {shlex.quote(str(workspace))}` works in the whole repository"
    (workspace / "llorch.toml").write_text("version = 1\n")
    assert said not in llorch("models", "list").err


@pytest.mark.parametrize(
    ("options", "env", "colored"),
    [
        ([], {}, True),
        (["--no-color"], {}, False),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"LLORCH_NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        ([], {"CI": "1"}, False),
    ],
)
def test_color_on_a_terminal(tiny: Path, options: list[str], env: dict[str, str], colored: bool) -> None:
    """A terminal has colours unless somebody does not want them."""
    done = in_terminal(str(BIN / "llorch"), "models", "info", "nope", *options, env=env)
    assert ("\x1b[31merror:\x1b[0m" in done.out, "error:" in done.out) == (colored, True)


def test_verbose_names_what_is_fresh(tiny: Path, llorch: Llorch) -> None:
    """`-v` has a line for what is up to date too, `-q` none at all."""
    llorch("models", "download", "tiny")
    assert "fetch:tiny   up to date" in llorch("models", "download", "tiny", "-v").err
    assert "fetch:tiny" not in llorch("models", "download", "tiny").err
    quiet = llorch("models", "download", "tiny", "--quiet")
    assert "up to date" not in quiet.out + quiet.err.replace("nothing to do", "")


# How a run ends


@pytest.mark.parametrize("buffering", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [("models", "catalog", "-q"), ("models", "--help"), ("models", "info", "nope", "--json"), ("nope", "--json")],
)
def test_a_reader_may_leave(tiny: Path, arguments: tuple[str, ...], buffering: str) -> None:
    """When whoever reads the output has gone, as `head` does, a command ends quietly, as one ended by SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [BIN / "llorch", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": buffering},
        text=True,
    ) as process:
        os.close(writer)
        _, err = process.communicate()
    assert (process.returncode, err) == (141, "")


WAITING = """
import click
from llorch import shell
from llorch.cli import Command
from llorch.parallel import in_parallel

@click.command(cls=Command, example="", looks=True)
def wait() -> None:
    in_parallel([1, 2], lambda _: shell.output(["sh", "-c", "echo begun >> begun; echo > alive; exec sleep 1000"]), 1)

with wait.make_context("wait", []) as context:
    wait.invoke(context)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_end_is_one_for_what_threads_run(workspace: Path, number: signal.Signals) -> None:
    """What other threads run is ended with an interrupted command; they begin nothing that was still to be done."""
    os.mkfifo("alive")
    with subprocess.Popen([sys.executable, "-c", WAITING], stderr=subprocess.DEVNULL) as process:
        assert Path("alive").read_text() == "\n"
        process.send_signal(number)
    assert process.returncode == (-number if number is signal.SIGINT else 128 + number)
    assert Path("begun").read_text() == "begun\n"


@pytest.mark.parametrize("command", [("models", "download", "tiny"), ("list",)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_line(tiny: Path, command: tuple[str, ...], number: signal.Signals) -> None:
    """Ctrl-C ends a command with 130 and no traceback, while it makes tasks as while it runs them.

    SIGTERM does so with 143, of which the shell tells people; a program that reads JSON has its document.
    """
    json = ["--json"] if number is signal.SIGTERM else []
    os.mkfifo("alive")
    where = "def task_x():\n    wait()\n    return {'actions': []}\n"
    begin = "def wait():\n    with open('alive', 'w') as alive:\n        alive.write('begun')\n        alive.flush()\n"
    write_dodo(tiny, "import signal\n" + begin + "        signal.pause()\n" + where)
    with subprocess.Popen(
        [BIN / "llorch", *json, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        with open("alive") as alive:
            assert alive.read(5) == "begun"
            process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == (143 if json else 130)
    assert err.strip() == ("" if json else "interrupted")
    assert '"code": "interrupted"' in out if json else not out


def test_main_exits_with_the_code(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` takes the process's own arguments unless it is given others."""
    monkeypatch.setattr(sys, "argv", ["llorch", "nope"])
    for arguments, code in ((None, 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == code
