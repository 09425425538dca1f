"""Declared hosts: what is accepted, every mistake with its place, and which ones a command line means."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from llorch.config import Workspace
from llorch.errors import ConfigError, UnknownName
from llorch.remote.hosts import Host, check_destination, find_host, hosts_file, load_hosts, select_hosts


def load(root: Path, own: str | None = None, users: str | None = None) -> Mapping[str, Host]:
    """Load the hosts after writing the files that are given."""
    workspace = Workspace(root=root, declared=True)
    for text, user_file in ((own, False), (users, True)):
        if text is not None:
            path = hosts_file(workspace, user_file=user_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return load_hosts(workspace)


def problems(root: Path, own: str | None = None, users: str | None = None) -> list[str]:
    """Return what is wrong with the files."""
    with pytest.raises(ConfigError) as caught:
        load(root, own, users)
    return [str(problem) for problem in caught.value.problems]


def test_a_key_is_looked_for_beside_the_file_that_names_it(workspace: Path) -> None:
    """A relative path is from the workspace's root, or the user's folder of settings, wherever a command is called."""
    own = 'version = 1\n[hosts.a]\nidentity_file = "keys/a"\n[hosts.b]\nidentity_file = "/b"\n'
    users = 'version = 1\n[hosts.c]\nidentity_file = "../c"\n[hosts.d]\nidentity_file = "~/d"\n[hosts.e]\n'
    files = {name: host.identity_file for name, host in load(workspace, own, users).items()}
    folder = Path.home() / ".config/llorch"
    assert files == {"a": f"{workspace}/keys/a", "b": "/b", "c": f"{folder}/../c", "d": "~/d", "e": None}


def test_a_host_has_all_it_says(workspace: Path) -> None:
    """Every key is read."""
    hosts = load(
        workspace,
        """\
