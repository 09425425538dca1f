r"""What is sent to a host: scripts of sh, and words quoted for whatever its login shell is.

A login shell may be any of sh, bash, dash, zsh and fish, and may print what it likes before our program starts. So a
command is one `exec sh -c SCRIPT`, every word of it quoted in a way that all of them read alike, and the script first
writes a line with a mark that nobody can foresee, with its process number in it.
"""

import os
import re

from llorch.errors import LlorchError

_MOST = 1 << 17
"""Bytes of one word of a command line, with its NUL, on Linux (MAX_ARG_STRLEN): a login shell is given it as one."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+,-]+")  # zsh reads `=ls`, old fish `%1`
EXPAND = (
    'mark=$1 folder=$2; shift 2; unset CDPATH; case $folder in ""|/*) ;; "~") folder=$HOME;;'
    ' "~/"*) folder=$HOME/${folder#"~/"};; *) folder=./$folder;; esac;'  # `cd -` goes elsewhere
)
"""Begins every script: takes the mark and a folder off its arguments."""
FOLDER = (
    EXPAND
    + ' if [ -n "$folder" ] && ! cd -- "$folder" 2>/dev/null; then printf "%s no-folder 0\\n" "$mark"; exit 1; fi;'
)
"""Begins a script that works in the folder, or at home where that is empty."""
OK = ' printf "%s ok %s\\n" "$mark" "$$";'
"""Says that the script begins its work."""
RUN = FOLDER + OK + ' exec "$@"'
"""Runs its arguments."""
LOCK = (
    " lock() { if command -v flock >/dev/null; then flock -n 8; elif command -v perl >/dev/null; then"
    ' perl -e "open(F, q(+<&=8)) && flock(F, 6) or exit 1"; elif command -v python3 >/dev/null; then'
    ' python3 -c "import fcntl; fcntl.flock(8, 6)" 2>/dev/null;'
    ' else echo "there is neither flock nor perl nor python3" >&2; return 3; fi; };'
)
"""Defines what takes the kernel's lock on the open file 8, or returns 1 if another has it, and 3 if nothing there can.

It ends with the last process that has the file open, so it never outlives whoever holds it.
"""
SIGNAL = 'kill -s "$1" -- "-$2" 2>/dev/null || kill -s "$1" "$2"'
"""Sends a signal to a process group, or, where the number leads none, to the process."""


def quote(word: str) -> str:
    r"""Return a word such that any of the login shells reads it as just this word.

    fish obeys backslashes also between single quotes, so they and the quotes stand between double ones.

    >>> quote("plain"), quote(""), quote("two words")
    ('plain', "''", "'two words'")
    >>> print(quote("it's a \\"))
    'it'"'"'s a '"\\"
    """
    if _PLAIN.fullmatch(word):
        return word
    parts = re.findall(r"'+|\\+|[^'\\]+", word)
    quoted = ('"' + part.replace("\\", "\\\\") + '"' if part[0] in "'\\" else f"'{part}'" for part in parts)
    return "".join(quoted) or "''"


def script(text: str, *arguments: str) -> str:
    """Return the command line that has `sh` run a script, with arguments, in place of the login shell.

    Raises:
        LlorchError: no login shell on Linux could be given it.
    """
    command = " ".join(["exec sh -c", *map(quote, (text, "sh", *arguments))])
    size = len(os.fsencode(command))
    if size >= _MOST:
        raise LlorchError(
            f"the command is too long: it takes {size:,} bytes, and has to have less than {_MOST:,}",
            hint="pass the words on stdin, as in `printf '%s\\0' WORD... | llorch remote exec HOST -- xargs -0 CMD`",
        )
    return command
