"""What a repository here has to bring."""

import os
import subprocess
from pathlib import Path

import pytest

from llorch.git.repo import Repo, find_repo
from llorch.remote.parts import OUT, find_parts, known, offered
from tests.git.conftest import World, commit, git, head, isolated, state, world

__all__ = ["isolated", "world"]


@pytest.fixture
def repo(world: World) -> Repo:
    """The repository that we are in."""
    return find_repo(world.work)


def test_submodules_come_after_what_they_are_in(world: World, repo: Repo) -> None:
    """Each with the commit that is recorded for it, wherever it is now, and with what it is a submodule of."""
    recorded = head(world.work / "reference/llama ü")
    commit(world.work / "reference/llama ü", "more")
    parts = find_parts(repo, changes=False)
    assert [(part.path, part.parent, part.branch) for part in parts] == [
        ("", None, "main"),
        ("reference/candle", "", None),
        ("reference/llama ü", "", None),
        ("reference/candle/inner lib", "reference/candle", None),
    ]
    assert (parts[0].target, parts[0].final, parts[2].target) == (head(world.work), head(world.work), recorded)


def test_the_same_changes_make_the_same_commit(world: World, repo: Repo) -> None:
    """It has HEAD before it, with what is staged, changed, new and moved; nothing here is any different then."""
    (world.work / "README").write_text("changed")
    (world.work / "new").write_text("new")
    moved = commit(world.work / "reference/llama ü", "more")
    before = state(world.work)
    part, *rest = find_parts(repo, changes=True)
    assert git(world.work, "rev-parse", f"{part.final}^") == part.target == head(world.work)
    assert git(world.work, "diff", "--name-only", part.target, part.final).splitlines() == [
        "README",
        "new",
        '"reference/llama \\303\\274"',
    ]
    assert rest[1].target == moved
    assert find_parts(repo, changes=True)[0].final == part.final
    assert state(world.work) == before


def test_refs_are_only_lent(world: World, repo: Repo) -> None:
    """They are gone afterwards, whatever happens; what another repository has is known if it is here."""
    parts = find_parts(repo, changes=False)

    def interrupted() -> None:
        with offered(parts):
            assert git(world.work, "rev-parse", parts[0].ref) == head(world.work)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert git(world.work, "for-each-ref", "refs/llorch") == ""
    assert known(parts[0], [head(world.work), "1" * 40, head(world.work)]) == [head(world.work)]
    assert known(parts[0], []) == []


def test_what_a_killed_run_has_lent_goes_too(world: World, repo: Repo) -> None:
    """That of one that is still at work stays."""
    (part, *_) = find_parts(repo, changes=False)
    done = subprocess.Popen(["true"])
    done.wait()
    for owner in (done.pid, os.getppid()):
        git(world.work, "update-ref", f"{OUT}/{owner}/{part.final}", part.final)
    with offered([part]):
        assert len(git(world.work, "for-each-ref", OUT).splitlines()) == 2
    assert git(world.work, "for-each-ref", "--format=%(refname)", OUT) == f"{OUT}/{os.getppid()}/{part.final}"


def test_a_host_that_says_options_of_git(world: World, repo: Repo, tmp_path: Path) -> None:
    """What is no id of a commit never gets to git, however much of it there is."""
    (part, *_) = find_parts(repo, changes=False)
    mine = tmp_path / "mine"
    mine.write_text("mine")
    said = [f"--output={mine}", "--all", head(world.work), head(world.work) + "^", "HEAD", *["1" * 40 + "\n"]]
    many = [f"{number:040x}" for number in range(100_000)]
    assert known(part, [*said, *many]) == [head(world.work)]
    assert mine.read_text() == "mine"
