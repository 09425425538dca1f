"""The way to a host; what it leads to is in test_connection."""

from pathlib import Path

import pytest

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


def test_what_is_raised_meanwhile_ends_the_script(box: Path) -> None:
    """Whatever stops the waiting stops what runs there."""
    reach = reach_of(box)

    def fail(data: bytes) -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # it is the sink's own
        reach.run(reach.hosts["box"], Request(RUN, ("", "cat", "/dev/zero")), fail, fail)
    assert Heard().run(reach, "box", Request(RUN, ("", "true"))) == (0, "ok", ())
