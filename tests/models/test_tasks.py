"""The tasks of models: what they are made of, and what they do in a run."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from doit.exceptions import InvalidDodoFile

from llorch.errors import ToolMissing
from llorch.models import tasks
from llorch.models.catalog import Model
from llorch.models.tasks import fetch_recipe, models, task_fetch, task_models, task_verify, verify_recipe
from llorch.progress import Silent
from llorch.session import Done
from llorch.state import Recipe, Target
from tests.conftest import Run, forget_session, sha256, write_catalog

TWO = {"one": {"a.gguf": b"1", "sub/b.gguf": b"22"}, "two": {"c.gguf": b"333"}}
ONE = (".test-models/one/a.gguf", ".test-models/one/sub/b.gguf")


def only(root: Path, catalog: str) -> Model:
    """Return the only model of a catalog, read anew."""
    (root / "catalog.toml").write_text(catalog)
    forget_session()
    return next(iter(models().values()))


def test_recipes_promise_what_the_catalog_does(workspace: Path) -> None:
    """A pinned model's files are known beforehand, and the receipt is made of them."""
    write_catalog(workspace, TWO)
    model = models()["one"]
    fetch, verify = fetch_recipe(model), verify_recipe(model)
    assert fetch.targets == (Target(ONE[0], 1, sha256(b"1")), Target(ONE[1], 2, sha256(b"22")))
    assert (fetch.name, fetch.inputs, fetch.promised) == ("fetch:one", (), True)
    assert verify == Recipe("verify:one", (Target(".test-models/one/receipt.json"),), ONE, fetch.definition)
    assert json.loads(json.dumps(fetch.definition)) == fetch.definition


BASE = '[models.a]\nname = "x"\nrepo = "o/a"\nfiles = [{ path = "a", size = 1 }]\n'


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('name = "x"', 'name = "y"\ndescription = "z"\nlicense = "mit"', True),
        ('repo = "o/a"', 'repo = "o/b"', False),
        ('repo = "o/a"', 'repo = "o/a"\nrevision = "v2"', False),
        ('repo = "o/a"', 'source = "file:x"', False),
        ("size = 1", "size = 2", False),
        ('path = "a"', 'path = "b"', False),
        ("size = 1", f'size = 1, sha256 = "{sha256(b"")}"', False),
    ],
)
def test_what_matters_changes_the_definition(workspace: Path, old: str, new: str, same: bool) -> None:
    """A new origin or promise puts the tasks out of date; a new word about the model does not."""
    before, after = only(workspace, BASE), only(workspace, BASE.replace(old, new))
    assert before.entry != after.entry
    assert (fetch_recipe(before).definition == fetch_recipe(after).definition) is same
    assert (verify_recipe(before).definition == verify_recipe(after).definition) is same


def test_creators_yield_a_task_for_each_model(workspace: Path) -> None:
    """Each model has a task to fetch it, one to verify it, and one that is both."""
    write_catalog(workspace, TWO)
    fetch, verify, both = (list(creator()) for creator in (task_fetch, task_verify, task_models))
    assert [(task["basename"], task["name"], task["doc"]) for task in fetch] == [
        ("fetch", "one", "Download one"),
        ("fetch", "two", "Download two"),
    ]
    assert [(task["basename"], task["name"], task["doc"]) for task in verify] == [
        ("verify", "one", "Verify one"),
        ("verify", "two", "Verify two"),
    ]
    assert [(task["name"], task["actions"], task["task_dep"]) for task in both] == [
        ("one", None, ["fetch:one", "verify:one"]),
        ("two", None, ["fetch:two", "verify:two"]),
    ]
    assert fetch[0]["targets"] == verify[0]["file_dep"] == [*ONE]


def test_the_names_of_models_are_shown(workspace: Path) -> None:
    """A model with a name is called by it."""
    only(workspace, BASE)
    assert [next(iter(creator()))["doc"] for creator in (task_fetch, task_verify, task_models)] == [
        "Download x",
        "Verify x",
        "x",
    ]


@pytest.mark.parametrize("creator", [task_fetch, task_verify, task_models])
def test_a_wrong_catalog_is_one_line_for_doit(workspace: Path, creator: Callable[[], Iterable[object]]) -> None:
    """A creator raises what doit shows without a traceback, with the place of the mistake."""
    (workspace / "catalog.toml").write_text("[models.a]\nfiles = []\n")
    with pytest.raises(InvalidDodoFile, match=r"catalog.toml:2: models.a.files: is empty"):
        list(creator())


