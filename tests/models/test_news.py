"""What the Hub has now, asked with the real client from a Hub on this machine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llorch.config import Workspace
from llorch.errors import AccessDenied, IntegrityError, LlorchError, NotFound, Offline, Unreachable
from llorch.models import hub as client
from llorch.models.catalog import Entry, File, Model
from llorch.models.hub import Passing, Remote
from llorch.models.news import Listed, Pin, Repository, ask_repository, choose, outdated, pin, slug
from llorch.models.receipt import render_receipt
from tests.conftest import sha256
from tests.hub import Fault, Generated, Hub

WEIGHTS = b"weights" * 100
CONFIG = b"{}"
FILES = {"a.gguf": WEIGHTS, "config.json": CONFIG}
A, C = sha256(WEIGHTS), sha256(CONFIG)
C_OID = "9e26dfeeb6e641a33dae4961196235bdb965b21b"
FOLDER = ".test-models/m"


@pytest.fixture
def hub(empty_hub: Hub) -> Hub:
    """A Hub with one repository."""
    empty_hub.add("org/m", FILES, lfs=["a.gguf"], license="apache-2.0")
    return empty_hub


@pytest.fixture
def here(workspace: Path) -> Workspace:
    """The workspace."""
    return Workspace(root=workspace, declared=True)


def model(*files: File, repo: str = "org/m", revision: str = "main", id: str = "m") -> Model:
    """Return a model of the Hub."""
    return Model(id, Entry(files=files, repo=repo, revision=revision), f".test-models/{id}")


def put(here: Workspace, path: str, data: bytes) -> None:
    """Write a file of the model `m`."""
    place = here.path(f"{FOLDER}/{path}")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def put_receipt(here: Workspace, of: Model, files: dict[str, bytes], commit: str) -> None:
    """Write the receipt that a download of these files leaves."""
    found = {path: (len(data), sha256(data)) for path, data in files.items()}
    put(here, "receipt.json", render_receipt(of, found, commit=commit).encode())


# ask


def test_a_question_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may pass is tried four times, waiting longer each time, or as long as the server asks for."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    failures = [Passing("first"), Passing("second", wait=17.0), Passing("third")]

    def question() -> str:
        if failures:
            raise failures.pop(0)
        return "answer"

    assert client.ask(question, "`x`") == "answer"
    assert waited == [0.5, 17.0, 2.0]


def test_a_question_is_given_up() -> None:
    """After four times, or when the server asks for too long a wait, it is an error."""

    def limited() -> None:
        raise Passing("the server answers 429", wait=3600.0)

    with pytest.raises(Unreachable, match=r"`x` cannot be asked for: the server answers 429 and asks to wait 3600 s"):
        client.ask(limited, "`x`")


def test_a_question_is_given_up_after_four_times(hub: Hub) -> None:
    """Each time reaches the server."""
    hub.fault("org/m", Fault("status", code=503, forever=True))
    with pytest.raises(Unreachable, match=r"`org/m` cannot be asked for: the server answers 503, 4 times in a row"):
        ask_repository("org/m")
    assert len([request for request in hub.requests if request.repo == "org/m"]) == 4


# ask_repository


def test_a_repository_is_described(hub: Hub) -> None:
    """Commit, license, date, and each file's size with its sha256, or its git id where that is all there is."""
    found = ask_repository("org/m", "main")
    assert found == Repository(
        repo="org/m",
        commit=hub.commit("org/m", "main")[0],
        license="apache-2.0",
        last_modified="2024-01-01T00:00:00Z",
        files={
            "a.gguf": Listed(path="a.gguf", size=len(WEIGHTS), sha256=A),
            "config.json": Listed(path="config.json", size=2, git_oid=C_OID),
        },
    )
    hub.fault("org/m", Fault("status", code=500), Fault("drop", at="hub"))
    assert ask_repository("org/m") == found


