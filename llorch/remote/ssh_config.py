"""Read ssh's configuration where there is no ssh program to ask.

Only what surely means here what it means to ssh is read: `Host`, `Match all`, `Include` and plain values. Whatever
else would decide how a host is reached is refused with its place, never ignored. What the values mean is `route`'s
business. paramiko's own reader takes another way than ssh for about half of such files, without saying so.
"""

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from llorch.errors import ConfigError, Problem
from llorch.remote.tokens import expand, expand_home, expand_path, home, local_user, tokens_of

Settings = Mapping[str, tuple[str, ...]]
"""Values by lower-case keyword as `ssh -G` prints them, several where it prints several lines."""

SYSTEM = Path("/etc/ssh/ssh_config")
MAX_DEPTH = 16
"""Files that include each other, as ssh has it."""

_LINE = re.compile(r"[ \t]*(?P<keyword>[A-Za-z]\w*)(?:[ \t]*=[ \t]*|[ \t]+)(?P<value>.*)", re.ASCII)
_WORD = re.compile(r"""[ \t]*(?:\#.*|((?:"[^"]*"|'[^']*'|[^ \t"'])+))""")
_YES_NO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
_CHOICES = {
    "identitiesonly": _YES_NO,
    "hashknownhosts": _YES_NO,
    "proxyusefdpass": _YES_NO,
    "canonicalizehostname": {"no": "no", "false": "no"},  # anything else asks the DNS
    "stricthostkeychecking": {
        **_YES_NO, "off": "no", "ask": "ask", "accept-new": "accept-new",
    },
}  # fmt: skip
_NUMBERS = {"port": range(1, 65536), "serveraliveinterval": range(2**31), "connecttimeout": range(2**31)}
_LISTS = ("userknownhostsfile", "globalknownhostsfile")
_REPEATED = ("identityfile", "certificatefile")
_RAW = ("proxycommand", "proxyjump")
_SINGLE = ("hostname", "user", "hostkeyalias", "identityagent", *_REPEATED, *_NUMBERS, *_CHOICES)
_HINT = "install the ssh program, which is asked then; or name host, user, port and jump in hosts.toml"


class _Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int
    keyword: str

    def refuse(self, message: str) -> NoReturn:
        raise ConfigError([Problem(self.file, self.line, self.keyword, message)], hint=_HINT)


def read_ssh_config(name: str, file: Path | None, given: Settings) -> Settings:
    """Return what ssh's configuration says of a host.

    Args:
        name: the host as it is called on the command line, without user.
        file: read instead of the user's and the system's.
        given: what the command line says, which comes first.

    Raises:
        ConfigError: the configuration cannot be read, or needs ssh itself to be understood.
    """
    user = Path(home()) / ".ssh"
    reader = _Reader(name, given)
    for path, base in [(file, user)] if file else [(user / "config", user), (SYSTEM, SYSTEM.parent)]:
        reader.read(path, base)
    found = reader.settings
    hostname = expand(found["hostname"][0], {"%": "%", "h": name}) if "hostname" in found else name
    found["hostname"] = (hostname.lower(),)
    found.setdefault("port", ("22",))
    found.setdefault("user", (local_user(),))
    found.setdefault("userknownhostsfile", ("~/.ssh/known_hosts", "~/.ssh/known_hosts2"))
    found.setdefault("globalknownhostsfile", tuple(str(SYSTEM.parent / f"ssh_known_hosts{end}") for end in ("", "2")))
    if "hostkeyalias" in found:
        found["hostkeyalias"] = (found["hostkeyalias"][0].lower(),)
    tokens = tokens_of(
        name,
        hostname=hostname.lower(),
        port=int(found["port"][0]),
        user=found["user"][0],
        alias=found.get("hostkeyalias", (None,))[0],
    )
    for key in found.keys() & {"userknownhostsfile", "identityagent"}:
        found[key] = tuple(expand_path(value, tokens) for value in found[key])
    return found


