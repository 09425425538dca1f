"""A store as a run uses it: opened once, given up at the first failure, and what counts in it."""

from pathlib import Path

import pytest

from llorch.cache.folder import FolderStore
from llorch.cache.shelf import Own, Shelf, Signed, Way
from llorch.cache.store import Store
from llorch.errors import AccessDenied, ConfigError, LlorchError, NotFound, Offline, ToolMissing, Unreachable, Unshared
from tests.cache.test_signing import make_key, public


@pytest.fixture
def warned() -> list[str]:
    """What the user was told."""
    return []


def shelf(folder: Path, warned: list[str], *ways: Way, error: LlorchError | None = None) -> Shelf:
    """Return a shelf of the store in a folder, or of one that cannot be opened."""

    def opened() -> tuple[Store, Own]:
        if error is not None:
            raise error
        warned.append("opened")
        return FolderStore(folder), Own()

    return Shelf("the store", set(ways), opened, warned.append)


def fail(error: LlorchError) -> None:
    """Raise it."""
    raise error


def test_it_is_opened_once_and_for_what_is_allowed(tmp_path: Path, warned: list[str]) -> None:
    """Nothing is opened before it is asked, nor for a way that is not allowed; then it is known by its own name."""
    one = shelf(tmp_path, warned, "read")
    assert one.ask("write", lambda store, seal: fail(Unreachable("no"))) is None
    assert (warned, one.name) == ([], "the store")
    assert [one.ask("read", lambda store, seal: store.size("a")) for _ in range(2)] == [None, None]
    assert one.ask("read", lambda store, seal: store.name) == one.name == f"file:{tmp_path}"
    assert warned == ["opened"]


@pytest.mark.parametrize("error", [ToolMissing("no obstore"), ConfigError([]), Unreachable("gone")])
def test_one_that_cannot_be_opened(tmp_path: Path, warned: list[str], error: LlorchError) -> None:
    """It is told once, and it has nothing from then on."""
    one = shelf(tmp_path, warned, "read", "write", error=error)
    ways: tuple[Way, ...] = ("read", "write", "read")
    assert [one.ask(way, lambda store, seal: 1) for way in ways] == [None] * 3
    said = f"the store `the store` cannot be used, and this run goes on without: {error.message}"
    assert (warned, one.error) == ([said], error)


def test_being_offline_is_no_news(tmp_path: Path, warned: list[str]) -> None:
    """A store on the network is not used, and whoever has asked for that is not told of it."""
    one = shelf(tmp_path, warned, "read", error=Offline("it is on the network"))
    assert one.ask("read", lambda store, seal: 1) is None
    assert (warned, one.ways) == ([], set())


@pytest.mark.parametrize(
    ("way", "error", "left", "what"),
    [
        ("write", AccessDenied("read only"), {"read"}, "cannot be written to"),
        ("read", AccessDenied("not you"), {"write"}, "cannot be read"),
        ("read", Unreachable("gone"), set(), "cannot be read"),
        ("write", Unreachable("gone"), set(), "cannot be written to"),
    ],
)
def test_one_that_fails_is_given_up(
    tmp_path: Path, warned: list[str], way: Way, error: LlorchError, left: set[Way], what: str
) -> None:
    """What it refuses is not asked again, and of one that does not answer nothing is; that is told once."""
    one = shelf(tmp_path, warned, "read", "write")
    assert one.ask(way, lambda store, seal: fail(error)) is None
    assert one.ask(way, lambda store, seal: fail(LlorchError("asked again"))) is None
    assert (one.ways, one.error) == (left, error)
    said = f"the store `file:{tmp_path}` {what}, and this run goes on without: {error.message}"
    assert warned == ["opened", said]


def test_two_tasks_that_fail_at_once_are_told_once(tmp_path: Path, warned: list[str]) -> None:
    """The second of two questions that were under way adds no word."""
    one = shelf(tmp_path, warned, "read")

    def question(store: Store, seal: object) -> None:
        one.ask("read", lambda store, seal: fail(Unreachable("gone")))
        raise Unreachable("gone")

    assert one.ask("read", question) is None
    assert len(warned) == 2


def test_what_is_not_there_is_no_failure(tmp_path: Path, warned: list[str]) -> None:
    """It is asked again; and what a question says of its own target is its own."""
    one = shelf(tmp_path, warned, "read")
    assert one.ask("read", lambda store, seal: fail(NotFound("no such record"))) is None
    with pytest.raises(Unshared):
        one.ask("read", lambda store, seal: fail(Unshared("it has changed")))
    assert one.ask("read", lambda store, seal: 1) == 1


def test_the_seal_of_ones_own() -> None:
    """Nothing has to be signed where nobody else can write."""
    assert (Own().sign(b"x"), Own().flaw(b"x", "")) == ("", "")


def test_the_seal_of_a_shared_store(tmp_path: Path) -> None:
    """What a trusted key has signed is believed, and nothing else."""
    ours, other = make_key(tmp_path / "ours"), make_key(tmp_path / "other")
    seal = Signed(f"file:{ours}", [public(ours)])
    assert (seal.can_sign, seal.trusts, Signed("", []).can_sign, Signed("", []).trusts) == (True, True, False, False)
    assert seal.flaw(b"x", seal.sign(b"x")) == ""
    assert seal.flaw(b"y", seal.sign(b"x")) == "no trusted key has signed it"
    assert seal.flaw(b"x", Signed(f"file:{other}", []).sign(b"x")) == "no trusted key has signed it"
    assert seal.flaw(b"x", "") == "it is not signed"
