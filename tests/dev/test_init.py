"""The files of a new workspace."""

import os
import re
from pathlib import Path

import pytest

from llorch import config
from llorch.build.plan import plan_builds
from llorch.dev.init import (
    IGNORE,
    NAMES,
    SETTINGS,
    check_place,
    is_new,
    plan_files,
    render_settings,
    write_files,
)
from llorch.errors import ConfigError, DiskFull, Refused
from llorch.models.catalog import load_models
from llorch.remote.hosts import load_hosts
from llorch.test.plan import plan_suites
from tests.conftest import as_mortal, program_of

BUILDS = {
    "worker": config.Build(manifest="w/Cargo.toml", bin="w-{backend}", backends=("cpu",), features=("{backend}",)),
    "tool": config.Build(manifest='ünder "x"/Cargo.toml'),
}
SUITES = {"unit": config.Test(manifest="Cargo.toml", args=("--workspace",))}


def outcomes(folder: Path) -> dict[str, str]:
    """Return what would become of each file."""
    return {step.name: step.outcome for step in plan_files(folder, {}, {})}


def ignored(folder: Path) -> str:
    """Return what .gitignore says once the files are written."""
    write_files(folder, plan_files(folder, {}, {}))
    return (folder / IGNORE).read_bytes().decode()


def test_the_files_say_what_is_meant(workspace: Path) -> None:
    """What is declared comes out of llorch's own loaders as it went in."""
    write_files(workspace, plan_files(workspace, BUILDS, SUITES))
    here = config.Workspace(root=workspace, declared=True)
    settings = config.load_settings(here)
    assert (settings.build, settings.test) == (BUILDS, SUITES)
    assert settings == config.Settings(build=BUILDS, test=SUITES)
    assert {"build:worker-cpu", "build:tool"} <= plan_builds(settings, here).keys()
    assert plan_suites(settings, here)["unit"].declared
    assert {"smollm2", "tinyllama"} <= load_models(here, settings).keys()
    assert load_hosts(here) == {}
    for name in NAMES[:3]:
        assert "\nversion = 1\n" in (workspace / name).read_text()


def test_what_is_commented_out_can_be_taken(workspace: Path) -> None:
    """Every example in a comment is right when its `#` is taken away."""
    write_files(workspace, plan_files(workspace, {}, {}))
    for name in NAMES[:3]:
        place = workspace / name
        lines = [re.sub(r"^# (?=\[|\w+ = |\]|  \{)", "", line) for line in place.read_text().splitlines()]
        assert sum(line.startswith("#") for line in lines) <= 5, "what is left are sentences"
        place.write_text("\n".join(lines))
    here = config.Workspace(root=workspace, declared=True)
    settings = config.load_settings(here)
    assert (settings.git.branch, settings.cargo.rustc_wrapper, [*settings.build]) == ("main", "sccache", ["worker"])
    assert {"build:worker-cpu", "build:worker-cuda"} <= plan_builds(settings, here).keys()
    assert plan_suites(settings, here)["unit"].settings.needs == ("models:smollm2",)
    assert {"house-model", "smollm2"} <= load_models(here, settings).keys()
    assert load_hosts(here)["workstation"].backends == ("cuda",)


def test_an_example_stands_where_nothing_was_found() -> None:
    """A workspace with builds or suites has those, another one shows what they would look like."""
    assert "# [build.worker]" in render_settings({}, SUITES)
    assert "# [build.worker]" not in render_settings(BUILDS, {})
    assert render_settings({}, {}).count("\nneeds") == 0
    assert render_settings(BUILDS, SUITES).endswith(
        '[test.unit]\nmanifest = "Cargo.toml"\nargs = ["--workspace"]\n# needs = ["models:smollm2"]\n'
    )


def test_what_is_there_is_kept(workspace: Path) -> None:
    """A file, a folder and a dead link stay, and a second time there is nothing to make."""
    (workspace / "catalog.toml").write_text("# mine")
    (workspace / "hosts.toml").symlink_to("nowhere")
    (workspace / "dodo.py").mkdir()
    steps = plan_files(workspace, {}, {})
    found = {step.name: step.outcome for step in steps}
    assert found == {
        "llorch.toml": "made",
        "catalog.toml": "kept",
        "hosts.toml": "kept",
        "dodo.py": "kept",
        ".gitignore": "made",
    }
    write_files(workspace, steps)
    assert (workspace / "catalog.toml").read_text() == "# mine"
    assert os.readlink(workspace / "hosts.toml") == "nowhere"
    assert set(outcomes(workspace).values()) == {"kept"}
    assert sorted(path.name for path in workspace.iterdir()) == sorted([*NAMES, IGNORE])


def test_what_came_meanwhile_is_kept(workspace: Path) -> None:
    """A file that was made after it was looked for is not overwritten."""
    steps = plan_files(workspace, {}, {})
    (workspace / "dodo.py").write_text("mine = True\n")
    write_files(workspace, steps)
    assert (workspace / "dodo.py").read_text() == "mine = True\n"


def test_a_dodo_of_another_kind_is_told_what_it_lacks(workspace: Path) -> None:
    """It is kept, and how it gets llorch's tasks is said; one that has them needs no such words."""

    def about() -> str:
        return next(step.about for step in plan_files(workspace, {}, {}) if step.name == "dodo.py")

    (workspace / "dodo.py").write_text("def task_x():\n    return {'actions': []}\n")
    assert "`from llorch.dodo import *`" in about()
    (workspace / "dodo.py").write_text("from llorch.dodo import *\n")
    assert about() == "as it was"


