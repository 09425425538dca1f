"""Write the workspace's catalog: what people wrote in it stays as it is, comments, order and layout.

The new text is checked like any catalog, and compared with what was meant, before it gets the catalog's name. What is
to be written, and why, is for others.
"""

import copy
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from llorch.config import Settings, Workspace
from llorch.errors import Busy, ConfigError, LlorchError
from llorch.models.catalog import SHIPPED, Entry, load_models
from llorch.rewrite import edited, rewrite, without_table
from llorch.toml import load

Raw = Mapping[str, Any]
"""An entry as TOML has it."""

NEW = 'version = 1\nextends = "shipped"\n'
"""What a workspace's first catalog begins with."""
# A revision is read beside its repository, and files after both.
_ORDER = ["name", "source", "repo", "revision", "files"]
_ORDER += [field.name for field in fields(Entry) if field.name not in _ORDER]


class Draft:
    """A catalog's text on its way to the next one."""

    def __init__(self, name: str, text: str) -> None:
        """Begin with a text; `name` is how messages call the file."""
        import tomli

        self.name = name
        self.text = text
        self._meant: dict[str, Any] = tomli.loads(text)

    @property
    def entries(self) -> Mapping[str, Raw]:
        """The entries as they will be."""
        found: Mapping[str, Raw] = self._meant.get("models", {})
        return found

    def add(self, id: str, entry: Raw) -> None:
        """Add an entry at the end."""
        self._meant.setdefault("models", {})[id] = copy.deepcopy(dict(entry))
        self.text = (self.text.rstrip() + "\n\n" if self.text.strip() else "") + render_entry(id, entry)

    def change(self, id: str, entry: Raw) -> None:
        """Make an entry say something else, keeping what stays the same."""
        old = self.entries[id]
        if any(isinstance(value, dict) for key, value in [*old.items(), *entry.items()] if old.get(key) != value):
            self.remove(id)  # a table cannot take a value's place, nor the other way round
            self.add(id, entry)
            return
        self._meant["models"][id] = copy.deepcopy(dict(entry))
        with self._parsed() as models:
            table = models[id]
            for key in old.keys() - entry.keys():
                del table[key]
            for key in sorted(entry, key=_ORDER.index):
                if key == "files" and _paths(old.get(key, ())) == _paths(entry[key]):
                    _change_files(table[key], old[key], entry[key])
                elif key not in old:
                    _insert(table, key, entry[key])
                elif old[key] != entry[key]:
                    table[key] = _item(entry[key])

    def remove(self, id: str) -> None:
        """Take an entry out."""
        del self._meant["models"][id]
        text = without_table(self.text, ("models", id))
        if self._says(text):
            self.text = text
            return
        with self._parsed() as models:
            del models[id]

    def check(self) -> None:
        """Make sure that the text says what is meant.

        Raises:
            LlorchError: it does not, for it is laid out in a way that the editor cannot handle.
        """
        if not self._says(self.text):
            raise self._cannot()

    def _says(self, text: str) -> bool:
        import tomli

        try:
            return tomli.loads(text) == self._meant
        except tomli.TOMLDecodeError:
            return False

    @contextmanager
    def _parsed(self) -> Iterator[Any]:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        try:
            document = tomlkit.parse(self.text)
            yield document["models"]
            self.text = tomlkit.dumps(document)
        except (TOMLKitError, ValueError, KeyError, IndexError, AttributeError) as error:
            # It is younger than the reader, and stumbles where tables are split up.
            raise self._cannot() from error

    def _cannot(self) -> LlorchError:
        return LlorchError(
            f"`{self.name}` is laid out in a way that llorch cannot edit; nothing was changed",
            hint="write each model as one table `[models.ID]` with plain keys; or make the change by hand",
        )


def own_entries(workspace: Workspace, settings: Settings) -> Mapping[str, Raw]:
    """Return the entries of the workspace's own catalog, which has been found right."""
    place = _place(workspace, settings)
    if not place.is_file():
        return {}
    found: Mapping[str, Raw] = load(place, place.name).data.get("models", {})
    return found


