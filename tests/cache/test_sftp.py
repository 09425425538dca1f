"""Stores on other machines: how they are named, who may do what, and what is in the way."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llorch.cache.folder import GROWING, LEFT
from llorch.cache.store import Store, open_store
from llorch.config import Workspace
from llorch.errors import AccessDenied, ConfigError, DiskFull, Refused, UnknownName, Unreachable
from llorch.remote import sftp
from tests.cache.places import Place
from tests.remote.conftest import configure, declare, entry
from tests.remote.sshd import Sshd, make_key

KEY = "cas/sha256/ab/abc"


@pytest.fixture
def nas(here: Workspace, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the host `nas`, which is this machine."""
    configure(monkeypatch, tmp_path, sshd.known_hosts)
    declare(here.root, entry("nas", sshd))
    folder = tmp_path / "nas"
    folder.mkdir()
    return folder


def at(folder: Path, here: Workspace, host: str = "nas") -> Store:
    """Return the store in a folder of a host."""
    return open_store(f"sftp://{host}{folder}", here)


def test_an_object_is_a_plain_file(nas: Path, here: Workspace) -> None:
    """It is at its key, for whoever looks on the machine itself, or mounts the folder."""
    at(nas, here).create(KEY, b"contents")
    assert (nas / KEY).read_bytes() == b"contents"
    assert os.listdir(nas / GROWING) == []


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2775])
def test_rights_are_the_folders(nas: Path, here: Workspace, mode: int) -> None:
    """Who may use the folder may use what is in it, as in a folder of this machine."""
    nas.chmod(mode)
    at(nas, here).create(KEY, b"x")
    found = {stat.S_IMODE(path.stat().st_mode) for path in nas.rglob("*") if path.is_dir()}
    assert found == {mode}
    assert stat.S_IMODE((nas / KEY).stat().st_mode) == mode & 0o444


def test_a_folder_at_home(nas: Path, here: Workspace, sshd: Sshd) -> None:
    """`~` is where sftp begins."""
    name = f"llorch-test-{os.getpid()}"
    home = Path("~" + sshd.user).expanduser() / name
    store = open_store(f"sftp://nas/~/{name}", here)
    with pytest.raises(Unreachable, match="is not there"):
        store.size("a")
    assert store.name == f"sftp://nas/~/{name}"
    assert not home.exists()


def test_a_host_that_is_not_declared(nas: Path, here: Workspace, sshd: Sshd, tmp_path: Path) -> None:
    """Whatever ssh would take for a destination does, with a user and a port."""
    (tmp_path / "ssh_config").write_text(
        (tmp_path / "ssh_config").read_text() + f'IdentityFile "{sshd.client_key}"\nIdentitiesOnly yes\n'
    )
    store = open_store(f"sftp://{sshd.user}@127.0.0.1:{sshd.port}{nas}", here)
    assert store.create("a", b"x")
    assert store.name == f"sftp://{sshd.user}@127.0.0.1:{sshd.port}{nas}"


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "a;b"])
def test_a_host_that_can_be_none(nas: Path, here: Workspace, host: str) -> None:
    """What would be an option of ssh, or no name at all, is refused."""
    with pytest.raises(UnknownName):
        at(nas, here, host)


def test_wrong_hosts(nas: Path, here: Workspace) -> None:
    """Mistakes in hosts.toml are told as elsewhere."""
    (here.root / "hosts.toml").write_text("version = 1\nhots = 1\n")
    with pytest.raises(ConfigError, match="unknown key"):
        at(nas, here)


@pytest.mark.parametrize("is_file", [True, False])
def test_there_is_no_folder(nas: Path, here: Workspace, is_file: bool) -> None:
    """It is not made: it may be a disk that is not mounted there."""
    if is_file:
        (nas / "store").touch()
    store = at(nas / "store", here)
    deeds: list[Callable[[], object]] = [
        lambda: store.size("a"),
        lambda: store.create("a", b"x"),
        lambda: list(store.items()),
    ]
    for deed in deeds:
        with pytest.raises(Unreachable, match="is not there, or no folder") as caught:
            deed()
        assert caught.value.hint is not None
        assert str(nas / "store") in caught.value.hint


@pytest.mark.parametrize("link", ["cas", "cas/sha256/ab"])
def test_links_are_not_followed(nas: Path, here: Workspace, tmp_path: Path, link: str) -> None:
    """A link in a store leads nowhere."""
    outside = tmp_path / "outside"
    (outside / KEY).parent.mkdir(parents=True)
    (outside / KEY).write_bytes(b"secret")
    (nas / link).parent.mkdir(parents=True, exist_ok=True)
    (nas / link).symlink_to(outside / link)
    store = at(nas, here)
    deeds: list[Callable[[], object]] = [
        lambda: store.size(KEY),
        lambda: list(store.read(KEY)),
        lambda: store.create(KEY, b"x"),
        lambda: store.replace(KEY, b"x"),
        lambda: store.delete(KEY),
    ]
    for deed in deeds:
        with pytest.raises(Refused, match="links"):
            deed()
    assert list(store.items()) == []
    assert (outside / KEY).read_bytes() == b"secret"