class _Reader:
    """What has been read for a host so far: of each keyword the first value counts."""

    def __init__(self, name: str, given: Settings) -> None:
        self._name = name
        self.settings: dict[str, tuple[str, ...]] = dict(given)

    def read(self, path: Path, base: Path, depth: int = 0) -> None:
        """Read a file; relative names of others are in `base`."""
        active = True
        for place, value in _lines(path):
            if place.keyword == "host":
                active = self._is_meant(_words(place, value))
            elif place.keyword == "match":
                if [word.lower() for word in _words(place, value)] != ["all"]:
                    place.refuse("cannot be decided without ssh")
                active = True
            elif active and place.keyword == "include":
                if depth == MAX_DEPTH:
                    place.refuse("files include each other")
                for word in _words(place, value):
                    for found in _included(place, word, base):
                        self.read(Path(found), base, depth + 1)
            elif active:
                self._take(place, value)

    def _is_meant(self, patterns: list[str]) -> bool:
        found = [pattern for pattern in patterns if _fits(pattern.removeprefix("!"), self._name)]
        return bool(found) and not any(pattern.startswith("!") for pattern in found)

    def _take(self, place: _Place, value: str) -> None:
        key = place.keyword
        if key in _RAW:
            # The first of the two counts, except that a command may follow `ProxyJump none`.
            if "proxycommand" not in self.settings and not self.settings.get("proxyjump"):
                self._keep(key, _raw(place, value))
        elif key in _LISTS:
            self._keep(key, tuple(_words(place, value)))
        elif key in _SINGLE:
            words = _words(place, value)
            if len(words) != 1:
                place.refuse("must have one value")
            if (key, words[0].lower()) != ("connecttimeout", "none"):  # what comes later counts all the same
                self._keep(key, (_checked(place, words[0]),))

    def _keep(self, key: str, values: tuple[str, ...]) -> None:
        if key in _REPEATED:
            values = tuple(dict.fromkeys((*self.settings.get(key, ()), *values)))
        elif key in self.settings:
            return
        self.settings[key] = values


def _lines(path: Path) -> Iterator[tuple[_Place, str]]:
    """Yield each line's place, with its keyword in lower case, and what follows that."""
    name = str(path)
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise ConfigError([Problem(name, None, "", f"cannot be read: {error.strerror}")]) from None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip(" \t\r\f")
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or not match["value"]:
            _Place(name, number, "").refuse("is not a keyword with a value")
        yield _Place(name, number, match["keyword"].lower()), match["value"]


def _words(place: _Place, value: str) -> list[str]:
    """Split as ssh does since 8.7: quotes are taken off, and a word that begins with `#` begins a comment."""
    if "\\" in value:
        place.refuse("has a backslash, which versions of ssh read differently")
    found, at = [], 0
    while at < len(value):
        match = _WORD.match(value, at)
        if match is None:
            place.refuse("has a quote that is not closed")
        if match[1] is None:
            break
        found.append(re.sub(r""""([^"]*)"|'([^']*)'""", r"\1\2", match[1]))
        at = match.end()
    if not found or "" in found:
        place.refuse("has an empty value")
    if len(found) > 1 and place.keyword in _LISTS and "none" in map(str.lower, found):
        place.refuse("has more than `none`")
    return found


def _raw(place: _Place, value: str) -> tuple[str, ...]:
    """Return the rest of a line, nothing where it is `none`."""
    value = value.lstrip(" \t=")  # ssh does so here, however many there are
    if place.keyword == "proxyjump":
        value, comment, _ = value.partition("#")
        value = value.rstrip(" \t")
        if "://" in value or re.search(r"""["'\s]""", value):
            place.refuse("is not a list of `user@host:port`")
        if value.lower() == "none" and comment:
            place.refuse("has a comment, with which ssh 9.2 takes `none` for a host")
    return () if value.lower() == "none" else (value,)


def _checked(place: _Place, word: str) -> str:
    """Return a value as `ssh -G` prints it."""
    if place.keyword == "identityagent" and "%%" in word:
        place.refuse("has `%%`, which ssh puts in twice")
    if place.keyword in _CHOICES:
        if word.lower() not in _CHOICES[place.keyword]:
            place.refuse(f"`{word}` cannot be followed without ssh")
        return _CHOICES[place.keyword][word.lower()]
    if place.keyword in _NUMBERS:
        if not (word.isascii() and word.isdigit() and int(word) in _NUMBERS[place.keyword]):
            place.refuse(f"`{word}` is not a plain number, or not a possible one")
        return str(int(word))
    return word


def _included(place: _Place, word: str, base: Path) -> list[str]:
    if "$" in word or "%" in word:
        place.refuse(f"`{word}` has a variable")
    return sorted(glob.glob(str(base / expand_home(word))))


def _fits(pattern: str, name: str) -> bool:
    """Tell whether a name is as a pattern of ssh says, in which only `*` and `?` are special.

    >>> _fits("b?x-*", "box-1"), _fits("[ab]", "a")
    (True, False)
    """
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name, re.DOTALL) is not None
