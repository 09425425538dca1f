"""What failures of git mean: by its words, and as real ones come."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llorch.errors import (
    AccessDenied,
    Busy,
    CommandFailed,
    DiskFull,
    LlorchError,
    Malformed,
    NotFound,
    Refused,
    ToolMissing,
    Unreachable,
)
from llorch.git.failures import own_error
from llorch.git.repo import Repo
from tests.conftest import MORTAL
from tests.git.conftest import commit, git, repository


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("fatal: Unable to create '/r/.git/index.lock': File exists.\n\nAnother git process", Busy, "index.lock"),
        ("error: could not lock config file .git/config: File exists", Busy, "config"),
        ("fatal: detected dubious ownership in repository at '/r'", Refused, "belongs to another user"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", AccessDenied, "host key"),
        ("git@x: Permission denied (publickey).\nfatal: Could not read", AccessDenied, "does not let us in"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", AccessDenied, "Username"),
        ("fatal: Authentication failed for 'https://me:secret@x/'", AccessDenied, "https://x/"),
        ("fatal: transport 'file' not allowed", AccessDenied, "transport 'file' not allowed"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", Unreachable, "Could not resolve host"),
        ("ssh: connect to host x port 22: Connection refused\nfatal: Could not read", Unreachable, "refused"),
        ("fatal: couldn't find remote ref refs/heads/x", NotFound, "refs/heads/x"),
        ("fatal: remote error: upload-pack: not our ref 12", NotFound, "not our ref"),
        ("fatal: '/x' does not appear to be a git repository\nfatal: Could not read", NotFound, "no such repository"),
        ("remote: Repository not found.\nfatal: repository 'https://x/' not found", NotFound, "no such repository"),
        ("error: insufficient permission for adding an object", DiskFull, "cannot read or write"),
        ("fatal: write error: No space left on device", DiskFull, "No space left"),
        ("fatal: not a git repository: /x/modules/y", Malformed, "not a git repository"),
        ("error: object file .git/objects/12/34 is empty\nfatal: loose object 12 is corrupt", Malformed, "is empty"),
        ("fatal: index file corrupt", Malformed, "index file corrupt"),
        ("error: cannot lock ref 'refs/x': is at 12 but expected 34", Busy, "another git has moved"),
        ("fatal: invalid value for 'submodule.x.update'", Malformed, "`/r/.gitmodules` is malformed: invalid value"),
        ("error: Entry 'a\x1b[2J' not uptodate. Cannot merge.", Refused, r"a\x1b[2J"),
        ("fatal: transport 'ext' not allowed", AccessDenied, "transport 'ext' not allowed"),
        ("fatal: No url found for submodule path 'x' in .gitmodules", Malformed, "No url found"),
    ],
)
def test_words_have_a_meaning(said: str, kind: type[LlorchError], told: str) -> None:
    """Each kind of failure has its class, git's own reason, a hint, and no secret."""
    error = own_error(CommandFailed(["git", "fetch"], 128, said), Path("/r"))
    assert type(error) is kind
    assert told in error.message
    assert error.hint
    assert "secret" not in error.message


def test_anything_else_keeps_gits_words() -> None:
    """What is not recognised is told as git told it, without secrets, with where it was."""
    failed = CommandFailed(["git", "-c", "a=b", "rebase", "-q"], 1, "error: https://me:secret@x\nodd")
    error = own_error(failed, Path("/r"))
    assert isinstance(error, CommandFailed)
    assert error.message == "`git rebase` exited with 1:\nerror: https://x\nodd"
    assert error.hint == "`git rebase` ran in `/r`"
    assert own_error(CommandFailed(["git", "gc"], 1, ""), Path("/r")).message == "`git gc` exited with 1"


