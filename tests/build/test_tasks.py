"""The tasks of builds, through both doors."""

import os
import re
import shutil
import socket
import socketserver
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llorch import toolchain
from tests.build.conftest import Llorch
from tests.conftest import IN_CI, program, sha256, write_catalog
from tests.rust import Rust, needs_cargo


def test_groups_have_their_members(workspace: Path, llorch: Llorch) -> None:
    """`build` has what is declared, and no default that is not there; each backend is in its binary's group."""
    toml = '[build.app]\nmanifest = "Cargo.toml"\nbin = "{backend}"\nbackends = ["a", "b"]\n'
    Path("llorch.toml").write_text(toml)
    Path("Cargo.toml").write_text("[workspace]\n")
    needs = {each["name"]: each["needs"] for each in llorch("graph", "--json").json["tasks"]}
    assert needs["build"] == ["build:app-a", "build:app-b", "build:app"]
    assert needs["build:app"] == ["build:app-a", "build:app-b"]
    assert needs["build:worker"] == ["build:worker-cpu", "build:worker-cuda", "build:worker-metal"]
    Path("bin/orchestratord").mkdir(parents=True)
    Path("bin/orchestratord/Cargo.toml").write_text("")
    needs = {each["name"]: each["needs"] for each in llorch("graph", "--json").json["tasks"]}
    assert "build:orchestrator" in needs["build"]


def test_a_crate_that_is_not_there(workspace: Path, llorch: Llorch) -> None:
    """Asked for by either door it fails in words; nothing but its code differs."""
    for more in ((), ("--dry-run",)):
        nowhere = llorch("build", "orchestrator", "--json", *more)
        assert (nowhere.code, nowhere.json["error"]["code"]) == (3, "not-in-workspace")
    Path("Cargo.toml").write_text("[workspace]\n")
    done = llorch("build", "orchestrator", "--json")
    (task,) = done.json["tasks"]
    assert (done.code, task["outcome"], task["error"]["code"]) == (3, "failed", "not-in-workspace")
    assert "`bin/orchestratord/Cargo.toml`" in task["error"]["message"]
    looked_for = llorch("build", "orchestrator", env={"LLORCH_NO_CACHE": ""})
    assert (looked_for.code, "warning" in looked_for.err, task["error"]["message"] in looked_for.err) == (
        3,
        False,
        True,
    )
    Path("dodo.py").write_text("from llorch.dodo import *\n")
    plain = program("doit", "build:orchestrator")
    assert (plain.code, "Traceback" in plain.err, "warning" in plain.err) == (1, False, False)
    assert task["error"]["message"] in plain.err


def test_a_wrong_table_is_told_by_both_doors(workspace: Path, llorch: Llorch) -> None:
    """It is a configuration error with the key's name."""
    Path("llorch.toml").write_text('[build.list]\nmanifest = "Cargo.toml"\n')
    Path("dodo.py").write_text("from llorch.dodo import *\n")
    assert llorch("build", "list").code == 3
    plain = program("doit", "list")
    assert (plain.code, "build.list: `llorch build list` is a command" in plain.err) == (3, True)


@needs_cargo
def test_what_a_build_says(rust: Rust, llorch: Llorch) -> None:
    """Crates done of all on the way; in the end path, size, warnings and digest; then nothing to do at either door."""
    rust.edit("app/src/main.rs", "fn main() {", "fn main() {\n    let spare = 1;")
    done = llorch("build", "worker", "cpu")
    assert done.code == 0, done.err
    assert "build:worker-cpu  looking for the tools\n" in done.err
    assert " of 9 crates" in done.err
    assert "done        target/release/worker-cpu, " in done.err
    assert ", 1 warning  " in done.err
    data = rust.target.read_bytes()
    assert f"ready:  target/release/worker-cpu\nsha256: {sha256(data)}\n" in done.err
    rust.write("dodo.py", "from llorch.dodo import *\n")
    assert program("doit", "build:worker-cpu").err == "nothing to do: build:worker-cpu is up to date\n"
    (task,) = llorch("build", "worker", "cpu", "--json").json["tasks"]
    target = {"path": "target/release/worker-cpu", "size": len(data), "sha256": sha256(data)}
    assert (task["outcome"], task["targets"]) == ("up-to-date", [target])


@needs_cargo
def test_errors_are_as_cargo_renders_them(small: Rust, llorch: Llorch) -> None:
    """The compiler's message with its arrow is shown once, without the progress around it; the next run tries again."""
    small.edit("app/src/main.rs", "fn main() {", 'fn main() {\n    let x: u8 = "text";')
    for _ in range(2):
        done = llorch("build", "worker", "cpu")
        assert done.code == 5
        assert "error: `cargo` exited with 101:\nerror[E0308]: mismatched types\n" in done.err
        assert done.err.count("E0308") == 2  # and in the hint how to have it explained
        assert "Compiling" not in done.err
        assert "json" not in done.err


