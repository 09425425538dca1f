"""`llorch models …`, in this process."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import BIN, Run, in_terminal, sha256, write_catalog
from tests.models.gguf_files import U16, GgufFile, good_gguf, scalar, string, strings

Llorch = Callable[..., Run]
FILE = Path(".test-models/tiny/a.gguf")
RECEIPT = Path(".test-models/tiny/receipt.json")


@pytest.fixture
def catalog(workspace: Path) -> Path:
    """A workspace that declares two models; the folder of their sources."""
    return write_catalog(workspace, {"tiny": {"a.gguf": b"data"}, "two": {"b.gguf": b"bb", "sub/c.gguf": b"ccc"}})


@pytest.fixture
def tiny(catalog: Path, llorch: Llorch) -> Path:
    """The same with one of them on disk."""
    assert llorch("models", "download", "tiny").code == 0
    return catalog


# download


def test_download_makes_it_once(catalog: Path, llorch: Llorch) -> None:
    """A second download finds nothing to do; the document has each task with its outcome and targets."""
    first = llorch("models", "download", "tiny", "--json")
    assert (first.code, [task["outcome"] for task in first.json["tasks"]]) == (0, ["done", "done"])
    assert first.json["tasks"][0]["targets"] == [{"path": str(FILE), "size": 4, "sha256": sha256(b"data")}]
    second = llorch("models", "download", "tiny", "--json")
    assert [task["outcome"] for task in second.json["tasks"]] == ["up-to-date", "up-to-date"]
    assert FILE.read_bytes() == b"data"


def test_download_several_and_all(catalog: Path, llorch: Llorch) -> None:
    """Models can be named, twice too, or all be meant, but not both and not neither."""
    assert len(llorch("models", "download", "tiny", "two", "tiny", "--json").json["tasks"]) == 4
    assert len(llorch("models", "download", "--all", "--json").json["tasks"]) == 4
    assert llorch("models", "download").code == 2
    assert llorch("models", "download", "--all", "tiny").code == 2


def test_download_of_an_unknown_model(catalog: Path, llorch: Llorch) -> None:
    """Nothing is fetched when one of the names is wrong."""
    done = llorch("models", "download", "tiny", "tow")
    assert (done.code, done.err.splitlines()[0]) == (3, "error: there is no model `tow`; did you mean `two`?")
    assert llorch("models", "download", "all").err.endswith("hint: `--all` is every model\n")
    assert not FILE.exists()


def test_a_failed_download_goes_on_with_the_others(catalog: Path, llorch: Llorch) -> None:
    """The first failure's code is the command's; what does not need it is made all the same."""
    (catalog / "tiny" / "a.gguf").write_bytes(b"tada")
    done = llorch("models", "download", "--all", "--json")
    outcomes = {task["name"]: task["outcome"] for task in done.json["tasks"]}
    expected = {"fetch:tiny": "failed", "verify:tiny": "skipped", "fetch:two": "done", "verify:two": "done"}
    assert (done.code, {name: outcomes[name] for name in expected}) == (6, expected)
    (error,) = [task["error"] for task in done.json["tasks"] if task["name"] == "fetch:tiny"]
    assert error["code"] == "integrity"


def test_a_dry_run_downloads_nothing(catalog: Path, llorch: Llorch) -> None:
    """It names what would run, and leaves the workspace as it was."""
    before = sorted(os.listdir())
    done = llorch("models", "download", "tiny", "--dry-run", "--json")
    assert (done.code, [task["outcome"] for task in done.json["tasks"]]) == (0, ["skipped", "skipped"])
    assert sorted(os.listdir()) == before


def test_download_need_not_wait(catalog: Path, llorch: Llorch) -> None:
    """With `--no-wait` a model that another run is at is an error."""
    from llorch.config import find_workspace
    from llorch.locks import hold

    with hold(find_workspace(), str(FILE), "fetch:tiny"):
        done = llorch("models", "download", "tiny", "--no-wait", "--json")
    assert (done.code, done.json["tasks"][0]["error"]["code"]) == (1, "busy")


# catalog, list, info


def test_what_is_declared_and_what_is_there(tiny: Path, llorch: Llorch) -> None:
    """`catalog` shows every model, `list` those on disk, both with state and size."""
    rows = [line.split("\t")[:3] for line in llorch("models", "catalog").out.splitlines()]
    assert rows == [["tiny", "ok", "4 B"], ["two", "missing", "5 B"]]
    rows = [line.split("\t")[:3] for line in llorch("models", "list").out.splitlines()]
    assert rows == [["tiny", "ok", "4 B"]]


def test_catalog_as_json(tiny: Path, llorch: Llorch) -> None:
    """The document has the model, its state, and each file's."""
    document = llorch("models", "list", "--json").json
    (model,) = document["models"]
    assert (document["total_size"], model["id"], model["state"], model["folder"]) == (
        4,
        "tiny",
        "ok",
        ".test-models/tiny",
    )
    assert model["files"] == [{"path": str(FILE), "size": 4, "sha256": sha256(b"data"), "state": "ok"}]


