"""Where the examples of the documentation run: a user with a clone of llorch, a repository like llama-orch, and a host.

Real git, cargo, sshd and llorch; a Hub on this machine; and `true` in place of the CUDA compiler.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tomli

from tests.conftest import BIN, ROOT
from tests.dev.trees import write_tree
from tests.git.conftest import add_submodule, clone, git, repository
from tests.hub import Hub
from tests.models.checkpoints import write_checkpoint
from tests.models.gguf_files import good_gguf
from tests.remote.box import environment
from tests.remote.sshd import Sshd
from tests.rust import SYSROOT

FILES: Mapping[str, str] = {
    ".gitignore": "/target\n.llorch/\n.test-models/\n.venv/\nreport.xml\n",
    "dodo.py": "from llorch.dodo import *\n",
    "Cargo.toml": '[workspace]\nmembers = ["bin/llorch-candled"]\nresolver = "2"\n',
    "bin/llorch-candled/Cargo.toml": """
        [package]
        name = "llorch-candled"
        version = "0.1.0"
        edition = "2021"

        [features]
        default = ["cpu"]
        cpu = []
        cuda = []
        metal = []

        [[bin]]
        name = "llorch-cpu-candled"
        path = "src/main.rs"
        required-features = ["cpu"]

        [[bin]]
        name = "llorch-cuda-candled"
        path = "src/main.rs"
        required-features = ["cuda"]

        [[bin]]
        name = "llorch-metal-candled"
        path = "src/main.rs"
        required-features = ["metal"]
        """,
    "bin/llorch-candled/src/main.rs": 'fn main() { println!("{}", llorch_candled::greeting()); }\n',
    "bin/llorch-candled/src/lib.rs": """
        pub fn greeting() -> &'static str { "a worker" }
        #[test]
        fn parses_nothing() { assert_eq!(greeting(), "a worker"); }
        """,
    "bin/llorch-candled/tests/team_009_smoke.rs": "#[test]\nfn starts() {}\n",
    "bin/llorch-candled/tests/team_011_integration.rs": "#[test]\nfn answers() {}\n",
}
MODEL = "bartowski/Llama-3.2-3B-Instruct-GGUF", "Llama-3.2-3B-Instruct-Q4_K_M.gguf"
CHECKPOINT = "HuggingFaceTB/SmolLM2-135M-Instruct"
SSH_CONFIG = """\
Host workstation.home.arpa
  HostName {sshd.address}
  Port {sshd.port}
  User {sshd.user}
  IdentityFile "{sshd.client_key}"
Host *
  UserKnownHostsFile "{sshd.known_hosts}"
  GlobalKnownHostsFile /dev/null
  IdentityAgent none
"""


@contextmanager
def user(home: Path, shared: Path) -> Iterator[dict[str, str]]:
    """Fill a user's home, and yield the environment: `~/llorch` is a clone, `~/Projects/llama-orch` what is worked on.

    Args:
        shared: keeps what pip has downloaded, for other users.
    """
    assert SYSROOT is not None, "cargo is not installed"
    clone_llorch(home / "llorch")
    folder = home.parent
    make_origin(folder / "origin", folder / "sources")
    clone(folder / "origin", home / "Projects/llama-orch")
    rust = {"CARGO_HOME": str(folder / "cargo"), "RUSTUP_HOME": str(folder / "rustup"), "NVCC": "true"}
    path = [str(SYSROOT / "bin"), *(part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != BIN)]
    there = {**rust, "PATH": os.pathsep.join(path), "HOME": str(folder / "sshd/home")}
    line = " ".join(f"{name}='{value}'" for name, value in there.items())
    command = f'ForceCommand export {line}; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with Hub() as hub, Sshd(folder / "sshd", options=[command]) as sshd:
        fill(hub, folder)
        clone(folder / "origin", sshd.home / "Projects/llama-orch")
        environment(sshd.home / "Projects/llama-orch")
        (folder / "ssh_config").write_text(SSH_CONFIG.format(sshd=sshd))
        yield {
            **rust,
            "PATH": there["PATH"],
            "HF_ENDPOINT": hub.endpoint,
            "LLORCH_NO_CACHE": "",
            "LLORCH_SSH_CONFIG": str(folder / "ssh_config"),
            "PIP_CACHE_DIR": str(shared / "pip"),
        }


def fill(hub: Hub, folder: Path) -> None:
    """Have two models there that are not in the catalog, and other files under the names of those that are."""
    hub.add(MODEL[0], {MODEL[1]: good_gguf().render()}, lfs=[MODEL[1]], license="llama3.2")
    write_checkpoint(folder / "checkpoint", "llama", dtype="bf16")
    files = {path.name: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    hub.add(CHECKPOINT, files, lfs=["model.safetensors"], license="apache-2.0")
    repos: dict[str, dict[str, bytes]] = {}
    for entry in tomli.loads((ROOT / "llorch/catalog.toml").read_text())["models"].values():
        if "repo" in entry:
            repos.setdefault(entry["repo"], {}).update({file["path"]: b"" for file in entry["files"]})
    for repo, files in repos.items():
        if repo != MODEL[0]:
            hub.add(repo, files)


def make_origin(origin: Path, sources: Path) -> None:
    """Make the repository that the user has cloned, with two submodules."""
    assert SYSROOT is not None, "cargo is not installed"
    write_tree(repository(origin), FILES)
    for name in ("candle", "llama.cpp"):
        add_submodule(origin, repository(sources / name), f"reference/{name}")
    subprocess.run(
        [SYSROOT / "bin/cargo", "generate-lockfile", "--offline"], cwd=origin, check=True, capture_output=True
    )
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "Begin")


def clone_llorch(place: Path) -> None:
    """Clone this repository, and have its `./run` find the environment of the tests made."""
    git(place.parent, "clone", "-q", str(ROOT), str(place))
    venv = place / ".venv"
    venv.mkdir()
    for each in ("bin", "lib"):
        (venv / each).symlink_to(BIN.parent / each)
    script = 'printf "%s\\n" "$(cat pyproject.toml requirements.lock | cksum) $(pwd -P)" >.venv/.made-from'
    subprocess.run(["bash", "-c", script], cwd=place, check=True)
