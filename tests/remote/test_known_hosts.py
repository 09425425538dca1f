"""Known hosts: each case is put to ssh, with a real server, and to us; and the lines that are written."""

import json
import random
import re
import stat
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llorch.errors import DiskFull
from llorch.remote.known_hosts import (
    Verdict,
    append,
    fingerprint,
    judge,
    lines_of,
    load_known_hosts,
    preferred_types,
    refusal,
)
from tests.conftest import as_mortal
from tests.remote.sshd import Sshd, make_key

CASES: Mapping[str, dict[str, Any]] = json.loads((Path(__file__).parent / "cases" / "known_hosts.json").read_text())
TYPES = {"ssh-ed25519": "ed25519", "ecdsa-sha2-nistp256": "ecdsa"}
"""What the server has, in the order in which ssh asks for it."""
CONNECT = """\
import socket, sys
server = socket.create_connection((sys.argv[1], int(sys.argv[2])))
socket.send_fds(socket.socket(fileno=1), [b"x"], [server.fileno()])
"""
"""Gives ssh a connection to the server, whatever name and port ssh believes that it has."""
SSH_SAYS = {
    "Permission denied": "trusted",
    "REVOKED HOST KEY": "revoked",
    "IDENTIFICATION HAS CHANGED": "changed",
    "host key is known for": "unknown",
}


class World:
    """A server and keys that are not its own."""

    def __init__(self, sshd: Sshd, folder: Path) -> None:
        self.sshd = sshd
        (folder / "connect.py").write_text(CONNECT)
        self.connect = f"{sys.executable} -I -S '{folder}/connect.py' {sshd.address} {sshd.port}"
        foreign = {"other": "ed25519", "rsa": "rsa", "nistp256": "ecdsa"}
        private = {**sshd.host_keys, **{name: make_key(folder / name, kind) for name, kind in foreign.items()}}
        self.keys = {name: key.with_suffix(".pub").read_text().split()[:2] for name, key in private.items()}

    def blob(self, name: str) -> bytes:
        """Return one of the keys."""
        return b64decode(self.keys[name][1])

    def write(self, file: Path, case: Mapping[str, Any]) -> None:
        """Write a case's lines with the keys of this run."""
        words = {name: " ".join(key) for name, key in self.keys.items()}
        words |= {f"{name}-blob": key[1] for name, key in self.keys.items()}
        blob = self.blob("ed25519")
        words |= {"ed25519-long": b64encode(blob + bytes(4)).decode(), "ed25519-short": b64encode(blob[:-1]).decode()}
        text = "\n".join(case["lines"]) + "\n" * case.get("ends", True)
        file.write_bytes(re.sub("{(.*?)}", lambda found: words[found[1]], text).encode("latin-1"))
        if case.get("hash"):
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
            assert b"host" not in file.read_bytes()

    def ask_ssh(self, file: Path, case: Mapping[str, Any]) -> str:
        """Connect with ssh under a case's name and port, and tell what it thinks of the server's key."""
        options = {
            "ProxyCommand": self.connect,
            "ProxyUseFdpass": "yes",
            "PreferredAuthentications": "none",
            "HostName": case.get("name", "host"),
            "Port": str(case.get("port", 22)),
            **({"HostKeyAlias": case["alias"]} if "alias" in case else {}),
        }
        command = self.sshd.ssh(*(f"-o{name}={value}" for name, value in options.items()), known_hosts=file)
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30).stderr
        found = [verdict for words, verdict in SSH_SAYS.items() if words in said]
        assert found, said
        return found[0]

    def ask_us(self, file: Path, case: Mapping[str, Any]) -> Verdict:
        """Judge the key that the server presents to a client which asks for types in the order that we say."""
        known = load_known_hosts([file])
        name, port = (case["alias"], 22) if "alias" in case else (case.get("name", "host"), case.get("port", 22))
        key_type = next(type for type in (*preferred_types(known, name, port), *TYPES) if type in TYPES)
        return judge(known, name, port, key_type, self.blob(TYPES[key_type]))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Run one server for all cases."""
    folder = tmp_path_factory.mktemp("known_hosts")
    with Sshd(folder / "sshd") as sshd:
        yield World(sshd, folder)


def test_cases_are_as_ssh_has_them(world: World, tmp_path: Path) -> None:
    """In every case we think what is written there, and so does ssh, which has no word of its own for authorities."""

    def ask(number: int, case: Mapping[str, Any]) -> tuple[str, str]:
        file = tmp_path / str(number)
        world.write(file, case)
        return world.ask_us(file, case).kind, world.ask_ssh(file, case)

    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(CASES, pool.map(ask, range(len(CASES)), CASES.values()), strict=True))
    expected = {title: case["verdict"] for title, case in CASES.items()}
    assert {title: ours for title, (ours, _) in found.items()} == expected
    of_ssh = {title: case.get("ssh", expected[title].replace("authority", "unknown")) for title, case in CASES.items()}
    assert {title: theirs for title, (_, theirs) in found.items()} == of_ssh


NAMES = ("a", "b", "ab", "a.b", "b.a.b", "*", "!a", "a,b", "[a]:22", "::1", "a]:1")


def test_names_match_as_for_ssh_keygen(world: World, tmp_path: Path) -> None:
    """Names and ports find the lines that `ssh-keygen -F` finds, also in a file full of strange patterns."""
    chance = random.Random(7)
    file = tmp_path / "known_hosts"
    words = ["a", "b", "ab", ".", "*", "?", "!", ",", ",!", "[", "]:", "1", ":", "A", "**", "\\"]
    patterns = ["".join(chance.choices(words, k=chance.randint(1, 5))) for _ in range(1500)]
    key = " ".join(world.keys["other"])
    some = [f"{pattern} {key}\n" for pattern in patterns if not pattern.startswith("#")]
    hashed = tmp_path / "hashed"
    hashed.write_text("".join(f"{name} {key}\n" for name in ("a", "[a]:1", "b,ab", "::1")))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(hashed)], check=True, capture_output=True)
    file.write_text("".join(some) + hashed.read_text())
    known = load_known_hosts([file])
    seen = 0
    for name, port in [(name, port) for name in NAMES for port in (22, 1, 11)]:
        entry = name if port == 22 else f"[{name}]:{port}"
        said = subprocess.run(["ssh-keygen", "-F", entry, "-f", str(file)], capture_output=True, text=True).stdout
        numbers = [int(number) for number in re.findall(r"found: line (\d+)", said)]
        assert [line.number for line in lines_of(known, name, port)] == numbers, entry
        seen += len(numbers)
    assert seen > 1000


def test_fingerprints_are_those_of_ssh_keygen(world: World, tmp_path: Path) -> None:
    """Every kind of key has the fingerprint that `ssh-keygen -l` prints."""
    for name, key in world.keys.items():
        (tmp_path / "key.pub").write_text(" ".join(key))
        said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True).stdout
        assert said.split()[1] == fingerprint(world.blob(name))


def test_all_files_count_and_those_that_are_missing_are_empty(world: World, tmp_path: Path) -> None:
    """What one file trusts another may revoke, and each line is told by its file and number."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(f"# mine\nhost {' '.join(world.keys['other'])}\n")
    two.write_text(f"@revoked * {' '.join(world.keys['other'])}\n")
    known = load_known_hosts([tmp_path / "none", str(one), two])
    verdict = judge(known, "host", 22, "ssh-ed25519", world.blob("other"))
    assert (verdict.kind, verdict.lines) == ("revoked", (known[1],))
    assert str(known[0]) == f"ssh-ed25519 {fingerprint(world.blob('other'))} ({one}:2)"
    assert load_known_hosts([]) == ()
    assert judge((), "host", 22, "ssh-ed25519", b"") == Verdict("unknown", "host", "ssh-ed25519", b"", ())


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """A file that is there and says nothing is not taken for an empty one: it may revoke what another trusts."""
    file = tmp_path / "known_hosts"
    file.touch(0)
    with pytest.raises(DiskFull, match=rf"`{file}` cannot be read: Permission denied") as raised:
        as_mortal(lambda: load_known_hosts([file]))
    assert raised.value.hint is not None
    with pytest.raises(DiskFull, match="Is a directory"):
        load_known_hosts([tmp_path])


