"""Which system this is, and the command that installs something on it."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

Manager = Literal["apt", "dnf", "pacman", "brew"]
Package = Literal["git", "curl", "compiler", "ssh", "rustup", "sccache", "cuda", "nvidia-driver", "llama.cpp"]

OS_RELEASE = Path("/etc/os-release")
APT_LISTS = Path("/var/lib/apt/lists")
FAMILIES: Mapping[str, Manager] = {
    "debian": "apt",
    "ubuntu": "apt",
    "fedora": "dnf",
    "rhel": "dnf",
    "centos": "dnf",
    "arch": "pacman",
}
"""By a word of ID or ID_LIKE of os-release(5)."""
_INSTALL: Mapping[Manager, str] = {
    "apt": "apt install",
    "dnf": "dnf install",
    "pacman": "pacman -S",
    "brew": "brew install",
}
_XCODE = "xcode-select --install"
_COMMANDS: Mapping[tuple[str, Package], str] = {
    ("darwin", "git"): _XCODE,
    ("darwin", "compiler"): _XCODE,
    ("ubuntu", "nvidia-driver"): "ubuntu-drivers install",
}
"""What is not a package of the system's package manager, by platform or ID."""
_PACKAGES: Mapping[Package, Mapping[Manager, str]] = {
    "git": {"apt": "git", "dnf": "git", "pacman": "git", "brew": "git"},
    "curl": {"apt": "curl", "dnf": "curl", "pacman": "curl", "brew": "curl"},
    "compiler": {"apt": "build-essential", "dnf": "gcc", "pacman": "base-devel", "brew": "gcc"},
    "ssh": {"apt": "openssh-client", "dnf": "openssh-clients", "pacman": "openssh", "brew": "openssh"},
    "rustup": {"pacman": "rustup"},
    "sccache": {"apt": "sccache", "dnf": "sccache", "pacman": "sccache", "brew": "sccache"},
    "cuda": {"apt": "nvidia-cuda-toolkit", "dnf": "cuda-toolkit", "pacman": "cuda"},
    "nvidia-driver": {"apt": "nvidia-driver", "dnf": "akmod-nvidia", "pacman": "nvidia"},
    "llama.cpp": {"brew": "llama.cpp"},
}
_HOMEBREW = '/bin/bash -c "$(curl -fsSL https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh)"'
_RUSTUP = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"


class System(NamedTuple):
    """This system.

    Attributes:
        platform: as `sys.platform` has it.
        ids: ID and ID_LIKE of os-release(5).
        manager: None where it is none that is known here.
        sudo: what stands before a command that only root may run, empty for root.
        before: commands that have to run before a package can be installed.
        has_curl: there is a `curl`.
    """

    platform: str
    ids: tuple[str, ...] = ()
    manager: Manager | None = None
    sudo: str = ""
    before: tuple[str, ...] = ()
    has_curl: bool = True

    def install(self, package: Package) -> tuple[str, ...]:
        """Return the commands that install something; none where they are not known."""
        for kind in (self.platform, *self.ids):
            own = _COMMANDS.get((kind, package))
            if own is not None:
                return (own if self.platform == "darwin" else self.sudo + own,)
        name = _PACKAGES[package].get(self.manager) if self.manager is not None else None
        if self.manager is None or name is None:
            return ()
        sudo = "" if self.manager == "brew" else self.sudo
        return (*self.before, f"{sudo}{_INSTALL[self.manager]} {name}")

    def install_rust(self) -> tuple[str, ...]:
        """Return the commands that install Rust: by rustup, since what distributions have is often too old."""
        own = self.install("rustup")
        if own:
            return (*own, "rustup default stable")
        curl = () if self.has_curl else self.install("curl")
        return (*curl, _RUSTUP, 'export PATH="$HOME/.cargo/bin:$PATH"')


def parse_os_release(text: str) -> tuple[str, ...]:
    r"""Return ID and then the words of ID_LIKE.

    >>> parse_os_release('NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"')
    ('linuxmint', 'ubuntu', 'debian')
    """
    values = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    found: list[str] = []
    for key in ("ID", "ID_LIKE"):
        found += values.get(key, "").strip().strip("\"'").split()
    return tuple(found)


def load_system() -> System:
    """Return what this system is: its own word for it counts first, then which package manager is in PATH."""
    darwin = sys.platform == "darwin"
    try:
        ids = () if darwin else parse_os_release(OS_RELEASE.read_text(errors="replace"))
    except OSError:
        ids = ()
    manager = find_manager(sys.platform, ids)
    before: tuple[str, ...] = ()
    sudo = "sudo " if os.geteuid() and shutil.which("sudo") else ""
    if manager == "apt" and not next(APT_LISTS.glob("*_Packages*"), None):
        before = (f"{sudo}apt update",)
    if manager == "brew" and not shutil.which("brew"):
        before = (_HOMEBREW,)
    return System(sys.platform, ids, manager, sudo, before, bool(shutil.which("curl")))


def find_manager(platform: str, ids: tuple[str, ...]) -> Manager | None:
    """Return the package manager, None where it is none that is known here."""
    if platform == "darwin":
        return "brew"
    known = next((FAMILIES[id] for id in ids if id in FAMILIES), None)
    programs: Mapping[str, Manager] = {"apt-get": "apt", "dnf": "dnf", "pacman": "pacman", "brew": "brew"}
    return known or next((programs[name] for name in programs if shutil.which(name)), None)


def edit(path: str) -> str:
    """Return the command that opens a file, for a person to mend it, in the editor of their choice."""
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    there = next((name for name in ("vi", "nano") if shutil.which(name)), "vi")
    return f"{chosen or there} {shlex.quote(path)}"
