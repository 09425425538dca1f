"""The traps of builds, each with the real cargo; what is missing before one; and what a build may not break."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.build.conftest import Llorch
from tests.conftest import BIN, IN_CI
from tests.rust import FILES, Rust, needs_cargo

pytestmark = needs_cargo
MAIN = "app/src/main.rs"
TASK = "build:worker-cpu"
ENDLESS = """
fn main() {
    let mut alive = std::fs::OpenOptions::new().write(true).open("PIPE").unwrap();
    std::io::Write::write_all(&mut alive, b"begun").unwrap();
    loop { std::thread::park() }
}
"""


def made(llorch: Llorch, *more: str) -> str:
    """Build, and return what became of the task."""
    done = llorch("build", "worker", "cpu", "--json", *more)
    assert done.code == 0, done.out
    return str(done.json["tasks"][0]["outcome"])


# Traps


@pytest.mark.parametrize("then", ["", "; sed -i s/now2/main1/ {main}"], ids=["edited", "edited and set back"])
def test_an_edit_during_the_build_is_built_next_time(built: Rust, llorch: Llorch, then: str) -> None:
    """What is edited while cargo is at work makes the next run call it again, though the content be the old again."""
    built.edit(MAIN, "fn main", "// another\nfn main")
    main = f"'{built.root / MAIN}'"
    built.after.write_text(f"sed -i s/main1/now2/ {main}")
    built.before.write_text("")
    if then:
        # It is the edited file that is compiled, and the first content that is recorded.
        built.before.write_text(f"sed -i s/main1/now2/ {main}")
        built.after.write_text(then.format(main=main).lstrip("; "))
    assert made(llorch) == "done"
    assert built.says().startswith("now2" if then else "main1")
    built.before.unlink()
    built.after.unlink()
    reasons = llorch("why", TASK, "--json").json["reasons"]
    assert [(reason["what"], reason["was"]) for reason in reasons] == [(MAIN, "edited during the build")]
    assert made(llorch) == "done"
    assert built.says().startswith("main1" if then else "now2")
    assert made(llorch) == "up-to-date"
    built.write(MAIN, (built.root / MAIN).read_text().replace("now2", "main1"))


@pytest.mark.parametrize("how", ["in place", "by another folder", "after a build by hand"])
def test_newer_content_with_an_older_time_is_built(built: Rust, llorch: Llorch, how: str) -> None:
    """A changed file whose time is older than what was compiled, as from an archive, reaches the binary too."""
    file = built.root / "crates/base/src/inner.rs"
    old, new = file.read_text(), file.read_text().replace("inner", "archived")
    # The files of this folder keep even the times of their inodes: only its name will be another.
    shutil.copytree(file.parent, built.folder / "src", copy_function=shutil.copyfile, dirs_exist_ok=True)
    (built.folder / "src/inner.rs").write_text(new)
    built.edit("crates/base/src/deep/mod.rs", "pub const", f"// before it came {how}\npub const")
    assert made(llorch) == "done"
    if how == "by another folder":
        shutil.rmtree(file.parent)
        os.rename(built.folder / "src", file.parent)
    elif how == "in place":
        file.write_text(new)
        os.utime(file, (2, 2))
    else:
        file.write_text(old.replace("inner", "by-hand"))
        meanwhile = file.stat().st_mtime_ns
        command = ["cargo", "build", "--package", "worker", "--bin", "worker-cpu", "--features", "cpu", "--release"]
        subprocess.run(command, check=True, capture_output=True, cwd=built.root / "app")
        assert "by-hand" in built.says()
        file.write_text(new)
        os.utime(file, ns=(meanwhile, meanwhile))
    assert made(llorch) == "done"
    assert "archived" in built.says()
    file.write_text(old)
    assert made(llorch) == "done"
    assert "archived" not in built.says()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_binary_that_was_written_over_is_made_again(built: Rust, llorch: Llorch, deleted: bool) -> None:
    """Writing into the binary spoils cargo's own copy too, and cargo calls it fresh; it is built anew."""
    before = built.target.read_bytes()
    (twin,) = (path for path in built.target.parent.glob("deps/worker_cpu-*") if path.samefile(built.target))
    built.target.write_bytes(b"spoiled")
    assert twin.read_bytes() == b"spoiled"
    if deleted:
        built.target.unlink()
    assert made(llorch) == "done"
    assert built.target.read_bytes() == before
    assert made(llorch) == "up-to-date"


def test_a_binary_that_was_written_over_while_others_changed(built: Rust, llorch: Llorch) -> None:
    """It is noticed too when something else has changed that does not have it linked again, and without records."""
    before = built.target.read_bytes()
    for forget in (False, True):
        built.target.write_bytes(b"spoiled")
        built.edit("crates/unused/Cargo.toml", "[package]", "# more\n[package]")
        if forget:
            shutil.rmtree(built.root / ".llorch")
        assert made(llorch) == "done"
        assert built.target.read_bytes() == before


