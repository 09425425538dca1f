"""`llorch dev doctor`: what people and programs read, and fixes that are asked for and run."""

import re
import shutil
from pathlib import Path

import pytest

from llorch import ui
from llorch.dev.doctor_cli import render
from llorch.dev.finding import Finding
from tests.conftest import BIN, MORTAL, in_terminal, program, program_of
from tests.dev.conftest import examined
from tests.git.conftest import World, git, isolated, world

__all__ = ["isolated", "world"]  # fixtures
FINDINGS = [
    Finding(id="git", found="2.47.0", needed_for="the repository"),
    Finding(id="locale", severity="warn", found="LC_ALL=C", text="a warning\nof two lines"),
    Finding(
        id="cargo", severity="error", needed_for="build:a", text="it is " + "very " * 20 + "broken", fix=("a", "b c")
    ),
]


def test_a_report_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each, what is wrong below, each fix alone on its line, and what failed by name at the end."""
    assert render(FINDINGS).splitlines() == [
        "ok    git     2.47.0, for the repository",
        "warn  locale  LC_ALL=C",
        "      a warning",
        "      of two lines",
        "fail  cargo   not found, for build:a",
        "      it is " + "very " * 20 + "broken",
        "        a",
        "        b c",
        "1 failure (cargo), 1 warning (locale), 1 ok",
    ]
    hostile = Finding(id="x", severity="warn", found="a\x1b[2J", needed_for="b\nc", text="d\x07\ne", fix=("f\x1bg",))
    assert render([hostile]).splitlines()[:-1] == [
        r"warn  x  a\x1b[2J, for b\nc",
        r"      d\x07",
        "      e",
        r"        f\x1bg",
    ]
    monkeypatch.setattr(ui.mode, "quiet", True)
    assert render(FINDINGS[:1]) == "no failures, 1 ok"


def test_many_failures_are_counted() -> None:
    """The last line names the first ones."""
    hosts = [Finding(id=f"host:{number}", severity="error") for number in range(12)]
    *_, last = render(hosts).splitlines()
    assert last.startswith("12 failures (host:0, host:1, ")
    assert last.endswith(", host:9 and 2 more), 0 ok")


def test_a_report_on_a_terminal(workspace: Path) -> None:
    """Lines fit the window but for commands, which are never broken; words say what colours do."""
    wide = workspace / ("d" * 60)
    (wide / ".llorch").mkdir(parents=True)  # or the first run's log would make it
    (wide / "llorch.toml").write_text("[git]\nbranch = 1\n")
    env = {"LLORCH_OFFLINE": "1", "VISUAL": "joe"}
    done = in_terminal(str(BIN / "llorch"), "dev", "doctor", cwd=wide, env=env)
    free = re.compile(r"[\d.]+ \w+ free")  # others write to the disk meanwhile
    plain = free.sub("free", re.sub(r"\x1b\[\d*m", "", done.out))
    assert plain != free.sub("free", done.out)
    lines = plain.splitlines()
    (command,) = [line for line in lines if "/llorch.toml" in line]
    assert len(command) > 80
    assert command == f"        joe '{wide}/llorch.toml'"
    words = [line for line in lines if line != command]
    assert [line for line in words if len(line) > 80 and max(map(len, line.split())) < 50] == []
    assert lines[-1] == "1 failure (configuration), 6 ok"
    bare = in_terminal(str(BIN / "llorch"), "dev", "doctor", cwd=wide, env={**env, "NO_COLOR": "1"})
    assert free.sub("free", bare.out) == plain


def test_a_document_for_programs(workspace: Path) -> None:
    """Its shape, and an exit code that says the same as `ok`."""
    run = program("llorch", "dev", "doctor", "--json", env={"LLORCH_OFFLINE": "1"})
    assert (run.code, run.json["schema"], run.json["ok"]) == (0, 1, True)
    keys = {"id", "severity", "found", "needed_for", "text", "fix", "safe"}
    assert all(set(finding) == keys for finding in run.json["findings"])
    assert {finding["severity"] for finding in run.json["findings"]} == {"ok"}
    (workspace / "llorch.toml").write_text("x = 1\n")
    run = program("llorch", "dev", "doctor", "--json", env={"LLORCH_OFFLINE": "1"})
    assert (run.code, run.json["ok"]) == (1, False)


@pytest.fixture
def unfinished(world: World) -> World:
    """A clone whose submodules are not there, and an offline machine."""
    git(world.work, "submodule", "--quiet", "deinit", "-f", "--all")
    return world


def test_fixes_are_shown_and_asked_for(unfinished: World) -> None:
    """Without an answer, or with a no, nothing is run; with a yes all is looked at again."""
    command = [str(BIN / "llorch"), "dev", "doctor", "--fix"]
    refused = program("llorch", "dev", "doctor", "--fix")
    assert refused.code == 8
    assert "git submodules update --pinned" in refused.err
    assert "nobody can be asked here" in refused.err
    assert program("llorch", "dev", "doctor", "--fix", "--json").json["error"]["code"] == "refused"
    assert in_terminal(*command, typed="n\n").code == 8
    assert not (unfinished.work / "reference/candle/README").exists()
    done = in_terminal(*command, typed="y\n")
    assert done.code == 0
    assert "Run them? [y/N]" in done.out
    assert (unfinished.work / "reference/candle/inner lib/README").exists()
    assert "3, all there" in done.out


def test_a_dry_run_of_fixes(unfinished: World) -> None:
    """It tells what would be run."""
    done = program("llorch", "dev", "doctor", "--fix", "--dry-run")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("would run ")
    document = program("llorch", "dev", "doctor", "--fix", "--dry-run", "--json").json
    assert (document["dry_run"], [fix["error"] for fix in document["fixed"]]) == (True, [None])
    assert program("llorch", "dev", "doctor", "--dry-run", "--json").json["fixed"] == []
    assert not (unfinished.work / "reference/candle/README").exists()


def test_fixes_for_programs(unfinished: World) -> None:
    """One document: what was run, and what there is to say then."""
    run = program("llorch", "dev", "doctor", "--fix", "--yes", "--json")
    assert run.code == 0
    assert run.json["dry_run"] is False
    assert [fix["error"] for fix in run.json["fixed"]] == [None]
    states = {finding["id"]: finding["severity"] for finding in run.json["findings"]}
    assert states["submodules"] == "ok"
    run = program("llorch", "dev", "doctor", "--fix", "--json")
    assert run.code == 0
    assert "nothing that --fix does" in program("llorch", "dev", "doctor", "--fix").err


def test_a_fix_that_fails(unfinished: World) -> None:
    """It is told, the others are run, and what is left is told again."""
    shutil.rmtree(unfinished.work / ".git/modules/reference/candle")
    unfinished.sources["reference/candle"].rename(unfinished.work.parent / "gone")
    (unfinished.work / ".llorch").mkdir()
    (unfinished.work / ".llorch/state.db").touch(0o400)
    command = [*MORTAL, str(BIN / "llorch"), "dev", "doctor", "--fix", "--yes"]
    done = program_of(*command)
    assert "warning: `" in done.err
    assert "exited with" in done.err
    assert "1 not there" in done.out
    assert (unfinished.work / ".llorch/state.db").stat().st_mode & 0o200
    run = program_of(*command, "--json")
    assert [fix["error"]["code"] for fix in run.json["fixed"]] == ["command-failed"]


def test_nothing_is_written_by_looking(workspace: Path) -> None:
    """An empty folder stays one."""
    assert examined(env={"LLORCH_OFFLINE": "1"})[0] == 0
    assert list(workspace.iterdir()) == []
