"""Whether a server's host key is trusted, as ssh decides it, and one more line when somebody accepts a key.

The format is that of sshd(8), SSH_KNOWN_HOSTS FILE FORMAT; where the manual is silent, what OpenSSH 9.2 does is the
rule. Which files there are, and asking whether a key is to be accepted, are not this file's business.
"""

import hashlib
import hmac
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Literal, NamedTuple

from llorch.errors import DiskFull, HostKeyRefused, LlorchError

Kind = Literal["trusted", "unknown", "changed", "revoked", "authority"]
SSH_PORT = 22
"""Names are recorded without this port, and with any other."""
REVOKED = "@revoked"
AUTHORITY = "@cert-authority"

_LINE = re.compile(rb"[ \t]*(?:(@revoked|@cert-authority)[ \t]+)?([^ \t@#][^ \t]*)[ \t]+([^ \t]+)[ \t]+([^ \t]+)")
_FIELDS = {
    "ssh-ed25519": 2,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "ssh-rsa": 3,
    "ssh-dss": 5,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
"""How many fields a key has, its type among them: RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4, OpenSSH's PROTOCOL.u2f."""
_ALIASES = {"rsa-sha2-256": "ssh-rsa", "rsa-sha2-512": "ssh-rsa"}
"""Ways to sign that ssh takes for the type of key they belong to."""
_LITERAL = re.compile(r"[\w.:%\[\]-]+", re.ASCII)
"""A name that means itself alone when it stands in a file."""


class Line(NamedTuple):
    """A line that has a key; `marker` is empty, `REVOKED` or `AUTHORITY`, and `hosts` is as it was written."""

    file: Path
    number: int
    marker: str
    hosts: bytes
    key_type: str
    blob: bytes

    def __str__(self) -> str:
        """Tell its key and its place in one line."""
        return f"{self.key_type} {fingerprint(self.blob)} ({self.file}:{self.number})"


class Verdict(NamedTuple):
    """What is to be thought of a key, and the lines that say so; none if it is unknown.

    `entry` is what the server is called in files: `name` or `[name]:port`.
    """

    kind: Kind
    entry: str
    key_type: str
    blob: bytes
    lines: tuple[Line, ...]


def load_known_hosts(files: Sequence[Path | str]) -> tuple[Line, ...]:
    """Read every line that has a key; files that are not there have none, and lines that ssh cannot read are skipped.

    Raises:
        DiskFull: a file is there and cannot be read. ssh would go on as if it were empty, and a key that is revoked in
            it would be trusted.
    """
    found = []
    for file in map(Path, files):
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            hint = "check what it is, and who may read it: it says which host keys are trusted"
            raise DiskFull(f"`{file}` cannot be read: {error.strerror}", hint=hint) from None
        for number, text in enumerate(data.split(b"\n"), 1):
            if line := _parse_line(file, number, text):
                found.append(line)
    return tuple(found)


def load_revoked(file: Path) -> tuple[Line, ...]:
    """Read the keys of a RevokedHostKeys file, as lines that revoke them for every host.

    Raises:
        DiskFull: it cannot be read; ssh, too, then refuses every host.
        LlorchError: it is a key revocation list, which only ssh itself can read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        hint = "it is what `RevokedHostKeys` of ssh's configuration names"
        raise DiskFull(f"`{file}` cannot be read: {error.strerror}", hint=hint) from None
    if data.startswith(b"SSHKRL\n\0"):
        hint = 'set `transport = "openssh"` for the host in hosts.toml'
        raise LlorchError(f"`{file}` is a key revocation list, which only ssh itself can read", hint=hint)
    lines = (_parse_line(file, n, b"@revoked * " + text) for n, text in enumerate(data.split(b"\n"), 1))
    return tuple(line for line in lines if line is not None)


def lines_of(known: Sequence[Line], name: str, port: int) -> tuple[Line, ...]:
    """Return the lines that mean a server, whatever they say of it; arguments as `judge`."""
    entry = _entry(name, port).encode()
    return tuple(line for line in known if _matches(line.hosts, entry))


def judge(known: Sequence[Line], name: str, port: int, key_type: str, key_blob: bytes) -> Verdict:
    """Tell what ssh with `StrictHostKeyChecking yes` would think of a server's key.

    A key that is recorded makes every other one, of whatever type, a changed one. Where no key is recorded for a port,
    one that is recorded for the name alone is trusted, but another one there says nothing of the port. We differ in
    one thing: ssh skips a `@revoked` with a tab behind it, and we do not.

    Args:
        name: as the user wrote it, without brackets; or the `HostKeyAlias`, with 22 for the port, since ssh adds none.
        key_blob: the public key as RFC 4253 6.6 encodes it.
    """
    kind, lines = _judge(lines_of(known, name, port), key_blob)
    if kind in ("unknown", "authority") and port != SSH_PORT:
        of_name = _judge(lines_of(known, name, SSH_PORT), key_blob)
        kind, lines = (kind, lines) if of_name[0] in ("unknown", "changed") else of_name
    return Verdict(kind, _entry(name, port), key_type, key_blob, lines)


def preferred_types(known: Sequence[Line], name: str, port: int) -> tuple[str, ...]:
    """Return the types of the keys on record, which ssh asks a server for before all others; arguments as `judge`."""
    lines = lines_of(known, name, port)
    revoked = {line.blob for line in lines if line.marker == REVOKED}
    return tuple(dict.fromkeys(line.key_type for line in lines if not line.marker and line.blob not in revoked))


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as `ssh-keygen -l` prints it.

    >>> fingerprint(b"")
    'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    return "SHA256:" + b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def append(file: Path, name: str, port: int, key_type: str, blob: bytes, *, hashed: bool) -> None:
    """Add a line to a file, made if it is not there, and leave what is in it as it is; arguments as `judge`.

    Args:
        hashed: write a hash of the name, as ssh with `HashKnownHosts yes`. A name that would be a pattern is hashed
            anyway, so that it stands for no other.

    Raises:
        DiskFull: it cannot be written.
    """
    entry = _entry(name, port)
    if hashed or not _LITERAL.fullmatch(entry):
        entry = _hash(entry.encode(), os.urandom(20)).decode()  # as many as SHA-1 has: ssh takes no other salt
    line = f"{entry} {key_type} {b64encode(blob).decode()}\n".encode()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0) as opened:
            size = os.fstat(opened.fileno()).st_size
            is_torn = size > 0 and os.pread(opened.fileno(), 1, size - 1) != b"\n"
            opened.write(b"\n" * is_torn + line)  # at once, so that it is never mixed with what another process adds
    except OSError as error:
        hint = "check the room on the disk, what is in its place, and who may write there"
        raise DiskFull(f"`{file}` cannot be written: {error.strerror}", hint=hint) from None


def refusal(host: str, verdict: Verdict, accept: Callable[[], None] | None, *, hop: bool = False) -> HostKeyRefused:
    """Return the error for a key that is not trusted.

    Args:
        host: what the user calls it in commands of llorch.
        accept: puts the key on record, if there is a file for that; only for one that is not known.
        hop: it is the key of a hop on the way to the host.
    """
    whose = f"the host key of the hop `{verdict.entry}`" if hop else "its host key"
    seen = f"{verdict.key_type} {fingerprint(verdict.blob)}"
    lines = "".join(f"\n  on record: {line}" for line in verdict.lines)
    way = f"`llorch remote hosts check {quote(host)} --accept`"
    if verdict.kind == "changed":
        files = dict.fromkeys(quote(str(line.file)) for line in verdict.lines)
        remove = ", ".join(f"`ssh-keygen -R {quote(verdict.entry)} -f {file}`" for file in files)
        reason = f"{whose} has changed: somebody may be in between\n  presented: {seen}{lines}"
        hint = f"ask who runs it whether the new key is right; only then remove the old one: {remove}, and {way}"
    elif verdict.kind == "revoked":
        reason = f"{whose} is revoked: whoever presents it is not to be trusted\n  presented: {seen}{lines}"
        hint = "ask who runs it for a new host key"
    elif verdict.kind == "authority":
        reason = f"only an authority for {whose} is on record, and host certificates are not supported{lines}"
        hint = f'set `transport = "openssh"` for `{host}` in hosts.toml: the system\'s ssh supports them'
    else:
        reason = f"{whose} is not known\n  presented: {seen}"
        hint = f"compare the fingerprint with what who runs it says, then accept the key: {way}"
    return HostKeyRefused(
        host,
        reason,
        hint=hint,
        presented=seen,
        recorded=[f"{line.key_type} {fingerprint(line.blob)}" for line in verdict.lines],
        accept=accept if verdict.kind == "unknown" else None,
    )


def _judge(lines: Sequence[Line], blob: bytes) -> tuple[Kind, tuple[Line, ...]]:
    """Tell what the lines of a server say of a key, and which of them."""
    recorded = tuple(line for line in lines if not line.marker)
    says: Mapping[Kind, tuple[Line, ...]] = {
        "revoked": tuple(line for line in lines if line.marker == REVOKED and line.blob == blob),
        "trusted": tuple(line for line in recorded if line.blob == blob),
        "changed": recorded,
        "authority": tuple(line for line in lines if line.marker == AUTHORITY),
    }
    return next(((kind, deciding) for kind, deciding in says.items() if deciding), ("unknown", ()))


def _entry(name: str, port: int) -> str:
    """Return what a server is called in files.

    >>> _entry("Host", 22), _entry("::1", 2222)
    ('host', '[::1]:2222')
    """
    return name.lower() if port == SSH_PORT else f"[{name.lower()}]:{port}"


def _parse_line(file: Path, number: int, text: bytes) -> Line | None:
    """Return what a line says, or None if it is blank, a comment, or something that ssh skips."""
    found = _LINE.match(text.partition(b"\0")[0])  # where C has the end of it
    if not found:
        return None
    marker, hosts, stated, encoded = found.groups(b"")
    key_type = stated.decode("latin-1")
    key_type = _ALIASES.get(key_type, key_type)
    try:
        blob = b64decode(b"".join(encoded.split()), validate=True)  # such as the \r of Windows
    except ValueError:
        return None
    fields = _parse_fields(blob)
    if len(fields) != _FIELDS.get(key_type) or fields[0] != key_type.encode():
        return None
    return Line(file, number, marker.decode(), hosts, key_type, blob)


def _parse_fields(blob: bytes) -> list[bytes]:
    r"""Return the strings of RFC 4251 5 that a key is made of; none if it is not made of them alone.

    >>> _parse_fields(b"\0\0\0\1a\0\0\0\0"), _parse_fields(b"\0\0\0\2a")
    ([b'a', b''], [])
    """
    fields = []
    at = 0
    while at < len(blob):
        start = at + 4
        at = start + int.from_bytes(blob[at:start], "big")
        fields.append(blob[start:at])
    return fields if at == len(blob) else []


def _matches(hosts: bytes, entry: bytes) -> bool:
    """Tell whether the first field of a line means a server: a hash of its name, or patterns none of which excludes it.

    >>> [_matches(b"*.lan,!b.lan", name) for name in (b"a.lan", b"b.lan", b"lan")]
    [True, False, False]
    """
    if hosts.startswith(b"|"):
        salt = _parse_salt(hosts)
        return salt is not None and _hash(entry, salt) == hosts
    matched = [pattern for pattern in hosts.lower().split(b",") if _matches_pattern(pattern.removeprefix(b"!"), entry)]
    return bool(matched) and not any(pattern.startswith(b"!") for pattern in matched)


def _matches_pattern(pattern: bytes, entry: bytes) -> bool:
    """Match a pattern of ssh_config(5), PATTERNS: brackets mean themselves, which fnmatch would not have."""
    if b"*" not in pattern and b"?" not in pattern:
        return pattern == entry  # nearly all are, and a file may have thousands
    regex = re.escape(pattern).replace(rb"\*", b".*").replace(rb"\?", b".")
    return re.fullmatch(regex, entry) is not None


def _hash(name: bytes, salt: bytes) -> bytes:
    """Return the first field of a line for a hashed name."""
    digest = hmac.digest(salt, name, "sha1")
    return b"|1|" + b64encode(salt) + b"|" + b64encode(digest)


def _parse_salt(hosts: bytes) -> bytes | None:
    """Return the salt of a hashed name, or None if it is none."""
    try:
        return b64decode(hosts.split(b"|")[2], validate=True)
    except (IndexError, ValueError):
        return None
