"""Write the tables of docs/configuration.md: the keys of each file, from the dataclasses that read them.

A key's meaning is the docstring below its field. `./run python docs/reference.py`
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from llorch import config
from llorch.models import catalog
from llorch.remote import hosts

PAGE = Path(__file__).with_name("configuration.md")
TABLES: Mapping[str, type] = {
    "[paths]": config.Paths,
    "[build.NAME]": config.Build,
    "[test.NAME]": config.Test,
    "[cargo]": config.Cargo,
    "[git]": config.Git,
    "[remote]": config.Remote,
    "[cache]": config.Cache,
    "[models.ID]": catalog.Entry,
    "files": catalog.File,
    "convert": catalog.Convert,
    "quantize": catalog.Quantize,
    "[hosts.NAME]": hosts.Entry,
}
"""By what the page calls them."""
_PLACE = re.compile(r"(?<=<!-- reference: )(.*?) -->\n.*?(?=<!-- end -->)", re.DOTALL)
_NAMES: Mapping[Any, str] = {str: "string", int: "integer", bool: "true or false"}


def meanings(cls: type) -> dict[str, str]:
    """Return the docstring of each field."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(field.target)] = str(after.value.value)
    return found


def kind(type: Any) -> str:
    """Return what a value has to be, in words."""
    if get_origin(type) is UnionType:
        return kind(next(each for each in get_args(type) if each is not NoneType))
    if get_origin(type) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(type))
    if get_origin(type) is tuple:
        return f"array of {kind(get_args(type)[0])}s"
    return "table" if is_dataclass(type) else _NAMES[type]


def default(field: "Field[Any]") -> str:
    """Return a field's default as TOML."""
    if field.default is MISSING:
        return "required"
    return "" if field.default is None else f"`{json.dumps(field.default)}`"


def rows(name: str, cls: type) -> Iterator[str]:
    """Yield the lines of a table."""
    variables = {place: variable for variable, place in config.ENVIRONMENT.items()}
    said = meanings(cls)
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    for field in fields(cls):
        meaning, variable = said[field.name], variables.get((name.strip("[]"), field.name))
        meaning += f" Variable: `{variable}`." if variable else ""
        yield f"| `{field.name}` | {kind(field.type)} | {default(field)} | {meaning} |"


def render(page: str) -> str:
    """Return the page with its tables as they are now."""

    def table(place: "re.Match[str]") -> str:
        return "\n".join([f"{place[1]} -->", "", *rows(place[1], TABLES[place[1]]), "", ""])

    return _PLACE.sub(table, page)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