version = 1
[hosts.workstation]
host = "workstation.home.arpa"
user = "vince"
port = 2222
identity_file = "~/.ssh/mein schlüssel"
repo_path = "~/Prøjects/llama orch"
jump = "blep,me@gate:22"
tags = ["gpu"]
backends = ["cuda"]
transport = "openssh"
llorch = "/srv/llorch"
[hosts."v@fe80::1%eth0"]
""",
    )
    assert hosts == {
        "workstation": Host(
            name="workstation",
            host="workstation.home.arpa",
            user="vince",
            port=2222,
            identity_file="~/.ssh/mein schlüssel",
            repo_path="~/Prøjects/llama orch",
            jump="blep,me@gate:22",
            tags=("gpu",),
            backends=("cuda",),
            transport="openssh",
            llorch="/srv/llorch",
        ),
        "v@fe80::1%eth0": Host(name="v@fe80::1%eth0", host="v@fe80::1%eth0"),
    }
    assert hosts["v@fe80::1%eth0"].repository == "~/Projects/llama-orch"
    assert hosts["workstation"].repository == "~/Prøjects/llama orch"


def test_the_workspace_comes_before_the_user(workspace: Path) -> None:
    """An entry of the workspace wins whole, and those that only the user has follow."""
    assert load(workspace) == {}
    own = '[hosts.z]\nuser = "a"\n[hosts.m]\n'
    hosts = load(workspace, own, '[hosts.b]\n[hosts.z]\nuser = "b"\nport = 3\n')
    assert [*hosts] == ["z", "m", "b"]
    assert hosts["z"] == Host(name="z", host="z", user="a")
    assert load_hosts(Workspace(root=workspace, declared=True), {"XDG_CONFIG_HOME": "/nowhere"}).keys() == {"z", "m"}


def test_all_mistakes_of_both_files_are_said(workspace: Path) -> None:
    """Each has its file, line and key."""
    users = f"{os.environ['HOME']}/.config/llorch/hosts.toml"
    assert problems(
        workspace, "[hosts.a]\nprot = 1\n[hosts.b]\nport = 0\n", "[hosts.c]\nport = 65536\n[hosts.d]\nuser = 1 2"
    ) == [
        f"{users}:2: hosts.c.port: must be from 1 to 65535, and is 65536",
        f"{users}:4: hosts.d: is not valid TOML: expected newline or end of document after a statement",
        "hosts.toml:2: hosts.a.prot: unknown key (did you mean `port`?)",
        "hosts.toml:4: hosts.b.port: must be from 1 to 65535, and is 0",
    ]


NAME = "is not a name for ssh: letters, digits, `.`, `_`, `:`, `@`, `%` and `-`, but no `-` first"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("host = ''", f"host: `` {NAME}"),
        ("host = '-oProxyCommand=x'", f"host: `-oProxyCommand=x` {NAME}"),
        ("host = 'me@-x'", f"host: `me@-x` {NAME}"),
        ("host = 'me@'", f"host: `me@` {NAME}"),
        ("host = '@box'", f"host: `@box` {NAME}"),
        ("host = 'a b'", f"host: `a b` {NAME}"),
        ("host = 'ü'", f"host: `ü` {NAME}"),
        ('host = "box\\n"', f"host: `box\\n` {NAME}"),
        ("host = '$(id)'", f"host: `$(id)` {NAME}"),
        ("user = '-l'", f"user: `-l` {NAME}"),
        ("user = ';id'", f"user: `;id` {NAME}"),
        ("jump = 'a,-b'", f"jump: `-b` {NAME}"),
        ("jump = 'a,b@-c,d'", f"jump: `b@-c` {NAME}"),
        ("jump = 'a,'", f"jump: `` {NAME}"),
        ("port = -1", "port: must be from 1 to 65535, and is -1"),
        ("port = '22'", "port: must be an integer, not the string '22'"),
        ("repo_path = ''", "repo_path: is empty"),
        ('repo_path = "a\\nb"', "repo_path: has control characters"),
        ('repo_path = "a\\u001bb"', "repo_path: has control characters"),
        ('identity_file = "a\\tb"', "identity_file: has control characters"),
        ('repo_path = "~vince/x"', "repo_path: `~` stands for the home folder of the one who logs in"),
        ('llorch = "~vince/x"', "llorch: `~` stands for the home folder of the one who logs in"),
        ("llorch = ''", "llorch: is empty"),
        ("tags = ['a', 'b c']", "tags: `b c` may have letters, digits, `.`, `_` and `-`"),
        ("tags = ['@a']", "tags: `@a` may have letters, digits, `.`, `_` and `-`"),
        ("backends = ['']", "backends: `` may have letters, digits, `.`, `_` and `-`"),
        ("transport = 'telnet'", "transport: must be one of 'paramiko', 'openssh', not the string 'telnet'"),
        ("name = 'x'", "name: unknown key"),
    ],
)
def test_wrong_values_are_named(workspace: Path, line: str, problem: str) -> None:
    """A value that ssh, a shell or a path could mistake for something else is refused at its line."""
    assert problems(workspace, f"[hosts.a]\n\n{line}\n")[0].startswith(f"hosts.toml:3: hosts.a.{problem}")


@pytest.mark.parametrize("name", ["all", "none", "@cuda", "a,b", "-x", "", "a b", "a\\u001b", "a\\n"])
def test_names_that_mean_something_else_are_refused(workspace: Path, name: str) -> None:
    """A table's name can be written on the command line, and means this host alone."""
    (problem,) = problems(workspace, f'[hosts."{name}"]\n')
    assert problem.startswith("hosts.toml:1: hosts.")
    assert problem.isprintable()


@pytest.mark.parametrize(
    ("jumps", "loops"),
    [
        ({"a": "b", "b": "c", "c": "gate"}, []),
        ({"a": "b,c", "b": "d", "c": "a"}, []),  # `c` is reached through `b` here, so its own jump is not taken
        ({"a": "none", "b": "a"}, []),
        ({"a": "a"}, ["1: hosts.a.jump: leads back to where it began: `a` → `a`"]),
        ({"a": "x,a"}, ["1: hosts.a.jump: leads back to where it began: `a` → `a`"]),
        (
            {"z": "a", "a": "b", "b": "c,d", "c": "a"},
            ["3: hosts.a.jump: leads back to where it began: `a` → `b` → `c`"],
        ),
        ({"a": "b", "b": "a", "c": "c"}, ["1: hosts.a.jump: leads back", "5: hosts.c.jump: leads back"]),
    ],
)
def test_jumps_lead_somewhere(workspace: Path, jumps: Mapping[str, str], loops: list[str]) -> None:
    """A loop is named with all of its hosts, once; a way that ends is none."""
    text = "".join(f'[hosts.{name}]\njump = "{jump}"\n' for name, jump in jumps.items())
    if not loops:
        assert load(workspace, text).keys() == jumps.keys()
        return
    for problem, loop in zip(problems(workspace, text), loops, strict=True):
        line, rest = loop.split(":", 1)
        assert problem.startswith(f"hosts.toml:{int(line) + 1}:{rest}")


