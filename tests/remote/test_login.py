"""The keys that are offered: those that ssh would offer, and what is said where none is taken."""

import os
import pty
import re
import signal
import socket
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from llorch.errors import ConnectionFailed
from llorch.remote.command import RUN
from llorch.remote.streams import Request
from tests.conftest import BIN
from tests.remote.conftest import Heard, declare, entry, reach_of
from tests.remote.sshd import Sshd, make_key


def log_in(box: Path, answers: list[str] | None = None, name: str = "box") -> list[str]:
    """Reach a host, with a person who gives these answers; return what was asked."""
    asked: list[str] = []

    def ask(question: str) -> str | None:
        asked.append(question)
        return answers.pop(0) if answers else None

    reach = reach_of(box)._replace(ask=ask)
    assert Heard().run(reach, name, Request(RUN, ("", "true"))).code == 0
    return asked


def ssh_config(box: Path, sshd: Sshd, *lines: str) -> None:
    """Have ssh's configuration say these lines too."""
    known = f'UserKnownHostsFile "{sshd.known_hosts}"'
    (box.parent / "ssh_config").write_text("\n".join(["Host *", *lines, known, "IdentityAgent none", ""]))


def let_in(sshd: Sshd, *keys: Path) -> None:
    """Have the server take these keys and no others."""
    sshd.authorized_keys.write_text("".join(key.with_name(key.name + ".pub").read_text() for key in keys))


@pytest.fixture
def mine(box: Path, tmp_path: Path) -> Iterator[Sshd]:
    """A server of the test's own, which is `box`."""
    with Sshd(tmp_path / "mine") as server:
        ssh_config(box, server)
        declare(box, entry("box", server))
        yield server


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real agent, empty; return its socket."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # when it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield path
        process.terminate()


def test_an_agents_key(box: Path, mine: Sshd, agent: Path, tmp_path: Path) -> None:
    """A key that only the agent has logs in, by the agent of the environment or the one that is named."""
    key = make_key(tmp_path / "key", passphrase="secret")
    subprocess.run(["ssh-add", "-q", "-"], input=unlocked(key, "secret"), check=True)
    let_in(mine, key)
    for line in ("IdentityAgent SSH_AUTH_SOCK", f'IdentityAgent "{agent}"'):
        ssh_config(box, mine, line)
        declare(box, entry("box", mine, identity_file=str(tmp_path / "none")))
        assert log_in(box) == []


def unlocked(key: Path, passphrase: str) -> bytes:
    """Return a key without its passphrase."""
    copy = key.with_name("copy")
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", passphrase, "-N", "", "-f", str(copy)], check=True)
    data = copy.read_bytes()
    copy.unlink()
    return data


def test_an_agent_before_a_passphrase(box: Path, mine: Sshd, agent: Path, tmp_path: Path) -> None:
    """A file with a passphrase whose key the agent has is not asked for; of the agent it is the first one offered."""
    ssh_config(box, mine, "IdentityAgent SSH_AUTH_SOCK")
    key = make_key(tmp_path / "key", passphrase="secret")
    others = [make_key(tmp_path / f"other {n}") for n in range(7)]
    for data in [*(other.read_bytes() for other in others), unlocked(key, "secret")]:
        subprocess.run(["ssh-add", "-q", "-"], input=data, check=True)
    let_in(mine, key)
    declare(box, entry("box", mine, identity_file=str(key)))
    assert log_in(box) == []  # the server would give up after six


def test_only_named_identities(box: Path, mine: Sshd, agent: Path, tmp_path: Path) -> None:
    """With IdentitiesOnly the agent's other keys stay where they are."""
    ssh_config(box, mine, "IdentityAgent SSH_AUTH_SOCK", "IdentitiesOnly yes")
    subprocess.run(["ssh-add", "-q", str(mine.client_key)], check=True)
    declare(box, entry("box", mine, identity_file=str(tmp_path / "none")))
    with pytest.raises(ConnectionFailed, match="there is no key to offer"):
        log_in(box)


def test_a_dead_agent_is_none(box: Path, mine: Sshd, tmp_path: Path) -> None:
    """A socket that nobody listens at is as good as no agent."""
    ssh_config(box, mine, f'IdentityAgent "{tmp_path / "gone"}"')
    assert log_in(box) == []


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_passphrase_is_asked_for_once(box: Path, mine: Sshd, tmp_path: Path, kind: str) -> None:
    """Whatever the kind of key, it is asked for, again if it was wrong, and not again for the next connection."""
    key = make_key(tmp_path / "key", kind, passphrase="pass wörd")
    let_in(mine, key)
    declare(box, entry("box", mine, identity_file=str(key)))
    assert log_in(box, ["wrong", "pass wörd"]) == [f"Passphrase of {key}: "] * 2
    assert log_in(box, []) == []


