"""Guards of the structure: who imports whom, what start-up loads, and that every module has its tests."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "llorch").rglob("*.py"))

# Layers, lowest first. A module may import those below it and its own room, never what is above.
LAYERS = {
    "errors": 0,
    "program": 0,
    "signals": 0,
    "parallel": 0,
    "progress": 0,
    "record": 0,
    "secrets": 0,
    "switches": 0,
    "table": 0,
    "text": 0,
    "typed": 0,
    "toml": 1,
    "config": 1,
    "beside": 1,
    "board": 1,
    "database": 1,
    "shell": 1,
    "state": 1,
    "ui": 1,
    "workspace": 1,
    "rewrite": 1,
    "graph": 2,
    "session": 3,
    "reporter": 3,
    "engine": 3,
    "locks": 3,
    "make": 3,
    "overview": 3,
    "tasks": 3,
    "tool_tasks": 3,
    "watch": 3,
    "dodo": 3,
    "commands": 4,
    "cli": 4,
    "quick": 4,
    "show": 4,
    "__main__": 4,
}
RULES = 2  # any other file of a room

# One line each, with its reason.
ALLOWED = {
    ("beside", "shell"),  # a program that is missing is told in one way
    ("beside", "ui"),  # as shell
    ("board", "ui"),  # one draws, the other knows where and whether
    ("config", "workspace"),  # the files are in the one that was found
    ("database", "workspace"),  # it is in the folder that the workspace has for such
    ("state", "database"),  # one knows SQLite, the other what is kept in it
    ("shell", "ui"),  # the run's log is told of what both do
    ("toml", "workspace"),  # what is no file is read by nobody
    ("config", "toml"),  # two doors to the same files: one knows TOML, the other what is written in it
}
DOORS_ONLY = {
    "rich": {"ui", "board"},
    "subprocess": {"shell", "beside"},
    "doit": {"engine", "overview", "reporter"},
    "sqlite3": {"database"},
}

# What `llorch --help` may load besides what click itself loads and what every interpreter has.
OF_OURS = ("__main__", "cli", "errors", "record", "switches", "table", "text", "ui")
START_UP = {"llorch", *(f"llorch.{name}" for name in OF_OURS)}


def imports(path: Path, *, inside_functions: bool) -> set[str]:
    """Return the modules that a file imports at its top, or also inside functions."""
    tree = ast.parse((ROOT / path).read_text())
    found: set[str] = set()
    nodes: list[ast.AST] = list(ast.walk(tree)) if inside_functions else list(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> int:
    """Return the layer of a module such as `llorch.models.fetch`."""
    name = module.rsplit(".", 1)[-1]
    return LAYERS["cli"] if name.endswith("_cli") else LAYERS.get(name, RULES)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_down(path: Path) -> None:
    """A module imports nothing from a layer above, nothing from another room, and doors only below them."""
    if path.name in ("__init__.py", "dodo.py"):
        pytest.skip("no code of its own")
    module = ".".join(path.with_suffix("").parts)
    room = path.parts[1] if len(path.parts) > 2 else ""
    for name in imports(path, inside_functions=False):
        parts = name.split(".")
        if parts[0] != "llorch" or not (ROOT / Path(*parts)).with_suffix(".py").is_file():
            continue
        own, other = module.rsplit(".", 1)[-1], parts[-1]
        other_room = parts[1] if len(parts) > 2 else ""
        assert layer(name) <= layer(module), f"{module} imports {name} from above"
        assert not other_room or other_room == room, f"{module} imports {name} from another room"
        if layer(module) == 1 and layer(name) == 1:
            assert (own, other) in ALLOWED, f"the door {module} imports the door {name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_doors_are_the_only_ones(path: Path) -> None:
    """What has a door is imported by it alone, even inside functions."""
    for name in imports(path, inside_functions=True):
        owners = DOORS_ONLY.get(name.split(".")[0])
        assert owners is None or path.stem in owners, f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_files_and_functions_are_short(path: Path) -> None:
    """A file has at most 400 lines, and a function at most 50."""
    text = (ROOT / path).read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 50, node.name


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_have_tests(path: Path) -> None:
    """Each module has a test file at the same place of the tests' tree."""
    if path.name == "__init__.py":
        pytest.skip("a version or a docstring")
    inner = path.relative_to("llorch")
    name = "test_" + inner.name.strip("_")
    assert (ROOT / "tests" / inner.parent / name.replace("__.py", ".py")).is_file()


def loaded(code: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after running some code."""
    script = f"{code}\nimport sys\nsys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_loads_little() -> None:
    """`llorch --help` loads click, the command table and nothing else of ours or of anybody."""
    run = "import sys\nsys.argv = ['llorch', '--help']\nimport llorch.__main__\n"
    run += "try:\n    llorch.__main__.main()\nexcept SystemExit:\n    pass"
    extra = loaded(run) - loaded("import click") - {"__main__"}
    foreign = {name for name in extra if name.split(".")[0] not in {*sys.stdlib_module_names, "click"}}
    assert foreign == START_UP
    heavy = {"asyncio", "dataclasses", "json", "pathlib", "sqlite3", "subprocess", "urllib"}
    assert not extra & heavy


# What completing a model's name may load: the rules that the names go by, and none of the command line.
COMPLETION = {
    *("llorch", "llorch.__main__", "llorch.dev", "llorch.models"),
    *(f"llorch.dev.{name}" for name in ("complete", "names", "shells", "spec")),
    *(f"llorch.{name}" for name in ("config", "errors", "record", "text", "toml", "typed", "workspace")),
    *(f"llorch.models.{name}" for name in ("catalog", "ggml", "places")),
}


def test_completion_loads_little(workspace: Path) -> None:
    """A press of the Tab key loads neither click nor doit, nor what runs programs or keeps records."""
    (workspace / "llorch.toml").touch()
    run = "import os, sys\nsys.argv = ['llorch', 'dev', 'completion', 'bash', '--', 'llorch models info ti', 'ti']\n"
    run += "os._exit = sys.exit\nimport llorch.__main__\n"
    run += "try:\n    llorch.__main__.main()\nexcept SystemExit:\n    pass"
    foreign = {
        name for name in loaded(run) - loaded("import tomli") if name.split(".")[0] not in sys.stdlib_module_names
    }
    assert foreign == COMPLETION
    heavy = {"asyncio", "json", "logging", "shlex", "sqlite3", "subprocess"}
    assert not (loaded(run) - loaded("import tomli")) & heavy


def test_no_folder_of_tests_is_left_out() -> None:
    """Pytest's own default leaves out folders called `build`; ours must not."""
    import tomli

    options = tomli.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "build" not in options["norecursedirs"]