def test_the_types_on_record_are_told_once_in_their_order(world: World, tmp_path: Path) -> None:
    """Of what is known for a name, revoked keys and authorities are no reason to ask for a type."""
    file = tmp_path / "known_hosts"
    marked = (("", "rsa"), ("", "ecdsa"), ("", "nistp256"), ("", "other"), ("@revoked ", "other"))
    lines = [f"{marker}host {' '.join(world.keys[name])}" for marker, name in marked]
    file.write_text("\n".join([*lines, f"@cert-authority host {' '.join(world.keys['ed25519'])}"]))
    known = load_known_hosts([file])
    assert preferred_types(known, "host", 22) == ("ssh-rsa", "ecdsa-sha2-nistp256")
    assert preferred_types(known, "host", 2222) == ()


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(("name", "port"), [("Host.lan", 22), ("Host", 2222), ("::1", 22), ("fe80::1%eth0", 2222)])
def test_ssh_finds_what_is_added(world: World, tmp_path: Path, name: str, port: int, hashed: bool) -> None:
    """A new file has one line, which ssh-keygen and we find, under a name that can be read unless it is hashed."""
    file = tmp_path / "new" / "known_hosts"
    blob = world.blob("ed25519")
    append(file, name, port, "ssh-ed25519", blob, hashed=hashed)
    entry = name.lower() if port == 22 else f"[{name.lower()}]:{port}"
    said = subprocess.run(["ssh-keygen", "-lF", entry, "-f", str(file)], capture_output=True, text=True).stdout
    assert fingerprint(blob) in said
    assert judge(load_known_hosts([file]), name, port, "ssh-ed25519", blob).kind == "trusted"
    assert file.read_text().startswith("|1|" if hashed else f"{entry} ssh-ed25519 ")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]


