"""The machines that commands can run on, as the workspace's `hosts.toml` and the user's own declare them.

What they say is hostile until checked: no name can be an option of ssh or code of a shell. How ssh gets to a machine
is `route`'s business.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, NamedTuple

from llorch.config import Workspace, user_folder
from llorch.errors import ConfigError, Problem, UnknownName
from llorch.text import shown
from llorch.toml import Document, left_out, load

HOSTS = "hosts.toml"
REPO_PATH = "~/Projects/llama-orch"
"""Where a host's repository is if its entry does not say so."""
NO_JUMP = "none"
"""What `jump` says, as ssh's ProxyJump does, where ssh's configuration has one and there is to be none."""

# Nothing that a shell or an option's parser would act upon (CVE-2023-51385).
_DESTINATION = re.compile(r"([\w.:%][\w.:%-]*@)*[\w.:%][\w.:%-]*", re.ASCII)


def check_destination(value: str) -> str | None:
    """Return what is wrong with a host, a user, or `user@host`, or None.

    >>> check_destination("vince@box"), check_destination("vince@-oProxyCommand=x") is None
    (None, False)
    """
    if _DESTINATION.fullmatch(value):
        return None
    return f"`{value}` is not a name for ssh: letters, digits, `.`, `_`, `:`, `@`, `%` and `-`, but no `-` first"


def _check_jump(value: str) -> str | None:
    return next(filter(None, map(check_destination, value.split(","))), None)


def _check_port(value: int) -> str | None:
    return None if 0 < value < 65536 else f"must be from 1 to 65535, and is {value}"


def _check_path(value: str) -> str | None:
    if not value:
        return "is empty"
    return "has control characters" if "\n" in value or "\t" in value else None  # TOML's reader finds the others


def _check_far_path(value: str) -> str | None:
    if re.match(r"~[^/]", value):
        return "`~` stands for the home folder of the one who logs in, and of nobody else"
    return _check_path(value)


def _check_words(value: tuple[str, ...]) -> str | None:
    wrong = next((word for word in value if not re.fullmatch(r"\w[\w.-]*", word, re.ASCII)), None)
    return None if wrong is None else f"`{wrong}` may have letters, digits, `.`, `_` and `-`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`[hosts.NAME]`: what is not said is as ssh's own configuration has it; `port` is TCP's, paths are text."""

    host: str = field(default="", metadata={"check": check_destination})
    """A name that ssh would take; without it the table's name."""
    user: str | None = field(default=None, metadata={"check": check_destination})
    """Who logs in."""
    port: int | None = field(default=None, metadata={"check": _check_port})
    """The port of its sshd."""
    identity_file: str | None = field(default=None, metadata={"check": _check_path})
    """The key to log in with."""
    repo_path: str | None = field(default=None, metadata={"check": _check_far_path})
    """Where the repository is on it; without it `~/Projects/llama-orch`."""
    jump: str | None = field(default=None, metadata={"check": _check_jump})
    """The host to go through, or several with commas; `none` for none."""
    tags: tuple[str, ...] = field(default=(), metadata={"check": _check_words})
    """Words to choose it by, as `@TAG`."""
    backends: tuple[str, ...] = field(default=(), metadata={"check": _check_words})
    """What it can build for, also usable as `@BACKEND`."""
    transport: Literal["paramiko", "openssh"] = "paramiko"
    """How it is reached: by llorch itself, or by the system's ssh."""
    llorch: str | None = field(default=None, metadata={"check": _check_far_path})
    """Its llorch, found and filled in by `llorch remote setup`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host(Entry):
    """A machine by its name; `host` is never empty."""

    name: str

    @property
    def repository(self) -> str:
        """Where the repository is on it, said or not."""
        return self.repo_path or REPO_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    hosts: Mapping[str, Entry] = field(default_factory=dict)


def hosts_file(workspace: Workspace, *, user_file: bool, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the workspace's file is, or the user's own."""
    return (user_folder(environ) if user_file else workspace.root) / HOSTS


class Declared(NamedTuple):
    """The hosts whose entries are right, and every mistake."""

    hosts: Mapping[str, Host]
    problems: tuple[Problem, ...]
    documents: Mapping[str, Document]
    """By a host's name, the file that its entry is in."""
    left_out: Set[str] | None
    """Names of wrong entries; None where there may be some that nothing is known of."""


def load_hosts(
    workspace: Workspace, environ: Mapping[str, str] = os.environ, *, drafts: Mapping[Path, str] | None = None
) -> Mapping[str, Host]:
    """Return the hosts of the workspace, then those that only the user's own file has.

    Args:
        environ: says where the user's file is.
        drafts: what a file is to say, to be checked before it does.

    Raises:
        ConfigError: with every mistake of both files.
    """
    declared = read_hosts(workspace, environ, drafts=drafts)
    if declared.problems:
        raise ConfigError(declared.problems)
    return declared.hosts


