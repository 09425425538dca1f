"""Reading TOML into dataclasses, and where the mistakes are said to be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Literal

import pytest

from llorch.toml import LOCATED, Document, decode, load
from llorch.typed import Key


def _check_even(value: int) -> str | None:
    return None if value % 2 == 0 else f"must be even, and is {value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of several."""

    name: str
    count: int = field(default=0, metadata={"check": _check_even})


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One field of each kind."""

    text: str = ""
    number: int | None = None
    flag: bool = False
    choice: Literal["a", "b"] = "a"
    words: tuple[str, ...] = ()
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    named: Mapping[str, Part] = field(default_factory=dict)


def read(text: str) -> tuple[Whole, list[str]]:
    """Return what a document is read as, and its problems."""
    document = Document("f.toml", dedent(text).lstrip("\n"))
    value = document.read(Whole)
    return value, [str(problem) for problem in document.problems]


def test_every_kind_is_read() -> None:
    """Right values of every kind become the dataclass, tuples and dataclasses inside."""
    value, problems = read("""
        version = 1
        text = "two\\nlines\\tand a tab, ünïcödé 🦙"
        number = 3
        flag = true
        choice = "b"
        words = ["x", "y"]
        parts = [{ name = "p", count = 2 }]
        [part]
        name = "q"
        [named.one]
        name = "r"
    """)
    assert problems == []
    assert value == Whole(
        text="two\nlines\tand a tab, ünïcödé 🦙",
        number=3,
        flag=True,
        choice="b",
        words=("x", "y"),
        part=Part(name="q"),
        parts=(Part(name="p", count=2),),
        named={"one": Part(name="r")},
    )


def test_an_empty_document_is_all_defaults() -> None:
    """Nothing is required where everything has a default."""
    assert read("") == (Whole(), [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version = 2", "f.toml:1: version: is the integer 2; this llorch reads version 1 (update llorch)"),
        ("version = true", "f.toml:1: version: is true; this llorch reads version 1 (write `version = 1`)"),
        ('version = "1"', "f.toml:1: version: is the string '1'; this llorch reads version 1 (write `version = 1`)"),
        ("text = 1", "f.toml:1: text: must be a string, not the integer 1"),
        ("text = 1.5", "f.toml:1: text: must be a string, not the number 1.5"),
        ("text = false", "f.toml:1: text: must be a string, not false"),
        ("text = []", "f.toml:1: text: must be a string, not an array"),
        ("text = {}", "f.toml:1: text: must be a string, not a table"),
        ("text = 2020-01-02", "f.toml:1: text: must be a string, not a date or time"),
        ("number = true", "f.toml:1: number: must be an integer, not true"),
        ('number = "1"', "f.toml:1: number: must be an integer, not the string '1'"),
        ("flag = 1", "f.toml:1: flag: must be true or false, not the integer 1"),
        ('choice = "c"', "f.toml:1: choice: must be one of 'a', 'b', not the string 'c'"),
        ('words = "x"', "f.toml:1: words: must be an array, not the string 'x'"),
        ("words = [\n'x',\n1]", "f.toml:3: words[1]: must be a string, not the integer 1"),
        ('text = """\nx\\u0000\n"""', "f.toml:3: text: has control characters"),
        ("part = 1", "f.toml:1: part: must be a table, not the integer 1"),
        ("part = { count = 2 }", "f.toml:1: part: `name` is missing"),
        ("\n[part]\nname = 'x'\ncount = 1", "f.toml:3: part.count: must be even, and is 1"),
        ("named = 1", "f.toml:1: named: must be a table, not the integer 1"),
        ("named.x = 1", "f.toml:1: named.x: must be a table, not the integer 1"),
        ("tekst = ''", "f.toml:1: tekst: unknown key (did you mean `text`?)"),
        (
            "zzz = 1",
            "f.toml:1: zzz: unknown key (known keys: text, number, flag, choice, words, part, parts, named)",
        ),
    ],
)
def test_wrong_values_are_named(text: str, problem: str) -> None:
    """A value of the wrong kind is said with its place, and with what it is."""
    assert read(text)[1] == [problem]


@pytest.mark.parametrize(
    ("text", "value", "left_out"),
    [
        ("text = 1\nnumber = 3", Whole(number=3), {("text",)}),
        ("words = ['a', 1]\nflag = true", Whole(flag=True), {("words",)}),
        ("zzz = 1\nflag = true", Whole(flag=True), {("zzz",)}),
        ("[named.a]\nname = 'x'\nz = 1", Whole(named={"a": Part(name="x")}), {("named", "a", "z")}),
        ("parts = [{ z = 1 }, { name = 1 }]", Whole(), {("parts",), ("parts", 0), ("parts", 1)}),
        ("named.a = { name = 1, z = 1 }", Whole(), {("named", "a"), ("named", "a", "z")}),
        ("version = 2\nflag = true", Whole(flag=True), set()),
        ("part = { name = 'x', count = 1 }", Whole(part=Part(name="x")), {("part", "count")}),
        ("flag = true\npart = { name = 1 }", Whole(flag=True), {("part", "name"), ("part",)}),
        ("part = { count = 1 }\nparts = [{ name = 'a' }, {}]", Whole(), {("part",), ("part", "count"), ("parts",)}),
        (
            "[named.a]\nname = 'x'\n[named.b]\nname = 'y'\ncount = 1\n[named.c]",
            Whole(named={"a": Part(name="x")}),
            {("named", "b"), ("named", "c")},
        ),
        ("flag = true\n[named.a]\nname = = 'x'", Whole(flag=True), {("named", "a")}),
        ("[named.a]\nname = 'x'\nname = 'y'", Whole(named={"a": Part(name="x")}), set()),
        ("flag = true\n[named\n", Whole(), {()}),
    ],
)
def test_what_is_right_is_read_all_the_same(text: str, value: Whole, left_out: set[Key]) -> None:
    """A mistake takes its value or table out, which is told; the rest is there, and can be read again as it is."""
    document = Document("f.toml", text)
    assert (document.read(Whole), document.left_out) == (value, left_out)
    assert document.problems
    again = Document("again", "")
    again.data = document.data
    assert (again.read(Whole), again.problems) == (value, [])


@pytest.mark.parametrize("escape", ["\\u001b[31m", "\\u0000", "\\u009b", "\\u202e", "\\u200b", "\\r"])
def test_control_characters_are_refused(escape: str) -> None:
    """A string that could move the cursor, or hide what it is, is refused without being repeated."""
    assert read(f'text = "{escape}"')[1] == ["f.toml:1: text: has control characters"]


def test_messages_write_out_control_characters() -> None:
    """A key with control characters does not reach the terminal as it is."""
    assert read('"\\u001b[31m\\nx" = 1')[1][0].startswith(r'f.toml:1: "\x1b[31m\nx": unknown key')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"number = {2**63}", "f.toml:1: number: is too large"),
        (f"text = 0x{'f' * 5000}", "f.toml:1: text: must be a string, not a huge integer"),
        (f"version = 0x{'f' * 5000}", "f.toml:1: version: is a huge integer; this llorch reads version 1"),
        ("number = " + "9" * 5000, "f.toml: is not TOML that can be read: Exceeds the limit"),
        ("words = " + "[" * 5000, "f.toml: is not TOML that can be read: TOML inline arrays/tables are nested"),
        ("a." * 5000 + "a = 1", "f.toml: is not TOML that can be read: TOML key has more"),
    ],
)
def test_monsters_are_problems_like_others(text: str, problem: str) -> None:
    """What Python or the parser refuses to handle is a problem of the file, not a crash."""
    problems = read(text)[1]
    assert (len(problems), problems[0][: len(problem)]) == (1, problem)


@pytest.mark.parametrize(
    ("text", "problems", "kept"),
    [
        ("a = = 1", ["f.toml:1: is not valid TOML: invalid value"], {}),
        ("[a]\nx = 1\n\n[b]\n# why\ny = = 1\n[c]\nz = 1", ["f.toml:6: b: is not valid TOML: invalid value"], "ac"),
        ("[a]\nx = 1\n[b]\ny = 1\n[ a ] # again\nz = 2\n[c]\nz = 1", ["f.toml:5: a: is declared twice"], "abc"),
        ("[a]\nx = 1\nx = 2\n[b]", ["f.toml:3: a.x: is set twice"], "ab"),
        ("x = 1\n[a]\nx = 1\nb.c = [\n1]\nb.c = [\n2\n]\ny = 2", ["f.toml:6: a.b.c: is set twice"], "ax"),
        ("a = 1\n[b]\n[a.x]\n[c]", ["f.toml:3: a.x: is declared twice"], "abc"),
        ("[a]\nx = { p = 1, p = 2 }\n[b]", ["f.toml:2: a: sets `p` twice"], "b"),
        ("[a]\nx = [\n1,\n[b]\ny = 1\n[c]", ["f.toml:3: a: is not valid TOML: an array is not closed"], "bc"),
        ("[a]\nx = 1\n[b]\ny = [1,", ["f.toml:4: b: is not valid TOML: invalid value"], "a"),
        ("[a\nx = 1\n[b]", ["f.toml:1: is not valid TOML: expected ']' at the end of a table declaration"], "b"),
        ("[a]\r\nx = 1\r\n[b]\r\ny = = 1\r\n", ["f.toml:4: b: is not valid TOML: invalid value"], "a"),
        ("[a]\nx = '\u2028\x85' # \u2029\n[b]\ny = = 1", ["f.toml:4: b: is not valid TOML: invalid value"], "a"),
        (
            "a = = 1\n[b]\ny = = 1\n[c]\n[d]\nz = = 1",
            [
                "f.toml:1: is not valid TOML: invalid value",
                "f.toml:3: b: is not valid TOML: invalid value",
                "f.toml:6: d: is not valid TOML: invalid value",
            ],
            "c",
        ),
    ],
)
def test_a_syntax_error_costs_one_table(text: str, problems: list[str], kept: str) -> None:
    """A table that is no TOML is reported with its line and left out; the others are read."""
    document = Document("f.toml", text)
    assert [str(problem) for problem in document.problems] == problems
    assert sorted(document.data) == sorted(kept)


NESTED = """\
version = 1
[m.a]  # 2
text = "x"
files = [
  # a comment
  { path = "one", size = 1 },
  { path = "two" }, { path = "three" },
]
[m.a.sub]  # 9
to = "x"
[[m.a.list]]
path = "one"
[[m.a.list]]
path = "two"

