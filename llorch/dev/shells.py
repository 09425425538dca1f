r"""Answer a shell that asks what may come next, in the way that its script in `completion.SHELL` takes.

bash gives the line as it was typed, and takes what is to stand in the place of the word that readline cut out of it.
zsh and fish give words, and take words, each with a tab and what it is; they choose and quote themselves.
"""

from __future__ import annotations

import os

from llorch.dev.complete import complete
from llorch.text import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SHELLS = ("bash", "zsh", "fish")
_PLAIN = "_./:@%+,=-"
"""What needs no backslash in bash wherever it stands in a word, besides letters and digits."""


def script(shell: str) -> str:
    """Return what sets completion up in a shell."""
    with open(os.path.join(os.path.dirname(__file__), f"completion.{shell}"), encoding="utf-8") as file:
        return file.read()


def answer(shell: str, words: Sequence[str]) -> str | None:
    """Return the lines that tell a shell what may come next; a tab and `file` or `folder` has it complete those.

    None is for what its script would not ask.

    Args:
        words: those after `llorch`, the last one maybe not whole; for bash the line up to the cursor, and the part of
            its last word that readline will replace.
    """
    if shell not in SHELLS or not words or (shell == "bash" and len(words) != 2):
        return None
    if shell == "bash":
        return _bash(*words)
    return "".join(f"{offer.word}\t{shown(offer.about)}\n" for offer in complete(words))


def _bash(line: str, replaced: str) -> str:
    words, quote = parse_bash(line)
    words = words[1:] or [""]
    found = []
    for offer in complete(words):
        if not offer.word:
            found.append(f"\t{offer.about}\n")
        elif offer.word.startswith(words[-1]):
            found.append(f"{replaced}{quote_bash(offer.word[len(words[-1]) :], quote)}\n")
    return "".join(found)


def parse_bash(line: str) -> tuple[list[str], str]:
    r"""Return a line's words, the last one empty after a blank, and the quote that it leaves open, or nothing.

    >>> parse_bash("a 'b c'\\ d  \"e f")
    (['a', 'b c d', 'e f'], '"')
    """
    words, quote, begun = [""], "", False
    rest = iter(line)
    for character in rest:
        if character == "\\" and quote != "'":
            escaped = next(rest, "")
            keeps = quote and escaped not in '$`"\\'
            words[-1] += "\\" + escaped if keeps else escaped
        elif character == quote or (not quote and character in "'\""):
            quote = "" if quote else character
        elif quote or character not in " \t\n":
            words[-1] += character
        else:
            if begun:
                words.append("")
            begun = False
            continue
        begun = True
    return words, quote


def quote_bash(text: str, quote: str) -> str:
    r"""Return how the rest of a word is written, inside a quote that is open or outside of any.

    >>> print(quote_bash("it's $5", ""), quote_bash("it's $5", "'"), quote_bash("it's $5", '"'))
    it\'s\ \$5 it'\''s $5 it's \$5
    """
    if quote:
        if quote == "'":
            written = text.replace("'", r"'\''")
        else:  # a backslash before what recalls bash's history would stay
            written = "".join("\\" + c if c in '$`"\\' else '"\\!"' if c == "!" else c for c in text)
        # readline closes the quote unless the last character looks as if it did
        return written + quote if written.endswith(quote) else written
    return "".join(c if c.isalnum() or not c.isascii() or c in _PLAIN else "\\" + c for c in text)
