"""What people call a model of the Hub: `REPO[:FILE]`, or the address of one of its pages. The Hub is not asked here."""

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from llorch.models.catalog import check_repo
from llorch.text import shown, without_credentials

HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
"""The Hub's own; HF_ENDPOINT may name another."""
_OTHERS = {"datasets": "a dataset", "spaces": "a space", "collections": "a collection", "papers": "a paper"}
# https://huggingface.co/OWNER/NAME/blob/REVISION/FILE and its like; below a tree is a folder.
_AT_A_REVISION = ("tree", "blob", "resolve", "raw", "commit")


@dataclass(frozen=True, slots=True)
class Named:
    """A repository, and the file, the revision and the folder that were named with it, empty if none was."""

    repo: str
    file: str = ""
    revision: str = ""
    folder: str = ""


def parse_named(text: str) -> Named:
    """Return what a text names.

    Raises:
        ValueError: with what is wrong.

    >>> parse_named("org/m:a.gguf")
    Named(repo='org/m', file='a.gguf', revision='', folder='')
    >>> parse_named("https://huggingface.co/org/m/blob/main/a.gguf?download=true")
    Named(repo='org/m', file='a.gguf', revision='main', folder='')
    """
    host, _, _ = text.partition("/")
    if "://" in text or host.lower() in HOSTS:
        found = _of_address(text if "://" in text else f"https://{text}")
    else:
        repo, _, file = text.partition(":")
        found = Named(repo, file)
    complaint = check_repo(found.repo)
    if complaint is not None:
        raise ValueError(complaint)
    return found


def _of_address(address: str) -> Named:
    named = shown(without_credentials(address.partition("?")[0]))
    endpoint = os.environ.get("HF_ENDPOINT", "")
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and (
            parts.hostname in HOSTS or (endpoint and parts.netloc == urlsplit(endpoint).netloc)
        )
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"`{named}` is not an address of the Hub; a file from elsewhere is declared with `https:`")
    owner, *rest = [unquote(part) for part in parts.path.strip("/").split("/")]
    if owner in _OTHERS and rest:
        raise ValueError(f"`{named}` is {_OTHERS[owner]}, and no model")
    if len(rest) > 1 and rest[0] in _AT_A_REVISION:  # the oldest models have no owner
        repo = owner
    else:
        repo, rest = "/".join([owner, *rest[:1]]), rest[1:]
    kind, revision, *below = [*rest, "", ""][: max(2, len(rest))]
    if kind not in _AT_A_REVISION:
        return Named(repo)
    path = "" if kind == "commit" else "/".join(below)
    return Named(repo, revision=revision, folder=path) if kind == "tree" else Named(repo, path, revision)
