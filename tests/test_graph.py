"""Graphs as text, read back with what reads such text."""

import re
from xml.etree import ElementTree

import pytest

from llorch.graph import FORMATS, Format, render_graph

HOSTILE = "a \"quoted\" <name> & \\ 'it'"
DIAMOND = {"top": ["left", "right"], "left": ["base"], "right": ["base"], "base": [], "alone": []}
EDGES = [("top", "left"), ("top", "right"), ("left", "base"), ("right", "base")]


def test_mermaid_has_every_task_and_arrow() -> None:
    """Each task is a box, each need an arrow."""
    text = render_graph(DIAMOND, "mermaid")
    names = dict(re.findall(r'(t\d+)\["(.*)"\]', text))
    assert list(names.values()) == list(DIAMOND)
    assert [(names[a], names[b]) for a, b in re.findall(r"(t\d+) --> (t\d+)", text)] == EDGES


def test_dot_has_every_task_and_arrow() -> None:
    """Each task is a node, each need an edge."""
    text = render_graph(DIAMOND, "dot")
    assert re.findall(r'^    "(\w+)";$', text, re.MULTILINE) == list(DIAMOND)
    assert re.findall(r'"(\w+)" -> "(\w+)";', text) == EDGES


def test_svg_puts_what_is_needed_to_the_left() -> None:
    """Boxes are in columns by depth, do not overlap, lie within the picture, and a line leads to each need."""
    root = ElementTree.fromstring(render_graph(DIAMOND, "svg"))
    space = "{http://www.w3.org/2000/svg}"
    keys = ("x", "y", "width", "height")
    boxes = [{key: float(box.attrib[key]) for key in keys} for box in root.iter(f"{space}rect")]
    names = [text.text or "" for text in root.iter(f"{space}text")]
    place = dict(zip(names, boxes, strict=True))
    assert sorted(names) == sorted(DIAMOND)
    assert len(list(root.iter(f"{space}path"))) == len(EDGES)
    for name, need in EDGES:
        assert place[need]["x"] + place[need]["width"] < place[name]["x"]
    assert place["alone"]["x"] == place["base"]["x"]
    assert place["left"]["y"] + place["left"]["height"] < place["right"]["y"]
    for box in boxes:
        assert box["x"] + box["width"] <= float(root.attrib["width"])
        assert box["y"] + box["height"] <= float(root.attrib["height"])


@pytest.mark.parametrize(
    ("format", "found"),
    [
        ("mermaid", r't0\["a #quot;quoted#quot; #lt;name#gt; #amp; \\ #39;it#39;"\]'),
        ("dot", r'"a \\"quoted\\" <name> & \\\\ \'it\'";'),
        ("svg", r"a &quot;quoted&quot; &lt;name&gt; &amp; \\ &#x27;it&#x27;</text>"),
    ],
)
def test_hostile_names_stay_names(format: Format, found: str) -> None:
    """Quotes and brackets of a name do not end it."""
    assert re.search(found, render_graph({HOSTILE: []}, format))


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_can_be_drawn(format: Format) -> None:
    """A graph without tasks is still a graph."""
    text = render_graph({}, format)
    assert text.startswith({"mermaid": "flowchart RL", "dot": "digraph tasks {", "svg": "<svg "}[format])
    assert "-" not in "".join(re.findall(r'(?:width|height)="(.*?)"', text))


def test_a_long_chain_can_be_drawn() -> None:
    """The depth of a graph has no limit."""
    chain = {f"t{number}": [f"t{number + 1}"] for number in range(3000)} | {"t3000": []}
    assert render_graph(chain, "svg").count("<rect") == 3001
