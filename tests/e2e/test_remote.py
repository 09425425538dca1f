"""Every kind of command on another machine, whose login shells say more than they should: real sshd, git and cargo."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import BIN, program
from tests.git.conftest import commit, git, isolated, repository
from tests.remote.conftest import configure, declare, entry, is_there, wait_for
from tests.remote.sshd import Sshd
from tests.rust import SYSROOT, needs_cargo

__all__ = ["isolated"]  # a fixture, used by all tests here
CRATE = '[package]\nname = "worker"\nversion = "0.1.0"\nedition = "2021"\n[features]\ncpu = []\n'
SOURCE = 'fn main() { println!("worker"); }\n#[test]\nfn adds() { assert_eq!(1 + 1, 2); }\n'
SETTINGS = """
version = 1
[build.worker]
manifest = "Cargo.toml"
package = "worker"
bin = "worker"
backends = ["cpu"]
features = ["{backend}"]
[test.unit]
manifest = "Cargo.toml"
"""


def far_repository(folder: Path) -> Path:
    """Make the repository that is on the host: a crate."""
    root = repository(folder / "far away" / "the repo")
    for name, text in (("Cargo.toml", CRATE), ("src/main.rs", SOURCE), ("llorch.toml", SETTINGS)):
        commit(root, name, text)
    commit(root, ".gitignore", "/target\n.llorch\nCargo.lock\n")
    return root


def force(shell: str, folder: Path) -> str:
    """Return an option for sshd: a login shell of this kind that says something first, with cargo in its PATH."""
    assert SYSROOT is not None, "cargo is not installed"
    homes = f"CARGO_HOME={folder}/cargo RUSTUP_HOME={folder}/rustup"
    path = f"PATH={SYSROOT}/bin:/usr/bin:/bin"
    say = 'echo "Welcome! {json}"; echo "Disk is nearly full" >&2'
    return f'ForceCommand {say}; export {path} {homes}; exec {shell} -c "$SSH_ORIGINAL_COMMAND"'


@needs_cargo
@pytest.mark.parametrize("shell", ["fish", "dash"])
def test_every_room_works_there(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    """Status, models, a build, nothing to do, and tests, as if they were here; documents are documents alone."""
    there = far_repository(tmp_path)
    with Sshd(tmp_path / "sshd", options=[force(shell, tmp_path)]) as server:
        configure(monkeypatch, tmp_path, server.known_hosts)
        declare(workspace, entry("box", server, repo_path=str(there), llorch=str(BIN / "llorch")))
        run = program("llorch", "git", "status", "--remote", "box", "--json")
        assert (run.code, run.json["repository"]["branch"]) == (0, "main")
        run = program("llorch", "models", "list", "--remote", "box", "--json")
        assert (run.code, run.json["models"]) == (0, [])
        run = program("llorch", "dev", "doctor", "--remote", "box", "--json")
        assert run.code == 0, run.out
        needs = {finding["id"]: finding["needed_for"] for finding in run.json["findings"]}
        assert (needs["git"], needs["cargo"]) == (f"the repository {there}", "build:worker-cpu, test:unit")
        run = program("llorch", "build", "worker", "cpu", "--remote", "box")
        assert run.code == 0, run.err
        assert subprocess.run([there / "target/release/worker"], capture_output=True, check=True).stdout == b"worker\n"
        run = program("llorch", "build", "worker", "cpu", "--remote", "box", "--json")
        assert [task["outcome"] for task in run.json["tasks"]] == ["up-to-date"]
        run = program("llorch", "log", "--list", "--json", "--remote", "box")
        assert [each["command"] for each in run.json["runs"]] == [
            "llorch build worker cpu --json",
            "llorch build worker cpu",
            "llorch dev doctor --json",
        ]
        run = program("llorch", "log", "-f", "--remote", "box")
        assert (run.code, " end            exit=0 " in run.out.splitlines()[-1]) == (0, True)
        run = program("llorch", "test", "unit", "--remote", "box", "--json")
        assert (run.code, run.json["suites"][0]["passed"]) == (0, 1)
        commit(there, "src/main.rs", SOURCE.replace("1 + 1, 2", "1 + 1, 3"))
        run = program("llorch", "test", "unit", "--remote", "box")
        assert run.code == 1
        assert "adds" in run.out + run.err
        assert git(there, "status", "--porcelain") == ""


@needs_cargo
@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_ctrl_c_ends_a_build_there(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    """An interrupt here ends llorch, cargo and what cargo runs on the host."""
    there = far_repository(tmp_path)
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    commit(
        there,
        "build.rs",
        "fn main() {\n"
        f'    let said = format!("{{}} {{}}\\n", std::process::id(), std::os::unix::process::parent_id());\n'
        f'    std::fs::write("{pids}", said).unwrap();\n'
        "    std::thread::sleep(std::time::Duration::from_secs(600));\n}\n",
    )
    with Sshd(tmp_path / "sshd", options=[force("dash", tmp_path)]) as server:
        configure(monkeypatch, tmp_path, server.known_hosts)
        declare(workspace, entry("box", server, repo_path=str(there), llorch=str(BIN / "llorch"), transport=transport))
        command = [str(BIN / "llorch"), "build", "worker", "cpu", "--remote", "box"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            running = [int(pid) for pid in pids.read_text().split()]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        wait_for(lambda: not any(is_there(pid) for pid in running))
