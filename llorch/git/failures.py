"""What a failure of git means, told as an error of ours.

git has one exit code for everything, so its words are looked at here, and only here, for the kind of a failure;
no value is taken from them.
"""

import errno
import os
import re
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from llorch.errors import (
    AccessDenied,
    Busy,
    CommandFailed,
    DiskFull,
    LlorchError,
    Malformed,
    NotFound,
    Refused,
    ToolMissing,
    Unreachable,
)
from llorch.git.repo import OLDEST, Repo
from llorch.text import quoted, shown, without_credentials

_NOISE = re.compile(r"remote: |hint: |From |Cloning into |Submodule path |fatal: Needed a single revision")
_OWN = re.compile(r"(?!error: could not apply )(fatal|error|warning): ")
"""What git says itself: not a hook of the user's, and not with a commit's subject in it."""
_MISUSED = 129
"""git's exit code where it does not know an option."""
_REMOTE = ("fetch", "ls-remote", "submodule")
"""git's verbs that talk to a server."""


def own_error(error: CommandFailed, root: Path) -> LlorchError:
    """Return the error that tells what git's failure in the repository at `root` means.

    Returns:
        AccessDenied, Unreachable or NotFound for what a server does, and for nothing else; Busy, DiskFull, Malformed,
        Refused or ToolMissing for what is recognised of the rest; else CommandFailed with git's last words and no more
        of the command than git's own verb.
    """
    said = without_credentials("\n".join(shown(line, keep="\t") for line in error.tail.splitlines()))
    lines = [line for line in said.splitlines() if line.strip() and not _NOISE.match(line)]
    reason = _reason(lines)
    verb = next((word for word in error.command[1:] if re.fullmatch(r"[a-z][a-z-]+", word)), "git")
    own = "\n".join(line for line in lines if _OWN.match(line))
    for text, kinds in ((own, _KINDS), ("\n".join(lines) if verb in _REMOTE else "", _REMOTE_KINDS)):
        for words, make in kinds:
            if re.search(words, text, re.IGNORECASE):
                return make(root, reason)
    if error.returncode == _MISUSED and re.search(r"unknown (option|switch)|^usage: git", said, re.MULTILINE):
        hint = f"`git --version` tells which it is; {'.'.join(map(str, OLDEST))} or newer is needed"
        return ToolMissing(f"the `git` here is too old for `git {verb}` as it is called: {reason}", hint=hint)
    known = CommandFailed(error.command, error.returncode, said, hint=f"`git {verb}` ran in `{root}`")
    known.message = f"`git {verb}` exited with {error.returncode}" + (f":\n{said}" if said else "")
    known.args = (known.message,)
    return known


def _reason(lines: list[str]) -> str:
    """Return what says most of git's words: the first line that begins as an error does, with the files it lists."""
    starts = [n for n, line in enumerate(lines) if line.startswith(("fatal: ", "error: ", "ssh: "))]
    # The first one names the cause; what follows tells what it had for a consequence.
    start = (starts or [0])[0]
    reason = re.sub(r"^(fatal|error): ", "", (lines or ["it gave no reason"])[start])
    listed = takewhile(lambda line: line.startswith("\t"), lines[start + 1 :])
    return " ".join([reason, ", ".join(line.strip() for line in listed)]).strip()


def busy(root: Path, reason: str) -> LlorchError:
    """Return the error for a lock that another git has."""
    hint = "wait for it and repeat; if none is running, one was killed: delete the `.lock` file that is named here"
    return Busy(f"another git is at work in `{root}`: {reason}", hint=hint)


def _raced(root: Path, reason: str) -> LlorchError:
    return Busy(f"another git has moved a branch of `{root}` meanwhile: {reason}", hint="repeat it")


def _dubious(root: Path, reason: str) -> LlorchError:
    hint = f"if you trust it: `git config --global --add safe.directory {quoted(str(root))}`"
    return Refused(f"git does not touch `{root}`, which belongs to another user", hint=hint)


def _newer(root: Path, reason: str) -> LlorchError:
    hint = "`git --version` tells which it is; a newer git has made the repository, and is needed to work in it"
    return ToolMissing(f"the `git` here is too old for the repository in `{root}`: {reason}", hint=hint)


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
    if reason.startswith("'origin' "):  # it is no remote here, and was taken for a path
        try:
            Repo(root=root).look("rev-parse")
        except LlorchError as error:  # there is no repository to have it, or none that git works in
            return error
        return no_origin(root)
    hint = "check the URL: `git remote -v`; for a submodule `.gitmodules`, whose URLs `git submodule sync` takes over"
    return NotFound(f"there is no such repository: {reason}", hint=hint)


