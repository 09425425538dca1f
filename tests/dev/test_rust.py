"""cargo, rustc, the linker and a wrapper: those of this machine, and PATHs without them."""

from pathlib import Path

import pytest

from llorch.dev.rust import check_linker, check_rust
from tests.dev.conftest import DEBIAN, MAC, Programs, look, write_empty_rustup
from tests.rust import SYSROOT, needs_cargo

SETTINGS = '[build.app]\nmanifest = "Cargo.toml"\n'


@pytest.fixture
def crate(workspace: Path, programs: Programs) -> Path:
    """A workspace with a crate, and the toolchain's own cargo and rustc in PATH."""
    assert SYSROOT is not None, "cargo is not installed"
    (workspace / "llorch.toml").write_text(SETTINGS)
    (workspace / "Cargo.toml").write_text('[package]\nname = "app"\nrust-version = "1.56"\n')
    for name in ("cargo", "rustc"):
        (programs.folder / name).symlink_to(SYSROOT / "bin" / name)
    return workspace


@needs_cargo
def test_they_work(crate: Path) -> None:
    """Each with its version."""
    cargo, rustc = look(check_rust, crate)
    assert [(each.id, each.severity) for each in (cargo, rustc)] == [("cargo", "ok"), ("rustc", "ok")]
    assert cargo.found.split(".")[:2] == rustc.found.split(".")[:2]


