"""Run one suite and return what it has shown."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from llorch import cargo, shell
from llorch.errors import CommandFailed
from llorch.progress import Progress
from llorch.test.plan import Suite
from llorch.test.results import Case, Failure, Reader, Result
from llorch.toolchain import require_backend, require_folder, require_toolchain

MODEL = "LLORCH_TEST_MODEL_PATH"


def run_suite(
    suite: Suite,
    backend: str,
    filters: Sequence[str],
    root: Path,
    environ: Mapping[str, str],
    progress: Progress,
    on_line: Callable[[str], None],
) -> Result:
    """Run a suite in the workspace at `root`, with these variables besides our own.

    Raises:
        NotInWorkspace: its manifest is not there.
        ToolMissing: what it is run with is missing.
        CommandFailed: it could not be built.
    """
    if suite.manifest is None:
        return _run_command(suite, suite.command(backend, filters), root, environ, on_line)
    manifest = os.path.relpath(suite.manifest, root)
    folder = require_folder(suite.manifest, manifest, suite.task)
    require_toolchain(folder)
    require_backend(backend, folder)
    reader = Reader()

    def take(line: str) -> None:
        before = reader.binary
        reader(line)
        if reader.binary != before:
            progress.say(f"running {reader.binary}")
        on_line(line)

    started = time.monotonic()
    output = cargo.Output(progress, on_text=take)
    failure: CommandFailed | None = None
    try:
        cargo.run(suite.command(backend, filters), folder, environ, output)
    except CommandFailed as error:
        failure = error
    result = reader.finish(suite.name, time.monotonic() - started)
    if failure is not None and not result.failed:
        raise failure
    return result


def _run_command(
    suite: Suite, command: Sequence[str], root: Path, environ: Mapping[str, str], on_line: Callable[[str], None]
) -> Result:
    """Run any command as a suite of one test."""
    started = time.monotonic()
    failures: tuple[Failure, ...] = ()
    try:
        shell.run(command, cwd=root, env=environ, on_line=on_line)
    except CommandFailed as error:
        failures = (Failure(suite.name, error.message),)
    return Result(
        name=suite.name,
        passed=0 if failures else 1,
        failed=len(failures),
        ignored=0,
        seconds=time.monotonic() - started,
        failures=failures,
        cases=(Case(command[0], suite.name, "failed" if failures else "passed"),),
    )
