"""Simulate a day on which machines begin with nothing: `./run python bench/scale.py`. Its tables are in docs/scale.md.

Each machine wants some models of a catalog, one after the other, and a binary. Whatever is moved shares lines and the
Hub's limit with what the others move. Nothing is measured and nothing is random: the same numbers come everywhere.
"""

import heapq
import math
import random
import sys
from bisect import bisect
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from pathlib import Path
from typing import Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))
from llorch.cache.bucket import PART  # found by the line above

GBIT = 1e9 / 8
"""Bytes a second."""
MODEL = 20e9
"""Bytes of a model: 5,000 are 100 TB."""
FILES = 4
"""Files of a model."""
MODELS = (10, 500, 5_000)
WANTED = 10
"""Models that a machine wants."""
WINDOW = 300.0
"""Seconds of the Hub's fixed windows."""
RESOLVES = 3_000
"""Requests for files that the Hub answers to one address in a window, without a token (docs/hub/rate-limits)."""
QUESTIONS = 500
"""The same for questions about repositories."""
LISTED = 1_000
"""Objects that a bucket lists in one answer."""
BUCKET_READS = 5_500
"""Reads that S3 answers in a second for one prefix at least (optimizing-performance)."""
LOOK, READ = 1, 1
"""Requests to a store that tell whether it has a file, and that bring it."""
RECORD = 2 + LOOK + READ
"""Requests to a store for a binary: the list of names, the record, and the file."""

