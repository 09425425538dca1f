"""Configurations of ssh to resolve hosts with: with the ssh program, and without."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from llorch.remote.hosts import Host
from llorch.remote.route import CONFIG, Route, resolve
from llorch.remote.transport import Deadline
from tests.conftest import IN_CI

CASES = sorted((Path(__file__).parent / "cases/ssh_config").glob("*.conf"))


@dataclass(frozen=True)
class Case:
    """A configuration, the hosts to ask it for, and how their answers end in errors, if they do."""

    hosts: tuple[str, ...]
    refused: str
    """What the message has where there is no ssh program."""
    ssh_refuses: str
    """What the message has where there is one."""


def write_case(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Write a case's files into a folder, and have its first one be ssh's configuration.

    Lines of its head say `# ask:`, `# refused:` and `# ssh-refuses:`; `# file:` begins another file, and {folder} is
    where they are.
    """
    text = path.read_text().replace("{folder}", str(folder))
    main, *others = re.split(r"^# file: (.*)\n", text, flags=re.MULTILINE)
    for name, content in zip(others[::2], others[1::2], strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    use_config(main, folder, monkeypatch)
    said = dict(re.findall(r"^# (ask|refused|ssh-refuses): (.*)$", main, re.MULTILINE))
    return Case(tuple(said["ask"].split()), said.get("refused", ""), said.get("ssh-refuses", ""))


def use_config(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a text be ssh's configuration."""
    config = folder / "ssh config ü"
    config.write_text(text)
    monkeypatch.setenv(CONFIG, str(config))
    return config


def need_ssh() -> None:
    """Skip the test where there is no ssh program; CI has one."""
    if shutil.which("ssh") is None:
        assert not IN_CI, "CI needs the ssh program"
        pytest.skip("there is no ssh program")


def with_ssh(name: str) -> Route:
    """Return the way to a host as ssh finds it."""
    return route_to(Host(name=name, host=name))


def without_ssh(host: str | Host, monkeypatch: pytest.MonkeyPatch, hosts: dict[str, Host] | None = None) -> Route:
    """Return the way to a host as it is found where there is no ssh program."""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.devnull)
        return route_to(Host(name=host, host=host) if isinstance(host, str) else host, hosts)


def route_to(host: Host, hosts: Mapping[str, Host] | None = None) -> Route:
    """Return the way to a host, with time enough."""
    return resolve(host, hosts or {}, Deadline(host.name, 30))
