"""What is remembered of submodules that could not be fetched, and for how long."""

import shutil
from pathlib import Path

import pytest

from llorch.errors import LlorchError, NotFound, Refused
from llorch.git.repo import find_repo
from llorch.git.status import Declared, load_submodules
from llorch.git.submodules import choose, load_every, move_all, to_recorded, to_tip
from llorch.git.unfetched import load_unfetched, remember
from tests.git.conftest import World, git


def llama(world: World) -> Declared:
    """Return the submodule that these tests are about."""
    return choose(load_every(find_repo(world.work)), ["llama ü"])[0]


def fail(world: World) -> Path:
    """Have its source away, and a move of it fail; return where the source is then."""
    source = world.sources["reference/llama ü"]
    away = source.rename(source.parent / "away")
    (move,) = move_all([llama(world)], to_tip, to_recorded)
    assert isinstance(move.error, NotFound)
    return away


def unfetched(world: World) -> dict[str, str | None]:
    """Return what the state tells of each submodule."""
    return {each.path: each.unfetched for each in load_submodules(find_repo(world.work))}


@pytest.mark.parametrize("there", [True, False])
def test_a_failure_is_told_until_it_works(world: World, there: bool) -> None:
    """The state has it, of that submodule alone, and no more once git itself could fetch or clone it."""
    if not there:
        git(world.work, "submodule", "--quiet", "deinit", "-f", "reference/llama ü")
        shutil.rmtree(world.work / ".git/modules/reference/llama ü")
    away = fail(world)
    found = unfetched(world)
    assert str(found.pop("reference/llama ü")).startswith("there is no such repository: ")
    assert set(found.values()) == {None}
    away.rename(world.sources["reference/llama ü"])
    assert load_unfetched(llama(world)) is not None
    if there:
        git(world.work / "reference/llama ü", "fetch", "-q")
    else:
        git(world.work, "submodule", "--quiet", "update", "--init", "reference/llama ü")
    assert set(unfetched(world).values()) == {None}


def test_another_url_has_not_failed(world: World) -> None:
    """What is known of one URL says nothing of the next."""
    fail(world)
    git(world.work, "config", "-f", ".gitmodules", "submodule.reference/llama ü.url", "file:///elsewhere")
    assert load_unfetched(llama(world)) is None


def test_only_a_fetch_that_failed_is_remembered(world: World) -> None:
    """A submodule that was not moved for another reason can be fetched."""
    remember(llama(world), Refused("changes would be lost"))
    assert load_unfetched(llama(world)) is None


def test_a_record_that_cannot_be_used_is_none(world: World) -> None:
    """Where it cannot be written, or was cut off, the state is told without it."""
    place = world.work / ".git/llorch"
    place.touch()
    error: LlorchError = NotFound("no such repository")
    remember(llama(world), error)
    assert load_unfetched(llama(world)) is None
    place.unlink()
    remember(llama(world), error)
    assert load_unfetched(llama(world)) == "no such repository"
    (record,) = (place / "unfetched").iterdir()
    record.write_bytes(record.read_bytes()[:5])
    assert load_unfetched(llama(world)) is None
