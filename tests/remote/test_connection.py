"""Programs on a host, reached by paramiko or by the system's ssh: what they write, how they end, what ends them."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from llorch.errors import ConnectionFailed, DiskFull, HostKeyRefused, LlorchError
from llorch.remote import connection as by_paramiko
from llorch.remote.command import RUN
from llorch.remote.openssh import OpenSshConnection
from llorch.remote.reach import Reach
from llorch.remote.streams import Request, Terminal
from tests.conftest import BIN
from tests.remote.conftest import Heard, configure, declare, entry, is_there, reach_of, wait_for
from tests.remote.sshd import Sshd, make_key

BOTH = pytest.mark.parametrize("name", ["box", "tin"])


def sh(script: str, *, stdin: int | None = None, terminal: Terminal | None = None) -> Request:
    """Return what runs a script of sh in the home folder."""
    return Request(RUN, ("", "sh", "-c", script), stdin=stdin, terminal=terminal)


@BOTH
def test_streams_are_kept_apart(box: Path, name: str) -> None:
    """What goes to stdout and what to stderr arrives there, whole and binary."""
    heard = Heard()
    script = "i=0; while [ $i -lt 300 ]; do printf 'out\\377\\0'; printf 'err\\r\\n' >&2; i=$((i+1)); done; exit 3"
    assert heard.run(reach_of(box), name, sh(script)).code == 3
    assert bytes(heard.out) == b"out\xff\0" * 300
    assert bytes(heard.err) == b"err\r\n" * 300


def test_every_exit_code_is_kept(box: Path) -> None:
    """Codes from 0 to 255 and signals come back as a shell would tell them."""
    reach = reach_of(box)
    connection = reach.connect(reach.hosts["box"])
    for code in range(256):
        process = connection.start(sh(f"exit {code}"), lambda _: None, lambda _: None)
        assert process.wait() == code
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1):
        process = connection.start(sh(f"kill -{int(number)} $$"), lambda _: None, lambda _: None)
        assert process.wait() == 128 + number
    connection.close()


@pytest.mark.parametrize("code", [0, 1, 254, 255])
def test_the_systems_ssh_keeps_codes_too(box: Path, code: int) -> None:
    """255 is the program's own where it has begun."""
    assert Heard().run(reach_of(box), "tin", sh(f"exit {code}")).code == code


def test_a_signal_by_the_systems_ssh(box: Path) -> None:
    """Ssh tells of a signal by 255; it is no lost connection."""
    assert Heard().run(reach_of(box), "tin", sh("kill -9 $$")).code == 255


@BOTH
def test_stdin_reaches_its_end(box: Path, name: str) -> None:
    """What is read is passed on byte for byte, then its end."""
    data = os.urandom(3_000_000)
    file = box / "data"
    file.write_bytes(data)
    heard = Heard()
    with open(file, "rb") as opened:
        assert heard.run(reach_of(box), name, Request(RUN, ("", "cat"), stdin=opened.fileno())).code == 0
    assert bytes(heard.out) == data


@BOTH
def test_without_stdin_there_is_nothing_to_read(box: Path, name: str) -> None:
    """A program that reads comes to the end at once."""
    heard = Heard()
    assert heard.run(reach_of(box), name, sh("cat; echo end")).code == 0
    assert bytes(heard.out) == b"end\n"


@BOTH
def test_a_program_that_does_not_read(box: Path, name: str) -> None:
    """More input than it takes is no error, as in a pipe."""
    with open("/dev/zero", "rb") as endless:
        assert Heard().run(reach_of(box), name, sh("exit 4", stdin=endless.fileno())).code == 4


@BOTH
def test_a_terminal(box: Path, name: str) -> None:
    """A program that is to have one has one, of the size that was said."""
    heard = Heard()
    terminal = Terminal("xterm", 91, 27)
    script = 'test -t 0 && test -t 1 && stty size && echo "$TERM" >&2'
    assert heard.run(reach_of(box), name, sh(script, terminal=terminal)).code == 0
    kind = os.environ.get("TERM", "") if name == "tin" else "xterm"  # ssh tells of its own terminal
    assert bytes(heard.out).replace(b"\r", b"").split(b"\n")[-2] == kind.encode()
    assert name == "tin" or b"27 91" in heard.out