@pytest.mark.parametrize(
    ("repo", "revision", "error", "words"),
    [
        ("org/none", None, NotFound, "there is no public repository `org/none`"),
        ("org/m", "v9", NotFound, "`org/m` has no revision `v9`"),
        ("org/m", "0" * 40, NotFound, f"`org/m` has no revision `{'0' * 40}` any more"),
        ("org/gated", "main", AccessDenied, "`org/gated` is gated, and there is no token"),
        ("org/a--b", None, NotFound, "`org/a--b` is no repository of the Hub"),
    ],
)
def test_what_is_not_there_is_said(
    hub: Hub, repo: str, revision: str | None, error: type[LlorchError], words: str
) -> None:
    """Each way of not being there has its message."""
    hub.add("org/gated", FILES, gated=True)
    assert ask_repository("org/gated").gated
    with pytest.raises(error, match=words):
        ask_repository(repo, revision)


def test_a_repository_that_was_renamed_has_its_new_name(hub: Hub) -> None:
    """The Hub sends on who asks for the old one, which may be another's tomorrow."""
    there = {"Location": "/api/models/org/m/revision/main?blobs=true"}
    hub.fault("org/old", Fault("status", code=307, headers=there))
    assert ask_repository("org/old", "main") == ask_repository("org/m", "main")


def test_what_is_no_hub_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login page, or another service that speaks JSON, is not asked four times."""
    hub.fault("org/m", Fault("portal"), Fault("portal_redirect"))
    for _ in range(2):
        with pytest.raises(Unreachable, match="does not answer like a Hub: a login page"):
            ask_repository("org/m")
    assert len([request for request in hub.requests if request.repo == "org/m"]) == 2
    from huggingface_hub import HfApi

    def strange(*_: object, **__: object) -> object:
        raise KeyError("id")

    monkeypatch.setattr(HfApi, "model_info", strange)
    with pytest.raises(Unreachable, match="does not answer like a Hub"):
        ask_repository("org/m")


def test_nothing_is_asked_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fetching switched off there is one error, and no request."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for question in (lambda: ask_repository("org/m"), lambda: outdated([], Workspace(root=Path(), declared=True))):
        with pytest.raises(Offline):
            question()
    assert hub.requests == []


def test_a_hostile_answer_is_cut_down(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    """What does not have the form that it should have is left out; without a commit there is no answer."""
    from huggingface_hub import HfApi

    files = [
        SimpleNamespace(rfilename="a", size=-1, lfs=SimpleNamespace(sha256="zz"), blob_id=C_OID),
        SimpleNamespace(rfilename="b", size=True, lfs=None, blob_id="../x"),
        SimpleNamespace(rfilename="c", size=1 << 64, lfs=None, blob_id=None),
    ]
    answer = SimpleNamespace(
        id="../x",
        sha="f" * 40,
        siblings=files,
        tags=["x", "license:\x1b[31m" + "m" * 200],
        gated="auto",
        last_modified=None,
    )
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: answer)
    found = ask_repository("org/m")
    assert found.files == {name: Listed(path=name) for name in "abc"}
    assert (found.license, found.gated, found.last_modified) == ("[31m" + "m" * 96, True, None)
    answer.siblings = answer.tags = None
    assert (ask_repository("org/m").files, ask_repository("org/m").license) == ({}, "")
    answer.sha = "main"
    with pytest.raises(Unreachable):
        ask_repository("org/m")


# outdated


def changes(here: Workspace, *models: Model) -> list[Any]:
    """Return whether each model's repository has moved on, and its changes."""
    return [(item.moved, dict(item.changes)) for item in outdated(models, here)]


def test_nothing_has_changed(hub: Hub, here: Workspace) -> None:
    """A model at the latest commit is the same, also what has no sha256, and is asked for once."""
    commit = hub.commit("org/m", "main")[0]
    pinned = model(File(path="a.gguf", sha256=A), File(path="config.json", sha256=C), revision=commit)
    assert changes(here, pinned, pinned) == [(False, {"a.gguf": "same", "config.json": "same"})] * 2
    assert len([request for request in hub.requests if request.repo == "org/m"]) == 1
    (found,) = outdated([pinned], here)
    assert (found.have, found.latest and found.latest.commit, found.error) == (commit, commit, None)