def test_a_loop_through_both_files_is_found(workspace: Path) -> None:
    """Hosts of either file can be jumped through, and the loop is said where it begins."""
    loop = "jump: leads back to where it began: `a` → `b` → `a`"
    assert problems(workspace, '[hosts.a]\njump = "b"\n', '[hosts.b]\njump = "a"\n') == [
        f"hosts.toml:2: hosts.a.{loop}"
    ]


def test_a_file_that_cannot_be_read_is_said(workspace: Path) -> None:
    """What is there and is no file is an error."""
    (workspace / "hosts.toml").mkdir()
    assert problems(workspace) == ["hosts.toml: cannot be read: Is a directory"]


HOSTS = {
    host.name: host
    for host in (
        Host(name="mac", host="mac", tags=("home",), backends=("metal",)),
        Host(name="workstation", host="w.lan", tags=("gpu", "home"), backends=("cuda", "cpu")),
        Host(name="gate", host="gate"),
    )
}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gate,mac", ["gate", "mac"]),
        (" gate , mac ", ["gate", "mac"]),
        ("@cuda", ["workstation"]),
        ("@home", ["mac", "workstation"]),
        ("all", ["mac", "workstation", "gate"]),
        ("gate,all,mac,@home", ["gate", "mac", "workstation"]),
    ],
)
def test_hosts_are_selected(text: str, names: list[str]) -> None:
    """Names, tags, backends and all can be mixed, and no host comes twice."""
    assert select_hosts(text, HOSTS) == tuple(HOSTS[name] for name in names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workstatoin", "there is no host `workstatoin`; did you mean `workstation`?"),
        ("mac,", "there is no host ``"),
        ("me@box", "there is no host `me@box`"),
        ("@cudda", "there is no tag or backend `cudda`; did you mean `cuda`?"),
        ("@mac", "there is no tag or backend `mac`"),
        ("\x1b[31m", "there is no host `\\x1b[31m`"),
    ],
)
def test_unknown_names_are_refused(text: str, message: str) -> None:
    """Where a repository is worked in, only declared hosts will do, and the nearest name is said."""
    with pytest.raises(UnknownName) as caught:
        select_hosts(text, HOSTS)
    assert (caught.value.message, caught.value.hint) == (message, "`llorch remote hosts list` shows those there are")


def test_an_address_has_the_host_that_is_there() -> None:
    """As `llorch-remote` took it; it is told, since another host may be declared by the same address."""
    with pytest.raises(UnknownName, match=r"there is no host `w\.lan`") as caught:
        select_hosts("mac,w.lan", HOSTS)
    assert caught.value.hint == "it is the address of `workstation`"


def test_all_of_none_is_an_error() -> None:
    """Working on no host at all is not done silently."""
    with pytest.raises(UnknownName, match="no host `all`") as caught:
        select_hosts("all", {})
    assert caught.value.hint == "`llorch remote hosts add NAME` declares one"


def test_any_destination_can_be_connected_to() -> None:
    """A declared host comes first; what could be an option or shell code is none."""
    assert find_host("workstation", HOSTS).host == "w.lan"
    assert find_host("me@box", HOSTS) == Host(name="me@box", host="me@box")
    for text in ("-oProxyCommand=x", "a;b", "`id`", "$(id)", "", "a b", "me@-x", "@cuda", "mac,gate"):
        assert check_destination(text) is not None
        with pytest.raises(UnknownName):
            find_host(text, HOSTS)
