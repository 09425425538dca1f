"""Take out of a text what nobody else may read: passwords in addresses, tokens, and whose machine it is."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

HIDDEN = "***"
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "KEY", "AUTH", "COOKIE")
# As Hugging Face, GitHub, GitLab, PyPI, AWS and OpenAI begin theirs; JSON Web Tokens; and headers.
_TOKENS = (
    r"hf_[A-Za-z0-9]{16,}", r"gh[a-z]_\w{16,}", r"github_pat_\w{16,}", r"glpat-[\w-]{16,}", r"pypi-[\w-]{16,}",
    r"AKIA[A-Z0-9]{12,}", r"sk-[\w-]{16,}", r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", r"(?<=[Bb]earer )\S+",
    r"(?<=[Bb]asic )[\w+/=-]{8,}",
)  # fmt: skip


def without_secrets(text: str) -> str:
    """Return a text whose addresses have no user and password.

    >>> without_secrets("see https://me:token@example.org/x")
    'see https://example.org/x'
    """
    first, *rest = text.split("://")
    return "://".join([first, *map(_without_user, rest)])


def _without_user(address: str) -> str:
    user, at, host = address.partition("@")
    return address if not at or any(c in "/'" or c.isspace() for c in user) else host


def is_secret(name: str) -> bool:
    """Tell whether a variable or a key of such a name has a secret.

    >>> is_secret("HF_TOKEN"), is_secret("aws_secret_access_key"), is_secret("HF_TOKEN_PATH"), is_secret("LLORCH_JOBS")
    (True, True, False, False)
    """
    words = name.upper().split("_")
    return words[-1] not in ("PATH", "FILE", "DIR") and any(word.rstrip("S") in _SECRET for word in words)


def hide(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a text without passwords and queries in addresses, without tokens, and without what variables keep secret.

    >>> hide("https://me:pw@example.org/x?sig=1 hf_abcdefghijklmnop s3cret!", {"MY_PASSWORD": "s3cret!"})
    'https://example.org/x?*** *** ***'
    """
    import re

    found = without_secrets(text)
    found = re.sub(r"(?<=://)([^\s?#'\"`]*[?#])[^\s'\"`]+", rf"\g<1>{HIDDEN}", found)
    kept = [value for name, value in environ.items() if is_secret(name) and len(value) >= 6]
    for value in sorted(kept, key=len, reverse=True):
        found = found.replace(value, HIDDEN)
    return re.sub("|".join(rf"(?<![\w-]){token}" if token[0] != "(" else token for token in _TOKENS), HIDDEN, found)


def impersonal(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a text that does not tell who its user is, nor on which machine: the home folder is `~`.

    >>> impersonal("/home/vince/x /Users/ann/y vince", {"HOME": "/home/vince", "USER": "vince"})
    '~/x /Users/USER/y USER'
    """
    import re
    import socket

    home = environ.get("HOME", "").rstrip("/")
    found = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text) if home else text
    found = re.sub(r"(/home/|/Users/)[^/\s:]+", r"\1USER", found)
    names = {environ.get(name, "") for name in ("USER", "LOGNAME", "USERNAME")}
    machine = socket.gethostname()
    for name, word in [*((name, "USER") for name in names), (machine, "HOST"), (machine.partition(".")[0], "HOST")]:
        if len(name) > 2 and name not in ("root", "localhost"):
            found = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", word, found)
    return found
