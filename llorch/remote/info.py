"""What machine a host is, and what is there: asked by one script, whose answers are read here.

Each fact is asked in a form that is meant for programs, where there is one; none of them has to be there.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llorch.remote.command import EXPAND, OK
from llorch.remote.facts import PUT, TRY, Facts
from llorch.remote.forward import FIND
from llorch.remote.hosts import Host
from llorch.remote.streams import Request

PLACES = "$HOME/.cargo/bin:/opt/homebrew/bin:/usr/local/bin:/usr/lib/wsl/lib"
"""Where programs are besides PATH, which is short where nobody has logged in."""
_MACHINE = (
    " try system uname -s; try kernel uname -r; try machine uname -m; try os-release cat /etc/os-release;"
    " try os-name sw_vers -productName; try os-version sw_vers -productVersion;"
    " try threads getconf _NPROCESSORS_ONLN; try lscpu lscpu -J; try cores lscpu -p=CORE,SOCKET;"
    " try cpu-name sysctl -n machdep.cpu.brand_string; try cpu-cores sysctl -n hw.physicalcpu;"
    " try meminfo cat /proc/meminfo; try memory sysctl -n hw.memsize;"
    " try displays system_profiler SPDisplaysDataType -json;"
    " if command -v nvidia-smi >/dev/null; then query=name,driver_version,memory.total,memory.free;"
    # Old drivers know of no compute_cap.
    " for more in ,compute_cap ''; do value=$(nvidia-smi --query-gpu=$query$more --format=csv,noheader,nounits 2>&1)"
    ' && { put nvidia "$value"; break; } || put nvidia-error "$value"; done; fi;'
)
_REPOSITORY = (
    " case $folder in /*) ;; *) folder=$PWD/$folder;; esac; place=$folder;"
    ' while [ -n "$place" ] && [ ! -d "$place" ]; do place=${place%/*}; done; try disk df -Pk "${place:-/}";'
    ' put folder "$folder"; if cd -- "$folder" 2>/dev/null; then put is-folder yes; else cd /; fi;'
    # rustup must not fetch the toolchain that the folder asks for.
    " export RUSTUP_AUTO_INSTALL=0; try rustc rustc -vV; try cargo cargo -vV; try git git --version;"
    ' if [ -e "$folder/.git" ]; then put is-repository yes; try branch git symbolic-ref -q --short HEAD;'
    ' if value=$(git rev-parse -q --verify HEAD 2>&1); then put commit "$value"; else put git-error "$value"; fi; fi;'
)
_LLORCH = (
    " own=$1 LLORCH_FORWARDED=none; export LLORCH_FORWARDED;" + FIND + ' if [ -n "$own" ]; then'
    ' case $own in /*) ;; *) own=$PWD/$own;; esac; put llorch "$own"; put llorch-version "$version";'
    ' if [ -d "$folder" ]; then try models "$own" models list --json; try builds "$own" build list --json; fi; else'
    ' look() { kind=$1; shift; find "$@" -type f -exec sh -c \'for file do printf "%s\\0%s %s\\0" "$0"'
    ' "$(($(wc -c <"$file")))" "$file"; done\' "$kind" {} + 2>/dev/null; };'
    ' look model .test-models "(" -name "*.gguf" -o -name "*.safetensors" ")";'
    ' look build target/release -maxdepth 1 -perm -100 -name "llorch-*"; fi; exit 0'
)
INFO = (
    EXPAND + OK + f" LC_ALL=C PATH=$PATH:{PLACES}; export LC_ALL PATH;" + PUT + TRY + _MACHINE + _REPOSITORY + _LLORCH
)
"""Tells all facts; a folder or program that is not there is no failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A graphics processor; what is not known is None, memory in bytes."""

    name: str
    memory: int | None = None
    free: int | None = None
    cores: int | None = None
    driver: str | None = None
    compute_capability: str | None = None
    metal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """A machine and what is there; what is not known is None, sizes in bytes.

    Attributes:
        gpu_error: why there are none to see although NVIDIA's tool is there.
        models: with what llorch there says of them, else what could be seen: path and size; likewise `builds`.
    """

    system: str | None
    os: str | None
    kernel: str | None
    architecture: str | None
    cpu: str | None
    cores: int | None
    threads: int | None
    memory: int | None
    memory_available: int | None
    gpus: tuple[Gpu, ...]
    gpu_error: str | None
    disk: Mapping[str, Any] | None
    repository: Mapping[str, Any]
    rustc: str | None
    cargo: str | None
    git: str | None
    llorch: Mapping[str, str] | None
    models: Sequence[Mapping[str, Any]]
    builds: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return what JSON documents have of it."""
        return asdict(self)


def info_request(host: Host) -> Request:
    """Return what asks a host."""
    return Request(INFO, (host.repository, host.llorch or ""))