[m."b.c"]  # 16
text = \"\"\"
[not.a.header
\"\"\"
wide = [
  { x = 1,
    y = 2 },
]
table = {
  z = 1,
}
end = 1
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("version",), 1),
        (("m",), 2),
        (("m", "a"), 2),
        (("m", "a", "text"), 3),
        (("m", "a", "files"), 4),
        (("m", "a", "files", 0), 6),
        (("m", "a", "files", 0, "size"), 6),
        (("m", "a", "files", 2, "path"), 7),
        (("m", "a", "files", 2, "sha256"), 7),
        (("m", "a", "sub", "to"), 10),
        (("m", "a", "list", 0, "path"), 12),
        (("m", "a", "list", 1, "path"), 14),
        (("m", "a", "nothing", "at", "all"), 2),
        (("m", "b.c"), 16),
        (("m", "b.c", "text"), 19),
        (("m", "b.c", "wide"), 20),
        (("m", "b.c", "wide", 0, "x"), 21),
        (("m", "b.c", "wide", 0, "y"), 22),
        (("m", "b.c", "table", "z"), 25),
        (("m", "b.c", "end"), 27),
        (("nothing",), None),
        (("version", "x"), 1),
        ((), None),
    ],
)
def test_lines_are_where_the_value_is(key: Key, line: int | None, newline: str) -> None:
    """The line of a key is the one that sets it, else its nearest parent's."""
    assert Document("f.toml", NESTED.replace("\n", newline)).line_of(key) == line


