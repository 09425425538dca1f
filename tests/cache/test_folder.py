"""Stores in folders: rights, links, disks that are full, gone, or without hard links."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from llorch.cache import folder as module
from llorch.cache.folder import GROWING, LEFT, FolderStore
from llorch.cache.store import open_store
from llorch.config import Workspace
from llorch.errors import AccessDenied, DiskFull, LlorchError, NotFound, Refused, Unreachable
from tests.conftest import as_mortal

KEY = "cas/sha256/ab/abc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that only its user may write to."""
    path = tmp_path / "folder"
    path.mkdir()
    path.chmod(0o700)
    return path


@contextmanager
def mask(value: int) -> Iterator[None]:
    """Have new files lack these rights."""
    before = os.umask(value)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Return the rights of all that is in a folder."""
    return {str(path.relative_to(folder)): oct(stat.S_IMODE(path.stat().st_mode)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("mode", "folders", "files"),
    [(0o700, "0o700", "0o400"), (0o755, "0o755", "0o444"), (0o2770, "0o2770", "0o440"), (0o1777, "0o1777", "0o444")],
)
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_rights_are_the_folders(folder: Path, mode: int, folders: str, files: str, umask: int) -> None:
    """Who may use the folder may use what is in it, whatever the umask; files cannot be written to."""
    folder.chmod(mode)
    with mask(umask):
        store = FolderStore(folder)
        store.create(KEY, b"x")
        store.replace("ac/record", b"x")
    names = (".tmp", "ac", "cas", "cas/sha256", "cas/sha256/ab")
    assert modes(folder) == {**dict.fromkeys(names, folders), KEY: files, "ac/record": files}


@pytest.mark.parametrize(
    ("mode", "shared"), [(0o700, False), (0o755, False), (0o775, True), (0o757, True), (0o1777, True), (0o2770, True)]
)
def test_a_folder_is_shared_where_others_may_write(folder: Path, mode: int, shared: bool) -> None:
    """Group and others count alike."""
    folder.chmod(mode)
    assert FolderStore(folder).shared is shared


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_shared(folder: Path) -> None:
    """Its owner may write to it, too."""
    os.chown(folder, 12345, -1)
    assert FolderStore(folder).shared


def test_ones_own_folder_has_nothing_of_others(folder: Path) -> None:
    """What others could have changed in a folder that is one user's alone is not believed."""
    store = FolderStore(folder)
    store.create(KEY, b"x")
    (folder / "cas").chmod(0o777)
    for deed in (lambda: store.size(KEY), lambda: list(store.read(KEY)), lambda: store.create("cas/new", b"x")):
        with pytest.raises(Refused, match="others may have written"):
            deed()
    (folder / "cas").chmod(0o700)
    (folder / KEY).chmod(0o666)
    for deed in (lambda: store.size(KEY), lambda: list(store.read(KEY))):
        with pytest.raises(Refused, match="others may have written"):
            deed()


@pytest.mark.parametrize("at", ["cas", "cas/sha256", "cas/sha256/ab", KEY])
def test_links_are_not_followed(folder: Path, tmp_path: Path, at: str) -> None:
    """A link anywhere on the way leads nowhere, for reading, writing, listing and removing."""
    outside = tmp_path / "outside"
    FolderStore(outside_made(outside)).create(KEY, b"secret")
    place = folder / at
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside / at)
    store = FolderStore(folder)
    for deed in (
        lambda: store.size(KEY),
        lambda: list(store.read(KEY)),
        lambda: store.create(KEY, b"x"),
    ):
        with pytest.raises(Refused, match="links"):
            deed()
    assert list(store.items()) == []
    if at == KEY:
        store.replace(KEY, b"mine")
        assert b"".join(store.read(KEY)) == b"mine"
    else:
        with pytest.raises(Refused):
            store.replace(KEY, b"mine")
        with pytest.raises(Refused):
            store.delete(KEY)
    assert (outside / KEY).read_bytes() == b"secret"


def outside_made(path: Path) -> Path:
    """Make a folder."""
    path.mkdir(mode=0o700)
    return path


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    """What is no file is refused at once."""
    os.mkfifo(folder / "pipe")
    store = FolderStore(folder)
    with pytest.raises(Refused):
        list(store.read("pipe"))
    with pytest.raises(Refused):
        store.size("pipe")


