"""What llorch itself stands on: Python and its packages, a place for its state, a locale that has all letters."""

import getpass
import locale
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from llorch.dev.finding import Finding, listing
from llorch.dev.needs import Needs


def check_python(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for the packages that llorch declares: those that it loads late may be missing without anyone noticing."""
    found = f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"
    missing = missing_packages()
    if not missing:
        yield Finding(id="python", found=found, needed_for=need)
        return
    installer = ["uv", "pip", "install", "--python", sys.executable]
    if shutil.which("uv") is None:
        installer = [sys.executable, "-m", "pip", "install"]
    yield Finding(
        id="python",
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
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
        closed = [entry.path for entry in os.scandir(place) if not os.access(entry, os.W_OK)] if place == folder else []
        reason = f"{os.path.basename(closed[0])} in it may not be written" if closed else ""
    except OSError as error:
        closed, reason = [str(place)], error.strerror or str(error)
    if not closed:
        yield Finding(id="state", found=name if place == folder else f"{name}, to be made", needed_for=need)
        return
    yield Finding(
        id="state",
        severity="error",
        found=name,
        needed_for=need,
        text=f"`{place}` cannot be written in: {reason}",
        fix=_open(place, needs),
        safe=place == folder and _is_ours(place),
    )


def _open(place: Path, needs: Needs) -> tuple[str, ...]:
    if _is_ours(place):
        return (shlex.join(["chmod", "-R", "u+rwX", str(place)]),)
    return (needs.system.sudo + shlex.join(["chown", "-R", getpass.getuser(), str(place)]),)


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