def empty_objects(root: Path) -> None:
    """Have every object cut, as a crash may leave it."""
    for path in root.glob(".git/objects/??/*"):
        path.chmod(0o600)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "command", "kind"),
    [
        (lambda root: (root / ".git/index.lock").touch(), ["add", "."], Busy),
        (lambda root: (root / ".git/index").write_bytes(b"DIRC nonsense"), ["status"], Malformed),
        (lambda root: (root / ".git/HEAD").write_text("x"), ["status"], Malformed),
        (empty_objects, ["log"], Malformed),
        (lambda root: (root / ".git/config").write_text("[x"), ["status"], Malformed),
        (lambda root: None, ["fetch", "/nowhere"], NotFound),
        (lambda root: None, ["fetch", "http://127.0.0.1:1/x"], Unreachable),
        (lambda root: None, ["fetch", ".", "nothing"], NotFound),
        (lambda root: None, ["switch", "nothing"], CommandFailed),
    ],
)  # fmt: skip
def test_real_failures(
    tmp_path: Path, change: Callable[[Path], object], command: list[str], kind: type[LlorchError]
) -> None:
    """What this machine's git really says is recognised."""
    root = repository(tmp_path / "Wörk späce")
    commit(root, "f")
    change(root)
    with pytest.raises(kind):
        Repo(root=root).run(*command)


@pytest.mark.parametrize(
    "said",
    [
        "error: could not apply 12... handle: index file corrupt\nhint: Could not apply 12... bad object",
        "no broken link\nPermission denied\nConnection refused",
    ],
)
def test_what_others_say_has_no_meaning(said: str) -> None:
    """A commit's subject and a hook's words are told, and no more is made of them."""
    failed = CommandFailed(["git", "rebase"], 1, said)
    assert isinstance(own_error(failed, Path("/r")), CommandFailed)


def test_what_may_not_be_read_is_not_gone(tmp_path: Path) -> None:
    """A repository that the user has no right to is told from one that is not there, and nobody is to move it away."""
    root = repository(tmp_path / "r")
    script = "import sys\nfrom pathlib import Path\nfrom llorch.git.repo import Repo\n"
    script += "try:\n    Repo(root=Path(sys.argv[1])).look('status')\n"
    script += "except Exception as error:\n    print(type(error).__name__, error, error.hint)"
    for place in (root / ".git", root):
        place.chmod(0)
        try:
            command = [*MORTAL, sys.executable, "-c", script, str(root)]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        finally:
            place.chmod(0o755)
        assert said.startswith(f"DiskFull the repository in `{root}` may not be read: Permission denied: `{place}")
        assert "`ls -ld " in said


def test_a_repository_without_an_origin_is_one(tmp_path: Path) -> None:
    """Nobody is to clone again what has only no remote of that name; what is no repository is said to be none."""
    root = repository(tmp_path / "r")
    for command in (["fetch", "-q", "origin"], ["ls-remote", "--symref", "origin", "HEAD"]):
        with pytest.raises(LlorchError, match="has no remote called origin") as caught:
            Repo(root=root).run(*command)
        assert "remote add origin" in str(caught.value.hint)
    (root / ".git/HEAD").unlink()
    with pytest.raises(Malformed, match="not a git repository"):
        Repo(root=root).run("ls-remote", "--symref", "origin", "HEAD")


def test_an_option_that_git_does_not_know_yet(tmp_path: Path) -> None:
    """The real git's words for it, told as a tool that is too old."""
    repo = Repo(root=repository(tmp_path / "r"))
    with pytest.raises(ToolMissing) as caught:
        repo.run("status", "--porcelain=v2", "--of-the-future")
    assert caught.value.message.startswith("the `git` here is too old for `git status` as it is called: ")
    assert "of-the-future" in caught.value.message
    assert "2.26 or newer" in str(caught.value.hint)


@pytest.mark.parametrize(("version", "told"), [("1", "repository extension"), ("99", "repo version")])
def test_a_repository_that_a_newer_git_has_made(tmp_path: Path, version: str, told: str) -> None:
    """Its references may be kept in a way that this git does not know: git is too old, and nothing is broken."""
    root = repository(tmp_path / "r")
    git(root, "config", "extensions.ofTheFuture", "yes")
    git(root, "config", "core.repositoryFormatVersion", version)
    with pytest.raises(ToolMissing, match=f"the `git` here is too old for the repository in .*{told}"):
        Repo(root=root).look("status")
