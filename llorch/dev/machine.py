"""What llorch itself stands on: Python and its packages, a place for its state, a locale that has all letters."""

import errno
import locale
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llorch.dev.extras import missing_extras, needed_extras
from llorch.dev.finding import Finding, listing
from llorch.dev.needs import Needs
from llorch.dev.space import make_room


def check_python(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the packages that llorch declares: those that it loads late may be missing without anyone noticing."""
    found = f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"
    missing = missing_packages()
    if missing:
        yield _lacking("python", found, need, missing)
    else:
        yield Finding(id="python", found=found, needed_for=need)


def needs_extras(needs: Needs) -> str:
    """Return the settings that need more packages than llorch itself."""
    return "[cache] url" if needed_extras(needs.settings) else ""


def check_extras(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the packages that this workspace alone needs."""
    missing = missing_extras(needs.settings)
    if missing:
        yield _lacking("extras", "", need, [f"llorch[{','.join(missing)}]"])
    else:
        yield Finding(id="extras", found=f"llorch[{','.join(needed_extras(needs.settings))}]", needed_for=need)


def _lacking(id: str, found: str, need: str, missing: list[str]) -> Finding:
    installer = ["uv", "pip", "install", "--python", sys.executable]
    if shutil.which("uv") is None:
        installer = [sys.executable, "-m", "pip", "install"]
    return Finding(
        id=id,
        severity="error",
        found=found,
        needed_for=need,
        text=f"llorch's environment lacks {listing(missing)}",
        fix=(shlex.join([*installer, *missing]),),
        safe=sys.prefix != sys.base_prefix,  # an environment of its own, which is nobody else's
    )


def missing_packages() -> list[str]:
    """Return the requirements of llorch whose package is not installed, extras apart."""
    from importlib.metadata import PackageNotFoundError, requires, version

    missing = []
    for requirement in requires("llorch") or ():
        name = re.match(r"[\w.-]+", requirement)
        if name is None or ";" in requirement:
            continue
        try:
            version(name[0])
        except PackageNotFoundError:
            missing.append(requirement)
    return missing


def check_state(needs: Needs, need: str) -> Iterator[Finding]:
    """Look whether `.llorch/`, or the workspace where it is to be made, can be written in."""
    folder = needs.workspace.state
    name = needs.workspace.name(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        fix = shlex.join(["mv", str(folder), f"{folder}.old"])
        text = f"`{name}` is no folder, and records, locks and logs belong there"
        yield Finding(id="state", severity="error", found=name, needed_for=need, text=text, fix=(fix,))
        return
    place = folder if folder.is_dir() else needs.workspace.root
    reason, number = _try_to_write(place, inside=place == folder)
    if not reason:
        yield Finding(id="state", found=name if place == folder else f"{name}, to be made", needed_for=need)
        return
    closed = number in (errno.EACCES, errno.EPERM)
    full = number in (errno.ENOSPC, errno.EDQUOT)
    yield Finding(
        id="state",
        severity="error",
        found=name,
        needed_for=need,
        text=f"`{place}` cannot be written in: {reason}",
        fix=(_open(place, needs),) if closed else make_room() if full else (),
        safe=closed and place == folder and _is_ours(place),
    )


def _try_to_write(place: Path, *, inside: bool) -> tuple[str, int | None]:
    """Return why a folder, or what is in it, cannot be written, and that as a number; nothing if it can."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))  # what is empty has its place on a full disk too
        closed = [entry.name for entry in os.scandir(place) if not os.access(entry, os.W_OK)] if inside else []
    except OSError as error:
        return error.strerror or str(error), error.errno
    return (f"{closed[0]} in it may not be written", errno.EACCES) if closed else ("", None)


def _open(place: Path, needs: Needs) -> str:
    """Return the command that has `.llorch/` be written in, and leaves the rest of the workspace as it is."""
    folder = needs.workspace.state
    if _is_ours(place):
        return shlex.join(["chmod", *(["-R", "u+rwX"] if place == folder else ["u+rwx"]), str(place)])
    given = ["chown", "-R"] if place == folder else ["install", "-d", "-o"]
    return needs.system.sudo + shlex.join([*given, str(os.geteuid()), str(folder)])


def _is_ours(place: Path) -> bool:
    return place.stat().st_uid == os.geteuid()


def check_locale(needs: Needs, need: str) -> Iterator[Finding]:
    """Look which letters programs write: Python itself copes with any locale, but git, cargo and ssh follow it."""
    encoding = locale.getencoding()
    variable = next((name for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), None)
    found = f"{variable}={os.environ[variable]}" if variable else "none"
    if encoding.upper().replace("-", "") == "UTF8":
        yield Finding(id="locale", found=found, needed_for=need)
        return
    yield Finding(
        id="locale",
        severity="warn",
        found=found,
        needed_for=need,
        text=f"programs write {encoding} here: names with other letters are shown with question marks, or not at all",
        fix=("export LC_ALL=" + ("en_US.UTF-8" if needs.system.platform == "darwin" else "C.UTF-8"),),
    )
