"""`llorch remote setup` on real servers: installed there by the real pip, and only what is missing."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llorch import __version__
from llorch.config import find_workspace
from llorch.remote.hosts import load_hosts
from tests.conftest import Run
from tests.remote.box import declare, environment
from tests.remote.sshd import Sshd

Llorch = Callable[..., Run]
NO_WAY_OUT = "PIP_NO_INDEX=1 PIP_CONFIG_FILE=/dev/null"
"""What a host has in its environment that gets to no package index."""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that gets to no package index."""
    folder = tmp_path_factory.mktemp("sshd") / "s"
    with Sshd(folder, options=[f'SetEnv "HOME={folder}/home" {NO_WAY_OUT}']) as server:
        yield server


def test_a_host_without_anything(workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told what will be done; then everything comes from here, even pip; and llorch works there."""
    place = declare(workspace, sshd, monkeypatch)
    missing = llorch("remote", "setup", "box", "--dry-run")
    assert (missing.code, "`llorch remote sync box` brings it there" in missing.err) == (3, True)
    place.mkdir(parents=True)
    dry = llorch("remote", "setup", "box", "--dry-run", "--json").json
    assert (dry["dry_run"], len(dry["steps"]), os.listdir(place)) == (True, 3, [])
    refused = llorch("remote", "setup", "box")
    assert (refused.code, os.listdir(place)) == (8, [])
    assert f"box: make `{place}/.venv` with Python 3." in refused.err
    run = llorch("remote", "setup", "box", "--yes")
    assert run.code == 0, run.err
    assert "it does not get packages by itself; they come from here" in run.err
    own = place / ".venv/bin/llorch"
    assert load_hosts(find_workspace())["box"].llorch == str(own)
    assert sorted(os.listdir(place / ".venv/llorch")) == ["installed"]
    assert f"VIRTUAL_ENV={place}/.venv" in (place / ".venv/bin/activate").read_text().replace("'", "").replace('"', "")
    assert llorch("models", "list", "--remote", "box", "--json").json["models"] == []
    begun = time.monotonic()
    again = llorch("remote", "setup", "box", "--json")
    assert (again.code, again.json["steps"], again.json["llorch"]) == (0, [], str(own))
    assert time.monotonic() - begun < 30


def test_another_version_is_replaced(
    workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one of the same number and other contents; what it needs is there and stays, and so do other packages."""
    place = declare(workspace, sshd, monkeypatch)
    own = environment(place)
    own.write_text("#!/bin/sh\necho llorch 0.0.9\n")
    own.chmod(0o755)
    run = llorch("remote", "setup", "box", "--yes", "--json")
    assert run.code == 0, run.out
    assert run.json["steps"][0] == f"install llorch {__version__} there in place of 0.0.9"
    (code,) = place.glob(".venv/lib/*/site-packages/llorch/parallel.py")
    code.write_text("changed")
    (place / ".venv/llorch/installed").write_text("of another wheel")
    run = llorch("remote", "setup", "box", "--yes")
    assert (run.code, "come from here" in run.err) == (0, False)
    assert code.read_text() != "changed"
    assert llorch("remote", "setup", "box").err == "box: nothing to do\n"


def test_what_is_in_the_way(workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.venv` that is no environment is left alone, and a name that is not declared is no host."""
    place = declare(workspace, sshd, monkeypatch)
    (place / ".venv").mkdir(parents=True)
    run = llorch("remote", "setup", "box", "--yes")
    assert (run.code, os.listdir(place / ".venv")) == (8, [])
    assert "`llorch remote exec box -- rm -r .venv`, then repeat" in run.err
    unknown = llorch("remote", "setup", "bos", "--yes")
    assert (unknown.code, "did you mean `box`" in unknown.err) == (3, True)


def test_a_wheel_that_comes_as_another(
    workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never gets its name; nothing is installed, and the next run begins where this one ended."""
    place = declare(workspace, sshd, monkeypatch)
    place.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr("llorch.remote.setup.digest_of", lambda _: "0" * 64)
        run = llorch("remote", "setup", "box", "--yes")
    assert (run.code, "is not the promised file" in run.err) == (6, True)
    assert [name for name in os.listdir(place / ".venv/llorch") if not name.endswith(".part")] == []
    left = llorch("remote", "setup", "box", "--dry-run", "--json").json["steps"]
    assert [step.split()[0] for step in left] == ["install", "set"]


def test_several_hosts(workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is off stops none of the others, and its exit code is the command's."""
    place = declare(workspace, sshd, monkeypatch)
    place.mkdir(parents=True)
    with open("hosts.toml", "a") as file:
        file.write('[hosts.off]\nhost = "127.0.0.1"\nport = 1\n')
    run = llorch("remote", "setup", "all", "--dry-run", "--json")
    box, off = run.json["hosts"]
    assert (run.code, box["exit"], len(box["result"]["steps"])) == (7, 0, 3)
    assert (off["result"], off["error"]["code"]) == (None, "connection-failed")
    told = llorch("remote", "setup", "all", "--dry-run")
    assert (told.code, "off  failed" in told.err) == (7, True)


@pytest.mark.skipif(Path("/usr/local/bin/python3").exists(), reason="it would be found")
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "`box` needs Python 3.11 or newer, and there is none"),
        ("3.9.2", "`box` needs Python 3.11 or newer, and there is only 3.9.2"),
        ("3.12.1", "/python3` on `box` cannot make environments: it has no `venv`"),
    ],
)
def test_no_python(
    workspace: Path, tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    """What is missing is told, and how to get it; the Python is an imitation, since this machine has a good one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "cat", "rm"):
        (programs / name).symlink_to(f"/bin/{name}")
    if said:
        (programs / "python3").write_text(f'#!/bin/sh\necho "{said} $0"\nexit 1\n')
        (programs / "python3").chmod(0o755)
    folder = tmp_path / "sshd"
    force = f'ForceCommand PATH="{programs}"; export PATH; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with Sshd(folder, options=[force]) as server:
        place = declare(workspace, server, monkeypatch)
        place.mkdir(parents=True)
        run = llorch("remote", "setup", "box", "--yes")
    assert run.code == 4
    assert told in run.err
    assert "without root: `uv python install`" in run.err
    assert os.listdir(place) == []
