"""What is looked for before a build: the toolchain, CUDA and Apple's tools (stand-ins), a wrapper of rustc."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch import toolchain
from llorch.errors import NotInWorkspace, ToolMissing, Unshared
from llorch.state import SMALL, State
from llorch.toolchain import (
    ask,
    cuda_files,
    gpus_built_for,
    identify,
    pinned_release,
    require_backend,
    require_folder,
    require_toolchain,
    require_version,
    try_wrapper,
)
from tests.rust import SYSROOT, needs_cargo

Script = Callable[..., Path]


@pytest.fixture
def script(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Write a program that notes its call, in a folder that is all of PATH but the system's own."""
    monkeypatch.setenv("PATH", f"{workspace}/bin:/usr/bin:/bin")
    monkeypatch.setattr(toolchain, "CUDA", "nowhere")
    for name in ("NVCC", "CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR", "RUSTC"):
        monkeypatch.delenv(name, raising=False)

    def write(name: str, body: str = "exit 0", folder: str = "bin") -> Path:
        path = workspace / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{workspace}/log"\n{body}\n')
        path.chmod(0o755)
        return path

    return write


def test_a_manifest_that_is_not_there(workspace: Path) -> None:
    """It is named as the configuration names it."""
    with pytest.raises(NotInWorkspace, match=r"`build:x` needs `a/Cargo\.toml`"):
        require_folder(workspace / "a/Cargo.toml", "a/Cargo.toml", "build:x")


def test_a_manifest_in_a_submodule_that_is_not_there(workspace: Path) -> None:
    """The hint has what clones it; of a folder that has other files nobody knows."""
    (workspace / ".git").mkdir()
    (workspace / "engine").mkdir()
    for there, hint in ((False, "submodules update --pinned engine`"), (True, "add the crate")):
        if there:
            (workspace / "engine/README").touch()
        with pytest.raises(NotInWorkspace) as caught:
            require_folder(workspace / "engine/app/Cargo.toml", "engine/app/Cargo.toml", "build:x")
        assert hint in str(caught.value.hint)