@needs_cargo
def test_doit_always_calls_cargo(small: Rust, llorch: Llorch) -> None:
    """`doit -a` has cargo called though nothing has changed; `doit forget` too."""
    small.write("dodo.py", "from llorch.dodo import *\n")
    for command in (("build:worker-cpu",), ("-a", "build:worker-cpu"), ("forget", "build:worker-cpu")):
        assert program("doit", *command).code == 0
    assert program("doit", "build:worker-cpu").code == 0
    assert sum(call.startswith("build ") for call in small.calls()) == 3


@needs_cargo
def test_a_dry_run_calls_nothing(small: Rust, llorch: Llorch) -> None:
    """It says what would be built, and asks for no tool."""
    done = llorch("build", "worker", "cpu", "--dry-run")
    assert (done.code, "would run: Build worker-cpu" in done.err, small.calls()) == (0, True, [])


@needs_cargo
def test_a_dead_wrapper_is_left_out(small: Rust, llorch: Llorch) -> None:
    """One that cannot run rustc is named in a warning, and the build goes on without."""
    small.write("llorch.toml", small.root.joinpath("llorch.toml").read_text() + '[cargo]\nrustc_wrapper = "false"\n')
    done = llorch("build", "worker", "cpu")
    assert (done.code, "warning: `false` is left out: `false` exited with 1" in done.err) == (0, True)
    assert llorch("build", "worker", "cpu").err == "nothing to do: build:worker-cpu is up to date\n"


@needs_cargo
def test_a_wrapper_is_used(small: Rust, llorch: Llorch) -> None:
    """Rustc is called through the configured program."""
    wrapper = small.folder / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$2" >>"{small.folder}/wrapped"\nexec "$@"\n')
    wrapper.chmod(0o755)
    small.write(
        "llorch.toml", small.root.joinpath("llorch.toml").read_text() + f'[cargo]\nrustc_wrapper = "{wrapper}"\n'
    )
    assert llorch("build", "worker", "cpu").code == 0
    assert "--crate-name" in (small.folder / "wrapped").read_text()


@needs_cargo
@pytest.mark.parametrize("setting", ["target-dir = 'elsewhere'", "target = '{host}'"])
def test_cargo_may_put_it_elsewhere(small: Rust, llorch: Llorch, setting: str) -> None:
    """A place that cargo's own configuration says is told, with the setting that agrees with it."""
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.split()[1] for line in said.splitlines() if line.startswith("host:"))
    small.write(".cargo/config.toml", f"[build]\n{setting.format(host=host)}\n")
    failed = llorch("build", "worker", "cpu")
    assert failed.code == 1
    assert "error: cargo puts the binary at `" in failed.err
    assert "hint: set `target_dir` or `target` in `[build.worker]`" in failed.err
    key = "target_dir" if "dir" in setting else "target"
    value = "elsewhere" if "dir" in setting else host
    small.edit("llorch.toml", 'manifest = "app/Cargo.toml"', f'manifest = "app/Cargo.toml"\n{key} = "{value}"')
    assert llorch("build", "worker", "cpu").code == 0
    assert llorch("build", "worker", "cpu").err == "nothing to do: build:worker-cpu is up to date\n"


@needs_cargo
def test_a_generated_model_is_no_input(rust: Rust, llorch: Llorch) -> None:
    """Models beside the sources do not make a build out of date."""
    write_catalog(rust.root, {"tiny": {"a.gguf": b"data"}})
    assert llorch("build", "worker", "cpu").code == 0
    assert llorch("models", "download", "tiny").code == 0
    assert llorch("why", "build:worker-cpu", "--json").json["fresh"]