def test_a_folder_in_an_objects_place(folder: Path) -> None:
    """A key that others are below is none."""
    store = FolderStore(folder)
    store.create("a/b", b"x")
    for deed in (lambda: list(store.read("a")), lambda: store.replace("a", b"x"), lambda: store.create("a/b/c", b"x")):
        with pytest.raises(Refused):
            deed()


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    """Where it leads is its user's choice."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    store = FolderStore(link)
    store.create(KEY, b"x")
    assert (folder / KEY).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:{root}/abs", "abs"),
        ("file://{root}/abs", "abs"),
        ("file://localhost{root}/abs", "abs"),
        ("file://{root}/a%20b", "a b"),
        ("file:{root}/a%20b", "a%20b"),
        ("file:rel", "rel"),
        ("file:~/home", "home of the test"),
        ("FILE:rel", "rel"),
    ],
)
def test_urls_of_folders(here: Workspace, monkeypatch: pytest.MonkeyPatch, url: str, place: str) -> None:
    """`file:` takes a path as it is, of the workspace or absolute; with `//` it is a URL, percent signs and all."""
    folder = here.root / place
    monkeypatch.setenv("HOME", str(here.root / "home of the test"))
    if place == "home of the test":
        folder = folder / "home"
    folder.mkdir(parents=True)
    store = open_store(url.format(root=here.root), here)
    store.create("a", b"x")
    assert (folder / "a").read_bytes() == b"x"
    assert store.name == f"file:{folder}"


def test_a_folder_that_is_not_there_is_not_made(here: Workspace) -> None:
    """It may be a disk that is not mounted, and what is not there must not fill the disk below."""
    for url, said in (("file:nowhere", "No such file"), ("file:file", "it is no folder")):
        (here.root / "file").touch()
        with pytest.raises(Unreachable, match=said) as caught:
            open_store(url, here)
        assert caught.value.hint is not None
        assert "make the folder" in caught.value.hint
    assert not (here.root / "nowhere").exists()


def test_a_folder_that_goes_away(folder: Path, tmp_path: Path) -> None:
    """Gone, or with another one in its place, as when a disk is unmounted, a store cannot be used any more."""
    store = FolderStore(folder)
    store.create(KEY, b"x")
    folder.rename(tmp_path / "away")

    def check(said: str) -> None:
        for deed in (lambda: store.size(KEY), lambda: list(store.read(KEY)), lambda: store.create("a", b"x")):
            with pytest.raises(Unreachable, match=said):
                deed()

    check("No such file")
    folder.mkdir()
    check("another folder is in its place")
    assert list(folder.iterdir()) == []


def test_a_folder_that_goes_away_meanwhile(folder: Path) -> None:
    """What is being stored when the folder goes is not stored, and that is told."""
    store = FolderStore(folder)

    def remove(_: int) -> None:
        (folder / "cas").rmdir()

    with pytest.raises(Unreachable, match="it has been removed"):
        store.create("cas/a", b"x", remove)


def test_a_server_that_hangs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted folder whose server is gone is not waited for without end; there is no such server to test with."""
    hangs = threading.Event()
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(os, "statvfs", lambda _: hangs.wait())
    with pytest.raises(Unreachable, match="has not answered"):
        FolderStore(folder)
    hangs.set()


def denied(folder: Path) -> None:
    """Take the right to write."""
    for path in (folder / "cas", folder / GROWING, folder):
        path.chmod(0o500)


def test_without_the_right_to_write(folder: Path) -> None:
    """A store that may only be read is read; writing is denied with where to look."""
    FolderStore(folder).create("cas/a", b"x")
    denied(folder)

    def use() -> None:
        store = FolderStore(folder)
        assert b"".join(store.read("cas/a")) == b"x"
        for deed in (
            lambda: store.create("cas/b", b"x"),
            lambda: store.replace("cas/a", b"x"),
            lambda: store.delete("cas/a"),
        ):
            with pytest.raises(AccessDenied, match="Permission denied") as caught:
                deed()
            assert caught.value.hint is not None
            assert str(folder) in caught.value.hint

    as_mortal(use)


