"""What is fresh and what is not: every reason, what was learned, and what becomes of it."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from llorch.database import Database
from llorch.errors import DiskFull
from llorch.state import GRAIN_NS, SMALL, Reason, Recipe, State, Target
from tests.conftest import as_mortal, sha256

BIG = b"x" * (SMALL + 1)
RECIPE = Recipe("make", (Target("out"),), ("in",), {"option": 1})


@pytest.fixture
def opened(workspace: Path) -> Iterator[Callable[[], State]]:
    """Open states of the workspace, each as another process would; they are closed in the end."""
    states: list[State] = []

    def open_state() -> State:
        states.append(State(workspace / ".llorch" / "state.db", workspace))
        return states[-1]

    yield open_state
    for state in states:
        state.close()


@pytest.fixture
def state(opened: Callable[[], State]) -> State:
    """A state of the workspace."""
    return opened()


def make(state: State, recipe: Recipe = RECIPE) -> None:
    """Record the recipe as made from what is there."""
    inputs = {path: state.digest(path) for path in recipe.inputs}
    targets = {target.path: state.digest(target.path) for target in recipe.targets}
    state.save(recipe.name, {"definition": recipe.definition, "inputs": inputs, "targets": targets})


def settle(path: Path) -> None:
    """Have the kernel's clock go on from where it stamped the file, so that the next write has another time."""
    probe = path.with_name("probe")
    probe.touch()
    while probe.stat().st_mtime_ns - path.stat().st_ctime_ns < GRAIN_NS:
        probe.write_bytes(b"")
        probe.touch()


def counting() -> tuple[list[int], Callable[[int], None]]:
    """Return a list and what to count bytes read into it with."""
    read: list[int] = []
    return read, read.append


# Reasons


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda: None, []),
        (lambda: Path("in").write_bytes(b"other"), [Reason("input", "in", sha256(b"in"), sha256(b"other"))]),
        (lambda: Path("in").unlink(), [Reason("input", "in", sha256(b"in"), None)]),
        (lambda: Path("out").write_bytes(b""), [Reason("target", "out", sha256(b"out"), sha256(b""))]),
        (lambda: Path("out").unlink(), [Reason("target", "out", sha256(b"out"), None)]),
        (
            lambda: Path("folder").rename(Path("out").rename("old") and "out"),
            [Reason("target", "out", sha256(b"out"), None)],
        ),
    ],
)
def test_files_make_reasons(state: State, change: Callable[[], object], expected: list[Reason]) -> None:
    """An input or a target that is changed, gone or a folder is named with what it was and is."""
    Path("in").write_bytes(b"in")
    Path("out").write_bytes(b"out")
    Path("folder").mkdir()
    make(state)
    change()
    assert state.reasons(RECIPE) == expected


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe("make", (Target("out"),), ("in",), {"option": 2}), [Reason("definition", "option", 1, 2)]),
        (Recipe("make", (Target("out"),), ("in",)), [Reason("definition", "option", 1, None)]),
        (
            Recipe("make", (Target("out"),), ("in",), {"option": 1, "more": [1]}),
            [Reason("definition", "more", None, [1])],
        ),
        (
            Recipe("make", (Target("out"),), ("in", "out"), {"option": 1}),
            [Reason("input", "out", None, sha256(b"out"))],
        ),
        (Recipe("make", (Target("out"),), (), {"option": 1}), [Reason("input", "in", sha256(b"in"), None)]),
        (
            Recipe("make", (Target("out", 3, sha256(b"own")), Target("in")), ("in",), {"option": 1}),
            [
                Reason("target", "out", sha256(b"own"), sha256(b"out")),
                Reason("target", "in", None, sha256(b"in")),
            ],
        ),
        (Recipe("other", (Target("out"),)), [Reason("never-made", "other")]),
    ],
)
def test_another_recipe_makes_reasons(state: State, recipe: Recipe, expected: list[Reason]) -> None:
    """What was made by another definition, from other inputs, into other targets, or never, is not fresh."""
    Path("in").write_bytes(b"in")
    Path("out").write_bytes(b"out")
    make(state)
    assert state.reasons(recipe) == expected


