"""llama.cpp's converter and llama-quantize: needed by entries that have still to be made, there or not."""

from pathlib import Path

import pytest

from llorch.dev.tools import check_converter, check_quantize, needs_converter, needs_quantize
from llorch.models import tools as programs_of_models
from llorch.models.tools import CONVERT, LLAMA_QUANTIZE
from tests.dev.conftest import MAC, Programs, look, needs_of

CATALOG = """
[models.a]
source = "file:a"
files = [{ path = "f" }]
convert = { to = "a.gguf", outtype = "f16", engine = "llama.cpp" }
quantize = { to = "b.gguf", type = "Q8_0" }
[models.b]
source = "file:b"
files = [{ path = "f" }]
convert = { to = "a.gguf" }
"""


@pytest.fixture
def catalog(workspace: Path, programs: Programs) -> Path:
    """A workspace with a model that needs both, and one that needs neither."""
    (workspace / "catalog.toml").write_text(CATALOG)
    return workspace


def test_who_needs_them(catalog: Path) -> None:
    """Entries that name them and are not made yet."""
    assert needs_converter(needs_of(catalog)) == "convert:a"
    assert needs_quantize(needs_of(catalog)) == "quantize:a"
    for name in ("a.gguf", "b.gguf"):
        place = catalog / ".test-models/a" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    assert (needs_converter(needs_of(catalog)), needs_quantize(needs_of(catalog))) == ("", "")


def test_they_are_installed_when_they_are_needed(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a missing one is a warning, with a command, which is not run where nothing may be fetched."""
    monkeypatch.setattr(programs_of_models, "runs_llama_quantize", lambda: True)
    for check, name in ((check_converter, CONVERT.name), (check_quantize, LLAMA_QUANTIZE.name)):
        (finding,) = look(check, catalog)
        assert (finding.id, finding.severity, finding.safe) == (name, "warn", True)
        assert finding.fix[0].endswith(f"llorch doit tool:{name}")
        monkeypatch.setenv("LLORCH_OFFLINE", "1")
        (finding,) = look(check, catalog)
        assert (finding.severity, finding.safe) == ("warn", False)
        monkeypatch.delenv("LLORCH_OFFLINE")


def test_they_are_there(catalog: Path) -> None:
    """In their versions; the converter's script may be the workspace's own."""
    for check, tool in ((check_converter, CONVERT), (check_quantize, LLAMA_QUANTIZE)):
        tool.path.parent.mkdir(parents=True)
        tool.path.touch()
        (finding,) = look(check, catalog)
        assert (finding.severity, finding.found) == ("ok", tool.version)
    script = catalog / "reference/llama.cpp/convert_hf_to_gguf.py"
    script.parent.mkdir(parents=True)
    script.touch()
    (finding,) = look(check_converter, catalog)
    assert finding.found == f"reference/llama.cpp/convert_hf_to_gguf.py, by the packages of {CONVERT.version}"


def test_a_llama_quantize_of_ones_own(catalog: Path, programs: Programs) -> None:
    """The one in PATH counts before the ready-made one."""
    path = programs.write("llama-quantize", "exit 0")
    (finding,) = look(check_quantize, catalog)
    assert (finding.severity, finding.found) == ("ok", str(path))


def test_a_machine_without_a_ready_made_one(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is built of llama.cpp, cloned first if it is not there; a Mac has it by Homebrew."""
    monkeypatch.setattr(programs_of_models, "runs_llama_quantize", lambda: False)
    (finding,) = look(check_quantize, catalog)
    assert (finding.severity, finding.safe) == ("error", False)
    assert [command.split()[0] for command in finding.fix] == ["git", "cmake", "cmake"]
    (catalog / "reference/llama.cpp").mkdir(parents=True)
    (finding,) = look(check_quantize, catalog)
    assert [command.split()[0] for command in finding.fix] == ["cmake", "cmake"]
    (finding,) = look(check_quantize, catalog, system=MAC)
    assert finding.fix == ("brew install llama.cpp",)
