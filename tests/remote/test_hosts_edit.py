"""Editing hosts.toml: what people wrote stays, what is meant is written, and never half of it."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.errors import ConfigError, LlorchError, Refused, UnknownName
from llorch.remote.hosts import Host, hosts_file, load_hosts
from llorch.remote.hosts_edit import add_host, remove_host, set_value

TEXT = """\
# Ours.
version = 1

[hosts.mac]   # the first
host = "mac.lan"  # who
tags = [
  # why
  "home",
]

# About b:
#   it is old.
[hosts."b.1"]
port = 2222
llorch = '/old' # found

[hosts.c]
"""

MAC = Host(name="mac", host="mac")


@pytest.fixture
def here(workspace: Path) -> Workspace:
    """The workspace."""
    return Workspace(root=workspace, declared=True)


@pytest.fixture
def file(here: Workspace) -> Path:
    """The workspace's file."""
    path = here.root / "hosts.toml"
    path.write_text(TEXT)
    return path


def test_the_first_host_makes_the_file(here: Workspace) -> None:
    """Only what is not the default is written, and it is read as it was meant."""
    host = Host(
        name="v@b.lan",
        host="b.lan",
        user="v",
        port=22,
        identity_file='~/my "key" ü\\',
        jump="a,b",
        tags=("x",),
        backends=("cuda", "cpu"),
        transport="openssh",
    )
    assert add_host(here, MAC, user_file=False) == "hosts.toml"
    assert Path("hosts.toml").read_text() == "version = 1\n\n[hosts.mac]\n"
    add_host(here, host, user_file=False)
    assert Path("hosts.toml").read_text().splitlines()[3:6] == ["", '[hosts."v@b.lan"]', 'host = "b.lan"']
    assert load_hosts(here) == {"mac": MAC, "v@b.lan": host}
    assert os.listdir() == ["hosts.toml"]


def test_the_user_has_a_file_of_its_own(here: Workspace) -> None:
    """It is made with its folder, which is the user's alone; the workspace's is not touched."""
    name = add_host(here, MAC, user_file=True)
    assert name == str(hosts_file(here, user_file=True))
    assert stat.S_IMODE(os.stat(os.path.dirname(name)).st_mode) == 0o700
    assert (load_hosts(here), os.listdir()) == ({"mac": MAC}, [])
    remove_host(here, "mac", user_file=True)
    assert load_hosts(here) == {}


def test_a_host_comes_at_the_end(here: Workspace, file: Path) -> None:
    """All that stands before it stays."""
    add_host(here, Host(name="d", host="d"), user_file=False)
    assert file.read_text() == TEXT + "\n[hosts.d]\n"
    file.write_text("\n")
    add_host(here, Host(name="d", host="d"), user_file=False)
    assert file.read_text() == "[hosts.d]\n"


def test_a_host_is_not_overwritten(here: Workspace, file: Path) -> None:
    """Neither is one added that another would hide; one that hides the user's own may be."""
    with pytest.raises(Refused, match=r"`hosts\.toml` already has a host `mac`; nothing was changed"):
        add_host(here, MAC, user_file=False)
    with pytest.raises(Refused, match=r"`hosts\.toml` already has a host `mac`; nothing was changed"):
        add_host(here, MAC, user_file=True)
    assert file.read_text() == TEXT
    add_host(here, Host(name="d", host="u"), user_file=True)
    add_host(here, Host(name="d", host="w"), user_file=False)
    assert load_hosts(here)["d"].host == "w"


def test_a_host_goes_with_its_own_lines(here: Workspace, file: Path) -> None:
    """Comments on others stay."""
    remove_host(here, "mac", user_file=False)
    assert file.read_text() == TEXT[: TEXT.index("[hosts.mac]")] + TEXT[TEXT.index("# About") :]
    remove_host(here, "b.1", user_file=False)
    assert file.read_text() == "# Ours.\nversion = 1\n\n# About b:\n#   it is old.\n[hosts.c]\n"


def test_what_is_not_there_cannot_go(here: Workspace, file: Path) -> None:
    """The file that was looked into is named."""
    with pytest.raises(UnknownName, match="no host `mca`; did you mean `mac`") as caught:
        remove_host(here, "mca", user_file=False)
    assert caught.value.hint == "it is not in `hosts.toml`; `llorch remote hosts list` shows all"
    with pytest.raises(UnknownName):
        remove_host(here, "mac", user_file=True)
    with pytest.raises(UnknownName, match="no host `mca`; did you mean `mac`"):
        set_value(here, "mca", "llorch", "/x")
    assert file.read_text() == TEXT