def test_what_was_built_by_hand_is_kept(built: Rust, llorch: Llorch) -> None:
    """A binary that cargo has made of the change already, called by others, is taken as it is."""
    built.edit(MAIN, "main1", "main-by-hand")
    command = ["cargo", "build", "--package", "worker", "--bin", "worker-cpu", "--features", "cpu", "--release"]
    subprocess.run(command, check=True, capture_output=True, cwd=built.root / "app")
    binary = built.target.stat().st_mtime_ns
    built.calls()
    assert made(llorch) == "done"
    assert (built.target.stat().st_mtime_ns, [call.split()[0] for call in built.calls()][-1]) == (binary, "build")
    built.edit(MAIN, "main-by-hand", "main1")


def test_a_build_that_failed_is_not_forgotten(built: Rust, llorch: Llorch) -> None:
    """What it has compiled before it failed does not reach the binary when the old content comes back with its time."""
    inner = built.root / "crates/base/src/inner.rs"
    old, main = inner.read_text(), (built.root / MAIN).read_text()
    built.write("crates/base/src/inner.rs", old.replace("inner", "never"))
    built.write(MAIN, "fn main() { broken }")
    assert llorch("build", "worker", "cpu").code == 5
    inner.write_text(old)
    os.utime(inner, (1, 1))
    built.write(MAIN, main + "// mended\n")
    assert made(llorch) == "done"
    assert "never" not in built.says()


def test_a_first_build_that_failed_tells_nothing(rust: Rust, llorch: Llorch) -> None:
    """Without other records what cargo has kept stays unknown after a build that did not end."""
    inner, main = rust.root / "crates/base/src/inner.rs", (rust.root / MAIN).read_text()
    old = inner.read_text()
    assert made(llorch) == "done"
    shutil.rmtree(rust.root / ".llorch")
    inner.write_text(old.replace("inner", "older"))
    os.utime(inner, (1, 1))
    rust.write(MAIN, "fn main() { broken }")
    assert llorch("build", "worker", "cpu").code == 5
    rust.write(MAIN, main + "// mended\n")
    assert made(llorch) == "done"
    assert "older" in rust.says()


@pytest.mark.parametrize("name", ["app/src/motto.txt", ".cargo/config.toml"])
def test_what_is_deleted_during_the_build_is_missed(built: Rust, llorch: Llorch, name: str) -> None:
    """A file that the build may have read, and that is gone at its end, is no file that must stay away."""
    text = (built.root / name).read_text() if (built.root / name).exists() else "[net]\n"
    built.write(name, text)
    built.edit(MAIN, "fn main", "// deletes\nfn main")
    built.after.write_text(f"rm '{built.root / name}'")
    assert made(llorch) == "done"
    built.after.unlink()
    reasons = llorch("why", TASK, "--json").json["reasons"]
    assert [(reason["what"], reason["was"], reason["now"]) for reason in reasons] == [
        (name, "edited during the build", None)
    ]
    if name.endswith(".txt"):
        built.write(name, text)
    assert made(llorch) == "done"
    assert made(llorch) == "up-to-date"