def test_models_are_not_for_git(workspace: Path) -> None:
    """Lines are added once, after what is there, in its own line ends, whatever bytes that has."""
    lines = "/.test-models/\n__pycache__/\n"
    assert ignored(workspace) == lines
    assert ignored(workspace) == lines
    for old, new in (
        (b"", lines),
        (b"/target", f"/target\n{lines}"),
        (b"/target\r\nx\r\n", "/target\r\nx\r\n/.test-models/\r\n__pycache__/\r\n"),
        (b"__pycache__\n.test-models\n", "__pycache__\n.test-models\n"),
        (b"a\n**/.test-models/ \nb", "a\n**/.test-models/ \nb\n__pycache__/\n"),
    ):
        (workspace / IGNORE).write_bytes(old)
        assert ignored(workspace) == new
    (workspace / IGNORE).write_bytes(b"\xff\n")
    write_files(workspace, plan_files(workspace, {}, {}))
    assert (workspace / IGNORE).read_bytes() == b"\xff\n" + lines.encode()


@pytest.mark.parametrize("models", ["data/m [1]*", "./m/", "wörk", "!m", "#m"])
def test_git_ignores_the_folder_that_llorch_toml_names(workspace: Path, models: str) -> None:
    """Whatever its name is, git does not take what is in it, and takes everything else."""
    (workspace / "llorch.toml").write_text(f'[paths]\nmodels = "{models}"\n')
    write_files(workspace, plan_files(workspace, {}, {}))
    assert program_of("git", "init", "-q").code == 0
    assert program_of("git", "check-ignore", "-q", f"{models}/a/b.gguf").code == 0
    for other in ("data/m 1x/b", "x/m/b", "catalog.toml"):
        assert program_of("git", "check-ignore", "-q", other).code == 1
    assert outcomes(workspace)[IGNORE] == "kept"


@pytest.mark.parametrize("models", ["/srv/m", "~/m", "../m", "."])
def test_a_model_folder_elsewhere_needs_no_line(workspace: Path, models: str) -> None:
    """A folder that is not below the workspace is not git's business here."""
    (workspace / "llorch.toml").write_text(f'[paths]\nmodels = "{models}"\n')
    assert ignored(workspace) == "__pycache__/\n"


def test_a_place_above_everything_is_refused(workspace: Path) -> None:
    """The root and a home are, unless the home is a repository, or has a file that says it is meant."""
    home = Path.home()
    for place in (Path("/"), home):
        with pytest.raises(Refused, match="all that is below it would be in it"):
            check_place(place)
    check_place(workspace)
    (home / ".git").mkdir()
    check_place(home)
    (home / ".git").rmdir()
    (home / "hosts.toml").write_text("version = 1\n")
    check_place(home)


def test_many_builds_are_counted(workspace: Path) -> None:
    """The first are named, so that the line can be read."""
    several = {f"b{number}": BUILDS["tool"] for number in range(10)}
    assert plan_files(workspace, several, {})[0].about == (
        "builds b0, b1, b2, b3, b4, b5, b6, b7 and 2 more, no test suites"
    )


def test_a_catalog_of_another_name_is_enough(workspace: Path) -> None:
    """Where llorch.toml names the catalog, no catalog.toml is made."""
    (workspace / "llorch.toml").write_text('[paths]\ncatalog = "models.toml"\n')
    assert "catalog.toml" not in outcomes(workspace)


def test_a_wrong_llorch_toml_is_said_first(workspace: Path) -> None:
    """Its mistakes are told, and nothing is planned."""
    (workspace / "llorch.toml").write_text("[paths]\nmodel = 1\n")
    with pytest.raises(ConfigError, match=r"llorch.toml:2: paths.model: unknown key"):
        plan_files(workspace, {}, {})
    (workspace / "llorch.toml").write_text("[paths\n")
    with pytest.raises(ConfigError, match=r"llorch.toml:1"):
        plan_files(workspace, {}, {})


def test_all_files_or_none(workspace: Path) -> None:
    """In a folder that may not be written to nothing is left; nor where the last file cannot be written."""
    (workspace / IGNORE).write_text("x")
    steps = plan_files(workspace, {}, {})
    workspace.chmod(0o555)
    with pytest.raises(DiskFull, match=r"`catalog.toml` cannot be written: Permission denied"):
        as_mortal(lambda: write_files(workspace, steps))
    workspace.chmod(0o755)
    (workspace / f"{SETTINGS}.part").mkdir()
    with pytest.raises(DiskFull, match=SETTINGS):
        write_files(workspace, steps)
    (workspace / f"{SETTINGS}.part").rmdir()
    assert [path.name for path in workspace.iterdir()] == [IGNORE]
    assert (workspace / IGNORE).read_text() == "x"
    (workspace / IGNORE).unlink()
    (workspace / IGNORE).mkdir()
    with pytest.raises(IsADirectoryError):
        plan_files(workspace, {}, {})


def test_what_was_cut_off_is_new_still(workspace: Path) -> None:
    """Files as they were written, without llorch.toml, which comes last, make no workspace yet; all else does."""
    assert is_new(workspace)
    write_files(workspace, plan_files(workspace, {}, {}))
    for name in ("llorch.toml", "dodo.py", "hosts.toml", "catalog.toml"):
        assert is_new(workspace) is (name != "llorch.toml")
        (workspace / name).unlink()
    for name in NAMES:
        (workspace / name).write_text("# mine\n")
        assert not is_new(workspace)
        (workspace / name).unlink()
        (workspace / name).symlink_to("nowhere")
        assert not is_new(workspace)
        (workspace / name).unlink()