def test_nothing_to_show(workspace: Path, llorch: Llorch) -> None:
    """Without models, or without any on disk, there is a word on it instead of a table."""
    write_catalog(workspace, {})
    assert llorch("models", "catalog").err == "the catalog has no models\n"
    done = llorch("models", "list")
    assert (done.out, done.err.startswith("no models here yet; `llorch models download")) == ("", True)
    assert llorch("models", "verify", "--all").err == "no models here yet\n"


def test_unknown_sizes_are_said(workspace: Path, llorch: Llorch) -> None:
    """What is not pinned and not here has no size."""
    write_catalog(workspace, {"tiny": {"a.bin": b"data"}}, pinned=False)
    listed = llorch("models", "catalog")
    assert (listed.out.split("\t")[:3], listed.err) == (
        ["tiny", "missing", "unknown"],
        "0 B in all, and 1 of unknown size\n",
    )
    told = llorch("models", "info", "tiny").out
    assert ("missing, size unknown, sha256 unknown" in told, "size:           unknown\n" in told) == (True, True)
    assert llorch("models", "download", "tiny").code == 0
    assert llorch("models", "catalog").out.split("\t")[:3] == ["tiny", "ok", "4 B"]


def test_info_has_all_that_is_known(tiny: Path, llorch: Llorch) -> None:
    """As text, values that are there, and each file; as JSON, every key."""
    done = llorch("models", "info", "tiny")
    assert done.code == 0
    assert "id:             tiny\n" in done.out
    assert "size:           4 B\n" in done.out
    assert f"file:           {FILE}\n                ok, 4 B, sha256 {sha256(b'data')}\n" in done.out
    assert "license:" not in done.out
    assert "\ngated:          no\n" in done.out
    model = llorch("models", "info", "tiny", "--json").json["model"]
    assert {"architecture", "parameters", "context_length", "quantization", "gated", "gguf"} <= model.keys()


GOOD = good_gguf().render()
INSIDE = {
    "version": 3,
    "architecture": "llama",
    "parameters": 609,
    "quantization": {
        "name": "Q8_0",
        "types": [{"type": "Q8_0", "tensors": 3, "size": 612}, {"type": "F32", "tensors": 1, "size": 132}],
    },
    "context_length": 64,
    "tokenizer": {"model": "gpt2", "pre": "smollm", "vocabulary": 8},
    "chat_template": "{% for message in messages %}\n{{ message }}{% endfor %}",
    "split": None,
    "tensors": 4,
}
SAID = """\
gguf:           version 3, architecture llama
                609 parameters in 4 tensors
                quantization Q8_0: 3 Q8_0 (612 B), 1 F32 (132 B)
                context of 64 tokens
                tokenizer gpt2 (smollm), vocabulary of 8
                chat template of 55 characters
"""
LISTED = """\
token_embd.weight\t32 x 8\tQ8_0\t272
blk.0.ffn_up.weight\t32 x 5\tQ8_0\t170
blk.1.ffn_up.weight\t32 x 5\tQ8_0\t170
output_norm.weight\t33\tF32\t132
"""


def test_info_looks_inside(workspace: Path, llorch: Llorch) -> None:
    """Of the first GGUF file on disk there is what its header says; its tensors only if they are asked for."""
    write_catalog(workspace, {"tiny": {"readme.md": b"#", "a.gguf": GOOD, "b.gguf": b"x"}})
    assert llorch("models", "info", "tiny", "--json").json["model"]["gguf"] is None
    none = llorch("models", "info", "tiny", "--tensors")
    assert (none.code, none.err) == (0, "no tensors to list: there is no GGUF file on disk that can be read\n")
    assert llorch("models", "download", "tiny").code == 0
    assert llorch("models", "info", "tiny", "--json").json["model"]["gguf"] == INSIDE
    assert llorch("models", "info", "tiny").out.endswith(SAID)
    assert llorch("models", "info", "tiny", "--tensors").out.endswith(SAID + LISTED)
    found = llorch("models", "info", "tiny", "--tensors", "--json").json["model"]["gguf"]
    assert [tensor["name"] for tensor in found["tensors"]] == [line.split("\t")[0] for line in LISTED.splitlines()]
    assert found["tensors"][1] == {
        "name": "blk.0.ffn_up.weight",
        "shape": [32, 5],
        "type": "Q8_0",
        "offset": 288,
        "size": 170,
    }


