"""What ssh puts in for `~`, `%h` and `${NAME}` in the values of its configuration (TOKENS in ssh_config(5))."""

import os
import pwd
import re
import socket
from collections.abc import Mapping

from llorch.errors import ConfigError, Problem

IN_COMMANDS = "hknpr"
"""Tokens of ProxyCommand and ProxyJump."""

_TOKEN = re.compile(r"%(?P<token>.?)|\$\{(?P<variable>\w+)\}", re.DOTALL)


def tokens_of(name: str, *, hostname: str, port: int, user: str, alias: str | None) -> Mapping[str, str]:
    """Return what each token stands for.

    Args:
        name: the host as it is called on the command line, without user.
        alias: HostKeyAlias.
    """
    local = socket.gethostname()
    return {
        "%": "%",
        "d": home(),
        "h": hostname,
        "i": str(os.getuid()),
        "k": alias or name,
        "L": local.split(".")[0],
        "l": local,
        "n": name,
        "p": str(port),
        "r": user,
        "u": local_user(),
    }


def expand(text: str, tokens: Mapping[str, str], environ: Mapping[str, str] | None = None) -> str:
    """Put in the tokens, and the variables if there are any.

    Raises:
        ConfigError: there is no such token or variable.

    >>> expand("nc %h %p %%", {"h": "box", "p": "22", "%": "%"})
    'nc box 22 %'
    """

    def value(match: re.Match[str]) -> str:
        if match["token"] is not None:
            found = tokens.get(match["token"])
        else:
            found = match[0] if environ is None else environ.get(match["variable"])
        if found is None:
            raise _cannot(text, f"`{match[0]}` stands for nothing here")
        return found

    return _TOKEN.sub(value, text)


def expand_path(text: str, tokens: Mapping[str, str]) -> str:
    """Put in the home folder, then tokens and variables.

    Raises:
        ConfigError: there is no such user, token or variable.
    """
    return expand(expand_home(text), tokens, os.environ)


def expand_home(text: str) -> str:
    """Put in the home folder that `~` or `~user` begins with.

    Raises:
        ConfigError: there is no such user.
    """
    if not text.startswith("~"):
        return text
    user, slash, rest = text[1:].partition("/")
    try:
        return home(user) + slash + rest
    except KeyError:
        raise _cannot(text, f"there is no user `{user}`") from None


def home(user: str = "") -> str:
    """Return the folder that `~` is for ssh, which looks at no variable.

    Raises:
        KeyError: there is no such user.
    """
    return (pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir


def local_user() -> str:
    """Return the user that this runs as, who is the remote one too unless somebody says otherwise."""
    return pwd.getpwuid(os.getuid()).pw_name


def _cannot(text: str, message: str) -> ConfigError:
    hint = "see TOKENS and ENVIRONMENT VARIABLES in `man ssh_config`, and ~/.ssh/config"
    return ConfigError([Problem("ssh's configuration", None, text, message)], hint=hint)
