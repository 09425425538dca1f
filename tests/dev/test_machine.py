"""What llorch itself stands on: its packages, its state's folder, the locale."""

import locale
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llorch.dev import extras
from llorch.dev.finding import Finding
from llorch.dev.machine import check_extras, check_locale, check_python, check_state, needs_extras
from tests.conftest import as_mortal
from tests.dev.conftest import MAC, Programs, examined, look, needs_of


def write_metadata(folder: Path, *requirements: str) -> None:
    """Write what pip would have written of a llorch with these requirements."""
    info = folder / "llorch-9.dist-info"
    info.mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.1",
        "Name: llorch",
        "Version: 9",
        *(f"Requires-Dist: {each}" for each in requirements),
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def test_python_and_all_packages_are_there(workspace: Path) -> None:
    """Its version and where it is."""
    (finding,) = look(check_python, workspace)
    assert (finding.severity, finding.fix) == ("ok", ())
    assert finding.found == f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"


def test_a_package_that_is_missing(
    workspace: Path, tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named with the version that llorch wants, and comes by uv or else by pip; extras are nobody's loss."""
    write_metadata(tmp_path / "site", "click>=8", "no-such-package<3,>=2", 'no-such-extra; extra == "dev"')
    monkeypatch.syspath_prepend(tmp_path / "site")
    (finding,) = look(check_python, workspace)
    assert (finding.severity, finding.safe) == ("error", True)
    assert finding.text == "llorch's environment lacks no-such-package<3,>=2"
    assert finding.fix == (f"{sys.executable} -m pip install 'no-such-package<3,>=2'",)
    programs.write("uv", "exit 0")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    (finding,) = look(check_python, workspace)
    assert finding.safe is False
    assert finding.fix == (f"uv pip install --python {sys.executable} 'no-such-package<3,>=2'",)


def test_the_program_tells_what_its_environment_lacks(workspace: Path, tmp_path: Path) -> None:
    """Also of a package that this command does not need."""
    write_metadata(tmp_path / "site", "no-such-package")
    code, findings = examined(env={"PYTHONPATH": str(tmp_path / "site")})
    assert (code, findings["python"].text) == (1, "llorch's environment lacks no-such-package")


def test_packages_that_this_workspace_needs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a store in a bucket are there, or are installed by a fix; nobody else is asked for them."""
    assert needs_extras(needs_of(workspace)) == ""
    assert "extras" not in examined()[1]
    (workspace / "llorch.toml").write_text('[cache]\nurl = "s3://bucket"\n')
    need = needs_extras(needs_of(workspace))
    (finding,) = look(check_extras, workspace, need)
    assert (finding.severity, finding.found, finding.needed_for) == ("ok", "llorch[cache]", "[cache] url")
    monkeypatch.setitem(extras.MODULES, "cache", "no_such_module")
    (finding,) = look(check_extras, workspace, need)
    assert (finding.severity, finding.safe) == ("error", True)
    assert finding.text == "llorch's environment lacks llorch[cache]"
    assert shlex.split(finding.fix[0])[-2:] == ["install", "llorch[cache]"]


def test_a_place_for_the_state(workspace: Path) -> None:
    """It is to be made, or is there; looking at it makes nothing."""
    (finding,) = look(check_state, workspace)
    assert (finding.severity, finding.found) == ("ok", ".llorch, to be made")
    assert list(workspace.iterdir()) == []
    (workspace / ".llorch").mkdir()
    (finding,) = look(check_state, workspace)
    assert (finding.severity, finding.found) == ("ok", ".llorch")


def test_a_state_that_cannot_be_written(workspace: Path) -> None:
    """A closed folder and a closed file in it are opened by a fix that may be run."""
    folder = workspace / ".llorch"
    folder.mkdir()
    (folder / "state.db").touch(0o400)
    (finding,) = as_mortal(lambda: look(check_state, workspace))
    assert (finding.severity, finding.safe) == ("error", True)
    assert finding.text == f"`{folder}` cannot be written in: state.db in it may not be written"
    (fix,) = finding.fix
    assert fix == f"chmod -R u+rwX '{folder}'"
    subprocess.run(shlex.split(fix), check=True)
    (finding,) = as_mortal(lambda: look(check_state, workspace))
    assert finding.severity == "ok"
    folder.chmod(0o500)
    (finding,) = as_mortal(lambda: look(check_state, workspace))
    folder.chmod(0o700)
    assert finding.text == f"`{folder}` cannot be written in: Permission denied"


def test_a_state_of_another_user(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has to be given to this one, by who may do that; `--fix` does not."""
    folder = workspace / ".llorch"
    folder.mkdir(0o500)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (folder / "state.db").touch()
    (finding,) = look(check_state, workspace)
    assert (finding.severity, finding.safe) == ("error", False)
    assert finding.fix == (f"sudo chown -R {owner + 1} '{folder}'",)


def test_a_workspace_of_another_user(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays theirs, whatever it is: the fix is about `.llorch/` alone."""
    owner = os.geteuid()

    def look_as_another() -> list[Finding]:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        return look(check_state, workspace)

    workspace.chmod(0o500)
    (finding,) = as_mortal(look_as_another)
    workspace.chmod(0o700)
    assert (finding.severity, finding.safe) == ("error", False)
    assert finding.fix == (f"sudo install -d -o {owner + 1} '{workspace}/.llorch'",)


def test_a_file_in_the_states_place(workspace: Path) -> None:
    """It is moved aside."""
    (workspace / ".llorch").touch()
    (finding,) = look(check_state, workspace)
    assert (finding.severity, finding.safe) == ("error", False)
    assert finding.fix == (f"mv '{workspace}/.llorch' '{workspace}/.llorch.old'",)


def test_a_workspace_that_cannot_be_written(workspace: Path) -> None:
    """Its mode is its owner's business: no fix that is run unasked."""
    workspace.chmod(0o500)
    (finding,) = as_mortal(lambda: look(check_state, workspace))
    workspace.chmod(0o700)
    assert (finding.severity, finding.safe) == ("error", False)
    assert finding.fix == (f"chmod u+rwx '{workspace}'",)


def test_the_locale_by_what_it_does(workspace: Path) -> None:
    """UTF-8 is fine whatever it is called; a locale that is not installed is as none."""
    for values, severity, found in (
        ({"LC_ALL": "C.UTF-8"}, "ok", "LC_ALL=C.UTF-8"),
        ({"LC_ALL": "C"}, "warn", "LC_ALL=C"),
        ({"LC_ALL": "xx_YY.UTF-8"}, "warn", "LC_ALL=xx_YY.UTF-8"),
    ):
        _, findings = examined(env=values)
        assert (findings["locale"].severity, findings["locale"].found) == (severity, found)
        assert findings["locale"].fix == (() if severity == "ok" else ("export LC_ALL=C.UTF-8",))


def test_the_locale_of_a_mac(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no C.UTF-8."""
    monkeypatch.setattr(locale, "getencoding", lambda: "US-ASCII")
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    (finding,) = look(check_locale, workspace, system=MAC)
    assert (finding.found, finding.fix) == ("none", ("export LC_ALL=en_US.UTF-8",))