LEARNS = Recipe("make", (Target("out"),), learns=True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda: None, []),
        (lambda: Path("in").write_bytes(b"other"), [("in", sha256(b"in"), sha256(b"other"))]),
        (lambda: Path("absent").touch(), [("absent", None, sha256(b""))]),
        (lambda: Path("absent").mkdir(), []),  # a folder is no file
        (lambda: Path("no/folder").parent.write_bytes(b""), []),
        (lambda: Path("no/folder").mkdir(parents=True), [("no/folder/", None, sha256(b""))]),
        (lambda: Path("folder/b").unlink(), [("folder/", sha256(b"a\0b"), sha256(b"a"))]),
        (lambda: Path("folder/a").write_bytes(b"other"), []),
        (lambda: Path("folder/b").rename("folder/ü"), [("folder/", sha256(b"a\0b"), sha256("a\0ü".encode()))]),
        (lambda: os.environ.update(SET="other"), [("$SET", sha256(b"set"), sha256(b"other"))]),
        (lambda: os.environ.pop("SET"), [("$SET", sha256(b"set"), None)]),
        (lambda: os.environ.update(UNSET=""), [("$UNSET", None, sha256(b""))]),
    ],
)
def test_learned_inputs_make_reasons(
    state: State, monkeypatch: pytest.MonkeyPatch, change: Callable[[], object], expected: list[tuple[str, Any, Any]]
) -> None:
    """Files, names in folders and variables count as the record has them, and so does that they are not there."""
    monkeypatch.setenv("SET", "set")
    monkeypatch.setenv("UNSET", "x")
    monkeypatch.delenv("UNSET")
    Path("in").write_bytes(b"in")
    Path("out").write_bytes(b"out")
    Path("folder").mkdir()
    for name in "ba":
        Path("folder", name).write_bytes(b"")
    names = ("in", "folder/", "$SET")
    inputs = {**{name: state.digest(name) for name in names}, **dict.fromkeys(("absent", "no/folder/", "$UNSET"))}
    state.save("make", {"definition": {}, "inputs": inputs, "targets": {"out": sha256(b"out")}})
    change()
    assert state.inputs(LEARNS) == tuple(inputs)
    assert state.reasons(LEARNS) == [Reason("input", *each) for each in expected]


def test_a_folder_that_is_known_is_not_listed_again(opened: Callable[[], State], monkeypatch: Any) -> None:
    """Once the clock has gone on, its times tell that its names are the same."""
    Path("folder").mkdir()
    settle(Path("folder"))
    digest = opened().digest("folder/")
    first = opened()
    assert first.digest("folder/") == digest
    first.close()
    monkeypatch.setattr(os, "listdir", None)
    assert opened().known("folder/") == digest


def test_what_another_process_has_learned_is_taken_in(opened: Callable[[], State]) -> None:
    """After `refresh`, the inputs of a recipe that learns them are those of the newest record."""
    Path("out").write_bytes(b"out")
    Path("new").write_bytes(b"new")
    waiting, other = opened(), opened()
    assert waiting.inputs(LEARNS) == ()
    inputs = {"new": other.digest("new")}
    other.save("make", {"definition": {}, "inputs": inputs, "targets": {"out": other.digest("out")}})
    waiting.refresh(LEARNS)
    assert (waiting.inputs(LEARNS), waiting.reasons(LEARNS)) == (("new",), [])


def test_promised_targets_need_no_record(state: State) -> None:
    """A file whose content is known beforehand is fresh whoever put it there, and not when it is another."""
    recipe = Recipe("get", (Target("out", 3, sha256(b"out")),), (), {"origin": "anywhere"})
    Path("out").write_bytes(b"out")
    assert state.reasons(recipe) == []
    Path("out").write_bytes(b"tuo")
    assert state.reasons(recipe) == [Reason("target", "out", sha256(b"out"), sha256(b"tuo"))]
    assert not Path(".llorch").exists()


