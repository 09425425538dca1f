"""The scripts that llorch stands in for, found by name and content."""

from pathlib import Path

import pytest

from llorch.dev.replaced import DEPTH, DOWNLOADS, Script, find_scripts
from tests.conftest import as_mortal

GIT = """\
#!/usr/bin/env bash
ACTION="$1"
while [ $# -gt 0 ]; do
    case $1 in
        --force) FORCE=true ;;
        *) exit 1 ;;
    esac
done
case "${ACTION}" in
    status | pull)
        case "$BRANCH" in
            main) echo other ;;
        esac
        case $x in quick) echo no ;; esac
        ;;
    "submodule-reset") reset ;;
    -h|--help|help)
        usage ;;
    *) exit 1 ;;
esac
"""
DOWNLOAD = '#!/bin/bash\nHF_REPO="org/m-GGUF"\nhf download "$HF_REPO" m.gguf\n'


def put(root: Path, path: str, text: str) -> None:
    """Write a script."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def paths(root: Path, **repos: str) -> dict[str, str]:
    """Return what is found, and what to call instead."""
    return {script.path: script.instead for script in find_scripts(root, {"org/m-GGUF": "m", **repos})}


def test_the_scripts_are_found_where_they_usually_are(workspace: Path) -> None:
    """At the root and below `scripts`, `tools`, `bin` and the documents; whatever follows the name's dot."""
    for path in ("llorch-git", "scripts/llorch-models", "scripts/homelab/llorch-remote", "tools/llorch-git.sh"):
        put(workspace, path, GIT)
    for name in DOWNLOADS:
        put(workspace, f".docs/testing/{name}.sh", DOWNLOAD)
    found = paths(workspace)
    assert {path: found.pop(path) for path in [*found] if "download" not in path} == {
        "llorch-git": "llorch git …",
        "scripts/homelab/llorch-remote": "llorch … --remote HOST",
        "scripts/llorch-models": "llorch models …",
        "tools/llorch-git.sh": "llorch git …",
    }
    assert found == {f".docs/testing/{name}.sh": f"llorch models download {id}" for name, id in DOWNLOADS.items()}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("scripts/llorch-git", "#!/usr/bin/env python3\n"),
        ("scripts/llorch-git", "\x7fELF"),
        ("scripts/llorch-git.py", GIT),
        ("scripts/my-llorch-git", GIT),
        ("scripts/download_tinyllama.sh", "#!/bin/sh\necho nothing\n"),
        ("scripts/download_other.sh", "#!/bin/sh\nhf download org/other x\n"),
        ("scripts/download_other.sh", "#!/bin/sh\nhf download org/m-GGUF-2 x\n"),
        ("scripts/fetch.sh", DOWNLOAD),
        ("src/llorch-git", GIT),
        ("tools/target/llorch-git", GIT),
        ("tools/.venv/llorch-git", GIT),
        ("/".join(["tools", *"abcde"[: DEPTH + 1], "llorch-git"]), GIT),
    ],
)
def test_other_files_are_left_alone(workspace: Path, path: str, text: str) -> None:
    """What is no shell script, is called otherwise, downloads nothing that is declared, or is elsewhere."""
    put(workspace, path, text)
    assert paths(workspace) == {}


def test_links_and_folders_are_not_read(workspace: Path) -> None:
    """Only a file is a script; what may not be read is none of ours."""
    put(workspace, "real", GIT)
    (workspace / "scripts/llorch-git").mkdir(parents=True)
    (workspace / "tools").mkdir()
    (workspace / "tools/llorch-git").symlink_to("../real")
    assert paths(workspace) == {}


def test_what_may_not_be_read_is_left_alone(workspace: Path) -> None:
    """It is not ours to judge."""
    put(workspace, "llorch-git", GIT)
    (workspace / "llorch-git").chmod(0)
    assert as_mortal(lambda: paths(workspace)) == {}


@pytest.mark.parametrize("shebang", ["#!/bin/sh", "#! /bin/bash -e", "#!/usr/bin/env -S bash", "#!/usr/local/bin/zsh"])
def test_a_download_of_a_declared_model_is_found_by_its_repository(workspace: Path, shebang: str) -> None:
    """Whatever comes after `download_`, it is the model of the catalog that has the repository."""
    put(workspace, "tools/a/b/download_it.sh", f"{shebang}\nhuggingface-cli download org/m-GGUF m.gguf\n")
    assert paths(workspace) == {"tools/a/b/download_it.sh": "llorch models download m"}


def test_what_a_script_does_besides_is_told(workspace: Path) -> None:
    """Actions that the guide does not have are named; options and inner choices are none."""
    put(workspace, "scripts/llorch-git", GIT)
    put(workspace, "scripts/llorch-models", GIT.replace("ACTION", "OTHER").replace("$1", "$0"))
    put(workspace, "scripts/llorch-remote", '#!/bin/sh\ncase "$1" in\nbuild) ;;\ndeploy) ;;\nesac\n')
    assert find_scripts(workspace, {}) == [
        Script(path="scripts/llorch-git", instead="llorch git …", more=()),
        Script(path="scripts/llorch-models", instead="llorch models …", more=()),
        Script(path="scripts/llorch-remote", instead="llorch … --remote HOST", more=("deploy",)),
    ]
    put(workspace, "scripts/llorch-git", GIT.replace("status | pull)", "status | bisect | push)"))
    assert find_scripts(workspace, {})[0].more == ("bisect", "push")
