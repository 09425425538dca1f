"""`llorch remote hosts`: declared, reached, accepted and taken out again."""

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, Run
from tests.remote.conftest import configure, declare, entry
from tests.remote.sshd import Sshd, make_key

Llorch = Callable[..., Run]


def test_list(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """Hosts are listed as they are declared, and connected to only if that is asked for."""
    run = llorch("remote", "hosts", "list")
    assert run.out.splitlines() == [
        f"box\t{sshd.user}@127.0.0.1\t{sshd.port}\t",
        f"tin\t{sshd.user}@127.0.0.1\t{sshd.port}\t@tag",
    ]
    first, second = llorch("remote", "hosts", "list", "--json").json["hosts"]
    assert first == {
        "name": "box",
        "host": "127.0.0.1",
        "user": sshd.user,
        "port": sshd.port,
        "tags": [],
        "backends": [],
        "reachable": None,
        "error": None,
    }
    assert second["tags"] == ["tag"]


def test_list_with_a_look(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """With `--check` each host is connected to."""
    declare(box, entry("box", sshd), entry("off", sshd, port=1))
    run = llorch("remote", "hosts", "list", "--check")
    assert run.code == 0
    assert run.out.splitlines()[0].endswith("\tyes")
    assert run.out.splitlines()[1].endswith("\tno: 127.0.0.1 port 1: Connection refused")
    first, second = llorch("remote", "hosts", "list", "--check", "--json").json["hosts"]
    assert (first["reachable"], second["reachable"]) == (True, False)
    assert second["error"]["code"] == "connection-failed"


def test_no_hosts(workspace: Path, llorch: Llorch) -> None:
    """Without hosts.toml there are none, and how to declare one is said."""
    (workspace / "llorch.toml").write_text("version = 1\n")
    run = llorch("remote", "hosts", "list")
    assert (run.code, run.out) == (0, "")
    assert "`llorch remote hosts add NAME`" in run.err
    assert llorch("remote", "hosts", "list", "--json").json["hosts"] == []
    assert llorch("remote", "hosts", "check").code == 0


def fingerprint(key: Path) -> tuple[str, str]:
    """Return the kind of a key, and what ssh-keygen says is its fingerprint."""
    kind = key.with_suffix(".pub").read_text().split()[0]
    said = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True).stdout
    return kind, said.split()[1]


def add(sshd: Sshd, *more: str) -> tuple[str, ...]:
    """Return the command line that declares `new`."""
    where = ("--host", sshd.address, "--port", str(sshd.port), "--user", sshd.user)
    return ("remote", "hosts", "add", "new", *where, "--identity-file", str(sshd.client_key), *more)


def test_add_and_remove(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """A host that is reached is written below the others, comments and all kept, and taken out again."""
    before = (box / "hosts.toml").read_text() + "# the end\n"
    (box / "hosts.toml").write_text(before)
    run = llorch(*add(sshd, "--tag", "gpu", "--backend", "cuda"))
    assert (run.code, run.out) == (0, "new: connected, and written into hosts.toml\n")
    assert llorch("remote", "exec", "@cuda", "echo", "hi").out == "hi\n"
    assert [host["name"] for host in llorch("remote", "hosts", "list", "--json").json["hosts"]][-1] == "new"
    assert llorch(*add(sshd)).code == 8
    assert llorch("remote", "hosts", "remove", "new").code == 0
    assert (box / "hosts.toml").read_text().rstrip() == before.rstrip()
    run = llorch("remote", "hosts", "remove", "new", "--json")
    assert (run.code, run.json["error"]["code"]) == (3, "unknown-name")


def test_add_with_a_key_that_is_here(box: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key's relative path is from the folder that the command is called in."""
    (box / "deep").mkdir()
    (box / "deep/key").symlink_to(sshd.client_key)
    monkeypatch.chdir(box / "deep")
    words = [word if word != str(sshd.client_key) else "key" for word in add(sshd)]
    assert llorch(*words).code == 0
    assert f'identity_file = "{box}/deep/key"' in (box / "hosts.toml").read_text()


def test_add_what_cannot_be_reached(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """Nothing is written for a host that does not answer, and a wrong value is told before any connection."""
    before = (box / "hosts.toml").read_text()
    assert llorch("remote", "hosts", "add", "new", "--host", "127.0.0.1", "--port", "1").code == 7
    run = llorch("remote", "hosts", "add", "new", "--host", "-oProxyCommand=x")
    assert run.code == 3
    assert "not a name for ssh" in run.err
    for name in ('"q"', "a\nb", "", "ü", "all", "none"):
        run = llorch("remote", "hosts", "add", "--host", "127.0.0.1", "--", name)
        assert (run.code, run.err.startswith("error: hosts.toml: `")) == (3, True), run.err
    assert (box / "hosts.toml").read_text() == before


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_a_new_key_is_shown_and_accepted(
    box: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """Without a word nothing is accepted; with `--accept` the key is recorded and the host declared."""
    known = box.parent / "known hosts 100%"
    configure(monkeypatch, box.parent, Path(str(known).replace("%", "%%")), "HashKnownHosts yes\n")
    run = llorch(*add(sshd, "--transport", transport))
    assert run.code == 7
    assert "its host key is not known" in run.err
    kind, print = fingerprint(sshd.host_keys["ed25519"])
    assert f"presented: {kind} {print}" in run.err
    assert not known.exists()
    assert run.err.endswith("says, then repeat it with `--accept`\n")  # there is no `new` yet that could be checked
    run = llorch(*add(sshd, "--transport", transport, "--accept", "--json"))
    assert (run.code, run.json["file"], run.json["hosts"][0]["reachable"]) == (0, "hosts.toml", True)
    (line,) = known.read_text().splitlines()
    assert line.startswith("|1|")
    known.unlink()
    assert llorch("remote", "hosts", "check", "box").code == 7
    run = llorch("remote", "hosts", "check", "box", "new", "--accept")
    assert run.code == 0
    assert [line.split()[:2] for line in run.out.splitlines()] == [["ok", "box"], ["ok", "new"]]


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_keys_of_hops_are_accepted_too(
    box: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transport: str
) -> None:
    """Each key is told with whose it is, though it be the same one; a changed one is told with both prints."""
    known = tmp_path / "known"
    configure(monkeypatch, box.parent, known)
    with Sshd(tmp_path / "mid") as middle, Sshd(tmp_path / "far") as far:
        gate = entry("gate", sshd)
        declare(box, gate, entry("mid", middle, jump="gate"), entry("far", far, jump="mid", transport=transport))
        run = llorch("remote", "hosts", "check", "far")
        assert f"the host key of the hop `[127.0.0.1]:{sshd.port}` is not known" in run.out
        run = llorch("remote", "hosts", "check", "far", "--accept")
        assert (run.code, run.err.count("accepted")) == (0, 3), run.out
        assert [line.split()[0] for line in known.read_text().splitlines()] == [
            f"[127.0.0.1]:{server.port}" for server in (sshd, middle, far)
        ]
        other, own = fingerprint(sshd.host_keys["ed25519"])[1], fingerprint(middle.host_keys["ecdsa"])
        known.write_text(sshd.known_hosts_line() + sshd.known_hosts_line("ecdsa", f"[127.0.0.1]:{middle.port}"))
        error = llorch("remote", "hosts", "check", "far", "--accept", "--json").json["hosts"][0]["error"]
        assert f"the host key of the hop `[127.0.0.1]:{middle.port}` has changed" in error["message"]
        assert (error["code"], error["presented"]) == ("host-key", " ".join(own))
        assert error["recorded"] == [" ".join(fingerprint(sshd.host_keys["ecdsa"]))]
        assert other not in error["message"]


def test_a_key_beside_an_authority(box: Path, sshd: Sshd, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without a certificate is like any other for the system's ssh; for paramiko that is not known."""
    known = box.parent / "known"
    known.write_text(f"@cert-authority * {make_key(box.parent / 'ca').with_suffix('.pub').read_text()}")
    configure(monkeypatch, box.parent, known)
    run = llorch("remote", "hosts", "check", "--accept")
    assert "accepted" in run.err
    assert "host certificates are not supported" in run.out
    assert "ok      tin" in run.out


def test_a_file_that_keeps_no_key(box: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is accepted is not read again, it is tried once; where there is no file, nothing is accepted."""
    configure(monkeypatch, box.parent, Path("/dev/null"))
    run = llorch("remote", "hosts", "check", "box", "--accept")
    assert run.code == 7
    assert run.err.count("accepted") == 1
    (box.parent / "ssh_config").write_text("Host *\nUserKnownHostsFile none\nGlobalKnownHostsFile none\n")
    run = llorch("remote", "hosts", "check", "box", "--accept")
    assert run.code == 7
    assert "accepted" not in run.err


def test_a_person_accepts_a_key(box: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the fingerprint is shown and a question asked; only yes is yes."""
    known = box.parent / "known"
    configure(monkeypatch, box.parent, known)
    for answer, code in ((b"\n", 7), (b"y\n", 0)):
        main, ours = pty.openpty()
        command = [str(BIN / "llorch"), "remote", "hosts", "check", "box"]
        env = {**os.environ, "TERM": "xterm"}
        with subprocess.Popen(command, stdin=ours, stdout=ours, stderr=ours, env=env) as process:
            said = b""
            while b"[y/N]" not in said:
                said += os.read(main, 1000)
            assert b"SHA256:" in said
            os.write(main, answer)
            assert process.wait(20) == code
        os.close(main)
        os.close(ours)
        assert known.exists() == (code == 0)


def test_check(box: Path, sshd: Sshd, llorch: Llorch, tmp_path: Path) -> None:
    """All hosts, or those that are named, and what stands in the way of each."""
    declare(box, entry("box", sshd), entry("off", sshd, port=1))
    run = llorch("remote", "hosts", "check")
    assert run.code == 7
    assert run.out.splitlines()[0].split()[:2] == ["ok", "box"]
    assert "hint: " in run.out
    run = llorch("remote", "hosts", "check", "--json")
    assert (run.json["ok"], [host["reachable"] for host in run.json["hosts"]]) == (False, [True, False])
    assert llorch("remote", "hosts", "check", "box").code == 0
    with Sshd(tmp_path / "no", options=["ForceCommand exit 1"]) as server:
        declare(box, entry("box", server))
        (box.parent / "ssh_config").write_text(f'Host *\nUserKnownHostsFile "{server.known_hosts}"\n')
        assert "does not run commands" in llorch("remote", "hosts", "check").out


def test_the_users_own_file(box: Path, sshd: Sshd, llorch: Llorch) -> None:
    """Hosts of one's own are in one's own file, beside the workspace's."""
    assert llorch(*add(sshd, "--user-file")).code == 0
    assert "[hosts.new]" in (Path.home() / ".config" / "llorch" / "hosts.toml").read_text()
    assert llorch("remote", "exec", "new", "echo", "hi").out == "hi\n"
    assert llorch("remote", "hosts", "remove", "new", "--user-file", "--json").json["removed"] == "new"
