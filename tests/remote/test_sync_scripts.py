"""The scripts of `sync`; `test_sync_cli` runs them."""

import shutil
import subprocess
from pathlib import Path

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
        assert (name, done.stderr) == (name, "")  # zsh has 1 for a last command with `!`


def test_what_comes_at_the_last_moment_is_not_mixed(tmp_path: Path) -> None:
    """A repository that is put into its place between the look and `mv` is as it was, and ours is back beside it."""
    place, made = tmp_path / "ü", tmp_path / "ü.aB3"
    (made / made.name / ".git").mkdir(parents=True)
    late = f'rmdir() {{ command rmdir "$@"; mkdir -p "{place}/.git"; }}\n'
    place.mkdir()
    done = subprocess.run(["sh", "-c", late + sync_scripts.PLACE, "sh", "mark", place, made], capture_output=True)
    assert (done.returncode, b"busy\0yes\0" in done.stdout) == (0, True), done.stderr
    assert [each.name for each in place.iterdir()] == [".git"]
    assert (made / made.name / ".git").is_dir()