def test_nothing_to_do_waits_for_nobody(built: Rust, llorch: Llorch) -> None:
    """While another cargo, or an editor's, holds the target folder, a run with nothing to do goes by."""
    import fcntl

    with open(built.target.parent / ".cargo-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert made(llorch) == "up-to-date"
    assert built.calls() == []


def test_a_locked_target_folder_is_said(built: Rust, llorch: Llorch) -> None:
    """A build that has to wait for another cargo says so, and goes on when that is done."""
    built.edit(MAIN, "fn main", "// waits\nfn main")
    lock = built.target.parent / ".cargo-lock"
    command = [str(BIN / "llorch"), "build", "worker", "cpu"]
    with subprocess.Popen(["flock", str(lock), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"held")
        holder.stdin.flush()
        assert holder.stdout.read(4) == b"held"
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as waiting:
            assert waiting.stderr is not None
            said = next(line for line in waiting.stderr if "waiting" in line)
            holder.stdin.close()
            waiting.stderr.read()
    assert said.rstrip() == f"{TASK}  waiting for another cargo, which has the target folder"
    assert waiting.returncode == 0


def test_cargos_own_files_are_no_edit(rust: Rust, llorch: Llorch) -> None:
    """A package whose script says nothing, at the root where cargo makes its folder, has nothing to do at once."""
    one = '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n'
    for name, text in {"Cargo.toml": one, "build.rs": "fn main() {}", "src/main.rs": "fn main() {}"}.items():
        rust.write(f"../one/{name}", text)
    rust.write("../one/llorch.toml", '[build.one]\nmanifest = "Cargo.toml"\n')
    assert llorch("-C", "../one", "build", "one", "--json").json["tasks"][0]["outcome"] == "done"
    assert llorch("-C", "../one", "build", "one", "--json").json["tasks"][0]["outcome"] == "up-to-date"
    rust.write("../one/more.txt", "")
    assert llorch("-C", "../one", "build", "one", "--json").json["tasks"][0]["outcome"] == "done"


def test_another_backend_is_built_once(rust: Rust, llorch: Llorch) -> None:
    """What cargo keeps for other features is not what it takes: sources that are newer have nothing built twice."""
    one = '[package]\nname = "one"\nversion = "0.1.0"\nedition = "2021"\nautobins = false\n[workspace]\n'
    bins = "".join(f'[[bin]]\nname = "one-{each}"\npath = "src/main.rs"\n' for each in "ab")
    rust.write("../one/Cargo.toml", f"{one}[features]\na = []\nb = []\n{bins}")
    main = rust.write("../one/src/main.rs", "")
    toml = '[build.one]\nmanifest = "Cargo.toml"\nbin = "one-{backend}"\nbackends = ["a", "b"]\n'
    rust.write("../one/llorch.toml", toml + 'features = ["{backend}"]\n')
    for backend in ("a", "b"):
        main.write_text(f"fn main() {{ /* {backend} */ }}")
        before = main.stat().st_mtime_ns
        rust.calls()
        done = llorch("-C", "../one", "build", "one", backend)
        assert done.code == 0, done.err
        assert sum(call.startswith("build ") for call in rust.calls()) == 1
        assert main.stat().st_mtime_ns == before


def test_what_the_linker_writes_is_no_input(rust: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that flags have it write does not have the binary built again."""
    monkeypatch.setenv("RUSTFLAGS", "-Clink-arg=-Wl,-Map=out.map")
    assert [made(llorch), made(llorch)] == ["done", "up-to-date"]
    assert (rust.root / "out.map").stat().st_size > 0


def test_a_library_that_is_linked_is_built_in(rust: Rust, llorch: Llorch) -> None:
    """Cargo does not look at static libraries: when one has changed, what links it is built again."""

    def compile_side(number: int) -> None:
        rust.write("../side/side.c", f"int side(void) {{ return {number}; }}\n")
        for command in (("cc", "-c", "side.c"), ("ar", "rcs", "libside.a", "side.o")):
            subprocess.run(command, cwd=rust.folder / "side", check=True)

    link = (
        f'println!("cargo:rustc-link-search=native={rust.folder}/side"); println!("cargo:rustc-link-lib=static=side");'
    )
    rust.edit("app/build.rs", "fn main() {", f"fn main() {{ {link}")
    rust.edit(
        "app/src/main.rs",
        "fn main() {",
        'extern "C" { fn side() -> i32; }\nfn main() { print!("side{} ", unsafe { side() });',
    )
    for number in (1, 2):
        compile_side(number)
        assert made(llorch) == "done"
        assert rust.says().startswith(f"side{number} main1")
        assert made(llorch) == "up-to-date"


def test_a_variable_that_only_llorch_watches(rust: Rust, llorch: Llorch) -> None:
    """What `env` in llorch.toml names has all built again where cargo does not know of it, and only then."""
    (rust.folder / "hidden").write_text("h1")
    read = f'let hidden = std::fs::read_to_string("{rust.folder}/hidden").unwrap();'
    rust.edit(
        "app/build.rs",
        "let text = format!(",
        f'{read} println!("cargo:rustc-env=HIDDEN={{}}", hidden); let text = format!(',
    )
    rust.edit("app/src/main.rs", 'println!("main1', 'print!("{} ", env!("HIDDEN")); println!("main1')
    assert made(llorch) == "done"
    (rust.folder / "hidden").write_text("h2")
    done = llorch("build", "worker", "cpu", env={"WORKER_WATCHED": "2"})
    assert (done.code, "cargo does not look at `$WORKER_WATCHED`" in done.err) == (0, True)
    assert rust.says().startswith("h2 ")
    rust.edit(
        "app/build.rs", 'WORKER_BUILD");', 'WORKER_BUILD"); println!("cargo:rerun-if-env-changed=WORKER_WATCHED");'
    )
    assert llorch("build", "worker", "cpu", env={"WORKER_WATCHED": "2"}).code == 0
    done = llorch("build", "worker", "cpu", env={"WORKER_WATCHED": "3"})
    assert (done.code, "does not look" in done.err) == (0, False)


def test_a_file_that_others_own_is_built_in(built: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a changed file's time cannot be set, all is built again."""
    file = built.write("crates/base/src/inner.rs", 'pub const TEXT: &str = "foreign";\n')
    os.utime(file, (3, 3))

    def refuse(path: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refuse)
    assert made(llorch) == "done"
    monkeypatch.undo()
    assert "foreign" in built.says()


# What a build may not break


@pytest.fixture
def endless(rust: Rust) -> Path:
    """A workspace whose build script never ends; the pipe that is open as long as it lives."""
    pipe = rust.folder / "alive"
    os.mkfifo(pipe)
    rust.write("app/build.rs", ENDLESS.replace("PIPE", str(pipe)))
    return pipe


@pytest.mark.parametrize(("door", "code"), [(("llorch", "build", "worker", "cpu"), 130), (("doit", TASK), -2)])
def test_an_interrupt_ends_cargo_and_its_children(rust: Rust, endless: Path, door: tuple[str, ...], code: int) -> None:
    """After Ctrl-C nothing that the build has started is alive, there is no binary, and the next run begins anew."""
    rust.write("dodo.py", "from llorch.dodo import *\n")
    command = [str(BIN / door[0]), *door[1:]]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as run:
        with open(endless, "rb") as alive:
            assert alive.read(5) == b"begun"
            run.send_signal(signal.SIGINT)
            assert alive.read() == b""  # the end of the file: nobody has it open any more
        assert run.stderr is not None
        err = run.stderr.read()
    assert (run.returncode, "Traceback" in err, rust.target.exists()) == (code, False, False)


def test_a_killed_build_is_made_by_the_next(rust: Rust, endless: Path, llorch: Llorch) -> None:
    """Whatever kill -9 leaves of llorch and of cargo, the next run builds the right binary."""
    command = [str(BIN / "llorch"), "build", "worker", "cpu"]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    with run, open(endless, "rb") as alive:
        assert alive.read(5) == b"begun"
        run.kill()
        os.killpg(int(rust.pid.read_text()), signal.SIGKILL)
        assert alive.read() == b""
    rust.write("app/build.rs", FILES["ws/app/build.rs"])
    assert made(llorch) == "done"
    assert rust.says().startswith("main1")
    assert made(llorch) == "up-to-date"


def test_two_builds_at_once_do_the_work_once(rust: Rust) -> None:
    """The second of two runs waits for the first, and then finds nothing to do."""
    command = [str(BIN / "llorch"), "build", "worker", "cpu"]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) for _ in range(2)]
    said = sorted(run.communicate()[1] for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(call.startswith("build ") for call in rust.calls()) == 1
    assert sum("already there" in text and f"{TASK} waits for" in text for text in said) == 1


def test_nothing_to_do_starts_no_program(built: Rust) -> None:
    """Neither door starts any program when there is nothing to do."""
    if shutil.which("strace") is None and not IN_CI:
        pytest.skip("strace is not installed")
    built.write("dodo.py", "from llorch.dodo import *\n")
    for door in (["doit", TASK], ["llorch", "build", "worker", "cpu"]):
        trace = built.folder / "trace"
        command = ["strace", "-f", "-o", str(trace), "-e", "trace=execve,execveat", str(BIN / door[0]), *door[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == f"nothing to do: {TASK} is up to date\n"
        started = [line for line in trace.read_text().splitlines() if "exec" in line and " = 0" in line]
        assert len(started) == 1, started
    assert built.calls() == []


def test_two_checkouts_with_one_target_folder(small: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put in place before the record, or was compiled there before, is not taken for one's own."""
    other, said, alive = (small.folder / name for name in ("other", "said", "alive"))
    shutil.copytree(small.root, other)
    (other / MAIN).write_text('fn main() { println!("main2"); }\n')
    monkeypatch.setenv("CARGO_TARGET_DIR", str(small.folder / "made"))
    small.target = small.folder / "made/release/worker-cpu"
    os.mkfifo(alive)
    with open(os.open(alive, os.O_RDONLY | os.O_NONBLOCK), "rb") as ended:
        build = f"exec setsid {BIN}/llorch -C ../../other build worker cpu </dev/null >/dev/null 2>../../said"
        loop = "while kill -0 $! 2>/dev/null && ! grep -q 'waits for' ../../said; do :; done"
        small.after.write_text(f"rm ../../after.sh\n({build}) 3<>../../alive &\n{loop}\n")
        assert made(llorch) == "done"
        os.set_blocking(ended.fileno(), True)
        assert ended.read() == b""
    assert (f"{TASK} waits for" in said.read_text(), small.says()) == (True, "main2")
    assert (made(llorch), small.says()) == ("done", "main1")
