"""Editing catalogs: what people wrote stays, what is meant is written, and never half of it."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli

from llorch.config import Settings, Workspace, load_settings
from llorch.errors import Busy, ConfigError, DiskFull, LlorchError
from llorch.models import edit
from llorch.models.catalog import SHIPPED, load_models
from llorch.models.edit import Draft, edit_catalog, own_entries, render_entry, shipped_entries
from tests.conftest import as_mortal

TEXT = """\
# Ours.
version = 1

[models.a]   # the first
repo = "x/y"  # who
files = [
  # the weights
  { path = "a.gguf" },  # one
  { path = "b.gguf", size = 3 } # last
]

# About b:
#   it is old.
[models.b]
files = [{path="b.gguf", size=1}]
repo = 'z/z'
revision = "v1" # a tag

[models.c]
repo = "c/c"

[[models.c.files]]
path = "k"  # kk
size = 2

[models.c.convert]
to = "c.gguf"
"""


def changed(text: str, change: Callable[[Draft], None]) -> str:
    """Return a catalog's text after a change, which is found to say what is meant."""
    draft = Draft("catalog.toml", text)
    change(draft)
    draft.check()
    return draft.text


def setting(id: str, **values: Any) -> Callable[[Draft], None]:
    """Return the change that gives an entry these values; None takes a key out."""

    def change(draft: Draft) -> None:
        new = {**draft.entries[id], **values}
        draft.change(id, {key: value for key, value in new.items() if value is not None})

    return change


def outcome(text: str, change: Callable[[Draft], None]) -> str:
    """Return how a change ends."""
    try:
        tomli.loads(changed(text, change))
    except LlorchError as error:
        return error.message
    return "done"


def difference(old: str, new: str) -> tuple[list[str], list[str]]:
    """Return the lines that are gone and those that are new."""
    before, after = old.splitlines(), new.splitlines()
    return [line for line in before if line not in after], [line for line in after if line not in before]


def test_values_change_in_their_places() -> None:
    """Only the lines that say it are others, and comments stay on them."""
    files = [{"path": "a.gguf", "size": 7, "sha256": "0" * 64}, {"path": "b.gguf", "size": 3}]
    new = changed(TEXT, setting("a", revision="c" * 40, files=files))
    assert difference(TEXT, new) == (
        ['  { path = "a.gguf" },  # one'],
        [f'revision = "{"c" * 40}"', f'  {{ path = "a.gguf", size = 7, sha256 = "{"0" * 64}" }},  # one'],
    )
    lines = new.splitlines()
    assert lines[lines.index('repo = "x/y"  # who') + 1] == f'revision = "{"c" * 40}"'
    assert difference(TEXT, changed(TEXT, setting("b", revision="v2")))[1] == ['revision = "v2" # a tag']


def test_new_keys_stand_before_comments_on_what_comes_next() -> None:
    """A key is not put below the comment on the next model, nor into a table of its own model."""
    new = changed(TEXT, setting("a", license="mit"))
    assert ']\nlicense = "mit"\n\n# About b:\n' in new
    assert 'repo = "c/c"\nlicense = "mit"\n\n[[models.c.files]]' in changed(TEXT, setting("c", license="mit"))
    assert "repo = 'z/z'\nname = \"B\"\n" in changed(TEXT, setting("b", name="B"))


def test_files_may_be_tables() -> None:
    """Files written as tables are changed key by key, and other tables stay."""
    new = changed(TEXT, setting("c", files=[{"path": "k", "sha256": "1" * 64}]))
    assert difference(TEXT, new) == (["size = 2"], [f'sha256 = "{"1" * 64}"'])
    assert 'path = "k"  # kk' in new


def test_other_files_are_another_array() -> None:
    """Where the files are others, their array is written anew."""
    new = changed(TEXT, setting("b", files=[{"path": "c.gguf"}, {"path": "d.gguf", "size": 2}], revision=None))
    assert 'files = [\n  { path = "c.gguf" },\n  { path = "d.gguf", size = 2 },\n]\n' in new
    assert "a tag" not in new


def test_tables_that_change_are_written_at_the_end() -> None:
    """An entry whose sub-table changes is written anew; all others stay."""
    new = changed(TEXT, setting("c", convert={"to": "d.gguf", "outtype": "f32"}))
    assert new.startswith(TEXT[: TEXT.index("[models.c]")])
    assert new.endswith('convert = { to = "d.gguf", outtype = "f32" }\n')


