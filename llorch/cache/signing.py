"""Signatures of records: who made one, and whether that is somebody whose records count here.

Keys are those of `ssh-keygen -t ed25519`. A signature is made of a text that nothing else signs, so that none of
another use of the same key can stand for one.
"""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from llorch.errors import ConfigError, Problem
from llorch.text import shown

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DOMAIN = b"llorch cache record v1\n"
"""What comes before a record when it is signed."""
_KIND = "ssh-ed25519"
_SIGN_KEY, _TRUSTED_KEYS = "[cache] sign_key", "[cache] trusted_keys"
_MAKE = "make one with `ssh-keygen -t ed25519 -N '' -f FILE`"


class Signer:
    """A private key. It is in no message, and not in what `repr` tells."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key

    def sign(self, payload: bytes) -> str:
        """Return the signature of a record's bytes, as one word."""
        return base64.b64encode(self._key.sign(DOMAIN + payload)).decode()


class Trusted:
    """Public keys whose owners' records count."""

    def __init__(self, trusted_keys: Sequence[str]) -> None:
        """Take lines of `.pub` files: `ssh-ed25519`, the key, and whose it is.

        Raises:
            ConfigError: with every line that is none.
        """
        self._keys: list[tuple[Ed25519PublicKey, str]] = []
        problems = []
        for number, line in enumerate(trusted_keys):
            try:
                self._keys.append(_public_key(line))
            except ValueError as error:
                problems.append(Problem(f"{_TRUSTED_KEYS}[{number}]", None, "", str(error)))
        if problems:
            raise ConfigError(problems, hint="each is the line of a `.pub` file, as `ssh-keygen -t ed25519` makes it")

    def signer_of(self, payload: bytes, signature: str) -> str | None:
        """Return whose signature of a record's bytes it is: a key's comment or fingerprint; None if nobody's here."""
        from cryptography.exceptions import InvalidSignature

        try:
            raw = base64.b64decode(signature, validate=True)
        except ValueError:
            return None
        for key, name in self._keys:
            try:
                key.verify(raw, DOMAIN + payload)
            except InvalidSignature:
                continue
            return name
        return None


def load_signer(sign_key: str, environ: Mapping[str, str] = os.environ) -> Signer | None:
    """Return the key that `[cache] sign_key` names, None if it names none.

    Args:
        sign_key: `env:NAME`, a variable that holds the key itself, or `file:PATH`, absolute or with `~`: no key
            belongs in a workspace.

    Raises:
        ConfigError: there is no such variable or file, or no key of ours in it.
    """
    if not sign_key:
        return None
    kind, _, name = sign_key.partition(":")
    if kind == "env" and name:
        where = f"the variable `{shown(name)}`"
        raw = environ.get(name, "").encode(errors="surrogateescape")
        if not raw.strip():
            raise _wrong_key(f"{where} is not set, or empty", "set it to the key's text, as a secret of the CI job")
    elif kind == "file" and os.path.isabs(path := os.path.expanduser(name)):
        where = f"`{shown(path)}`"
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except OSError as error:
            raise _wrong_key(f"{where} cannot be read: {error.strerror}", _MAKE) from None
    else:
        raise _wrong_key("must be `env:NAME` or `file:PATH`, the path absolute or with `~`", _MAKE)
    return Signer(_private_key(raw, where))


def _private_key(raw: bytes, where: str) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        key = load_ssh_private_key(raw.strip(), password=None)
    except TypeError:  # how it says that a password is missing
        raise _wrong_key(f"{where} has a key with a passphrase, and nobody to ask", _MAKE) from None
    except (ValueError, UnsupportedAlgorithm):  # its words may have parts of the key
        raise _wrong_key(f"{where} has no private key of OpenSSH's kind", _MAKE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _wrong_key(f"{where} has a key of another kind than ed25519", _MAKE)
    return key


def _wrong_key(message: str, hint: str) -> ConfigError:
    return ConfigError([Problem(_SIGN_KEY, None, "", message)], hint=hint)


def _public_key(line: str) -> "tuple[Ed25519PublicKey, str]":
    """Return the key that a line has, and whose it is.

    Raises:
        ValueError: it has none.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    kind, _, rest = line.strip().partition(" ")
    blob, _, comment = rest.strip().partition(" ")
    if kind.startswith("-----BEGIN"):
        raise ValueError("is a private key; the public one belongs here, and the private one is to be replaced")
    if kind != _KIND:
        raise ValueError(f"begins with no `{_KIND}`")
    try:
        key = load_ssh_public_key(f"{kind} {blob}".encode())
        raw = base64.b64decode(blob, validate=True)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is damaged") from None
    assert isinstance(key, Ed25519PublicKey), "its kind says so"
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")
    return key, shown(comment.strip()) or f"SHA256:{digest}"
