"""Finding the workspace, and where each setting comes from."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from textwrap import dedent

import pytest

from llorch.config import MARKERS, Build, Settings, Workspace, find_workspace, load_settings, user_folder
from llorch.errors import ConfigError


def write(path: Path, text: str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")
    return path


@pytest.fixture
def settings(workspace: Path, tmp_path: Path) -> Callable[..., Settings]:
    """Load the settings of the workspace for a user whose home is `home`, with more of an environment."""

    def load(**environ: str) -> Settings:
        return load_settings(Workspace(root=workspace, declared=True), {"HOME": str(tmp_path / "home"), **environ})

    return load


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


def test_without_files_all_is_default(settings: Callable[..., Settings]) -> None:
    """Nothing has to be configured."""
    found = settings()
    assert found == Settings()
    assert (found.paths.models, found.paths.catalog, found.remote.connect_timeout) == (
        ".test-models",
        "catalog.toml",
        10,
    )


@pytest.mark.parametrize(
    ("workspaces", "users", "environ", "models"),
    [
        (None, None, None, ".test-models"),
        (None, "of-user", None, "of-user"),
        ("of-workspace", "of-user", None, "of-workspace"),
        ("of-workspace", "of-user", "of-environment", "of-environment"),
        ("of-workspace", None, "", "of-workspace"),
    ],
)
def test_the_nearer_source_wins(
    workspace: Path,
    tmp_path: Path,
    settings: Callable[..., Settings],
    workspaces: str | None,
    users: str | None,
    environ: str | None,
    models: str,
) -> None:
    """The environment comes before the workspace's file, that before the user's, and that before the default."""
    for path, value in (
        (workspace / "llorch.toml", workspaces),
        (tmp_path / "home/.config/llorch/config.toml", users),
    ):
        if value is not None:
            write(path, f'[paths]\nmodels = "{value}"\n')
    assert settings(**({} if environ is None else {"LLORCH_MODEL_BASE_DIR": environ})).paths.models == models


@pytest.mark.parametrize(
    ("variable", "table", "key"),
    [
        ("LLORCH_MODEL_BASE_DIR", "paths", "models"),
        ("LLORCH_CATALOG", "paths", "catalog"),
        ("LLORCH_CACHE_URL", "cache", "url"),
    ],
)
def test_variables_set_one_value_each(settings: Callable[..., Settings], variable: str, table: str, key: str) -> None:
    """A variable changes its own setting and nothing else."""
    expected = asdict(Settings())
    expected[table][key] = "changed"
    assert asdict(settings(**{variable: "changed"})) == expected


def test_both_files_are_merged_value_by_value(
    workspace: Path, tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    """Tables of both files are joined; arrays and values of the workspace's replace the user's."""
    write(
        tmp_path / "home/.config/llorch/config.toml",
        """\
        [paths]
        models = "/of-user"
        catalog = "of-user.toml"
        [build.worker]
        manifest = "a/Cargo.toml"
        backends = ["cpu", "cuda"]
        [cache]
        url = "file:///srv"
        """,
    )
    write(
        workspace / "llorch.toml",
        """\
        version = 1
        [paths]
        models = "of-workspace"
        [build.worker]
        manifest = "b/Cargo.toml"
        backends = ["metal"]
        [build.other]
        manifest = "c/Cargo.toml"
        """,
    )
    found = settings()
    assert (found.paths.models, found.paths.catalog, found.cache.url) == (
        "of-workspace",
        "of-user.toml",
        "file:///srv",
    )
    assert found.build == {
        "worker": Build(manifest="b/Cargo.toml", backends=("metal",)),
        "other": Build(manifest="c/Cargo.toml"),
    }


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({}, "home/.config/llorch/config.toml"),
        ({"XDG_CONFIG_HOME": ""}, "home/.config/llorch/config.toml"),
        ({"XDG_CONFIG_HOME": "{base}/xdg"}, "xdg/llorch/config.toml"),
        ({"XDG_CONFIG_HOME": "{base}/xdg", "LLORCH_CONFIG_PATH": "{base}/own.toml"}, "own.toml"),
        ({"LLORCH_CONFIG_PATH": "~/own.toml"}, "home/own.toml"),
        ({"LLORCH_CONFIG_PATH": ""}, "home/.config/llorch/config.toml"),
    ],
)
def test_the_users_file_is_found(
    tmp_path: Path, settings: Callable[..., Settings], environ: dict[str, str], path: str
) -> None:
    """The user's file is the one named, else the one in the XDG folder, else the one below the home."""
    assert settings().git.branch == ""
    write(tmp_path / path, '[git]\nbranch = "users"')
    assert settings(**{name: value.format(base=tmp_path) for name, value in environ.items()}).git.branch == "users"


