"""What llorch.toml is to say of the cargo packages that were found: a table for each binary, and for each suite.

What is llorch's default already is not said again.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from itertools import chain, count

from llorch.config import Build, Test
from llorch.dev.crates import MANIFEST, Package

BACKENDS = ("cpu", "cuda", "metal")
"""Features that are backends."""
BACKEND = "{backend}"


def plan_builds(packages: Sequence[Package], defaults: Mapping[str, Build], taken: Collection[str]) -> dict[str, Build]:
    """Return the tables `[build.NAME]`, but those that the defaults have.

    Args:
        taken: names that a build cannot have.
    """
    found: dict[str, Build] = {}
    tasks = set(taken)
    made: set[tuple[str, str, str]] = set()
    for package in packages:
        for name, build in _tables(package):
            if any(_says_same(build, default) for default in defaults.values()):
                continue
            if (package.root, build.target_dir, build.bin) in made:  # cargo would write one over the other
                folder = os.path.join(package.root, "target", package.name)
                build = replace(build, target_dir=f"{folder}/{BACKEND}" if build.backends else folder)
            made.add((package.root, build.target_dir, build.bin))
            replaced = [key for key, default in defaults.items() if _key(default) == _key(build)]
            wanted = (*replaced, name, *([f"{package.name}-{name}"] if package.name != name else []))
            name = next(each for each in _names(wanted) if tasks.isdisjoint(_tasks(each, build)))
            tasks |= _tasks(name, build)
            found[name] = build if build.bin != name else replace(build, bin="")
    return found


def plan_suites(packages: Sequence[Package], defaults: Mapping[str, Test], taken: Collection[str]) -> dict[str, Test]:
    """Return the tables `[test.NAME]`: one for each cargo workspace, and for each package that is in none.

    Args:
        taken: names that a suite cannot have.
    """
    manifests = {package.manifest for package in packages}
    if any(default.manifest in manifests for default in defaults.values()):
        return {}
    roots = {package.root: package for package in packages}
    sizes = Counter(package.root for package in packages)
    found: dict[str, Test] = {}
    for root, last in roots.items():
        wanted = ("unit",) if len(roots) == 1 else (os.path.basename(root) or last.name,)
        name = next(each for each in _names(wanted) if each not in found and each not in taken)
        found[name] = Test(manifest=os.path.join(root, MANIFEST), args=("--workspace",) if sizes[root] > 1 else ())
    return found


def render_table(header: str, value: Build | Test) -> str:
    """Return a table of llorch.toml, without what is the default.

    >>> print(render_table("test.unit", Test(manifest="Cargo.toml", args=("--lib",))), end="")
    [test.unit]
    manifest = "Cargo.toml"
    args = ["--lib"]
    """
    import tomlkit

    lines = [f"[{header}]"]
    for field in fields(value):
        given = getattr(value, field.name)
        if field.default is MISSING or given != field.default:
            item = tomlkit.item(list(given) if isinstance(given, tuple) else given)
            lines.append(f"{field.name} = {item.as_string()}")
    return "\n".join(lines) + "\n"


def _tables(package: Package) -> Iterator[tuple[str, Build]]:
    """Yield a name and a table for each binary, one for those that differ in the backend only."""
    backends = tuple(backend for backend in BACKENDS if backend in package.features)
    shared = {form: found for form, found in _forms(package, backends).items() if len(found) > 1}
    grouped = set(chain.from_iterable(found.values() for found in shared.values()))
    target = os.path.join(package.root, "target")
    # Without being told, a build looks for the binary below the nearest root.
    common = Build(manifest=package.manifest, target_dir="" if package.root == package.nearest else target)
    for form, found in shared.items():
        name = "-".join(part for part in re.split("[-_]", form) if part != BACKEND)
        rest = _without(backends, *(package.binaries[binary] for binary in found.values()))
        its = tuple(backend for backend in backends if backend in found)
        yield name, replace(common, bin=form, backends=its, features=(BACKEND, *rest))
    for binary, needed in package.binaries.items():
        plain = replace(common, bin=binary, features=needed)
        rest = _without(backends, needed)
        if binary in grouped:
            continue
        if grouped or not backends or rest != needed:  # a tool, or of one backend
            yield binary, plain
            continue
        folder = f"{target}/{BACKEND}"  # else one backend's would be written over another's
        yield binary, replace(plain, backends=backends, features=(BACKEND, *rest), target_dir=folder)
        if "cpu" not in backends:
            yield f"{binary}-cpu", plain


def _forms(package: Package, backends: Collection[str]) -> dict[str, dict[str, str]]:
    """Return the binaries by their names with `{backend}` for a backend in them, then by that backend."""
    found: dict[str, dict[str, str]] = {}
    for binary in package.binaries:
        parts = re.split("([-_])", binary)
        n = next((n for n, part in enumerate(parts) if part in backends), None)
        if n is not None and len(parts) > 1:
            found.setdefault("".join([*parts[:n], BACKEND, *parts[n + 1 :]]), {})[parts[n]] = binary
    return found


def _without(backends: Collection[str], *needed: Sequence[str]) -> tuple[str, ...]:
    """Return features that are no backends, each once."""
    return tuple(dict.fromkeys(feature for feature in chain(*needed) if feature not in backends))


def _key(build: Build) -> tuple[str, str]:
    return build.manifest, build.bin or build.package


def _says_same(build: Build, default: Build) -> bool:
    same = set(build.backends) == set(default.backends) and build.features == default.features
    return same and _key(build) == _key(default)


def _names(wanted: Sequence[str]) -> Iterator[str]:
    """Yield names that a table may have: the wanted ones, then the last with a number."""
    clean = [re.sub("^[^a-z0-9]+", "", name.lower()) or "binary" for name in wanted]
    yield from clean
    yield from (f"{clean[-1]}-{number}" for number in count(2))


def _tasks(name: str, build: Build) -> set[str]:
    return {name, *(f"{name}-{backend}" for backend in build.backends)}
