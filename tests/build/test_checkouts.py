"""Whose packages are compiled in a target folder, as notes and with the real cargo."""

import shutil
from pathlib import Path

import pytest

from llorch.build.checkouts import Checkouts, begin_folder
from llorch.errors import LlorchError
from tests.build.conftest import Llorch
from tests.rust import Rust, needs_cargo


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Where cargo builds."""
    return tmp_path / "made"


class Checkout:
    """A workspace with these packages, each in a folder of its name."""

    def __init__(self, folder: Path, made: Path, *names: str) -> None:
        """Write the manifests."""
        self.folder, self.made, self.names = folder, made, names
        for name in names:
            (folder / name).mkdir(parents=True)
            Path(self.manifest(name)).write_text(f'[package]\nname = "{name}"\n')

    def manifest(self, name: str) -> str:
        """Return where a package's manifest is."""
        return str(self.folder / name / "Cargo.toml")

    def notes(self, profile: str = "release") -> Checkouts:
        """Read the notes."""
        metadata = {"workspace_root": str(self.folder), "target_directory": str(self.made)}
        return Checkouts(self.made, self.made / profile / "app", metadata)

    def build(self, *kept: str, profile: str = "release", fails: bool = False) -> bool:
        """Build, and tell whether one of the packages that cargo keeps is another's."""
        notes = self.notes(profile)
        notes.begin(map(self.manifest, self.names))
        found = notes.has_others(map(self.manifest, kept))
        if not fails:
            notes.end(map(self.manifest, kept))
        return found


def test_two_take_turns(tmp_path: Path, made: Path) -> None:
    """What the other has built since is not one's own, what nobody else has is."""
    one, two = (Checkout(tmp_path / name, made, "app", "lib") for name in ("one", "two"))
    assert not one.build("app", "lib")
    assert not one.build("app", "lib")
    assert two.build("app")
    assert not two.build("app")
    assert one.build("app")
    assert one.build("lib")  # the other's build has begun since, though it has not ended with it
    assert not one.build("lib")


def test_two_at_once(tmp_path: Path, made: Path) -> None:
    """What the other's build may have compiled since this one has begun may be its."""
    one, two = (Checkout(tmp_path / name, made, "app") for name in ("one", "two"))
    notes = one.notes()
    notes.begin([one.manifest("app")])
    assert not notes.has_others([one.manifest("app")])
    assert two.build("app")
    assert notes.has_others([one.manifest("app")])


def test_a_build_that_fails_may_have_compiled(tmp_path: Path, made: Path) -> None:
    """From its begin on the packages may be of either, for both."""
    one, two = (Checkout(tmp_path / name, made, "app") for name in ("one", "two"))
    assert not one.build("app")
    assert two.build("app", fails=True)
    assert one.build("app")
    assert not one.build("app")
    assert two.build("app")


def test_a_first_build_that_fails(tmp_path: Path, made: Path) -> None:
    """What it has compiled is its own."""
    one, two = (Checkout(tmp_path / name, made, "app") for name in ("one", "two"))
    assert not one.build("app", fails=True)
    assert two.build("app")


def test_other_packages_do_not_matter(tmp_path: Path, made: Path) -> None:
    """Another workspace in the folder has others, and another profile is apart."""
    one, two = Checkout(tmp_path / "one", made, "app"), Checkout(tmp_path / "two", made, "tool", "lib")
    assert not one.build("app")
    assert not two.build("tool", "lib")
    assert not one.build("app")
    three = Checkout(tmp_path / "three", made, "app")
    assert not three.build("app", profile="x86_64-unknown-linux-gnu/release")
    assert three.build("app")


def test_damaged_notes_are_told(tmp_path: Path, made: Path) -> None:
    """Without them it is not known what is compiled there, so that it is to go."""
    one = Checkout(tmp_path / "one", made, "app")
    one.build("app")
    (notes,) = (made / ".llorch").glob("*.json")
    notes.write_text("{")
    with pytest.raises(LlorchError, match="is damaged") as caught:
        one.notes()
    assert caught.value.hint == f"`rm -r {made}`; all of it is compiled again"


def test_a_new_folder_is_marked_as_a_cache(tmp_path: Path) -> None:
    """It has our locks at most; what has more is not touched."""
    assert begin_folder(tmp_path / "made/deep")
    assert (tmp_path / "made/deep/CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert not begin_folder(tmp_path / "made/deep")
    (tmp_path / "other/.llorch").mkdir(parents=True)
    assert begin_folder(tmp_path / "other")


@needs_cargo
@pytest.mark.parametrize("shared", ["CARGO_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"])
def test_a_library_of_another_checkout(
    small: Rust, llorch: Llorch, monkeypatch: pytest.MonkeyPatch, shared: str
) -> None:
    """It is compiled of the sources here, though those of the other are older than what is compiled of it."""
    small.write("lib/Cargo.toml", '[package]\nname = "lib"\nversion = "0.1.0"\nedition = "2021"\n')
    small.write("lib/src/lib.rs", 'pub const TEXT: &str = "lib1";\n')
    small.edit("Cargo.toml", '"app"', '"app", "lib"')
    small.edit("app/Cargo.toml", "[features]", '[dependencies]\nlib = { path = "../lib" }\n[features]')
    small.edit("app/src/main.rs", '"main1"', '"main1 {}", lib::TEXT')
    other = small.folder / "other"
    shutil.copytree(small.root, other)
    (other / "lib/src/lib.rs").write_text('pub const TEXT: &str = "lib2";\n')
    monkeypatch.setenv(shared, str(small.folder / "made"))
    for place, said in ((small.root, "main1 lib1"), (other, "main1 lib2"), (small.root, "main1 lib1")):
        assert llorch("-C", str(place), "build", "worker", "cpu").code == 0
        made = small.folder / "made" if shared == "CARGO_TARGET_DIR" else place / "target"
        small.target = made / "release/worker-cpu"
        assert small.says() == said