def test_the_home_is_the_accounts_without_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME, the folder that `~` stands for is used."""
    assert user_folder({}) == Path(os.path.expanduser("~/.config/llorch"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version = 2", "llorch.toml:1: version: is the integer 2; this llorch reads version 1 (update llorch)"),
        ("[path]", "llorch.toml:1: path: unknown key (did you mean `paths`?)"),
        ("[paths]\n\nmodel = 'x'", "llorch.toml:3: paths.model: unknown key (did you mean `models`?)"),
        ("[paths]\nmodels = ''", "llorch.toml:2: paths.models: is empty"),
        ("[paths]\ncatalog = ''", "llorch.toml:2: paths.catalog: is empty"),
        ("[build.worker]\nbin = 'x'", "llorch.toml:1: build.worker: `manifest` is missing"),
        (
            "[build.worker]\nmanifest = 'bin/worker'",
            "llorch.toml:2: build.worker.manifest: must be the path of a `Cargo.toml`",
        ),
        (
            "[build.worker]\nmanifest = 'Cargo.toml'\nbin = '../{backend}'",
            "llorch.toml:3: build.worker.bin: may have letters, digits, `_` and `-`, and `{backend}`",
        ),
        (
            "[test.unit]\nbackends = ['cpu', '-x']",
            "llorch.toml:2: test.unit.backends: `-x` may have letters, digits, `_` and `-`",
        ),
        ("[remote]\nconnect_timeout = 0", "llorch.toml:2: remote.connect_timeout: must be more than 0 seconds"),
        (
            "[remote]\nconnect_timeout = '5'",
            "llorch.toml:2: remote.connect_timeout: must be an integer, not the string '5'",
        ),
        ("[cache]\nread = 'yes'", "llorch.toml:2: cache.read: must be true or false, not the string 'yes'"),
        ("[test.unit]\nargs = '--lib'", "llorch.toml:2: test.unit.args: must be an array, not the string '--lib'"),
        ("[paths]\nmodels = '''\na'''\n[paths]", "llorch.toml:4: paths: is declared twice"),
    ],
)
def test_mistakes_are_refused(workspace: Path, settings: Callable[..., Settings], text: str, problem: str) -> None:
    """A mistake in `llorch.toml` is named with file, line and key."""
    write(workspace / "llorch.toml", text)
    with pytest.raises(ConfigError) as caught:
        settings()
    assert [str(each) for each in caught.value.problems] == [problem]


def test_mistakes_of_both_files_are_told_together(
    workspace: Path, tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    """One look shows all there is to mend, also where a file is not UTF-8."""
    user = write(tmp_path / "home/.config/llorch/config.toml", "")
    user.write_bytes(b"[git]\nbranch = '\xff'")
    write(workspace / "llorch.toml", "a = = 1\n[gti]\n[git]\nbranch = 1")
    with pytest.raises(ConfigError) as caught:
        settings()
    assert caught.value.message.splitlines() == [
        f"{user}:2: is not UTF-8 text (save the file as UTF-8)",
        "llorch.toml:1: is not valid TOML: invalid value",
        "llorch.toml:2: gti: unknown key (did you mean `git`?)",
        "llorch.toml:4: git.branch: must be a string, not the integer 1",
    ]


@pytest.mark.parametrize("value", ["gone.toml", "{base}/file/config.toml", "~nobody-here/x.toml"])
def test_a_named_file_must_be_there(tmp_path: Path, settings: Callable[..., Settings], value: str) -> None:
    """A LLORCH_CONFIG_PATH that leads nowhere is a mistake, unlike a user without a file."""
    (tmp_path / "file").touch()
    name = value.format(base=tmp_path)
    with pytest.raises(ConfigError) as caught:
        settings(LLORCH_CONFIG_PATH=name)
    assert caught.value.message == f"LLORCH_CONFIG_PATH: there is no file `{name}`"


def test_a_file_that_cannot_be_read_is_said(workspace: Path, settings: Callable[..., Settings]) -> None:
    """What is in the way is told; here a folder."""
    (workspace / "llorch.toml").mkdir()
    with pytest.raises(ConfigError) as caught:
        settings()
    assert caught.value.message == "llorch.toml: cannot be read: Is a directory"
