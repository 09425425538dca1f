"""What cargo says, read: messages, the bar, warnings and errors; and what sccache has counted."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch import cargo
from llorch.cargo import Output, cache_counts, load_metadata
from llorch.errors import CommandFailed, ToolMissing
from llorch.progress import Silent
from tests.rust import SYSROOT, needs_cargo


class Words(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


@pytest.fixture
def program(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Write a program that says something and ends so."""
    monkeypatch.setenv("PATH", f"{workspace}/bin:/usr/bin:/bin")

    def write(name: str, body: str) -> None:
        path = workspace / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    return write


SAID = r"""
   Compiling a v0.1.0 (/w)
    Building [         ] 0/3: a(build.rs)
{"reason":"compiler-artifact","package_id":"a","fresh":false}
{"reason":"build-script-executed","package_id":"a"}
    Building [======>  ] 2/3: a, b...
warning: unused variable: `y`
warning: `a` (lib) generated 3 warnings (1 duplicate)
    Blocking waiting for file lock on build directory
warning: `b` (bin "b") generated 1 warning
    Building [=======> ] 3/3
{"reason":"build-finished","success":true}
    Finished `release` profile
"""


def test_what_cargo_says_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are kept by kind, warnings counted, and the bar said: crates done, of all, and which."""
    monkeypatch.setattr(cargo, "SAY_EVERY", 0)
    words = Words()
    begun: list[int] = []
    output = Output(words, on_begin=lambda: begun.append(len(output.artifacts)))
    for line in SAID.splitlines():
        output(line)
    assert (len(output.artifacts), len(output.scripts), output.warnings, begun) == (1, 1, 4, [0])
    assert words.said == [
        "0 of 3 crates: a(build.rs)",
        "2 of 3 crates: a, b...",
        "waiting for another cargo, which has the target folder",
        "3 of 3 crates, 4 warnings",
    ]


def test_the_bar_is_not_said_too_often() -> None:
    """Of many steps within a moment the first is said."""
    words = Words()
    output = Output(words)
    for done in range(50):
        output(f"    Building [=>  ] {done}/50: a")
    assert words.said == ["0 of 50 crates: a"]


@pytest.mark.parametrize(
    ("said", "errors"),
    [
        ("   Compiling a v0.1.0\nwarning: w\n\nerror[E1]: x\n --> a.rs\n\nerror: could not compile `a`", None),
        ("something else", "something else"),
        ("", ""),
    ],
)
def test_errors_begin_with_the_first(said: str, errors: str | None) -> None:
    """What comes before is left out; without an error, the last lines are all there is."""
    output = Output(Silent())
    for line in said.splitlines():
        output(line)
    assert output.errors() == ("error[E1]: x\n --> a.rs\n\nerror: could not compile `a`" if errors is None else errors)


def test_errors_without_end_are_cut() -> None:
    """Of very many lines the first are shown, and how many more there are."""
    output = Output(Silent())
    for number in range(500):
        output(f"error: {number}")
    lines = output.errors().splitlines()
    assert (len(lines), lines[0], lines[-1]) == (201, "error: 0", "… and 300 lines more")


def test_cargo_fails_with_its_errors(workspace: Path, program: Callable[[str, str], None]) -> None:
    """The exit code and the rendered errors are in ours; a missing cargo is another."""
    with pytest.raises(ToolMissing):
        cargo.run(["build"], workspace, {"PATH": str(workspace)}, Output(Silent()))
    program("cargo", 'echo "$WORD $CARGO_TERM_PROGRESS_WHEN"; echo "error: no" >&2; exit 101')
    output = Output(Silent())
    with pytest.raises(CommandFailed) as caught:
        cargo.run(["build"], workspace, {"WORD": "word"}, output, hint="so")
    assert (caught.value.message, caught.value.hint) == ("`cargo` exited with 101:\nerror: no", "so")
    assert list(output.text) == ["word always", "error: no"]


@needs_cargo
@pytest.mark.parametrize("folder", [".", "app"])
@pytest.mark.parametrize(
    ("there", "hint"),
    [
        ("", "`ref erence` is empty; a submodule is cloned by `llorch git submodules update --pinned 'ref erence'`"),
        ("README", None),
    ],
)
def test_a_crate_in_a_submodule_that_is_not_there(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, folder: str, there: str, hint: str | None
) -> None:
    """The hint has what clones it, wherever llorch.toml is; of a folder that has other files nobody knows."""
    monkeypatch.setenv("PATH", f"{SYSROOT}/bin:{os.environ['PATH']}")
    depends = '[dependencies]\nlib = { path = "../ref erence/crates/lib" }\n'
    (workspace / "app/src").mkdir(parents=True)
    (workspace / "app/src/main.rs").write_text("fn main() {}\n")
    (workspace / "app/Cargo.toml").write_text(
        f'[package]\nname = "app"\nversion = "0.1.0"\nedition = "2021"\n{depends}'
    )
    (workspace / "ref erence").mkdir()
    (workspace / ".git").mkdir(exist_ok=True)
    monkeypatch.chdir(workspace / folder)
    if there:
        (workspace / "ref erence" / there).touch()
    with pytest.raises(CommandFailed) as caught:
        cargo.run(["build"], workspace / "app", {}, Output(Silent()))
    assert caught.value.hint == hint


def test_metadata_is_among_what_is_said(workspace: Path, program: Callable[[str, str], None]) -> None:
    """Warnings around it are passed over."""
    program("cargo", "echo warning: old; echo '{\"packages\": []}'")
    assert load_metadata(workspace) == {"packages": []}


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ('{"stats": {"cache_hits": {"counts": {"Rust": 5, "C": 1}}, "cache_misses": {"counts": {}}}}', (6, 0)),
        ('{"stats": {}}', None),
        ("not JSON", None),
    ],
)
def test_sccache_counts(
    workspace: Path, program: Callable[[str, str], None], said: str, counts: tuple[int, int] | None
) -> None:
    """Hits and misses of all languages are added up; other wrappers are not asked."""
    assert cache_counts("ccache", workspace) is None
    assert cache_counts("/nowhere/sccache", workspace) is None
    program("sccache", f"cat <<'E'\n{said}\nE")
    assert cache_counts("sccache", workspace) == counts
