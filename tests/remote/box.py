"""A host for commands: a real sshd, declared as `box` in a workspace's hosts.toml."""

import json
import sys
import venv
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.remote.sshd import Sshd

BEHIND_A_BANNER = 'ForceCommand printf "Welcome\\n\\n"; exec {shell} -c "$SSH_ORIGINAL_COMMAND"'
"""An option for sshd: a login shell that says something first."""
_numbers = count()


def declare(workspace: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Path:
    """Declare `box`, whose repository is in the server's home unless said, and return where that is."""
    config = workspace.parent / "ssh config"
    config.write_text(f'UserKnownHostsFile "{sshd.known_hosts}"\nGlobalKnownHostsFile /dev/null\nIdentityAgent none\n')
    monkeypatch.setenv("LLORCH_SSH_CONFIG", str(config))
    name = f"Projekte/{next(_numbers)} ü"
    entry = {
        "host": sshd.address,
        "port": sshd.port,
        "identity_file": str(sshd.client_key),
        "repo_path": f"~/{name}",
        **more,
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    (workspace / "hosts.toml").write_text("version = 1\n[hosts.box]\n" + "\n".join(lines) + "\n")
    (workspace / "llorch.toml").write_text("version = 1\n")
    return sshd.home / name


def environment(place: Path) -> Path:
    """Make a `.venv` that has all packages of the tests' own, but for llorch."""
    venv.create(place / ".venv", symlinks=True)
    site = next(place.glob(".venv/lib/*/site-packages"))
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages")
    for each in ours.iterdir():
        if not each.name.startswith("llorch"):
            (site / each.name).symlink_to(each)
    return place / ".venv/bin/llorch"
