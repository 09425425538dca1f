"""`llorch dev check` as a program: every mistake of every file in one run, what is written, and how it ends."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BIN, in_terminal, program, sha256, write_dodo
from tests.hub import Hub
from tests.remote.configs import need_ssh, use_config

LLORCH = """\
version = 2

[paths]
catalog = "models.toml"
modles = "x"

[build.worker]
manifest = "bin/gone/Cargo.toml"
backends = ["cpu", "-gpu"]

[build.app]
manifest = "bin/gone/Cargo.toml"

[test.unit]
command = ["true"]
needs = ["models:tinylama"]

[remote]
connect_timeout = 10
connect_timeout = 20

[cahce]
url = ""
"""
CATALOG = """\
version = 1
extends = "shipped"

[models.one]
source = "file:/srv"
files = [
  { path = "fine" },
  { path = "../../x", sha256 = "abc", size = "12" },
]

[models.two]
repo = = "x"

[models."Drei"]
source = "file:/srv"
licence = "mit"
files = [{ path = "a" }]
"""
HOSTS = """\
[hosts.-evil]

[hosts.a]
jump = "blpe"
port = 99999

[hosts.blep]
jump = "blep"
"""
MISTAKES = [
    "hosts.toml:1: error: hosts.-evil: `-evil` is not a name for ssh",
    "hosts.toml:4: error: hosts.a.jump: there is no host `blpe`: neither hosts.toml nor ssh's configuration has it",
    "hosts.toml:5: error: hosts.a.port: must be from 1 to 65535, and is 99999",
    "hosts.toml:8: error: hosts.blep.jump: leads back to where it began: `blep` → `blep`",
    "llorch.toml:1: error: version: is the integer 2; this llorch reads version 1",
    "llorch.toml:5: error: paths.modles: unknown key",
    "llorch.toml:9: error: build.worker.backends: `-gpu` may have letters, digits, `_` and `-`",
    "llorch.toml:12: error: build.app.manifest: there is no file `bin/gone/Cargo.toml`",
    "llorch.toml:16: error: test.unit.needs[0]: there is no task `models:tinylama`",
    "llorch.toml:20: error: remote.connect_timeout: is set twice",
    "llorch.toml:22: error: cahce: unknown key",
    "models.toml:8: error: models.one.files[1].path: `../../x` has a part `..`",
    "models.toml:8: error: models.one.files[1].sha256: must be 64 hex digits in lower case, not `abc`",
    "models.toml:8: error: models.one.files[1].size: must be an integer, not the string '12'",
    "models.toml:12: error: models.two: is not valid TOML: invalid value",
    "models.toml:14: error: models.Drei: `Drei` is not an id",
    "models.toml:16: error: models.Drei.licence: unknown key",
]


@pytest.fixture(autouse=True)
def _alone(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no Hub, and read no configuration of ssh but an empty one."""
    need_ssh()
    use_config("", tmp_path, monkeypatch)
    monkeypatch.setenv("LLORCH_OFFLINE", "1")


@pytest.fixture
def wrong(workspace: Path) -> Path:
    """A workspace with many different mistakes."""
    for name, text in (("llorch.toml", LLORCH), ("models.toml", CATALOG), ("hosts.toml", HOSTS)):
        (workspace / name).write_text(text)
    return workspace


def test_every_mistake_is_listed_with_file_and_line(wrong: Path) -> None:
    """Seventeen different ones in three files, by any program that understands `FILE:LINE: `, with what to do."""
    run = program("llorch", "dev", "check")
    lines = [line for line in run.out.splitlines() if not line.startswith("    hint: ")]
    assert run.code == 1
    assert [line[: len(start)] for line, start in zip(lines, MISTAKES, strict=True)] == MISTAKES
    assert "    hint: did you mean `models:tinyllama`?\n" in run.out
    assert run.err == (
        "the Hub: not checked, fetching is switched off (LLORCH_OFFLINE, HF_HUB_OFFLINE)\n"
        "what killed downloads have left: not checked, the catalog has mistakes\n"
        "checked llorch.toml, models.toml, hosts.toml: 13 models, 2 hosts, 1 binary, 1 test suite\n"
        "17 errors, 0 warnings\n"
    )


def test_the_document(wrong: Path) -> None:
    """The same as JSON, with severities, and nothing on stderr."""
    run = program("llorch", "dev", "check", "--json")
    assert (run.code, run.err, run.json["ok"]) == (1, "", False)
    assert {"file": "llorch.toml", "line": 16, "key": "test.unit.needs[0]", "severity": "error"}.items() <= run.json[
        "problems"
    ][8].items()
    assert run.json["problems"][8]["hint"] == "did you mean `models:tinyllama`?"
    assert len(run.json["problems"]) == len(MISTAKES)
    assert run.json.keys() == {"schema", "ok", "problems", "files", "models", "hosts", "builds", "suites", "skipped"}
    assert run.json["skipped"][0] == {
        "what": "the Hub",
        "why": "fetching is switched off (LLORCH_OFFLINE, HF_HUB_OFFLINE)",
    }


