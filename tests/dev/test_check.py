"""What is told of a workspace's files: each kind of problem, and what a mistake must not bring with it."""

import os
import subprocess
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.dev import check as rules
from llorch.dev.check import Report, Skipped, check
from llorch.errors import ConfigError, LlorchError, Problem, Refused
from tests.conftest import sha256
from tests.hub import Hub
from tests.remote.configs import need_ssh, use_config
from tests.rust import Rust, needs_cargo

Look = Callable[..., list[str]]
DATA = b"weights"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ask no Hub, and read no configuration of ssh but an empty one."""
    need_ssh()
    use_config("", tmp_path, monkeypatch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def report(workspace: Path, offline: None) -> Callable[..., Report]:
    """Write files of the workspace, and look at it."""

    def look(files: dict[str, str] | None = None, tasks: Collection[str] = ()) -> Report:
        for name, text in (files or {}).items():
            (workspace / name).parent.mkdir(parents=True, exist_ok=True)
            (workspace / name).write_text(text)
        return check(Workspace(root=workspace, declared=True), lambda: tasks)

    return look


@pytest.fixture
def look(report: Callable[..., Report]) -> Look:
    """Write files of the workspace, and return what is told of it."""

    def lines(files: dict[str, str] | None = None, tasks: Collection[str] = ()) -> list[str]:
        return [f"{problem.severity} {problem}" for problem in report(files, tasks).problems]

    return lines


def entry(id: str, more: str = "") -> str:
    """Return an entry of the catalog that is right."""
    return f'[models.{id}]\nsource = "file:/srv"\nfiles = [{{ path = "{id}.gguf" }}]\n{more}'


def test_an_empty_workspace_is_right(report: Callable[..., Report]) -> None:
    """The shipped catalog is looked at, and what was not is told with the reason."""
    found = report()
    assert (found.problems, found.ok, found.files) == ((), True, ("catalog.toml (shipped)",))
    assert found.counts == {"models": 12, "hosts": 0, "builds": 0, "suites": 0}
    assert found.skipped == (Skipped("the Hub", "fetching is switched off (LLORCH_OFFLINE, HF_HUB_OFFLINE)"),)


def test_defaults_that_are_not_there_do_not_count(report: Callable[..., Report], workspace: Path) -> None:
    """A workspace of one crate has one binary and one suite, not those of llama-orch besides."""
    (workspace / "Cargo.toml").write_text('[package]\nname = "worker"\nversion = "0.1.0"\nedition = "2021"\n')
    (workspace / "src").mkdir()
    (workspace / "src/main.rs").write_text("fn main() {}\n")
    tables = ["[build.worker]", 'manifest = "Cargo.toml"', "[test.unit]", 'manifest = "Cargo.toml"']
    (workspace / "llorch.toml").write_text("\n".join(tables))
    assert report().counts == {"models": 12, "hosts": 0, "builds": 1, "suites": 1}


def test_every_file_is_named(report: Callable[..., Report], workspace: Path) -> None:
    """The user's own files too, and a catalog that a variable names."""
    home = Path(os.environ["HOME"]) / ".config/llorch"
    home.mkdir(parents=True)
    (home / "config.toml").write_text('[paths]\ncatalog = "other.toml"\n')
    (home / "hosts.toml").write_text("[hosts.box]\n")
    found = report({"other.toml": entry("a"), "dodo.py": "", "hosts.toml": "", "llorch.toml": ""})
    assert (found.problems, found.counts["hosts"], found.counts["models"]) == ((), 1, 1)
    own = (f"{home}/config.toml", "llorch.toml", "other.toml", "hosts.toml", f"{home}/hosts.toml", "dodo.py")
    assert found.files == own


