"""Names from anywhere, made fit for a terminal and for JSON. How a message is worded is not this file's business."""

import os


def shown(text: str, keep: str = "") -> str:
    r"""Return a text for people: bytes that are no text, and what a terminal would obey but for `keep`, written out.

    >>> print(shown("a\udcff\nb"))
    a\xff\nb
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _written(c) for c in text)


def quoted(path: str) -> str:
    r"""Return a path as a word of a command for any shell of POSIX, which a terminal shows and does not obey.

    >>> print(quoted("a b"), quoted("a'\x1b\udcff"))
    'a b' "$(printf %b 'a\0047\0033\0377')"
    """
    from shlex import quote

    if path.isprintable():
        return quote(path)
    name = path.rstrip("\n")  # those at its end are no part of what a command writes
    plain = b"/.: -_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    written = (chr(byte) if byte in plain else f"\\0{byte:03o}" for byte in os.fsencode(name))
    return f"\"$(printf %b '{''.join(written)}'){path[len(name) :]}\""


def without_credentials(text: str) -> str:
    """Return a text whose addresses have no user and password.

    >>> without_credentials("see https://me:token@example.org/x")
    'see https://example.org/x'
    >>> without_credentials("https://me:p@ss@example.org/@x")
    'https://example.org/@x'
    """
    first, *rest = text.split("://")
    return "://".join([first, *map(_without_user, rest)])


def _without_user(address: str) -> str:
    end = next((at for at, c in enumerate(address) if c in "/'" or c.isspace()), len(address))
    return address[:end].rpartition("@")[2] + address[end:]


def json_text(document: str) -> str:
    r"""Return a JSON document in which bytes that are no text are written out, so that it can be encoded.

    >>> print(json_text('"a\udcff\u00fc"'))
    "a\\xffü"
    """
    return "".join("\\" + _written(c) if "\ud800" <= c <= "\udfff" else c for c in document)


def _written(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as Python has it in paths (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
