"""Names that every machine means alike, and the digests that are made of them."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

from llorch import shell
from llorch.cache import keys
from llorch.cache.keys import Places, canonical, cpu, digest_of, inputs_key, machine, maker_key
from llorch.config import Workspace
from llorch.errors import Malformed
from llorch.share import CPU, WORKSPACE
from tests.conftest import sha256


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The places of a workspace two folders below its repository, with models and cargo's folder elsewhere."""
    root = tmp_path / "home/repo/inner/ws"
    root.mkdir(parents=True)
    (tmp_path / "home/repo/.git").mkdir()
    environ = {"HOME": str(tmp_path / "home"), "CARGO_HOME": str(tmp_path / "cargo")}
    return Places(Workspace(root, declared=True), str(tmp_path / "models"), environ)


NAMES = [
    ("src/main.rs", "src/main.rs"),
    ("src/", "src/"),
    ("$RUSTFLAGS", "$RUSTFLAGS"),
    ("{odd}/x", "{here}/{odd}/x"),
    ("TMP/home/repo/inner/ws/", "{here}/"),
    ("TMP/home/repo/inner/ws/$odd", "{here}/$odd"),
    ("TMP/models/m/a.gguf", "{models}/m/a.gguf"),
    ("TMP/cargo/config.toml", "{cargo_home}/config.toml"),
    ("TMP/home/repo/inner/lib/src/lib.rs", "{above1}/lib/src/lib.rs"),
    ("TMP/home/repo/lib/src/lib.rs", "{above2}/lib/src/lib.rs"),
    ("TMP/home/.cargo/config.toml", "{above3}/.cargo/config.toml"),
    ("TMP/Cargo.toml", "{above4}/Cargo.toml"),
    ("TMP/home/other/lib.a", "{home}/other/lib.a"),
    ("/opt/x/lib.a", "/opt/x/lib.a"),
]


@pytest.mark.parametrize(("local", "portable"), NAMES)
def test_names_are_the_same_everywhere(places: Places, tmp_path: Path, local: str, portable: str) -> None:
    """What moves along with the repository or with the user's folders has a name by its place in them, and back."""
    local = local.replace("TMP", str(tmp_path))
    assert places.portable(local) == portable
    assert places.local(portable) == local


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "../x", "a/../b", "a//b", "./a", "a/.", "//etc/passwd", "/a/../b", "a\0b", "$", "$A B", "$A=B", "{",
        "{}/x", "{here}", "{here}/../x", "{nowhere}/x", "{above0}/x", "{above1}/../x", "{above100}/x",
        "{home}/../../etc/passwd",
    ],
)  # fmt: skip
def test_hostile_names_are_refused(places: Places, name: str) -> None:
    """A record's name that is no plain one of its kind is none."""
    with pytest.raises(Malformed):
        places.local(name)


def test_a_place_that_is_higher_than_the_root(places: Places) -> None:
    """Where the workspace is not that deep there is no such file, whatever there is."""
    assert places.digest("{above50}/etc/passwd", lambda name: "read") is None or not os.path.exists("/dev/null/etc")
    assert places.local("{above50}/x") == "/dev/null/x"


def test_digests_of_what_has_a_name(places: Places, tmp_path: Path) -> None:
    """A file's is as told, a folder's is of its names but for what runs make, and what is not there has none."""
    root = tmp_path / "home/repo/inner/ws"
    made = {str(root / "target")}

    def read(name: str) -> str:
        return sha256(Path(root, name).read_bytes())

    (root / "a").write_bytes(b"a")
    before = places.digest("{here}/", read, made)
    for name in (".llorch", "target"):
        (root / name).mkdir()
    assert places.digest("{here}/", read, made) == before
    (root / "b").touch()
    assert places.digest("{here}/", read, made) not in (before, None)
    assert places.digest("a", read) == sha256(b"a")
    assert places.digest("a/b", read) is places.digest("nothing", read) is places.digest("nothing/", read) is None
    assert places.digest(WORKSPACE, read) == sha256(os.fsencode(root))
    assert places.digest(CPU, read) == sha256(cpu().encode())


def test_what_decides_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Task, facts and machine are in a maker's key, the machine unless any does; inputs and tools in a record's."""
    facts: dict[str, Any] = {"command": ["build"], "release": "1.95.0"}
    key = maker_key("build:app", facts)
    assert key == maker_key("build:app", dict(reversed(facts.items())))
    anywhere = maker_key("build:app", facts, anywhere=True)
    others = {maker_key("build:other", facts), maker_key("build:app", {**facts, "release": "1.96.0"}), anywhere}
    own = machine()
    for name in own:
        monkeypatch.setattr(keys, "machine", lambda name=name: {**own, name: "another"})
        others.add(maker_key("build:app", facts))
        assert maker_key("build:app", facts, anywhere=True) == anywhere
    assert len(others - {key}) == 7
    inputs = {"a": "1" * 64, "b": None}
    same = inputs_key(key, "by", inputs)
    assert same == inputs_key(key, "by", {"b": None, "a": "1" * 64})
    assert same != inputs_key(key, "by", {"a": "1" * 64})
    assert same not in {inputs_key(key, "of", inputs), inputs_key("k", "by", inputs)}


def test_json_has_one_form() -> None:
    """Digests and signatures are of these bytes: sorted, without spaces, in ASCII."""
    assert canonical({"b": [1, None], "a": "ü"}) == b'{"a":"\\u00fc","b":[1,null]}'
    assert digest_of({}) == sha256(b"{}")


def test_the_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library and the distribution are told by name and version; musl, which has no such answer, by name."""
    assert set(machine()) == {"os", "arch", "libc", "distribution"}
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "debian", "VERSION_ID": "12"})
    assert machine()["distribution"] == "debian 12"
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.99")
    monkeypatch.setattr(sys, "platform", "linux")
    assert machine()["libc"] == "glibc 2.99"

    def unknown(name: str) -> str:
        raise ValueError(name)

    def refuse() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(os, "confstr", unknown)
    assert machine()["libc"] == "musl"
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "freedesktop_os_release", refuse)
    assert machine() == {**machine(), "os": "darwin", "libc": "libSystem", "distribution": ""}


def test_the_processor_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the kernel says of it; a Mac's is asked for."""
    assert cpu()
    cpu.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(shell, "output", lambda command: b"Apple M9\n" if command[0] == "sysctl" else b"")
    assert cpu() == "Apple M9"
    cpu.cache_clear()