def read_hosts(
    workspace: Workspace, environ: Mapping[str, str] = os.environ, *, drafts: Mapping[Path, str] | None = None
) -> Declared:
    """Return what is right of both files, and what is wrong."""
    hosts: dict[str, Host] = {}
    documents: dict[str, Document] = {}
    read: list[Document] = []
    for user_file in (False, True):
        path = hosts_file(workspace, user_file=user_file, environ=environ)
        document = _document(workspace, path, drafts or {})
        read.append(document)
        for name, entry in document.read(_File, depth=3).hosts.items():  # a host is one without any value
            if _is_name(name, document) and name not in hosts:
                hosts[name] = _named(name, entry, path.parent)
                documents[name] = document
    for loop in _loops(hosts):
        way = " → ".join(f"`{name}`" for name in (*loop, loop[0]))
        documents[loop[0]].complain(("hosts", loop[0], "jump"), f"leads back to where it began: {way}")
    problems = [problem for document in read for problem in document.problems]
    return Declared(
        hosts=hosts,
        problems=tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0))),
        documents=documents,
        left_out=left_out(read, "hosts"),
    )


def select_hosts(text: str, hosts: Mapping[str, Host]) -> tuple[Host, ...]:
    """Return the declared hosts that `text` means, each once, in the order in which it names them.

    Args:
        text: names, `@` and a tag or backend, or `all`, with commas between them.

    Raises:
        UnknownName: nothing is declared under one of them.

    >>> mac, box = Host(name="mac", host="mac"), Host(name="box", host="box", backends=("cuda",))
    >>> [host.name for host in select_hosts("@cuda,all", {"mac": mac, "box": box})]
    ['box', 'mac']
    """
    found = {host.name: host for word in text.split(",") for host in _meant(word.strip(), hosts)}
    return tuple(found.values())


def means_several(text: str) -> bool:
    """Tell whether a text may mean several hosts, however many they are today.

    >>> means_several("@cuda"), means_several("all"), means_several("mac")
    (True, True, False)
    """
    return text == "all" or text.startswith("@") or "," in text


def find_host(text: str, hosts: Mapping[str, Host]) -> Host:
    """Return one host: the declared one, else whatever ssh would make of it, as `user@box`.

    This is for what needs nothing but a connection; what works in a host's repository takes declared ones only.

    Raises:
        UnknownName: it can be neither.
    """
    if text in hosts:
        return hosts[text]
    if check_destination(text) is not None:
        raise _unknown("host", text, hosts, tuple(hosts))
    return Host(name=text, host=text)


def _document(workspace: Workspace, path: Path, drafts: Mapping[Path, str]) -> Document:
    name = workspace.name(path)
    if path in drafts:
        return Document(name, drafts[path])
    try:
        return load(path, name)
    except (FileNotFoundError, NotADirectoryError):
        return Document(name, "")


def check_name(name: str) -> str | None:
    """Return what is wrong with a host's name, or None."""
    if name in ("all", NO_JUMP):
        return f"`{name}` has a meaning of its own; call the host something else"
    return check_destination(name)


def _is_name(name: str, document: Document) -> bool:
    """Tell whether a table's name can be a host's, complaining if not."""
    complaint = check_name(name)
    if complaint is not None:
        document.complain(("hosts", name), complaint)
    return complaint is None


def _named(name: str, entry: Entry, folder: Path) -> Host:
    """Return the host of an entry in a file of this folder."""
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    key = entry.identity_file
    if key is not None and not key.startswith("~"):
        key = os.path.join(folder, key)
    return Host(**{**values, "name": name, "host": entry.host or name, "identity_file": key})


def _loops(hosts: Mapping[str, Host]) -> Iterator[tuple[str, ...]]:
    """Yield the names of each loop of jumps."""
    done: set[str] = set()
    for name in hosts:
        way: list[str] = []
        while name in hosts and name not in done:
            done.add(name)
            way.append(name)
            hops = (hosts[name].jump or NO_JUMP).split(",")
            # Only the first one's own jump is taken: the others are reached through the one before.
            name = next((hop for hop in hops if hop in way), hops[0])
        if name in way:
            yield tuple(way[way.index(name) :])


def _meant(word: str, hosts: Mapping[str, Host]) -> list[Host]:
    if word == "all" and hosts:
        return [*hosts.values()]
    if word.startswith("@"):
        tags = {tag for host in hosts.values() for tag in (*host.tags, *host.backends)}
        if word[1:] not in tags:
            raise _unknown("tag or backend", word[1:], hosts, sorted(tags))
        return [host for host in hosts.values() if word[1:] in (*host.tags, *host.backends)]
    if word not in hosts:
        unknown = _unknown("host", word, hosts, tuple(hosts))
        if same := next((host for host in hosts.values() if host.host == word), None):  # as the scripts had it
            unknown.hint = f"it is the address of `{same.name}`"
        raise unknown
    return [hosts[word]]


def _unknown(kind: str, name: str, hosts: Mapping[str, Host], known: Sequence[str]) -> UnknownName:
    action = "list` shows those there are" if hosts else "add NAME` declares one"
    return UnknownName(kind, shown(name), known, hint=f"`llorch remote hosts {action}")
