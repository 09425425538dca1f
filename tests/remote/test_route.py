"""The way to a host: what ssh says, what hosts.toml says before it, and the hops between."""

import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from llorch.errors import CommandFailed, ConfigError, ConnectionFailed, LlorchError
from llorch.remote.hosts import Host
from llorch.remote.route import CONFIG, IDENTITIES, Route, parse_jump, parse_settings, resolve, ssh_config
from llorch.remote.transport import Deadline
from tests.remote.configs import need_ssh, route_to, use_config, without_ssh

HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)
PLAIN = Route(
    hostname="box",
    port=22,
    user=pwd.getpwuid(os.getuid()).pw_name,
    identity_files=tuple(HOME / ".ssh" / name for name in IDENTITIES),
    certificate_files=(),
    identities_only=False,
    identity_agent=None,
    user_known_hosts=(HOME / ".ssh/known_hosts", HOME / ".ssh/known_hosts2"),
    global_known_hosts=(Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2")),
    host_key_alias=None,
    strict_host_key_checking="ask",
    proxy_command=None,
    jumps=(),
    connect_timeout=None,
    server_alive_interval=0,
    hashed=False,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration is, which says nothing yet."""
    need_ssh()
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    use_config("", tmp_path, monkeypatch)
    return tmp_path


def both(host: Host, monkeypatch: pytest.MonkeyPatch, hosts: dict[str, Host] | None = None) -> Route:
    """Return the way to a host, which is the same with and without the ssh program."""
    route = route_to(host, hosts)
    assert without_ssh(host, monkeypatch, hosts) == route
    return route


def host(name: str, **values: str | int) -> Host:
    """Return a host."""
    return replace(Host(name=name, host=name), **values)  # type: ignore[arg-type]  # of what kind, the test knows


def test_without_a_word_it_is_what_ssh_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty configuration has ssh's own defaults, and the agent of the environment."""
    assert both(host("box"), monkeypatch) == PLAIN
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/a b/ü")
    assert both(host("box"), monkeypatch) == replace(PLAIN, identity_agent=Path("/run/a b/ü"))


def test_every_value_arrives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is what the configuration says, with its spaces and letters."""
    monkeypatch.setenv("WORD", "wörd")
    text = """\
Host alias
  HostName %h.Example.ORG
  Port 2222
  User "vince ü"
  IdentityFile "~/.ssh/mein schlüssel"
  IdentityFile /keys/%h-%r
  CertificateFile "${WORD}/a b-cert.pub"
  IdentitiesOnly yes
  IdentityAgent "~/agent ü.sock"
  UserKnownHostsFile "/known hosts" ~/ünknown
  GlobalKnownHostsFile "/etc/a b"
  HostKeyAlias Other
  StrictHostKeyChecking accept-new
  ConnectTimeout 7
  ServerAliveInterval 15
  HashKnownHosts yes
  ProxyCommand nc "a ü" %h:%p %r
"""
    use_config(text, folder, monkeypatch)
    assert both(host("alias"), monkeypatch) == Route(
        hostname="alias.example.org",
        port=2222,
        user="vince ü",
        identity_files=(HOME / ".ssh/mein schlüssel", Path("/keys/alias.example.org-vince ü")),
        certificate_files=(Path("wörd/a b-cert.pub"),),
        identities_only=True,
        identity_agent=HOME / "agent ü.sock",
        user_known_hosts=(Path("/known hosts"), HOME / "ünknown"),
        global_known_hosts=(Path("/etc/a b"),),
        host_key_alias="other",
        strict_host_key_checking="accept-new",
        proxy_command='nc "a ü" alias.example.org:2222 vince ü',
        jumps=(),
        connect_timeout=7,
        server_alive_interval=15,
        hashed=True,
    )


def test_hosts_toml_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values are taken before those of ssh's configuration, which is asked for them, and its key is tried first."""
    text = "Match user me\n HostName mine.lan\nHost box\n User other\n Port 3\n IdentityFile /theirs\n"
    use_config(text, folder, monkeypatch)
    declared = host("name", host="box", user="me", port=5, identity_file="~/a %h ${X} ü")
    route = route_to(declared)
    keys = (Path(os.environ["HOME"], "a %h ${X} ü"), Path("/theirs"))
    assert (route.hostname, route.user, route.port, route.identity_files) == ("mine.lan", "me", 5, keys)
    use_config(text.partition("\n")[2].partition("\n")[2], folder, monkeypatch)
    assert both(declared, monkeypatch) == replace(route, hostname="box")
    assert both(host("x", host="me@box"), monkeypatch) == replace(
        route, hostname="box", port=3, identity_files=keys[1:], own_key=None
    )
    assert both(host("x", host="me@box", user="you"), monkeypatch).user == "you"
    own = both(host("x", identity_file="/mine"), monkeypatch)
    assert (own.own_key, own.identity_files) == (Path("/mine"), (Path("/mine"),))
    assert both(host("box", identity_file="/theirs"), monkeypatch).identity_files == (Path("/theirs"),)


def test_a_jump_of_hosts_toml_is_taken_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names declared hosts, which have values and jumps of their own, and others; ssh's own way is not taken."""
    use_config("Host box\n ProxyCommand never\nHost blep.lan\n Port 9\n User config\n", folder, monkeypatch)
    hosts = {
        "blep": host("blep", host="blep.lan", user="me", jump="outer"),
        "outer": host("outer", host="o.lan", port=4),
        "second": host("second", jump="never"),
    }
    route = both(host("box", jump="blep,second,you@third:33"), monkeypatch, hosts)
    assert [(hop.user, hop.hostname, hop.port) for hop in route.jumps] == [
        (PLAIN.user, "o.lan", 4),
        ("me", "blep.lan", 9),
        (PLAIN.user, "second", 22),
        ("you", "third", 33),
    ]
    assert (route.proxy_command, {hop.jumps for hop in route.jumps}) == (None, {()})
    none = both(host("box", jump="none"), monkeypatch, hosts)
    assert (none.proxy_command, none.jumps) == (None, ())


def test_hops_are_reached_as_ssh_reaches_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hop's own way is taken, its command too; those after it are reached through the one before."""
    text = (
        "Host box\n ProxyJump a,me@b:5\nHost a\n ProxyJump z\nHost b\n ProxyJump never\nHost z\n ProxyCommand nc %n\n"
    )
    use_config(text, folder, monkeypatch)
    route = both(host("box"), monkeypatch, {"a": host("a", host="not-this")})
    assert [(hop.hostname, hop.port, hop.proxy_command) for hop in route.jumps] == [
        ("z", 22, "nc z"),
        ("a", 22, None),
        ("b", 5, None),
    ]
    assert route.jumps[2].user == "me"


def test_a_way_that_never_ends_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that are reached through each other are named, with what to say; of one through itself, ssh does."""
    use_config("Host a\n ProxyJump b\nHost b\n ProxyJump a\n", folder, monkeypatch)
    for name, loop in (("box", ""), ("a", "`a` → `b` → `a`"), ("via", "`via` → `a` → `b` → `a`")):
        declared = host(name, **({"jump": "a"} if name == "via" else {}))
        if not loop:
            assert both(declared, monkeypatch).jumps == ()
            continue
        with pytest.raises(ConfigError, match=f"ProxyJump: never ends: {loop}") as caught:
            route_to(declared)
        assert caught.value.hint == "say `ProxyJump none` for the host that is to be reached directly"
    use_config("Host *\n ProxyJump gate\n", folder, monkeypatch)
    with pytest.raises(CommandFailed, match="jumphost loop via gate"):
        route_to(host("box"))
    with pytest.raises(ConfigError, match="never ends: `box` → `gate` → `gate`"):
        without_ssh("box", monkeypatch)
    use_config("Host *\n ProxyJump x%h\n", folder, monkeypatch)
    with pytest.raises(ConfigError, match="never ends: `box` → `xbox` → `xxbox` → "):
        route_to(host("box"))


def test_what_only_ssh_can_do_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that hands over a socket needs the other transport."""
    use_config("ProxyCommand nc %h\nProxyUseFdpass yes\n", folder, monkeypatch)
    with pytest.raises(LlorchError, match="only ssh itself can reach `box`: it has ProxyUseFdpass") as caught:
        route_to(host("box"))
    assert caught.value.hint == 'set `transport = "openssh"` for `box` in hosts.toml'


def test_a_wrong_configuration_is_sshs_to_say(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its message has file and line."""
    use_config("\nProt 1\n", folder, monkeypatch)
    with pytest.raises(CommandFailed, match=r"ssh config .*line 2: Bad configuration option: prot") as caught:
        route_to(host("box"))
    assert caught.value.hint == "`ssh -G box` says what is wrong with its configuration"


def test_a_configuration_without_end_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ssh waits for while it reads, as a command of `Match exec`, is ended when the time is over."""
    os.mkfifo(folder / "alive")
    use_config(f'Match exec "exec 3>{folder}/alive; sleep 1000"\n', folder, monkeypatch)
    with open(os.open(folder / "alive", os.O_RDONLY | os.O_NONBLOCK), "rb") as alive:
        with pytest.raises(ConnectionFailed) as caught:
            resolve(host("box"), {}, Deadline("box", 0.5))
        os.set_blocking(alive.fileno(), True)
        assert alive.read() == b""  # its end: nobody has it open
    assert caught.value.reason == "reading ssh's configuration took too long: 0.5 s are over"
    assert "`Match exec`" in str(caught.value.hint)


def test_another_configuration_can_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found from the current folder or the home, and has to be there."""
    monkeypatch.chdir(folder)
    for name in ("ssh config ü", "~/mine"):
        Path(os.environ["HOME"], "mine").write_text("")
        monkeypatch.setenv(CONFIG, name)
        assert ssh_config() == Path(os.path.abspath(os.path.expanduser(name)))
    monkeypatch.setenv(CONFIG, "none.conf")
    with pytest.raises(ConfigError, match=r"LLORCH_SSH_CONFIG: there is no file `.*/none\.conf`"):
        route_to(host("box"))
    monkeypatch.setenv(CONFIG, "")
    assert ssh_config() is None
    assert route_to(host("box", port=5)).port == 5


def test_files_that_cannot_be_told_apart_are_refused() -> None:
    """A line of several relative names could be one with spaces."""
    assert parse_settings("userknownhostsfile a\n") == {"userknownhostsfile": ("a",)}
    assert parse_settings("x a /b\u2028c\n") == {"x": ("a /b\u2028c",)}
    for value in ("a b", "a b /c"):
        with pytest.raises(ConfigError, match="does not tell where one file ends"):
            parse_settings(f"userknownhostsfile {value}\n")


@pytest.mark.parametrize("jump", ["-x", "a,", "me@-x", "-l@b", "a:0", "a:65536", "[::1", "[]", "a b", "$(id)", "ü"])
def test_hops_are_names(jump: str) -> None:
    """What could be an option or shell code is no hop."""
    with pytest.raises(ConfigError, match="ProxyJump"):
        parse_jump(jump, {})


def test_hops_have_addresses() -> None:
    """An address of IPv6 may have brackets or not; without, it has no port."""
    hops = parse_jump("[fe80::1%eth0]:5,::1,a@b@c:7", {})
    assert [(hop.user, hop.host, hop.port) for hop in hops] == [
        (None, "fe80::1%eth0", 5),
        (None, "::1", None),
        ("a@b", "c", 7),
    ]