def shipped_entries(workspace: Workspace, settings: Settings) -> Mapping[str, Raw]:
    """Return the entries that come with llorch, if the workspace's catalog, which has been found right, has them."""
    place = _place(workspace, settings)
    if place.is_file() and (os.path.samefile(place, SHIPPED) or "extends" not in load(place, place.name).data):
        return {}
    found: Mapping[str, Raw] = load(SHIPPED, SHIPPED.name).data["models"]
    return found


def edit_catalog(
    workspace: Workspace, settings: Settings, edit: Callable[[Draft], None], *, dry_run: bool = False
) -> str:
    """Edit the workspace's catalog, made if there is none, and return its name. A link to it stays one.

    Args:
        edit: called with what the catalog says now; what it raises leaves the catalog as it is.
        dry_run: find out whether it can be done, and do nothing.

    Raises:
        ConfigError: the result would be wrong.
        DiskFull: it cannot be written.
        LlorchError: it is laid out in a way that cannot be edited.
    """
    place = _place(workspace, settings)
    name = workspace.name(settings.paths.catalog)

    def change(old: str | None) -> str:
        return _edited(old, name, workspace, settings, edit)

    if dry_run:
        edited(place, change)
    else:
        rewrite(place, name, change)
    return name


def render_entry(id: str, entry: Raw) -> str:
    """Return an entry as TOML, as people write it.

    >>> print(render_entry("a", {"files": [{"path": "a.gguf", "size": 1}], "repo": "b/c"}), end="")
    [models.a]
    repo = "b/c"
    files = [
      { path = "a.gguf", size = 1 },
    ]
    """
    header = id if re.fullmatch(r"[\w-]+", id, re.ASCII) else f'"{id}"'
    lines = [f"[models.{header}]"]
    lines += [f"{key} = {_render(entry[key], key == 'files')}" for key in sorted(entry, key=_ORDER.index)]
    return "\n".join(lines) + "\n"


def _place(workspace: Workspace, settings: Settings) -> Path:
    """Return where the catalog really is: a link to it is not to be replaced by a file."""
    return Path(os.path.realpath(workspace.path(settings.paths.catalog)))


def _edited(old: str | None, name: str, workspace: Workspace, settings: Settings, edit: Callable[[Draft], None]) -> str:
    """Return what the catalog is to say."""
    draft = Draft(name, NEW if old is None else old)
    edit(draft)
    draft.check()
    try:
        load_models(workspace, settings, draft.text)
    except ConfigError as error:
        raise ConfigError(error.problems, hint=f"nothing was changed; this is what `{name}` would be like") from None
    return draft.text


def changed_meanwhile(name: str) -> Busy:
    """Return the error for a catalog that says something else than what was decided upon."""
    return Busy(f"`{name}` was changed while this was under way; nothing was written", hint="run it again")


def _paths(files: Any) -> list[str]:
    return [file["path"] for file in files]


def _change_files(array: Any, old: Any, new: Any) -> None:
    """Change the files of an entry one by one, so that the comments between them stay."""
    from tomlkit.items import InlineTable

    for index, (was, now) in enumerate(zip(old, new, strict=True)):
        if was == now:
            continue
        if isinstance(array[index], InlineTable):
            array[index] = _item(now)
            continue
        for key in was.keys() - now.keys():
            del array[index][key]
        for key in now:
            array[index][key] = now[key]


def _insert(table: Any, key: str, value: Any) -> None:
    """Put a key where people would: after those that come before it, and before comments on what comes next."""
    from tomlkit.items import AoT, Table

    there = [name for name in _ORDER if name in table and not isinstance(table[name], (AoT, Table))]
    before = [name for name in there if _ORDER.index(name) < _ORDER.index(key)]
    if isinstance(table, Table) and (before or there):
        table.value._insert_after((before or there[:1])[-1], key, _item(value))  # the public way is after the comments
    else:
        table[key] = _item(value)


def _item(value: Any) -> Any:
    import tomlkit

    return tomlkit.parse(f"value = {_render(value, isinstance(value, list))}\n")["value"]


def _render(value: Any, lines: bool = False) -> str:
    """Return a value as TOML; an array with an element per line if so wished."""
    import tomlkit

    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_render(item)}" for key, item in value.items()) + " }"
    if lines:
        return "[\n" + "".join(f"  {_render(item)},\n" for item in value) + "]"
    return str(tomlkit.item(value).as_string())
