"""Install this llorch on a host, without root, into `.venv` of the host's repository.

Looked at first, then planned, then done; what is done already is not done again. A file is on the host under its name
only when it is whole, and so is the environment.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from llorch import __version__
from llorch.config import Workspace
from llorch.errors import Busy, CommandFailed, IntegrityError, Refused, ToolMissing
from llorch.remote.command import FOLDER, LOCK
from llorch.remote.facts import PUT, TRY, Facts, parse_facts
from llorch.remote.hosts import Host
from llorch.remote.hosts_edit import set_value
from llorch.remote.there import BEGIN, READY, There
from llorch.remote.wheels import download_for, installed_wheel
from llorch.switches import is_on

OLDEST = (3, 11)
_PYTHONS = (
    " python3 python3.14 python3.13 python3.12 python3.11 /opt/homebrew/bin/python3 /usr/local/bin/python3"
    ' /home/linuxbrew/.linuxbrew/bin/python3 "$HOME"/.local/bin/python3.1? "$HOME"/.local/share/uv/python/*/bin/python3'
    ' "$HOME"/.pyenv/versions/*/bin/python3'
)
"""Where a Python may be: PATH is short where nobody has logged in."""
_FIT = f"""
import sys
print("%d.%d.%d" % sys.version_info[:3], sys.executable)
import venv
sys.exit(sys.version_info < {OLDEST})
"""
_INSIDE = f"import sys; sys.exit(sys.prefix == sys.base_prefix or sys.version_info < {OLDEST})"
LOOK = (
    FOLDER + BEGIN + PUT + TRY + ' put folder "$(pwd)";'
    f" for python in{_PYTHONS}; do"
    ' said=$("$python" -c "$1" 2>/dev/null </dev/null) && { put python "$said"; break; }'
    ' || [ -z "$said" ] || put unfit "$said"; done;'
    " if [ -e .venv ] || [ -L .venv ]; then put venv yes; fi;"
    ' if .venv/bin/python -c "$2" 2>/dev/null </dev/null; then put usable yes; fi;'
    " try pip .venv/bin/python -m pip --version; try version .venv/bin/llorch --version;"
    " try installed cat .venv/llorch/installed; exit 0"
)
"""Tells which Python there is, and what is in `.venv`."""
_FOLDER = " mkdir -p .llorch && { [ -e .llorch/.gitignore ] || printf '*\\n' >.llorch/.gitignore; }"
ALONE = (
    FOLDER + BEGIN + PUT + LOCK + ' busy() { [ "$1" = 1 ] || exit; put busy "$2"; exit 0; };' + _FOLDER + " || exit;"
    ' exec 8>>.llorch/setup.lock; lock || busy $? "another setup is at work there"; exec 7>&8;'
    ' exec 8>>.llorch/installing.lock; lock || busy $? "what a killed setup had begun goes on there"; exec 8>&-;'
) + READY  # fmt: skip
"""Keeps other setups away, or tells that one is at work, or that what it was installing goes on without it."""
_INSTALLING = " exec 8>>.llorch/installing.lock; lock || exit;"
"""Has a lock that lasts as long as the installation, which goes on if the connection breaks."""
# What activates it has the folder's name in it, and is made again under the last one.
MAKE = (
    FOLDER + BEGIN + LOCK + _INSTALLING + ' rm -rf .venv.part && "$1" -m venv --without-pip .venv.part >&2'
    " && rm -f .venv.part/bin/[Aa]ctivate* && printf '*\\n' >.venv.part/.gitignore"
    ' && mv .venv.part .venv && "$1" -m venv --without-pip .venv >&2'
)
"""Makes `.venv`, which is never there by halves. pip comes later, so Debian's missing `ensurepip` does not matter."""
PYTHON = FOLDER + BEGIN + ' mkdir -p .venv/llorch && exec .venv/bin/python -I -c "$@"'
"""Runs a program of Python's, with arguments."""
_HAVE = """
import hashlib, json, pathlib
wheels = pathlib.Path(".venv/llorch").glob("*.whl")
print(json.dumps({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels}))
"""
_RECEIVE = """
import hashlib, os, sys
name, wanted = sys.argv[1:]
path, digest = ".venv/llorch/" + name, hashlib.sha256()
with open(path + ".part", "wb") as part:
    while data := sys.stdin.buffer.read(1 << 20):
        digest.update(data)
        part.write(data)
    part.flush()
    os.fsync(part.fileno())
if digest.hexdigest() == wanted:
    os.replace(path + ".part", path)
sys.stdout.write(digest.hexdigest())
"""
_MACHINE = """
import json, sys
from pip._vendor.packaging import markers, tags
environment, platforms = markers.default_environment(), list(tags.platform_tags())
print(json.dumps({"python": "%d.%d" % sys.version_info[:2], "environment": environment, "platforms": platforms}))
"""
_PIP = "--disable-pip-version-check --no-input --quiet"
INSTALL = (
    FOLDER + BEGIN + LOCK + _INSTALLING + " python=.venv/bin/python wheel=$1 digest=$2 bootstrap=$3; shift 3; {"
    ' { [ -z "$bootstrap" ] || "$python" ".venv/llorch/$bootstrap/pip" install --no-index --no-deps'
    f' {_PIP} ".venv/llorch/$bootstrap"; }}'
    f' && "$python" -m pip install --only-binary=:all: --find-links=.venv/llorch {_PIP} "$@" ".venv/llorch/$wheel"'
    # A wheel of the same version is not installed over another one otherwise.
    f' && "$python" -m pip install --no-index --no-deps --force-reinstall {_PIP} ".venv/llorch/$wheel"'
    " && .venv/bin/llorch --version; } </dev/null >&2"
    ' && printf %s "$digest" >.venv/llorch/installed.part && mv -f .venv/llorch/installed.part .venv/llorch/installed'
    " && rm -f .venv/llorch/*.whl"
)
"""Installs a wheel and what it needs, and tries it. pip's own options follow."""
_INDEX = ("--timeout=10", "--retries=1")
_NO_INDEX = ("--no-index",)
_BY_SIGNAL = 128
"""What sh tells of a program that a signal has ended is this and its number."""
_SOURCE_ONLY = ("doit-cmd",)
"""What llorch needs and is published as source alone, which would have to be built there: its wheel comes from here."""