def test_creators_touch_nothing(workspace: Path) -> None:
    """Creating tasks reads the catalog and makes no file."""
    write_catalog(workspace, TWO)
    before = sorted(workspace.rglob("*"))
    for creator in (task_fetch, task_verify, task_models):
        list(creator())
    assert sorted(workspace.rglob("*")) == before


def test_the_shipped_models_have_tasks(workspace: Path) -> None:
    """Without a catalog, the shipped models can be made."""
    assert {task["name"] for task in task_models()} >= {"tinyllama", "gpt2", "smollm2"}


def test_a_run_makes_files_and_receipt(workspace: Path, llorch: Callable[..., Run]) -> None:
    """Fetching says what it got, verifying writes the receipt, and what is there already is not made again."""
    write_catalog(workspace, TWO)
    run = llorch("models", "download", "one", "two", "--json")
    assert (run.code, {task["name"]: task["outcome"] for task in run.json["tasks"]}) == (
        0,
        dict.fromkeys(["fetch:one", "verify:one", "fetch:two", "verify:two"], "done"),
    )
    assert [(workspace / path).read_bytes() for path in ONE] == [b"1", b"22"]
    receipt = json.loads((workspace / ".test-models/one/receipt.json").read_text())
    assert [file["sha256"] for file in receipt["files"]] == [sha256(b"1"), sha256(b"22")]
    (workspace / ONE[0]).write_bytes(b"9")
    again = llorch("models", "download", "one", "--json")
    assert {task["name"]: task["outcome"] for task in again.json["tasks"]}["fetch:one"] == "done"
    assert (workspace / ONE[0]).read_bytes() == b"1"


@pytest.mark.parametrize("pinned", [True, False])
def test_files_already_there_are_told_apart(workspace: Path, llorch: Callable[..., Run], pinned: bool) -> None:
    """A fetch that finds all in place has made nothing, unless nobody vouches for what is there."""
    sources = write_catalog(workspace, {"two": TWO["two"]}, pinned=pinned)
    place = workspace / ".test-models/two/c.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"333")
    (sources / "two/c.gguf").unlink()
    run = llorch("models", "download", "two")
    assert run.code == (0 if pinned else 1)
    assert (place.with_name("receipt.json").is_file(), place.read_bytes()) == (pinned, b"333")


def test_details_are_words_for_people(workspace: Path) -> None:
    """What the actions report has the file or the count of files, and whether anything was made."""
    write_catalog(workspace, TWO)
    one, two = models()["one"], models()["two"]
    fetched, alone = tasks._fetch(one, Silent()), tasks._fetch(two, Silent())
    assert fetched.made
    assert "3 B" in fetched.detail
    assert "2 files" in fetched.detail
    assert alone.made
    assert "3 B" in alone.detail
    assert "c.gguf" in alone.detail
    assert tasks._fetch(two, Silent()) == Done("already there", made=False)
    assert tasks._verify(one, Silent()) == Done("2 files as promised")
    assert tasks._verify(two, Silent()) == Done("1 file as promised")
    assert tasks._verify(two, Silent()) == Done("1 file as promised", made=False)
    ready = "\n".join(tasks._ready(two))
    for part in (".test-models/two/c.gguf", sha256(b"333"), "`llorch models info two`"):
        assert part in ready


def test_a_conversion_is_said_to_be_missing(workspace: Path) -> None:
    """The GGUF of an entry with `convert` is a task of its model, and the task says that it cannot be made yet."""
    write_catalog(workspace, TWO)
    catalog = workspace / "catalog.toml"
    catalog.write_text(catalog.read_text() + 'convert = { to = "x.gguf" }\n')
    (group,) = (task for task in tasks.task_models() if task["name"] == "two")
    assert group["task_dep"] == ["fetch:two", "verify:two", "convert:two"]
    (task,) = tasks.task_convert()
    assert task["targets"] == [".test-models/two/x.gguf"]
    with pytest.raises(ToolMissing, match=r"cannot make `\.test-models/two/x\.gguf`"):
        task["actions"][0].work(Silent())
