"""What binds a binary to one checkout or one processor."""

import struct
from pathlib import Path

import pytest

from llorch.build.bound import find_bounds, needs_made
from llorch.share import CPU, WORKSPACE

TOP = "/home/me/repo"


def elf(*sections: tuple[bytes, bytes]) -> bytes:
    """Return a file of the kind ELF with these sections, each a name and a text (man 5 elf)."""
    names = b"\0" + b"".join(name + b"\0" for name, _ in sections) + b".shstrtab\0"
    body = b"".join(text for _, text in sections) + names
    header = b"\x7fELF\x02\x01".ljust(0x28, b"\0") + struct.pack("<Q", 64 + len(body))
    header = header.ljust(0x3A, b"\0") + struct.pack("<HHH", 64, len(sections) + 2, len(sections) + 1)
    table, offset = bytes(64), 64
    for name, text in (*sections, (b".shstrtab", names)):
        table += struct.pack("<II4Q", names.index(name + b"\0"), 1, 0, 0, offset, len(text)).ljust(64, b"\0")
        offset += len(text)
    return header + body + table


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    """Where a binary is; it has nothing in it."""
    path = tmp_path / "app"
    path.write_bytes(elf((b".rodata", b"hello")))
    return path


def bounds(
    binary: Path,
    notes: dict[str, set[str]] | None = None,
    files: tuple[Path, ...] = (),
    said: tuple[str, ...] = (),
    **environ: str,
) -> tuple[str, ...]:
    """Look for bounds in a workspace that is all of its repository."""
    return find_bounds(binary, TOP, (), (), notes or {}, map(str, files), said, environ)


@pytest.mark.parametrize(
    ("data", "bound"),
    [
        (elf((b".rodata", b"hello"), (b".debug_str", TOP.encode())), False),
        (elf((b".zdebug_line", TOP.encode()), (b".rodata", b"hello")), False),
        (elf((b".debug_str", TOP.encode()), (b".rodata", f"{TOP}/data".encode())), True),
        (elf((b".rodata", f"x{TOP}".encode()), (b".debug_str", b"x")), True),
        (elf((b".dynstr", f"{TOP}/lib".encode())), True),
        (b"\xcf\xfa\xed\xfe another system's " + TOP.encode(), True),
        (b"\xcf\xfa\xed\xfe another system's", False),
        (elf((b".debug_str", TOP.encode()))[:200], True),
        (b"", False),
    ],
)
def test_the_checkouts_path_in_a_binary(binary: Path, data: bytes, bound: bool) -> None:
    """What is for debuggers alone does not count; in a file that is no whole ELF, everything does."""
    binary.write_bytes(data)
    assert bounds(binary) == ((WORKSPACE,) if bound else ())


@pytest.mark.parametrize(
    ("notes", "bound"),
    [
        ({"CARGO_MANIFEST_DIR": {f"{TOP}/app"}}, True),
        ({"CARGO_MANIFEST_DIR": {"/root/.cargo/registry/src/serde"}}, False),
        ({"MY_FOLDER": {"x", f"a;{TOP};b"}}, True),
        ({"OUT_DIR": {f"{TOP}/target/release/build/app/out"}}, False),
        ({"CARGO_PKG_VERSION": {"0.1.0"}}, False),
    ],
)
def test_the_checkouts_path_in_a_variable(binary: Path, notes: dict[str, set[str]], bound: bool) -> None:
    """A source that asks for a path may have it in any form; OUT_DIR is asked for to include what is there."""
    assert bounds(binary, notes) == ((WORKSPACE,) if bound else ())