class Plan(NamedTuple):
    """What is to be done on a host.

    Attributes:
        python: what makes the environment, None if it is there.
        needs_pip: it has none.
        stale: llorch is to be installed.
        steps: what is to be done, in words.
        question: what has to be agreed to.
    """

    llorch: str
    python: str | None
    needs_pip: bool
    stale: bool
    steps: Sequence[str]
    question: str | None

    def as_json(self) -> Mapping[str, Any]:
        """Return what JSON documents have of it."""
        return {"steps": list(self.steps), "llorch": self.llorch, "version": __version__}


def plan_setup(there: There, wheel: Path) -> Plan:
    """Look at a host, and return what is missing for it to have the llorch of a wheel.

    Raises:
        ToolMissing: it has no Python that is new enough.
        Refused: there is a `.venv` that cannot be used, or a name in which there can be none.
    """
    facts = parse_facts(there.run("sh", LOOK, _FIT, _INSIDE))
    folder = facts["folder"]
    if wrong := [character for character in '"$`\\' if character in folder]:
        raise Refused(
            f"no program that pip installs runs in `{folder}` on `{there.host.name}`: it has a {wrong[0]}",
            hint="say another `repo_path` in hosts.toml, and move the repository there",
        )
    steps, python = [], None
    if not facts["usable"]:
        if facts["venv"]:
            raise Refused(
                f"`{folder}/.venv` on `{there.host.name}` has no Python {_dotted(OLDEST)} or newer that runs",
                hint=f"if it may go: `llorch remote exec {there.host.name} -- rm -r .venv`, then repeat",
            )
        version, python = _find_python(there.host, facts)
        steps.append(f"make `{folder}/.venv` with Python {version}, `{python}`")
    stale = facts["installed"] != digest_of(wheel) or facts["version"] != f"llorch {__version__}"
    if stale:
        old = facts["version"].removeprefix("llorch ")
        steps.append(f"install llorch {__version__} there" + (f" in place of {old}" if old else ""))
    llorch = f"{folder}/.venv/bin/llorch"
    if there.host.llorch != llorch:
        steps.append(f"set `llorch` of `{there.host.name}` in hosts.toml to `{llorch}`")
    return Plan(llorch, python, not facts["pip"], stale, steps, f"this installs software on `{there.host.name}`")