def parse_info(facts: Facts) -> Info:
    """Return what the facts say."""
    release = dict(re.findall(r"^(\w+)=(.*)$", facts["os-release"], re.MULTILINE))
    name = "".join(shlex.split(release.get("PRETTY_NAME", ""))) or f"{facts['os-name']} {facts['os-version']}".strip()
    memory = {key: int(size) * 1024 for key, size in re.findall(r"^(\w+):\s+(\d+) kB$", facts["meminfo"], re.MULTILINE)}
    cores = {line for line in facts["cores"].splitlines() if not line.startswith("#")}
    nvidia = tuple(parse_nvidia(facts["nvidia"]))
    return Info(
        system=facts["system"] or None,
        os=name or None,
        kernel=facts["kernel"] or None,
        architecture=facts["machine"] or None,
        cpu=facts["cpu-name"] or _cpu(_tables(_document(facts["lscpu"]), "lscpu")),
        cores=_number(facts["cpu-cores"]) or len(cores) or None,
        threads=_number(facts["threads"]),
        memory=memory.get("MemTotal") or _number(facts["memory"]),
        memory_available=memory.get("MemAvailable"),
        gpus=nvidia or tuple(parse_displays(_document(facts["displays"]))),
        gpu_error=None if nvidia else facts["nvidia-error"] or facts["nvidia"] or None,
        disk=_disk(facts["disk"]),
        repository=_repository(facts),
        rustc=_release(facts["rustc"]),
        cargo=_release(facts["cargo"]),
        git=next(iter(re.findall(r"^git version (\S+)", facts["git"])), None),
        llorch={"path": facts["llorch"], "version": facts["llorch-version"]} if facts["llorch"] else None,
        models=_tables(_document(facts["models"]), "models") or _seen(facts.all("model")),
        builds=_tables(_document(facts["builds"]), "builds") or _seen(facts.all("build")),
    )


def _repository(facts: Facts) -> Mapping[str, Any]:
    """Return the state of the folder: `none` if it is not there, `folder` if it is no repository."""
    state = "repository" if facts["is-repository"] else "folder" if facts["is-folder"] else "none"
    return {
        "path": facts["folder"],
        "state": state,
        "branch": facts["branch"] or None,
        "commit": facts["commit"] or None,
        "error": facts["git-error"] or None,
    }


def _document(text: str) -> dict[str, Any]:
    """Return a JSON document, an empty one for what is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _tables(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects of a list in a document."""
    found = document.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _cpu(fields: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the processor's name out of what lscpu(1) says, newer ones of which nest it."""
    for field in fields:
        name = field.get("data") if field.get("field") == "Model name:" else _cpu(_tables(field, "children"))
        if name is not None and name != "-":
            return str(name)
    return None


def parse_nvidia(text: str) -> Iterator[Gpu]:
    """Yield the GPUs of nvidia-smi(1), a line each, memory in MiB; what it cannot say is in brackets."""
    for line in text.splitlines():
        name, *more = (value.strip() for value in line.split(","))
        if len(more) in (3, 4):  # else it is a sentence
            driver, total, free, capability = (value if value[:1] != "[" else "" for value in (*more, "")[:4])
            yield Gpu(
                name=name,
                memory=_mebibytes(total),
                free=_mebibytes(free),
                driver=driver or None,
                compute_capability=capability or None,
            )


def parse_displays(document: Mapping[str, Any]) -> Iterator[Gpu]:
    """Yield the GPUs of `system_profiler SPDisplaysDataType -json`; Apple's own have the machine's memory."""
    for gpu in _tables(document, "SPDisplaysDataType"):
        metal = str(gpu.get("spdisplays_mtlgpufamilysupport", "")).removeprefix("spdisplays_")
        name = str(gpu.get("sppci_model") or gpu.get("_name"))
        yield Gpu(name=name, cores=_number(str(gpu.get("sppci_cores", ""))), metal=metal or None)


def _disk(text: str) -> Mapping[str, Any] | None:
    """Return what df(1) says in POSIX's format, of one file system whose name may have spaces."""
    found = re.search(r"\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s+(/.*)$", text)
    return found and {"mount": found[3], "size": int(found[1]) * 1024, "free": int(found[2]) * 1024}


def _release(text: str) -> str | None:
    """Return the version out of what `rustc -vV` or `cargo -vV` says."""
    return next(iter(re.findall(r"^release: (\S+)$", text, re.MULTILINE)), None)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _mebibytes(text: str) -> int | None:
    number = _number(text)
    return None if number is None else number << 20


def _seen(files: Sequence[str]) -> list[dict[str, Any]]:
    found = (file.partition(" ") for file in sorted(files, key=lambda file: file.partition(" ")[2]))
    return [{"path": path, "size": int(size)} for size, _, path in found]
