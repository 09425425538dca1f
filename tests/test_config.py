"""Where each setting comes from."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from textwrap import dedent

import pytest

from llorch.config import (
    MOST_JOBS,
    Build,
    Loaded,
    Mistake,
    Origin,
    Settings,
    Workspace,
    load_settings,
    parse_size,
    read_jobs,
    read_settings,
    user_folder,
    wrong,
)
from llorch.errors import ConfigError, Problem
from llorch.typed import Key


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


@pytest.fixture
def loaded(workspace: Path, tmp_path: Path) -> Loaded:
    """Settings of which some are of the user, some of the workspace, some of a variable, and some wrong."""
    write(
        tmp_path / "home/.config/llorch/config.toml",
        """\
        [paths]
        models = "u"
        catalog = "u.toml"
        [build.b]
        manifest = "Cargo.toml"
        [cache]
        read = 1
        """,
    )
    write(
        workspace / "llorch.toml",
        """\
        [paths]
        models = "w"
        wrong = true
        [build.b]
        manifest = "b/Cargo.toml"
        env = [
          "A",
        ]
        [build.c]
        manifest = 1
        """,
    )
    environ = {"HOME": str(tmp_path / "home"), "LLORCH_CACHE_URL": "file:x", "LLORCH_CATALOG": ""}
    return read_settings(Workspace(root=workspace, declared=True), environ)


def test_what_is_right_is_read_beside_what_is_wrong(loaded: Loaded) -> None:
    """A mistake costs its own value, or its table in a table; every one is told."""
    assert loaded.settings.build == {"b": Build(manifest="b/Cargo.toml", env=("A",))}
    assert (loaded.settings.paths.models, loaded.settings.paths.catalog) == ("w", "u.toml")
    assert loaded.settings.cache.read is True
    assert [(problem.file[-11:], problem.line, problem.key) for problem in loaded.problems] == [
        ("config.toml", 7, "cache.read"),
        ("llorch.toml", 3, "paths.wrong"),
        ("llorch.toml", 10, "build.c.manifest"),
    ]


@pytest.mark.parametrize(
    ("key", "origin"),
    [
        (("paths", "models"), Origin("file", "llorch.toml", 2)),
        (("paths", "catalog"), Origin("file", "~/.config/llorch/config.toml", 3)),
        (("paths", "catalog_url"), Origin("default")),
        (("cache", "url"), Origin("environment", "LLORCH_CACHE_URL")),
        (("cache", "read"), Origin("default")),
        (("build", "b", "env"), Origin("file", "llorch.toml", 6)),
        (("build", "b", "bin"), Origin("default")),
    ],
)
def test_each_value_has_its_origin(loaded: Loaded, tmp_path: Path, key: Key, origin: Origin) -> None:
    """The nearest source that has a value is told, with the line that sets it."""
    found = loaded.origin(key)
    assert found._replace(name=found.name.replace(str(tmp_path / "home"), "~")) == origin


@pytest.mark.parametrize(
    ("key", "file", "line", "rendered"),
    [
        (("paths", "models"), "llorch.toml", 2, "paths.models"),
        (("build", "b", "env", 0), "llorch.toml", 7, "build.b.env[0]"),
        (("build", "b", "bin"), "llorch.toml", 4, "build.b.bin"),
        (("cache", "url"), "LLORCH_CACHE_URL", None, ""),
        (("git", "branch"), "llorch.toml", None, "git.branch"),
    ],
)
def test_a_mistake_that_a_room_finds_has_its_place(
    loaded: Loaded, key: Key, file: str, line: int | None, rendered: str
) -> None:
    """It is where its value is from; what is not there is missing where its table is."""
    assert loaded.locate(Mistake(key, "is wrong\x1b", "mend it")) == Problem(
        file, line, rendered, r"is wrong\x1b", "mend it"
    )


def test_a_room_raises_what_it_cannot_use(workspace: Path) -> None:
    """All of its mistakes come at once, with their lines."""
    write(workspace / "llorch.toml", "[git]\nbranch = 'x'\n[remote]\nconnect_timeout = 1\n")
    here = Workspace(root=workspace, declared=True)
    error = wrong(here, Mistake(("git", "branch"), "no"), Mistake(("remote", "connect_timeout"), "no"), hint="h")
    assert (str(error), error.hint) == (
        "llorch.toml:2: git.branch: no\nllorch.toml:4: remote.connect_timeout: no",
        "h",
    )


@pytest.mark.parametrize(("value", "jobs"), [("", 3), ("1", 1), ("0", 0), (str(MOST_JOBS), MOST_JOBS)])
def test_jobs_are_a_number(value: str, jobs: int) -> None:
    """LLORCH_JOBS comes before what a command does by itself."""
    assert read_jobs(3, {"LLORCH_JOBS": value}) == jobs


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "257", "99999", "²"])
def test_jobs_that_are_no_number_are_refused(value: str) -> None:
    """The variable and its value are named."""
    with pytest.raises(ConfigError, match=f"LLORCH_JOBS: `{value}` is not a number up to 256"):
        read_jobs(1, {"LLORCH_JOBS": value})


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("50GiB", 50 << 30), ("800 MB", 800_000_000), ("1.5k", 1500), ("7B", 7), ("2TiB", 2 << 40), (" 1 ", 1)],
)
def test_sizes(text: str, size: int) -> None:
    """A size is a number, and a unit of thousands or, with an i, of 1024."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1 GiBit", "1e9", "GiB", "1 PB", "\uff11"])
def test_what_is_no_size(settings: Callable[..., Settings], workspace: Path, text: str) -> None:
    """It is a mistake of its line."""
    write(workspace / "llorch.toml", f'[cache]\nlocal_limit = "{text}"\n')
    with pytest.raises(ConfigError, match=r"llorch.toml:2: cache.local_limit: is no size"):
        settings()
