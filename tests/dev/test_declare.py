"""What is declared of the packages that are found."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from llorch import config
from llorch.build.plan import COMMANDS
from llorch.build.plan import DEFAULTS as BUILDS
from llorch.build.plan import plan_builds as read_builds
from llorch.config import Build
from llorch.dev.crates import Package
from llorch.dev.declare import plan_builds, plan_suites, render_table
from llorch.dev.init import render_settings
from llorch.test.plan import DEFAULTS as SUITES
from llorch.test.plan import plan_suites as read_suites

WORKER = "bin/llorch-candled"


def package(name: str, *features: str, folder: str = "", root: str = "", **binaries: tuple[str, ...]) -> Package:
    """Return a package; `_` in the names of binaries stands for `-`. Where none is given there is one of its name."""
    every = {binary.replace("_", "-"): required for binary, required in binaries.items()} or {name: ()}
    return Package(folder=folder, root=root, nearest=root, name=name, binaries=every, features=features)


def build(*packages: Package) -> dict[str, Build]:
    """Return what would be declared, with llorch's own defaults."""
    return plan_builds(packages, BUILDS, COMMANDS)


CASES: dict[str, tuple[Package, dict[str, Build]]] = {
    "a binary": (package("tool"), {"tool": Build(manifest="Cargo.toml")}),
    "none": (replace(package("lib"), binaries={}), {}),
    "in a folder": (package("tool", folder="a/b"), {"tool": Build(manifest="a/b/Cargo.toml")}),
    "several": (
        package("tools", "extra", a=(), b=("extra",)),
        {"a": Build(manifest="Cargo.toml"), "b": Build(manifest="Cargo.toml", features=("extra",))},
    ),
    "backends of one binary": (
        package("app", "cpu", "cuda", "metal", "loud", root="ws", folder="ws/app"),
        {
            "app": Build(
                manifest="ws/app/Cargo.toml",
                backends=("cpu", "cuda", "metal"),
                features=("{backend}",),
                target_dir="ws/target/{backend}",
            )
        },
    ),
    "a binary for each backend": (
        package("w", "metal", "cuda", "net", w_metal=("metal", "net"), w_cuda=("cuda",), w_tool=()),
        {
            "w": Build(
                manifest="Cargo.toml", bin="w-{backend}", backends=("cuda", "metal"), features=("{backend}", "net")
            ),
            "w-tool": Build(manifest="Cargo.toml"),
        },
    ),
    "a backend before all else": (
        package("w", "cpu", "cuda", cpu_w=(), cuda_w=()),
        {"w": Build(manifest="Cargo.toml", bin="{backend}-w", backends=("cpu", "cuda"), features=("{backend}",))},
    ),
    "no feature cpu": (
        package("app", "cuda", "metal", app=("net",)),
        {
            "app": Build(
                manifest="Cargo.toml",
                backends=("cuda", "metal"),
                features=("{backend}", "net"),
                target_dir="target/{backend}",
            ),
            "app-cpu": Build(manifest="Cargo.toml", bin="app", features=("net",)),
        },
    ),
    "a binary of one backend": (
        package("w", "cpu", "cuda", probe_cuda=("cuda",)),
        {"probe-cuda": Build(manifest="Cargo.toml", features=("cuda",))},
    ),
    "no such features": (
        package("w", w_cpu=(), w_cuda=()),
        {"w-cpu": Build(manifest="Cargo.toml"), "w-cuda": Build(manifest="Cargo.toml")},
    ),
    "a backend alone for a name": (
        package("w", "cpu", "cuda", cpu=("cpu",), cuda=("cuda",)),
        {
            "cpu": Build(manifest="Cargo.toml", features=("cpu",)),
            "cuda": Build(manifest="Cargo.toml", features=("cuda",)),
        },
    ),
    "a root that is not the nearest": (
        replace(package("p", root="x", folder="x/p"), nearest=""),
        {"p": Build(manifest="x/p/Cargo.toml", target_dir="x/target")},
    ),
    "names that a build cannot have": (
        package("p", list=(), Big=(), _=()),
        {
            "p-list": Build(manifest="Cargo.toml", bin="list"),
            "big": Build(manifest="Cargo.toml", bin="Big"),
            "binary": Build(manifest="Cargo.toml", bin="-"),
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_binary_is_declared(case: str) -> None:
    """A package gives these tables."""
    given, wanted = CASES[case]
    assert build(given) == wanted


def test_no_two_builds_have_one_name_or_one_file() -> None:
    """Binaries of the same name get names, and in one cargo workspace also target folders, of their own."""
    found = build(
        package("a", tool=()),
        package("b", folder="b", tool=()),
        package("c", folder="c", root="c", tool=()),
        package("c", folder="d", root="d", tool=()),
        package("tool", folder="t", root="t"),
        package("tool", folder="u", root="u"),
        package("e", "cpu", "cuda", folder="e", tool=()),
        package("f", "cpu", "cuda", folder="f", tool=()),
    )
    assert {name: (each.manifest, each.bin, each.target_dir) for name, each in found.items()} == {
        "tool": ("Cargo.toml", "", ""),
        "b-tool": ("b/Cargo.toml", "tool", "target/b"),
        "c-tool": ("c/Cargo.toml", "tool", ""),
        "c-tool-2": ("d/Cargo.toml", "tool", ""),
        "tool-2": ("t/Cargo.toml", "tool", ""),
        "tool-3": ("u/Cargo.toml", "tool", ""),
        "e-tool": ("e/Cargo.toml", "tool", "target/{backend}"),
        "f-tool": ("f/Cargo.toml", "tool", "target/f/{backend}"),
    }


def test_a_name_is_not_the_one_of_another_builds_backend() -> None:
    """`build:w-cpu` is one task, whichever table comes first."""
    plain, backends = package("x", w_cpu=()), package("y", "cpu", "cuda", folder="y", root="y", w=())
    assert [*build(plain, backends)] == ["w-cpu", "y-w"]
    assert [*build(backends, plain)] == ["w", "x-w-cpu"]


def test_what_is_the_default_is_not_declared() -> None:
    """The binaries of llama-orch are known; one that differs replaces the default under its name."""
    every = {f"llorch-{backend}-candled": (backend,) for backend in ("cpu", "cuda", "metal")}
    worker = Package(
        folder=WORKER, root="", nearest="", name="llorch-candled", binaries=every, features=("cpu", "cuda", "metal")
    )
    other = package("orchestratord", folder="bin/orchestratord")
    assert build(worker, other) == {}
    del every["llorch-metal-candled"]
    fewer = build(replace(worker, binaries=every))
    assert [*fewer] == ["worker"]
    assert (fewer["worker"].bin, fewer["worker"].backends) == ("llorch-{backend}-candled", ("cpu", "cuda"))
    assert plan_suites([worker, other], SUITES, ("all",)) == {}


def test_each_cargo_workspace_is_a_suite() -> None:
    """One is called `unit`; several are called like their folders, and none like what means all of them."""
    alone, member = package("a", root="ws", folder="ws/a"), package("b", root="ws", folder="ws/b")
    assert plan_suites([alone], SUITES, ("all",)) == {"unit": config.Test(manifest="ws/Cargo.toml")}
    assert plan_suites([alone, member], SUITES, ("all",)) == {
        "unit": config.Test(manifest="ws/Cargo.toml", args=("--workspace",))
    }
    others = [package("top"), package("c", folder="x/all", root="x/all"), package("d", folder="y/ws", root="y/ws")]
    assert {name: each.manifest for name, each in plan_suites([alone, *others], SUITES, ("all",)).items()} == {
        "ws": "ws/Cargo.toml",
        "top": "Cargo.toml",
        "all-2": "x/all/Cargo.toml",
        "ws-2": "y/ws/Cargo.toml",
    }
    assert plan_suites([], SUITES, ("all",)) == {}


def test_a_table_has_what_is_no_default() -> None:
    """Text is quoted as TOML wants it."""
    assert render_table("build.x", Build(manifest='a "b"/Cargo.toml', backends=("cpu",), no_default_features=True)) == (
        '[build.x]\nmanifest = "a \\"b\\"/Cargo.toml"\nbackends = ["cpu"]\nno_default_features = true\n'
    )


def test_what_is_declared_is_right_whatever_there_is(tmp_path: Path) -> None:
    """Of any packages, also of the same names, llorch's own loaders take the tables, and each binary has its task."""
    words = ("cpu", "cuda", "metal", "worker", "list", "all", "orchestratord", "Tool", "x_1", "_")
    (tmp_path / "Cargo.toml").touch()
    here = config.Workspace(root=tmp_path, declared=True)
    for seed in range(400):
        dice = random.Random(seed)
        packages = []
        for number in range(dice.randrange(5)):
            names = {"-".join(dice.choices(words, k=dice.randint(1, 3))): () for _ in range(dice.randrange(4))}
            every = {name: tuple(dice.sample(words[:4], dice.randrange(3))) for name in names}
            root, nearest = dice.choices(("", "ws", f"ws/p{number}"), k=2)
            features = tuple(dice.sample(words[:4], dice.randrange(5)))
            given = package(f"p{number}", *features, folder=f"ws/p{number}", root=root)
            packages.append(replace(given, binaries=every, nearest=nearest))
        text = render_settings(build(*packages), plan_suites(packages, SUITES, ("all",)))
        (tmp_path / "llorch.toml").write_text(text)
        settings = config.load_settings(here, {"HOME": str(tmp_path)})
        declared = {plan.bin for plan in read_builds(settings, here, {}).values() if plan.declared}
        assert declared == {binary for each in packages for binary in each.binaries}, text
        assert read_suites(settings, here).keys() >= settings.test.keys()
