"""Keys of ssh-keygen that sign records, and what is no such key."""

import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from llorch.cache.signing import Signer, Trusted, load_signer
from llorch.errors import ConfigError

RECORD = b'{"task": "build:worker-cpu"}'


def make_key(path: Path, *options: str, kind: str = "ed25519", passphrase: str = "", comment: str = "ci") -> Path:
    """Make a key pair by ssh-keygen and return the private one's path."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", comment, "-f", str(path), *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def public(path: Path) -> str:
    """Return the line of a key's public half."""
    return path.with_name(path.name + ".pub").read_text()


def signer(path: Path) -> Signer:
    """Return the signer of a key's file."""
    found = load_signer(f"file:{path}")
    assert found is not None
    return found


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key of the right kind."""
    return make_key(tmp_path / "key", comment="ci of the lab")


def complaint(sign_key: str, environ: dict[str, str] | None = None) -> str:
    """Return what is said of a `sign_key` that is none, with the hint."""
    with pytest.raises(ConfigError) as caught:
        load_signer(sign_key, environ or {})
    return f"{caught.value.message}\n{caught.value.hint}"


def test_a_signature_names_its_key(key: Path, tmp_path: Path) -> None:
    """A record that a trusted key has signed is its owner's, wherever that stands in the list."""
    other = make_key(tmp_path / "other")
    trusted = Trusted([public(other), public(key)])
    assert trusted.signer_of(RECORD, signer(key).sign(RECORD)) == "ci of the lab"
    assert trusted.signer_of(RECORD, signer(other).sign(RECORD)) == "ci"


def test_a_key_from_the_environment(key: Path) -> None:
    """A variable holds the key's text, also without the line end that secrets lose, and with those of Windows."""
    text = key.read_text()
    for held in (text, text.strip(), text.replace("\n", "\r\n"), f"\n{text}\n"):
        found = load_signer("env:LLORCH_SIGN_KEY", {"LLORCH_SIGN_KEY": held})
        assert found is not None
        assert Trusted([public(key)]).signer_of(RECORD, found.sign(RECORD)) == "ci of the lab"


def test_no_key_signs_nothing() -> None:
    """Where no key is named there is no signer."""
    assert load_signer("") is None


def test_a_stranger_is_nobody(key: Path, tmp_path: Path) -> None:
    """A signature by a key that is not listed is nobody's, and where no key is listed any is."""
    stranger = make_key(tmp_path / "stranger")
    signature = signer(stranger).sign(RECORD)
    assert Trusted([public(key)]).signer_of(RECORD, signature) is None
    assert Trusted([]).signer_of(RECORD, signature) is None


@pytest.mark.parametrize("changed", [RECORD + b" ", RECORD[:-1], b""])
def test_another_record_is_not_signed(key: Path, changed: bytes) -> None:
    """A signature is of one record, to the byte."""
    assert Trusted([public(key)]).signer_of(changed, signer(key).sign(RECORD)) is None


@pytest.mark.parametrize("change", [lambda s: s[:-4], lambda s: s.swapcase(), lambda s: s + "AAAA", lambda s: s + "\n"])
def test_a_damaged_signature_is_nobodys(key: Path, change: object) -> None:
    """A signature that was cut, changed or added to counts for nothing, and is no error."""
    assert callable(change)
    assert Trusted([public(key)]).signer_of(RECORD, change(signer(key).sign(RECORD))) is None


@pytest.mark.parametrize("signature", ["", "no base64!", "ünïcode", "AAAA", "A" * 100_000])
def test_what_is_no_signature_is_nobodys(key: Path, signature: str) -> None:
    """Any text may stand where a signature belongs."""
    assert Trusted([public(key)]).signer_of(RECORD, signature) is None


