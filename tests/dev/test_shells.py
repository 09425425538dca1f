"""How each shell is answered."""

import subprocess
from pathlib import Path

import pytest

from llorch.dev.shells import SHELLS, answer, parse_bash, quote_bash, script

WORDS = [
    "plain",
    "it's",
    'say "x"',
    "$HOME `id` \\ !x",
    "größe & more",
    "a#b~*?[]{}()<>|;^",
    "two  blanks\ttab",
    "#",
    "~",
]


def asked(line: str, replaced: str) -> list[str]:
    """Return what bash is answered, a line each."""
    said = answer("bash", [line, replaced])
    assert said is not None
    return said.splitlines()


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_bash_reads_what_was_quoted(word: str, quote: str) -> None:
    """In each way of quoting the shell gets the word back, and so do we."""
    written = quote_bash(word, quote)
    line = f"printf %s x{quote}{written}" + ("" if quote and written.endswith(quote) else quote)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == f"x{word}"
    assert parse_bash(line)[0][-1] == f"x{word}"


@pytest.mark.parametrize(
    ("line", "words", "quote"),
    [
        ("", [""], ""),
        ("a  b ", ["a", "b", ""], ""),
        ("a ''", ["a", ""], ""),
        ("a 'b ", ["a", "b "], "'"),
        ('a "b\\$ \\x', ["a", "b$ \\x"], '"'),
        ("a\\", ["a"], ""),
    ],
)
def test_a_line_is_read_up_to_its_end(line: str, words: list[str], quote: str) -> None:
    """Also one that ends in the middle of a word, of a quote or of an escape."""
    assert parse_bash(line) == (words, quote)


def test_bash_gets_what_readline_replaces(rich: Path) -> None:
    """Readline cuts words at colons and quotes, and replaces only what is behind them."""
    assert asked("llorch models info ti", "ti") == ["tinyllama"]
    assert asked("llorch why models:ti", "ti") == ["tinyllama"]
    assert asked('llorch git submodules reset "libs/it', "libs/it") == ["libs/it's \\$HOME"]
    assert asked("llorch git submodules reset libs/it", "libs/it") == ["libs/it\\'s\\ \\$HOME"]
    assert asked("llorch --remote=m", "m") == ["mac"]
    assert asked("llorch test lint --junit ", "") == ["\tfile"]
    assert asked("llorch", "llorch") != []


def test_zsh_and_fish_get_words_and_what_they_are(rich: Path) -> None:
    """All words of the kind come, since these shells choose themselves."""
    for shell in ("zsh", "fish"):
        assert answer(shell, ["models", "info", "ti"]) == "tinyllama\tTinyLlama\nmade\t\n"
        assert answer(shell, ["-C", ""]) == "\tfolder\n"


@pytest.mark.parametrize(("shell", "words"), [("tcsh", ["x"]), ("bash", ["x"]), ("zsh", []), ("bash", ["a", "b", "c"])])
def test_what_no_script_asks_is_left_to_the_command_line(shell: str, words: list[str]) -> None:
    """Nobody but a person writes such a line, who is to see what is wrong with it."""
    assert answer(shell, words) is None


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_asks_its_own_way(shell: str) -> None:
    """The script names its shell, and how it is put in place."""
    text = script(shell)
    assert f"dev completion {shell} -- " in text
    assert f"llorch dev completion {shell}" in text.splitlines()[1 if shell == "zsh" else 0]