def test_entries_come_and_go() -> None:
    """A new entry stands at the end, one that goes takes its own lines with it."""
    new = changed(TEXT, lambda draft: draft.add("d.1", {"files": [{"path": "d"}], "repo": "d/d"}))
    assert new == TEXT + '\n[models."d.1"]\nrepo = "d/d"\nfiles = [\n  { path = "d" },\n]\n'
    assert difference(new, changed(new, lambda draft: draft.remove("d.1")))[1] == []
    assert (
        changed(TEXT, lambda draft: draft.remove("a")) == TEXT[: TEXT.index("[models.a]")] + TEXT[TEXT.index("# Ab") :]
    )
    assert changed(TEXT, lambda draft: draft.remove("c")) == TEXT[: TEXT.index("[models.c]")].rstrip() + "\n"
    assert changed("", lambda draft: draft.add("a", {"files": []})) == "[models.a]\nfiles = [\n]\n"


@pytest.mark.parametrize(
    "text",
    [
        '[models]\na = { repo = "x/y", files = [{ path = "a" }] }\n',
        '[models.a]\nrepo = "x/y"\nfiles = [{ path = "a" }]\n[other]\n[models.z]\nrepo = "z"\nfiles = []\n',
        '[models]\na.repo = "x/y"\na.files = [{ path = "a" }]\n',
        'models.a = { files = [{ path = "a" }], repo = "x/y" }',
        '["models"."a"]\n"repo" = """x/y"""\nfiles = [\n{ path = \'a\' },\n\n]',
    ],
)
def test_layouts_of_all_kinds(text: str) -> None:
    """However a catalog is written, the change is made, or refused as one that cannot be."""
    changes = [
        setting("a", revision="v1", files=[{"path": "a", "size": 1}]),
        setting("a", repo="n/n"),
        lambda draft: draft.remove("a"),
        lambda draft: draft.add("b", {"repo": "b/b", "files": []}),
    ]
    outcomes = [outcome(text, change) for change in changes]
    refused = "`catalog.toml` is laid out in a way that llorch cannot edit; nothing was changed"
    assert set(outcomes) <= {"done", refused}
    assert outcomes.count("done") >= 2


def test_what_the_editor_cannot_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor's own errors become ours; so does a result that says something else than was meant."""
    with pytest.raises(LlorchError, match="cannot edit"):
        changed("models = {}\n", lambda draft: draft.add("a", {"files": []}))
    draft = Draft("catalog.toml", TEXT)
    draft.text = "= nothing"
    with pytest.raises(LlorchError, match="cannot edit"):
        draft.remove("a")
    draft = Draft("catalog.toml", TEXT)
    draft.text = ""
    with pytest.raises(LlorchError, match="cannot edit"):
        draft.check()


def test_values_are_quoted() -> None:
    """Whatever a text has in it, it is read as it was written."""
    entry = {"name": 'a "b" \\ ü\t]', "files": [{"path": "x'y\"z"}], "gated": True, "context_length": 8}
    assert tomli.loads(render_entry("a b", entry)) == {"models": {"a b": entry}}


# The file


@pytest.fixture
def here(workspace: Path) -> Workspace:
    """The workspace."""
    return Workspace(root=workspace, declared=True)


def add_n(draft: Draft) -> None:
    """Add a right entry."""
    draft.add("n", {"repo": "a/b", "files": [{"path": "a.gguf"}]})


def test_the_first_entry_makes_the_catalog(here: Workspace) -> None:
    """A workspace without a catalog gets one that has the shipped models too."""
    assert edit_catalog(here, load_settings(here), add_n) == "catalog.toml"
    text = Path("catalog.toml").read_text()
    assert text.startswith('version = 1\nextends = "shipped"\n\n[models.n]\n')
    assert {"n", "smollm2"} < load_models(here, load_settings(here)).keys()
    assert os.listdir() == ["catalog.toml"]


def test_a_dry_run_writes_nothing(here: Workspace) -> None:
    """It finds what is wrong all the same."""
    edit_catalog(here, load_settings(here), add_n, dry_run=True)
    with pytest.raises(ConfigError):
        edit_catalog(here, load_settings(here), lambda draft: draft.add("A", {"files": []}), dry_run=True)
    assert os.listdir() == []


