"""`llorch dev doctor` as its users meet it: on this machine, in an empty home, without git or cargo, offline."""

import re
import shutil
import socket
from pathlib import Path

import pytest

from llorch.dev.finding import Finding
from tests.conftest import BIN, in_terminal
from tests.dev.conftest import Programs, examined, has_rustup, programs, write_empty_rustup, write_rustup
from tests.git.conftest import World, git, isolated, world
from tests.hub import Hub
from tests.rust import SYSROOT, needs_cargo

__all__ = ["isolated", "programs", "world"]  # fixtures
SETTINGS = """
version = 1
[build.worker]
manifest = "worker/Cargo.toml"
package = "worker"
bin = "worker-{backend}"
backends = ["cpu", "cuda", "metal"]
features = ["{backend}"]
[test.unit]
manifest = "worker/Cargo.toml"
needs = ["models:small"]
"""
CATALOG = """
version = 1
[models.small]
repo = "org/small"
files = [{ path = "small.gguf", size = 4 }]
"""
MANIFEST = '[package]\nname = "worker"\nversion = "0.1.0"\nedition = "2021"\n'


@pytest.fixture
def project(world: World, programs: Programs) -> Path:
    """A repository with submodules, builds and a model of the Hub; PATH has what they need, CUDA apart."""
    assert SYSROOT is not None, "cargo is not installed"
    files = {"llorch.toml": SETTINGS, "catalog.toml": CATALOG, "worker/Cargo.toml": MANIFEST, "worker/src/main.rs": ""}
    for name, text in files.items():
        place = world.work / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    programs.link("git", "cc")
    for name in ("cargo", "rustc"):
        (programs.folder / name).symlink_to(SYSROOT / "bin" / name)
    return world.work


def failures(examination: tuple[int, dict[str, Finding]]) -> list[str]:
    """Return the ids of what failed, which the exit code has to agree with."""
    code, findings = examination
    failed = [id for id, finding in findings.items() if finding.severity == "error"]
    assert code == (1 if failed else 0)
    return failed


@needs_cargo
def test_a_machine_that_has_all(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails, although there is neither CUDA nor a Mac: the CPU can be built for."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        code, findings = examined()
    assert code == 0
    fine = {"configuration", "python", "state", "git", "submodules", "cargo", "rustc", "linker", "hub", "clock", "disk"}
    assert fine <= {id for id, finding in findings.items() if finding.severity == "ok"}
    assert findings["cargo"].needed_for == "build:worker-cpu, build:worker-cuda, build:worker-metal and 1 more"
    assert findings["hub"].needed_for == findings["disk"].needed_for == "models:small"
    assert "metal" not in findings


@needs_cargo
def test_a_machine_that_has_nothing(project: Path, programs: Programs) -> None:
    """Each tool that is missing fails with the command that installs it; the Hub is not missed while it is off."""
    for place in programs.folder.iterdir():
        place.unlink()
    failed = examined(env={"LLORCH_OFFLINE": "1"})
    assert failures(failed) == ["git", "cargo", "linker"]
    findings = failed[1]
    assert "rustup.rs" in " ".join(findings["cargo"].fix)
    assert findings["git"].needed_for == f"the repository {project}"
    for id, package in (("git", "git"), ("linker", "build-essential")):
        told = " ".join(findings[id].fix)
        assert told.endswith(f"apt install {package}") or not shutil.which("apt", path="/usr/bin")


@needs_cargo
def test_a_clone_without_its_submodules(project: Path, programs: Programs) -> None:
    """It is told, and `--fix` clones them; a person says yes."""
    programs.link("sh", "dirname", "basename", "sed", "uname", "ls")
    git(project, "submodule", "--quiet", "deinit", "-f", "--all")
    assert examined(env={"LLORCH_OFFLINE": "1"})[1]["submodules"].severity == "warn"
    command = [str(BIN / "llorch"), "dev", "doctor", "--fix"]
    done = in_terminal(*command, typed="y\n", env={"LLORCH_OFFLINE": "1"})
    assert done.code == 0, done.out
    assert examined(env={"LLORCH_OFFLINE": "1"})[1]["submodules"].found == "3, all there"


@needs_cargo
@pytest.mark.parametrize(
    ("text", "said", "fix"),
    [
        ("[toolchain\nchannel = 1\n", "rust-toolchain.toml:1: is not valid TOML", "ed "),
        ('[toolchain]\nchannel = "1.63.0"\n', "`1.63.0` is wanted", "rustup toolchain install 1.63.0"),
        ('[toolchain]\nchannel = "{name}"\ntargets = ["no-such"]\n', "target `no-such`", "rustup target add no-such"),
    ],
)
def test_a_broken_toolchain_file(
    project: Path, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str, fix: str
) -> None:
    """It fails alone, with what mends it; cargo is not even called, which might install something."""
    monkeypatch.setenv("RUSTUP_HOME", str(tmp_path / "rustup"))
    name = write_rustup(programs, tmp_path / "rustup", real=has_rustup())
    (programs.folder / "cargo").unlink()
    programs.write("cargo", f": >'{tmp_path}/called'")
    (project / "rust-toolchain.toml").write_text(text.replace("{name}", name))
    failed = examined(env={"LLORCH_OFFLINE": "1"})
    assert failures(failed) == ["toolchain"]
    finding = failed[1]["toolchain"]
    assert said in finding.text
    assert finding.fix[0].startswith(fix)
    assert "cargo" not in failed[1]
    assert not (tmp_path / "called").exists()


def test_rustup_in_an_empty_home(project: Path, programs: Programs) -> None:
    """It has no toolchain there, says so itself, and is given one by a fix that may be run."""
    (programs.folder / "cargo").unlink()
    write_empty_rustup(programs)
    failed = examined(env={"LLORCH_OFFLINE": "1"})
    assert failures(failed) == ["cargo"]
    assert failed[1]["cargo"].safe
    assert failed[1]["cargo"].fix[0].endswith("rustup default stable")


@needs_cargo
def test_an_empty_home_offline(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is to come from a Hub that does not answer fails; one that is here needs none."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert failures(examined()) == ["hub"]
    assert failures(examined(env={"LLORCH_OFFLINE": "1"})) == []
    place = project / ".test-models/small/small.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"data")
    failed = examined()
    assert (failures(failed), failed[1]["hub"].severity) == ([], "warn")


@needs_cargo
def test_all_that_can_hang(project: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler for CUDA and a linker that do not end, a Hub that never answers: each is told, the others too."""
    programs.link("sleep")
    programs.write("nvcc", "sleep 600")
    (programs.folder / "cc").unlink()
    programs.write("cc", "trap '' TERM; sleep 600")
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        failed = examined()
    assert failures(failed) == ["linker", "hub"]
    findings = failed[1]
    assert findings["cuda"].severity == "warn"
    for id in ("linker", "cuda", "hub"):
        assert re.search("was not done after|does not answer within", findings[id].text)
    assert findings["git"].severity == findings["cargo"].severity == "ok"
