"""The simulation of docs/scale.md: against what can be worked out by hand, what stores really ask, and the page."""

from pathlib import Path

import pytest

from bench import scale
from bench.scale import CLOUD, FILES, GBIT, LAB, MODEL, RESOLVES, WANTED, WINDOW, Simulation, Way
from llorch.cache import bucket
from llorch.cache.store import open_store
from llorch.config import Workspace
from tests.cache.servers import PutServer

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"


def test_the_page_has_what_the_simulation_tells() -> None:
    """Its tables are the simulation's, and so is the number in its text."""
    page = PAGE.read_text()
    assert scale.render_days() in page
    assert scale.render_asking() in page
    assert scale.render_rush() in page


@pytest.mark.parametrize("machines", [1, 2, 20])
def test_a_line_that_all_share(machines: int) -> None:
    """With the Hub alone a lab needs as long as all the bytes need on its line."""
    day = Simulation(LAB, machines, 500, "Hub alone").run()
    assert day.hub_bytes == machines * WANTED * MODEL
    assert day.seconds == pytest.approx(day.hub_bytes / GBIT)
    assert day.hub_requests == machines * WANTED * FILES
    assert day.store_requests == day.store_bytes == 0
    assert day.bottleneck == ("each machine's own line" if machines == 1 else "the line to the Hub")


def test_a_filled_store_leaves_the_hub_alone() -> None:
    """All comes from the store, over its line; the Hub is not asked."""
    day = Simulation(LAB, 20, 500, "store, filled").run()
    assert day.hub_requests == day.hub_bytes == 0
    assert day.store_bytes == 20 * WANTED * MODEL
    assert day.seconds == pytest.approx(day.store_bytes / GBIT)
    assert day.bottleneck == "the store's line"


def test_an_empty_store_and_one_machine() -> None:
    """What comes from the Hub goes to the store after that, over the same machine's line."""
    day = Simulation(LAB, 1, 500, "store, empty").run()
    assert day.hub_bytes == day.store_bytes == WANTED * MODEL
    assert day.seconds == pytest.approx(2 * WANTED * MODEL / GBIT)


@pytest.mark.parametrize("machines", [20, 1_000])
@pytest.mark.parametrize("place", [LAB, CLOUD])
def test_every_machine_has_all_it_wants(place: scale.Place, machines: int) -> None:
    """Each model comes from the Hub once at least, is stored once at least, and each machine gets each of its own."""
    simulation = Simulation(place, machines, 500, "store, empty")
    distinct = {model for each in simulation.lists for model in each}
    day = simulation.run()
    assert simulation.there == distinct
    moved = (day.hub_bytes + day.store_bytes) / MODEL
    puts = moved - machines * WANTED
    assert len(distinct) <= puts <= day.hub_bytes / MODEL
    assert day.hub_bytes < machines * WANTED * MODEL


def test_the_hubs_limit_is_kept() -> None:
    """No window has more requests than are allowed, and who comes later waits for the next."""
    simulation = Simulation(CLOUD, 1_000, 500, "Hub alone")
    day = simulation.run()
    assert sum(simulation.used.values()) == day.hub_requests == 40_000
    assert max(simulation.used.values()) == RESOLVES
    assert day.seconds > (40_000 / RESOLVES - 1) * WINDOW
    assert day.bottleneck == "the Hub's limit"


@pytest.mark.parametrize("way", ["Hub alone", "store, empty", "store, filled"])
def test_more_machines_take_longer(way: Way) -> None:
    """In a lab, whose lines are shared."""
    times = [Simulation(LAB, machines, 500, way).run().seconds for machines in (1, 5, 20, 80)]
    assert times == sorted(times)
    assert times[0] < times[-1]


def test_wishes_are_the_same_everywhere() -> None:
    """What machines want is fixed, without a model twice, and the popular ones more often."""
    lists = scale.wanted(1_000, 500)
    assert lists == scale.wanted(1_000, 500)
    assert all(len(set(each)) == WANTED for each in lists)
    often = sum(0 in each for each in lists)
    seldom = sum(499 in each for each in lists)
    assert often > 500 > 100 > seldom
    assert all(sorted(each) == list(range(10)) for each in scale.wanted(20, 10))


def test_requests_are_those_of_stores(tmp_path: Path, here: Workspace) -> None:
    """A file is looked for and comes; one that goes there is looked for first."""
    (tmp_path / "served").mkdir()
    (tmp_path / "file").write_bytes(b"x" * 10)
    with PutServer(tmp_path / "served") as server:
        store = open_store(f"http://127.0.0.1:{server.port}", here)
        store.create("a", tmp_path / "file")
        assert len(server.seen) == scale.LOOK + LAB.writes
        server.seen.clear()
        assert store.size("a") == 10
        assert b"".join(store.read("a")) == b"x" * 10
        assert len(server.seen) == scale.LOOK + scale.READ


def test_parts_are_those_of_buckets() -> None:
    """A file of a model goes in as many parts as the store makes of it."""
    assert CLOUD.writes == 2 + -(-int(MODEL / FILES) // bucket.PART)


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    """A workspace."""
    return Workspace(tmp_path, declared=True)