def test_a_value_is_set_in_its_place(here: Workspace, file: Path) -> None:
    """A new key stands before comments on what comes next, an old one keeps its comment."""
    assert set_value(here, "mac", "llorch", "/a ü") == "hosts.toml"
    set_value(here, "b.1", "llorch", "/b")
    set_value(here, "c", "llorch", "/c")
    expected = TEXT.replace("]\n\n# About", ']\nllorch = "/a ü"\n\n# About').replace("'/old' #", '"/b" #')
    assert file.read_text() == expected + 'llorch = "/c"\n'


def test_a_value_is_set_where_the_host_is_declared(here: Workspace, file: Path) -> None:
    """The user's own file is written where only that has the host."""
    name = add_host(here, Host(name="d", host="d"), user_file=True)
    assert set_value(here, "d", "llorch", "/d") == name
    assert (load_hosts(here)["d"].llorch, file.read_text()) == ("/d", TEXT)


@pytest.mark.parametrize(
    "text",
    [
        '[hosts]\nmac = { host = "m" } # one\nb = {}\n',
        'hosts.mac = { host = "m" }\n',
        '[hosts]\nmac.host = "m"\n',
        '["hosts"."mac"]\n"host" = """m"""\n',
    ],
)
def test_layouts_of_all_kinds(here: Workspace, file: Path, text: str) -> None:
    """However the file is written, the change is made, or refused as one that cannot be."""
    changes: list[tuple[Callable[[], str], dict[str, str | None]]] = [
        (lambda: set_value(here, "mac", "llorch", "/x"), {"mac": "/x"}),
        (lambda: remove_host(here, "mac", user_file=False), {}),
        (lambda: add_host(here, Host(name="d", host="d"), user_file=False), {"mac": None, "d": None}),
    ]
    for change, outcome in changes:
        file.write_text(text)
        refused = ""
        try:
            change()
        except LlorchError as error:
            refused = error.message
        found = {name: host.llorch for name, host in load_hosts(here).items() if name != "b"}
        assert found == outcome or (file.read_text() == text and "in a way that llorch cannot edit" in refused)


def test_what_the_editor_cannot_do_is_refused(here: Workspace, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that says something else than was meant is not written, nor one that is not TOML."""
    for text in (TEXT, "[hosts"):
        monkeypatch.setattr("tomlkit.dumps", lambda document, text=text: text)
        with pytest.raises(LlorchError, match="cannot edit") as caught:
            set_value(here, "mac", "llorch", "/x")
        assert caught.value.hint == "write each host as one table `[hosts.NAME]`; or make the change by hand"
    monkeypatch.setattr("tomlkit.parse", lambda text: {"host": text})
    with pytest.raises(LlorchError, match="cannot edit"):
        set_value(here, "mac", "llorch", "/x")
    assert file.read_text() == TEXT


def test_a_wrong_result_is_not_written(here: Workspace, file: Path) -> None:
    """It is named with its line; so is what was wrong before."""
    with pytest.raises(ConfigError, match=r"hosts\.toml:20: hosts\.d\.port: must be from 1") as caught:
        add_host(here, Host(name="d", host="d", port=0), user_file=False)
    assert caught.value.hint == "nothing was changed; this is what `hosts.toml` would be like"
    assert (file.read_text(), os.listdir()) == (TEXT, ["hosts.toml"])
    file.write_text("[hosts.mac]\nport = 0\n")
    with pytest.raises(ConfigError) as caught:
        remove_host(here, "mac", user_file=False)
    assert caught.value.hint is None


def test_a_link_stays_one(here: Workspace) -> None:
    """The file that a link leads to is replaced, and its line ends stay."""
    Path("shared").mkdir()
    Path("shared/h.toml").write_bytes(TEXT.replace("\n", "\r\n").encode())
    Path("hosts.toml").symlink_to("shared/h.toml")
    set_value(here, "b.1", "llorch", "/new")
    assert Path("hosts.toml").is_symlink()
    assert Path("shared/h.toml").read_bytes().decode() == TEXT.replace("'/old'", '"/new"').replace("\n", "\r\n")


def test_hosts_added_at_the_same_time_are_all_there(here: Workspace) -> None:
    """Each waits for the one before it, and begins with what that one wrote."""
    names, errors = [f"h{number}" for number in range(12)], list[BaseException]()

    def add(name: str) -> None:
        try:
            add_host(here, Host(name=name, host=name), user_file=False)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(load_hosts(here)) == sorted(names)
