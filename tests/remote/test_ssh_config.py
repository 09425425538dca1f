"""Reading ssh's configuration without ssh: as ssh does, or not at all."""

import os
from pathlib import Path

import pytest

from llorch.errors import ConfigError, LlorchError
from llorch.remote import ssh_config, tokens
from llorch.remote.ssh_config import read_ssh_config
from tests.remote.configs import CASES, need_ssh, use_config, with_ssh, without_ssh, write_case


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration is."""
    monkeypatch.setenv("LLORCH_TEST_WORD", "wörd")
    monkeypatch.setenv("LLORCH_TEST_AGENT", "/run/agent ü")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/the user's")
    (tmp_path / "ssh").mkdir()
    return tmp_path / "ssh"


def test_there_are_cases() -> None:
    """The cases are found."""
    assert len(CASES) >= 27


@pytest.mark.parametrize("path", CASES, ids=[path.stem for path in CASES])
def test_it_is_read_as_ssh_reads_it(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each host is reached the same way without the ssh program, or that is refused by line and name."""
    need_ssh()
    case = write_case(path, folder, monkeypatch)
    for name in case.hosts:
        if case.ssh_refuses:
            with pytest.raises(LlorchError) as caught:
                with_ssh(name)
            assert case.ssh_refuses in caught.value.message
        route = None if case.ssh_refuses else with_ssh(name)
        if not case.refused:
            assert without_ssh(name, monkeypatch) == route
            continue
        with pytest.raises(ConfigError) as refused:
            without_ssh(name, monkeypatch)
        assert case.refused in refused.value.message
        assert refused.value.problems[0].hint or refused.value.hint


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Port", "1: is not a keyword with a value"),
        ("Port =", "1: is not a keyword with a value"),
        ("'Port' 1", "1: is not a keyword with a value"),
        ("User a b", "1: user: must have one value"),
        ('User ""', "1: user: has an empty value"),
        ("User # me", "1: user: has an empty value"),
        ("Port 65536", "1: port: `65536` is not a plain number, or not a possible one"),
        ("Port ssh", "1: port: `ssh` is not a plain number, or not a possible one"),
        ("Port ²", "1: port: `²` is not a plain number, or not a possible one"),
        ("IdentitiesOnly maybe", "1: identitiesonly: `maybe` cannot be followed without ssh"),
        ("ProxyJump ssh://a", "1: proxyjump: is not a list of `user@host:port`"),
        ('ProxyJump "a"', "1: proxyjump: is not a list of `user@host:port`"),
        ("ProxyJump none # x", "1: proxyjump: has a comment, with which ssh 9.2 takes `none` for a host"),
        ("IdentityAgent %%d", "1: identityagent: has `%%`, which ssh puts in twice"),
        ("UserKnownHostsFile none /x", "1: userknownhostsfile: has more than `none`"),
        ("Include ${HOME}/x", "1: include: `${HOME}/x` has a variable"),
        ("Include /%d/x", "1: include: `/%d/x` has a variable"),
        ("Include ~no-such-user/x", "ssh's configuration: ~no-such-user/x: there is no user `no-such-user`"),
        ("IdentityFile ~no-such-user/x", "ssh's configuration: ~no-such-user/x: there is no user `no-such-user`"),
        ("IdentityFile %x", "ssh's configuration: %x: `%x` stands for nothing here"),
        ("IdentityFile %", "ssh's configuration: %: `%` stands for nothing here"),
        ("IdentityFile ${LLORCH_TEST_NONE}", "ssh's configuration: ${LLORCH_TEST_NONE}: `${LLORCH_TEST_NONE}` stands"),
        ("ProxyCommand nc %d", "ssh's configuration: nc %d: `%d` stands for nothing here"),
        ("HostName %p", "ssh's configuration: %p: `%p` stands for nothing here"),
    ],
)
def test_what_is_not_understood_is_refused(
    line: str, problem: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would decide the way, and could be read differently, is named with its place."""
    use_config(line + "\n", folder, monkeypatch)
    with pytest.raises(ConfigError) as caught:
        without_ssh("box", monkeypatch)
    assert problem in caught.value.message


def test_what_is_no_business_of_ours_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that do not decide the way, and lines for other hosts, may be anything."""
    text = "SetEnv \"A=b c' \\\nHost other\n Port many\n Include ${NONE}\n IdentityAgent \\\n"
    config = use_config(text, folder, monkeypatch)
    assert without_ssh("box", monkeypatch).port == 22
    config.write_bytes(b"Host box\r\n  Port 7 \f\r\n  User \xff\r\n")
    assert without_ssh("box", monkeypatch).user == os.fsdecode(b"\xff")


def test_the_users_file_comes_before_the_systems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are read, relative names of included files begin at each one's folder, and neither needs to be there."""
    monkeypatch.setattr(ssh_config, "home", lambda: str(folder))
    monkeypatch.setattr(tokens, "home", lambda user="": str(folder))
    monkeypatch.setattr(ssh_config, "SYSTEM", folder / "etc/ssh_config")
    assert read_ssh_config("box", None, {})["port"] == ("22",)
    for path, text in {
        ".ssh/config": "Include mine* ~/other\nHost box\n Port 1\n",
        ".ssh/mine": "User mine\n",
        "other": "ConnectTimeout 3\n",
        "etc/ssh_config": "Include mine\nPort 2\nUser system\nConnectTimeout 4\n",
        "etc/mine": "HashKnownHosts yes\n",
    }.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    found = read_ssh_config("box", None, {})
    assert (found["port"], found["user"], found["connecttimeout"], found["hashknownhosts"]) == (
        ("1",),
        ("mine",),
        ("3",),
        ("yes",),
    )
    assert read_ssh_config("box", None, {"port": ("5",)})["port"] == ("5",)
    assert found["userknownhostsfile"] == (f"{folder}/.ssh/known_hosts", f"{folder}/.ssh/known_hosts2")


def test_a_file_that_cannot_be_read_is_said(folder: Path) -> None:
    """What is there and is no file is an error, with what to do."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_ssh_config("box", folder, {})
