"""The scripts of `sync`; `test_sync_cli` runs them."""

import shutil
import subprocess

import pytest

from llorch.remote import sync_scripts

SCRIPTS = {name: text for name, text in vars(sync_scripts).items() if name.isupper() and not name.startswith("_")}


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "busybox"])
def test_any_sh_reads_them(shell: str) -> None:
    """What is called sh on a host may be any of these."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    command = [program, *(["sh"] if shell == "busybox" else []), "-n", "-c"]
    for name, text in SCRIPTS.items():
        done = subprocess.run([*command, text], capture_output=True, text=True, check=False)
        assert (name, done.returncode, done.stderr) == (name, 0, "")
