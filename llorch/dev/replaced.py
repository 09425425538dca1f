"""The shell scripts that llorch stands in for: where they are still, and whether all that they did can be done now.

docs/migration.md says what takes the place of each call; `ACTIONS` and `DOWNLOADS` are what it covers.
"""

import os
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

ACTIONS: Mapping[str, Set[str]] = {
    "llorch-git": {
        "status", "pull", "sync", "submodules", "submodule-branch", "submodule-update", "submodule-reset", "clean",
        "branches", "log",
    },
    "llorch-models": {"catalog", "list", "download", "info", "verify", "delete", "disk-usage"},
    "llorch-remote": {
        "clone", "status", "pull", "sync", "models-list", "models-download", "models-info", "download-model", "build",
        "test", "unit", "smoke", "integration", "inference", "debug-inference", "logs", "info", "clean", "all",
    },
}  # fmt: skip
"""By a script's name, the actions that the migration guide has."""
INSTEAD = {
    "llorch-git": "llorch git …",
    "llorch-models": "llorch models …",
    "llorch-remote": "llorch … --remote HOST",
}
DOWNLOADS: Mapping[str, str] = {
    "download_tinyllama": "tinyllama",
    "download_qwen": "qwen",
    "download_qwen_fp16": "qwen-fp16",
    "download_phi3": "phi3",
    "download_llama3_8b": "llama3",
    "download_llama32_3b_fp16": "llama32",
    "download_llama2_7b_fp16": "llama2",
    "download_mistral_7b_fp16": "mistral",
    "download_gpt2_fp32": "gpt2",
    "download_granite_4b_fp32": "granite",
}
"""By a script's name, the model that it downloaded."""
FOLDERS = ("", "scripts", "tools", "bin", ".docs", "docs")
"""Where such scripts are: at the root itself, and below the others."""
DEPTH = 3
"""Folders below those that are looked into."""
LIMIT = 1_000_000
"""A longer file is no script of theirs."""
_SKIPPED = ("target", "node_modules", "__pycache__", "venv")
_SHELL = re.compile(r"#!\s*\S*/(env\s+(-\S+\s+)*)?(ba|da|z|k)?sh\b")
_DOWNLOADS = re.compile(r"\b(hf|huggingface-cli)\s+download\b|huggingface\.co/")
_CASE = re.compile(r"\s*case\s+(\S+)\s+in\b")
_LABEL = re.compile(r"""\s*\(?\s*(["'\w|\s-]+?)\)""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script that is still there; `path` relative to the root."""

    path: str
    instead: str
    """The command that does what it did."""
    more: tuple[str, ...]
    """What it does besides, which the migration guide does not have."""


def find_scripts(root: Path, repos: Mapping[str, str]) -> list[Script]:
    """Look for the scripts by their names and contents.

    Args:
        repos: by a repository of the Hub, the id of the model that has its files, for other scripts that download one.
    """
    found = []
    for path in sorted(_candidates(str(root))):
        text = _read(os.path.join(root, path))
        name = os.path.basename(path).removesuffix(".sh")
        if _SHELL.match(text) is None:
            continue
        if name in ACTIONS:
            more = sorted(_actions(text) - ACTIONS[name])
            found.append(Script(path=path, instead=INSTEAD[name], more=tuple(more)))
            continue
        id = DOWNLOADS.get(name) or next((id for repo, id in repos.items() if _has(repo, text)), None)
        if id is not None and _DOWNLOADS.search(text):
            found.append(Script(path=path, instead=f"llorch models download {id}", more=()))
    return found


def _candidates(root: str) -> Iterator[str]:
    """Yield the files that are called as such a script is."""
    for folder in FOLDERS:
        base = os.path.join(root, folder)
        for parent, names, files in os.walk(base):
            depth = os.path.relpath(parent, base).count(os.sep) + 1 if parent != base else 0
            keep = folder and depth < DEPTH
            names[:] = [name for name in names if keep and name not in _SKIPPED and not name.startswith(".")]
            for file in files:
                name = file.removesuffix(".sh")
                if name in ACTIONS or (file.endswith(".sh") and name.startswith("download_")):
                    yield os.path.relpath(os.path.join(parent, file), root)


def _read(path: str) -> str:
    """Return a file's text, nothing of what is none."""
    if os.path.islink(path) or not os.path.isfile(path):
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LIMIT)
    except OSError:  # not ours to read, so not ours to judge
        return ""


def _has(repo: str, text: str) -> bool:
    return re.search(rf"(?<![\w./-]){re.escape(repo)}(?![\w./-])", text) is not None


def _actions(text: str) -> Set[str]:
    r"""Return the words that a script's choice of its action has.

    >>> sorted(_actions('case "$ACTION" in\n  a|b)\n    case $x in\n no) ;;\n esac ;;\n  "c")\n *) ;;\nesac'))
    ['a', 'b', 'c']
    """
    return _labels(text, r"action|command|cmd") or _labels(text, "1")


def _labels(text: str, variable: str) -> Set[str]:
    """Return the words of each `case` on a variable, but not of those inside it."""
    found: set[str] = set()
    depth = 0
    for line in text.splitlines():
        begins = _CASE.match(line)
        ends = re.search(r"(^|[\s;])esac\b", line) is not None
        if begins and not ends:
            is_it = re.search(rf"\$\{{?({variable})\b", begins[1], re.IGNORECASE)
            depth += 1 if depth or is_it else 0
        elif depth and ends and not begins:
            depth -= 1
        elif depth == 1 and (label := _LABEL.match(line)):
            words = (word.strip(" \"'") for word in label[1].split("|"))
            found |= {word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)}
    return found - {"help", "version"}
