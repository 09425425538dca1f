"""Toolchain files, by cases, and what rustup has: the real one where there is one, else one that says the same."""

import re
from pathlib import Path

import pytest

from llorch.dev.finding import Finding, ask
from llorch.dev.rustup import (
    Flaw,
    Toolchain,
    check_toolchain,
    find_rustup,
    find_toolchain_file,
    load_toolchain,
)
from tests.dev.conftest import SAID, Programs, has_rustup, needs_of, write_rustup
from tests.rust import SYSROOT, needs_cargo

FILES: dict[str, Toolchain | str] = {
    '[toolchain]\nchannel = "1.85"\n': Toolchain("f", "1.85"),
    '# ours\n[toolchain]\nchannel = "beta"\ncomponents = ["clippy"]\ntargets = ["wasm32"]\nprofile = "minimal"\n': (
        Toolchain("f", "beta", components=("clippy",), targets=("wasm32",))
    ),
    '[toolchain]\npath = "../own"\n': Toolchain("f", path="../own"),
    '[toolchain]\ncomponents = ["rustfmt"]\n': Toolchain("f", components=("rustfmt",)),
    "nightly-2026-01-31\n": Toolchain("f", "nightly-2026-01-31"),
    "[toolchain\nchannel = 1\n": "f:1: is not valid TOML: expected ",
    '[toolchain]\nchannel = "stable\n': "f:2: .*is not valid TOML",
    "": "f: has no table `[toolchain]` that says anything",
    "toolchain = 1\n": "f: has no table",
    "[toolchain]\n": "f: has no table",
    "[toolchain]\n\nchannel = 1\n": "f:3: toolchain.channel: must be a string",
    '[toolchain]\ntargets = "x"\n': "f:2: toolchain.targets: must be an array of strings",
    "[toolchain]\ncomponents = [1]\n": "f:2: toolchain.components: must be an array of strings",
    '[toolchain]\nchannel = "--help"\n': "f:2: toolchain.channel: `--help` is no name",
    '[toolchain]\nchannel = ""\n': "f:2: toolchain.channel: `` is no name",
    '[toolchain]\npath = "/x"\nchannel = "stable"\n': "f: toolchain: `path` goes with nothing else",
}


@pytest.mark.parametrize("text", FILES)
def test_toolchain_files(tmp_path: Path, text: str) -> None:
    """What each kind of file asks for, or what is wrong with it and where."""
    file = tmp_path / "rust-toolchain"
    file.write_text(text)
    wanted = FILES[text]
    if isinstance(wanted, Toolchain):
        assert load_toolchain(file, "f") == wanted
        return
    with pytest.raises(Flaw) as caught:
        load_toolchain(file, "f")
    assert re.match(wanted.replace("[", r"\["), str(caught.value))


def test_a_bare_word_is_for_the_old_name_only(tmp_path: Path) -> None:
    """With the new name it is TOML, and none; so is what is no text."""
    file = tmp_path / "rust-toolchain.toml"
    file.write_text("stable\n")
    with pytest.raises(Flaw, match="not valid TOML"):
        load_toolchain(file, "f")
    file.write_bytes(b"\xff")
    with pytest.raises(Flaw, match="it is no text"):
        load_toolchain(file, "f")
    with pytest.raises(Flaw, match="No such file"):
        load_toolchain(tmp_path / "none", "f")


def test_the_nearest_file_counts(tmp_path: Path) -> None:
    """As rustup has it: upwards, and the old name before the new one."""
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    (tmp_path / "rust-toolchain.toml").touch()
    assert find_toolchain_file(inner) == tmp_path / "rust-toolchain.toml"
    (tmp_path / "a/rust-toolchain.toml").touch()
    (tmp_path / "a/rust-toolchain").touch()
    assert find_toolchain_file(inner) == tmp_path / "a/rust-toolchain"


def looked(root: Path, text: str | None, settings: str = "") -> list[Finding]:
    """Return what is said of a toolchain file in a workspace that has a build."""
    (root / "Cargo.toml").touch()
    (root / "llorch.toml").write_text('[build.app]\nmanifest = "Cargo.toml"\n' + settings)
    file = root / "rust-toolchain.toml"
    if text is not None:
        file.write_text(text)
    return list(check_toolchain(needs_of(root), "builds", file if text is not None else None, [root]))