@pytest.mark.parametrize(("before", "between"), [("", ""), ("# mine\n\n", ""), ("# mine", "\n"), ("a b\r\n", "")])
def test_what_was_there_stays(world: World, tmp_path: Path, before: str, between: str) -> None:
    """A line is added at the end, on a line of its own, also behind a link, and the file keeps its mode."""
    file = tmp_path / "known_hosts"
    file.write_bytes(before.encode())
    file.chmod(0o640)
    (tmp_path / "link").symlink_to(file)
    append(tmp_path / "link", "host", 22, "ssh-ed25519", world.blob("ed25519"), hashed=False)
    line = f"host {' '.join(world.keys['ed25519'])}\n"
    assert file.read_bytes().decode() == before + between + line
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["*", "a,b", "!a", "@revoked", "#", "|1|", "a b", "a\nb", "ä"])
def test_a_name_never_becomes_a_pattern(world: World, tmp_path: Path, name: str) -> None:
    """A name that would mean others, or another thing, in a file is hashed, and only it is trusted."""
    file = tmp_path / "known_hosts"
    append(file, name, 22, "ssh-ed25519", world.blob("ed25519"), hashed=False)
    known = load_known_hosts([file])
    assert judge(known, name, 22, "ssh-ed25519", world.blob("ed25519")).kind == "trusted"
    assert [lines_of(known, other, 22) for other in ("a", "b", "c")] == [(), (), ()]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The message names the file, and what is in the way."""
    (tmp_path / "file").touch()
    with pytest.raises(DiskFull, match=r"file/known_hosts` cannot be written: (Not a directory|File exists)$"):
        append(tmp_path / "file" / "known_hosts", "host", 22, "ssh-ed25519", b"", hashed=False)


def test_several_add_at_once(world: World, tmp_path: Path) -> None:
    """No line is lost or mixed with another when many are added at the same time."""
    file = tmp_path / "known_hosts"
    blob = world.blob("rsa")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append(file, f"host{n}", 22, "ssh-rsa", blob, hashed=n % 2 == 0), range(200)))
    known = load_known_hosts([file])
    assert len(known) == 200
    assert all(judge(known, f"host{n}", 22, "ssh-rsa", blob).kind == "trusted" for n in range(200))


def test_an_unknown_key_is_refused_with_the_way_to_accept_it(world: World) -> None:
    """The fingerprint to compare is there, and a command that can be copied."""
    blob = world.blob("ed25519")
    error = refusal("my host", judge((), "host", 22, "ssh-ed25519", blob), lambda: None)
    assert error.exit_code == 7
    assert error.message.splitlines() == [
        "no connection to `my host`: its host key is not known",
        f"  presented: ssh-ed25519 {fingerprint(blob)}",
    ]
    assert error.hint is not None
    assert "`llorch remote hosts check 'my host' --accept`" in error.hint
    assert error.accept is not None


def test_a_changed_key_is_refused_with_both_fingerprints(world: World, tmp_path: Path) -> None:
    """What is presented, what is on record and where are there, and the command in the hint removes just that."""
    file = tmp_path / "known hosts"
    append(file, "host", 2222, "ssh-ed25519", world.blob("other"), hashed=True)
    append(file, "host", 22, "ssh-rsa", world.blob("rsa"), hashed=False)
    blob = world.blob("ed25519")
    error = refusal("mac", judge(load_known_hosts([file]), "host", 2222, "ssh-ed25519", blob), lambda: None)
    assert error.message.splitlines() == [
        "no connection to `mac`: its host key has changed: somebody may be in between",
        f"  presented: ssh-ed25519 {fingerprint(blob)}",
        f"  on record: ssh-ed25519 {fingerprint(world.blob('other'))} ({file}:1)",
    ]
    assert error.accept is None
    assert error.details()["presented"] == f"ssh-ed25519 {fingerprint(blob)}"
    assert error.details()["recorded"] == [f"ssh-ed25519 {fingerprint(world.blob('other'))}"]
    assert error.hint is not None
    remove, accept = re.findall("`(.*?)`", error.hint)
    assert accept == "llorch remote hosts check mac --accept"
    assert remove.startswith("ssh-keygen -R '[host]:2222' -f ")
    subprocess.run(["sh", "-c", remove], check=True, capture_output=True)
    assert file.read_text() == f"host {' '.join(world.keys['rsa'])}\n"


@pytest.mark.parametrize(
    ("marker", "says", "hint"),
    [
        ("@revoked", "its host key is revoked", "new host key"),
        ("@cert-authority", "host certificates are not supported", '`transport = "openssh"` for `mac`'),
    ],
)
def test_what_a_marker_refuses_is_said(world: World, tmp_path: Path, marker: str, says: str, hint: str) -> None:
    """The line that has the marker is told, and what can be done."""
    file = tmp_path / "known_hosts"
    file.write_text(f"\n{marker} * {' '.join(world.keys['other'])}\n")
    error = refusal(
        "mac", judge(load_known_hosts([file]), "host", 22, "ssh-ed25519", world.blob("other")), lambda: None
    )
    assert says in error.message
    assert f"  on record: ssh-ed25519 {fingerprint(world.blob('other'))} ({file}:2)" in error.message.splitlines()
    assert hint in str(error.hint)
