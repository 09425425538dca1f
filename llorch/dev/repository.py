"""git, and whether the workspace's submodules are there."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llorch.dev.finding import Finding, Severity, ask, first_line, listing, own, words_of
from llorch.dev.needs import Needs
from llorch.errors import LlorchError, ToolMissing
from llorch.workspace import upwards

if TYPE_CHECKING:
    from llorch.git.status import Submodule


def needs_git(needs: Needs) -> str:
    """Return what needs git: the repository that the workspace is in."""
    root = _root(needs)
    return "" if root is None else f"the repository {root}"


def _root(needs: Needs) -> str | None:
    folders = upwards(os.path.realpath(needs.workspace.root))
    return next((folder for folder in folders if os.path.lexists(os.path.join(folder, ".git"))), None)


def check_git(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for git, and whether it works in the repository."""
    from llorch.git.repo import OLDEST, find_repo

    severity: Severity = "error" if need else "warn"
    try:
        said = ask(["git", "--version"])
    except ToolMissing:
        text = "git is not installed, or not in PATH"
        fix = needs.system.install("git")
        yield Finding(id="git", severity=severity, needed_for=need, text=text, fix=fix)
        return
    version = next(iter(re.findall(r"^git version (.+)", said, re.MULTILINE)), "")
    if not version:
        text = f"`git --version` does not say it is git: {first_line(said)}"
        yield Finding(id="git", severity=severity, found="does not work", needed_for=need, text=text)
        return
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[: len(OLDEST)])
    if numbers < OLDEST:
        text = f"this git is too old: {'.'.join(map(str, OLDEST))} or newer is needed"
        fix = needs.system.install("git")
        yield Finding(id="git", severity=severity, found=version, needed_for=need, text=text, fix=fix)
        return
    try:
        if need:
            find_repo(needs.workspace.root).look("rev-parse", "--git-dir")
    except LlorchError as error:
        text = words_of(error)
        trust = tuple(re.findall(r"`(git config --global --add safe\.directory [^`]+)`", error.hint or ""))
        yield Finding(id="git", severity=severity, found=version, needed_for=need, text=text, fix=trust)
        return
    yield Finding(id="git", found=version, needed_for=need)


def needs_submodules(needs: Needs) -> str:
    """Return what needs submodules: a repository that has some."""
    root = _root(needs)
    return f"the repository {root}" if root and os.path.isfile(os.path.join(root, ".gitmodules")) else ""


def check_submodules(needs: Needs, need: str) -> Iterator[Finding]:
    """Look for submodules that are not there, and for those that git cannot work in."""
    from shutil import which

    from llorch.git.repo import find_repo
    from llorch.git.status import load_submodules
    from llorch.git.submodules import is_cut_off

    if which("git") is None:
        return  # which is said
    found = load_submodules(find_repo(needs.workspace.root))
    absent = [each for each in found if each.state == "uninitialized" or is_cut_off(each.declared)]
    broken = [each for each in found if each.state == "broken"]
    if absent:
        yield _absent(absent, needs)
    for each in broken:
        yield _broken(each, needs)
    if not absent and not broken:
        yield Finding(id="submodules", found=f"{len(found)}, all there", needed_for=need)


def _absent(absent: "Sequence[Submodule]", needs: Needs) -> Finding:
    """Return the finding for submodules that are not there: a failure where something that is declared is in one."""
    need = _inside(absent, needs)
    paths = [each.path for each in absent]
    return Finding(
        id="submodules",
        severity="error" if need else "warn",
        found=f"{len(paths)} not there",
        needed_for=need,
        text=f"not cloned yet, or not wholly: {listing(paths)}",
        fix=(own("llorch", "git", "submodules", "update", "--pinned", "--", *paths),),
        safe=True,
    )


def _broken(each: "Submodule", needs: Needs) -> Finding:
    fix: tuple[str, ...] = (
        shlex.join(["mv", "--", each.path, f"{each.path}.broken"]),
        own("llorch", "git", "submodules", "update", "--pinned", "--", each.path),
    )
    if not each.declared.url:  # no entry of `.gitmodules` says where it comes from
        fix = (shlex.join(["git", "update-index", "--force-remove", "--", each.path]),)
    return Finding(
        id="submodules",
        severity="error",
        found=f"{each.path} is broken",
        needed_for=_inside([each], needs),
        text=(each.error or "").strip(),
        fix=fix,
    )


def _inside(submodules: "Sequence[Submodule]", needs: Needs) -> str:
    """Return the tasks whose crate, or one that it depends on by a path, is in one of the submodules."""
    from llorch.build.sources import find_packages

    roots = [str(each.declared.repo.root) + os.sep for each in submodules]
    crates = [(plan.task, plan.manifest) for plan in needs.builds]
    crates += [(suite.task, suite.manifest) for suite in needs.suites if suite.manifest]

    def is_inside(manifest: Path) -> bool:
        packages = (os.path.join(os.path.realpath(folder), "") for folder in find_packages(manifest.parent))
        return any(package.startswith(tuple(roots)) for package in packages)

    return listing([task for task, manifest in crates if is_inside(manifest)])