def test_what_changed_is_told(hub: Hub, here: Workspace) -> None:
    """Each file is the same, changed or gone; files in git are compared with what the Hub had."""
    files = {**FILES, "b.txt": b"b", "gone.txt": b""}
    commit = hub.add("org/m", files, lfs=["a.gguf"])
    of = model(*(File(path=path, sha256=sha256(data)) for path, data in files.items()), revision=commit)
    hub.add("org/m", {"a.gguf": b"new", "config.json": b"new", "b.txt": b"b"}, lfs=["a.gguf"])
    now = {"a.gguf": "changed", "config.json": "changed", "b.txt": "same", "gone.txt": "gone"}
    assert changes(here, of) == [(True, now)]
    unpinned = model(*(File(path=path) for path in files), revision=commit)
    assert changes(here, unpinned) == [(True, now)]


def test_a_past_that_is_gone_leaves_it_open(hub: Hub, here: Workspace) -> None:
    """Where the Hub no longer has the old commit, files without a sha256 there are unknown."""
    of = model(File(path="a.gguf", sha256=A), File(path="config.json", sha256=C), revision="e" * 40)
    assert changes(here, of) == [(True, {"a.gguf": "same", "config.json": "unknown"})]


def test_a_branch_is_compared_with_what_was_fetched(hub: Hub, here: Workspace) -> None:
    """The receipt says what is here; without one, and without digests, nothing is known."""
    of = model(File(path="a.gguf"), File(path="config.json"))
    assert changes(here, of) == [(True, {"a.gguf": "unknown", "config.json": "unknown"})]
    put_receipt(here, of, FILES, hub.commit("org/m", "main")[0])
    assert changes(here, of) == [(False, {"a.gguf": "same", "config.json": "same"})]
    hub.add("org/m", {"a.gguf": WEIGHTS, "config.json": b"new"}, lfs=["a.gguf"])
    assert changes(here, of) == [(True, {"a.gguf": "same", "config.json": "changed"})]
    here.path(f"{FOLDER}/receipt.json").unlink()
    assert changes(here, model(File(path="a.gguf", sha256=A))) == [(False, {"a.gguf": "same"})]


def test_one_that_cannot_be_asked_does_not_stop_the_others(hub: Hub, here: Workspace) -> None:
    """It has its error."""
    found = outdated([model(File(path="a.gguf"), repo="org/none"), model(File(path="a.gguf", sha256=A))], here)
    assert [type(item.error) for item in found] == [NotFound, type(None)]
    assert [(item.latest is None, item.moved) for item in found] == [(True, False), (False, False)]


# pin


def test_a_model_is_pinned(hub: Hub, here: Workspace) -> None:
    """A branch becomes its commit, each file gets its size, and its sha256 where the Hub has it."""
    commit = hub.commit("org/m", "main")[0]
    of = model(File(path="a.gguf"), File(path="config.json"))
    found = pin(of, here)
    assert found == Pin(
        model=of,
        revision=commit,
        files=(File(path="a.gguf", size=len(WEIGHTS), sha256=A), File(path="config.json", size=2)),
        open=("config.json",),
    )
    assert found.changed
    put(here, "config.json", b"xx")
    assert pin(of, here).open == ("config.json",)
    put(here, "config.json", CONFIG)
    found = pin(of, here)
    assert (found.files[1], found.open) == (File(path="config.json", size=2, sha256=C), ())
    assert not pin(model(*found.files, revision=commit), here).changed