def test_an_interrupt_while_a_passphrase_is_asked_for(box: Path, mine: Sshd, tmp_path: Path) -> None:
    """The terminal shows again what is typed, also where a thread has asked, as for several hosts."""
    key = make_key(tmp_path / "key", passphrase="secret")
    declare(box, entry("box", mine, identity_file=str(key)), entry("bow", mine, identity_file=str(key)))
    main, ours = pty.openpty()
    command = [str(BIN / "llorch"), "remote", "exec", "box,bow", "--", "true"]
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, stdin=ours, stdout=ours, stderr=ours, env=env, start_new_session=True) as process:
        said = b""
        while b"Passphrase of" not in said:
            said += os.read(main, 1000)
        assert not termios.tcgetattr(ours)[3] & termios.ECHO
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert termios.tcgetattr(ours)[3] & termios.ECHO
    os.close(main)
    os.close(ours)


def test_an_agent_that_does_not_answer(box: Path, mine: Sshd, tmp_path: Path) -> None:
    """It has no more time than everything has, and is what took it."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        ssh_config(box, mine, f'IdentityAgent "{tmp_path / "silent"}"')
        with pytest.raises(ConnectionFailed, match=r"asking the agent took too long: 0\.5 s are over"):
            Heard().run(reach_of(box, 0.5), "box", Request(RUN, ("", "true")))


def test_a_passphrase_that_nobody_gives(box: Path, mine: Sshd, tmp_path: Path) -> None:
    """Without a person, or with one who does not know it, the key is named with what to do."""
    key = make_key(tmp_path / "key", passphrase="secret")
    let_in(mine, key)
    declare(box, entry("box", mine, identity_file=str(key)))
    with pytest.raises(ConnectionFailed, match=r"has a passphrase, and nobody to ask: `ssh-add .*key` gives it"):
        log_in(box)
    with pytest.raises(ConnectionFailed, match=r"the passphrase of `.*key` was wrong 3 times"):
        log_in(box, ["a", "b", "c", "secret"])


def test_a_certificate(box: Path, mine: Sshd, tmp_path: Path) -> None:
    """A key that is known only by its certificate logs in, beside its file or where ssh's configuration says."""
    authority, key = make_key(tmp_path / "authority"), make_key(tmp_path / "key")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "me", "-n", mine.user, str(key) + ".pub"]
    subprocess.run(sign, check=True)
    mine.authorized_keys.write_text("cert-authority " + (tmp_path / "authority.pub").read_text())
    declare(box, entry("box", mine, identity_file=str(key)))
    assert log_in(box) == []
    (tmp_path / "key-cert.pub").rename(tmp_path / "elsewhere-cert.pub")
    with pytest.raises(ConnectionFailed, match="none of 1 keys was taken"):
        log_in(box)
    ssh_config(box, mine, f'CertificateFile "{tmp_path / "elsewhere-cert.pub"}"')
    assert log_in(box) == []


def test_a_key_that_is_none(box: Path, mine: Sshd, tmp_path: Path) -> None:
    """A file that cannot be read as a key is said, and the others are offered."""
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    (tmp_path / "broken.pub").write_text("not a key")
    ssh_config(box, mine, f'IdentityFile "{mine.client_key}"')
    declare(box, entry("box", mine, identity_file=str(broken)))
    assert log_in(box) == []
    let_in(mine)
    with pytest.raises(ConnectionFailed, match=rf"`{re.escape(str(broken))}` cannot be used: "):
        log_in(box)


def test_no_key_is_taken(box: Path, mine: Sshd) -> None:
    """Who may not log in is told which keys were offered, and how to let one in."""
    let_in(mine)
    with pytest.raises(ConnectionFailed, match=r"may not log in .none of 1 keys was taken: `.*client_key`") as caught:
        log_in(box)
    assert "ssh-copy-id" in str(caught.value.hint)


def test_too_many_keys(box: Path, mine: Sshd, agent: Path, tmp_path: Path) -> None:
    """The key that hosts.toml names comes before the agent's many; else the server gives up, which is told as such."""
    ssh_config(box, mine, "IdentityAgent SSH_AUTH_SOCK")
    for number in range(8):
        subprocess.run(["ssh-add", "-q", str(make_key(tmp_path / f"other {number}"))], check=True)
    assert log_in(box) == []
    declare(box, entry("box", mine, identity_file="none"), entry("tin", mine, transport="openssh"))
    with pytest.raises(ConnectionFailed, match="Too many authentication failures") as caught:
        log_in(box, name="tin")
    assert "`IdentitiesOnly yes`" in str(caught.value.hint)
    with pytest.raises(ConnectionFailed, match=r"none of \d keys was taken: .*; then the server hung up") as caught:
        log_in(box)
    assert "`identity_file`" in str(caught.value.hint)


def test_a_server_that_wants_more_than_a_key(box: Path, tmp_path: Path) -> None:
    """What paramiko is not asked to do here is said, with the way that does it."""
    for options, match in (
        (["AuthenticationMethods publickey,keyboard-interactive", "KbdInteractiveAuthentication yes"], "keyboard"),
        (["PubkeyAuthentication no", "PasswordAuthentication yes"], "password"),
    ):
        with Sshd(tmp_path / match, options=options) as server:
            ssh_config(box, server)
            declare(box, entry("box", server))
            with pytest.raises(ConnectionFailed) as caught:
                log_in(box)
            assert match in str(caught.value.hint)
            assert 'transport = "openssh"' in str(caught.value.hint)