def test_links_in_place_of_objects(nas: Path, here: Workspace, tmp_path: Path) -> None:
    """A link is no object; it is replaced and removed as what it is."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    (nas / "a").symlink_to(outside)
    store = at(nas, here)
    for deed in (lambda: store.size("a"), lambda: list(store.read("a")), lambda: store.create("a", b"x")):
        with pytest.raises(Refused):
            deed()
    store.replace("a", b"mine")
    assert b"".join(store.read("a")) == b"mine"
    assert outside.read_bytes() == b"secret"


def test_what_is_not_ours_is_not_listed(nas: Path, here: Workspace) -> None:
    """Names that no key can have are left out, and what killed uploads have left."""
    store = at(nas, here)
    store.create("ac/ok", b"x")
    (nas / "ac/UPPER").touch()
    (nas / "lost+found").mkdir()
    (nas / "lost+found/a").touch()
    (nas / GROWING / "part").touch()
    assert [item.key for item in store.items()] == ["ac/ok"]


def test_leftovers_are_removed_when_they_are_old(nas: Path, here: Workspace) -> None:
    """When a store is used first, what has grown for a day without a byte goes."""
    (nas / GROWING).mkdir()
    now = time.time()
    for name, age in (("old", LEFT + 60), ("growing", LEFT - 60)):
        (nas / GROWING / name).touch()
        os.utime(nas / GROWING / name, (now - age, now - age))
    at(nas, here).size("a")
    assert os.listdir(nas / GROWING) == ["growing"]


@pytest.fixture
def other(
    here: Workspace, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sshd]:
    """A server of its own kind, which is the host `nas`."""
    with Sshd(tmp_path / "other", options=getattr(request, "param", [])) as server:
        configure(monkeypatch, tmp_path, server.known_hosts)
        declare(here.root, entry("nas", server))
        yield server


@pytest.mark.parametrize("other", [["ForceCommand internal-sftp -R"]], indirect=True)
def test_readers_cannot_write(other: Sshd, here: Workspace, tmp_path: Path) -> None:
    """A login that may only read reads, and is denied the rest."""
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas/a").write_bytes(b"x")
    store = at(tmp_path / "nas", here)
    assert b"".join(store.read("a")) == b"x"
    for deed in (lambda: store.create("b", b"y"), lambda: store.replace("a", b"y"), lambda: store.delete("a")):
        with pytest.raises(AccessDenied):
            deed()
    assert (tmp_path / "nas/a").read_bytes() == b"x"


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_a_login_that_is_not_let_in(other: Sshd, here: Workspace, tmp_path: Path, transport: str) -> None:
    """It is told with the reason, and nobody is asked for anything."""
    declare(here.root, entry("nas", other, identity_file=str(make_key(tmp_path / "another")), transport=transport))
    with pytest.raises(Unreachable, match=r"may not log in|Permission denied") as caught:
        at(tmp_path, here).size("a")
    assert caught.value.hint


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
def test_a_host_whose_key_has_changed(other: Sshd, here: Workspace, tmp_path: Path, transport: str) -> None:
    """Nothing is stored on, or read from, a machine that cannot prove to be the one that was meant."""
    make_key(tmp_path / "forged")
    kind, blob, *_ = (tmp_path / "forged.pub").read_text().split()
    other.known_hosts.write_text(f"[{other.address}]:{other.port} {kind} {blob}\n")
    declare(here.root, entry("nas", other, transport=transport))
    with pytest.raises(AccessDenied if transport == "paramiko" else Unreachable, match=r"key|identification"):
        at(tmp_path, here).create("a", b"x")
    assert not (tmp_path / "a").exists()


def test_a_server_that_says_no_more_than_failure(nas: Path, here: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is how SFTP tells of a full disk; the hint says where to look, and the next object is stored."""
    store = at(nas, here)
    real = sftp.write

    def fail(*_: object) -> None:
        raise OSError("Failure")

    monkeypatch.setattr(sftp, "write", fail)
    with pytest.raises(DiskFull, match="cannot do it: Failure"):
        store.create("a", b"x")
    monkeypatch.setattr(sftp, "write", real)
    assert store.create("a", b"x")


def test_a_folder_that_cannot_be_made(nas: Path, here: Workspace) -> None:
    """A file in the place of a folder is in the way."""
    (nas / "cas").touch()
    with pytest.raises(Refused, match="files where folders belong"):
        at(nas, here).create(KEY, b"x")


def test_one_connection_serves_all(sftp_place: Place) -> None:
    """What follows the first question does not connect anew."""
    assert sftp_place.line is not None
    store = sftp_place.open()
    store.size("a")
    first = sftp_place.line.passed
    for number in range(5):
        store.create(str(number), b"x")
    assert sftp_place.line.passed - first < 5 * first