def carry_out(there: There, wheel: Path, workspace: Workspace) -> Plan:
    """Do what is to be done, once no other setup is at work there, and return what it was.

    Raises:
        Busy: one is, and LLORCH_NO_WAIT is set.
        IntegrityError: a file came to the host as another.
        CommandFailed: it cannot be installed.
        ConfigError, LlorchError: hosts.toml cannot be edited.
    """
    with _alone(there):
        plan = plan_setup(there, wheel)  # another one may have done it
        _carry_out(plan, there, wheel)
    if there.host.llorch != plan.llorch:
        set_value(workspace, there.host.name, "llorch", plan.llorch)
    return plan


@contextmanager
def _alone(there: There) -> Iterator[None]:
    """Keep other setups away from the host, waiting for one that is at work."""
    told = ""
    while True:
        with there.beside("sh", ALONE) as facts:
            busy = facts["busy"]
            if not busy:
                yield
                return
        if is_on("LLORCH_NO_WAIT"):
            raise Busy(f"`{there.host.name}`: {busy}", hint="wait for it, then run again")
        if busy != told:
            there.say(f"waiting: {busy}")
        told = busy
        time.sleep(0.5)


def _carry_out(plan: Plan, there: There, wheel: Path) -> None:
    if plan.python is not None:
        there.say("making .venv")
        there.run("python -m venv", MAKE, plan.python)
    if plan.stale:
        with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
            wheels = [wheel, *(installed_wheel(name, Path(folder)) for name in _SOURCE_ONLY)]
            _install(there, wheels, installed_wheel("pip", Path(folder)) if plan.needs_pip else None)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_python(host: Host, facts: Facts) -> tuple[str, str]:
    """Return the version and the place of the Python that was found."""
    if facts["python"]:
        version, _, place = facts["python"].partition(" ")
        return version, place
    hint = "`apt install python3-venv`, `dnf install python3`, `brew install python`; without root: `uv python install`"
    for version, _, place in (found.partition(" ") for found in facts.all("unfit")):
        if tuple(map(int, version.split(".")))[:2] >= OLDEST:
            raise ToolMissing(f"`{place}` on `{host.name}` cannot make environments: it has no `venv`", hint=hint)
    found = ", ".join(sorted({said.partition(" ")[0] for said in facts.all("unfit")}))
    there = f"there is only {found}" if found else "there is none"
    raise ToolMissing(f"`{host.name}` needs Python {_dotted(OLDEST)} or newer, and {there}", hint=hint)


def _install(there: There, wheels: Sequence[Path], pip: Path | None) -> None:
    """Install the first of the wheels, with what it needs, the others among that."""
    _push(there, [*wheels, *([pip] if pip else [])])
    arguments = (wheels[0].name, digest_of(wheels[0]), pip.name if pip else "")
    there.say(f"installing llorch {__version__}")
    try:
        there.run("pip", INSTALL, *arguments, *_INDEX)
    except CommandFailed as error:
        if error.returncode > _BY_SIGNAL:
            raise
        there.say("it does not get packages by itself; they come from here")
        with tempfile.TemporaryDirectory(prefix="llorch-") as folder:
            machine = json.loads(there.run("pip", PYTHON, _MACHINE))
            _push(there, download_for(machine, wheels, Path(folder)))
            there.run("pip", INSTALL, *arguments, *_NO_INDEX)


def _push(there: There, files: Sequence[Path]) -> None:
    """Bring files to the host, those that it does not have."""
    have: Mapping[str, str] = json.loads(there.run("python", PYTHON, _HAVE))
    missing = {
        path: digest for path, digest in zip(files, map(digest_of, files), strict=True) if have.get(path.name) != digest
    }
    if missing:
        there.say(f"bringing {len(missing)} wheel{'s' if len(missing) > 1 else ''}")
    for path, digest in missing.items():
        with open(path, "rb") as file:
            found = there.run("python", PYTHON, _RECEIVE, path.name, digest, stdin=file.fileno()).decode()
        if found != digest:
            raise IntegrityError(f"{there.host.name}:{path.name}", digest, found, hint="repeat it")


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
