"""`llorch init`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.dev.init import NAMES, is_new
from llorch.dev.init_cli import NAMED
from tests.conftest import BIN, Run, as_mortal, in_terminal, program
from tests.dev.trees import MAIN, package, write_tree

Llorch = Callable[..., Run]
EVERY = [*NAMES, ".gitignore"]


def test_a_folder_becomes_a_workspace(workspace: Path, llorch: Llorch) -> None:
    """Each file is told with what it says; the second time each is kept, and nothing is said of a workspace above."""
    write_tree(workspace, {"Cargo.toml": package("tool"), "src/main.rs": MAIN})
    done = llorch("init")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "llorch.toml\tmade\tbuild tool, test suite unit",
        "catalog.toml\tmade\tthe models that come with llorch",
        "hosts.toml\tmade\tno machines yet",
        "dodo.py\tmade\tllorch's tasks for plain `doit`",
        ".gitignore\tmade\tkeeps .test-models and __pycache__ out of git",
    ]
    assert done.err == "next: `llorch list` shows the tasks, `llorch dev setup` gets what they need\n"
    assert llorch("init").out.splitlines() == [f"{name}\tkept\tas it was" for name in EVERY]


def test_a_dry_run_writes_nothing(workspace: Path, llorch: Llorch) -> None:
    """It says what would be."""
    (workspace / ".gitignore").write_text("x\n")
    done = llorch("init", "--dry-run")
    assert done.out.startswith("llorch.toml\twould be made\tno builds, no test suites\n")
    assert ".gitignore\twould be changed\t" in done.out
    assert llorch("init", "--dry-run", "--json").json["dry_run"] is True
    assert [path.name for path in workspace.iterdir()] == [".gitignore"]


def test_the_document_tells_all(workspace: Path, llorch: Llorch) -> None:
    """Files, what was left out, and submodules are in it."""
    write_tree(workspace, {"x/Cargo.toml": "= broken", ".gitmodules": '[submodule "a"]\n\tpath = a\n\turl = b\n'})
    (workspace / "hosts.toml").write_text("version = 1\n")
    outcomes = dict.fromkeys(EVERY, "made") | {"hosts.toml": "kept"}
    assert llorch("init", "--json").json == {
        "schema": 1,
        "dry_run": False,
        "folder": str(workspace),
        "files": [{"path": name, "outcome": outcomes[name]} for name in EVERY],
        "left_out": ["x/Cargo.toml:1: is not valid TOML: invalid statement"],
        "submodules": ["a"],
    }


def test_which_folder_is_meant(workspace: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """DIR, else that of `-C`, else of LLORCH_REPO_ROOT, else the current one, even in another workspace."""
    (workspace / "dodo.py").touch()
    folders = [workspace / name for name in ("a", "b", "c", "d", "e")]
    for folder in folders:
        folder.mkdir()
    a, b, c, d, e = folders
    monkeypatch.chdir(a)
    done = llorch("init")
    assert (is_new(a), is_new(b)) == (False, True)
    assert f"{workspace} is a workspace too; from here down this one counts\n" in done.err
    for arguments, env, made in (
        (["-C", "../b"], {}, b),
        ([], {"LLORCH_REPO_ROOT": str(c)}, c),
        (["../d"], {"LLORCH_REPO_ROOT": str(c)}, d),
        (["../e", "-C", "../d"], {}, e),
    ):
        assert (is_new(made), llorch("init", *arguments, env=env).code, is_new(made)) == (True, 0, False)
    for arguments, code in ((["nowhere"], 2), (["dodo.py"], 2), (["-C", "nowhere"], 3)):
        assert llorch("init", *arguments).code == code


def test_what_is_left_out_is_said(workspace: Path, llorch: Llorch) -> None:
    """Some are named and the rest counted, all of them with `-v`; submodules are named."""
    write_tree(workspace, {f"p{n}/Cargo.toml": "= broken" for n in range(NAMED + 2)})
    write_tree(workspace, {".gitmodules": '[submodule "x"]\n\tpath = ref/x\n\tpath = ../out\n\tpath = "y" # y\n'})
    few = llorch("init", "--dry-run").err
    assert few.count("left out: p") == NAMED
    assert "left out: 2 more; `-v` names them\n" in few
    assert llorch("init", "--dry-run", "-v").err.count("left out: p") == NAMED + 2
    assert "submodules: ref/x, y; `llorch dev setup` fetches those that are not there\n" in few


def test_what_hinders_it_is_said(workspace: Path, llorch: Llorch) -> None:
    """A broken manifest of the folder itself, and a folder that may not be written to, leave nothing."""
    (workspace / "Cargo.toml").write_text("[workspace\n")
    done = program("llorch", "init")
    assert (done.code, done.err.splitlines()[0][:21]) == (3, "error: Cargo.toml:1: ")
    assert "hint: mend it, and run it again" in done.err
    (workspace / "Cargo.toml").unlink()
    workspace.chmod(0o555)
    done = as_mortal(lambda: program("llorch", "init", "--json"))
    workspace.chmod(0o755)
    assert (done.code, done.json["error"]["code"]) == (1, "disk")
    assert done.json["error"]["message"] == "`catalog.toml` cannot be written: Permission denied"
    assert [*workspace.iterdir()] == []


def test_a_home_becomes_no_workspace(llorch: Llorch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by `init` nor by `setup`, and nothing is written."""
    monkeypatch.chdir(Path.home())
    for command in (["init"], ["dev", "setup", "--yes", "--models", "none"]):
        error = llorch(*command, "--json").json["error"]
        assert (error["code"], error["hint"][:28]) == ("refused", "name a folder: `llorch init ")
    assert is_new(Path.home())


def test_it_is_a_table_on_a_terminal(workspace: Path) -> None:
    """Columns fit 80."""
    done = in_terminal(str(BIN / "llorch"), "init", "--no-color", cwd=workspace)
    assert "catalog.toml  made" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