def test_signatures_of_other_uses_do_not_count(key: Path) -> None:
    """The same key's signature of the bare bytes, as another program may make it, is no record's."""
    loaded = load_ssh_private_key(key.read_bytes(), password=None)
    assert isinstance(loaded, Ed25519PrivateKey)
    bare = base64.b64encode(loaded.sign(RECORD)).decode()
    assert Trusted([public(key)]).signer_of(RECORD, bare) is None


def test_a_key_without_comment_is_called_by_its_fingerprint(tmp_path: Path) -> None:
    """The name is what `ssh-keygen -l` shows."""
    key = make_key(tmp_path / "key", comment="")
    listed = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, text=True, check=True).stdout
    name = Trusted([public(key)]).signer_of(RECORD, signer(key).sign(RECORD))
    assert name is not None
    assert name.startswith("SHA256:")
    assert name == listed.split()[1]


def test_a_comment_cannot_steer_a_terminal(key: Path) -> None:
    """What is not printable in a key's comment is written out."""
    name = Trusted([public(key).strip() + "\x1b[31m"]).signer_of(RECORD, signer(key).sign(RECORD))
    assert name == "ci of the lab\\x1b[31m"


@pytest.mark.parametrize(
    ("sign_key", "said"),
    [
        ("env:NOWHERE", "`NOWHERE` is not set"),
        ("env:EMPTY", "`EMPTY` is not set, or empty"),
        ("file:/nowhere/key", "`/nowhere/key` cannot be read: No such file"),
        ("file:key", "absolute"),
        ("file:", "absolute"),
        ("env:", "env:NAME"),
        ("SECRET", "env:NAME"),
        ("https://x/SECRET", "env:NAME"),
    ],
)
def test_no_place_of_a_key(sign_key: str, said: str) -> None:
    """What leads to no key is told, without what the setting says where it may be the key itself."""
    told = complaint(sign_key, {"EMPTY": " \n"})
    assert said in told
    assert "SECRET" not in told


def test_a_key_with_a_passphrase(tmp_path: Path) -> None:
    """There is nobody to ask for it."""
    key = make_key(tmp_path / "key", passphrase="not to be shown")
    told = complaint(f"file:{key}")
    assert "has a key with a passphrase" in told
    assert "ssh-keygen -t ed25519" in told


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds(tmp_path: Path, kind: str) -> None:
    """Only ed25519 signs."""
    assert "another kind than ed25519" in complaint(f"file:{make_key(tmp_path / 'key', kind=kind)}")


@pytest.mark.parametrize("cut", [0, 40, 200])
def test_what_is_no_key(key: Path, cut: int) -> None:
    """A damaged key is told of without a word of it."""
    text = key.read_text()
    damaged = "SECRETSECRET" + text[cut:] if cut else "SECRETSECRET"
    told = complaint("env:KEY", {"KEY": damaged[:-60] if cut else damaged})
    assert "no private key of OpenSSH's kind" in told
    assert "SECRETSECRET" not in told
    assert not any(line in told for line in text.splitlines() if line)


def test_the_public_half_is_no_private_key(key: Path) -> None:
    """The two files are easily taken for each other."""
    assert "no private key" in complaint(f"file:{key}.pub")


def test_every_wrong_trusted_key_is_told(key: Path, tmp_path: Path) -> None:
    """All lines are looked at, and a private key among them is not repeated."""
    rsa = make_key(tmp_path / "rsa", kind="rsa")
    lines = [public(key), public(rsa), "ssh-ed25519", "ssh-ed25519 AAAAC3Nz x", key.read_text(), ""]
    with pytest.raises(ConfigError) as caught:
        Trusted(lines)
    message = caught.value.message
    assert [f"trusted_keys[{number}]" in message for number in range(6)] == [False, True, True, True, True, True]
    assert "is a private key" in message
    assert key.read_text().splitlines()[1] not in message


def test_a_signer_does_not_tell_its_key(key: Path) -> None:
    """Neither its text nor its attributes as text have the key."""
    found = signer(key)
    assert all(line not in f"{found!r}{found!s}{vars(found)!r}" for line in key.read_text().splitlines()[1:-1])