def test_what_was_fetched_is_what_is_pinned(hub: Hub, here: Workspace) -> None:
    """A branch that moved on since the download does not take the model along, unless that is asked for."""
    old, of = hub.commit("org/m", "main")[0], model(File(path="a.gguf"))
    put_receipt(here, of, {"a.gguf": WEIGHTS}, old)
    new = hub.add("org/m", {"a.gguf": b"new"}, lfs=["a.gguf"])
    assert (pin(of, here).revision, pin(of, here).files[0].sha256) == (old, A)
    assert (pin(of, here, "main").revision, pin(of, here, "main").files[0].sha256) == (new, sha256(b"new"))


@pytest.mark.parametrize(
    ("file", "local", "words"),
    [
        (File(path="a.gguf", sha256="0" * 64), None, f"expected sha256 {'0' * 64}, found sha256 {A}"),
        (File(path="a.gguf", size=5), None, "expected 5 bytes, found 700 bytes"),
        (File(path="config.json", size=9), None, "expected 9 bytes, found 2 bytes"),
        (File(path="config.json", sha256=A), WEIGHTS, f"expected git id [0-9a-f]*, found git id {C_OID}"),
        (File(path="config.json", sha256=A), CONFIG, f"expected sha256 {A}, found sha256 {C}"),
    ],
)
def test_changed_contents_are_refused(hub: Hub, here: Workspace, file: File, local: bytes | None, words: str) -> None:
    """What the entry promises is not given up for what the Hub has, unless a revision is named."""
    if local is not None:
        put(here, file.path, local)
    with pytest.raises(IntegrityError, match=words) as caught:
        pin(model(file), here)
    assert "`llorch models pin m --revision REV`" in (caught.value.hint or "")
    assert pin(model(file), here, "main").files[0].sha256 in (A, C, None)


def test_a_promise_that_cannot_be_compared_stays(hub: Hub, here: Workspace) -> None:
    """The sha256 of a file in git is kept where the file is not here."""
    found = pin(model(File(path="config.json", sha256=C)), here)
    assert (found.files, found.open) == ((File(path="config.json", size=2, sha256=C),), ())


def test_a_file_that_is_not_there_cannot_be_pinned(hub: Hub, here: Workspace) -> None:
    """It is named with its revision."""
    with pytest.raises(NotFound, match="`org/m` has no file `b` at revision `main`"):
        pin(model(File(path="b")), here)


