"""`llorch build …`, in this process."""

import subprocess
from pathlib import Path

import pytest

from tests.build.conftest import Llorch
from tests.conftest import sha256
from tests.rust import Rust, needs_cargo


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("woker",), "there is no build `woker`; did you mean `worker`?"),
        (("worker", "cdua"), "there is no backend `cdua`; did you mean `cuda`?"),
        (("orchestrator", "cpu"), "there is no backend `cpu`"),
        (("clean", "woker"), "there is no build `woker`; did you mean `worker`?"),
        (
            ("clean", "orchestrator"),
            "`build:orchestrator` needs `bin/orchestratord/Cargo.toml`,",
        ),
    ],
)
def test_unknown_names(workspace: Path, llorch: Llorch, arguments: tuple[str, ...], said: str) -> None:
    """A wrong name is told with the nearest that there is, with exit code 3."""
    Path("Cargo.toml").write_text("[workspace]\n")
    done = llorch("build", *arguments)
    assert (done.code, said in done.err) == (3, True), done.err


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cuda", "`llorch build worker cuda`"),
        ("worker-cuda", "`llorch build worker cuda`"),
        ("llorch-cuda-candled", "`llorch build worker cuda`"),
        ("llorch-candled", "`llorch build worker`"),
        ("orchestratord", "`llorch build orchestrator`"),
        ("all", "`llorch build list` shows them"),
    ],
)
def test_other_names_of_a_build(workspace: Path, llorch: Llorch, name: str, hint: str) -> None:
    """A backend, a task, a binary or a package has the line that builds it for its hint."""
    Path("Cargo.toml").write_text("[workspace]\n")
    done = llorch("build", name)
    assert (done.code, done.err.splitlines()[-1]) == (3, f"hint: {hint}")


def test_build_alone_shows_its_help(workspace: Path, llorch: Llorch) -> None:
    """The help says how a binary is named, and an option that is none is refused."""
    assert "llorch build NAME [BACKEND]" in " ".join(llorch("build", "--help").out.split())
    assert "Usage: llorch build worker [OPTIONS] [BACKEND]" in llorch("build", "worker", "--help").out
    assert llorch("build", "--no-such").code == 2


def test_nothing_is_there(workspace: Path, llorch: Llorch) -> None:
    """The defaults are listed as not in the workspace, or nothing is, and there is nothing to clean."""
    none = llorch("build", "list")
    assert (none.out, none.err.splitlines()[-1][:27]) == ("", "no builds here: there is no")
    Path("Cargo.toml").write_text("[workspace]\n")
    rows = [line.split("\t") for line in llorch("build", "list").out.splitlines()]
    assert {row[1] for row in rows} == {"not-in-workspace"}
    assert llorch("build", "clean").err.endswith("nothing is built here yet\n")


@needs_cargo
def test_list_and_clean(rust: Rust, llorch: Llorch) -> None:
    """A binary's state goes from not-built to up-to-date to out-of-date; cleaning asks, and removes it."""

    def row() -> dict[str, object]:
        rows = llorch("build", "list", "--json").json["builds"]
        return next(dict(each) for each in rows if each["task"] == "build:worker-cpu")

    assert (row()["state"], row()["size"], row()["built_at"]) == ("not-built", None, None)
    assert llorch("build", "worker", "cpu").code == 0
    data = rust.target.read_bytes()
    assert (row()["state"], row()["size"], row()["sha256"]) == ("up-to-date", len(data), sha256(data))
    assert str(row()["built_at"]).endswith("+00:00")
    assert "build:worker-cpu\tup-to-date\t" in llorch("build", "list").out
    rust.edit("app/src/main.rs", "main1", "main2")
    assert row()["state"] == "out-of-date"
    # Asking for the whole folder, or the package
    refused = llorch("build", "clean")
    assert (refused.code, "this removes what cargo has built: target" in refused.err) == (8, True)
    assert llorch("build", "clean", "--dry-run").out == "would remove target\n"
    assert rust.target.exists()
    assert llorch("build", "clean", "worker", "cpu", "--yes").out == "removed worker in target\n"
    assert not rust.target.exists()
    assert list((rust.root / "target/release/deps").glob("libbase-*"))
    document = llorch("build", "clean", "--yes", "--json").json
    assert document == {"schema": 1, "dry_run": False, "cleaned": [{"folder": "target", "package": None}]}
    assert not (rust.root / "target").exists()


@needs_cargo
def test_two_backends_side_by_side(rust: Rust, llorch: Llorch) -> None:
    """Each backend has its binary, and neither makes the other out of date; `--no-wait` changes nothing here."""
    for backend in ("cpu", "metal"):
        rust.edit("llorch.toml", '"metal"', '"other"') if backend == "metal" else None
    rust.edit("app/Cargo.toml", "metal", "other")
    assert llorch("build", "worker", "cpu", "--no-wait").code == 0
    assert llorch("build", "worker", "other").code == 0
    assert llorch("build", "worker", "cpu").err == "nothing to do: build:worker-cpu is up to date\n"
    assert llorch("build", "worker", "other").err == "nothing to do: build:worker-other is up to date\n"
    said = subprocess.run([rust.target.with_name("worker-other")], capture_output=True, check=True).stdout
    assert said.startswith(b"main1")


@needs_cargo
def test_a_wrong_package(rust: Rust, llorch: Llorch) -> None:
    """A package that cargo does not know is a mistake in llorch.toml, as is none where a workspace has many."""
    rust.edit("llorch.toml", 'package = "worker"', 'package = "wroker"')
    done = llorch("build", "worker", "cpu")
    assert done.code == 3
    assert "build.worker.package: there is no package `wroker` (did you mean `worker`?)" in done.err
    rust.edit("llorch.toml", 'package = "wroker"', "")
    rust.edit("llorch.toml", "app/Cargo.toml", "Cargo.toml")
    done = llorch("build", "worker", "cpu")
    assert done.code == 3
    assert "build.worker.package: must say which package of the workspace (there are " in done.err
