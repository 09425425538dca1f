"""What would have another checkout's binary restored, if it did not count: each time the sources' own text is told."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cache.conftest import TARGET, Checkout, Lab
from tests.rust import SYSROOT, needs_cargo

pytestmark = needs_cargo

Vary = Callable[[Checkout, str], dict[str, str]]
"""Has a checkout's binary say a text by something that is not in its own files; returns variables for its build."""


def package(folder: Path, text: str) -> None:
    """Write a package with a function that gives a text."""
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text('[package]\nname = "beside"\nversion = "0.1.0"\nedition = "2021"\n')
    (folder / "src/lib.rs").write_text(f'pub fn text() -> &\'static str {{ "{text}" }}\n')


def lock(checkout: Checkout) -> None:
    """Have cargo write the lock file."""
    cargo = [f"{SYSROOT}/bin/cargo", "generate-lockfile", "-q", "--offline"]
    subprocess.run(cargo, cwd=checkout.root, check=True)


def a_package_beside(checkout: Checkout, text: str) -> dict[str, str]:
    """Depend on a package next to the checkout."""
    package(checkout.root.parent / "beside", text)
    checkout.edit("app/Cargo.toml", "[dependencies]\n", '[dependencies]\nbeside = { path = "../../beside" }\n')
    checkout.write("app/src/main.rs", 'fn main() { println!("{}", beside::text()); }\n')
    lock(checkout)
    return {}


def a_text_beside(checkout: Checkout, text: str) -> dict[str, str]:
    """Include a file next to the checkout."""
    (checkout.root.parent / "texts").mkdir()
    (checkout.root.parent / "texts/a.txt").write_text(text)
    checkout.write("app/src/main.rs", 'fn main() { println!("{}", include_str!("../../../texts/a.txt")); }\n')
    return {}


def a_variable_like_cargos(checkout: Checkout, text: str) -> dict[str, str]:
    """Ask for a variable whose name begins like those that cargo sets."""
    checkout.write("app/src/main.rs", 'fn main() { println!("{}", env!("CARGO_RELEASED_BY")); }\n')
    return {"CARGO_RELEASED_BY": text}


def a_folder_through_a_link(checkout: Checkout, text: str) -> dict[str, str]:
    """Have the package be where a link leads, which is another folder in each checkout."""
    (checkout.root / "app").rename(checkout.root / text)
    (checkout.root / "app").symlink_to(text)
    checkout.edit("Cargo.toml", '"app"', f'"{text}"')
    checkout.write(f"{text}/src/main.rs", f'fn main() {{ println!("{text}"); }}\n')
    return {}


def a_vendored_package(checkout: Checkout, text: str) -> dict[str, str]:
    """Depend on a registry's package that is in the repository, and edited there as cargo lets one do it."""
    package(checkout.root / "vendor/beside", text)
    checkout.write("vendor/beside/.cargo-checksum.json", f'{{"files": {{}}, "package": "{64 * "0"}", "by": "{text}"}}')
    config = '[source.crates-io]\nreplace-with = "own"\n[source.own]\ndirectory = "vendor"\n'
    checkout.write(".cargo/config.toml", config)
    checkout.edit("app/Cargo.toml", "[dependencies]\n", '[dependencies]\nbeside = "0.1"\n')
    checkout.write("app/src/main.rs", 'fn main() { println!("{}", beside::text()); }\n')
    lock(checkout)
    return {}


def compiled(folder: Path, text: str) -> None:
    """Write C code that is compiled already, as an object and as a library."""
    folder.mkdir(exist_ok=True)
    (folder / "f.c").write_text(f'const char text[4] = "{text}";\n')
    subprocess.run(["cc", "-c", "f.c"], cwd=folder, check=True)
    subprocess.run(["ar", "rcsD", "libf.a", "f.o"], cwd=folder, check=True)
    (folder / "f.c").unlink()


def linked(checkout: Checkout, text: str, instruction: str, attribute: str) -> dict[str, str]:
    """Link C code that is compiled already, which a build script tells to cargo."""
    compiled(checkout.root / "app/native", text)
    here = 'let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();'
    script = f'fn main() {{ {here} println!("cargo:rerun-if-changed=build.rs\\n{instruction}"); }}\n'
    checkout.write("app/build.rs", script)
    said = "std::str::from_utf8(unsafe { &text[..3] }).unwrap()"
    main = f'{attribute} extern "C" {{ static text: [u8; 4]; }}\nfn main() {{ println!("{{}}", {said}); }}\n'
    checkout.write("app/src/main.rs", main)
    return {}


def a_library_that_a_source_names(checkout: Checkout, text: str) -> dict[str, str]:
    """Have a build script say where libraries are, and a source which one."""
    where = "cargo:rustc-link-search=native={here}/native"
    return linked(checkout, text, where, '#[link(name = "f", kind = "static")]')


def an_object_for_the_linker(checkout: Checkout, text: str) -> dict[str, str]:
    """Have a build script name an object file to the linker."""
    return linked(checkout, text, "cargo:rustc-link-arg={here}/native/f.o", "")