def test_one_broken_file_hides_no_other(look: Look, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not TOML, not UTF-8, not a file, not there, not Python: each is told, and so is the rest."""
    (workspace / "models.toml").write_bytes(b"version = 1\n[models.a]\nname = '\xff'\n")
    (workspace / "hosts.toml").mkdir()
    monkeypatch.setenv("LLORCH_CATALOG", "models.toml")
    monkeypatch.setenv("LLORCH_CONFIG_PATH", "/gone/config.toml")
    monkeypatch.setenv("LLORCH_JOBS", "many")
    monkeypatch.setenv("LLORCH_LOG_LEVEL", "loud")
    assert look({"llorch.toml": "[paths\nmodels = 1\n[gti]\n", "dodo.py": "x = 1\ndef f(:\n"}) == [
        "error LLORCH_CONFIG_PATH: there is no file `/gone/config.toml`",
        "error LLORCH_JOBS: `many` is not a number up to 256; give how many tasks to run at once",
        "error LLORCH_LOG_LEVEL: `loud` is no level; give one of debug, info, warning, error, off",
        "error dodo.py:2: is not Python: invalid syntax",
        "error hosts.toml: cannot be read: Is a directory",
        "error llorch.toml:1: is not valid TOML: expected ']' at the end of a table declaration",
        "error llorch.toml:3: gti: unknown key (did you mean `git`?)",
        "error models.toml:3: is not UTF-8 text (save the file as UTF-8)",
    ]


def test_variables_that_nobody_reads_are_told(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a warning; those that builds watch, and the one of the key, are read."""
    for name in ("LLORCH_MODEL_DIR", "LLORCH_REPO_URL", "LLORCH_CATALOGS", "LLORCH_SIGN_KEYS"):
        monkeypatch.setenv(name, "")
    settings = (
        '[cache]\nsign_key = "env:LLORCH_SIGN_KEYS"\n[build.a]\nmanifest = "a/Cargo.toml"\nenv = ["LLORCH_CATALOGS"]\n'
    )
    assert [line for line in look({"llorch.toml": settings}) if line.startswith("warn")] == [
        "warn LLORCH_MODEL_DIR: llorch reads no such variable (did you mean `LLORCH_MODEL_BASE_DIR`?)",
        "warn LLORCH_REPO_URL: llorch reads no such variable (`llorch remote sync HOST` brings the commits from here)",
    ]


def test_a_needed_task_has_to_be_one(look: Look) -> None:
    """Models, binaries and suites by their tasks; of all others only doit knows."""
    suites = '[test.a]\ncommand = ["true"]\nneeds = [\n  "models:m",\n  "models:n",\n  "verify:m",\n  "own:task",\n]\n'
    suites += '[test.b]\ncommand = ["true"]\nneeds = ["test:a", "build:worker", "models", "bild:x"]\n'
    files = {"llorch.toml": suites, "catalog.toml": entry("m")}
    expected = [
        "error llorch.toml:5: test.a.needs[1]: there is no task `models:n` (`llorch list` shows the tasks)",
        "error llorch.toml:7: test.a.needs[3]: there is no task `own:task` (did you mean `own:tosk`?)",
        "error llorch.toml:11: test.b.needs[1]: there is no task `build:worker` (`llorch list` shows the tasks)",
        "error llorch.toml:11: test.b.needs[3]: there is no task `bild:x` (did you mean `build`?)",
    ]
    assert [line.partition(" (")[0] for line in look(files)] == [line.partition(" (")[0] for line in expected]
    assert look({}, ["own:tosk"]) == expected
    assert look({}, ["own:task", "bild:x"]) == [expected[0], expected[2]]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConfigError([Problem("dodo.py", 7, "", "KeyError: 'k'")]), "dodo.py:7: KeyError: 'k'"),
        (Refused("not here", hint="go there"), "dodo.py: not here (go there)"),
    ],
)
def test_tasks_that_cannot_be_loaded_hide_nothing(
    workspace: Path, offline: None, error: LlorchError, said: str
) -> None:
    """What is wrong with a user's own tasks is told with the rest; what may be one of them is not missed."""

    def tasks() -> Collection[str]:
        raise error

    Path("llorch.toml").write_text('[test.a]\ncommand = ["true"]\nneeds = ["own:task", "models:n"]\n')
    first, second = check(Workspace(root=workspace, declared=True), tasks).problems
    assert str(first) == said
    assert str(second).startswith("llorch.toml:3: test.a.needs[1]: there is no task `models:n`")


def test_a_task_of_a_wrong_entry_is_no_second_mistake(look: Look) -> None:
    """What is declared wrongly is declared; what may have been declared is not missed."""
    needs = '[test.a]\ncommand = ["true"]\nneeds = ["models:m", "build:worker-cpu", "own:x", "test:b"]\n'
    broken = needs + '[build.worker]\nmanifest = 1\n[test.b]\ncommand = "x"\n'
    found = look({"llorch.toml": broken, "catalog.toml": "[models.m]\nfiles = 1\n"}, ["never:asked"])
    keys = [line.split(": ")[1] for line in found]
    assert keys == ["models.m.files", "build.worker.manifest", "test.b.command"]
    needs = needs.replace(', "own:x", "test:b"', "")
    assert look({"llorch.toml": needs, "catalog.toml": "modles = = 1\n"}) == [
        "error catalog.toml:1: is not valid TOML: invalid value",
        "error llorch.toml:3: test.a.needs[1]: there is no task `build:worker-cpu` (`llorch list` shows the tasks)",
    ]


