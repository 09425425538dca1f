"""What may come next on a command line of llorch, told to a shell that asks at each press of the Tab key.

Neither click nor doit is loaded, no program is run, nothing is fetched. What the commands are is in `spec`; names come
from the workspace's files, by the rules that commands and tasks go by. How a shell shows them is its own business.
"""

from __future__ import annotations

from llorch.dev.names import load_names
from llorch.dev.spec import COMMANDS, COMMON
from llorch.errors import LlorchError
from llorch.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ANY = "*"
"""Stands in `spec` for a name in the place of a command."""
CHOICE = "= "
"""Begins a kind that is a choice of words."""


class Offer(Record):
    """A word that may come next, and what it is."""

    word: str
    about: str = ""


class Line:
    """What the words before the last one mean."""

    def __init__(self, words: Iterable[str]) -> None:
        self.path = ""
        self.name = ""
        """What stands for `ANY`."""
        self.given: list[str] = []
        """Words that are arguments."""
        self.folder: str | None = None
        self.wanted: str | None = None
        """Of which kind the next word is, as the value of an option."""
        self.ended = False
        """Whether no options come any more."""
        rest = iter(words)
        for word in rest:
            if self.ended or word == "-" or not word.startswith("-"):
                self._take(word)
            elif word == "--":
                self.ended = True
            else:
                self._take_option(word, rest)

    @property
    def options(self) -> Mapping[str, tuple[str | None, str]]:
        """The command's options: what the value of each is, None for one without, and its help."""
        every = {**COMMANDS[self.path][2], **COMMON}
        return {name: option for names, option in every.items() for name in names.split()}

    @property
    def below(self) -> list[Offer]:
        """The commands that may come next."""
        if self.given:
            return []  # there is no such command
        prefix = f"{self.path} ".lstrip()
        found = {path.removeprefix(prefix): about for path, (about, *_) in COMMANDS.items() if path.startswith(prefix)}
        return [Offer(name, about) for name, about in found.items() if name and name != ANY and " " not in name]

    @property
    def about(self) -> str:
        """The name that the command is about, if that is written already."""
        return self.name or next(iter(self.given), "")

    def kind(self) -> str:
        """Return what the next word is, if it is no option."""
        arguments = COMMANDS[self.path][1]
        if not arguments:
            return ""
        kind = arguments[min(len(self.given), len(arguments) - 1)]
        return kind.removesuffix("...") if kind.endswith("...") or len(self.given) < len(arguments) else ""

    def _take(self, word: str) -> None:
        path = f"{self.path} {word}".lstrip()
        if path in COMMANDS and word != ANY:
            self.path = path
        elif f"{self.path} {ANY}" in COMMANDS:
            self.path += f" {ANY}"
            self.name = word
        else:
            self.given.append(word)
            self.ended = self.ended or self.kind() == "rest"

    def _take_option(self, word: str, rest: Iterator[str]) -> None:
        name, value = _split(word, self.options)
        kind = self.options.get(name, (None, ""))[0]
        if kind is not None and value is None:
            value = next(rest, None)
            self.wanted = kind if value is None else None
        if name in ("-C", "--directory"):
            self.folder = value


def _split(word: str, options: Mapping[str, tuple[str | None, str]]) -> tuple[str, str | None]:
    """Return an option that a word has, the last of several letters, and its value if that is in the word too."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    for at, letter in enumerate(word[1:], 2):
        if options.get(f"-{letter}", (None, ""))[0] is not None:
            return f"-{letter}", word[at:] or None
    return "-" + word[-1], None


def complete(words: Sequence[str]) -> list[Offer]:
    """Return what the last word may be, of which some may be written already, by those before it.

    Of a file or a folder, which shells find better, there is one offer without a word that says so.
    """
    line, word = Line(words[:-1]), words[-1]
    if line.wanted is not None:
        return _values(line.wanted, line, word)
    if line.ended or not word.startswith("-"):
        return [*line.below, *_values(line.kind(), line, word)]
    name, value = _split(word, line.options)
    kind = line.options.get(name, (None, ""))[0]
    if word.startswith("--") and kind is not None and value is not None:
        return [offer._replace(word=f"{name}={offer.word}") for offer in _values(kind, line, value) if offer.word]
    return [Offer(name, about) for name, (_, about) in line.options.items()]


def _values(kind: str, line: Line, word: str) -> list[Offer]:
    """Return what a word of a kind may be; where files are wrong or cannot be read, nothing that they declare."""
    if kind.startswith(CHOICE):
        return [Offer(choice) for choice in kind.removeprefix(CHOICE).split()]
    if kind in ("file", "folder"):
        return [Offer("", kind)]
    before = word[: word.rfind(",") + 1] if kind == "hosts" else ""
    taken = {*line.given, *before.split(",")}
    try:
        found = load_names(kind, line.folder, line.about)
    except (LlorchError, OSError):
        return []
    return [Offer(before + name, about) for name, about in found.items() if name not in taken and name.isprintable()]