def an_object_for_the_linker_where_it_runs(checkout: Checkout, text: str) -> dict[str, str]:
    """Have a build script name an object by its path in the workspace."""
    return linked(checkout, text, "cargo:rustc-link-arg=app/native/f.o", "")


def an_object_in_cargos_configuration(checkout: Checkout, text: str) -> dict[str, str]:
    """Have a flag of the configuration name an object to the linker."""
    checkout.write(".cargo/config.toml", '[build]\nrustflags = ["-Clink-arg=app/native/f.o"]\n')
    return linked(checkout, text, "", "")


def a_library_in_a_folder_of_flags(checkout: Checkout, text: str) -> dict[str, str]:
    """Have a flag of the environment say where libraries are, and a source which one."""
    linked(checkout, text, "", '#[link(name = "f", kind = "static")]')
    return {"RUSTFLAGS": "-L native=app/native"}


def flags_in_a_file(checkout: Checkout, text: str) -> dict[str, str]:
    """Have a flag name a file with more flags, which cargo reads in the package and in the workspace."""
    for name in ("flags.txt", "app/flags.txt"):
        checkout.write(name, f"--cfg={text}\n--check-cfg=cfg(one)\n")
    checkout.write("app/src/main.rs", 'fn main() { print!("{}", if cfg!(one) { "one" } else { "two" }); }\n')
    return {"CARGO_ENCODED_RUSTFLAGS": "@flags.txt"}


def a_linker_of_the_repository(checkout: Checkout, text: str) -> dict[str, str]:
    """Have the configuration name a script that links, and writes something behind the binary."""
    script = f'#!/bin/sh\ncc "$@" || exit\nwhile [ "$1" != -o ]; do shift; done\nprintf {text} >>"$2"\n'
    checkout.write("tools/our-gcc", script).chmod(0o755)
    checkout.write(".cargo/config.toml", "[target.'cfg(unix)']\nlinker = \"tools/our-gcc\"\n")
    read = "std::fs::read(std::env::current_exe().unwrap()).unwrap()"
    main = f'let all = {read}; print!("{{}}", std::str::from_utf8(&all[all.len() - 3..]).unwrap());'
    checkout.write("app/src/main.rs", f"fn main() {{ {main} }}\n")
    return {}


CASES = [
    a_library_in_a_folder_of_flags,
    a_linker_of_the_repository,
    an_object_for_the_linker_where_it_runs,
    an_object_in_cargos_configuration,
    flags_in_a_file,
    a_library_that_a_source_names,
    an_object_for_the_linker,
    a_package_beside,
    a_text_beside,
    a_variable_like_cargos,
    a_folder_through_a_link,
    a_vendored_package,
]


@pytest.mark.parametrize("vary", CASES)
def test_what_is_not_in_the_checkouts_own_files(lab: Lab, vary: Vary) -> None:
    """A binary that was built of something else elsewhere is not restored, and one that was built here is."""
    for name in ("one", "two"):
        (lab.folder / name).mkdir()
        checkout = lab.checkout(f"{name}/repo")
        checkout.environ = vary(checkout, name)

        def said(checkout: Checkout = checkout) -> str:
            done = subprocess.run([(checkout.root / "app").resolve().parent / TARGET], capture_output=True, text=True)
            return done.stdout.strip()

        assert (checkout.build(), said()) == ("done", name)
        (checkout.root / TARGET).unlink()
        assert (checkout.build(cargo=False), said()) == ("restored", name)


def test_a_vendored_package_that_is_edited(lab: Lab) -> None:
    """Cargo does not look at it, so all is built again."""
    checkout = lab.checkout("first")
    a_vendored_package(checkout, "one")
    assert (checkout.build(), checkout.says()) == ("done", "one")
    for name in ("src/lib.rs", ".cargo-checksum.json"):
        checkout.edit(f"vendor/beside/{name}", '"one"', '"two"')
    assert (checkout.build(), checkout.says()) == ("done", "two")


def test_an_object_of_flags_that_changes(lab: Lab) -> None:
    """Cargo does not look at it, so all is built again; what is then shared is of the new one."""
    first, second = lab.checkout("first"), lab.checkout("second")
    an_object_in_cargos_configuration(first, "one")
    assert (first.build(), first.says()) == ("done", "one")
    compiled(first.root / "app/native", "two")
    assert (first.build(), first.says()) == ("done", "two")
    an_object_in_cargos_configuration(second, "two")
    assert (second.build(cargo=False), second.says()) == ("restored", "two")


