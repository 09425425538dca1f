"""Draw a graph of tasks as text: Mermaid, Graphviz' dot, or SVG laid out here."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal, get_args

Format = Literal["mermaid", "dot", "svg"]
FORMATS: tuple[Format, ...] = get_args(Format)

Edges = Mapping[str, Sequence[str]]
"""Each task with the tasks that it needs."""

_CHARACTER, _ROW, _GAP, _PAD = 8, 36, 56, 12


def render_graph(edges: Edges, format: Format) -> str:
    """Return the drawing."""
    return {"mermaid": render_mermaid, "dot": render_dot, "svg": render_svg}[format](edges)


def render_mermaid(edges: Edges) -> str:
    """Return a Mermaid flowchart.

    >>> print(render_mermaid({"a": ["b"], "b": []}))
    flowchart RL
        t0["a"]
        t1["b"]
        t0 --> t1
    """
    ids = {name: f"t{number}" for number, name in enumerate(edges)}
    lines = [f'    {ids[name]}["{escape(name).replace("&#x27;", "#39;").replace("&", "#")}"]' for name in edges]
    lines += [f"    {ids[name]} --> {ids[need]}" for name, needs in edges.items() for need in needs]
    return "\n".join(["flowchart RL", *lines])


def render_dot(edges: Edges) -> str:
    r"""Return a graph for Graphviz.

    >>> print(render_dot({'a"': []}))
    digraph tasks {
        rankdir = RL;
        node [shape = box];
        "a\"";
    }
    """
    quoted = {name: '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in edges}
    lines = [f"    {quoted[name]};" for name in edges]
    lines += [f"    {quoted[name]} -> {quoted[need]};" for name, needs in edges.items() for need in needs]
    return "\n".join(["digraph tasks {", "    rankdir = RL;", "    node [shape = box];", *lines, "}"])


def render_svg(edges: Edges) -> str:
    """Return a picture: a column for each distance from the tasks that need nothing, what is needed to the left."""
    depth = _depths(edges)
    columns = [[name for name in edges if depth[name] == level] for level in range(max(depth.values(), default=-1) + 1)]
    places: dict[str, tuple[int, int, int]] = {}
    left = _PAD
    for names in columns:
        width = max(map(len, names)) * _CHARACTER + 2 * _PAD
        places.update({name: (left, _PAD + row * _ROW, width) for row, name in enumerate(names)})
        left += width + _GAP
    height = _PAD + max(map(len, columns), default=0) * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(left - _GAP, _PAD) + _PAD}" height="{height}"'
        ' font-family="monospace" font-size="13">'
    ]
    for name, needs in edges.items():
        x, y, _ = places[name]
        for need in needs:
            from_x, from_y, width = places[need]
            start, end, middle = from_x + width, x, (from_x + width + x) / 2
            curve = f"M{start} {from_y + 12} C{middle} {from_y + 12} {middle} {y + 12} {end} {y + 12}"
            parts.append(f'<path d="{curve}" fill="none" stroke="#888"/>')
    for name, (x, y, width) in places.items():
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="24" rx="4" fill="#fff" stroke="#333"/>')
        parts.append(f'<text x="{x + _PAD}" y="{y + 16}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"])


def _depths(edges: Edges) -> dict[str, int]:
    """Return each task's longest way to a task that needs nothing; the graph has no circles, doit sees to that."""
    found: dict[str, int] = {}
    waiting = list(edges)
    while waiting:
        name = waiting[-1]
        open_needs = [need for need in edges[name] if need not in found]
        if open_needs:
            waiting += open_needs
        else:
            found[name] = max((found[need] + 1 for need in edges[name]), default=0)
            waiting.pop()
    return found
