"""What packages there are and what their binaries are: held against cargo itself."""

import os
from pathlib import Path

import pytest

from llorch.dev.crates import find_packages
from llorch.errors import ConfigError
from tests.conftest import as_mortal
from tests.dev.trees import MAIN, TREES, ask_cargo, package, write_tree
from tests.rust import needs_cargo


@needs_cargo
@pytest.mark.parametrize("tree", TREES)
def test_packages_are_what_cargo_takes(tmp_path: Path, tree: str) -> None:
    """Every package that cargo takes is found, in its workspace, with its binaries and what they require."""
    base = tmp_path / "a b"
    write_tree(base, TREES[tree])
    found = {}
    for each in find_packages(base).packages:
        name = each.name
        found[name] = (base / each.folder, base / each.root, dict(each.binaries), sorted(each.features))
    right = {}
    for manifest in base.rglob("Cargo.toml"):
        said = ask_cargo(manifest.parent, tmp_path)
        assert said is not None, manifest
        for of in said["packages"]:
            binaries = {
                target["name"]: tuple(target.get("required-features", ()))
                for target in of["targets"]
                if "bin" in target["kind"]
            }
            folder, root = Path(of["manifest_path"]).parent, Path(said["workspace_root"])
            right[of["name"]] = (folder, root, binaries, sorted(of["features"]))
    assert found == right
    assert find_packages(base).left_out == ()


@needs_cargo
def test_what_cargo_would_not_take_is_left_out(tmp_path: Path) -> None:
    """A package below a workspace that does not know it is said, and so is one of a submodule, vendored or not."""
    write_tree(
        tmp_path,
        {
            "Cargo.toml": '[workspace]\nmembers = ["app"]\nresolver = "2"\n',
            "app/Cargo.toml": package("app"),
            "app/src/main.rs": MAIN,
            "stray/Cargo.toml": package("stray"),
            "stray/src/main.rs": MAIN,
            "app/inner/Cargo.toml": '[workspace]\nmembers = []\nresolver = "2"\n',
            "app/inner/lost/Cargo.toml": package("lost"),
            "app/inner/lost/src/main.rs": MAIN,
            "sub/.git": "gitdir: elsewhere\n",
            "sub/Cargo.toml": package("sub"),
            "other sub/.git": "gitdir: elsewhere\n",
            "vendor/x/Cargo.toml": package("x"),
            "vendor/x/.cargo-checksum.json": "{}",
            "target/package/y/Cargo.toml": package("y"),
            ".hidden/Cargo.toml": package("hidden"),
            "node_modules/z/Cargo.toml": package("z"),
        },
    )
    assert ask_cargo(tmp_path / "stray", tmp_path) is None
    assert ask_cargo(tmp_path / "app/inner/lost", tmp_path) is None
    found = find_packages(tmp_path)
    assert [each.name for each in found.packages] == ["app"]
    assert sorted(found.left_out) == [
        "app/inner/lost/Cargo.toml: the cargo workspace in app/inner neither has it for a member nor excludes it",
        "stray/Cargo.toml: the cargo workspace neither has it for a member nor excludes it",
        "sub/Cargo.toml: it is a submodule's, or another repository's",
    ]


def test_names_that_cannot_be_declared_are_left_out(tmp_path: Path) -> None:
    """A name that llorch.toml would refuse, of a package, a binary or a folder, is said, and hinders nothing else."""
    write_tree(
        tmp_path,
        {
            "a/Cargo.toml": package("größe"),
            "b/Cargo.toml": package("b", '[[bin]]\nname = "x y"\npath = "x.rs"\n'),
            "c/Cargo.toml": '[package]\nname = 3\nautobins = "no"\n[lib]\n',
            "d/Cargo.toml": '[package]\nname = "d"\nedition = "2021"\n[bin]\nname = "x"\n[features]\ncpu = []\n',
            "e\n/Cargo.toml": package("e"),
            os.fsdecode(b"f\xff/Cargo.toml"): package("f"),
            "g/Cargo.toml": 'package = "g"\n[dependencies]\nd = 1\n',
        },
    )
    found = find_packages(tmp_path)
    assert [(each.name, each.binaries, each.features) for each in found.packages] == [("d", {}, ("cpu",))]
    assert sorted(found.left_out) == [
        "a/Cargo.toml: its name is none that llorch.toml takes",
        "b/Cargo.toml: its binary `x y` has a name that llorch.toml does not take",
        "c/Cargo.toml: its name is none that llorch.toml takes",
        "e\\n: its name cannot stand in llorch.toml",
        "f\\xff: its name cannot stand in llorch.toml",
        "g/Cargo.toml: its name is none that llorch.toml takes",
    ]


