"""The catalog held against a Hub on this machine, asked with the real client."""

import threading
from pathlib import Path

import pytest

from llorch.config import Settings, Workspace
from llorch.errors import Offline
from llorch.models import hub, promises
from llorch.models.catalog import Catalog, read_catalog
from llorch.models.promises import check_revisions, compare
from tests.conftest import sha256
from tests.hub import Fault, Hub

WEIGHTS, CONFIG = b"weights" * 100, b"{}"
OTHER = "0" * 64


@pytest.fixture
def commit(empty_hub: Hub) -> str:
    """The commit of the only repository of a Hub."""
    return empty_hub.add("org/m", {"a.gguf": WEIGHTS, "config.json": CONFIG}, lfs=["a.gguf"])


def catalog(root: Path, text: str) -> Catalog:
    """Write a catalog and read it."""
    (root / "catalog.toml").write_text("version = 1\n" + text)
    found = read_catalog(Workspace(root=root, declared=True), Settings())
    assert found.problems == ()
    return found


def entry(id: str, commit: str, *, repo: str = "org/m", size: int = 700, digest: str = "", more: str = "") -> str:
    """Return an entry with a file that is in LFS, and one that is not."""
    digest = digest or sha256(WEIGHTS)
    return f"""
[models.{id}]
repo = "{repo}"
revision = "{commit}"
{more}
files = [
  {{ path = "a.gguf", size = {size}, sha256 = "{digest}" }},
  {{ path = "config.json", size = 2 }},
]
"""


def said(found: Catalog) -> list[str]:
    """Return what is not as the catalog says."""
    problems, skipped = compare(found)
    assert skipped == ()
    return [f"{problem.severity} {problem}" for problem in problems]


def test_what_is_as_promised_is_no_problem(workspace: Path, empty_hub: Hub, commit: str) -> None:
    """Each repository is asked about once for each revision, and models of elsewhere not at all."""
    more = '[models.c]\nsource = "file:/srv"\nfiles = [{ path = "x" }]\n'
    assert said(catalog(workspace, entry("a", commit) + entry("b", commit, more='folder = "bb"') + more)) == []
    assert [request.path for request in empty_hub.requests if request.repo] == [f"/api/models/org/m/revision/{commit}"]


def test_differences_have_their_lines(workspace: Path, empty_hub: Hub, commit: str) -> None:
    """A repository, revision or file that is not there, other sizes, digests and terms: each at its value."""
    gated = empty_hub.add("org/gated", {"a.gguf": WEIGHTS, "config.json": CONFIG}, lfs=["a.gguf"], gated=True)
    text = "".join(
        [
            entry("a", commit, size=699, digest=OTHER),
            entry("b", commit, repo="org/n"),
            entry("c", "1" * 40),
            entry("d", gated, repo="org/gated"),
            entry("e", commit, more="gated = true"),
            entry("f", commit).replace("config.json", "confg.json").replace("size = 2", "size = 3"),
            entry("g", commit).replace("size = 2", "size = 3"),
            entry("h", commit).replace("config.json", "nothing/like/it"),
        ]
    )
    where = empty_hub.endpoint
    assert said(catalog(workspace, text)) == [
        "error catalog.toml:8: models.a.files[0].size: on the Hub it is 700"
        f" (`llorch models pin a --revision {commit}` takes over what is there)",
        f"error catalog.toml:8: models.a.files[0].sha256: on the Hub it is {sha256(WEIGHTS)}"
        f" (`llorch models pin a --revision {commit}` takes over what is there)",
        "error catalog.toml:13: models.b.repo: there is no public repository `org/n`"
        " (check the name; a private one needs HF_TOKEN)",
        f"error catalog.toml:23: models.c.revision: `org/m` has no revision `{'1' * 40}` any more"
        f" (its newest commit is {commit}; `llorch models pin c --revision REV` takes another)",
        "warn catalog.toml:30: models.d.gated: `org/gated` is gated on the Hub"
        f" (accept its terms at {where}/org/gated, and write `gated = true`)",
        "warn catalog.toml:42: models.e.gated: `org/m` is not gated on the Hub (write `gated = false`)",
        f"error catalog.toml:54: models.f.files[1].path: `org/m` has no such file at `{commit}`"
        " (did you mean `config.json`?)",
        "error catalog.toml:63: models.g.files[1].size: on the Hub it is 2"
        f" (`llorch models pin g --revision {commit}` takes over what is there)",
        f"error catalog.toml:72: models.h.files[1].path: `org/m` has no such file at `{commit}`"
        f" (see {where}/org/m/tree/{commit})",
    ]


