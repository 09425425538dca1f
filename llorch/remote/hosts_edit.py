"""Write `hosts.toml`: what people wrote in it stays as it is, comments, order and layout.

Whether a host can be reached before it is added, and what is to be set, is for others.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from llorch.config import Workspace
from llorch.errors import ConfigError, LlorchError, Problem, Refused, UnknownName
from llorch.remote.hosts import Entry, Host, check_name, hosts_file, load_hosts
from llorch.rewrite import edited, rewrite, without_table

NEW = "version = 1\n"
"""What the first `hosts.toml` begins with."""

_Change = Callable[[str, dict[str, Any]], Iterator[str]]
"""Makes the hosts what they are meant to be, then yields texts of the file, one of which says so."""


def add_host(
    workspace: Workspace,
    host: Host,
    *,
    user_file: bool,
    environ: Mapping[str, str] = os.environ,
    write: bool = True,
) -> str:
    """Declare a host at the end of the workspace's file, or the user's own, and return how that is called.

    Args:
        write: else only see whether it can be.

    Raises:
        Refused: the file has one of that name, or the workspace's file has and would hide it.
        ConfigError: the result would be wrong.
        DiskFull: it cannot be written.
        LlorchError: the file is laid out in a way that cannot be edited.
    """

    def add(text: str, hosts: dict[str, Any]) -> Iterator[str]:
        if host.name in hosts:
            raise _declared(host.name, _name(workspace, user_file, environ))
        hosts[host.name] = entry = _raw(host)
        yield (text.rstrip() + "\n\n" if text.strip() else "") + render_host(host.name, entry)

    if complaint := check_name(host.name):
        raise ConfigError([Problem(_name(workspace, user_file, environ), None, "", complaint)])
    if user_file and host.name in _own(workspace, environ):
        raise _declared(host.name, _name(workspace, False, environ))
    return _edit(workspace, add, user_file, environ, write)


def remove_host(workspace: Workspace, name: str, *, user_file: bool, environ: Mapping[str, str] = os.environ) -> str:
    """Take a host out of the workspace's file, or the user's own, and return how that is called.

    Raises:
        UnknownName: the file has no such host.
        ConfigError, DiskFull, LlorchError: as `add_host` does.
    """

    def remove(text: str, hosts: dict[str, Any]) -> Iterator[str]:
        if name not in hosts:
            hint = f"it is not in `{_name(workspace, user_file, environ)}`; `llorch remote hosts list` shows all"
            raise UnknownName("host", name, tuple(hosts), hint=hint)
        del hosts[name]
        yield without_table(text, ("hosts", name))
        yield _parsed(text, lambda hosts: hosts.remove(name))  # it takes comments on the next host with it

    return _edit(workspace, remove, user_file, environ)


def set_value(workspace: Workspace, name: str, key: str, value: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """Set a text of a host, where it is declared, and return how that file is called.

    Raises:
        UnknownName: no such host is declared.
        ConfigError, DiskFull, LlorchError: as `add_host` does.
    """
    user_file = name not in _own(workspace, environ)

    def change(text: str, hosts: dict[str, Any]) -> Iterator[str]:
        if name not in hosts:
            raise UnknownName("host", name, tuple(load_hosts(workspace, environ)), hint="declare it first")
        hosts[name][key] = value
        yield _parsed(text, lambda hosts: _set(hosts[name], key, value))

    return _edit(workspace, change, user_file, environ)


def render_host(name: str, entry: Mapping[str, Any]) -> str:
    """Return a host as TOML, as people write it.

    >>> print(render_host("mac", {"host": "mac.lan", "tags": ["gpu", "home"]}), end="")
    [hosts.mac]
    host = "mac.lan"
    tags = ["gpu", "home"]
    """
    import tomlkit

    header = name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"'
    lines = [f"[hosts.{header}]"]
    lines += [f"{key} = {tomlkit.item(value).as_string()}" for key, value in entry.items()]
    return "\n".join(lines) + "\n"


def _edit(
    workspace: Workspace, change: _Change, user_file: bool, environ: Mapping[str, str], write: bool = True
) -> str:
    """Edit a file and return its name. A link to it stays one."""
    path = hosts_file(workspace, user_file=user_file, environ=environ)
    name = workspace.name(path)

    def edit(old: str | None) -> str:
        import tomli

        text = NEW if old is None else old
        load_hosts(workspace, environ, drafts={path: text})  # it says what is wrong before anything else does
        meant = tomli.loads(text)
        new = next((draft for draft in change(text, meant.setdefault("hosts", {})) if _says(draft, meant)), None)
        if new is None:
            raise LlorchError(
                f"`{name}` is laid out in a way that llorch cannot edit; nothing was changed",
                hint="write each host as one table `[hosts.NAME]`; or make the change by hand",
            )
        try:
            load_hosts(workspace, environ, drafts={path: new})
        except ConfigError as error:
            hint = f"nothing was changed; this is what `{name}` would be like"
            raise ConfigError(error.problems, hint=hint) from None
        return new

    if not write:
        edited(Path(os.path.realpath(path)), edit)
        return name
    if user_file:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # as the XDG base directories are to be
    rewrite(Path(os.path.realpath(path)), name, edit)
    return name


def _parsed(text: str, change: Callable[[Any], object]) -> str:
    """Return the text after a change of its parsed hosts, as it was if the parser cannot make it."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        change(document["hosts"])
        return tomlkit.dumps(document)
    except (TOMLKitError, ValueError, KeyError, IndexError, AttributeError):
        return text  # it is younger than the reader, and stumbles where tables are split up


def _set(table: Any, key: str, value: str) -> None:
    from tomlkit.items import Table

    if isinstance(table, Table) and table and key not in table:
        # The public way is after the comments, which are on what comes next.
        table.value._insert_after([*table][-1], key, value)
    else:
        table[key] = value


def _says(text: str, meant: Mapping[str, Any]) -> bool:
    import tomli

    try:
        said = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return False
    said.setdefault("hosts", {})
    return said == meant


def _raw(host: Host) -> dict[str, Any]:
    """Return what a file has to say of a host: what is not the default."""
    found: dict[str, Any] = {}
    for field in fields(Entry):
        value = getattr(host, field.name)
        if value != (host.name if field.name == "host" else field.default):
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def _own(workspace: Workspace, environ: Mapping[str, str]) -> Mapping[str, Host]:
    """Return the hosts of the workspace's own file."""
    return load_hosts(workspace, environ, drafts={hosts_file(workspace, user_file=True, environ=environ): ""})


def _name(workspace: Workspace, user_file: bool, environ: Mapping[str, str]) -> str:
    return workspace.name(hosts_file(workspace, user_file=user_file, environ=environ))


def _declared(name: str, file: str) -> Refused:
    hint = f"change it there, or take it out first with `llorch remote hosts remove {name}`"
    return Refused(f"`{file}` already has a host `{name}`; nothing was changed", hint=hint)
