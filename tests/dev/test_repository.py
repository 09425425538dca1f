"""git and submodules: real repositories, without git, with submodules that are not there or broken."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from llorch.dev.repository import check_git, check_submodules, needs_git, needs_submodules
from tests.conftest import BIN
from tests.dev.conftest import Programs, look, needs_of
from tests.git.conftest import World, git, isolated, world

__all__ = ["isolated", "world"]  # fixtures


def repair(commands: tuple[str, ...]) -> None:
    """Run fixes as they are told, in a shell."""
    for command in commands:
        subprocess.run(["sh", "-c", command], check=True, env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"})


def test_git_works(world: World) -> None:
    """Its version, and the repository that needs it."""
    need = needs_git(needs_of(world.work))
    assert need == f"the repository {world.work}"
    (finding,) = look(check_git, world.work, need)
    assert (finding.severity, finding.found) == ("ok", git(world.work, "--version").removeprefix("git version "))


def test_no_git(world: World, workspace: Path, programs: Programs) -> None:
    """A failure in a repository, a warning where there is none."""
    (finding,) = look(check_git, world.work, needs_git(needs_of(world.work)))
    assert (finding.severity, finding.fix) == ("error", ("sudo apt install git",))
    (finding,) = look(check_git, workspace, needs_git(needs_of(workspace)))
    assert (finding.severity, finding.fix) == ("warn", ("sudo apt install git",))
    assert look(check_submodules, world.work) == []


@pytest.mark.parametrize(
    ("version", "severity"), [("2.25.9", "error"), ("1.9", "error"), ("2.26", "ok"), ("3.0.1", "ok")]
)
def test_an_old_git(world: World, programs: Programs, version: str, severity: str) -> None:
    """It is a failure by its version, whatever it can do, with the command that installs a newer one."""
    git = shutil.which("git", path="/usr/local/bin:/usr/bin:/bin")
    programs.write("git", f'[ "$1" = --version ] && echo git version {version} || exec {git} "$@"')
    (finding,) = look(check_git, world.work, "the repository")
    assert (finding.severity, finding.found) == (severity, version)
    assert ("2.26 or newer" in finding.text, bool(finding.fix)) == (severity == "error", severity == "error")


def test_a_repository_of_another_user(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done in it by git, and the fix is its own; whether to trust it is not for `--fix` to say."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    (finding,) = look(check_git, world.work)
    assert (finding.severity, finding.safe) == ("error", False)
    assert finding.fix == (f"git config --global --add safe.directory {shlex.quote(str(world.work))}",)


def test_a_folder_that_git_does_not_know(workspace: Path) -> None:
    """A `.git` that leads nowhere is said to."""
    (workspace / ".git").write_text("gitdir: nowhere\n")
    (finding,) = look(check_git, workspace)
    assert (finding.severity, finding.fix) == ("error", ())
    assert "leads nowhere" in finding.text


def test_all_submodules_are_there(world: World, workspace: Path) -> None:
    """They are counted; where there can be none, nothing is looked for."""
    (finding,) = look(check_submodules, world.work)
    assert (finding.severity, finding.found) == ("ok", "3, all there")
    assert needs_submodules(needs_of(world.work))
    assert needs_submodules(needs_of(workspace)) == ""


def test_submodules_that_are_not_there(world: World) -> None:
    """A warning with one command for all, which may be run, and mends it."""
    git(world.work, "submodule", "--quiet", "deinit", "-f", "--all")
    (finding,) = look(check_submodules, world.work)
    assert (finding.severity, finding.safe, finding.found) == ("warn", True, "2 not there")
    assert finding.text == "not cloned yet, or not wholly: reference/candle, reference/llama ü"
    repair(finding.fix)
    assert look(check_submodules, world.work)[0].severity == "ok"


def test_a_submodule_that_is_there_by_half(world: World) -> None:
    """A clone that was ended in its first checkout is not there, and the fix gets the rest."""
    llama, folder = world.work / "reference/llama ü", world.work / ".git/modules/reference/llama ü"
    (folder / "index").unlink()
    (folder / "logs/HEAD").unlink()
    (llama / "README").write_text("ha")
    (finding,) = look(check_submodules, world.work)
    assert (finding.severity, finding.found) == ("warn", "1 not there")
    repair(finding.fix)
    assert look(check_submodules, world.work)[0].severity == "ok"
    assert git(llama, "status", "--porcelain") == ""


def test_something_else_in_gits_place(world: World, programs: Programs) -> None:
    """It has to say that it is git, and is quoted no further than its first line."""
    programs.write("git", "echo; echo no version; echo more")
    (finding,) = look(check_git, world.work)
    assert (finding.severity, finding.text) == ("error", "`git --version` does not say it is git: no version")
    programs.write("git", "echo; echo ' '")
    assert look(check_git, world.work)[0].text.endswith(": unknown")


def test_a_submodule_that_a_build_needs(world: World) -> None:
    """Without it there is nothing to build, so it fails."""
    git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/candle")
    for suite in ("", '[test.unit]\nmanifest = "reference/candle/Cargo.toml"\n'):
        settings = '[build.app]\nmanifest = "reference/candle/app/Cargo.toml"\n'
        (world.work / "llorch.toml").write_text(settings + suite)
        (finding,) = look(check_submodules, world.work)
        assert finding.severity == "error"
        assert finding.needed_for == "build:app" + (", test:unit" if suite else "")
    (world.work / "llorch.toml").write_text('[build.app]\nmanifest = "reference/candlelight/Cargo.toml"\n')
    assert look(check_submodules, world.work)[0].severity == "warn"
    (world.work / "reference/candlelight").mkdir()
    (world.work / "reference/candlelight/Cargo.toml").write_text('[dependencies]\ncore = { path = "../candle/core" }\n')
    assert look(check_submodules, world.work)[0].needed_for == "build:app"


def test_a_submodule_that_leads_nowhere(world: World) -> None:
    """What is in its folder is moved aside, not away, and it is cloned again."""
    place = world.work / "reference/llama ü"
    (place / ".git").write_text("gitdir: /no/such/place\n")
    (place / "mine").write_text("mine")
    (finding,) = look(check_submodules, world.work)
    assert (finding.severity, finding.safe, finding.found) == ("error", False, "reference/llama ü is broken")
    repair(finding.fix)
    assert look(check_submodules, world.work)[0].severity == "ok"
    assert (world.work / "reference/llama ü.broken/mine").read_text() == "mine"


def test_a_link_in_a_submodules_place(world: World, tmp_path: Path) -> None:
    """It is not followed, and moved aside."""
    place = world.work / "reference/llama ü"
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    (finding,) = look(check_submodules, world.work)
    assert "is a link" in finding.text
    repair(finding.fix)
    assert look(check_submodules, world.work)[0].severity == "ok"


def test_a_submodule_that_nobody_declares(world: World) -> None:
    """There is nowhere to clone it from: it is taken out of the index."""
    git(world.work, "config", "--file", ".gitmodules", "--remove-section", "submodule.reference/candle")
    git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/llama ü")
    shutil.rmtree(world.work / "reference/candle")
    findings = {finding.found: finding for finding in look(check_submodules, world.work)}
    broken = findings["reference/candle is broken"]
    assert broken.text == "`.gitmodules` has no entry for it"
    assert broken.fix == ("git update-index --force-remove -- reference/candle",)
    repair(broken.fix)
    assert [finding.severity for finding in look(check_submodules, world.work)] == ["warn"]
