"""The CI recipes of docs/cache.md, job by job, each on a machine of its own."""

import shutil
from pathlib import Path

from tests.cache.conftest import TASK, Checkout, Lab, Shared, git
from tests.cache.test_publish import objects
from tests.rust import needs_cargo

pytestmark = needs_cargo


class Entries:
    """What actions/cache keeps: folders under keys, each written once, and found by a key or the newest of a prefix."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.names: list[str] = []

    def restore(self, key: str, prefix: str, place: Path) -> bool:
        """Bring the entry of a key, else the newest of a prefix; tell whether it is the key's own."""
        found = [name for name in reversed(self.names) if name == key] or [
            name for name in reversed(self.names) if name.startswith(prefix)
        ]
        if found:
            shutil.copytree(self._folder / found[0], place)
        return key in self.names

    def save(self, key: str, place: Path) -> None:
        """Keep a folder, unless there is an entry of the key."""
        if key not in self.names:
            shutil.copytree(place, self._folder / key)
            self.names.append(key)


def job(lab: Lab, name: str, entries: Entries, *, saves: bool = True) -> tuple[Checkout, str]:
    """Run the recipe of GitHub with its own cache, and return what became of the task."""
    runner = lab.checkout(name, own=True)
    key = "llorch-Linux-" + runner.llorch("cache", "key", TASK).out.strip()
    store = Path(runner.environ["HOME"]) / ".cache/llorch/store"
    store.parent.mkdir(parents=True)
    exact = entries.restore(key, "llorch-Linux-", store)
    done = runner.llorch("build", "app", "--json")
    if saves and not exact:
        entries.save(key, store)
    return runner, str(done.json["tasks"][0]["outcome"])


def test_githubs_own_cache(lab: Lab) -> None:
    """The first job builds, the second does no work; after an edit one builds again, and after a revert none does."""
    (lab.folder / "entries").mkdir()
    entries = Entries(lab.folder / "entries")
    assert job(lab, "first", entries)[1] == "done"
    second, outcome = job(lab, "second", entries)
    assert (outcome, second.says()) == ("restored", "app1 lib1 false data1")
    main = lab.origin / "app/src/main.rs"
    text = main.read_text()
    main.write_text(text.replace("app1", "app2"))
    git(lab.origin, "commit", "-qam", "Edit")
    third, outcome = job(lab, "third", entries)
    assert (outcome, third.says()) == ("done", "app2 lib1 false data1")
    (lab.origin / "README.md").write_text("no input")
    git(lab.origin, "add", ".")
    git(lab.origin, "commit", "-qm", "Tell")
    assert job(lab, "fourth", entries)[1] == "restored"
    main.write_text(text)
    git(lab.origin, "commit", "-qam", "Revert")
    fifth, outcome = job(lab, "fifth", entries)
    assert (outcome, fifth.says()) == ("restored", "app1 lib1 false data1")
    assert len(entries.names) == 2


def test_a_shared_store_with_a_key_of_main_only(lab: Lab, shared: Shared) -> None:
    """One llorch.toml for all: main's job, which has the key, publishes; a pull request's reads, and writes nothing."""
    (lab.origin / "llorch.toml").write_text((lab.origin / "llorch.toml").read_text() + toml(shared))
    git(lab.origin, "commit", "-qam", "Share")
    main = lab.checkout("main", own=True)
    assert main.build() == "done"  # the step that builds does not have the key
    assert objects(shared.folder) == set()
    pushed = main.llorch("cache", "push", TASK, LLORCH_SIGN_KEY=shared.key.read_text())
    assert (pushed.code, len(objects(shared.folder))) == (0, 3)
    before = {path: (shared.folder / path).read_bytes() for path in objects(shared.folder)}
    request = lab.checkout("request", own=True)
    assert request.build(cargo=False) == "restored"
    request.edit("app/src/main.rs", "app1", "evil")
    done = request.llorch("build", "app")
    assert (done.code, request.says(), "warning" in done.err) == (0, "evil lib1 false data1", False)
    assert request.llorch("cache", "push", TASK).code == 1
    assert {path: (shared.folder / path).read_bytes() for path in objects(shared.folder)} == before
    later = lab.checkout("later", own=True)
    assert (later.build(cargo=False), later.says()) == ("restored", "app1 lib1 false data1")


def toml(shared: Shared) -> str:
    """Return what the recipe has in llorch.toml."""
    keys = ", ".join(f'"{key}"' for key in shared.reading["trusted_keys"])
    url = f'url = "file:{shared.folder}"\nwrite = true\nsign_key = "env:LLORCH_SIGN_KEY"\n'
    return f"\n[cache]\n{url}trusted_keys = [{keys}]\n"
