"""Running suites of the real cargo, and of other commands."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from llorch import config
from llorch.errors import CommandFailed, NotInWorkspace, ToolMissing
from llorch.progress import Silent
from llorch.test.perform import run_suite
from llorch.test.plan import Suite
from llorch.test.results import Result
from tests.rust import needs_cargo


class Words(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


def perform(
    root: Path, settings: config.Test, *filters: str, backend: str = "", environ: Mapping[str, str] | None = None
) -> tuple[Result, list[str], list[str]]:
    """Run a suite of these settings, and return its result, what it said of its progress, and its lines."""
    manifest = root / settings.manifest if settings.manifest else None
    suite = Suite(name="it", settings=settings, manifest=manifest, declared=True)
    words, lines = Words(), list[str]()
    return run_suite(suite, backend, filters, root, environ or {}, words, lines.append), words.said, lines


CARGO = config.Test(manifest="lib/Cargo.toml", backends=("cpu", "cuda"), features=("{backend}",))


@needs_cargo
def test_cargos_tests_are_counted(tested: Path) -> None:
    """Of the library, its doc-tests and its integration tests; a variable reaches them; binaries are said."""
    (tested / "model").write_text("data")
    environ = {"LLORCH_TEST_MODEL_PATH": str(tested / "model"), "WANTED": "cuda"}
    result, said, lines = perform(tested, CARGO, backend="cuda", environ=environ)
    assert (result.passed, result.failed, result.ignored) == (4, 0, 1)
    binaries = ["running src/lib.rs", "running tests/smoke.rs", "running doc-tests tested"]
    assert [text for text in said if text.startswith("running")] == binaries
    assert "test tests::adds ... ok" in lines


@needs_cargo
def test_what_fails_says_why(tested: Path) -> None:
    """A failing test's output is its message, and the other binaries run all the same."""
    result, _, _ = perform(tested, CARGO, backend="cpu", environ={"WANTED": "cuda"})
    assert (result.passed, result.failed) == (2, 2)
    of_backend, of_model = result.failures
    assert of_backend.test == "tests::is_of_the_backend"
    assert of_backend.message.startswith("said by the test\n")
    assert "panicked at" in of_backend.message
    assert '"cuda"' in of_backend.message
    assert (of_model.test, "no model" in of_model.message) == ("has_a_model", True)


@needs_cargo
def test_filters_choose(tested: Path) -> None:
    """What is after the `--` is the test program's."""
    result, _, _ = perform(tested, CARGO, "adds", backend="cpu")
    assert (result.passed, result.failed, result.ignored) == (1, 0, 0)


@needs_cargo
def test_what_cannot_be_compiled_is_cargos_error(tested: Path) -> None:
    """It is no failing test: the compiler's message comes with cargo's code."""
    (tested / "lib/src/lib.rs").write_text("fn broken( {}")
    with pytest.raises(CommandFailed, match="error: ") as caught:
        perform(tested, CARGO, backend="cpu")
    assert caught.value.exit_code == 5


@needs_cargo
def test_a_binary_that_aborts_is_a_failure(tested: Path) -> None:
    """It is named, with its last words, and the others run all the same."""
    (tested / "lib/tests/smoke.rs").write_text('#[test] fn ends() { eprintln!("so"); std::process::abort() }')
    result, _, _ = perform(tested, CARGO, backend="cpu")
    assert (result.passed, result.failed) == (3, 1)
    assert result.failures[0].test == "tests/smoke.rs (ended before its tests did)"
    assert "SIGABRT" in result.failures[0].message


def test_what_is_missing_is_said_before(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifest, then cargo, then the backend's tools."""
    with pytest.raises(NotInWorkspace, match=r"`test:it` needs `lib/Cargo.toml`"):
        perform(workspace, CARGO)
    (workspace / "lib").mkdir()
    (workspace / "lib/Cargo.toml").touch()
    monkeypatch.setenv("PATH", str(workspace))
    with pytest.raises(ToolMissing, match="`cargo` is not installed"):
        perform(workspace, CARGO)


@pytest.mark.parametrize(("code", "passed", "failed"), [(0, 1, 0), (3, 0, 1)])
def test_any_command_is_a_suite(workspace: Path, code: int, passed: int, failed: int) -> None:
    """Its exit code decides, and its last lines are the message."""
    settings = config.Test(command=("sh", "-c", 'echo "$WORD $PWD $1"; exit $0'))
    result, _, lines = perform(workspace, settings, str(code), "more", environ={"WORD": "word"})
    assert lines == [f"word {workspace} more"]
    assert (result.passed, result.failed, result.cases[0][:2]) == (passed, failed, ("sh", "it"))
    messages = [failure.message for failure in result.failures]
    assert messages == [f"`sh` exited with 3:\nword {workspace} more"] * failed


def test_a_command_that_is_not_there(workspace: Path) -> None:
    """It is missing, which is no failing test."""
    with pytest.raises(ToolMissing, match="`no-such` is not installed"):
        perform(workspace, config.Test(command=("no-such",)))