# Reading


def test_a_touched_file_is_read_once(opened: Callable[[], State]) -> None:
    """A big file with a new signature is `unread` until somebody reads it, and never read again, by nobody."""
    recipe = Recipe("get", (Target("out", len(BIG), sha256(BIG)),))
    Path("out").write_bytes(BIG)
    first = opened()
    assert [reason.kind for reason in first.reasons(recipe)] == ["unread"]
    read, advance = counting()
    assert first.reasons(recipe, read=True, advance=advance) == []
    os.utime("out")
    assert [reason.kind for reason in first.reasons(recipe)] == ["unread"]
    assert first.digest("out", advance) == first.digest("out", advance) == sha256(BIG)
    assert sum(read) == 2 * len(BIG)
    first.close()
    assert opened().reasons(recipe) == []


def test_a_name_that_is_not_utf8(opened: Callable[[], State], workspace: Path) -> None:
    """Its file has a digest, which is not kept; those of others are."""
    if sys.platform == "darwin":
        pytest.skip("its file systems have no such names")
    odd = os.fsdecode(b"\xff.txt")
    for name in ("plain", odd):
        (workspace / name).write_bytes(BIG)
    first = opened()
    assert first.digest(odd) == first.digest("plain") == sha256(BIG)
    first.close()
    assert (opened().known(odd), opened().known("plain")) == (None, sha256(BIG))