def test_no_cargo(workspace: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is installed by rustup, or where it is only not in PATH, put there."""
    (finding,) = look(check_rust, workspace)
    assert (finding.id, finding.severity, finding.safe) == ("cargo", "error", False)
    assert "https://sh.rustup.rs" in finding.fix[0]
    home = workspace / "cargo home"
    (home / "bin").mkdir(parents=True)
    programs.write("cargo", "exit 0").rename(home / "bin/cargo")
    monkeypatch.setenv("CARGO_HOME", str(home))
    (finding,) = look(check_rust, workspace)
    assert finding.fix == (f"export PATH='{home}'/bin:$PATH",)


@needs_cargo
def test_no_rustc(crate: Path, programs: Programs) -> None:
    """It is said of it alone."""
    (programs.folder / "rustc").unlink()
    cargo, rustc = look(check_rust, crate)
    assert (cargo.severity, rustc.severity) == ("ok", "error")
    assert "sh.rustup.rs" in rustc.fix[0]


@needs_cargo
def test_a_package_that_wants_a_newer_rust(crate: Path, programs: Programs) -> None:
    """It is told which; the fix is of whoever chooses the version: rustup, or a toolchain file."""
    (crate / "Cargo.toml").write_text('[package]\nname = "app"\nrust-version = "9.1"\n')
    _, rustc = look(check_rust, crate)
    assert rustc.severity == "error"
    assert "`app` wants Rust 9.1 or newer" in rustc.text
    assert "sh.rustup.rs" in rustc.fix[0]
    programs.write("rustup", "echo stable")
    assert look(check_rust, crate)[1].fix == ("rustup update stable",)
    (crate / "rust-toolchain").write_text("stable")
    assert look(check_rust, crate)[2].fix == (f"ed '{crate}/rust-toolchain'",)


@needs_cargo
def test_the_newest_rust_that_is_wanted_counts(crate: Path) -> None:
    """Of several packages, and also where the version is said by their workspace."""
    for name, version in (("a", '"1.56"'), ("b", "{ workspace = true }"), ("c", '"1.70.0"')):
        (crate / name).mkdir()
        (crate / name / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nrust-version = {version}\n')
    tables = [f'[build.{name}]\nmanifest = "{name}/Cargo.toml"\n' for name in "abc"]
    (crate / "llorch.toml").write_text("".join(tables))
    (crate / "Cargo.toml").write_text('[workspace]\n[workspace.package]\nrust-version = "9.2"\n')
    assert "`b` wants Rust 9.2 or newer" in look(check_rust, crate)[1].text
    (crate / "Cargo.toml").write_text("[workspace]\npackage = 1\n")
    assert [finding.severity for finding in look(check_rust, crate)] == ["ok", "ok"]


@needs_cargo
def test_a_manifest_is_cargos_business(crate: Path) -> None:
    """One that cannot be read, or says nothing of versions, is no finding here."""
    for text in ("broken [", "package = 1\n", "[package]\nrust-version = { workspace = true }\n"):
        (crate / "Cargo.toml").write_text(text)
        assert [finding.severity for finding in look(check_rust, crate)] == ["ok", "ok"]


def test_a_cargo_that_does_not_work(workspace: Path, programs: Programs) -> None:
    """Its own first line says why."""
    programs.write("cargo", "echo 'error: it is broken' >&2; exit 1")
    (finding,) = look(check_rust, workspace)
    assert (finding.severity, finding.found, finding.text, finding.fix) == (
        "error",
        "does not work",
        "it is broken",
        (),
    )
    programs.write("cargo", "exit 1")
    assert look(check_rust, workspace)[0].text == "`cargo` exited with 1"
    programs.write("cargo", "echo what is this; echo more")
    (finding,) = look(check_rust, workspace)
    assert (finding.severity, finding.found) == ("error", "does not work")
    assert finding.text == "`cargo --version` does not say it is cargo: what is this"
    (workspace / "rust-toolchain").write_text("stable")
    (programs.folder / "cargo").write_text("#!/no/such/interpreter\n")
    finding = look(check_rust, workspace)[-1]
    assert "sh.rustup.rs" in finding.fix[0], "the file is not to blame"


def test_a_rustc_that_hangs(workspace: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of rustc, whose turn it was."""
    monkeypatch.setattr("llorch.dev.finding.PATIENCE", 0.5)
    programs.link("sleep")
    programs.write("cargo", "echo cargo 1.80.0")
    programs.write("rustc", "exec sleep 600")
    cargo, rustc = look(check_rust, workspace)
    assert (cargo.severity, rustc.id, rustc.severity) == ("ok", "rustc", "error")
    assert "`rustc` was not done after 0.5 s" in rustc.text


def test_rustup_without_a_toolchain(workspace: Path, programs: Programs, tmp_path: Path) -> None:
    """As in an empty home: what rustup says itself, and the command that gives it one, which may be run."""
    write_empty_rustup(programs)
    (finding,) = look(check_rust, workspace)
    assert (finding.severity, finding.safe, finding.fix) == ("error", True, ("rustup default stable",))
    assert finding.text.startswith("rustup could not choose a version")


def test_toolchains_of_several_crates(workspace: Path, programs: Programs) -> None:
    """Each is looked at once; after a failure of one, nothing that would only repeat it."""
    programs.write("cargo", "pwd; echo cargo 1.80.0")
    programs.write("rustc", "echo rustc 1.80.0")
    programs.write("rustup", "echo 1.80.0")
    for name, channel in (("a", "1.80.0"), ("b", "1.80.0"), ("c", "1.90.0")):
        (workspace / name).mkdir()
        (workspace / name / "Cargo.toml").touch()
        (workspace / name / "rust-toolchain").write_text(channel)
    tables = [f'[build.{name}]\nmanifest = "{name}/Cargo.toml"\n' for name in "abc"]
    (workspace / "llorch.toml").write_text("".join(tables))
    found = [(finding.id, finding.severity) for finding in look(check_rust, workspace)]
    good = [("toolchain", "ok"), ("cargo", "ok"), ("rustc", "ok")]
    assert found == [*good, *good, ("toolchain", "error")]


def test_the_linker(workspace: Path, programs: Programs) -> None:
    """Its first line is its version; without it, or with one that does not work, nothing is linked."""
    (finding,) = look(check_linker, workspace)
    assert (finding.severity, finding.fix) == ("error", ("sudo apt install build-essential",))
    programs.write("cc", "exit 1")
    assert look(check_linker, workspace)[0].severity == "error"
    programs.write("cc", "echo cc 1.2; echo more")
    (finding,) = look(check_linker, workspace)
    assert (finding.severity, finding.found) == ("ok", "cc 1.2")


def test_the_linker_of_a_mac(workspace: Path, programs: Programs) -> None:
    """There is always a `cc`, which opens a window where there are no tools: it is not called then."""
    programs.write("cc", f": >'{workspace}/called'; echo clang 17")
    programs.write("xcode-select", "exit 2")
    (finding,) = look(check_linker, workspace, system=MAC)
    assert (finding.severity, finding.fix) == ("error", ("xcode-select --install",))
    assert not (workspace / "called").exists()
    programs.write("xcode-select", "echo /Library/Developer/CommandLineTools")
    assert look(check_linker, workspace, system=MAC)[0].found == "clang 17"


@needs_cargo
@pytest.mark.parametrize("name", ["sccache", "./wrap"])
def test_a_wrapper(crate: Path, programs: Programs, name: str) -> None:
    """One that works, one that does not and one that is missing: builds are made without it, so it is a warning."""
    (crate / "llorch.toml").write_text(f'{SETTINGS}[cargo]\nrustc_wrapper = "{name}"\n')
    id = "sccache" if name == "sccache" else "wrapper"
    finding = look(check_rust, crate)[2]
    assert (finding.id, finding.severity) == (id, "warn")
    assert finding.fix == (("sudo apt install sccache",) if name == "sccache" else ())
    place = programs.write("wrap", '[ "$1" = --version ] && echo wrap 1.0 || exec "$@"')
    place.rename(programs.folder / name if name == "sccache" else crate / name)
    finding = look(check_rust, crate)[2]
    assert (finding.id, finding.severity, finding.found) == (id, "ok", "wrap 1.0")


@needs_cargo
def test_a_wrapper_that_fails(crate: Path, programs: Programs) -> None:
    """It says why; one that has no version is called by its name."""
    (crate / "llorch.toml").write_text(f'{SETTINGS}[cargo]\nrustc_wrapper = "sccache"\n')
    programs.write("sccache", "echo no connection; exit 2")
    finding = look(check_rust, crate)[2]
    assert (finding.severity, finding.fix) == ("warn", ())
    assert "`sccache` exited with 2: no connection" in finding.text
    programs.write("sccache", '[ "$1" = --version ] && exit 1 || exec "$@"')
    assert look(check_rust, crate)[2].found == "sccache"


def test_a_wrapper_that_hangs(workspace: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left out as one that fails is, and cargo has not failed."""
    monkeypatch.setattr("llorch.dev.rust.PATIENCE", 0.2)
    programs.link("sleep")
    for name in ("cargo", "rustc"):
        programs.write(name, f"echo {name} 1.80.0")
    programs.write("sccache", "exec sleep 600")
    (workspace / "llorch.toml").write_text(f'{SETTINGS}[cargo]\nrustc_wrapper = "sccache"\n')
    cargo, rustc, sccache = look(check_rust, workspace)
    assert [finding.severity for finding in (cargo, rustc, sccache)] == ["ok", "ok", "warn"]
    assert "`sccache` was not done after 0.2 s" in sccache.text


def test_what_the_system_is(workspace: Path, programs: Programs) -> None:
    """The fix is that of the system it is given."""
    (finding,) = look(check_rust, workspace, system=DEBIAN._replace(manager="pacman"))
    assert finding.fix == ("sudo pacman -S rustup", "rustup default stable")