@pytest.fixture
def rustup(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A rustup that has one toolchain, whose name is returned."""
    monkeypatch.setenv("RUSTUP_HOME", str(tmp_path / "rustup"))
    return write_rustup(programs, tmp_path / "rustup", real=has_rustup())


@needs_cargo
def test_a_toolchain_that_is_there(workspace: Path, rustup: str) -> None:
    """By its whole name, by its channel, with components and targets that it has; and where nothing is asked for."""
    host = rustup.partition("-")[2]
    for channel in (rustup, rustup.partition("-")[0]):
        text = f'[toolchain]\nchannel = "{channel}"\ncomponents = ["rustc", "cargo"]\ntargets = ["{host}"]\n'
        (finding,) = looked(workspace, text)
        assert (finding.severity, finding.found) == ("ok", channel)
    assert looked(workspace, None) == []


@needs_cargo
def test_a_toolchain_that_is_not_there(workspace: Path, rustup: str) -> None:
    """It is installed with all that the file wants, by one command that may be run."""
    (finding,) = looked(workspace, '[toolchain]\nchannel = "1.63.0"\ncomponents = ["clippy"]\ntargets = ["wasm32"]\n')
    assert (finding.severity, finding.safe, finding.found) == ("error", True, "not installed")
    assert finding.fix == ("rustup toolchain install 1.63.0 --component clippy --target wasm32",)
    assert "`1.63.0` is wanted by `rust-toolchain.toml`" in finding.text
    (finding,) = looked(workspace, '[toolchain]\nchannel = "house"\n')
    assert (finding.severity, finding.safe, finding.fix) == ("error", False, ())
    assert "rustup toolchain link" in finding.text


@needs_cargo
def test_components_and_targets_that_are_not_there(workspace: Path, rustup: str) -> None:
    """Each has its own command; a build's target counts as the file's do."""
    text = f'[toolchain]\nchannel = "{rustup}"\ncomponents = ["rustc", "no-such"]\ntargets = ["none-such"]\n'
    findings = looked(workspace, text, 'target = "mips-none"\n')
    assert [finding.severity for finding in findings] == ["error"] * 3
    assert [finding.fix for finding in findings] == [
        (f"rustup component add no-such --toolchain {rustup}",),
        (f"rustup target add none-such --toolchain {rustup}",),
        (f"rustup target add mips-none --toolchain {rustup}",),
    ]


@needs_cargo
def test_the_environment_counts_before_the_file(workspace: Path, rustup: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUSTUP_TOOLCHAIN may be a name or a folder, and a broken file does not matter then."""
    monkeypatch.setenv("RUSTUP_TOOLCHAIN", rustup)
    assert looked(workspace, "broken [")[0].severity == "ok"
    monkeypatch.setenv("RUSTUP_TOOLCHAIN", "1.2.3")
    assert "wanted by `RUSTUP_TOOLCHAIN`" in looked(workspace, None)[0].text
    monkeypatch.setenv("RUSTUP_TOOLCHAIN", str(SYSROOT))
    assert looked(workspace, None)[0].severity == "ok"
    monkeypatch.setenv("RUSTUP_TOOLCHAIN", "/no/such/folder")
    (finding,) = looked(workspace, None)
    assert (finding.severity, finding.fix) == ("error", ("unset RUSTUP_TOOLCHAIN",))


@needs_cargo
def test_a_folder_of_ones_own(workspace: Path, rustup: str) -> None:
    """It is beside the file, and has rustc in it, or not."""
    (finding,) = looked(workspace, '[toolchain]\npath = "own"\n')
    assert (finding.severity, finding.fix) == ("error", (f"ed '{workspace}/rust-toolchain.toml'",))
    (workspace / "own").symlink_to(str(SYSROOT))
    assert looked(workspace, '[toolchain]\npath = "own"\n')[0].severity == "ok"


@needs_cargo
def test_a_broken_file(workspace: Path, rustup: str) -> None:
    """It is opened to be mended."""
    (finding,) = looked(workspace, "[toolchain\n")
    assert (finding.severity, finding.safe, finding.found) == ("error", False, "rust-toolchain.toml")
    assert finding.text.startswith("rust-toolchain.toml:1: is not valid TOML")
    assert finding.fix == (f"ed '{workspace}/rust-toolchain.toml'",)


def test_a_cargo_that_is_not_rustups(workspace: Path, programs: Programs) -> None:
    """It takes no notice of the file, right or wrong; nothing is said where there is none."""
    programs.write("cargo", "exit 0")
    for text in ('[toolchain]\nchannel = "1.63.0"\n', "[toolchain\n"):
        (finding,) = looked(workspace, text)
        assert finding.severity == "warn"
    assert looked(workspace, None, 'target = "wasm32"\n') == []


def test_rustup_under_another_name(programs: Programs, tmp_path: Path) -> None:
    """What is called cargo may be a link to it, or lie beside it, with rustup itself not in PATH."""
    assert find_rustup() is None
    real = tmp_path / "elsewhere"
    real.mkdir()
    for name in ("cargo", "rustup"):
        (real / name).write_text("#!/bin/sh\n")
        (real / name).chmod(0o755)
    (programs.folder / "cargo").symlink_to(real / "rustup")
    assert find_rustup() == str(real / "rustup")
    (programs.folder / "cargo").unlink()
    (programs.folder / "cargo").symlink_to(real / "cargo")
    assert find_rustup() is None
    (programs.folder / "rustup").write_text("")
    assert find_rustup() is None
    (programs.folder / "rustup").chmod(0o755)
    assert find_rustup() == "rustup"


@needs_cargo
def test_the_stand_in_says_what_rustup_says(rustup: str, programs: Programs) -> None:
    """What it says is what the real one has said, and says where it is here, but for more that that may have."""
    chosen = ("--installed", "--toolchain", rustup)
    asked = {kind: [kind, "list", *(chosen if kind != "toolchain" else ())] for kind in SAID}
    host = "x86_64-unknown-linux-gnu"
    real = {kind: said.format(host=host) for kind, said in SAID.items()}
    if has_rustup():
        real = {kind: ask(["rustup", *words]) for kind, words in asked.items()}
        (programs.folder / "rustup").unlink()
        write_rustup(programs, programs.folder, real=False)
    for kind, words in asked.items():
        assert set(ask(["rustup", *words]).split()) <= set(real[kind].split())