@needs_cargo
def test_the_toolchains_root(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what rustc says."""
    monkeypatch.setenv("PATH", f"{SYSROOT}/bin")
    assert require_toolchain(workspace) == SYSROOT


def test_no_cargo(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cargo in PATH it is said how to have it."""
    monkeypatch.setenv("PATH", str(workspace))
    with pytest.raises(ToolMissing, match="`cargo` is not installed") as caught:
        require_toolchain(workspace)
    assert caught.value.hint is not None
    assert "https://rustup.rs" in caught.value.hint


def test_a_toolchain_that_is_not_installed(workspace: Path, script: Script) -> None:
    """What rustup says of a toolchain that it does not have is passed on."""
    script("cargo", "echo \"error: toolchain '1.0.0' is not installed\" >&2; exit 1")
    with pytest.raises(ToolMissing, match=r"`cargo --version` does not work in `.*`: toolchain '1.0.0' is not"):
        require_toolchain(workspace)


@pytest.mark.parametrize(
    ("wanted", "said", "old"),
    [
        (None, "", False),
        ("1.63", "rustc 1.63.0", False),
        ("1.64", "rustc 1.63.0 (x 2022)", True),
        ("1.63.1", "rustc 1.63.0", True),
        ("1.9", "rustc 1.10.0-nightly", False),
        ("1.99", "no version", False),
    ],
)
def test_a_package_may_want_a_newer_rust(
    workspace: Path, script: Script, wanted: str | None, said: str, old: bool
) -> None:
    """Versions are compared by their numbers."""
    script("rustc", f"echo '{said}'")
    package = {"name": "app", "rust_version": wanted}
    if not old:
        require_version(package, workspace)
        return
    with pytest.raises(ToolMissing, match=f"`app` wants Rust {wanted} or newer, and this is {said[:10]}"):
        require_version(package, workspace)


def test_rustc_is_the_one_that_cargo_would_take(
    workspace: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RUSTC names another."""
    monkeypatch.setenv("RUSTC", str(script("other", "echo rustc 1.0.0")))
    with pytest.raises(ToolMissing, match=r"this is rustc 1\.0\.0"):
        require_version({"name": "app", "rust_version": "1.1"}, workspace)


def test_cuda_needs_nvcc(workspace: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for in PATH and in CUDA's folders, and has to work."""
    with pytest.raises(ToolMissing, match="a cuda build needs `nvcc`, and it is not in PATH"):
        require_backend("cuda", workspace)
    assert cuda_files() == ()
    script("nvcc", "echo broken; exit 1", "toolkit/bin")
    monkeypatch.setenv("CUDA_HOME", "toolkit")
    with pytest.raises(ToolMissing, match="`toolkit/bin/nvcc` does not work: broken"):
        require_backend("cuda", workspace)
    script("nvcc", "exit 0", "toolkit/bin")
    require_backend("cuda", workspace)
    script("nvcc-12")
    monkeypatch.setenv("NVCC", "nvcc-12")
    require_backend("cuda", workspace)
    assert Path("log").read_text().splitlines() == ["nvcc --version", "nvcc --version", "nvcc-12 --version"]


def test_a_toolkit_is_known_by_its_files(workspace: Path, script: Script) -> None:
    """The compiler, what it is a link to, the toolkit's version and the driver tell one CUDA from another."""
    real = script("nvcc", folder="cuda-13/bin")
    (workspace / "bin").mkdir()
    (workspace / "bin/nvcc").symlink_to(real)
    files = cuda_files()
    assert files[:3] == (f"{workspace}/bin/nvcc", str(real), f"{workspace}/cuda-13/version.json")
    assert "/proc/driver/nvidia/version" in files


def test_the_cards_that_are_built_for(workspace: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of nvidia-smi, unless a variable says it; a driver that does not answer says nothing else."""
    monkeypatch.delenv("CUDA_COMPUTE_CAP", raising=False)
    assert gpus_built_for() == ""
    script("nvidia-smi", "echo 8.6; echo 8.9")
    assert gpus_built_for() == "8.6\n8.9"
    script("nvidia-smi", 'case $1 in *=name) echo "Tesla K80";; *) exit 2;; esac')
    assert gpus_built_for() == "Tesla K80"
    for body in ("exit 9", "sleep 600"):
        script("nvidia-smi", body)
        monkeypatch.setattr(toolchain, "PATIENCE", 0.2)
        with pytest.raises(Unshared, match="does not tell which cards are here"):
            gpus_built_for()
    monkeypatch.setenv("CUDA_COMPUTE_CAP", "89")
    assert gpus_built_for() == ""


def test_a_compiler_that_does_not_tell_its_commit(workspace: Path, state: State, script: Script) -> None:
    """It is told from others of its release by its own contents, which are read once."""
    version = "echo release: 1.99.0-dev; echo commit-hash: unknown; echo host: moon"
    script("rustc", f'case $1 in -vV) {version};; *) echo "{workspace}/sysroot";; esac')
    script("cargo", "echo cargo 1.99.0")
    driver = workspace / "sysroot/lib/librustc_driver-1.so"
    driver.parent.mkdir(parents=True)
    told = []
    for text in ("1", "2"):
        driver.write_text(text * (SMALL + 1))
        identity = identify(workspace, state)
        assert identity is not None
        assert state.known(str(driver)) is not None
        told.append(identity.exact)
    assert told[0] != told[1]
    assert {**told[0], "driver": ""} == {**told[1], "driver": ""}


def test_metal_needs_a_mac(workspace: Path, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off a Mac it is refused; on one, without the command line tools."""
    with pytest.raises(ToolMissing, match="a metal build needs a Mac"):
        require_backend("metal", workspace, "linux")
    with pytest.raises(ToolMissing, match="command line tools") as caught:
        require_backend("metal", workspace, "darwin")
    assert caught.value.hint == "`xcode-select --install`"
    script("xcrun")
    require_backend("metal", workspace, "darwin")
    require_backend("cpu", workspace, "linux")


def test_a_wrapper_is_tried_as_cargo_would(workspace: Path, script: Script) -> None:
    """One that runs rustc is taken; one that does not, or is missing, is left out with the reason."""
    assert try_wrapper("", workspace) == ("", "")
    script("rustc")
    script("good", '"$@"')
    assert try_wrapper("good", workspace) == ("good", "")
    assert Path("log").read_text().splitlines() == ["good rustc -vV", "rustc -vV"]
    script("dead", "echo 'no connection'; exit 2")
    assert try_wrapper("dead", workspace) == ("", "`dead` exited with 2: no connection")
    assert try_wrapper("no-such", workspace) == ("", "`no-such` is not installed, or not in PATH")


def test_answers_are_whole(workspace: Path, script: Script) -> None:
    """All lines that a program says are returned."""
    script("cargo", "echo one; echo two >&2")
    assert ask(["cargo"], Path(os.curdir)) == "one\ntwo"


RUSTC = """[ "$RUSTUP_AUTO_INSTALL" = 0 ] || exit 1
case "$*" in
-vV) printf 'rustc 1.2.3 (abc)\\nrelease: 1.2.3\\ncommit-hash: abc\\nhost: x86_64-moon\\nLLVM version: 9.0\\n';;
*) echo /sysroot;;
esac"""


def test_a_toolchain_is_identified(
    script: Script, workspace: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told by what it says of itself, on any machine; a program in rustc's place is told by its path."""
    assert identify(workspace, state) is None
    rustc = script("rustc", RUSTC)
    assert identify(workspace, state) is None
    script("cargo", "echo cargo 1.2.3")
    found = identify(workspace, state)
    assert found is not None
    exact = {"release": "1.2.3", "commit": "abc", "host": "x86_64-moon", "llvm": "9.0", "cargo": "cargo 1.2.3"}
    assert found == (exact, Path("/sysroot"), str(rustc))
    (workspace / "bin/rustup").hardlink_to(rustc)
    assert identify(workspace, state) == (exact, Path("/sysroot"), "")
    (workspace / "bin/rustup").unlink()
    other = script("rustc", RUSTC.replace("/sysroot", f"{workspace}/tool"), "tool/bin")
    rustc.unlink()
    rustc.symlink_to(other)
    assert identify(workspace, state) == (exact, workspace / "tool", "")
    script("rustc-of-mine", "echo nothing known")
    monkeypatch.setenv("RUSTC", "rustc-of-mine")
    assert identify(workspace, state) is None


@pytest.mark.parametrize(
    ("files", "environ", "release"),
    [
        ({}, {}, None),
        ({"rust-toolchain.toml": '[toolchain]\nchannel = "1.95.0"\n'}, {}, "1.95.0"),
        ({"rust-toolchain.toml": '[toolchain]\nchannel = "1.95"\n'}, {}, None),
        ({"rust-toolchain.toml": '[toolchain]\nchannel = "stable"\n'}, {}, None),
        ({"rust-toolchain.toml": '[toolchain]\npath = "/x"\n'}, {}, None),
        ({"rust-toolchain.toml": "toolchain = 1"}, {}, None),
        ({"rust-toolchain.toml": "["}, {}, None),
        ({"rust-toolchain": "1.95.0\n"}, {}, "1.95.0"),
        ({"rust-toolchain": '[toolchain]\nchannel = "1.95.0"\n'}, {}, "1.95.0"),
        ({"rust-toolchain": "1.90.0", "rust-toolchain.toml": '[toolchain]\nchannel = "1.95.0"\n'}, {}, "1.90.0"),
        ({"../rust-toolchain": "1.90.0"}, {}, "1.90.0"),
        ({"../rust-toolchain": "1.90.0", "rust-toolchain": "nightly"}, {}, None),
        ({"rust-toolchain": "1.90.0"}, {"RUSTUP_TOOLCHAIN": "1.91.0"}, "1.91.0"),
        ({"rust-toolchain": "1.90.0"}, {"RUSTUP_TOOLCHAIN": "nightly"}, None),
        ({"rust-toolchain": "1.90.0"}, {"RUSTUP_TOOLCHAIN": ""}, "1.90.0"),
    ],
)
def test_an_exact_pin_is_a_release(
    workspace: Path, files: dict[str, str], environ: dict[str, str], release: str | None
) -> None:
    """Only one whole version number is; the nearest file counts, the older of two, and a variable before all."""
    for name, text in files.items():
        (workspace / name).write_text(text)
    assert pinned_release(workspace, environ) == release
    (workspace / "rust-toolchain").unlink(missing_ok=True)
    (workspace / "rust-toolchain").mkdir()
    assert pinned_release(workspace, {}) is None
