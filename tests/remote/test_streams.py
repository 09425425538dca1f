"""What comes from a host: told from what its login shell says, and passed on to its end."""

import os

import pytest

from llorch.remote.streams import Beginning, Pumps, new_mark


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_script_begins_after_its_mark(size: int) -> None:
    """However the bytes are cut, what the login shell says goes elsewhere, and the output is whole."""
    out, err = bytearray(), bytearray()
    beginning = Beginning("mark", out.extend, err.extend)
    begun: list[bytes] = []
    beginning.begun = lambda: begun.append(bytes(out))
    talk = b"Welcome!\nmar mark\nexec sh -c true sh mark '' pwd\nmark ok\nmark what 12\n> "
    data = talk + b"mark ok 12 1.0\nmark ok 13\n\xff\0"
    for at in range(0, len(data), size):
        beginning.feed(data[at : at + size])
    assert (beginning.state, beginning.pid, beginning.more) == ("ok", 12, ("1.0",))
    assert bytes(err) == talk
    assert bytes(out) == b"mark ok 13\n\xff\0"
    assert beginning.came.is_set()
    assert begun == [b""]


def test_a_script_that_never_begins() -> None:
    """Where no mark comes, all that came is the shell's, and whoever waits is told."""
    out, err = bytearray(), bytearray()
    beginning = Beginning("mark", out.extend, err.extend)
    beginning.feed(b"This account is not available.\nmark")
    assert not beginning.came.is_set()
    beginning.finish()
    assert beginning.came.is_set()
    assert (beginning.state, bytes(out), bytes(err)) == (None, b"", b"This account is not available.\nmark")


def test_marks_differ() -> None:
    """No mark can be known beforehand."""
    assert new_mark() != new_mark()


def test_pumps_pass_on_until_the_end() -> None:
    """All that is received goes to its sink, then the end is told."""
    ends: list[str] = []
    read, write = os.pipe()
    got = bytearray()
    pumps = Pumps(lambda: ends.append("gave up"))
    pumps.start(lambda size: os.read(read, size), got.extend, lambda: ends.append("end"))
    os.write(write, b"x" * 5000)
    os.close(write)
    pumps.wait()
    os.close(read)
    assert (bytes(got), ends) == (b"x" * 5000, ["end"])


def test_a_sink_that_fails_stops_all() -> None:
    """What a sink raises is raised to whoever waits, after the streams were given up."""
    ends: list[str] = []

    def fail(data: bytes) -> None:
        raise BrokenPipeError

    pumps = Pumps(lambda: ends.append("gave up"))
    pumps.start(lambda size: b"data", fail, lambda: ends.append("end"))
    with pytest.raises(BrokenPipeError):
        pumps.wait()
    assert ends == ["gave up", "end"]