def test_an_edit_that_hides_is_noticed(state: State) -> None:
    """Another content of the same size, with the old modification time set back, is another content."""
    out = Path("out")
    out.write_bytes(BIG)
    old = out.stat()
    assert state.digest("out") == sha256(BIG)
    assert state.known("out") == sha256(BIG)
    settle(out)
    out.write_bytes(b"y" * len(BIG))
    os.utime(out, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert state.known("out") is None
    assert state.digest("out") == sha256(b"y" * len(BIG))


@pytest.mark.parametrize("size", [5, SMALL + 5])
def test_writes_within_one_tick_are_told_apart(state: State, size: int) -> None:
    """A file that is written again right after it was read is not taken for what was read."""
    for letter in (b"a", b"b", b"c", b"d"):
        Path("out").write_bytes(letter * size)
        assert state.digest("out") == sha256(letter * size)


def test_a_file_that_changes_while_it_is_read_is_not_known(state: State) -> None:
    """A digest of what was there before is not kept: reading begins when no further write can have the same time."""
    out = Path("out")
    out.write_bytes(BIG)

    def write(_: int) -> None:
        assert time.time_ns() - out.stat().st_ctime_ns >= GRAIN_NS
        out.write_bytes(b"y" * len(BIG))

    state.read("out", write)
    assert state.digest("out") == sha256(b"y" * len(BIG))


def test_what_was_just_written_is_learned(state: State) -> None:
    """Whoever writes a file and knows its digest spares the others the reading."""
    Path("out").write_bytes(BIG)
    state.learn("out", "digest")
    assert state.known("out") == "digest"
    Path("small").write_bytes(b"small")
    state.learn("small", "digest")
    assert state.known("small") == sha256(b"small")  # reading it again costs less than to wait until it is settled


# Records


def test_states_see_each_others_commits(opened: Callable[[], State]) -> None:
    """After `refresh`, a state knows what another process has recorded, learned and forgotten since."""
    Path("in").write_bytes(BIG)
    Path("out").write_bytes(b"out")
    one, other = opened(), opened()
    assert one.record("make") == {} == other.record("make")
    make(other)
    assert one.reasons(RECIPE) == [Reason("never-made", "make")]
    one.refresh(RECIPE)
    assert one.reasons(RECIPE) == []
    settle(Path("in"))
    Path("in").write_bytes(BIG + b".")
    one.read("in")
    one.save("a", {})
    settle(Path("in"))
    Path("in").write_bytes(BIG + b"..")
    other.read("in")
    other.forget("make", "never")
    one.refresh(RECIPE)
    assert one.record("make") == {}
    assert one.known("in") == sha256(BIG + b"..")


def test_forgotten_tasks_have_no_record(opened: Callable[[], State]) -> None:
    """Forgetting drops these records and no others, for this process and the next."""
    state = opened()
    for name in ("a", "b"):
        state.save(name, {"definition": name})
    assert state.names() == ["a", "b"]
    state.forget("unknown")
    state.forget("a", "unknown")
    assert (state.names(), state.record("a"), state.record("b")) == (["b"], {}, {"definition": "b"})
    assert opened().names() == ["b"]


def test_many_threads_save_at_once(state: State, opened: Callable[[], State]) -> None:
    """No record of many threads, in two processes' states, is lost."""
    other = opened()

    def save(number: int) -> None:
        (state, other)[number % 2].save(f"task-{number:02}", {"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(40)))
    third = opened()
    assert [third.record(name)["number"] for name in third.names()] == list(range(40))


def test_two_processes_start_a_state_at_once(opened: Callable[[], State]) -> None:
    """Who comes first makes the tables, and nobody fails."""
    states = [opened() for _ in range(8)]
    together = threading.Barrier(8)

    def save(number: int) -> None:
        together.wait()
        states[number].save(str(number), {"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(8)))
    assert len(opened().names()) == 8


# A state that is not as it should be


def test_a_broken_database_is_not_believed(opened: Callable[[], State]) -> None:
    """What it said before is forgotten, which is warned of; what is saved from then on is kept."""
    state = opened()
    state.save("a", {"n": 1})
    state.close()
    state.file.write_bytes(b"no database " * 1000)
    state.save("b", {"n": 2})
    assert "file is not a database" in (state.warning or "")
    assert state.record("a") == {}
    assert opened().names() == ["b"]


def test_a_read_only_state_is_read(opened: Callable[[], State]) -> None:
    """Where nothing can be written, records are still of use, and what is learned is dropped with a warning."""
    Path("in").write_bytes(b"in")
    Path("out").write_bytes(b"out")
    writer = opened()
    make(writer)
    writer.close()
    writer.file.parent.chmod(0o555)

    def use() -> State:
        state = opened()
        assert state.reasons(RECIPE) == []
        Path("big").write_bytes(BIG)
        state.digest("big")
        with pytest.raises(DiskFull) as caught:
            state.save("a", {})
        assert "readonly database" in caught.value.message
        state.close()
        return state

    state = as_mortal(use)
    writer.file.parent.chmod(0o755)
    assert "cannot write the state" in (state.warning or "")
    assert opened().names() == ["make"]


def test_closing_keeps_what_was_learned(opened: Callable[[], State]) -> None:
    """A digest that only was read, without any record, is known to the next process; closing twice is fine."""
    Path("out").write_bytes(BIG)
    state = opened()
    state.digest("out")
    state.close()
    state.close()
    assert opened().known("out") == sha256(BIG)


@pytest.mark.parametrize(("size", "warned"), [(10, False), (SMALL + 1, True)])
def test_what_was_learned_is_lost_without_a_word_if_it_is_little(
    workspace: Path, opened: Callable[[], State], monkeypatch: pytest.MonkeyPatch, size: int, warned: bool
) -> None:
    """That a big file has to be read again next time is said; of small ones nobody would notice."""
    (workspace / "file").write_bytes(bytes(size))
    state = opened()

    def refuse(*changes: object) -> None:
        raise DiskFull("the disk is full")

    monkeypatch.setattr(Database, "write", refuse)
    os.utime(workspace / "file")
    state._keep("file", (size, 0, 0, 0), "0" * 64)
    state.close()
    assert bool(state.warning) == warned
