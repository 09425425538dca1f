"""What installs something, by cases of systems: what os-release(5) says, and what is in PATH."""

import os
import sys
from pathlib import Path

import pytest

from llorch.dev import system
from llorch.dev.system import Package, System, edit, find_manager, load_system
from tests.dev.conftest import Programs

CASES: list[tuple[str, str, Package, tuple[str, ...]]] = [
    ("ID=debian\nVERSION_ID=12", "", "git", ("sudo apt install git",)),
    ('ID=ubuntu\nID_LIKE=debian\nNAME="Ubuntu"', "", "compiler", ("sudo apt install build-essential",)),
    ("ID=ubuntu\nID_LIKE=debian", "", "nvidia-driver", ("sudo ubuntu-drivers install",)),
    ('ID=linuxmint\nID_LIKE="ubuntu debian"', "", "ssh", ("sudo apt install openssh-client",)),
    ("ID=fedora", "", "compiler", ("sudo dnf install gcc",)),
    ('ID="rocky"\nID_LIKE="rhel centos fedora"', "", "ssh", ("sudo dnf install openssh-clients",)),
    ("ID=arch", "", "cuda", ("sudo pacman -S cuda",)),
    ("ID=manjaro\nID_LIKE=arch", "", "nvidia-driver", ("sudo pacman -S nvidia",)),
    ("ID=arch", "", "llama.cpp", ()),
    ("ID=debian", "dnf", "sccache", ("sudo apt install sccache",)),
    ("ID=nixos", "", "git", ()),
    ("ID=strange", "dnf", "git", ("sudo dnf install git",)),
    ("ID=strange", "apt-get", "curl", ("sudo apt install curl",)),
    ("no such format", "pacman", "git", ("sudo pacman -S git",)),
    ("ID=strange", "brew", "llama.cpp", ("brew install llama.cpp",)),
]


@pytest.fixture
def machine(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of nothing but its os-release, which is returned, with sudo and a user who is not root."""
    monkeypatch.setattr(system, "OS_RELEASE", tmp_path / "os-release")
    monkeypatch.setattr(system, "APT_LISTS", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (tmp_path / "deb_dists_main_Packages.lz4").touch()
    programs.write("sudo", "exit 1")
    return tmp_path / "os-release"


@pytest.mark.parametrize(("release", "program", "package", "commands"), CASES)
def test_systems(
    machine: Path, programs: Programs, release: str, program: str, package: Package, commands: tuple[str, ...]
) -> None:
    """The system's own word counts before what is in PATH; what is not known is not guessed."""
    machine.write_text(release)
    if program:
        programs.write(program, "exit 1")
    assert load_system().install(package) == commands


def test_sudo_is_for_those_who_need_it(machine: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for root, not where there is none, and not for what refuses root."""
    machine.write_text("ID=fedora")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_system().install("git") == ("dnf install git",)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (programs.folder / "sudo").unlink()
    assert load_system().install("git") == ("dnf install git",)
    assert System("linux", (), "brew", "sudo ").install("git") == ("brew install git",)


def test_a_system_that_never_asked_its_servers_does_so_first(machine: Path) -> None:
    """As a fresh container, where apt knows of no packages."""
    machine.write_text("ID=debian")
    (machine.parent / "deb_dists_main_Packages.lz4").unlink()
    assert load_system().install("git") == ("sudo apt update", "sudo apt install git")


def test_no_release_file(machine: Path, programs: Programs) -> None:
    """Then what is in PATH tells, or nothing does."""
    assert load_system().manager is None
    programs.write("dnf", "exit 1")
    assert load_system().manager == "dnf"


def test_a_mac(machine: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's tools come from Apple, the rest by Homebrew, which is installed first where it is missing."""
    machine.write_text("ID=debian")
    monkeypatch.setattr(sys, "platform", "darwin")
    mac = load_system()
    assert mac.install("git") == mac.install("compiler") == ("xcode-select --install",)
    first, second = mac.install("sccache")
    assert "Homebrew/install" in first
    assert second == "brew install sccache"
    programs.write("brew", "exit 1")
    assert load_system().install("sccache") == ("brew install sccache",)
    assert find_manager("darwin", ()) == "brew"


def test_rust_comes_by_rustup(machine: Path, programs: Programs) -> None:
    """Whatever the distribution has is often too old; its own rustup is taken where it is the usual way."""
    machine.write_text("ID=debian")
    curl, script, path = load_system().install_rust()
    assert curl == "sudo apt install curl"
    assert "https://sh.rustup.rs" in script
    assert path.startswith("export PATH=")
    programs.write("curl", "exit 1")
    assert len(load_system().install_rust()) == 2
    machine.write_text("ID=arch")
    assert load_system().install_rust() == ("sudo pacman -S rustup", "rustup default stable")


def test_a_file_is_opened_in_the_users_editor(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the environment names, else one that is there."""
    monkeypatch.setenv("VISUAL", "code --wait")
    assert edit("a b") == "code --wait 'a b'"
    monkeypatch.delenv("VISUAL")
    assert edit("a") == "ed a"
    monkeypatch.delenv("EDITOR")
    assert edit("a") == "vi a"
    programs.write("nano", "exit 0")
    assert edit("a") == "nano a"