def test_the_checkouts_path_in_a_manifest(binary: Path, tmp_path: Path) -> None:
    """A manifest or configuration that names it means this very checkout."""
    manifest = tmp_path / "Cargo.toml"
    assert bounds(binary, files=(manifest,)) == ()
    manifest.write_text(f'[dependencies]\nlib = {{ path = "{TOP}/lib" }}\n')
    assert bounds(binary, files=(manifest,)) == (WORKSPACE,)


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        ("src/main.rs", False),
        (f"{TOP}/shared/src/lib.rs", False),
        ("/home/me/shared/src/lib.rs", True),
        ("/home/me/.cargo/registry/src/serde/lib.rs", False),
        ("/usr/include/stdio.h", False),
    ],
)
def test_files_beside_the_checkout(binary: Path, path: str, bound: bool) -> None:
    """What the sources may call `../shared` is another file for a checkout elsewhere."""
    found = find_bounds(binary, TOP, (path,), (), {}, (), (), {"CARGO_HOME": "/home/me/.cargo"})
    assert found == ((WORKSPACE,) if bound else ())


def test_a_target_folder_elsewhere_in_a_binary(binary: Path) -> None:
    """What cargo has made there is not there on another machine."""
    binary.write_bytes(elf((b".rodata", b"/var/made/release/build/app/out")))
    assert find_bounds(binary, TOP, (), ("/var/made/",), {}, (), (), {}) == (WORKSPACE,)
    assert find_bounds(binary, TOP, (), ("/var/other/",), {}, (), (), {}) == ()


@pytest.mark.parametrize(
    ("environ", "bound"),
    [
        ({"RUSTFLAGS": "-C target-cpu=native"}, True),
        ({"RUSTFLAGS": "-C target_cpu=native"}, True),
        ({"CARGO_ENCODED_RUSTFLAGS": "-C\x1ftarget-cpu=native"}, True),
        ({"CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS": "-Ctarget-cpu=native"}, True),
        ({"CFLAGS": "-march=native"}, True),
        ({"CXXFLAGS_x86_64": "-mtune=native"}, True),
        ({"RUSTFLAGS": "-C target-cpu=x86-64-v3"}, False),
        ({"NOTE": "target-cpu=native"}, False),
    ],
)
def test_flags_for_this_processor(binary: Path, environ: dict[str, str], bound: bool) -> None:
    """Wherever rustc or a C compiler is told to build for this very machine."""
    assert find_bounds(binary, TOP, (), (), {}, (), (), environ) == ((CPU,) if bound else ())


def test_configuration_and_scripts_for_this_processor(binary: Path, tmp_path: Path) -> None:
    """Cargo's configuration may say so, and a build script that runs a C compiler tells of its flags."""
    config = tmp_path / "config.toml"
    config.write_text('[build]\nrustflags = ["-C", "target-cpu=native"]\n')
    assert bounds(binary, files=(config,)) == (CPU,)
    assert bounds(binary, said=('running: "cc" "-O3" "-march=native"',)) == (CPU,)
    assert bounds(binary, said=("cargo:rustc-link-lib=native=z",)) == ()


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("{out}data.txt", True),
        ("{out}data.txt/rustc/library/alloc/src/vec.rs\0", True),
        ("{out}data.txt/src/a.c\0", True),
        ("{out}", True),
        ("{out}made.rs and the next text", False),
        ("{out}a.cpp\0", False),
        ("{out}gone.cpp\0", True),
        ("{out}made.rs\0{out}x", True),
        ("/w/data.txt", False),
        ("\0libmade.so.1\0", True),
        ("\0libother.so\0", False),
    ],
)
def test_files_that_were_made_with_it(binary: Path, tmp_path: Path, text: str, needed: bool) -> None:
    """It names them, other than as the sources in which something has gone wrong."""
    out = f"{tmp_path}/out/"
    Path(out).mkdir()
    for name in ("a.cpp", "data.txt", "libmade.so", "libmade.so.1", "libother.a"):
        Path(out, name).touch()
    binary.write_bytes(elf((b".debug_str", f"{out}x".encode()), (b".rodata", text.format(out=out).encode())))
    assert needs_made(binary, (out,), (f"{out}made.rs", "/w/src/main.rs"), (out, "/w/none")) == needed


def test_an_empty_binary_needs_nothing(binary: Path) -> None:
    """Somebody has emptied it meanwhile."""
    binary.write_bytes(b"")
    assert not needs_made(binary, ("/w/target/",), (), ())