def test_a_wrong_result_is_not_written(here: Workspace) -> None:
    """It is named with its line, and the catalog stays, without a part beside it."""
    Path("catalog.toml").write_text(TEXT)
    wrong = {"repo": "a/b", "files": [{"path": "../x"}], "folder": "a"}
    with pytest.raises(ConfigError, match=r"catalog.toml:32: models.d.files\[0\].path: .* has a part `..`") as caught:
        edit_catalog(here, load_settings(here), lambda draft: draft.add("d", wrong))
    assert caught.value.hint == "nothing was changed; this is what `catalog.toml` would be like"
    assert (Path("catalog.toml").read_text(), os.listdir()) == (TEXT, ["catalog.toml"])


def test_a_link_stays_one(here: Workspace) -> None:
    """The file that a link leads to is replaced, with the rights it had; line ends stay too."""
    Path("shared").mkdir()
    Path("shared/models.toml").write_bytes(TEXT.replace("\n", "\r\n").encode())
    Path("shared/models.toml").chmod(0o640)
    Path("catalog.toml").symlink_to("shared/models.toml")
    edit_catalog(here, load_settings(here), setting("b", revision="v2"))
    assert Path("catalog.toml").is_symlink()
    raw = Path("shared/models.toml").read_bytes()
    assert raw.decode() == TEXT.replace('"v1"', '"v2"').replace("\n", "\r\n")
    assert stat.S_IMODE(os.stat("catalog.toml").st_mode) == 0o640
    assert os.listdir("shared") == ["models.toml"]


def test_what_cannot_be_written_is_said(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to write, or room, the catalog stays as it was."""
    Path("catalog.toml").write_text(TEXT)
    os.chmod(".", 0o500)
    settings = load_settings(here)
    with pytest.raises(DiskFull, match=r"`catalog\.toml` cannot be written: Permission denied"):
        as_mortal(lambda: edit_catalog(here, settings, add_n))
    os.chmod(".", 0o700)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match=r"the disk is full: `catalog\.toml` cannot be written"):
        edit_catalog(here, settings, add_n)
    assert (Path("catalog.toml").read_text(), os.listdir()) == (TEXT, ["catalog.toml"])


def test_a_part_that_is_a_link_is_refused(here: Workspace) -> None:
    """Nothing is written through it."""
    Path("elsewhere").write_text("mine")
    Path("catalog.toml.part").symlink_to("elsewhere")
    with pytest.raises(DiskFull):
        edit_catalog(here, load_settings(here), add_n)
    assert Path("elsewhere").read_text() == "mine"


def test_edits_at_the_same_time_are_all_there(here: Workspace) -> None:
    """Each waits for the one before it, and begins with what that one wrote."""
    settings, errors = load_settings(here), list[BaseException]()

    def add(number: int) -> None:
        try:
            edit_catalog(
                here, settings, lambda draft: draft.add(f"m{number}", {"repo": "a/b", "files": [{"path": "a"}]})
            )
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert own_entries(here, settings).keys() == {f"m{number}" for number in range(12)}


def test_a_stale_part_does_not_matter(here: Workspace) -> None:
    """What a killed run has left is overwritten, however long it is."""
    Path("catalog.toml.part").write_text("x" * 10_000)
    edit_catalog(here, load_settings(here), add_n)
    assert tomli.loads(Path("catalog.toml").read_text())["models"].keys() == {"n"}


def test_whose_entries_are_whose(here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workspace's own are told from those that come with llorch, which are there only if they are wanted."""
    settings = load_settings(here)
    shipped = tomli.loads(SHIPPED.read_text())["models"]
    assert (own_entries(here, settings), shipped_entries(here, settings)) == ({}, shipped)
    Path("catalog.toml").write_text(TEXT)
    assert (set(own_entries(here, settings)), shipped_entries(here, settings)) == ({"a", "b", "c"}, {})
    Path("catalog.toml").write_text('extends = "shipped"\n')
    assert (own_entries(here, settings), shipped_entries(here, settings)) == ({}, shipped)
    Path("catalog.toml").unlink()
    Path("catalog.toml").symlink_to(SHIPPED)
    assert (own_entries(here, settings), shipped_entries(here, settings)) == (shipped, {})
    assert isinstance(edit.changed_meanwhile("x"), Busy)
    assert isinstance(settings, Settings)