def test_a_right_workspace(workspace: Path) -> None:
    """It ends with 0 and says what was looked at; the user's own tasks are known."""
    (workspace / "llorch.toml").write_text('[test.a]\ncommand = ["true"]\nneeds = ["mine", "models:tiny-gpt2"]\n')
    write_dodo(workspace, "def task_mine():\n    return {'actions': None}\n")
    run = program("llorch", "dev", "check")
    assert (run.code, run.out) == (0, "")
    assert run.err.splitlines()[1:] == [
        "checked llorch.toml, catalog.toml (shipped), dodo.py: 12 models, 0 hosts, 0 binaries, 1 test suite",
        "nothing is wrong",
    ]


def test_warnings_are_no_failure(workspace: Path) -> None:
    """A script that can be deleted is told, with the command, which works."""
    subprocess.run(["git", "init", "-q"], check=True)
    (workspace / "scripts").mkdir()
    (workspace / "scripts/llorch-git").write_text("#!/bin/sh\n")
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "x"],
        check=True,
    )
    run = program("llorch", "dev", "check")
    assert (run.code, run.out.splitlines()[0]) == (0, "scripts/llorch-git: warning: `llorch git …` stands in for it")
    command = run.out.splitlines()[1].split("`")[1]
    subprocess.run(command.split(), check=True)
    assert program("llorch", "dev", "check").out == ""
    assert program("llorch", "dev", "check", "--json").json["ok"]


def test_in_a_terminal(wrong: Path) -> None:
    """Severities have colours as well as words, unless they are not wanted."""
    run = in_terminal(str(BIN / "llorch"), "dev", "check", columns=80)
    assert "\x1b[31merror\x1b[0m: version: is the integer 2" in run.out
    plain = in_terminal(str(BIN / "llorch"), "dev", "check", "--no-color", columns=80)
    assert "\x1b" not in plain.out
    assert "llorch.toml:1: error: version: is the integer 2" in plain.out


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that programs take for the real one."""
    monkeypatch.delenv("LLORCH_OFFLINE")
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def test_online_the_hub_is_asked(workspace: Path, hub: Hub) -> None:
    """What was changed there, is gone or wants an agreement is told at the catalog's lines."""
    commit = hub.add("org/m", {"a": b"data"}, lfs=["a"])
    hub.add("org/g", {"a": b"data"}, lfs=["a"], gated=True)
    model = '[models.{}]\nrepo = "org/{}"\nrevision = "{}"\nfiles = [{{ path = "a", size = 4, sha256 = "{}" }}]\n'
    text = model.format("same", "m", commit, sha256(b"data")) + model.format("other", "m", commit, sha256(b"x"))
    text += model.format("gone", "m", "1" * 40, sha256(b"x")) + model.format("closed", "g", "main", sha256(b"data"))
    (workspace / "catalog.toml").write_text(text)
    run = program("llorch", "dev", "check", "--json")
    found = [(problem["line"], problem["key"], problem["severity"]) for problem in run.json["problems"]]
    assert found == [
        (8, "models.other.files[0].sha256", "error"),
        (11, "models.gone.revision", "error"),
        (13, "models.closed.gated", "warn"),
        (15, "models.closed.revision", "warn"),
    ]
    assert (run.code, run.json["ok"]) == (1, False)
    assert [skipped["what"] for skipped in run.json["skipped"]] == ["closed on the Hub"]


def test_a_dead_hub_is_no_mistake_of_the_workspace(workspace: Path, hub: Hub) -> None:
    """It is said once, for however many models, and the exit code is that of the rest."""
    hub.unplug("hub")
    entry = '[models.{0}]\nrepo = "o/{0}"\nrevision = "' + "1" * 40 + '"\nfiles = [{{ path = "a" }}]\n'
    (workspace / "catalog.toml").write_text("".join(entry.format(f"m{number}") for number in range(10)))
    run = program("llorch", "dev", "check")
    assert (run.code, run.out) == (0, "")
    assert run.err.startswith("the Hub: not checked, http://127.0.0.1")
    assert run.err.count("not checked") == 1


def test_it_works_where_nothing_else_does(workspace: Path) -> None:
    """A mistake that stops every other command is listed by this one, in a workspace that -C names too."""
    (workspace / "llorch.toml").write_text("[paths]\nmodels = 1\n")
    assert program("llorch", "models", "list").code == 3
    os.chdir("/")
    run = program("llorch", "dev", "check", "-C", str(workspace))
    assert (run.code, run.out) == (
        1,
        "llorch.toml:2: error: paths.models: must be a string, not the integer 1\n",
    )


def test_a_password_in_a_wrong_value_is_not_told(workspace: Path) -> None:
    """What is wrong with an address is said without its user and password."""
    Path("hosts.toml").write_text('[hosts.a]\nhost = "ssh://me:hunter22@h"\n')
    Path("catalog.toml").write_text('[models.a]\nsource = "http://me:hunter22@h/a"\nfiles = [{ path = "a" }]\n')
    Path("llorch.toml").write_text('[test.a]\ncommand = ["http://me:hunter22@h"]\n')
    done = program("llorch", "dev", "check")
    assert (done.code, done.out.count("toml:2: "), done.out.count("://h")) == (1, 3, 3)
    assert "hunter22" not in done.out