def test_a_terminal_changes_its_size(box: Path) -> None:
    """A program learns of it by a signal."""
    reach = reach_of(box)
    connection = reach.connect(reach.hosts["box"])
    out = bytearray()
    ready = threading.Event()

    def take(data: bytes) -> None:
        out.extend(data)
        if b"ready" in out:
            ready.set()

    script = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.01; done"
    keys, typing = os.pipe()
    process = connection.start(sh(script, stdin=keys, terminal=Terminal("xterm", 80, 24)), take, lambda _: None)
    assert ready.wait(10)
    process.resize(Terminal("xterm", 132, 43))
    assert process.wait() == 6
    process.resize(Terminal("xterm", 80, 24))  # after its end that is nothing
    assert b"43 132" in out
    os.close(typing)
    connection.close()


def test_a_gigabyte_in_bounded_memory(box: Path) -> None:
    """1 GiB through the command arrives whole, and needs no more memory than a small one."""
    count = "import sys, resource, subprocess; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE); n = 0\n"
    count += "while data := p.stdout.read(1 << 20): n += len(data) if data.count(0) == len(data) else -1 << 40\n"
    count += "print(n, p.wait(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)"
    command = [str(BIN / "llorch"), "remote", "exec", "box", "--", "head", "-c", str(1 << 30), "/dev/zero"]
    done = subprocess.run([sys.executable, "-c", count, *command], capture_output=True, text=True, check=True)
    size, code, mebibytes = map(int, done.stdout.split())
    assert (size, code) == (1 << 30, 0)
    assert mebibytes < 150


@BOTH
def test_megabytes_on_both_streams(box: Path, name: str) -> None:
    """A program that fills one while nobody would read the other does not stop."""
    heard = Heard()
    script = "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2"
    assert heard.run(reach_of(box), name, sh(script)).code == 0
    assert (len(heard.out), len(heard.err)) == (5_000_000, 10_000_000)


