"""What people and programs are told."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llorch import ui
from llorch.errors import Refused
from llorch.git.porcelain import Commit, Entry, Status
from llorch.git.repo import Repo
from llorch.git.show import commit_json, describe, finish_moves, names, render_status, tell_restore
from llorch.git.status import Declared, Repository, Submodule
from llorch.git.submodules import Move
from llorch.text import json_text, shown

if TYPE_CHECKING:
    from llorch.git.status import State

DECLARED = Declared(path="a\x1b[31m", inner="a", parent=Repo(root=Path("/r")), recorded="1" * 40)
AT = "2" * 40


NOTHING = Status()
CONFLICT = Status(branch="dev", entries=(Entry("x", "M", "M"), Entry("y", "U", "U", False, True), Entry("z", "?", "?")))


def submodule(state: "State", status: Status = NOTHING, **more: Any) -> Submodule:
    """Return the state of a submodule."""
    return Submodule(declared=DECLARED, state=state, status=status, **more)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (submodule("broken", error="why\x07\nmore"), r"why\x07"),
        (
            submodule("uninitialized"),
            "`llorch git submodules update --pinned \"$(printf %b 'a\\0033\\013331m')\"` clones it",
        ),
        (submodule("ok", Status(commit=AT), ahead=0, behind=0), "detached at 222222222"),
        (
            submodule("moved", Status(commit=AT, branch="dev"), ahead=2, behind=1),
            "dev, 2 ahead of and 1 behind recorded 111111111",
        ),
        (submodule("moved", Status(commit=AT)), "detached at 222222222, recorded 111111111, which is not here"),
        (
            submodule("dirty", CONFLICT, ahead=0, behind=0, operation="merge"),
            "dev, 2 changed, 1 untracked, 1 in conflict, merge in progress",
        ),
        (
            submodule("ok", Status(commit=AT), ahead=0, behind=0, unfetched="the server is gone: why"),
            "detached at 222222222, could not be fetched: the server is gone",
        ),
        (submodule("uninitialized", unfetched="gone\x1b: x"), r"could not be fetched: gone\x1b"),
        (submodule("moved"), "detached at nothing, recorded 111111111, which is not here"),
    ],
)
def test_a_submodule_in_words(found: Submodule, told: str) -> None:
    """Each state says where it is and what is special, on one line that no terminal obeys."""
    assert describe(found) == told


def test_names_are_harmless() -> None:
    """What a terminal would obey is written out; JSON keeps the characters, and spells bytes that are no text."""
    path = "a\udcff\n\x1b[2Jü"
    assert shown(path) == r"a\xff\n\x1b[2Jü"
    assert json.loads(json_text(json.dumps(path, ensure_ascii=False))) == "a\\xff\n\x1b[2Jü"
    assert names(["a", "b", "c"], 2) == "a, b and 1 more"
    assert names(["a", "b"], 2) == "a, b"


def test_times_are_utc() -> None:
    """A commit's time is ISO 8601 in UTC."""
    assert commit_json(Commit("1f", 0, "Ada", "x"))["time"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("json", [False, True])
def test_moves_are_told(capsys: pytest.CaptureFixture[str], json: bool) -> None:
    """What moved, what is kept and where, and what failed, which has the exit code; programs get the way back too."""
    ui.mode.json = json
    declared = DECLARED._replace(path="lib")
    moves = [
        Move(declared, "moved", AT, "3" * 40, left="dev", rescue="refs/llorch/rescue/x"),
        Move(declared._replace(path="b"), "cloned", None, AT),
        Move(declared._replace(path="c"), "skipped"),
        Move(declared._replace(path="d"), "failed", error=Refused("no", hint="do so")),
        Move(declared._replace(path="e"), "same", AT, AT),
    ]
    assert finish_moves(moves, "git back", branch="main") == 8
    out, err = capsys.readouterr()
    if json:
        assert '"restore": "git back"' in out
        assert '"branch": "main"' in out
        assert err == ""
        return
    assert out.splitlines() == [
        "lib moved from 222222222 to 333333333; it was on dev",
        "b cloned, at 222222222",
        f"c skipped, as its settings say; `git -C {DECLARED.parent.place} submodule update --init --checkout"
        f" {DECLARED.inner}` clones it",
        "d failed",
    ]
    assert "lib: commits that no branch has are kept as `refs/llorch/rescue/x`" in err
    assert "1 of 5 submodules could not be moved: it is as it was\n  d: no\n    hint: do so\n" in err
    ui.mode.verbose = True
    assert finish_moves(moves[4:]) == 0
    assert capsys.readouterr().out == "e is at 222222222 already\n"


def test_a_reason_of_several_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Submodules that failed alike are in one line."""
    failed = [Move(DECLARED._replace(path=path), "failed", error=Refused("no")) for path in ("a", "b\x1b")]
    assert finish_moves(failed) == 8
    err = capsys.readouterr().err
    assert err == "2 of 2 submodules could not be moved: they are as they were\n  a, b\\x1b: no\n"


def test_a_path_in_a_hint_is_no_option() -> None:
    """A path that begins with a hyphen is kept apart from the options."""
    assert describe(Submodule(DECLARED._replace(path="-e8"), "uninitialized")) == (
        "`llorch git submodules update --pinned -- -e8` clones it"
    )


def test_the_way_back_is_told_before(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a line of its own on stdout; a program gets it in its document, and nothing before that."""
    tell_restore("git back")
    assert capsys.readouterr().out == "git back\n"
    ui.mode.json = True
    tell_restore("git back")
    assert capsys.readouterr() == ("", "")


def test_an_origin_steers_no_terminal() -> None:
    """Settings of git may have anything in a URL, and so may the name of a branch that is to come."""
    status = Status(branch="main", upstream="origin/\udcff")
    text = render_status(Repository(status=status, commit=None, origin="/a\x1b[2J\udcff", operation=None), ())
    assert text.splitlines() == ["main, to follow origin/\\xff", "no commits yet", "origin /a\\x1b[2J\\xff"]
