"""The way to a host; what it leads to is in test_connection."""

from pathlib import Path

import pytest

from llorch.errors import ConnectionFailed
from llorch.remote.command import RUN
from llorch.remote.connection import SshConnection
from llorch.remote.openssh import OpenSshConnection
from llorch.remote.streams import Request
from tests.remote.conftest import Heard, reach_of


def test_an_entry_says_how(box: Path) -> None:
    """`transport` chooses who connects."""
    reach = reach_of(box)
    kinds = {name: type(reach.connect(host)) for name, host in reach.hosts.items()}
    assert kinds == {"box": SshConnection, "tin": OpenSshConnection}


@pytest.mark.parametrize("name", ["box", "tin"])
def test_a_configuration_that_hangs_is_given_up(box: Path, name: str) -> None:
    """By either way ssh has only the seconds that there are to read its configuration."""
    (box.parent / "ssh_config").write_text('Match exec "sleep 1000"\n')
    reach = reach_of(box, 0.5)
    with pytest.raises(ConnectionFailed, match=r"reading ssh's configuration took too long: 0\.5 s are over"):
        reach.connect(reach.hosts[name])


def test_what_is_raised_meanwhile_ends_the_script(box: Path) -> None:
    """Whatever stops the waiting stops what runs there."""
    reach = reach_of(box)

    def fail(data: bytes) -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # it is the sink's own
        reach.run(reach.hosts["box"], Request(RUN, ("", "cat", "/dev/zero")), fail, fail)
    assert Heard().run(reach, "box", Request(RUN, ("", "true"))) == (0, "ok", ())