def test_manifests_of_odd_values_do_no_harm(tmp_path: Path) -> None:
    """A workspace whose keys have the wrong types, or lead outside, has the members that can be understood."""
    write_tree(
        tmp_path,
        {
            "Cargo.toml": """
                [workspace]
                members = ["/", "../..", "**/**/**", 1, "a"]
                exclude = "a"
                dependencies = 1
                """,
            "a/Cargo.toml": package("a", "dependencies = { x = { workspace = true }, y = { path = 1 }, z = '1' }\n"),
            "a/src/main.rs": MAIN,
        },
    )
    (found,) = find_packages(tmp_path).packages
    assert (found.root, found.manifest, found.binaries) == ("", "a/Cargo.toml", {"a": ()})


def test_a_broken_manifest_is_said(tmp_path: Path) -> None:
    """One below is left out with its line; one of the folder itself ends it, since it may have said anything."""
    write_tree(tmp_path, {"ok/Cargo.toml": package("ok"), "broken/Cargo.toml": "[package]\nname = {{name}}\n"})
    found = find_packages(tmp_path)
    assert [each.name for each in found.packages] == ["ok"]
    assert found.left_out == (
        "broken/Cargo.toml:2: package: is not valid TOML: invalid initial character for a key part",
    )
    (tmp_path / "Cargo.toml").write_bytes(b"[workspace]\n# \xff\n")
    with pytest.raises(ConfigError, match=r"Cargo.toml:2: is not UTF-8 text"):
        find_packages(tmp_path)


def test_what_is_no_file_is_no_manifest(tmp_path: Path) -> None:
    """A folder, a pipe or a dead link of that name is passed by, and a manifest that may not be read is said."""
    write_tree(tmp_path, {"a/Cargo.toml/x": "", "d/Cargo.toml": package("d")})
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b/Cargo.toml")
    (tmp_path / "Cargo.toml").symlink_to("nowhere")
    (tmp_path / "d/Cargo.toml").chmod(0)
    found = as_mortal(lambda: find_packages(tmp_path))
    assert (found.packages, found.left_out) == ((), ("d/Cargo.toml: cannot be read: Permission denied",))


def test_what_tests_look_at_is_left_out(tmp_path: Path) -> None:
    """Packages and whole workspaces in a folder of fixtures are, but not what a workspace above has for a member."""
    write_tree(
        tmp_path,
        {
            "Cargo.toml": '[workspace]\nmembers = ["testdata/member"]\nexclude = ["tests"]\nresolver = "2"\n',
            "testdata/member/Cargo.toml": package("member"),
            "tests/fixtures/alone/Cargo.toml": package("alone"),
            "tests/fixtures/ws/Cargo.toml": '[workspace]\nmembers = ["*"]\n',
            "tests/fixtures/ws/inner/Cargo.toml": package("inner"),
            "tests/suite/Cargo.toml": package("suite"),
        },
    )
    found = find_packages(tmp_path)
    assert [each.name for each in found.packages] == ["member", "suite"]
    assert [line.partition(": ") for line in found.left_out] == [
        (f"tests/fixtures/{name}/Cargo.toml", ": ", "it is what tests look at, by its folder's name")
        for name in ("alone", "ws/inner")
    ]
