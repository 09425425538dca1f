"""The configuration reference is what the dataclasses say."""

import re
from dataclasses import fields

import pytest

from docs import reference
from llorch.config import Settings


def test_the_reference_is_not_stale() -> None:
    """Every table of the page is as it would be written now."""
    page = reference.PAGE.read_text()
    assert page == reference.render(page), "renew it by `./run python docs/reference.py`"


def test_every_table_is_in_the_page() -> None:
    """Each once, and none of llorch.toml is left out."""
    places = re.findall("<!-- reference: (.*?) -->", reference.PAGE.read_text())
    assert sorted(places) == sorted(reference.TABLES)
    tables = {name.strip("[]").partition(".")[0] for name in reference.TABLES}
    assert {field.name for field in fields(Settings)} <= tables


@pytest.mark.parametrize("name", reference.TABLES)
def test_every_key_has_a_meaning(name: str) -> None:
    """A field without a docstring cannot be documented, nor one whose docstring is no sentence."""
    cls = reference.TABLES[name]
    said = reference.meanings(cls)
    assert [field.name for field in fields(cls) if not said.get(field.name, "").endswith(".")] == []


def test_a_stale_table_is_renewed() -> None:
    """What stands around the tables stays as it is."""
    page = "# A\n<!-- reference: [git] -->\n| old |\n<!-- end -->\nb\n<!-- reference: convert -->\n<!-- end -->\n"
    renewed = reference.render(page)
    assert reference.render(renewed) == renewed
    assert "| old |" not in renewed
    assert renewed.startswith("# A\n<!-- reference: [git] -->\n\n| key | value | default | |\n")
    assert '| `branch` | string | `""` |' in renewed
    assert "\n\n<!-- end -->\nb\n" in renewed
    assert "| `to` | string | required |" in renewed
    assert '| `engine` | `builtin`, `llama.cpp` | `"builtin"` |' in renewed


def test_variables_are_named() -> None:
    """The variable that stands for a key is in its row, and array, table and nothing are told as such."""
    page = reference.render("<!-- reference: [paths] --><!-- end -->\n".replace("--><", "-->\n<"))
    assert "Variable: `LLORCH_CATALOG`." in page
    rows = "\n".join(reference.rows("[models.ID]", reference.TABLES["[models.ID]"]))
    assert "| `files` | array of tables | required |" in rows
    assert "| `convert` | table |  |" in rows
    assert "| `gated` | true or false | `false` |" in rows
    assert "| `context_length` | integer |  |" in rows