@needs_cargo
def test_builds_and_suites_are_held_against_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    """Each at the key of llorch.toml that says so; a mistake of every backend is told once, defaults never."""
    rust = Rust(tmp_path / "rust")
    for name, value in rust.environ.items():
        monkeypatch.setenv(name, value)
    rust.write(
        "llorch.toml",
        """\
[build.worker]
manifest = "app/Cargo.toml"
package = "worker"
bin = "worker-{backend}"
backends = ["cpu", "gpu"]
features = ["{backend}"]
profile = "fast"
[build.other]
manifest = "gone/Cargo.toml"
[test.unit]
manifest = "crates/base/Cargo.toml"
features = ["x"]
[test.lost]
manifest = "lost/Cargo.toml"
""",
    )
    found = check(Workspace(root=rust.root, declared=True), lambda: ())
    assert [str(problem).partition(" (")[0] for problem in found.problems] == [
        "llorch.toml:4: build.worker.bin: `worker` has no binary `worker-gpu`",
        "llorch.toml:6: build.worker.features: `worker` has no feature `gpu`",
        "llorch.toml:7: build.worker.profile: there is no profile `fast` in the workspace's Cargo.toml",
        "llorch.toml:9: build.other.manifest: there is no file `gone/Cargo.toml`",
        "llorch.toml:12: test.unit.features: `base` has no feature `x`",
        "llorch.toml:14: test.lost.manifest: there is no file `lost/Cargo.toml`",
    ]
    monkeypatch.setenv("PATH", str(tmp_path))
    skipped = check(Workspace(root=rust.root, declared=True), lambda: ()).skipped
    assert Skipped("cargo packages", "`cargo` is not installed, or not in PATH") in skipped


def test_programs_are_looked_for(look: Look, workspace: Path) -> None:
    """One that is not installed here is a warning, since it may be elsewhere."""
    (workspace / "tool").touch(0o755)
    files = {
        "llorch.toml": '[cargo]\nrustc_wrapper = "no-such-wrapper"\n[test.a]\ncommand = ["no-such-tool", "-q"]\n'
        '[test.b]\ncommand = ["./tool"]\n[test.c]\ncommand = ["./no-tool"]\n[test.d]\ncommand = ["sh"]\n'
        '[test.e]\ncommand = ["run-{backend}"]\nbackends = ["cpu"]\n'
    }
    assert [line.partition(" (")[0] for line in look(files)] == [
        "warn llorch.toml:2: cargo.rustc_wrapper: there is no program `no-such-wrapper` here",
        "warn llorch.toml:4: test.a.command[0]: there is no program `no-such-tool` here",
        "warn llorch.toml:8: test.c.command[0]: there is no program `./no-tool` here",
    ]


@pytest.mark.parametrize(
    ("default", "told"), [("box", False), ("all", False), ("@gpu", False), ("box, bix", True), ("me@10.0.0.1", False)]
)
def test_hosts_are_looked_at(look: Look, default: str, told: bool) -> None:
    """The default host is one, as jumps are, and as those who connect take it."""
    files = {"hosts.toml": "[hosts.box]\n", "llorch.toml": f'[remote]\ndefault_host = "{default}"\n'}
    problem = "error llorch.toml:2: remote.default_host: there is no host `bix`: neither hosts.toml nor ssh's"
    assert [line.startswith(problem) for line in look(files)] == [True] * told
    jump = look({"hosts.toml": '[hosts.box]\njump = "bux"\n', "llorch.toml": ""})
    assert jump[0].startswith("error hosts.toml:2: hosts.box.jump: there is no host `bux`")


def test_leftovers_are_warnings(report: Callable[..., Report], workspace: Path) -> None:
    """What `models gc` would remove, unfinished downloads, and what killed edits and gits have left."""
    subprocess.run(["git", "init", "-q"], check=True)
    catalog = entry("a") + '[models.b]\nrepo = "o/b"\nrevision = "' + "1" * 40 + '"\nfiles = [{ path = "b" }]\n'
    left = {".test-models/a/a.gguf.part": "12345", ".test-models/b/b.part": "1" * 1234, "hosts.toml.part": ""}
    left |= {".git/index.lock": "", "catalog.toml.part": ""}
    assert report({"catalog.toml": catalog, **left}).ok
    long_ago = time.time() - 2 * rules.OLD
    for name in left:
        os.utime(workspace / name, (long_ago, long_ago))
    found = report()
    assert found.ok
    assert [str(problem) for problem in found.problems] == [
        ".git/index.lock: was left by a git that was killed (if nothing is at work there: `rm .git/index.lock`)",
        ".test-models/a/a.gguf.part: was left by a run that was killed (5 bytes) (`llorch models gc` removes it)",
        ".test-models/b/b.part: is an unfinished download (1,234 bytes) (`llorch models download` goes on with it;"
        " `llorch models gc --unfinished` removes it)",
        "catalog.toml.part: was left by an edit that was killed (if nothing is at work there: `rm catalog.toml.part`)",
        "hosts.toml.part: was left by an edit that was killed (if nothing is at work there: `rm hosts.toml.part`)",
    ]
    skipped = report({"catalog.toml": catalog + "[models.c]\n"}).skipped
    assert Skipped("what killed downloads have left", "the catalog has mistakes") in skipped


