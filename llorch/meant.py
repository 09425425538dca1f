"""What is meant by a word that is no command, and by an option that there is not.

The scripts that llorch replaces, doit and other programs have words of their own. Each is answered by the line to type,
and none is obeyed: there is one way to do a thing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from llorch.errors import nearest

WORDS: Mapping[str, Mapping[str, str]] = {
    "": {
        "integration": "test integration",
        "smoke": "test smoke",
        "unit": "test unit",
        "worker": "build worker",
    },
    "git": {
        "submodule-branch": "git submodules branch NAME [BRANCH]",
        "submodule-reset": "git submodules reset NAME",
        "submodule-update": "git submodules update NAME",
    },
    "models": {
        "du": "models disk-usage",
        "fetch": "models download",
        "get": "models download",
        "remove": "models delete",
        "rm": "models delete",
    },
    "remote hosts": {
        "delete": "remote hosts remove",
        "rm": "remote hosts remove",
    },
}
"""By a group's path, what other programs call its commands."""
ON_A_HOST: Mapping[str, str] = {
    "all": "git pull --remote {host} && llorch build worker {backend} --remote {host}"
    " && llorch test all --backend {backend} --remote {host}",
    "build": "build worker {backend} --remote {host}",
    "clean": "build clean --remote {host}",
    "clone": "remote sync {host}",
    "debug-inference": "remote exec {host} -- env RUST_LOG=debug target/release/llorch-{backend}-candled",
    "download-model": "models download tinyllama --remote {host}",
    "inference": "remote exec {host} -- target/release/llorch-{backend}-candled",
    "info": "remote info {host}",
    "integration": "test integration --backend {backend} --remote {host}",
    "logs": "remote exec {host} -- tail -n 50 worker.log",
    "models-download": "models download {model} --remote {host}",
    "models-info": "models info {model} --remote {host}",
    "models-list": "models list --remote {host}",
    "pull": "git pull --remote {host}",
    "smoke": "test smoke --backend {backend} --remote {host}",
    "status": "git status --remote {host}",
    "sync": "git sync --remote {host}",
    "test": "test all --backend {backend} --remote {host}",
    "unit": "test unit --backend {backend} --remote {host}",
}
"""The actions of `llorch-remote HOST`."""
BACKENDS = ("cpu", "cuda", "metal")
OPTIONS: Mapping[tuple[str, str], str] = {
    ("build", "--backend"): "a backend is named as it is: `llorch build NAME BACKEND`",
    ("build", "--features"): "`features` of `[build.NAME]` in llorch.toml says which",
    ("build", "--release"): "it is so without, unless `profile` of `[build.NAME]` in llorch.toml is another",
    ("git submodules branch", "--branch"): "a branch is named as it is: `llorch git submodules branch NAME BRANCH`",
    ("git submodules branch", "--submodule"): "a submodule is named as it is: `llorch git submodules branch NAME`",
    ("git submodules reset", "--force"): "`--yes` resets without asking",
    ("git submodules reset", "--submodule"): "a submodule is named as it is: `llorch git submodules reset NAME`",
    ("git submodules update", "--submodule"): "a submodule is named as it is: `llorch git submodules update NAME`",
    ("models delete", "--force"): "`--yes` deletes without asking",
    ("models download", "--force"): "a wrong file is replaced in any case;"
    " `llorch models delete ID` first has a right one fetched anew",
    ("test", "--features"): "`--backend` chooses them; `features` of `[test.NAME]` in llorch.toml says which",
    ("test", "--nocapture"): "what follows `--` is the test program's: `llorch test SUITE -v -- --nocapture`",
}
"""By a command's path and an option of the scripts, or of cargo, what there is instead."""


def commands(group: str, words: Sequence[str], tables: Mapping[str, Collection[str]]) -> Sequence[str]:
    """Return the lines, or the one word, that somebody may mean.

    Args:
        group: the path of the group that has no such command, such as `git submodules`; empty at the top.
        words: what was typed after it, the word that is no command first.
        tables: by its path, the commands of each group.

    >>> tables = {"": ["git", "dev"], "git": ["status", "pull"], "dev": ["doctor"]}
    >>> commands("", ["doctor"], tables), commands("git", ["pul"], tables), commands("", ["git-pull"], tables)
    (['llorch dev doctor'], ['pull'], ['llorch git pull'])
    """
    word = words[0]
    if word in WORDS.get(group, {}):
        return [f"llorch {WORDS[group][word]}"]
    near, elsewhere = nearest(word, list(tables[group])), _elsewhere(word, group, tables)
    is_host = word in ON_A_HOST or not (near or elsewhere)
    if group in ("", "remote") and is_host and (line := _on_a_host(words, alone=group == "remote")):
        return [line]
    if line := next((line for line, joined in _joined(group, tables) if word in joined), None):
        return [line]
    if not group and ":" in word:
        return [f"llorch doit {word}"]
    if near and (group or not elsewhere):
        return [near]
    if group:
        return elsewhere if len(elsewhere) == 1 else []
    other = nearest(word, [name for table in tables.values() for name in table if name[0] == word[:1]])
    return elsewhere or (_elsewhere(other, group, tables) if other else [])


def option(command: str, name: str) -> str | None:
    """Return what there is instead of an option that a command does not have, None if nothing is known of it."""
    if name == "--version":
        return "`llorch --version` tells it"
    return OPTIONS.get((command, name)) or OPTIONS.get((command.partition(" ")[0], name))


def _on_a_host(words: Sequence[str], *, alone: bool) -> str | None:
    """Return the line for `HOST ACTION BACKEND`, in any order; None if it is none.

    Args:
        alone: the action may stand without a host, and before it.
    """
    first = 0 if alone else 1
    place = next((n for n, word in enumerate(words[:3]) if n >= first and word in ON_A_HOST), None)
    if place is None or (place == 2 and words[1] not in BACKENDS):
        return None
    names = [word for word in words[place + 1 :] if not word.startswith("-") and word not in BACKENDS]
    host = words[0] if place else next(iter(names), "HOST")
    model = next(iter(names[0 if place else 1 :]), "ID")
    backend = next((word for word in words if word in BACKENDS), "BACKEND")
    return "llorch " + ON_A_HOST[words[place]].format(host=host, model=model, backend=backend)


def _joined(group: str, tables: Mapping[str, Collection[str]]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each command below a group, and how it is called as one word: as a script's action, or as a task."""
    for path, table in tables.items():
        if path == group or (group and not path.startswith(f"{group} ")):
            continue
        for name in table:
            parts = f"{path} {name}".removeprefix(group).split()
            yield f"llorch {path} {name}", ("-".join(parts), f"{parts[0]}:{'-'.join(parts[1:])}")


def _elsewhere(word: str, group: str, tables: Mapping[str, Collection[str]]) -> list[str]:
    """Return the commands of that name in other groups: those below this one, else those nearest to the top."""
    paths = [path for path, table in tables.items() if word in table and path != group]
    paths = [path for path in paths if group and path.startswith(f"{group} ")] or paths
    depth = min((path.count(" ") for path in paths), default=0)
    return [" ".join(["llorch", *path.split(), word]) for path in paths if path.count(" ") == depth]