def test_info_looks_into_little(workspace: Path, llorch: Llorch) -> None:
    """A header that says little is shown with what there is, and a part of a split model as such."""
    part = GgufFile(keys=[("split.no", scalar(U16, 1)), ("split.count", scalar(U16, 3))])
    write_catalog(workspace, {"tiny": {"a.gguf": part.render()}})
    assert llorch("models", "download", "tiny").code == 0
    assert llorch("models", "info", "tiny").out.endswith(
        "gguf:           version 3, architecture unknown, part 2 of 3\n"
        "                0 parameters in 0 tensors\n"
        "                no chat template\n"
    )
    found = llorch("models", "info", "tiny", "--json").json["model"]["gguf"]
    assert (found["split"], found["tokenizer"], found["tensors"]) == ({"no": 1, "count": 3}, None, 0)
    part.keys += [("tokenizer.ggml.model", string("llama")), ("tokenizer.ggml.tokens", strings("x"))]
    Path(".test-models/tiny/a.gguf").write_bytes(part.render())
    assert "tokenizer llama, vocabulary of 1\n" in llorch("models", "info", "tiny").out


def test_info_looks_into_what_was_made(workspace: Path, llorch: Llorch) -> None:
    """Of an entry with a conversion it is the converted file."""
    write_catalog(workspace, {"tiny": {"a.bin": b"x"}})
    with open("catalog.toml", "a") as file:
        file.write('convert = { to = "made.gguf" }\n')
    assert llorch("models", "info", "tiny", "--json").json["model"]["gguf"] is None
    Path(".test-models/tiny").mkdir(parents=True)
    Path(".test-models/tiny/made.gguf").write_bytes(GOOD)
    assert llorch("models", "info", "tiny", "--json").json["model"]["gguf"] == INSIDE


def test_info_says_what_is_wrong_inside(tiny: Path, llorch: Llorch) -> None:
    """A pinned file stays what it is, and what is wrong with its structure is said."""
    done = llorch("models", "info", "tiny")
    assert (done.code, done.out.splitlines()[-1]) == (
        0,
        "gguf:           malformed: it begins with b'data', not with b'GGUF'",
    )
    assert "\n                ok, 4 B, " in done.out
    assert llorch("models", "info", "tiny", "--json").json["model"]["gguf"] is None


