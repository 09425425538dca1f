"""The server of the tests: it lets us in with its keys alone, and leaves nothing behind."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.remote.sshd import Sshd


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Run a server whose folder's name has a space."""
    with Sshd(tmp_path / "sshd's own") as server:
        yield server


def test_it_runs_commands_in_its_own_home(sshd: Sshd) -> None:
    """A client that knows its keys gets in, and HOME is the server's."""
    done = subprocess.run([*sshd.ssh(), 'echo "$HOME"; exit 7'], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, f"{sshd.home}\n", "")


def test_each_host_key_can_be_asked_for(sshd: Sshd) -> None:
    """Both keys are the server's, and the lines for known_hosts are right."""
    for kind, algorithm in (("ed25519", "ssh-ed25519"), ("ecdsa", "ecdsa-sha2-nistp256")):
        line = sshd.folder / f"only_{kind}"
        line.write_text(sshd.known_hosts_line(kind))
        command = sshd.ssh("-o", f"HostKeyAlgorithms={algorithm}", known_hosts=line)
        assert subprocess.run([*command, "true"]).returncode == 0


def test_options_win(tmp_path: Path) -> None:
    """A line of the caller's counts before ours."""
    with Sshd(tmp_path / "sshd", options=("ForceCommand echo forced",)) as sshd:
        assert subprocess.run([*sshd.ssh(), "true"], capture_output=True).stdout == b"forced\n"


def test_it_ends_with_what_it_runs(tmp_path: Path) -> None:
    """A command that is still running is gone with the server, which a pipe tells that only it has open."""
    os.mkfifo(tmp_path / "pipe")
    with ExitStack() as stack:
        with Sshd(tmp_path / "sshd") as sshd:
            command = f"exec >{tmp_path / 'pipe'} 2>&1 </dev/null; echo $$; exec sleep 600"
            client = subprocess.Popen([*sshd.ssh(), command], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            pipe = stack.enter_context(open(tmp_path / "pipe"))
            os.kill(int(pipe.readline()), 0)
        assert pipe.read() == ""
    assert client.wait() == 255


def test_a_port_that_is_taken_meanwhile_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If somebody takes the port before the server does, it tries another one."""
    with Sshd(tmp_path / "first") as first:
        second = Sshd(tmp_path / "second")
        names = iter([("127.0.0.1", first.port)])
        real = socket.socket.getsockname
        monkeypatch.setattr(socket.socket, "getsockname", lambda self: next(names, None) or real(self))
        with second:
            assert second.port != first.port
            assert subprocess.run([*second.ssh(), "true"]).returncode == 0


def test_settings_that_it_refuses_are_shown(tmp_path: Path) -> None:
    """A wrong option fails the test with what sshd said of it."""
    with (
        pytest.raises(AssertionError, match="Bad configuration option: Nonsense"),
        Sshd(tmp_path / "x", options=["Nonsense 1"]),
    ):
        pass
