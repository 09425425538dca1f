"""What a command line can have: written by `./run python docs/completion.py`, see there for what it means."""
# ruff: noqa: E501
# fmt: off

from collections.abc import Mapping

Options = Mapping[str, tuple[str | None, str]]
COMMON: Options = {
    "--json": (None, "Write one JSON document to stdout."),
    "--no-color": (None, "Write without colours."),
    "-q --quiet": (None, "Say nothing but errors."),
    "-v --verbose": (None, "Name also what is up to date."),
    "-C --directory": ("folder", "Work in the workspace of DIR."),
    "-h --help": (None, "Show this message and exit."),
}
"""Of every command."""

REMOTE: Options = {
    "--remote": ("hosts", "Run it on a host of hosts.toml, or on several: NAME,NAME, @TAG or all (LLORCH_REMOTE_HOST)."),
}

COMMANDS: Mapping[str, tuple[str, tuple[str, ...], Options]] = {
    "": ("", (), {
        "--version": (None, "Show the version and exit."),
        **REMOTE
    }),
    "models": ("Have models on disk: downloaded, verified, listed, deleted", (), {
        **REMOTE
    }),
    "models catalog": ("Show every model that is declared", (), {
        **REMOTE
    }),
    "models list": ("Show the models on disk", (), {
        **REMOTE
    }),
    "models download": ("Have models on disk, verified", ("model...",), {
        "--all": (None, "All models of the catalog."),
        "--no-wait": (None, "Fail if another run is at the same model (LLORCH_NO_WAIT)."),
        "--no-cache": (None, "Restore nothing from a store, and publish nothing (LLORCH_NO_CACHE)."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "models convert": ("Have the GGUF files of models that are not published as such", ("model...",), {
        "--all": (None, "All models whose entries have `convert`."),
        "--no-wait": (None, "Fail if another run is at the same model (LLORCH_NO_WAIT)."),
        "--no-cache": (None, "Restore nothing from a store, and publish nothing (LLORCH_NO_CACHE)."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "models info": ("Show what is known of a model", ("model",), {
        "--tensors": (None, "List the tensors of the GGUF file."),
        **REMOTE
    }),
    "models verify": ("Read models again and compare them with the catalog", ("model...",), {
        "--all": (None, "All models that have something on disk."),
        **REMOTE
    }),
    "models check": ("Load a model in llama.cpp and generate a few tokens", ("model",), {
        "--prompt": ("", "What the model is to go on with."),
        "--tokens": ("", "How many to generate."),
        "--timeout": ("", "How long it may take in all."),
        **REMOTE
    }),
    "models delete": ("Delete models from disk", ("model...",), {
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "models disk-usage": ("Show the room that models take", (), {
        **REMOTE
    }),
    "models push": ("Copy models to other machines", ("model...",), {
        "--to": ("hosts", "A host of hosts.toml, or several: NAME,NAME, @TAG or all."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
    }),
    "models pull": ("Copy models from another machine", ("model...",), {
        "--from": ("host", "A host of hosts.toml."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
    }),
    "models land": ("Take in a file that another machine has sent", ("model", "", "", "",), {
        **REMOTE
    }),
    "models add": ("Write a model of the Hub into the catalog", ("",), {
        "--id": ("", "What the model is to be called; made from the file's name unless given."),
        "--revision": ("", "Take this commit, branch or tag."),
        "--outtype": ("= f32 f16 bf16 q8_0 auto", "Have the checkpoint converted to a GGUF of this type: f32, f16, bf16, q8_0, auto."),
        "--quantize": ("= F32 F16 Q4_0 Q4_1 Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ3_XS IQ4_NL IQ3_S IQ3_M IQ4_XS BF16 TQ1_0 TQ2_0 MXFP4_MOE NVFP4 Q1_0 Q2_0", "Have the checkpoint converted, and quantized to this type, such as Q4_K_M."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "models pin": ("Write commit, sizes and digests into the catalog", ("model...",), {
        "--revision": ("", "Pin to what this commit, branch or tag is now."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "models outdated": ("Say which repositories have moved on", ("model...",), {
        **REMOTE
    }),
    "models update": ("Take over a newer catalog", (), {
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "models gc": ("Remove what killed runs have left", (), {
        "--unfinished": (None, "Also what an unfinished download would go on with."),
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "build": ("Have binaries, built by cargo when an input has changed", ("build",), {
        **REMOTE
    }),
    "build list": ("Show the binaries and their state", (), {
        **REMOTE
    }),
    "build clean": ("Remove what cargo has built", ("build", "backend",), {
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "build *": ("", ("backend",), {
        "--no-wait": (None, "Fail if another run is building the same (LLORCH_NO_WAIT)."),
        "--no-cache": (None, "Restore nothing from a store, and publish nothing (LLORCH_NO_CACHE)."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "test": ("Run test suites, with what they need made first", ("suite", "...",), {
        "--backend": ("tested backend", "Test this backend; default: a suite's first."),
        "--junit": ("file", "Write JUnit XML there."),
        "--no-cache": (None, "Restore nothing from a store, and publish nothing (LLORCH_NO_CACHE)."),
        **REMOTE
    }),
    "git": ("See and change the state of the repository and its submodules", (), {
        **REMOTE
    }),
    "git status": ("Show the state of the repository and its submodules", (), {
        **REMOTE
    }),
    "git pull": ("Take over what the upstream has", (), {
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "git sync": ("Make everything what origin has", (), {
        "--branch": ("", "Of origin; else `[git] branch`, else origin's default."),
        "--force": (None, "The same as --yes."),
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "git branches": ("List the branches, here and of remotes", (), {
        **REMOTE
    }),
    "git log": ("Show the last commits", (), {
        **REMOTE
    }),
    "git clean": ("Remove files that git does not know", (), {
        "--force": (None, "The same as --yes."),
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "git submodules": ("List, show, move and reset submodules", (), {
        **REMOTE
    }),
    "git submodules list": ("List the submodules and where they come from", (), {
        **REMOTE
    }),
    "git submodules status": ("Show the state of submodules", ("submodule...",), {
        **REMOTE
    }),
    "git submodules update": ("Bring submodules to what they follow, or to their pins", ("submodule...",), {
        "--all": (None, "All submodules."),
        "--pinned": (None, "To the commits that are recorded, not to the tips of branches."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "git submodules reset": ("Make submodules exactly what is recorded", ("submodule...",), {
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "git submodules branch": ("Show or switch a submodule's branch", ("submodule", "",), {
        "--create": (None, "Make the branch, where the submodule is now."),
        **REMOTE
    }),
    "remote": ("Run commands on other machines", (), {
    }),
    "remote exec": ("Run a program on a host, or on several", ("hosts", "rest...",), {
        "-t --tty": (None, "Give it a terminal."),
    }),
    "remote hosts": ("Declare hosts, and see which can be reached", (), {
    }),
    "remote hosts list": ("List the hosts that are declared", (), {
        "--check": (None, "Connect to each, and say whether that works."),
    }),
    "remote hosts add": ("Declare a host, once it can be reached", ("",), {
        "--host": ("", "Its address, as ssh would take it; else NAME."),
        "--user": ("", "Who logs in."),
        "--port": ("", "Its sshd's port."),
        "--identity-file": ("file", "The key to log in with."),
        "--repo-path": ("", "Where the repository is there."),
        "--jump": ("host", "The host to go through, or several with commas."),
        "--tag": ("", "A word to choose it by, as @TAG; repeatable."),
        "--backend": ("", "What it can build for; repeatable."),
        "--transport": ("= paramiko openssh", "How it is reached."),
        "--user-file": (None, "Write your own hosts.toml, not the workspace's."),
        "--accept": (None, "Take its key without asking, if none is known yet."),
        "-y --yes": (None, "Do not ask."),
    }),
    "remote hosts remove": ("Take a host out of hosts.toml", ("host",), {
        "--user-file": (None, "Take it out of your own hosts.toml, not the workspace's."),
    }),
    "remote hosts check": ("Connect to hosts, and accept their keys if asked to", ("hosts...",), {
        "--accept": (None, "Take the keys of hosts of which none is known yet."),
    }),
    "remote info": ("Show what machine a host is and what is there", ("hosts...",), {
    }),
    "remote setup": ("Install llorch on a host", ("hosts",), {
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
    }),
    "remote sync": ("Bring a host's repository to the commit that is here", ("hosts",), {
        "--changes": (None, "Bring also what is not committed, and new files that are not ignored."),
        "--force": (None, "The same as --yes."),
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
    }),
    "dev": ("Make a new machine a working one, and see what is wrong", (), {
        **REMOTE
    }),
    "dev setup": ("Make a new clone ready: files, submodules, models", (), {
        "--models": ("= none recommended all", "Which models to have. Without it, those that are recommended, after asking."),
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "dev doctor": ("Say what this machine lacks, with the commands that mend it", (), {
        "--hosts": (None, "Also connect to the hosts of hosts.toml."),
        "--fix": (None, "Run the fixes that only add what is missing, after showing them."),
        "-y --yes": (None, "Do not ask."),
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "dev check": ("Say all that is wrong with the configuration at once", (), {
        **REMOTE
    }),
    "dev completion": ("Complete command lines in bash, zsh and fish", ("= bash zsh fish",), {
    }),
    "dev config": ("Show every value and where it is from", (), {
        **REMOTE
    }),
    "dev info": ("Write a report to paste into a bug report", (), {
        **REMOTE
    }),
    "cache": ("Share targets between machines, by content", (), {
        **REMOTE
    }),
    "cache status": ("Show the stores, and which tasks they have", ("task...",), {
        **REMOTE
    }),
    "cache key": ("Print what decides what tasks make, as the key of a CI cache", ("task...",), {
        "--explain": (None, "List what it is made of."),
        **REMOTE
    }),
    "cache diff": ("Say why a key is another one than before", ("file",), {
    }),
    "cache push": ("Publish what is up to date here", ("task...",), {
        **REMOTE
    }),
    "cache pull": ("Restore what the stores have, and make nothing", ("task...",), {
        **REMOTE
    }),
    "cache gc": ("Keep your own store within its limit", (), {
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "init": ("Make a folder a workspace: write the files that are missing", ("file",), {
        "--dry-run": (None, "Say what would be done, and do nothing (LLORCH_DRY_RUN)."),
        **REMOTE
    }),
    "list": ("List the tasks and which of them are up to date", ("task...",), {
        **REMOTE
    }),
    "why": ("Say why a task is out of date", ("task",), {
        **REMOTE
    }),
    "graph": ("Draw which task needs which", ("task...",), {
        "--format": ("= mermaid dot svg", "What to write."),
        **REMOTE
    }),
    "log": ("Show what runs have done", ("",), {
        "-f --follow": (None, "Go on with what the run under way writes, until it ends."),
        "--list": (None, "List the runs that have left a log, with their numbers."),
        **REMOTE
    }),
    "doit": ("Run plain doit at the workspace's root", ("task...",), {
        **REMOTE
    }),
}
"""By its words: what it does, its arguments and its own options."""

TASKS = (
    "models",
    "fetch",
    "verify",
    "convert",
    "quantize",
    "build",
    "test",
    "git:status",
    "git:pull",
    "git:sync",
    "git:branches",
    "git:log",
    "git:clean",
    "git:submodules",
    "git:submodules-status",
    "git:submodules-update",
    "git:submodules-pinned",
    "git:submodules-clone",
    "remote:hosts",
    "remote:check",
    "remote:info",
    "remote:setup",
    "remote:sync",
    "dev:doctor",
    "dev:check",
    "dev:setup",
    "dev:extras",
    "cache:status",
    "cache:key",
    "cache:push",
    "cache:pull",
    "cache:gc",
    "tool",
    "tool:llama-quantize",
    "tool:convert-hf-to-gguf",
)
"""Of every workspace."""