def test_a_mirror_that_lists_names_only_is_asked_for_more(
    hub: Hub, here: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and digests come file by file then."""
    from huggingface_hub import HfApi

    real = HfApi.model_info
    monkeypatch.setattr(HfApi, "model_info", lambda *a, **more: real(*a, **{**more, "files_metadata": False}))
    found = pin(model(File(path="a.gguf"), File(path="config.json")), here)
    assert found.files == (File(path="a.gguf", size=len(WEIGHTS), sha256=A), File(path="config.json", size=2))
    assert choose(ask_repository("org/m"), "")[0].sha256 == A
    monkeypatch.setattr(client, "find", lambda *_: Remote(url="", size=7))
    assert pin(model(File(path="a.gguf")), here).open == ("a.gguf",)


# choose


def repository(*paths: str) -> Repository:
    """Return a repository with these files, each a byte longer than the one before."""
    files = {path: Listed(path=path, size=n, sha256="0" * 64) for n, path in enumerate(paths, start=1)}
    return Repository(repo="org/m", commit="f" * 40, files=files)


def chosen(file: str, *paths: str) -> list[str]:
    """Return the paths that are chosen."""
    return [listed.path for listed in choose(repository(*paths), file)]


def test_what_is_chosen() -> None:
    """A named file, or the only GGUF; of a split one all, whichever is named."""
    series = [f"sub/a-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert chosen("", "README.md", "a.gguf") == ["a.gguf"]
    assert chosen("README.md", "README.md", "a.gguf", "b.gguf") == ["README.md"]
    assert chosen("", *reversed(series)) == series
    assert chosen(series[1], *series, "b.gguf") == series
    assert chosen("", "a.GGUF") == ["a.GGUF"]
    loud = [path.replace("gguf", "GGUF") for path in series]
    assert (chosen("", *loud), chosen(loud[1], *loud)) == (loud, loud)
    assert chosen("", "a.gguf", "../b.gguf", "/c.gguf", "d\x1b.gguf", "e.gguf.part") == ["a.gguf"]


@pytest.mark.parametrize(
    ("file", "paths", "message", "hint"),
    [
        (
            "a.gguf",
            ("config.json", "model.safetensors"),
            "`org/m` has no file `a.gguf`",
            "it has a checkpoint, which is converted if no file is named",
        ),
        (
            "",
            ("a.gguf", "b-00001-of-00002.gguf", "b-00002-of-00002.gguf"),
            "`org/m` has 2 GGUF files: say which file to add",
            "name one of\n  org/m:a.gguf (1 bytes)\n  org/m:b-00001-of-00002.gguf and 1 more (5 bytes)",
        ),
        (
            "b.gguf",
            ("a.gguf",),
            "`org/m` has no file `b.gguf`; did you mean `a.gguf`?",
            "name one of\n  org/m:a.gguf (1 bytes)",
        ),
        (
            "b-00001-of-00003.gguf",
            ("b-00001-of-00003.gguf",),
            "`org/m` lacks 2 of the 3 files of `b-00001-of-00003.gguf`, the first of them `b-00002-of-00003.gguf`",
            "choose another file, or another revision with `--revision`",
        ),
        (
            "b-00001-of-99999.gguf",
            ("b-00001-of-99999.gguf",),
            "`b-00001-of-99999.gguf` is not of a series that can be had",
            "choose another file",
        ),
        (
            "../a",
            ("../a",),
            "a file called so cannot be had: `../a` has a part `..`; give a path inside the model's folder",
            "choose another file",
        ),
    ],
)
def test_what_cannot_be_chosen(file: str, paths: tuple[str, ...], message: str, hint: str) -> None:
    """The error says why, and what can be chosen."""
    with pytest.raises(LlorchError) as caught:
        chosen(file, *paths)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_long_lists_are_cut(hub: Hub) -> None:
    """Of very many candidates the first are named; where there are none, their page is; sizes may be unknown."""
    with pytest.raises(LlorchError) as caught:
        chosen("", *(f"{n:05}.gguf" for n in range(10_000)))
    assert caught.value.hint is not None
    assert caught.value.hint.splitlines()[-2:] == ["  org/m:00019.gguf (20 bytes)", "  and 9980 more"]
    with pytest.raises(LlorchError, match="has no GGUF file") as caught:
        chosen("", "README.md")
    assert caught.value.hint == f"see {hub.endpoint}/org/m/tree/{'f' * 40} for its files"
    bare = Repository(repo="org/m", commit="f" * 40, files={path: Listed(path=path) for path in ("a.gguf", "b.gguf")})
    with pytest.raises(LlorchError) as caught:
        choose(bare, "")
    assert "org/m:a.gguf (size unknown)" in (caught.value.hint or "")


def test_thousands_of_files(hub: Hub) -> None:
    """A repository of ten thousand files is no trouble."""
    hub.add("org/many", {**{f"{n}.txt": b"" for n in range(10_000)}, "a.gguf": Generated(10)})
    assert [listed.path for listed in choose(ask_repository("org/many"), "")] == ["a.gguf"]


@pytest.mark.parametrize(
    ("path", "id"),
    [
        ("A B.gguf", "a-b"),
        ("A.GGUF", "a"),
        ("x/.Ü.gguf", ""),
        ("--", ""),
        ("m-00001-of-00002.gguf", "m"),
        ("M-00001-of-00002.GGUF", "m"),
        ("a" * 300, "a" * 100),
    ],
)
def test_an_id_is_made_of_a_name(path: str, id: str) -> None:
    """It has no other characters than an id may have."""
    assert slug(path) == id
