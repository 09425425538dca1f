"""A host that models are copied to and from: a real sshd, and a script that stands before all that runs on it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from llorch.remote.hosts import Host
from llorch.remote.reach import Reach
from tests.conftest import BIN
from tests.remote.sshd import Sshd


class Box:
    """A host with a repository, which is empty at the beginning; its llorch is the one under test."""

    def __init__(self, sshd: Sshd, repository: Path) -> None:
        self.sshd = sshd
        self.repository = repository
        self.models = repository / ".test-models"
        repository.mkdir()
        self.before("")

    @property
    def wrapper(self) -> Path:
        """What sshd runs in place of each command."""
        return self.sshd.folder / "wrapper"

    def before(self, script: str, after: str = "") -> None:
        """Have a script of sh run before whatever runs on it, and one after that."""
        end = f'sh -c "$SSH_ORIGINAL_COMMAND"\n{after}' if after else 'exec sh -c "$SSH_ORIGINAL_COMMAND"'
        self.wrapper.write_text(f"#!/bin/sh\n{script}\n{end}\n")
        self.wrapper.chmod(0o755)

    def program(self, name: str, script: str, after: str = "") -> None:
        """Have a program of this name be another one."""
        folder = self.repository.parent / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        self.before(f'SESSION=$PPID PATH="{folder}:$PATH"; export SESSION PATH', after)

    def without(self, *programs: str) -> None:
        """Take programs away, by a PATH with all others."""
        folder = self.repository.parent / "few"
        folder.mkdir()
        for path in (Path("/usr/bin"), Path("/bin")):
            for program in path.iterdir():
                if program.name not in programs and not os.path.lexists(folder / program.name):
                    (folder / program.name).symlink_to(program)
        self.before(f'PATH="{folder}"; export PATH')

    def stops_after(self, size: int, then: str) -> Path:
        """Have it take no more than so many bytes of a file, then do something; return a FIFO that says when it ended.

        It ends when nobody sends any more.
        """
        ended = self.repository.parent / "ended"
        os.mkfifo(ended)
        took = f"{ended}.took"
        script = f'head -c {size}; touch "{took}"; {then}; /bin/cat >/dev/null'
        self.program("cat", script, after=f'if [ -e "{took}" ]; then echo ended >"{ended}"; fi')
        return ended

    def entry(self, name: str, *, llorch: bool = False, transport: str = "paramiko") -> str:
        """Return its lines for hosts.toml."""
        lines = [f"[hosts.{name}]", f'host = "{self.sshd.address}"', f"port = {self.sshd.port}"]
        lines += [f'identity_file = "{self.sshd.client_key}"', f'repo_path = "{self.repository}"']
        lines += [f'transport = "{transport}"', *([f'llorch = "{BIN / "llorch"}"'] if llorch else [])]
        return "\n".join(lines) + "\n"

    def host(self) -> Host:
        """Return it as a host."""
        return Host(
            name="box",
            host=self.sshd.address,
            port=self.sshd.port,
            identity_file=str(self.sshd.client_key),
            repo_path=str(self.repository),
        )

    def reach(self) -> Reach:
        """Return how to get to it."""
        return Reach({}, 10, lambda _: None)

    def files(self) -> dict[str, bytes]:
        """Return what is in its model folder."""
        return {
            str(path.relative_to(self.models)): path.read_bytes()
            for path in self.models.rglob("*")
            if path.is_file() and not path.is_symlink()
        }


@contextmanager
def serving(folder: Path) -> Iterator[Sshd]:
    """Run a server for boxes, one after the other."""
    with Sshd(folder / "sshd", options=[f'ForceCommand "{folder / "sshd" / "wrapper"}"']) as sshd:
        yield sshd


def new_box(sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """Return a new host of a server, in a folder with a space, that llorch knows how to reach."""
    config = folder / "ssh_config"
    config.write_text(
        f'Host *\nUserKnownHostsFile "{sshd.known_hosts}"\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\n'
    )
    monkeypatch.setenv("LLORCH_SSH_CONFIG", str(config))
    return Box(sshd, folder / "fär away")


def in_mounts(script: str) -> str:
    """Return a beginning of a wrapper that makes mounts of its own, then goes on in them."""
    return f'[ -n "$MOUNTED" ] || {{ MOUNTED=1 exec unshare --map-root-user --mount sh -c \'{script}; "$0"\' "$0"; }}'
