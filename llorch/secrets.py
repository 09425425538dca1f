"""Take secrets out of what outlives a run, such as logs and reports. What comes out is for people, not to be used."""

from __future__ import annotations

import os

from llorch.text import without_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

HIDDEN = "***"
SHORTEST = 6
"""Characters of a variable's value that is looked for everywhere: shorter ones are in too many other words."""

_VARIABLES = ("TOKEN", "KEY", "SECRET", "PASS", "CREDENTIAL", "_PWD")
_MARKS = ("token", "pass", "secret", "key", "credential", "authorization", "cookie", "sig")
_SHAPES = (
    "hf_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "eyJ",
)
"""What tokens begin with: the Hub's, GitHub's, GitLab's, OpenAI's, Slack's, AWS's, and JSON Web Tokens."""
_patterns: list[re.Pattern[str]] = []


class Hider:
    """Takes secrets out of texts, those of the environment wherever they are, others where something says it is one."""

    __slots__ = ("_values",)

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Learn the values of the variables that are named as secrets are."""
        named = [value for name, value in environ.items() if any(word in name.upper() for word in _VARIABLES)]
        lines = {line.strip() for value in named for line in value.splitlines()}
        self._values = sorted((line for line in lines if len(line) >= SHORTEST), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return a text with `***` for each secret, and addresses without user and password.

        >>> Hider({"HF_TOKEN": "abcdefgh"}).hide("get --password 'x y' https://me:pw@host/abcdefgh")
        'get --password *** https://host/***'
        """
        for value in self._values:
            if value in text:
                text = text.replace(value, HIDDEN)
        if "://" in text:
            text = without_credentials(text)
        lower = text.lower()
        if any(mark in lower for mark in _MARKS) or any(shape in text for shape in _SHAPES):
            for pattern in _compiled():
                text = pattern.sub(rf"\1{HIDDEN}", text)
        return text


def _compiled() -> list[re.Pattern[str]]:
    """Return what finds secrets by what is before them, which is a group and stays, or by their own beginning."""
    if not _patterns:
        import re  # compiling takes 2 ms, and few runs have anything like this

        named = r"(?:token|passw(?:or)?d|passphrase|secret|(?:api|access|secret|private)[-_]?key|credentials?)"
        headers = r"((?:authorization|cookie)[\"']?\s*[:=]\s*[\"']?)[^\"'\n]+"
        options = rf"(--?(?:\w[\w-]*[-_])?{named}(?:=|\s+))(?:'[^']*'|\"[^\"]*\"|[^\s\"'])+"
        values = rf"(\b(?:[\w-]*[-_])?(?:{named}|signature|sig)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]{{8,}}"
        tokens = rf"()\b(?:{'|'.join(_SHAPES)})[\w.-]{{16,}}"
        for pattern, flags in ((headers, re.I), (options, re.I), (values, re.I), (tokens, 0)):
            _patterns.append(re.compile(pattern, flags))
    return _patterns