def test_an_interrupt_of_a_server_that_does_not_answer(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be passed on in time is given up on, also where ssh waits for a master's answer without end."""
    monkeypatch.setattr(by_paramiko, "_FOR_A_SIGNAL", 0.3)
    for name, transport in (("box", "paramiko"), ("tin", "openssh")):
        with Sshd(tmp_path / name) as server:
            declare(box, entry(name, server, transport=transport))
            (box.parent / "ssh_config").write_text(
                f'Host *\nUserKnownHostsFile "{server.known_hosts}"\nIdentityAgent none\n'
                f'ControlMaster auto\nControlPath "{tmp_path}/master"\nControlPersist 60\n'
            )
            reach = reach_of(box, 10.0)
            connection = reach.connect(reach.hosts[name])
            process = connection.start(sh("sleep 600"), lambda _: None, lambda _: None)
            assert process.beginning.came.wait(10)
            if isinstance(connection, OpenSshConnection):
                connection._timeout = 0.3
            with server.held():
                process.interrupt()  # ends
                connection.close()
        if transport == "openssh":
            subprocess.run(
                ["ssh", "-F", "none", "-o", f"ControlPath={tmp_path}/master", "-O", "exit", "x"], check=False
            )


@BOTH
def test_an_interrupt_ends_what_runs_there(box: Path, name: str) -> None:
    """A program is gone with its children, also one that does not heed SIGINT."""
    reach = reach_of(box)
    for trap in ("", 'trap "" INT; '):
        connection = reach.connect(reach.hosts[name])
        out = bytearray()
        ready = threading.Event()

        def take(data: bytes, out: bytearray = out, ready: threading.Event = ready) -> None:
            out.extend(data)
            if out.count(b"\n") == 2:
                ready.set()

        process = connection.start(sh(f"{trap}sleep 600 & echo $!; echo $$; wait; sleep 600"), take, lambda _: None)
        assert ready.wait(10)
        process.interrupt()
        with suppress(ConnectionFailed):  # it was hung up before the server told how it ended
            assert process.wait() in (130, 143, 255)
        wait_for(lambda out=out: not any(is_there(int(pid)) for pid in out.split()))  # type: ignore[misc] # a default
        connection.close()


def test_a_login_shell_that_says_more(box: Path, sshd: Sshd, tmp_path: Path) -> None:
    """A banner is not output, and other shells than sh read what they are sent."""
    for shell in ("fish", "dash", "bash"):
        force = f'ForceCommand echo "Welcome to {shell}"; echo warning >&2; exec {shell} -c "$SSH_ORIGINAL_COMMAND"'
        with Sshd(tmp_path / shell, options=[force]) as server:
            declare(box, entry("box", server))
            (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
            heard = Heard()
            ended = heard.run(reach_of(box), "box", Request(RUN, ("", "printf", "%s", "it's \\ *")))
        assert (ended.code, bytes(heard.out)) == (0, b"it's \\ *")
        assert sorted(bytes(heard.err).splitlines()) == sorted([b"warning", f"Welcome to {shell}".encode()])


@BOTH
def test_a_login_shell_that_shows_what_it_runs(box: Path, tmp_path: Path, name: str) -> None:
    """The command that it shows is no output of the command, though its mark is in it."""
    force = 'ForceCommand echo "+ $SSH_ORIGINAL_COMMAND"; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with Sshd(tmp_path / "shows", options=[force]) as server:
        declare(box, entry("box", server), entry("tin", server, transport="openssh"))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        heard = Heard()
        assert heard.run(reach_of(box), name, sh("echo hi")).code == 0
    assert (bytes(heard.out), bytes(heard.err[:14])) == (b"hi\n", b"+ exec sh -c '")


@BOTH
def test_a_login_shell_that_says_very_much(box: Path, tmp_path: Path, name: str) -> None:
    """It is passed on as it comes, and holds up nothing."""
    force = (
        'ForceCommand head -c 30000000 /dev/zero; head -c 30000000 /dev/zero >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    )
    with Sshd(tmp_path / "much", options=[force]) as server:
        declare(box, entry("box", server), entry("tin", server, transport="openssh"))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        heard = Heard()
        assert heard.run(reach_of(box), name, sh("echo hi")).code == 0
    assert (bytes(heard.out), len(heard.err)) == (b"hi\n", 60_000_000)


def test_a_login_shell_that_runs_nothing(box: Path, tmp_path: Path) -> None:
    """A shell that refuses is told by what it says; one that never begins, by the time."""
    with Sshd(tmp_path / "no", options=["ForceCommand echo no; exit 1"]) as server:
        declare(box, entry("box", server))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        heard = Heard()
        ended = heard.run(reach_of(box), "box", sh("true"))
        assert (ended.code, ended.state, bytes(heard.err)) == (1, None, b"no\n")
    with Sshd(tmp_path / "never", options=["ForceCommand sleep 600"]) as server:
        declare(box, entry("box", server))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        declare(box, entry("box", server), entry("tin", server, transport="openssh"))
        for name in ("box", "tin"):
            with pytest.raises(ConnectionFailed, match=r"its login shell has not begun after 0\.5 s"):
                Heard().run(reach_of(box, 0.5), name, sh("true"))


def test_a_link_that_breaks(box: Path, tmp_path: Path) -> None:
    """A server that goes away while a program runs is a broken connection, by either way."""
    for name, transport in (("box", "paramiko"), ("tin", "openssh")):
        with Sshd(tmp_path / name) as server:
            declare(box, entry(name, server, transport=transport))
            (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
            # The parent of the program's parent is what serves this connection.
            script = "kill -9 $(ps -o ppid= -p $PPID) $PPID; sleep 600"
            if transport == "openssh":
                assert Heard().run(reach_of(box), name, sh(script)).code == 255
            else:
                with pytest.raises(ConnectionFailed, match="no connection to `box`: the connection broke"):
                    Heard().run(reach_of(box), name, sh(script))


def test_a_server_that_often_wants_new_keys(box: Path, tmp_path: Path) -> None:
    """New keys on its request, each few packets and while both sides write, hold up and lose nothing."""
    data = os.urandom(10_000_000)
    (box / "data").write_bytes(data)
    with Sshd(tmp_path / "often", options=["RekeyLimit 64K", "LogLevel DEBUG1"]) as server:
        declare(box, entry("box", server))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        heard = Heard()
        with open(box / "data", "rb") as opened:
            assert heard.run(reach_of(box), "box", Request(RUN, ("", "cat"), stdin=opened.fileno())).code == 0
        assert bytes(heard.out) == data
        assert server.log.read_text().count("NEWKEYS received") > 100


def test_new_keys_that_never_come(box: Path) -> None:
    """An exchange of keys that does not end is a broken connection."""
    reach = reach_of(box)
    connection = reach.connect(reach.hosts["box"])
    process = connection.start(Request(RUN, ("", "cat", "/dev/zero")), lambda _: None, lambda _: None)
    (transport,) = connection._transports  # type: ignore[attr-defined] # paramiko's, as its own thread leaves it
    transport.clear_to_send_timeout = 0.2
    transport.clear_to_send.clear()
    with pytest.raises(ConnectionFailed, match="the connection broke: Key-exchange timed out"):
        process.wait()
    connection.close()


def test_a_server_that_allows_no_program(box: Path, tmp_path: Path) -> None:
    """A server without room for a session says so."""
    with Sshd(tmp_path / "none", options=["MaxSessions 0"]) as server:
        declare(box, entry("box", server))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        with pytest.raises(ConnectionFailed, match="the server does not start a program: Connect failed") as caught:
            Heard().run(reach_of(box), "box", sh("true"))
        assert "`MaxSessions`" in str(caught.value.hint)


def test_a_server_that_allows_one_program_at_a_time(box: Path, tmp_path: Path) -> None:
    """Each may begin as soon as the server has seen the end of the one before."""
    with Sshd(tmp_path / "one", options=["MaxSessions 1"]) as server:
        declare(box, entry("box", server))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        reach = reach_of(box)
        connection = reach.connect(reach.hosts["box"])
        for code in range(30):
            assert connection.start(sh(f"exit {code}"), lambda _: None, lambda _: None).wait() == code
        connection.close()


@pytest.fixture
def three(box: Path, sshd: Sshd, tmp_path: Path) -> Callable[..., Reach]:
    """Servers one behind the other: `far` lets in only who comes from `mid`'s key, and so on; two of them are hops."""

    def make(transport: str, middle: Sshd, far: Sshd) -> Reach:
        known = tmp_path / "all known"
        known.write_text("".join(server.known_hosts.read_text() for server in (sshd, middle, far)))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{known}"\nIdentityAgent none\n')
        declare(
            box,
            entry("gate", sshd),
            entry("mid", middle, jump="gate"),
            entry("far", far, jump="mid", transport=transport),
        )
        return reach_of(box)

    return make


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_two_hops(three: Callable[..., Reach], tmp_path: Path, transport: str) -> None:
    """A host behind two others is reached through both, each with its own key."""
    with Sshd(tmp_path / "mid") as middle, Sshd(tmp_path / "far") as far:
        heard = Heard()
        assert heard.run(three(transport, middle, far), "far", sh("echo $HOME")).code == 0
        assert bytes(heard.out) == f"{far.home}\n".encode()
        assert "Accepted publickey" in middle.log.read_text()


def test_a_hop_that_does_not_pass_on(three: Callable[..., Reach], tmp_path: Path) -> None:
    """A hop that forwards nothing is named as the reason."""
    with Sshd(tmp_path / "mid", options=["AllowTcpForwarding no"]) as middle, Sshd(tmp_path / "far") as far:
        with pytest.raises(ConnectionFailed, match=r"cannot be reached from the hop before it") as caught:
            Heard().run(three("paramiko", middle, far), "far", sh("true"))
        assert "AllowTcpForwarding" in str(caught.value.hint)


def test_a_hop_that_says_nothing(box: Path, sshd: Sshd) -> None:
    """It is named, since it is not the host that takes the time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hop = entry("hop", sshd, host="127.0.0.1", port=silent.getsockname()[1])
        declare(box, hop, entry("box", sshd, jump="hop"))
        with pytest.raises(ConnectionFailed, match=r"the start of SSH at the hop `127\.0\.0\.1` took too long: 0\.5 s"):
            Heard().run(reach_of(box, 0.5), "box", sh("true"))


def test_a_proxy_command(box: Path, sshd: Sshd, tmp_path: Path) -> None:
    """What ssh's configuration says of a command that connects is done, and it ends with the connection."""
    pids = tmp_path / "pids"
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import os, socket, sys, threading\n"
        "open(sys.argv[3], 'w').write(str(os.getpid()))\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def back():\n while data := s.recv(65536): os.write(1, data)\n"
        "threading.Thread(target=back, daemon=True).start()\n"
        "while data := os.read(0, 65536): s.sendall(data)\n"
    )
    command = f"ProxyCommand {sys.executable} '{relay}' %h %p '{pids}'\n"
    (box.parent / "ssh_config").write_text(f'Host *\n{command}UserKnownHostsFile "{sshd.known_hosts}"\n')
    heard = Heard()
    assert heard.run(reach_of(box), "box", sh("echo through")).code == 0
    assert bytes(heard.out) == b"through\n"
    assert not is_there(int(pids.read_text()))


def test_an_unknown_host_key_is_refused(box: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is sent to a server whose key nobody has accepted; once it is, it is reached."""
    known = tmp_path / "new" / "known_hosts"
    configure(monkeypatch, box.parent, known, "StrictHostKeyChecking no\n")
    with pytest.raises(HostKeyRefused, match="its host key is not known") as caught:
        Heard().run(reach_of(box), "box", sh("true"))
    assert caught.value.exit_code == 7
    assert not known.exists()
    assert caught.value.accept is not None
    caught.value.accept()
    assert Heard().run(reach_of(box), "box", sh("true")).code == 0


def test_a_changed_host_key_is_refused(box: Path, sshd: Sshd, tmp_path: Path) -> None:
    """Both fingerprints are told, and no word accepts it."""
    other = make_key(tmp_path / "other")
    kind, blob, *_ = other.with_suffix(".pub").read_text().split()
    known = tmp_path / "changed"
    known.write_text(f"[{sshd.address}]:{sshd.port} {kind} {blob}\n")
    (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{known}"\n')
    with pytest.raises(HostKeyRefused, match="its host key has changed") as caught:
        Heard().run(reach_of(box), "box", sh("true"))
    prints = [
        subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True).stdout.split()[1]
        for key in (sshd.host_keys["ed25519"], other)
    ]
    assert all(print in caught.value.message for print in prints)
    assert caught.value.accept is None


def test_a_revoked_host_key_is_refused(box: Path, sshd: Sshd, tmp_path: Path) -> None:
    """A key that ssh's configuration has revoked is refused, though it is on record; a list for ssh alone is said."""
    revoked = tmp_path / "revoked"
    known = f'UserKnownHostsFile "{sshd.known_hosts}"\nRevokedHostKeys "{revoked}"\n'
    (box.parent / "ssh_config").write_text(f"Host *\n{known}")
    with pytest.raises(DiskFull, match="revoked` cannot be read"):
        Heard().run(reach_of(box), "box", sh("true"))
    revoked.write_text("# all\n" + "".join(key.with_suffix(".pub").read_text() for key in sshd.host_keys.values()))
    with pytest.raises(HostKeyRefused, match="its host key is revoked"):
        Heard().run(reach_of(box), "box", sh("true"))
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", revoked, sshd.host_keys["ecdsa"].with_suffix(".pub")], check=True)
    with pytest.raises(LlorchError, match="key revocation list") as caught:
        Heard().run(reach_of(box), "box", sh("true"))
    assert 'transport = "openssh"' in str(caught.value.hint)


def test_the_systems_ssh_says_why_it_fails(box: Path, sshd: Sshd, tmp_path: Path) -> None:
    """What it says before the program begins is the reason; its password question is not asked."""
    declare(box, entry("tin", sshd, transport="openssh", identity_file=str(make_key(tmp_path / "other"))))
    with pytest.raises(ConnectionFailed, match=r"(?s)no connection to `tin`: .*Permission denied \(publickey\)"):
        Heard().run(reach_of(box), "tin", sh("true"))


def test_the_systems_ssh_may_say_nothing(box: Path, tmp_path: Path) -> None:
    """A key that is not known is told also by a configuration that has ssh keep quiet."""
    known = tmp_path / "none"
    (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{known}"\nLogLevel QUIET\n')
    with pytest.raises(HostKeyRefused, match=r"no connection to `tin`: its host key is not known"):
        Heard().run(reach_of(box), "tin", sh("true"))
    assert not known.exists()


def test_options_that_the_systems_ssh_is_to_ignore(box: Path, sshd: Sshd) -> None:
    """What other machines' ssh knows may be in the configuration, and what would keep ours from its work."""
    known = f'UserKnownHostsFile "{sshd.known_hosts}"'
    more = "UseKeychain yes\nSessionType none\nStdinNull yes\nForkAfterAuthentication yes\nRemoteCommand false\n"
    (box.parent / "ssh_config").write_text(f"IgnoreUnknown UseKeychain\nHost *\n{known}\n{more}")
    heard = Heard()
    assert heard.run(reach_of(box), "tin", sh("echo hi")).code == 0
    assert bytes(heard.out) == b"hi\n"


def test_open_files_are_closed(box: Path) -> None:
    """A connection leaves nothing open behind it."""
    reach = reach_of(box)
    Heard().run(reach, "box", sh("true"))
    Heard().run(reach, "tin", sh("true"))
    before = len(os.listdir("/proc/self/fd"))
    for name in ("box", "tin", "box"):
        Heard().run(reach, name, sh("true"))
    assert len(os.listdir("/proc/self/fd")) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > before
