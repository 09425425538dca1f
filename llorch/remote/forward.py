"""The same llorch command on a host: found there, compared in its version, and run in the host's repository.

No variable of this machine goes along but how wide and how coloured the output may be; so no token does.
"""

import re
from collections.abc import Sequence

from llorch import __version__
from llorch.errors import LlorchError, NotInWorkspace, ToolMissing
from llorch.remote.command import FOLDER
from llorch.remote.hosts import Host
from llorch.remote.reach import Ended
from llorch.remote.streams import Request

COMPATIBLE = __version__.rpartition(".")[0] + ".*"
"""Versions with which a command means the same, as a pattern of sh: all that differ in the last number."""
FIND = (
    ' case $own in "~/"*) own=$HOME/${own#"~/"};; esac;'
    ' if [ -z "$own" ]; then own=.venv/bin/llorch; [ -x "$own" ] || own=$(command -v llorch); fi;'
    ' if [ -z "$own" ] || ! version=$("$own" --version 2>/dev/null </dev/null); then own=; fi;'
    ' version=${version#llorch }; [ -n "$version" ] || own=;'
)
"""Finds llorch and its version: what hosts.toml says, else the repository's own environment, else PATH."""
FORWARD = (
    FOLDER
    + " own=$1 wanted=$2 LLORCH_FORWARDED=$3 COLUMNS=$4; shift 4; export LLORCH_FORWARDED COLUMNS;"
    + FIND
    + ' if [ -z "$own" ]; then printf "%s no-llorch 0\\n" "$mark"; exit 1; fi;'
    ' case $version in $wanted) ;; *) printf "%s incompatible 0 %s\\n" "$mark" "$version"; exit 1;; esac;'
    ' printf "%s ok %s %s\\n" "$mark" "$$" "$version"; exec "$own" "$@"'
)
"""Has llorch take its place."""


def forward_request(host: Host, words: Sequence[str], terminals: Sequence[str], columns: int) -> Request:
    """Return what runs llorch on a host, with nothing to read: whoever would answer a question is not there.

    Args:
        words: the command's, without `llorch`.
        terminals: which of `stdout` and `stderr` a person looks at, at this end.
        columns: how many characters the lines there may have.
    """
    far_end = ",".join(terminals) or "none"
    return Request(FORWARD, (host.repository, host.llorch or "", COMPATIBLE, far_end, str(columns), *words))


def without_host(arguments: Sequence[str]) -> list[str]:
    """Return a command line without what is for this end: `--remote` and `-C`, and what they are given.

    >>> without_host(["--remote", "mac", "-qC", "/w", "git", "log", "--", "--remote"])
    ['-q', 'git', 'log', '--', '--remote']
    """
    kept: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            return [*kept, word, *rest]
        cluster = re.fullmatch(r"-([A-BD-Za-z]*)C(.*)", word, re.DOTALL)
        if word in ("--remote", "--directory") or (cluster and not cluster[2]):
            next(rest, None)
        if cluster and cluster[1]:
            kept.append("-" + cluster[1])
        if not cluster and not re.match(r"--(remote|directory)(=|$)", word):
            kept.append(word)
    return kept


def judge(host: Host, ended: Ended) -> None:
    """Raise where a host did not come to run what it was sent.

    Raises:
        NotInWorkspace: it has no repository.
        ToolMissing: it has no llorch, or one that is too old or too new.
        LlorchError: its shell did not run the script at all.
    """
    hint = f"`llorch remote setup {host.name}` installs {__version__} in `{host.repository}` there"
    match ended.state:
        case "no-folder":
            raise NotInWorkspace(
                f"`{host.name}` has no folder `{host.repository}`",
                hint=f"`llorch remote sync {host.name}` brings it there; or say where it is: `repo_path` in hosts.toml",
            )
        case "no-llorch":
            found = f"`{host.llorch}` is no llorch" if host.llorch else "there is no llorch"
            raise ToolMissing(f"{found} on `{host.name}`", hint=hint)
        case "incompatible":
            raise ToolMissing(
                f"`{host.name}` has llorch {ended.more[0]}, which {__version__} here cannot use", hint=hint
            )
        case None:
            raise LlorchError(
                f"the login shell of `{host.name}` does not run commands: it ended with {ended.code}",
                hint=f"see what `ssh {host.host} true` says; sh, bash, dash, zsh and fish are known to work",
            )
