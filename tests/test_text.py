"""Names that are no text, and such as a terminal would obey."""

import json
import os
import subprocess

import pytest

from llorch.text import json_text, quoted, shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain ü", "plain ü"),
        ("\x1b[2J\r", r"\x1b[2J\r"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("a\nb\tc", "a\nb\\tc"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_people_see(text: str, told: str) -> None:
    """What can be printed stays, and anything else is spelled."""
    assert shown(text, keep="\n") == told


def test_what_programs_read() -> None:
    """A document is UTF-8 whatever the names in it are, and what is text is as it was."""
    names = ["ü\n\x1b", os.fsdecode(b"caf\xe9"), "\ud800"]
    document = json_text(json.dumps(names, ensure_ascii=False)).encode()
    assert json.loads(document) == ["ü\n\x1b", r"caf\xe9", r"\ud800"]


@pytest.mark.parametrize(
    "path", ["plain", "it's", "-n\t", "ü\x07", "\n", "$x`y`\\0\x1b[31m\n\n", os.fsdecode(b"caf\xe9%s\\n")]
)
def test_a_word_of_a_command(path: str) -> None:
    """A shell takes any path as it is, and what is printed is text."""
    word = quoted(path)
    assert word.replace("\n", "").isprintable()
    done = subprocess.run(["sh", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == os.fsencode(path)