def test_without_the_right_to_read(folder: Path) -> None:
    """What may not be read is there all the same."""
    FolderStore(folder).create(KEY, b"x")
    (folder / KEY).chmod(0o000)

    def use() -> None:
        store = FolderStore(folder)
        assert store.size(KEY) == 1
        with pytest.raises(AccessDenied):
            list(store.read(KEY))

    as_mortal(use)


def failing(name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a system call fail."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, Unreachable), (errno.ESTALE, Unreachable)],
)
def test_what_disks_say(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[LlorchError]) -> None:
    """A full disk, and one that fails, is told as that, and nothing is left."""
    store = FolderStore(folder)
    failing("fsync", number, monkeypatch)
    with pytest.raises(error):
        store.create("a", b"x")
    assert store.size("a") is None
    assert os.listdir(folder / GROWING) == []


def test_folders_that_cannot_be_synced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that can only sync files does for a store."""
    sync = os.fsync

    def only_files(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no")
        sync(fd)

    monkeypatch.setattr(os, "fsync", only_files)
    assert FolderStore(folder).create(KEY, b"x")


def meet(gate: threading.Barrier, _: int) -> None:
    """Wait until all are as far."""
    gate.wait(30)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_one_creates_where_there_are_no_links(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """On a file system without hard links, too, exactly one of several does, and nothing is left where it grew."""
    failing("link", number, monkeypatch)
    stores = [FolderStore(folder) for _ in range(20)]
    gate = threading.Barrier(20)

    def create(number: int) -> bool:
        return stores[number].create(KEY, bytes([number]) * 1000, partial(meet, gate))

    with ThreadPoolExecutor(20) as pool:
        did = list(pool.map(create, range(20)))
    assert did.count(True) == 1
    assert b"".join(stores[0].read(KEY)) == bytes([did.index(True)]) * 1000
    assert os.listdir(folder / GROWING) == []


def test_one_of_twenty_that_all_saw_nothing(folder: Path) -> None:
    """The file system decides, not a look before."""
    stores = [FolderStore(folder) for _ in range(20)]
    gate = threading.Barrier(20)
    with ThreadPoolExecutor(20) as pool:
        did = list(pool.map(lambda store: store.create(KEY, b"x", partial(meet, gate)), stores))
    assert did.count(True) == 1
    assert os.listdir(folder / GROWING) == []


def test_leftovers_are_removed_when_they_are_old(folder: Path) -> None:
    """What killed processes have left goes after a day without a byte; what still grows stays."""
    store = FolderStore(folder)
    store.create("a", b"x")
    for name, age in (("old", LEFT + 60), ("growing", LEFT - 60)):
        part = folder / GROWING / name
        part.touch()
        then = part.stat().st_mtime - age
        os.utime(part, (then, then))
    store.create("b", b"x")
    assert os.listdir(folder / GROWING) == ["growing"]
    assert [item.key for item in sorted(store.items())] == ["a", "b"]


def test_what_is_not_ours_is_not_listed(folder: Path) -> None:
    """Names that no key can have, and what is no file, are left out."""
    store = FolderStore(folder)
    store.create("ac/ok", b"x")
    for name in ("ac/.hidden", "ac/UPPER", "lost+found"):
        (folder / name).mkdir()
        (folder / name / "file").touch()
    (folder / "ac/name with spaces").touch()
    assert [item.key for item in store.items()] == ["ac/ok"]


def test_objects_that_vanish_while_they_are_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is removed meanwhile is left out."""
    store = FolderStore(folder)
    store.create("a", b"x")
    store.create("b", b"x")
    found = store.items()
    first = next(found).key
    store.delete("b" if first == "a" else "a")
    assert list(found) == []
    with pytest.raises(NotFound):
        list(store.read("b" if first == "a" else "a"))


def test_a_folder_that_cannot_be_listed(folder: Path) -> None:
    """A part of a store that may not be looked into is told, not left out."""
    FolderStore(folder).create("ac/a", b"x")
    (folder / "ac").chmod(0o000)

    def use() -> None:
        with pytest.raises(AccessDenied):
            list(FolderStore(folder).items())

    as_mortal(use)