Way = Literal["Hub alone", "store, empty", "store, filled"]
Flow = Literal["hub", "store", "put"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where machines are; bytes a second.

    Attributes:
        machine: of each machine's own line.
        hub: of the line to the Hub that all share.
        store: of the store's line, in either direction.
        writes: requests that put a file there.
    """

    name: str
    machine: float
    hub: float
    store: float
    writes: int


PARTS = math.ceil(MODEL / FILES / PART)
LAB = Place(name="lab", machine=GBIT, hub=GBIT, store=GBIT, writes=1)
FAST = Place(name="lab, the store with 25 Gbit/s", machine=GBIT, hub=GBIT, store=25 * GBIT, writes=1)
CLOUD = Place(name="cloud", machine=5 * GBIT, hub=float("inf"), store=float("inf"), writes=2 + PARTS)


class Day(NamedTuple):
    """What came of a day: requests, bytes, seconds until all have all, and what they waited for most."""

    hub_requests: int
    hub_bytes: float
    store_requests: int
    store_bytes: float
    seconds: float
    bottleneck: str


@dataclass
class Line:
    """Flows of the same size that share a line equally, each also held by its machine's own."""

    machine: float
    shared: float
    name: str
    at: float = 0.0
    moved: float = 0.0
    """Bytes that a flow has moved that has been there from the beginning."""
    flows: deque[tuple[float, int, int]] = field(default_factory=deque)
    """At which `moved` each is done, its machine, and its model: the first to come is the first to be done."""

    def rate(self) -> float:
        """Return the bytes a second of each flow."""
        return min(self.machine, self.shared / len(self.flows))

    def advance(self, now: float, held: defaultdict[str, float]) -> None:
        """Move bytes until now, and note for how long each flow was held by what."""
        if self.flows:
            spent = now - self.at
            self.moved += self.rate() * spent
            slow = self.shared / len(self.flows) < self.machine
            held[self.name if slow else "each machine's own line"] += spent * len(self.flows)
        self.at = now

    def done_at(self) -> float:
        """Return when the first flow is done if none comes before."""
        return self.at + max(0.0, self.flows[0][0] - self.moved) / self.rate() if self.flows else float("inf")


def wanted(machines: int, models: int) -> list[list[int]]:
    """Return what each machine wants, the most popular model twice as often as the second (Zipf)."""
    chance = random.Random(1)  # the same everywhere
    sums = list(accumulate(1 / rank for rank in range(1, models + 1)))
    lists = []
    for _ in range(machines):
        mine: dict[int, None] = {}
        while len(mine) < min(WANTED, models):
            mine[bisect(sums, chance.random() * sums[-1])] = None
        lists.append(list(mine))
    return lists


class Simulation:
    """A day at a place."""

    def __init__(self, place: Place, machines: int, models: int, way: Way) -> None:
        self.way = way
        self.place = place
        self.lists = wanted(machines, models)
        self.next = [0] * machines
        self.there = set(range(models)) if way == "store, filled" else set()
        self.held: defaultdict[str, float] = defaultdict(float)
        self.requests: Counter[str] = Counter()
        self.bytes: defaultdict[str, float] = defaultdict(float)
        self.used: Counter[int] = Counter()
        self.starts: list[tuple[float, int, int]] = []
        self.lines: dict[Flow, Line] = {
            "hub": Line(place.machine, place.hub, "the line to the Hub"),
            "store": Line(place.machine, place.store, "the store's line"),
            "put": Line(place.machine, place.store, "the store's line"),
        }

    def run(self) -> Day:
        """Go from event to event until all machines have what they want."""
        now = 0.0
        for machine in range(len(self.lists)):
            self.begin(machine, now)
        while True:
            flow, when = min(((flow, line.done_at()) for flow, line in self.lines.items()), key=lambda each: each[1])
            start = self.starts[0][0] if self.starts else float("inf")
            if min(start, when) == float("inf"):
                break
            now = min(start, when)
            for line in self.lines.values():
                line.advance(now, self.held)
            if start <= when:
                _, machine, model = heapq.heappop(self.starts)
                self.move("hub", machine, model)
            else:
                _, machine, model = self.lines[flow].flows.popleft()
                self.end(flow, machine, model, now)
        if self.way != "Hub alone":
            self.requests["store"] += RECORD * len(self.lists)
        bottleneck = max(self.held, key=self.held.__getitem__)
        return Day(
            self.requests["hub"], self.bytes["hub"], self.requests["store"], self.bytes["store"], now, bottleneck
        )

    def begin(self, machine: int, now: float) -> None:
        """Have a machine get its next model, from the store if that has it."""
        if self.next[machine] == len(self.lists[machine]):
            return
        model = self.lists[machine][self.next[machine]]
        self.next[machine] += 1
        if model in self.there:
            self.requests["store"] += FILES * (LOOK + READ)
            self.move("store", machine, model)
            return
        if self.way != "Hub alone":
            self.requests["store"] += FILES * LOOK
        self.requests["hub"] += FILES
        start = self.admitted(now)
        self.held["the Hub's limit"] += start - now
        heapq.heappush(self.starts, (start, machine, model))

    def admitted(self, now: float) -> float:
        """Return when the Hub answers for another model."""
        window = int(now // WINDOW)
        while self.used[window] + FILES > RESOLVES:
            window += 1
        self.used[window] += FILES
        return max(now, window * WINDOW)

    def move(self, flow: Flow, machine: int, model: int) -> None:
        """Begin to move a model."""
        line = self.lines[flow]
        line.flows.append((line.moved + MODEL, machine, model))
        self.bytes["hub" if flow == "hub" else "store"] += MODEL

    def end(self, flow: Flow, machine: int, model: int, now: float) -> None:
        """Go on after a model has been moved: what came from the Hub is published unless somebody else has."""
        if flow == "hub" and self.way != "Hub alone":
            self.requests["store"] += FILES * LOOK
            if model not in self.there:
                self.requests["store"] += FILES * (LOOK + self.place.writes)  # `create` looks, too
                self.move("put", machine, model)
                return
        if flow == "put":
            self.there.add(model)
        self.begin(machine, now)


def days() -> Iterator[tuple[Place, int, str, Way, Day]]:
    """Simulate all that the table has, sizes of the catalog together that make no difference."""
    ways: Sequence[Way] = ("Hub alone", "store, empty", "store, filled")
    for place in (LAB, FAST, CLOUD):
        for machines in (1, 20, 1_000) if place is not FAST else (1_000,):
            for way in ways if place is not FAST else ways[1:]:
                every = [(models, Simulation(place, machines, models, way).run()) for models in MODELS]
                for day, same in groupby(every, key=lambda each: each[1]):
                    sizes = [f"{models:,}" for models, _ in same]
                    yield place, machines, " to ".join(dict.fromkeys((sizes[0], sizes[-1]))), way, day


def render_days() -> str:
    """Return the table of days."""
    rows = [
        "| where | machines | models | way | Hub, requests | TB | store, requests | TB | time | waits for |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---|",
    ]
    for place, machines, models, way, day in days():
        rows.append(
            f"| {place.name} | {machines:,} | {models} | {way} | {day.hub_requests:,} | {day.hub_bytes / 1e12:.1f} "
            f"| {day.store_requests:,} | {day.store_bytes / 1e12:.1f} | {span(day.seconds)} | {day.bottleneck} |"
        )
    return "\n".join(rows)


def render_asking() -> str:
    """Return the table of what is only asked for and listed, by the size of the catalog."""
    rows = [
        "| models | TB | objects | requests to list them | `models outdated` without a token, at least |",
        "|---:|---:|---:|---:|---:|",
    ]
    for models in MODELS:
        objects, windows = models * FILES, math.ceil(models / QUESTIONS)
        rows.append(
            f"| {models:,} | {models * MODEL / 1e12:.1f} | {objects:,} | {math.ceil(objects / LISTED)} "
            f"| {span((windows - 1) * WINDOW)} |"
        )
    return "\n".join(rows)


def render_rush() -> str:
    """Return how long a bucket needs for the requests of 1,000 machines that begin at once."""
    requests = Simulation(CLOUD, 1_000, MODELS[-1], "store, filled").run().store_requests
    return f"{requests:,} requests, {requests / BUCKET_READS:.0f} s"


def span(seconds: float) -> str:
    """Return a time as people say it.

    >>> span(0), span(90), span(9_000), span(200_000)
    ('0 min', '2 min', '2.5 h', '2.3 d')
    """
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


if __name__ == "__main__":
    print(render_days())
    print()
    print(render_asking())
    print()
    print(render_rush())