def no_origin(root: Path) -> LlorchError:
    """Return the error for a repository that has no remote of that name."""
    hint = (
        f"`git -C {quoted(str(root))} remote add origin URL` names one; `remote rename` does where it has another name"
    )
    return LlorchError(f"`{root}` has no remote called origin", hint=hint)


def _no_url(root: Path, reason: str) -> LlorchError:
    hint = "give it a `url`; git overlooks one that looks like an option, and an entry with `..` in its name"
    return Malformed(str(root / ".gitmodules"), reason, hint=hint)


def _no_protocol(root: Path, reason: str) -> LlorchError:
    hint = "have an address of https or ssh in its place, if you trust it"
    if "'file'" in reason:
        hint = "git fetches submodules from other folders only with `git config --global protocol.file.allow always`"
    return AccessDenied(f"git refuses the URL: {reason}", hint=hint)


def _no_ref(root: Path, reason: str) -> LlorchError:
    hint = f"`git -C {quoted(str(root))} ls-remote origin` lists what it has"
    return NotFound(f"the server does not have it: {reason}", hint=hint)


def _disk(root: Path, reason: str) -> LlorchError:
    hint = "check who may read and write below it, and the room on the disk"
    return DiskFull(f"git cannot read or write in `{root}`: {reason}", hint=hint)


def _corrupt(root: Path, reason: str) -> LlorchError:
    return Malformed(str(root), reason, hint="`git fsck` there says more; what is pushed can be cloned again")


def _modules(root: Path, reason: str) -> LlorchError:
    return Malformed(
        str(root / ".gitmodules"), reason, hint="mend that entry: git takes no submodule while it is there"
    )


def _hidden(root: Path, reason: str) -> LlorchError:
    hint = "`git ls-files -v` has a small letter or an S before such files;"
    hint += " `git update-index --no-assume-unchanged --no-skip-worktree FILE` has git look at one again"
    return Refused(f"in `{root}` git was told to overlook files that have changed: {reason}", hint=hint)


def _not_here(root: Path, reason: str) -> LlorchError:
    try:
        (Repo(root=root).folder / "HEAD").stat()
    except PermissionError as error:
        return locked(root, error)
    except OSError:
        pass  # it is as git says
    return Malformed(str(root), reason, hint="its `.git` leads nowhere; move it away and clone it again")


def _closed(root: Path, reason: str) -> LlorchError:
    return locked(root, PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(root)))


def locked(root: Path, error: OSError) -> LlorchError:
    """Return the error for a repository that the user may not read."""
    hint = f"`ls -ld {quoted(str(error.filename))}` tells whom it belongs to, and who may read it"
    return DiskFull(f"the repository in `{root}` may not be read: {error.strerror}: `{error.filename}`", hint=hint)


_KINDS: tuple[tuple[str, Callable[[Path, str], LlorchError]], ...] = (
    (r"\.lock'?: File exists|could not lock config file", busy),
    (r"cannot lock ref '.*': (is at .* but expected|reference already exists)", _raced),
    (r"dubious ownership", _dubious),
    (r"unknown repository extension|Expected git repo version", _newer),
    (r"overwritten by (checkout|merge):|Entry '.*' not uptodate", _hidden),
    (r"cannot change to '.*': Permission denied", _closed),
    (r"No space left|Read-only file system|insufficient permission|Permission denied|Disk quota", _disk),
    (r"not a git repository", _not_here),
    (r"invalid value for '?submodule\.", _modules),
    (r"No url found for submodule path", _no_url),
    (
        r"is corrupt|bad object|unable to read (tree|sha1)|unable to parse|missing (blob|tree|object)|object file .* is"
        r" empty|index file (corrupt|smaller)|bad (index|tree|signature)|bad config|invalid gitfile|reference broken",
        _corrupt,
    ),
)  # fmt: skip
_REMOTE_KINDS: tuple[tuple[str, Callable[[Path, str], LlorchError]], ...] = (
    (r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED", _host_key),
    (r"Permission denied \(|Authentication failed|could not read (Username|Password)|error: 40[13]\b", _denied),
    (r"transport '.*' not allowed", _no_protocol),
    (
        r"Could not resolve host|Failed to connect|Couldn't connect|Connection (refused|timed out|reset|closed)"
        r"|Network is unreachable|No route to host|Operation timed out|Temporary failure in name resolution"
        r"|unable to access|early EOF|the remote end hung up",
        _unreachable,
    ),
    (r"couldn't find remote ref|not our ref|no such remote ref|Remote branch .* not found", _no_ref),
    (r"does not appear to be a git repository|repository '.*' (not found|does not exist)", _no_repository),
)  # fmt: skip
