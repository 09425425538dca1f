"""Several hosts at once, as far as that needs none: whole lines, and the log. The rest is in test_cli, on real ones."""

from pathlib import Path

from llorch import ui
from llorch.errors import ConnectionFailed
from llorch.log import begin
from llorch.remote.fleet import Fleet, Lines
from llorch.remote.hosts import Host
from llorch.remote.reach import Reach
from llorch.runs import load_runs, parse_event, read
from llorch.workspace import Workspace


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


def test_the_log_is_told_of_each_host(workspace: Path) -> None:
    """How it ended there, and an error with what it says."""
    here = Workspace(workspace, declared=True)
    begin(here, ["llorch"])

    def work(host: Host) -> int:
        if host.name == "box":
            raise ConnectionFailed("box", "it is off")
        return 3

    hosts = [Host(name=name, host=name) for name in ("mac", "box")]
    outcomes = Fleet(Reach({}, 1, lambda question: None, False)).each(hosts, work)
    assert [outcome.exit for outcome in outcomes] == [3, 7]
    assert ui.log is not None
    ui.log.end(3)
    (run,) = load_runs(here)
    events = [event for event in map(parse_event, read(here, run)) if event is not None and event.name == "host"]
    told = {event.values["name"]: (event.level, event.values["exit"], event.values.get("text")) for event in events}
    assert told == {"mac": ("info", 3, None), "box": ("error", 7, "no connection to `box`: it is off")}


def test_a_line_without_end_is_cut() -> None:
    """Nothing of it is lost, and no more than some of it is kept."""
    got: list[bytes] = []
    lines = Lines("a | ", got.append)
    for _ in range(1000):
        lines.feed(b"x" * 1000)
    lines.finish()
    lengths = [len(line.removeprefix(b"a | ").removesuffix(b"\n")) for line in got]
    assert (sum(lengths), max(lengths) < 70_000, len(got) < 20) == (1_000_000, True, True)