def test_names_from_the_hub_reach_no_terminal_as_they_are(workspace: Path, empty_hub: Hub) -> None:
    """A file's name there may have what a terminal obeys."""
    commit = empty_hub.add("org/m", {"a.gguf\x1b[2J": WEIGHTS, "config.json": CONFIG})
    assert said(catalog(workspace, entry("a", commit)))[0].endswith(r"(did you mean `a.gguf\x1b[2J`?)")


def test_what_cannot_be_asked_is_not_a_problem(workspace: Path, empty_hub: Hub, commit: str) -> None:
    """One that the Hub does not show to us is told apart; the others are compared."""
    empty_hub.fault("org/p", Fault("status", code=403, forever=True))
    problems, skipped = compare(catalog(workspace, entry("a", commit, repo="org/p") + entry("b", commit, size=1)))
    assert [problem.key for problem in problems] == ["models.b.files[0].size"]
    assert skipped == (("a", "the Hub refuses `org/p` (403)"),)


def test_what_is_gated_is_told_without_a_token(workspace: Path, empty_hub: Hub, commit: str) -> None:
    """Of a revision that is not the newest, the Hub tells nothing but to those whom it lets in."""
    empty_hub.add("org/gated", {"a.gguf": WEIGHTS}, gated=True)
    problems, skipped = compare(catalog(workspace, entry("a", "1" * 40, repo="org/gated")))
    assert [(problem.key, problem.severity) for problem in problems] == [("models.a.gated", "warn")]
    assert skipped == (("a", "`org/gated` is gated, and there is no token"),)


def test_a_missing_revision_that_cannot_be_told_from_a_missing_repository(
    workspace: Path, empty_hub: Hub, commit: str
) -> None:
    """Where the second question fails, the model is not judged."""
    empty_hub.fault("org/m", Fault("none"), Fault("status", code=403))
    assert compare(catalog(workspace, entry("a", "1" * 40))) == ((), (("a", "the Hub refuses `org/m` (403)"),))


def test_a_dead_hub_is_given_up(workspace: Path, empty_hub: Hub, commit: str) -> None:
    """Once it does not answer, the rest is not asked: 8 at once, four times each, is the most that comes."""
    empty_hub.fault("*", Fault("status", code=503, forever=True))
    text = "".join(entry(f"m{n}", f"{n:040}") for n in range(30))
    problems, skipped = compare(catalog(workspace, text))
    assert (problems, len(skipped)) == ((), 30)
    assert all("the server answers 503" in why for _, why in skipped)
    assert len([request for request in empty_hub.requests if request.repo]) in range(4, 8 * 4 + 1)


def test_a_mirror_that_leaves_out_what_files_are(workspace: Path, empty_hub: Hub, commit: str) -> None:
    """The Hub is asked about each file then."""
    found = catalog(workspace, entry("a", commit, size=699))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.hub._Handler._entries", lambda *_: [])
        assert [line.split(": ")[1] for line in said(found)] == ["models.a.files[0].size"]


def test_offline_is_said(workspace: Path, monkeypatch: pytest.MonkeyPatch, empty_hub: Hub) -> None:
    """Where asking is switched off, nobody is asked."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Offline):
        compare(catalog(workspace, entry("a", "1" * 40)))
    assert empty_hub.requests == []


def test_branches_are_warned_about(workspace: Path) -> None:
    """An own entry that follows a branch or tag is told; a pinned one, and one of elsewhere, is fine."""
    text = entry("a", "v1.0") + entry("b", "1" * 40)
    for id, place in (("c", 'repo = "org/m"'), ("d", 'source = "file:/s"')):
        text += f'[models.{id}]\n{place}\nfiles = [{{ path = "x" }}]\n'
    found = [f"{problem.severity} {problem}" for problem in check_revisions(catalog(workspace, text))]
    assert found == [
        "warn catalog.toml:5: models.a.revision: `v1.0` is a branch or tag, which may be moved to other files"
        " (`llorch models pin a` writes what it is now)",
        "warn catalog.toml:20: models.c.revision: `main` is a branch or tag, which may be moved to other files"
        " (`llorch models pin c` writes what it is now)",
    ]


def test_an_answer_without_an_end_is_given_up(
    workspace: Path, empty_hub: Hub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that goes on answering for ever is told, and the others are not asked."""
    never = threading.Event()
    monkeypatch.setattr(promises, "PATIENCE", 0.01)
    monkeypatch.setattr(promises, "ask_repository", lambda *_: never.wait())
    found = compare(catalog(workspace, entry("m", commit)))
    never.set()
    ((id, why),) = found.skipped
    assert (id, found.problems) == ("m", ())
    assert why == f"{hub.endpoint()} takes more than 0.01 s"
