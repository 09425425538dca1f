"""Several hosts at once, in the parts that need none: whole lines. The rest is in test_cli, on real ones."""

from llorch.remote.fleet import Lines


def test_lines_are_whole() -> None:
    """However the bytes come, a line is passed on as one, with its prefix, and the last one too."""
    got: list[bytes] = []
    lines = Lines("a | ", got.append)
    for data in (b"one", b" two\nthr", b"ee\n\nfour", b"\xff"):
        lines.feed(data)
    assert got == [b"a | one two\n", b"a | three\na | \n"]
    lines.finish()
    lines.finish()
    assert b"".join(got).endswith(b"a | four\xff\n")
