"""Which commands there are: where each is and what it does in a few words, without importing any.

Data only; what a command is and how a line is run is `cli`'s.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """Where a command is, and what it does in a few words."""

    module: str
    name: str
    summary: str


TOP: Mapping[str, Place] = {
    "models": Place("llorch.models.cli", "models", "Have models on disk: downloaded, verified, listed, deleted"),
    "build": Place("llorch.build.cli", "build", "Have binaries, built by cargo when an input has changed"),
    "test": Place("llorch.test.cli", "test", "Run test suites, with what they need made first"),
    "git": Place("llorch.git.cli", "git", "See and change the state of the repository and its submodules"),
    "remote": Place("llorch.remote.cli", "remote", "Run commands on other machines"),
    "dev": Place("llorch.dev.cli", "dev", "Make a new machine a working one, and see what is wrong"),
    "cache": Place("llorch.cache.cli", "cache", "Share targets between machines, by content"),
    "init": Place("llorch.dev.init_cli", "init", "Make a folder a workspace: write the files that are missing"),
    "list": Place("llorch.commands", "list_tasks", "List the tasks and which of them are up to date"),
    "why": Place("llorch.commands", "why", "Say why a task is out of date"),
    "graph": Place("llorch.commands", "graph", "Draw which task needs which"),
    "log": Place("llorch.log_cli", "log", "Show what runs have done"),
    "doit": Place("llorch.commands", "doit", "Run plain doit at the workspace's root"),
}

MODELS: Mapping[str, Place] = {
    "catalog": Place("llorch.models.cli", "catalog", "Show every model that is declared"),
    "list": Place("llorch.models.cli", "list_models", "Show the models on disk"),
    "download": Place("llorch.models.cli", "download", "Have models on disk, verified"),
    "convert": Place("llorch.models.cli", "convert", "Have the GGUF files of models that are not published as such"),
    "info": Place("llorch.models.cli", "info", "Show what is known of a model"),
    "verify": Place("llorch.models.cli", "verify", "Read models again and compare them with the catalog"),
    "check": Place("llorch.models.check_cli", "check", "Load a model in llama.cpp and generate a few tokens"),
    "delete": Place("llorch.models.cli", "delete", "Delete models from disk"),
    "disk-usage": Place("llorch.models.cli", "disk_usage", "Show the room that models take"),
    "push": Place("llorch.models.push_cli", "push", "Copy models to other machines"),
    "pull": Place("llorch.models.push_cli", "pull", "Copy models from another machine"),
    "land": Place("llorch.models.push_cli", "land_file", "Take in a file that another machine has sent"),
    "add": Place("llorch.models.add_cli", "add", "Write a model of the Hub into the catalog"),
    "pin": Place("llorch.models.catalog_cli", "pin", "Write commit, sizes and digests into the catalog"),
    "outdated": Place("llorch.models.catalog_cli", "outdated", "Say which repositories have moved on"),
    "update": Place("llorch.models.catalog_cli", "update", "Take over a newer catalog"),
    "gc": Place("llorch.models.catalog_cli", "gc", "Remove what killed runs have left"),
}

BUILD: Mapping[str, Place] = {
    "list": Place("llorch.build.cli", "list_builds", "Show the binaries and their state"),
    "clean": Place("llorch.build.cli", "clean", "Remove what cargo has built"),
}

GIT: Mapping[str, Place] = {
    "status": Place("llorch.git.cli", "status", "Show the state of the repository and its submodules"),
    "pull": Place("llorch.git.cli", "pull", "Take over what the upstream has"),
    "sync": Place("llorch.git.cli", "sync", "Make everything what origin has"),
    "branches": Place("llorch.git.cli", "branches", "List the branches, here and of remotes"),
    "log": Place("llorch.git.cli", "show_log", "Show the last commits"),
    "clean": Place("llorch.git.cli", "clean", "Remove files that git does not know"),
    "submodules": Place("llorch.git.submodules_cli", "submodules", "List, show, move and reset submodules"),
}

SUBMODULES: Mapping[str, Place] = {
    "list": Place("llorch.git.submodules_cli", "list_submodules", "List the submodules and where they come from"),
    "status": Place("llorch.git.submodules_cli", "status", "Show the state of submodules"),
    "update": Place("llorch.git.submodules_cli", "update", "Bring submodules to what they follow, or to their pins"),
    "reset": Place("llorch.git.submodules_cli", "reset", "Make submodules exactly what is recorded"),
    "branch": Place("llorch.git.submodules_cli", "branch", "Show or switch a submodule's branch"),
}

REMOTE: Mapping[str, Place] = {
    "exec": Place("llorch.remote.cli", "exec_", "Run a program on a host, or on several"),
    "hosts": Place("llorch.remote.hosts_cli", "hosts", "Declare hosts, and see which can be reached"),
    "info": Place("llorch.remote.info_cli", "info", "Show what machine a host is and what is there"),
    "setup": Place("llorch.remote.setup_cli", "setup", "Install llorch on a host"),
    "sync": Place("llorch.remote.sync_cli", "sync", "Bring a host's repository to the commit that is here"),
}

HOSTS: Mapping[str, Place] = {
    "list": Place("llorch.remote.hosts_cli", "list_hosts", "List the hosts that are declared"),
    "add": Place("llorch.remote.hosts_cli", "add", "Declare a host, once it can be reached"),
    "remove": Place("llorch.remote.hosts_cli", "remove", "Take a host out of hosts.toml"),
    "check": Place("llorch.remote.hosts_cli", "check", "Connect to hosts, and accept their keys if asked to"),
}

DEV: Mapping[str, Place] = {
    "setup": Place("llorch.dev.setup_cli", "setup", "Make a new clone ready: files, submodules, models"),
    "doctor": Place("llorch.dev.doctor_cli", "doctor", "Say what this machine lacks, with the commands that mend it"),
    "check": Place("llorch.dev.check_cli", "check", "Say all that is wrong with the configuration at once"),
    "completion": Place("llorch.dev.completion_cli", "completion", "Complete command lines in bash, zsh and fish"),
    "config": Place("llorch.dev.config_cli", "config", "Show every value and where it is from"),
    "info": Place("llorch.dev.info_cli", "info", "Write a report to paste into a bug report"),
}

CACHE: Mapping[str, Place] = {
    "status": Place("llorch.cache.status_cli", "status", "Show the stores, and which tasks they have"),
    "key": Place("llorch.cache.key_cli", "key", "Print what decides what tasks make, as the key of a CI cache"),
    "diff": Place("llorch.cache.key_cli", "diff", "Say why a key is another one than before"),
    "push": Place("llorch.cache.move_cli", "push", "Publish what is up to date here"),
    "pull": Place("llorch.cache.move_cli", "pull", "Restore what the stores have, and make nothing"),
    "gc": Place("llorch.cache.status_cli", "gc", "Keep your own store within its limit"),
}

TABLES: Mapping[str, Mapping[str, Place]] = {
    "": TOP,
    "models": MODELS,
    "build": BUILD,
    "git": GIT,
    "git submodules": SUBMODULES,
    "remote": REMOTE,
    "remote hosts": HOSTS,
    "dev": DEV,
    "cache": CACHE,
}
"""By its path, the commands of each group."""
