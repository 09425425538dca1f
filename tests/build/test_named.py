"""Files that only flags name."""

from pathlib import Path

import pytest

from llorch.build.named import named_files


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with files that flags may name; beside it a program and an object."""
    root = tmp_path / "repo"
    for name in (
        "app/link.x",
        "libs/libf.a",
        "libs/libg.so",
        "libs/two words.o",
        "spec.json",
        "../opt/a.o",
        "../opt/cc",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o644)
    for name in ("tools/ld", "tools/run"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch(0o755)
    (tmp_path / "opt/cc").chmod(0o755)
    return root


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("-Clink-arg=-Tapp/link.x", {"app/link.x"}),
        ("-C link-args=-Wl,-T,app/link.x", {"app/link.x"}),
        ("-L native=libs", {"libs/libf.a"}),
        ("-Llibs -C debug-assertions", {"libs/libf.a"}),
        ("-Clinker=tools/ld", {"tools/ld"}),
        ("@spec.json", {"spec.json"}),
        ("-Clink-arg=libs/two words.o", {"libs/two words.o"}),
        ("-Clink-arg=../opt/a.o -Clinker=../opt/cc", {"../opt/a.o"}),
        ("-Ctarget-cpu=native -Clink-arg=/no/such.o -L/usr/lib", set()),
        ("-Clink-arg=-Wl,-Map=spec.json", set()),
        ("-C link-arg=-Wl,-Map,spec.json,libs/libg.so", {"libs/libg.so"}),
        ("-Clink-arg=-Xlinker -Clink-arg=--out-implib -Clink-arg=-Xlinker -Clink-arg=spec.json", set()),
        ("-Clink-args=-Wl,--dependency-file=spec.json -Clink-arg=-Tapp/link.x", {"app/link.x"}),
        ("\0 = @ -L", set()),
    ],
)
def test_flags_of_every_door(top: Path, flags: str, names: set[str]) -> None:
    """They count from variables, from build scripts and from cargo's configuration."""
    config = top / ".cargo/config.toml"
    config.parent.mkdir()
    found = {str(top / name) for name in names}
    folders = [str(top)]
    assert named_files((), (), folders, str(top), {"CARGO_TARGET_X_RUSTFLAGS": flags, "FLAGS": "spec.json"}) == found
    assert named_files((), [f"cargo::rustc-link-arg-bins={flags}", "warning=spec.json"], folders, str(top), {}) == found
    text = flags.replace("\0", "")
    config.write_text(f'[target.\'cfg(unix)\']\nrustflags = ["{text}"]\nrunner = "tools/run"\n[env]\nX = "spec.json"\n')
    assert named_files([str(config)], (), folders, str(top), {}) == found


def test_flags_one_by_one(top: Path) -> None:
    """An option of the linker and its file may be flags of their own; a file with a space is one word."""
    flags = ["-Clink-arg=-Map", "-Clink-arg=spec.json", "-Clink-arg=libs/two words.o", "-Clink-arg=libs/libf.a"]
    found = {str(top / "libs/two words.o"), str(top / "libs/libf.a")}
    assert named_files((), (), [str(top)], str(top), {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}) == found
    said = [flag.replace("-Clink-arg", "cargo::rustc-link-arg") for flag in flags]
    assert named_files((), said, [str(top)], str(top), {}) == found
    (top / ".cargo").mkdir()
    (top / ".cargo/config.toml").write_text(f"[build]\nrustflags = {flags}\n")
    assert named_files([str(top / ".cargo/config.toml")], (), [str(top)], str(top), {}) == found


@pytest.mark.parametrize(
    ("folder", "is_system"),
    [
        ("/lib", True), ("/usr/lib/", True), ("/usr/lib/x86_64-linux-gnu/cmake", True), ("/lib32", True),
        ("/usr/lib64/a", True), ("/usr/libx32", True), ("/usr/share/../lib", True), ("/usr/local/lib", False),
        ("/libs", False), ("/library/x", False), ("/usr/lib-own", False), ("/usr/lib/../libs", False),
        ("/lib640", False),
    ],
)  # fmt: skip
def test_folders_of_the_distribution(top: Path, monkeypatch: pytest.MonkeyPatch, folder: str, is_system: bool) -> None:
    """Their libraries are left out, those of folders whose names only begin so are not."""
    library = Path(folder, "libown.a")
    with monkeypatch.context() as here:  # none of these is for tests to write into
        here.setattr("os.path.isfile", lambda path: str(path) == str(library))
        here.setattr("os.path.isdir", lambda path: str(path) == folder)
        here.setattr(Path, "glob", lambda self, pattern: iter([self / "libown.a"]))
        here.setattr(Path, "is_file", lambda self: self == library)
        found = named_files((), (), [str(top)], str(top), {"RUSTFLAGS": f"-L {folder}"})
    assert found == (set() if is_system else {str(library)})


def test_paths_of_configuration(top: Path) -> None:
    """They may be relative to the folder that has `.cargo`; a file that is not there, or no TOML, names nothing."""
    config = top / "app/.cargo/config.toml"
    config.parent.mkdir()
    config.write_text('[build]\ntarget = "link.x"\n')
    (top / "rust-toolchain").write_text("1.95.0\n")
    configs = [str(config), str(top / "none"), str(top / "rust-toolchain")]
    assert named_files(configs, (), [], str(top), {}) == {str(top / "app/link.x")}
