"""What a report tells of this machine and the workspace, and of nobody."""

import shutil
import socket
from pathlib import Path

import pytest

from llorch import __version__
from llorch.config import Workspace
from llorch.dev import info as rules
from llorch.dev.info import gather, impersonal

LOG = "20260102T030405.{:06}Z-1.log"


@pytest.fixture
def here(workspace: Path) -> Workspace:
    """A workspace with one file that is right and one that is not, state, and logs."""
    (workspace / "llorch.toml").write_text('[build.app]\nmanifest = "app/Cargo.toml"\n[test.a]\ncommand = ["x"]\n')
    (workspace / "hosts.toml").write_text('[hosts.a]\n[hosts.b]\nport = 0\nuser = "-x"\n')
    log = workspace / ".llorch/log"
    log.mkdir(parents=True)
    for number in range(5):
        (log / LOG.format(number)).write_text("12345")
    (log / "folder").mkdir()
    return Workspace(root=workspace, declared=True)


def test_versions_are_told(here: Workspace) -> None:
    """Of llorch, Python, what llorch stands on, and the programs that it calls; as each says them."""
    found = gather(here)
    assert found.as_json()["llorch"] == __version__
    assert found.python.startswith("CPython 3.")
    assert found.packages["click"]
    assert not {"pytest", "ruff", "llorch"} & found.packages.keys()
    assert found.programs.keys() == {"git", "cargo", "rustc", "ssh"}
    assert (found.programs["git"] or "").partition(".")[0].isdigit()


def test_the_workspace_is_told(here: Workspace) -> None:
    """Its files, how many there are of each kind, what is wrong, how large its state is, and its newest logs."""
    found = gather(here)
    assert found.files == ("llorch.toml", "catalog.toml (shipped)", "hosts.toml")
    assert found.counts == {"models": 12, "hosts": 2, "builds": 1, "suites": 1}
    assert [problem.partition(" is ")[0] for problem in found.problems] == [
        "hosts.toml:3: hosts.b.port: must be from 1 to 65535, and",
        "hosts.toml:4: hosts.b.user: `-x`",
    ]
    assert (found.size, found.logs) == (25, tuple(map(LOG.format, (4, 3, 2))))
    (here.root / "new").mkdir()
    assert gather(Workspace(root=here.root / "new", declared=True)).logs == ()
    shutil.rmtree(here.state)
    here.state.touch()
    assert gather(here).logs == ()


def test_what_is_not_there_is_told(here: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program that is missing, fails or hangs has no version; a package neither."""
    from importlib import metadata

    for name, body in (("git", "echo git version 9.9"), ("cargo", "exit 1"), ("ssh", "sleep 60")):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(rules, "PATIENCE", 0.3)
    requirements = [
        "click>=8",
        "gone>=1; python_version > '3'",
        "also-gone; extra == 'check'",
        "pytest; extra == 'dev'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: requirements)
    found = gather(here)
    assert found.programs == {"git": "9.9", "cargo": None, "rustc": None, "ssh": None}
    assert found.packages == {"click": metadata.version("click"), "gone": None}


def test_secrets_and_names_stay_here(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tokens nor passwords, nor the home folder, the user or the machine, wherever they turn up."""
    monkeypatch.setattr(socket, "gethostname", lambda: "workbox")
    (here.root / "hosts.toml").write_text('[hosts."vince@workbox"]\nport = 0\n')
    environ = {
        "HOME": "/home/vince",
        "USER": "vince",
        "HF_TOKEN": "hf_s3cret",
        "HF_HOME": "/home/vince/.cache",
        "LLORCH_CACHE_URL": "https://vince:pw@workbox/x?sig=1",
        "LLORCH_CONFIG_PATH": "/home/vince/gone hf_s3cret",
        "OTHER": "unsaid",
    }
    found = gather(here, environ)
    text = str(found.as_json())
    assert [word for word in ("vince", "workbox", "s3cret", "pw@", "sig=1", "unsaid") if word in text] == []
    assert {value.key: value.value for value in found.environment} == {
        "HF_HOME": "~/.cache",
        "HF_TOKEN": "***",
        "LLORCH_CACHE_URL": "https://HOST/x?***",
        "LLORCH_CONFIG_PATH": "~/gone ***",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/vince/a/b", "~/a/b"),
        ("/home/vince", "~"),
        ("/home/vincent/a", "/home/USER/a"),
        ("/Users/ann/x", "/Users/USER/x"),
        ("by vince, in vince-x and province", "by USER, in vince-x and province"),
        ("workbox and workbox.local", "HOST and HOST.local"),
    ],
)
def test_nobody_is_named(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user nor the machine, as whole words."""
    monkeypatch.setattr(socket, "gethostname", lambda: "workbox.lan")
    assert impersonal(text, {"HOME": "/home/vince/", "USER": "vince", "LOGNAME": "me"}) == shown


def test_everybodys_names_stay() -> None:
    """Root and an empty home are nobody's."""
    assert impersonal("root of /root", {"HOME": "", "USER": "root"}) == "root of /root"
