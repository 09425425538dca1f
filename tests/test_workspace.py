"""Finding the workspace, and how its files are called."""

import os
from pathlib import Path

import pytest

from llorch.errors import ConfigError
from llorch.workspace import MARKERS, Workspace, find_workspace, make_folder, read_file, repository_of


@pytest.mark.parametrize("marker", MARKERS)
def test_the_nearest_marker_upwards_wins(workspace: Path, marker: str) -> None:
    """A marker file makes its folder the workspace of all below it, down to the next one."""
    inner = workspace / "inner"
    (inner / "deep").mkdir(parents=True)
    (workspace / marker).touch()
    assert find_workspace(inner / "deep", {}) == Workspace(root=workspace, declared=True)
    (inner / marker).touch()
    assert find_workspace(inner / "deep", {}) == Workspace(root=inner, declared=True)


def test_without_a_marker_the_current_folder_is_taken(workspace: Path) -> None:
    """A folder that nothing declares is used, and known to be undeclared; a folder of a marker's name is no marker."""
    (workspace / "catalog.toml").mkdir()
    assert find_workspace(None, {}) == Workspace(root=workspace, declared=False)


@pytest.mark.parametrize("value", ["other", "{root}/other", "./x/../other", "~/../Wörk späce/other"])
def test_the_environment_names_the_root(workspace: Path, value: str) -> None:
    """LLORCH_REPO_ROOT is the workspace as it is, whatever markers are above, in whichever way it is written."""
    (workspace / "llorch.toml").touch()
    (workspace / "other").mkdir()
    found = find_workspace(None, {"LLORCH_REPO_ROOT": value.format(root=workspace)})
    assert found == Workspace(root=workspace / "other", declared=True)
    assert found.name("x") == "x"


def test_a_root_that_is_named_by_a_link(workspace: Path) -> None:
    """It is where the link leads, as it would be for who goes there: cargo tells files by such paths."""
    (workspace / "other").mkdir()
    (workspace / "link").symlink_to("other")
    assert find_workspace(Path("link"), {}).root == workspace / "other"
    assert find_workspace(None, {"LLORCH_REPO_ROOT": "link"}).root == workspace / "other"


def test_a_given_folder_comes_before_the_environment(workspace: Path) -> None:
    """The folder of `-C` is where the search begins, and an empty LLORCH_REPO_ROOT is none."""
    (workspace / "a").mkdir()
    (workspace / "llorch.toml").touch()
    assert find_workspace(Path("a"), {"LLORCH_REPO_ROOT": "/"}).root == workspace
    assert find_workspace(Path("a/.."), {}).root == workspace
    assert find_workspace(None, {"LLORCH_REPO_ROOT": ""}).root == workspace


@pytest.mark.parametrize(
    ("folder", "environ", "message"),
    [
        (Path("gone"), {}, "-C: `gone` is not a folder"),
        (None, {"LLORCH_REPO_ROOT": "gone"}, "LLORCH_REPO_ROOT: `gone` is not a folder"),
        (None, {"LLORCH_REPO_ROOT": "~nobody-here/x"}, "LLORCH_REPO_ROOT: `~nobody-here/x` is not a folder"),
    ],
)
def test_a_root_that_is_not_there_is_refused(
    workspace: Path, folder: Path | None, environ: dict[str, str], message: str
) -> None:
    """The message says who named the folder."""
    with pytest.raises(ConfigError) as caught:
        find_workspace(folder, environ)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("root", "path", "name"),
    [
        ("/w", "a/b", "a/b"),
        ("/w", "/w/a/../b", "b"),
        ("/w", "./a//b/", "a/b"),
        ("/w", "../w/a", "a"),
        ("/w", "/ww/a", "/ww/a"),
        ("/w", "../x", "/x"),
        ("/w", ".", "/w"),
        ("/", "/a/b", "a/b"),
        ("/w", "~/m", "{home}/m"),
    ],
)
def test_paths_have_one_name(root: str, path: str, name: str) -> None:
    """A path is called by its relative name inside the workspace and its absolute one outside."""
    workspace = Workspace(root=Path(root), declared=True)
    assert workspace.name(path) == name.format(home=os.environ["HOME"])
    assert os.path.normpath(workspace.path(path)) == os.path.normpath(workspace.path(workspace.name(path)))


def test_the_state_is_in_the_workspace() -> None:
    """Records, locks and logs are in one folder of the workspace."""
    assert Workspace(root=Path("/w"), declared=True).state == Path("/w/.llorch")


def test_what_moves_as_one(tmp_path: Path) -> None:
    """It is the nearest repository, a submodule's too, or else the folder itself."""
    inner = tmp_path / "repo/sub/folder"
    inner.mkdir(parents=True)
    assert repository_of(str(inner)) == str(inner)
    (tmp_path / "repo/.git").mkdir()
    assert repository_of(str(inner)) == str(tmp_path / "repo")
    (tmp_path / "repo/sub/.git").touch()
    assert repository_of(str(inner)) == str(tmp_path / "repo/sub")


def test_what_is_no_file_is_not_waited_for(workspace: Path) -> None:
    """A pipe that nobody writes into, a device without an end and a folder are refused; nothing at all is a file."""
    os.mkfifo("pipe")
    Path("endless").symlink_to("/dev/zero")
    Path("folder").mkdir()
    for name, why in (("pipe", "Not a file"), ("endless", "Not a file"), ("folder", "Is a directory")):
        with pytest.raises(OSError, match=why):
            read_file(name)
    Path("bytes").write_bytes(b"\0x")
    assert (read_file("bytes"), read_file("/dev/null")) == (b"\0x", b"")


def test_its_own_folder_is_not_of_the_repository(workspace: Path) -> None:
    """Git is told to ignore all of it, unless somebody has told it otherwise."""
    folder = workspace / "deep" / ".llorch"
    make_folder(folder)
    assert (folder / ".gitignore").read_text() == "*\n"
    (folder / ".gitignore").write_text("log/\n")
    make_folder(folder)
    assert (folder / ".gitignore").read_text() == "log/\n"
