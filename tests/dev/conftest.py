"""What the tests of completion share: a workspace with every kind of name."""

from pathlib import Path

import pytest

CATALOG = """
version = 1
[models.tinyllama]
name = "TinyLlama"
source = "file:sources"
files = [{ path = "a" }]
[models.made]
source = "file:sources"
files = [{ path = "b" }]
convert = { to = "b.gguf", outtype = "f16" }
quantize = { to = "c.gguf", type = "Q4_K_M" }
"""
SETTINGS = """
version = 1
[build.tool]
manifest = "tool/Cargo.toml"
bin = "tool-{backend}"
backends = ["cpu", "vulkan"]
[build.plain]
manifest = "plain/Cargo.toml"
[test.lint]
command = ["true", "{backend}"]
backends = ["slow", "fast"]
[test.other]
command = ["true"]
"""
HOSTS = """
version = 1
[hosts.mac]
[hosts.workstation]
host = "10.0.0.5"
tags = ["gpu"]
backends = ["cuda"]
"""
MODULES = """
[submodule "a"]
\tpath = libs/my \\"odd\\" lib
[submodule "b"]
\tpath = libs/it's $HOME
[submodule "c"]
\tpath = libs/größe!
[submodule "d"]
\tpath = "control\\tcharacter"
"""


@pytest.fixture
def rich(workspace: Path) -> Path:
    """A workspace with models, builds, test suites, hosts, submodules and a task of its own, as the current folder."""
    (workspace / "catalog.toml").write_text(CATALOG)
    (workspace / "llorch.toml").write_text(SETTINGS)
    (workspace / "hosts.toml").write_text(HOSTS)
    (workspace / ".gitmodules").write_text(MODULES)
    (workspace / ".git").mkdir()
    own = "def task_digest():\n    return {'actions': ['true']}\n"
    (workspace / "dodo.py").write_text(f"from llorch.dodo import *\n{own}")
    for name in ("tool", "plain"):
        (workspace / name).mkdir()
        (workspace / name / "Cargo.toml").touch()
    return workspace
