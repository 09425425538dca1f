"""Names from anywhere, made fit for a terminal and for JSON. How a message is worded is not this file's business."""


def shown(text: str, keep: str = "") -> str:
    r"""Return a text for people: bytes that are no text, and what a terminal would obey but for `keep`, written out.

    >>> print(shown("a\udcff\nb"))
    a\xff\nb
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _written(c) for c in text)


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