def test_load_reads_a_file(tmp_path: Path) -> None:
    """A file's text is parsed, and messages call it by the given name."""
    (tmp_path / "x.toml").write_text("a = 1\n[b]\nc = 'é'\n", encoding="utf-8")
    document = load(tmp_path / "x.toml", "the file")
    assert (document.name, document.data, document.problems) == ("the file", {"a": 1, "b": {"c": "é"}}, [])


def test_load_says_where_it_is_not_utf8(tmp_path: Path) -> None:
    """A file in another encoding is one problem, at the first wrong line."""
    (tmp_path / "x.toml").write_bytes("a = 1\nb = 'é'\nc = 'é'\n".encode("latin-1"))
    document = load(tmp_path / "x.toml", "x.toml")
    assert [str(problem) for problem in document.problems] == ["x.toml:2: is not UTF-8 text (save the file as UTF-8)"]
    assert document.data == {}


def test_load_says_what_is_in_the_way(tmp_path: Path) -> None:
    """What is there and cannot be read is one problem; here a folder."""
    document = load(tmp_path, "x.toml")
    assert [str(problem) for problem in document.problems] == ["x.toml: cannot be read: Is a directory"]
    assert (document.data, document.left_out) == ({}, {()})


def test_load_leaves_a_missing_file_to_the_caller(tmp_path: Path) -> None:
    """What a missing file means, the caller knows."""
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "x.toml", "x.toml")


def test_a_link_to_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    """What another disk or a folder of settings is to hold is missed, rather than taken for what nobody wrote."""
    (tmp_path / "x.toml").symlink_to("shared/x\n.toml")
    document = load(tmp_path / "x.toml", "x.toml")
    said = "x.toml: is a link to `shared/x\\n.toml`, which is not there"
    assert [str(problem) for problem in document.problems] == [said]
    assert (document.data, document.left_out) == ({}, {()})


def test_hundreds_of_mistakes_are_located_in_reasonable_time() -> None:
    """Each of the first mistakes has its line; of what nobody mends at once the line is not looked for."""
    text = "items = [\n" + "".join(f"  {number}.5,\n" for number in range(LOCATED + 50)) + "]\n"
    document = Document("x.toml", text)
    for number in reversed(range(LOCATED + 50)):
        document.complain(("items", number), "is wrong")
    expected = [number + 2 for number in reversed(range(50, LOCATED + 50))] + [None] * 50
    assert [problem.line for problem in document.problems] == expected


def test_a_byte_order_mark_is_no_mistake() -> None:
    """Editors of other systems put one before the text."""
    document = decode(b"\xef\xbb\xbfx = 1\n", "x.toml")
    assert (document.data, document.problems) == ({"x": 1}, [])
