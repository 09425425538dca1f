"""What things are called on every machine alike, and the digests that are made of such names.

A key of a record is a digest of JSON in one fixed form, so that two machines with the same contents have the same.
"""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from llorch import shell
from llorch.config import Workspace
from llorch.errors import Malformed
from llorch.share import CPU, WORKSPACE, Inputs
from llorch.workspace import repository_of, upwards

SCHEMA = 1
_HERE, _MODELS, _CARGO, _HOME = "{here}", "{models}", "{cargo_home}", "{home}"
_ABOVE = re.compile(r"\{above([1-9][0-9]?)\}")
_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_DIGEST = re.compile("[0-9a-f]{64}")


def canonical(value: Any) -> bytes:
    """Return JSON in the one form that digests and signatures are of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest_of(value: Any) -> str:
    """Return the sha256, in hex, of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def is_digest(text: object) -> bool:
    """Tell whether a value is a sha256 in hex."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def blob_key(digest: str) -> str:
    """Return where a store has the file of this sha256."""
    return f"cas/sha256/{digest[:2]}/{digest}"


def record_key(digest: str) -> str:
    """Return where a store has a record, or the sets of names that records of one maker have."""
    return f"ac/{digest}"


def maker_key(task: str, facts: Mapping[str, Any], *, anywhere: bool = False) -> str:
    """Return the key of all records of a task that what `facts` says has made, on a machine like this or anywhere."""
    on = {} if anywhere else machine()
    return digest_of({"schema": SCHEMA, "task": task, "facts": facts, "machine": on})


def inputs_key(maker: str, by: str, inputs: Inputs) -> str:
    """Return the key of the record of what a maker has made of these inputs; `by` is the digest of its `exact`."""
    return digest_of({"maker": maker, "by": by, "inputs": dict(inputs)})


def machine() -> Mapping[str, str]:
    """Return on what kind of machine a program would run that is made here, with the libraries and tools it has."""
    return {"os": sys.platform, "arch": os.uname().machine, "libc": _libc(), "distribution": _distribution()}


def _distribution() -> str:
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        return ""
    return f"{told['ID']} {told.get('VERSION_ID', '')}".strip()


def _libc() -> str:
    if sys.platform == "darwin":
        return "libSystem"
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "unknown"
    except (ValueError, OSError):
        return "musl"  # knows no such name


@cache
def cpu() -> str:
    """Return what tells this machine's processor from others."""
    if sys.platform == "darwin":
        return shell.output(["sysctl", "-n", "machdep.cpu.brand_string"]).decode().strip()
    lines = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0].splitlines()
    told = dict(line.split(":", 1) for line in lines if ":" in line)
    names = ("model name", "flags", "CPU implementer", "CPU part", "Features")
    return "\n".join(value.strip() for key, value in told.items() if key.strip() in names)


class Places:
    """The folders that have other paths on other machines, and the names of what is in them.

    A portable name is a path relative to the workspace; a variable, as `$NAME`; a path in one of the user's folders, as
    `{cargo_home}/config.toml`; one above the workspace, as `{above1}/shared/src/lib.rs`; or else an absolute path.
    """

    def __init__(self, workspace: Workspace, models: str, environ: Mapping[str, str] = os.environ) -> None:
        """Take the places of a workspace, `models` being its model folder."""
        self._root = workspace.place
        self._name: Callable[[str], str] = workspace.name
        self._above = [*upwards(self._root)][1:]
        self._top = repository_of(self._root)
        self._home = environ.get("HOME") or os.path.expanduser("~")
        self._folders = {
            _MODELS: os.path.normpath(os.path.join(self._root, os.path.expanduser(models))),
            _CARGO: os.path.normpath(environ.get("CARGO_HOME") or os.path.join(self._home, ".cargo")),
            _HERE: self._root,
        }
        self._own = {str(workspace.state), os.path.join(self._top, ".git"), self._folders[_MODELS]}

    def portable(self, name: str) -> str:
        """Return what an input or target, as `state` names it, is called on every machine."""
        if name.startswith("$"):
            return name
        path = os.path.join(self._root, name)
        for token, folder in self._folders.items():
            inner = _inside(path, folder)
            if inner is not None:
                return inner if token == _HERE and inner and inner[0] not in "{$" else f"{token}/{inner}"
        for level, folder in enumerate(self._above, 1):
            inner = _inside(path, folder)
            if inner is not None and (_inside(folder + "/", self._top) is not None or _is_at_top(inner)):
                return f"{{above{level}}}/{inner}"
        inner = _inside(path, self._home)
        return path if inner is None else f"{_HOME}/{inner}"

    def local(self, name: str) -> str:
        """Return what `state` calls something here, for a portable name that anybody may have written.

        Raises:
            Malformed: it is no such name.
        """
        if _VARIABLE.fullmatch(name):
            return name
        token, slash, inner = name.partition("/")
        named = name.startswith("{")
        path = os.path.join(self._folder(token, name), inner) if named else os.path.join(self._root, name)
        plain = path.removesuffix("/")
        odd = not name or name[0] == "$" or name.startswith("//") or "\0" in name or (named and not slash)
        if odd or os.path.normpath(plain) != plain:
            raise Malformed(name, "it is no plain path")
        found = self._name(plain) + ("/" if path.endswith("/") else "")
        return path if found.startswith("$") else found

    def _folder(self, token: str, name: str) -> str:
        above = _ABOVE.fullmatch(token)
        if above is not None:
            level = int(above[1])
            return self._above[level - 1] if level <= len(self._above) else os.devnull  # no file is in that
        folder = self._home if token == _HOME else self._folders.get(token)
        if folder is None:
            raise Malformed(name, "it is in a place that this llorch does not know")
        return folder

    def digest(self, name: str, digest: Callable[[str], str], made: Collection[str] = frozenset()) -> str | None:
        """Return the digest of what a portable name is here, None where it is not there.

        Args:
            digest: gives that of a file or variable by its name here.
            made: paths of folders that do not count as names in others, besides those of llorch and git.

        Raises:
            OSError: it is there and cannot be read.
        """
        if name in (WORKSPACE, CPU):
            return hashlib.sha256(os.fsencode(self._root if name == WORKSPACE else cpu())).hexdigest()
        local = self.local(name)
        try:
            if local.endswith("/"):
                return _names_digest(os.path.join(self._root, local), {*self._own, *made})
            return digest(local)
        except (FileNotFoundError, NotADirectoryError):
            return None


def _names_digest(folder: str, without: Collection[str]) -> str:
    return digest_of(sorted(ascii(name) for name in os.listdir(folder) if folder + name not in without))


def _inside(path: str, folder: str) -> str | None:
    """Return a path relative to a folder that it is in, None where it is not."""
    base = os.path.join(folder, "")
    return path[len(base) :] if path.startswith(base) else None


def _is_at_top(inner: str) -> bool:
    """Tell whether a path is where cargo and rustup look in each folder upwards."""
    return "/" not in inner or (inner.startswith(".cargo/") and inner.count("/") == 1)