def test_a_hostile_name_is_shown_as_it_is(workspace: Path) -> None:
    """Markup in a name of the catalog is text, on a terminal too."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}})
    text = Path("catalog.toml").read_text()
    Path("catalog.toml").write_text(text.replace("[models.tiny]", '[models.tiny]\nname = "[bold]x[/bold] [red]"'))
    for command in (("models", "catalog"), ("models", "info", "tiny"), ("list",)):
        assert "[bold]x[/bold] [red]" in in_terminal(str(BIN / "llorch"), *command, columns=120).out


def test_files_that_nobody_has_declared_are_listed(tiny: Path, llorch: Llorch) -> None:
    """Weights alone, wherever they are below the model folder; also where no model of the catalog is there."""
    for name in ("mine/own.GGUF", "tiny/model.safetensors", "tiny/notes.txt", "loose \x1b.gguf", "tiny/b.gguf.part"):
        place = Path(".test-models") / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"x" * 5)
    listed = llorch("models", "list")
    assert [line.split("\t") for line in listed.out.splitlines()[1:]] == [
        ["(other)", "undeclared", "5 B", "", f".test-models/{name}"]
        for name in ("loose \\x1b.gguf", "mine/own.GGUF", "tiny/model.safetensors")
    ]
    assert listed.err == "19 B in all\n"
    document = llorch("models", "list", "--json").json
    assert document["others"][1] == {"path": ".test-models/mine/own.GGUF", "size": 5}
    assert document["total_size"] == 4
    assert "others" not in llorch("models", "catalog", "--json").json
    FILE.unlink()
    alone = llorch("models", "list")
    assert ([line[:7] for line in alone.out.splitlines()], alone.err) == (["(other)"] * 3, "15 B in all\n")


# verify


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [
        (lambda: None, "ok", 0),
        (lambda: FILE.write_bytes(b"tada"), "corrupt", 6),
        (lambda: FILE.write_bytes(b"dat"), "truncated", 6),
        (FILE.unlink, "missing", 6),
    ],
)
def test_verify_reads_every_byte(
    tiny: Path, llorch: Llorch, change: Callable[[], object], state: str, code: int
) -> None:
    """What is not the promised file is named with code 6, and how to have it again."""
    change()
    done = llorch("models", "verify", "tiny")
    assert done.code == code
    assert done.out.startswith(f"{state:<10} {FILE}")
    assert ("hint: `llorch models download tiny` repairs what is wrong" in done.err) == (code == 6)
    document = llorch("models", "verify", "tiny", "--json").json
    assert (document["ok"], document["models"][0]["files"][0]["state"]) == (code == 0, state)


def test_verify_all_takes_what_is_there(tiny: Path, llorch: Llorch) -> None:
    """Models that are not on disk are left out."""
    document = llorch("models", "verify", "--all", "--json").json
    assert [model["id"] for model in document["models"]] == ["tiny"]


def test_verify_judges_what_nobody_promised(workspace: Path, llorch: Llorch) -> None:
    """A malformed file without a sha256 in the catalog is corrupt, and downloading it again alone is no help."""
    write_catalog(workspace, {"tiny": {"a.gguf": b"data"}}, pinned=False)
    download = llorch("models", "download", "tiny", "--json")
    (error,) = [task["error"] for task in download.json["tasks"] if task["error"]]
    reason = "it begins with b'data', not with b'GGUF'"
    hint = "the source may have it so; else `llorch models delete tiny`, then download it again"
    assert download.code == 6
    assert error == {
        "code": "malformed",
        "message": f"`{FILE}` is malformed: {reason}",
        "hint": hint,
        "path": str(FILE),
        "reason": reason,
    }
    done = llorch("models", "verify", "tiny")
    assert (done.code, done.out) == (6, f"corrupt    {FILE}: is malformed: {reason}\n")
    assert done.err.endswith(f"\nhint: {hint}\n")


def test_what_was_made_is_repaired_by_making_it_again(workspace: Path, llorch: Llorch) -> None:
    """Each kind of damage has its own way out, and the one that is named works."""
    shipped = 'version = 1\nextends = "shipped"\n'
    write_catalog(workspace, {"odd": {"a.gguf": b"data"}}, pinned=False)
    Path("catalog.toml").write_text(shipped + Path("catalog.toml").read_text().replace("version = 1\n", ""))
    assert llorch("models", "download", "tiny-gpt2", "odd").code == 6
    made = Path(".test-models/tiny-gpt2/tiny-gpt2-f32.gguf")
    Path(".test-models/tiny-gpt2/receipt.json").unlink()
    made.write_bytes(b"half")
    assert llorch("models", "verify", "--all").err.splitlines()[-3:] == [
        "hint: `llorch models download tiny-gpt2` repairs what is wrong",
        "",
        "hint: the source may have it so; else `llorch models delete odd`, then download it again",
    ]
    assert llorch("models", "download", "tiny-gpt2").code == 0
    assert llorch("models", "verify", "tiny-gpt2").code == 0
    assert made.read_bytes()[:4] == b"GGUF"


# delete


def test_delete_asks_first(tiny: Path, llorch: Llorch) -> None:
    """Without anybody to ask, nothing is deleted; with `--yes` the model is, and its empty folders."""
    refused = llorch("models", "delete", "tiny")
    assert (refused.code, "this deletes tiny (" in refused.err, FILE.exists()) == (8, True, True)
    document = llorch("models", "delete", "tiny", "--yes", "--json").json
    assert (document["dry_run"], document["deleted"][0]["files"]) == (False, [str(FILE), str(RECEIPT)])
    assert os.listdir(".test-models") == []


def test_delete_leaves_links_and_folders_to_their_owner(tiny: Path, llorch: Llorch) -> None:
    """A link in place of the model's folder stays, with what it leads to, and so does a folder in a file's place."""
    FILE.parent.rename(FILE.parent.with_name("real"))
    FILE.parent.symlink_to("real")
    FILE.with_name(FILE.name + ".part").mkdir()
    done = llorch("models", "delete", "tiny", "--yes")
    assert (done.code, done.err) == (0, "")
    assert os.listdir(FILE.parent) == [f"{FILE.name}.part"]
    FILE.with_name(FILE.name + ".part").rmdir()
    assert llorch("models", "download", "tiny").code == 0
    assert llorch("models", "delete", "tiny", "--yes").code == 0
    assert (FILE.parent.is_symlink(), os.listdir(FILE.parent)) == (True, [])


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 8)])
def test_delete_is_answered(tiny: Path, typed: str, code: int) -> None:
    """At a terminal the answer decides."""
    done = in_terminal(str(BIN / "llorch"), "models", "delete", "tiny", typed=typed)
    assert (done.code, "Delete them? [y/N]" in done.out, FILE.exists()) == (code, True, code == 8)


def test_delete_leaves_what_is_not_llorchs(catalog: Path, llorch: Llorch) -> None:
    """Other files stay, and are counted; models that are not there are said to be so; empty folders go."""
    llorch("models", "download", "--all")
    Path(".test-models/tiny/notes.txt").touch()
    done = llorch("models", "delete", "tiny", "two", "-y")
    assert done.out.splitlines()[0].endswith("; 1 other files stay in .test-models/tiny")
    assert done.out.splitlines()[1].startswith("deleted two, ")
    assert (os.listdir(".test-models"), os.listdir(".test-models/tiny")) == (["tiny"], ["notes.txt"])
    assert llorch("models", "delete", "two").out == "two is not on disk\n"


def test_a_dry_run_deletes_nothing(tiny: Path, llorch: Llorch) -> None:
    """It says what would go, without asking."""
    Path(".test-models/tiny/notes.txt").touch()
    done = llorch("models", "delete", "tiny", "--dry-run")
    assert (done.code, FILE.exists()) == (0, True)
    assert done.out.startswith("would delete tiny, ")
    assert done.out.endswith("; 1 other files stay in .test-models/tiny\n")


# disk-usage


def test_disk_usage_adds_up(tiny: Path, llorch: Llorch) -> None:
    """Each model's folder, each other one, what else is there, and all of it."""
    mine = Path(".test-models/mine \x1b[31m/deep")
    mine.mkdir(parents=True)
    (mine / "a.bin").write_bytes(b"x" * 5)
    document = llorch("models", "disk-usage", "--json").json
    assert (document["others"], document["other_size"]) == ([{"folder": str(mine.parent), "size": 5}], 5)
    assert ["(other)", "5 B", ".test-models/mine \\x1b[31m"] in [
        line.split("\t") for line in llorch("models", "disk-usage").out.splitlines()
    ]
    shutil.rmtree(mine.parent)
    Path(".test-models/other").write_bytes(b"x" * 10)
    size = 4 + RECEIPT.stat().st_size
    document = llorch("models", "disk-usage", "--json").json
    assert document["models"] == [{"id": "tiny", "folder": ".test-models/tiny", "size": size}]
    assert (document["other_size"], document["total_size"]) == (10, size + 10)
    rows = [line.split("\t") for line in llorch("models", "disk-usage").out.splitlines()]
    assert [row[0] for row in rows] == ["tiny", "(other)", "total"]
    assert rows[1] == ["(other)", "10 B", ".test-models"]
    Path(".test-models/other").unlink()
    assert [line.split("\t")[0] for line in llorch("models", "disk-usage").out.splitlines()] == ["tiny", "total"]


def test_disk_usage_of_folders_that_are_links(tiny: Path, llorch: Llorch) -> None:
    """What a model's folder leads to is counted once, and nothing is below zero."""
    base = Path(".test-models")
    (base / "big").mkdir()
    (base / "tiny").rename(base / "big/tiny")
    (base / "tiny").symlink_to("big/tiny")
    (base / "two").symlink_to("big")
    size = sum(path.stat().st_size for path in (base / "big/tiny").iterdir())
    document = llorch("models", "disk-usage", "--json").json
    assert {row["id"]: row["size"] for row in document["models"]} == {"tiny": size, "two": size}
    assert (document["others"], document["other_size"], document["total_size"]) == ([], 0, size)
    rows = [line.split("\t")[0] for line in llorch("models", "disk-usage").out.splitlines()]
    assert rows == ["tiny", "two", "total"]


def test_an_empty_catalog_has_nothing_to_download(workspace: Path, llorch: Llorch) -> None:
    """Nothing is run, and nothing but the document is written."""
    Path("catalog.toml").write_text("version = 1\n")
    done = llorch("models", "download", "--all", "--json")
    assert (done.code, done.json, done.err) == (0, {"schema": 1, "tasks": []}, "")