def test_replaced_scripts_come_with_what_deletes_them(look: Look, workspace: Path) -> None:
    """`git rm` for what git knows, `rm` for the rest; with what to see to first where one does more."""
    shell = "#!/bin/bash\ncase $ACTION in\nstatus) ;;\n"
    files = {
        "scripts/llorch-git": f"{shell}esac\n",
        "scripts/home lab/llorch-remote": f"{shell}deploy) ;;\nesac\n",
        ".docs/testing/download_tinyllama.sh": "#!/bin/bash\nhf download x y\n",
    }
    assert look(files)[2].endswith("(`rm scripts/llorch-git` deletes it; docs/migration.md has each of its calls)")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "scripts"], check=True)
    assert look() == [
        "warn .docs/testing/download_tinyllama.sh: `llorch models download tinyllama` stands in for it"
        " (`rm .docs/testing/download_tinyllama.sh` deletes it; docs/migration.md has each of its calls)",
        "warn scripts/home lab/llorch-remote: `llorch … --remote HOST` stands in for it, but not for what"
        " docs/migration.md does not have: `deploy`"
        " (see to those first, then `git rm 'scripts/home lab/llorch-remote'` deletes it)",
        "warn scripts/llorch-git: `llorch git …` stands in for it"
        " (`git rm scripts/llorch-git` deletes it; docs/migration.md has each of its calls)",
    ]


def test_the_catalog_is_held_against_the_hub(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_hub: Hub
) -> None:
    """What is not so there is at its line; a model that cannot be asked about is told, or the Hub if none can."""
    use_config("", tmp_path, monkeypatch)
    commit = empty_hub.add("org/m", {"a": DATA}, lfs=["a"])
    model = '[models.{}]\nrepo = "org/{}"\nrevision = "{}"\nfiles = [{{ path = "a", sha256 = "{}" }}]\n'
    good = model.format("m", "m", commit, sha256(DATA))
    here = Workspace(root=workspace, declared=True)
    (workspace / "catalog.toml").write_text(good + model.format("n", "m", commit, "0" * 64))
    found = check(here, lambda: ())
    assert [problem.line for problem in found.problems] == [8]
    assert (found.ok, found.skipped) == (False, ())
    empty_hub.tokens["hf_a"] = set()
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_b")
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: "hf_b")
    found = check(here, lambda: ())
    assert (found.problems, [skipped.what for skipped in found.skipped]) == ((), ["the Hub"])
    (workspace / "catalog.toml").write_text(good + "[models.o]\nrepo = 'org/m'\nfiles = [{ path = 'a', size = 'x' }]\n")
    monkeypatch.setenv("HF_ENDPOINT", "nowhere")
    assert "HF_ENDPOINT: `nowhere` is not an address such as https://huggingface.co" in map(
        str, check(here, lambda: ()).problems
    )


def test_one_of_several_that_cannot_be_asked_about(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_hub: Hub
) -> None:
    """It is named with its reason."""
    use_config("", tmp_path, monkeypatch)
    commits = [empty_hub.add("org/m", {"a": DATA}), empty_hub.add("org/g", {"a": DATA}, gated=True)]
    empty_hub.add("org/g", {"a": b"newer"}, gated=True)
    text = "".join(
        f'[models.{id}]\nrepo = "org/{id}"\nrevision = "{commit}"\ngated = {str(id == "g").lower()}\n'
        'files = [{ path = "a" }]\n'
        for id, commit in zip("mg", commits, strict=True)
    )
    (workspace / "catalog.toml").write_text(text)
    found = check(Workspace(root=workspace, declared=True), lambda: ())
    assert found.problems == ()
    assert found.skipped == (Skipped("g on the Hub", "`org/g` is gated, and there is no token"),)
