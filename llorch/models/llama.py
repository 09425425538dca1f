"""Run GGUF files in llama.cpp, in a child process: it aborts on some wrong files, and may hang or be killed on others.

`run` is for the parent; as a program this file is the child. What to load and to generate goes there as one argument,
the answers come back in a file, since both streams carry llama.cpp's log. What an answer is worth is for `check`.
"""

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llorch import shell
from llorch.errors import CommandFailed, TimedOut, ToolMissing
from llorch.text import shown

ANSWERS = "answers.json"
SAID_LIMIT = 400
"""Characters of llama.cpp's log that a failure repeats: a file's own texts get there."""

# How the child ends, besides 0; 1 and 2 are Python's own.
_NO_LLAMA, _NOT_LOADED = 3, 4

# `0.00.004.369 E llama_model_load: error loading model: unknown model architecture: 'x'`, with the room of the server
# that it comes from in front for some; `/src/llama-model.cpp:1356: GGML_ASSERT(...) failed`; `  what():  ...`.
_ERROR = re.compile(r"[\d.]+ E (?:\w+ +)?(?:\w+: )?(?:error loading model: )?(?P<said>.+)")
_ABORT = re.compile(r"(?:\S+\.(?:c|cc|cpp|cu|h|hpp|m):\d+|\s*what\(\)): +(?P<said>.+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of running a file: an answer for each completion, or a sentence on why there is none."""

    answers: tuple[Mapping[str, Any], ...] = ()
    failure: str = ""


def run(
    path: Path,
    settings: Mapping[str, Any],
    completions: Sequence[Mapping[str, Any]],
    *,
    timeout: float | None = None,
) -> Outcome:
    """Load a file, and generate.

    Args:
        path: the GGUF file, of a split one the first part.
        settings: of xllamacpp's `CommonParams`.
        completions: what llama.cpp's server takes at `/v1/completions`, each (tools/server/README.md of llama.cpp).
        timeout: seconds for all of it.

    Raises:
        ToolMissing: xllamacpp is not installed, or cannot be loaded.
    """
    said = ""

    def listen(line: str) -> None:
        nonlocal said
        found = _ABORT.match(line) or (_ERROR.match(line) if not said else None)
        if found is not None:  # an abort is the end; of errors the first is the cause of the others
            said = shown(found["said"])[:SAID_LIMIT]

    request = {"model": str(path.absolute()), "settings": dict(settings), "completions": list(completions)}
    command = [sys.executable, "-P", "-m", "llorch.models.llama", json.dumps(request)]
    with tempfile.TemporaryDirectory(prefix="llorch-llama-") as folder:
        try:
            # Without a debugger that would write every thread's stack to the log.
            shell.run(command, cwd=Path(folder), env={"GGML_NO_BACKTRACE": "1"}, on_line=listen, timeout=timeout)
        except TimedOut as error:
            return Outcome(failure=f"llama.cpp was not done after {error.timeout:g} s, and was ended")
        except CommandFailed as error:
            if error.returncode == _NO_LLAMA:
                hint = "`pip install 'llorch[check]'` installs it, into llorch's own environment"
                raise ToolMissing(f"xllamacpp cannot be loaded: {error.tail}", hint=hint) from None
            return Outcome(failure=_why(error) + (f": {said}" if said else ""))
        return Outcome(tuple(json.loads((Path(folder) / ANSWERS).read_text(encoding="utf-8"))))


def _why(error: CommandFailed) -> str:
    if error.returncode == _NOT_LOADED:
        return "llama.cpp cannot load it"
    if error.returncode > 0:
        raise error  # a mistake of ours
    number = -error.returncode
    memory = ", as the system does when memory runs out" if number == signal.SIGKILL else ""
    return f"llama.cpp was ended by signal {number} ({signal.strsignal(number)}){memory}"


def _serve(request: Mapping[str, Any]) -> int:
    """Be the child: answer a request in the current folder, which is its own. Return the exit code."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would be as big as the model
    try:
        import xllamacpp
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return _NO_LLAMA
    params = xllamacpp.CommonParams()
    params.model.path = request["model"]
    params.verbosity = 1  # errors
    params.warmup = False
    params.cache_ram_mib = 0  # nothing is asked for twice
    # llama.cpp's server listens, whatever one does: here nobody else can reach it.
    params.hostnames = ["llama.sock"]
    # Threads that share a core wait for each other: with all cores, 16 tokens on a busy machine took 16 s, not 0.2 s.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) // 2)
    for name, value in request["settings"].items():
        setattr(params, name, value)
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:  # its log says why
        return _NOT_LOADED
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the server's own handler waits for what is being generated
    answers = [server.handle_completions(completion) for completion in request["completions"]]
    Path(ANSWERS).write_text(json.dumps(answers), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_serve(json.loads(sys.argv[1])))