@needs_cargo
def test_sccache_has_what_was_compiled_before(rust: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a clean, sccache answers for what it has compiled once, and its hits are told."""
    if shutil.which("sccache") is None and not IN_CI:
        pytest.skip("sccache is not installed")
    monkeypatch.setenv("SCCACHE_DIR", str(rust.folder / "cache"))
    # A server of this test's own, that ends with it.
    monkeypatch.setenv("SCCACHE_SERVER_PORT", str(free_port()))
    rust.write("llorch.toml", rust.root.joinpath("llorch.toml").read_text() + '[cargo]\nrustc_wrapper = "sccache"\n')
    try:
        first = llorch("build", "worker", "cpu")
        assert (first.code, re.findall(r"sccache had (\d+) of [1-9]", first.err)) == (0, ["0"]), first.err
        assert llorch("build", "clean", "--yes").code == 0
        again = llorch("build", "worker", "cpu")
        (hits, misses) = re.findall(r"sccache had (\d+) of (\d+)", again.err)[0]
        assert (again.code, hits) == (0, misses)
        assert rust.says().startswith("main1")
    finally:
        subprocess.run(["sccache", "--stop-server"], check=False, capture_output=True)


@needs_cargo
def test_a_dead_sccache_is_left_out(small: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server that hangs up, cargo alone would fail; the build goes on without, and says so."""
    if shutil.which("sccache") is None and not IN_CI:
        pytest.skip("sccache is not installed")

    class HangUp(socketserver.BaseRequestHandler):
        """Answers nothing."""

    small.write("llorch.toml", small.root.joinpath("llorch.toml").read_text() + '[cargo]\nrustc_wrapper = "sccache"\n')
    with socketserver.TCPServer(("127.0.0.1", 0), HangUp) as server, ThreadPoolExecutor(1) as pool:
        monkeypatch.setenv("SCCACHE_SERVER_PORT", str(server.server_address[1]))
        pool.submit(server.serve_forever, 0.05)
        done = llorch("build", "worker", "cpu")
        server.shutdown()
    assert (done.code, "warning: `sccache` is left out: " in done.err) == (0, True), done.err


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@needs_cargo
def test_tools_are_looked_for_before_a_build_only(small: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nvcc, a Mac or cargo no build begins; with a stand-in for nvcc it does; a skip needs none of them."""
    monkeypatch.setattr(toolchain, "CUDA", "nowhere")
    monkeypatch.setattr(toolchain, "find_nvcc", lambda environ=os.environ: shutil.which("nvcc-of-this-test"))
    for backend, said in (("cuda", "needs `nvcc`"), ("metal", "needs a Mac")):
        missing = llorch("build", "worker", backend, "--json")
        (task,) = missing.json["tasks"]
        assert (missing.code, task["error"]["code"], said in task["error"]["message"]) == (4, "tool-missing", True)
    assert not any(call.startswith("build") for call in small.calls())
    nvcc = small.folder / "bin/nvcc-of-this-test"
    nvcc.write_text(f'#!/bin/sh\necho "$*" >>"{small.folder}/nvcc.log"\n')
    nvcc.chmod(0o755)
    assert llorch("build", "worker", "cuda").code == 0
    assert (small.folder / "nvcc.log").read_text() == "--version\n"
    assert llorch("build", "worker", "cuda").err == "nothing to do: build:worker-cuda is up to date\n"
    nvcc.write_text("#!/bin/sh\n# another toolkit\n")
    reasons = llorch("why", "build:worker-cuda", "--json").json["reasons"]
    assert [reason["what"] for reason in reasons] == [str(nvcc)]
    assert llorch("build", "worker", "cpu").code == 0
    monkeypatch.setenv("PATH", "/nowhere")
    assert llorch("build", "worker", "cpu").err == "nothing to do: build:worker-cpu is up to date\n"
    small.edit("app/src/main.rs", "main1", "main2")
    missing = llorch("build", "worker", "cpu")
    assert (missing.code, "`cargo` is not installed" in missing.err) == (4, True)


@needs_cargo
def test_names_that_are_no_text(rust: Rust, llorch: Llorch) -> None:
    """With a file whose name is not UTF-8 in a folder that a build script reads, cargo is called each time."""
    odd = os.fsencode(rust.root) + b"/crates/plain/assets/\xff.txt"
    for text in ("odd1", "odd1", "odd2"):
        with open(odd, "w") as file:
            file.write(text)
        done = llorch("build", "worker", "cpu", "--json")
        assert (done.code, done.json["tasks"][0]["outcome"]) == (0, "done")
        assert text in rust.says()
    assert "assets/\\udcff.txt" in llorch("why", "build:worker-cpu").out


@needs_cargo
def test_a_file_that_a_build_script_wants_in_vain(rust: Rust, llorch: Llorch) -> None:
    """Cargo runs a script each time whose `rerun-if-changed` is not there, so it is called each time."""
    rust.edit("app/build.rs", "rerun-if-changed=seed.txt", "rerun-if-changed=no-such.txt")
    for _ in range(2):
        assert llorch("build", "worker", "cpu", "--json").json["tasks"][0]["outcome"] == "done"
    (reason,) = llorch("why", "build:worker-cpu", "--json").json["reasons"]
    assert (reason["what"], reason["was"]) == ("app/no-such.txt", "wanted by a build script")