@pytest.mark.parametrize("name", ["lib/src/lib.rs", "app/native/f.o"])
def test_an_older_file_that_nobody_has_noted(lab: Lab, name: str) -> None:
    """With llorch's records gone it counts all the same, though cargo goes by times, or does not look at it at all."""
    first, second = lab.checkout("first"), lab.checkout("second")
    for checkout in (first, second):
        an_object_in_cargos_configuration(checkout, "one")
        checkout.edit("app/src/main.rs", 'println!("{}",', 'println!("{} {}", lib::text(),')
    assert (first.build(), first.says()) == ("done", "lib1 one")
    shutil.rmtree(first.root / ".llorch")
    for checkout in (first, second):
        if name.endswith(".o"):
            compiled(checkout.root / "app/native", "two")
        else:
            checkout.edit(name, "lib1", "lib2")
    os.utime(first.root / name, (1_000_000_000, 1_000_000_000))
    said = "lib1 two" if name.endswith(".o") else "lib2 one"
    assert (first.build("--no-cache"), first.says()) == ("done", said)
    assert first.llorch("cache", "push", "build:app").code == 0
    assert (second.build(cargo=False), second.says()) == ("restored", said)


def test_a_text_behind_a_link_and_back(lab: Lab) -> None:
    """The file that `..` leads to from where a link leads is an input, not what has that name beside the link."""
    checkout = lab.checkout("first")
    package(lab.folder / "else", "")
    (lab.folder / "else/a.txt").write_text("one")
    (checkout.root / "app/src").rename(checkout.root / "app/unused")
    (checkout.root / "app/src").symlink_to(lab.folder / "else/src")
    checkout.write("app/src/main.rs", 'fn main() { println!("{}", include_str!("../a.txt")); }\n')
    checkout.write("app/a.txt", "another")
    assert (checkout.build(), checkout.says()) == ("done", "one")
    (lab.folder / "else/a.txt").write_text("two")
    assert (checkout.build(), checkout.says()) == ("done", "two")


def test_a_workspace_through_a_link(lab: Lab) -> None:
    """Where a link leads to another checkout, that one's binary is built."""
    link = lab.folder / "current"
    for name in ("one", "two"):
        checkout = lab.checkout(name)
        checkout.write("app/src/main.rs", f'fn main() {{ println!("{name}"); }}\n')
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        done = checkout.llorch("-C", str(link), "build", "app", "--json")
        assert (done.json["tasks"][0]["outcome"], checkout.says()) == ("done", name)


def generated(checkout: Checkout, script: str, main: str) -> None:
    """Have a build script make things in OUT_DIR, and the binary use them."""
    out = 'let out = std::env::var("OUT_DIR").unwrap();'
    said = 'println!("cargo:rerun-if-changed=build.rs");'
    checkout.write("app/build.rs", f"fn main() {{ {out} {said} {script} }}\n")
    checkout.write("app/src/main.rs", main)


def a_file_that_it_reads(checkout: Checkout) -> None:
    """Read a file of OUT_DIR when it runs."""
    read = 'std::fs::read_to_string(concat!(env!("OUT_DIR"), "/made.txt")).unwrap()'
    generated(
        checkout, 'std::fs::write(out + "/made.txt", "made").unwrap();', f'fn main() {{ println!("{{}}", {read}); }}\n'
    )


def a_library_that_is_looked_for(checkout: Checkout) -> None:
    """Link a shared library that lies beside the binary, as those that come with llama.cpp do."""
    checkout.write("app/f.c", 'const char text[5] = "made";\n')
    library = 'format!("{out}/../../../libf.so")'
    cc = f'std::process::Command::new("cc").args(["-shared", "-o", &{library}, "f.c"]).status().unwrap();'
    flags = "cargo:rustc-link-search={out}/../../..\\ncargo:rustc-link-arg=-Wl,-rpath,$ORIGIN"
    said = "std::str::from_utf8(unsafe { &text[..4] }).unwrap()"
    main = '#[link(name = "f")] extern "C" { static text: [u8; 5]; }\n'
    generated(checkout, f'{cc} println!("{flags}");', main + f'fn main() {{ println!("{{}}", {said}); }}\n')


@pytest.mark.parametrize("need", [a_file_that_it_reads, a_library_that_is_looked_for])
def test_a_binary_that_needs_what_was_made_with_it(lab: Lab, need: Callable[[Checkout], None]) -> None:
    """Without those files it does not run, so it is built, not restored."""
    checkout = lab.checkout("first")
    need(checkout)
    assert (checkout.build(), checkout.says()) == ("done", "made")
    pushed = checkout.llorch("cache", "push", "build:app")
    assert (pushed.code, "files of its target folder" in pushed.err) == (1, True)
    shutil.rmtree(checkout.root / "target")
    assert (checkout.build(), checkout.says()) == ("done", "made")


def test_a_place_in_generated_code(lab: Lab) -> None:
    """A panic names the file that it was in, which is not needed to run; at another path it would be another name."""
    script = 'std::fs::write(out + "/made.rs", "fn say(n: usize) { [println!(\\"made\\")][n] }").unwrap();'
    main = 'include!(concat!(env!("OUT_DIR"), "/made.rs"));\nfn main() { say(std::env::args().count() - 1); }\n'
    for name in ("first", "second"):
        checkout = lab.checkout(name)
        generated(checkout, script, main)
        assert (checkout.build(), checkout.says()) == ("done", "made")
        shutil.rmtree(checkout.root / "target")
        assert (checkout.build(cargo=False), checkout.says()) == ("restored", "made")
