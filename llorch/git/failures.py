"""What a failure of git means, told as an error of ours.

git has one exit code for everything, so its words are looked at here, and only here, for the kind of a failure;
no value is taken from them.
"""

import re
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from llorch.errors import AccessDenied, Busy, CommandFailed, DiskFull, LlorchError, Malformed, NotFound, Unreachable
from llorch.git.repo import without_secrets

_NOISE = re.compile(r"^(remote: |hint: |From |Cloning into |Submodule path |fatal: Needed a single revision)")


def own_error(error: CommandFailed, root: Path) -> LlorchError:
    """Return the error that tells what git's failure in the repository at `root` means.

    Returns:
        Busy, AccessDenied, Unreachable, NotFound, DiskFull or Malformed for what is recognised; else CommandFailed
        with git's last words and no more of the command than git's own verb.
    """
    said = without_secrets(error.tail)
    reason = _reason(said)
    for words, make in _KINDS:
        if re.search(words, said, re.IGNORECASE):
            return make(root, reason)
    verb = next((word for word in error.command[1:] if re.fullmatch(r"[a-z][a-z-]+", word)), "git")
    known = CommandFailed(error.command, error.returncode, said, hint=f"`git {verb}` ran in `{root}`")
    known.message = f"`git {verb}` exited with {error.returncode}" + (f":\n{said}" if said else "")
    return known


def _reason(said: str) -> str:
    """Return the line of git's words that says most: the last one that begins as an error does."""
    lines = [line for line in said.splitlines() if line.strip() and not _NOISE.match(line)]
    errors = [line for line in lines if line.startswith(("fatal: ", "error: ", "ssh: "))]
    # The first one names the cause; what follows tells what it had for a consequence.
    return re.sub(r"^(fatal|error): ", "", (errors or lines or ["it gave no reason"])[0])


def busy(root: Path, reason: str) -> LlorchError:
    """Return the error for a lock that another git has."""
    hint = "wait for it and repeat; if none is running, one was killed: delete the `.lock` file that is named here"
    return Busy(f"another git is at work in `{root}`: {reason}", hint=hint)


def _dubious(root: Path, reason: str) -> LlorchError:
    hint = f"if you trust it: `git config --global --add safe.directory {quote(str(root))}`"
    return AccessDenied(f"git does not touch `{root}`, which belongs to another user", hint=hint)


def _denied(root: Path, reason: str) -> LlorchError:
    hint = "check the URL with `git remote -v`, and that a key is loaded (`ssh-add -l`) or a credential is stored"
    return AccessDenied(f"the server does not let us in: {reason}", hint=hint)


def _host_key(root: Path, reason: str) -> LlorchError:
    hint = "connect once with `ssh`, compare the key's fingerprint with one that you trust, and accept it there"
    return AccessDenied("the server's host key is not known, or not the known one", hint=hint)


def _unreachable(root: Path, reason: str) -> LlorchError:
    return Unreachable(
        f"the server cannot be reached: {reason}", hint="check the network, and the URL with `git remote -v`"
    )


def _no_repository(root: Path, reason: str) -> LlorchError:
    hint = "check the URL: `git remote -v`, for a submodule also `.gitmodules`"
    return NotFound(f"there is no such repository: {reason}", hint=hint)


def _no_file_protocol(root: Path, reason: str) -> LlorchError:
    hint = "git fetches submodules from other folders only with `git config --global protocol.file.allow always`"
    return AccessDenied(f"git refuses the URL: {reason}", hint=hint)


def _no_ref(root: Path, reason: str) -> LlorchError:
    return NotFound(f"the server does not have it: {reason}", hint="`git ls-remote origin` lists what it has")


def _disk(root: Path, reason: str) -> LlorchError:
    hint = "check who may write below it, and the room on the disk"
    return DiskFull(f"git cannot write in `{root}`: {reason}", hint=hint)


def _corrupt(root: Path, reason: str) -> LlorchError:
    return Malformed(str(root), reason, hint="`git fsck` there says more; what is pushed can be cloned again")


def _not_here(root: Path, reason: str) -> LlorchError:
    return Malformed(str(root), reason, hint="its `.git` leads nowhere; move it away and clone it again")


_KINDS: tuple[tuple[str, Callable[[Path, str], LlorchError]], ...] = (
    (r"\.lock'?: File exists|Another git process seems to be running|could not lock config file", busy),
    (r"dubious ownership", _dubious),
    (r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED", _host_key),
    (r"Permission denied \(|Authentication failed|could not read (Username|Password)|error: 40[13]\b", _denied),
    (r"transport '.*' not allowed", _no_file_protocol),
    (
        r"Could not resolve host|Failed to connect|Couldn't connect|Connection (refused|timed out|reset|closed)"
        r"|Network is unreachable|No route to host|Operation timed out|Temporary failure in name resolution"
        r"|unable to access|early EOF|the remote end hung up",
        _unreachable,
    ),
    (r"couldn't find remote ref|not our ref|no such remote ref|Remote branch .* not found", _no_ref),
    (r"does not appear to be a git repository|repository '.*' (not found|does not exist)", _no_repository),
    (r"No space left|Read-only file system|insufficient permission|Permission denied|Disk quota", _disk),
    (r"not a git repository", _not_here),
    (
        r"is corrupt|bad object|unable to read (tree|sha1)|unable to parse|missing (blob|tree|object)|object file .* is"
        r" empty|index file (corrupt|smaller)|bad (index|tree|signature)|bad config|invalid gitfile|broken",
        _corrupt,
    ),
)  # fmt: skip
