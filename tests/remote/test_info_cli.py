"""`llorch remote info` against real servers; programs that this machine cannot have are imitated."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llorch import __version__
from tests.conftest import BIN, Run, write_catalog
from tests.git.conftest import head, isolated, repository
from tests.remote.box import BEHIND_A_BANNER, declare
from tests.remote.sshd import Sshd

Llorch = Callable[..., Run]
__all__ = ["isolated"]


@pytest.fixture(scope="module", params=["dash", "fish"])
def sshd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server with a login shell that says something first."""
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"there is no {request.param}")
    with Sshd(tmp_path_factory.mktemp("sshd"), options=[BEHIND_A_BANNER.format(shell=shell)]) as server:
        yield server


def fake(folder: Path, name: str, *lines: str) -> None:
    """Write a program of sh."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(["#!/bin/sh", *lines, ""]))
    (folder / name).chmod(0o755)


def test_a_host_with_nothing_on_it(
    workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is told, and that there is no repository and no llorch; its folder is not made."""
    place = declare(workspace, sshd, monkeypatch)
    found = llorch("remote", "info", "box", "--json").json
    assert (found["host"], found["system"], found["kernel"]) == ("box", platform.system(), platform.release())
    assert found["threads"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert found["memory"] > found["memory_available"] > 0
    disk = shutil.disk_usage(sshd.home)
    assert found["disk"]["size"] == disk.total
    assert found["repository"] == {"path": str(place), "state": "none", "branch": None, "commit": None, "error": None}
    assert (found["llorch"], found["models"], found["builds"]) == (None, [], [])
    assert not place.exists()
    text = llorch("remote", "info", "box")
    assert f"repository:  {place} is not there\n" in text.out
    assert (text.code, text.err) == (0, "")


def test_what_can_be_seen_without_llorch(
    workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models and binaries are found by their names, and the repository's branch and commit are told."""
    place = repository(declare(workspace, sshd, monkeypatch))
    (place / ".test-models/a b").mkdir(parents=True)
    (place / ".test-models/a b/$(touch x)'ü.gguf").write_bytes(b"12345")
    (place / ".test-models/a b/config.json").touch()
    (place / "target/release").mkdir(parents=True)
    fake(place / "target/release", "llorch-cpu-candled")
    (place / "target/release/llorch-cpu-candled.d").touch()
    found = llorch("remote", "info", "box", "--json").json
    assert (found["repository"]["branch"], found["repository"]["commit"]) == ("main", head(place))
    assert found["models"] == [{"path": ".test-models/a b/$(touch x)'ü.gguf", "size": 5}]
    assert [build["path"] for build in found["builds"]] == ["target/release/llorch-cpu-candled"]


def test_llorch_there_is_asked(workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hosts.toml says that it is; its documents are in ours."""
    place = declare(workspace, sshd, monkeypatch, llorch=str(BIN / "llorch"))
    place.mkdir(parents=True)
    write_catalog(place, {"tiny": {"tiny.gguf": b"123"}})
    shutil.copytree(place / "sources/tiny", place / ".test-models/tiny")
    found = llorch("remote", "info", "box", "--json").json
    assert found["llorch"] == {"path": str(BIN / "llorch"), "version": __version__}
    assert [(model["id"], model["state"]) for model in found["models"]] == [("tiny", "unverified")]
    assert "model:       tiny, unverified, 3 B" in llorch("remote", "info", "box").out


def test_programs_that_are_not_on_this_machine(
    workspace: Path, tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nvidia-smi, rustc and Apple's are asked for programs' forms; an old nvidia-smi without what it does not know."""
    fakes = tmp_path / "fakes"
    smi = 'case $1 in *compute_cap*) echo no such field; exit 2;; esac; [ "$2 $3" = "--format=csv,noheader,nounits " ]'
    fake(fakes, "nvidia-smi", smi, "echo 'Tesla K80, 470.1, 11441, 11000'")
    fake(fakes, "rustc", '[ "$*" = -vV ] && echo "release: 1.85.0"')
    fake(
        fakes,
        "sysctl",
        'case "$*" in "-n machdep.cpu.brand_string") echo M3;; "-n hw.physicalcpu") echo 8;; *) exit 1; esac',
    )
    display = '{"SPDisplaysDataType": [{"sppci_model": "M3", "sppci_cores": "10"}]}'
    fake(fakes, "system_profiler", f"""[ "$*" = "SPDisplaysDataType -json" ] && echo '{display}'""")
    folder = tmp_path / "sshd"
    environment = f'SetEnv "HOME={folder}/home" "PATH={fakes}:/usr/bin:/bin"'
    with Sshd(folder, options=[environment]) as server:
        declare(workspace, server, monkeypatch)
        found = llorch("remote", "info", "box", "--json").json
        assert (found["cpu"], found["cores"], found["rustc"], found["cargo"]) == ("M3", 8, "1.85.0", None)
        (gpu,) = found["gpus"]
        assert (gpu["name"], gpu["memory"], gpu["compute_capability"]) == ("Tesla K80", 11441 << 20, None)
        fake(fakes, "nvidia-smi", "echo broken; exit 9")
        found = llorch("remote", "info", "box", "--json").json
        assert (found["gpus"][0]["name"], found["gpus"][0]["cores"], found["gpu_error"]) == ("M3", 10, "broken")


def test_several_hosts(workspace: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its result or its error; one that is off is told, and its exit code is the command's."""
    declare(workspace, sshd, monkeypatch, tags=["x"])
    with open("hosts.toml", "a") as file:
        file.write('[hosts.off]\nhost = "127.0.0.1"\nport = 1\ntags = ["x"]\n')
    run = llorch("remote", "info", "@x", "--json")
    box, off = run.json["hosts"]
    assert (run.code, box["host"], box["exit"], box["error"]) == (7, "box", 0, None)
    assert box["result"]["system"] == platform.system()
    assert (off["host"], off["exit"], off["result"], off["error"]["code"]) == ("off", 7, None, "connection-failed")
    text = llorch("remote", "info", "box", "off")
    assert text.out.startswith("box\nsystem: ")
    assert "off  failed" in text.err
    alone = llorch("remote", "info", "off")
    assert (alone.code, alone.out) == (7, "")


def test_a_shell_that_runs_nothing(
    workspace: Path, tmp_path: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told that the login shell does not run commands."""
    with Sshd(tmp_path / "sshd", options=["ForceCommand echo no; exit 3"]) as server:
        declare(workspace, server, monkeypatch)
        run = llorch("remote", "info", "box")
    assert (run.code, run.out) == (1, "")
    assert "the login shell of `box` does not run commands: it ended with 3" in run.err
