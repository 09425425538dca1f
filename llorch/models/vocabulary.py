"""Read a checkpoint's vocabulary: tokens, merges, special tokens, and how text is split before tokens are looked up.

Known are byte-level BPE tokenizers whose way of splitting llama.cpp has too. It is told from the structure of
tokenizer.json, not from a hash of what comes out, so that trained anew or cut down they are known as well. Any other is
refused: a model with a wrong tokenizer loads, and answers nonsense.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llorch.errors import Malformed, Unsupported
from llorch.models.checkpoint import JSON_LIMIT, Files, Source, read_json
from llorch.models.header import STRINGS_LIMIT

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Types of tokens: llama_token_type of llama.cpp's include/llama.h."""

SPECIAL = ("bos", "eos", "unk", "sep", "pad", "mask")

# How cl100k splits text; Qwen2 differs in taking digits one by one.
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
_PATTERNS = {_CL100K: "dbrx", _CL100K.replace("{1,3}", ""): "qwen2"}
_DIGITS = {"type": "Digits", "individual_digits": True}
_HINT = "set `engine = \"llama.cpp\"` in the entry's `convert`: llama.cpp's own converter knows more tokenizers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A byte-level BPE vocabulary, in llama.cpp's words."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    pre: str
    special: Mapping[str, int]
    """Ids by kind: `bos`, `eos`, …"""
    add: Mapping[str, bool]
    """Whether `bos` and `eos` are put around a text."""
    chat_template: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokenizer:
    """What a tokenizer's own files say, before the model's size is known."""

    source: Source
    tokens: Mapping[str, int]
    added: Mapping[str, tuple[int, bool]]
    """Id, and whether it is special."""
    merges: tuple[str, ...]
    pre: str
    around: Mapping[str, str]
    """The tokens that are put around a text, by kind: `bos`, `eos`."""


def load_vocabulary(files: Files, config: Mapping[str, Any], size: int) -> Vocabulary:
    """Read the vocabulary of a checkpoint that has embeddings for `size` tokens.

    Raises:
        Malformed: a file is wrong.
        Unsupported: the tokenizer is none of the known ones, or there is none.
    """
    if "tokenizer.json" in files:
        tokenizer = _read_tokenizer(files["tokenizer.json"])
    elif "vocab.json" in files and "merges.txt" in files and config.get("architectures") == ["GPT2LMHeadModel"]:
        # Others, as Qwen2, have files of these names too, and do not say in them how they split text.
        tokenizer = _read_gpt2(files["vocab.json"], files["merges.txt"])
    else:
        raise Unsupported("there is no `tokenizer.json` among the files", hint="add it to the entry's `files`")
    settings = read_json(files["tokenizer_config.json"]) if "tokenizer_config.json" in files else {}
    if "tokenizer.json" not in files:
        _check_nothing_added(tokenizer, files, settings)
    tokens, types = _fill(tokenizer, size)
    special = _special(tokenizer, settings, config, size)
    add = {kind: settings.get(f"add_{kind}_token", kind in tokenizer.around) is True for kind in ("bos", "eos")}
    return Vocabulary(
        tokens=tokens,
        types=types,
        merges=tokenizer.merges,
        pre=tokenizer.pre,
        special=special,
        add={kind: value and kind in special for kind, value in add.items()},
        chat_template=_chat_template(files, settings),
    )


def _read_tokenizer(source: Source) -> _Tokenizer:
    document = read_json(source)
    model = _object(document.get("model"))
    if model.get("type", "BPE") != "BPE":
        raise _unknown(source, f"its model is {model.get('type')}, not BPE")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            raise _unknown(source, f"its model has `{key}`")
    pre = _pre_tokenizer(source, document, ignore_merges=model.get("ignore_merges") is True)
    normalizer = _object(document.get("normalizer"))
    if normalizer and (pre, normalizer.get("type")) != ("qwen2", "NFC"):
        raise _unknown(source, f"it has the normalizer {normalizer.get('type')}")
    tokens = _ids(source, model.get("vocab"))
    return _Tokenizer(
        source=source,
        tokens=tokens,
        added=_added(source, document.get("added_tokens")),
        merges=_merges(source, tokens, model.get("merges")),
        pre=pre,
        around=_template(source, document.get("post_processor")),
    )


def _read_gpt2(vocabulary: Source, merges: Source) -> _Tokenizer:
    """Read the older form of GPT-2's own tokenizer, which has no settings."""
    tokens = _ids(vocabulary, read_json(vocabulary))
    try:
        with open(merges.place, encoding="utf-8") as file:
            lines = file.read(JSON_LIMIT).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(merges.name, f"it cannot be read: {error}") from None
    pairs = [line for line in lines if line and not line.startswith("#version")]
    end = "<|endoftext|>"
    return _Tokenizer(
        source=vocabulary,
        tokens=tokens,
        added={end: (tokens[end], True)} if end in tokens else {},
        merges=_merges(merges, tokens, pairs),
        pre="gpt-2",
        around={},
    )


def _check_nothing_added(tokenizer: _Tokenizer, files: Files, settings: Mapping[str, Any]) -> None:
    """Refuse tokens beside GPT-2's own: only tokenizer.json tells all that there is to know of them."""
    decoder = _object(settings.get("added_tokens_decoder"))
    added = {_object(token).get("content") for token in decoder.values()}
    if "added_tokens.json" in files:
        added |= read_json(files["added_tokens.json"]).keys()
    if any(text not in tokenizer.tokens for text in added):
        raise Unsupported("there are added tokens, and no `tokenizer.json` among the files", hint="add it to `files`")


def _pre_tokenizer(source: Source, document: Mapping[str, Any], *, ignore_merges: bool) -> str:
    """Return llama.cpp's name for how a tokenizer splits text."""
    found = _object(document.get("pre_tokenizer"))
    steps = found.get("pretokenizers") if found.get("type") == "Sequence" else [found]
    steps = [_object(step) for step in steps] if isinstance(steps, list) else []
    *before, last = steps or [{}]
    name = None
    if _is_bytes(last, use_regex=True) and not ignore_merges:
        if not before:
            name = "gpt-2"
        elif before == [_DIGITS]:
            name = "smollm"
    elif _is_bytes(last, use_regex=False) and len(before) == 1:
        pattern = before[0].get("pattern")
        # These patterns leave nothing between two matches, so that keeping what matches is cutting where it matches.
        for behavior, invert in (("Isolated", False), ("Removed", True)):
            if before[0] == {"type": "Split", "behavior": behavior, "invert": invert, "pattern": pattern}:
                name = _PATTERNS.get(str(_object(pattern).get("Regex")))
        if ignore_merges:
            name = "llama-bpe" if name == "dbrx" else None
    if name is None:
        kinds = ", ".join(str(step.get("type")) for step in steps)
        raise _unknown(source, f"it splits text in a way that is not known here (pre_tokenizer: {kinds})")
    if _object(document.get("decoder")).get("type") != "ByteLevel":
        raise _unknown(source, "its decoder is not ByteLevel")
    return name


def _is_bytes(step: Mapping[str, Any], *, use_regex: bool) -> bool:
    """Tell whether a step takes text as bytes; offsets are of no account here."""
    said = {"use_regex": True, **step, "trim_offsets": True}
    return said == {"type": "ByteLevel", "add_prefix_space": False, "use_regex": use_regex, "trim_offsets": True}


def _ids(source: Source, found: Any) -> dict[str, int]:
    if not isinstance(found, dict) or not found or not all(type(id) is int and id >= 0 for id in found.values()):
        raise Malformed(source.name, "its vocabulary is no object of token ids")
    if len(set(found.values())) < len(found):
        raise Malformed(source.name, "two tokens of its vocabulary have one id")
    return found


def _added(source: Source, found: Any) -> dict[str, tuple[int, bool]]:
    added: dict[str, tuple[int, bool]] = {}
    for each in _list(source, found, "added_tokens"):
        token = _object(each)
        text, id = token.get("content"), token.get("id")
        if not isinstance(text, str) or not text or type(id) is not int or id < 0:
            raise Malformed(source.name, "one of its `added_tokens` has no text or no id")
        # Some that are not marked as special are marks all the same, and llama.cpp's converter takes them as such.
        marked = text.startswith("<|") and text.endswith("|>")
        added[text] = (id, token.get("special") is True or marked or text in ("<pad>", "<mask>"))
    return added


def _merges(source: Source, tokens: Mapping[str, int], found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not found:
        raise Malformed(source.name, "it has no merges")
    merges = []
    for each in found:
        pair = each.split(" ") if isinstance(each, str) else each
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise Malformed(source.name, f"the merge {each!r} is no pair of tokens")
        if any(" " in part or part not in tokens for part in (*pair, "".join(pair))):
            raise Malformed(source.name, f"the merge {each!r} is of tokens that its vocabulary does not have")
        merges.append(" ".join(pair))
    return tuple(merges)


def _template(source: Source, found: Any) -> dict[str, str]:
    """Return which special tokens a tokenizer puts around a text."""
    processor = _object(found)
    steps = processor.get("processors") if processor.get("type") == "Sequence" else [processor]
    around: dict[str, str] = {}
    for step in [_object(step) for step in steps] if isinstance(steps, list) else []:
        if step.get("type") not in (None, "ByteLevel", "TemplateProcessing"):
            raise _unknown(source, f"it has the post-processor {step.get('type')}")
        parts = step.get("single") if step.get("type") == "TemplateProcessing" else None
        names = [_object(_object(part).get("SpecialToken")).get("id") for part in _list(source, parts, "single")]
        if names.count(None) > 1 or len(names) > 3 or (len(names) == 3 and names[1] is not None):
            raise _unknown(source, "its template is more than one token before and one behind the text")
        for kind, name in (("bos", names[0]), ("eos", names[-1])) if len(names) > 1 else ():
            if name is not None:
                around[kind] = str(name)
    return around


def _fill(tokenizer: _Tokenizer, size: int) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return texts and types of all tokens by id, with fillers for the ids that no token has."""
    if size > STRINGS_LIMIT:
        raise Malformed(tokenizer.source.name, f"the model has {size:,} embeddings, more than {STRINGS_LIMIT:,}")
    tokens: dict[int, tuple[str, int]] = {id: (text, NORMAL) for text, id in tokenizer.tokens.items()}
    for text, (id, special) in tokenizer.added.items():
        if tokens.get(id, (text,))[0] != text:
            raise Malformed(tokenizer.source.name, f"the tokens {tokens[id][0]!r} and {text!r} have one id, {id:,}")
        tokens[id] = (text, CONTROL if special else USER_DEFINED)
    if max(tokens) >= size:
        raise Malformed(
            tokenizer.source.name, f"it has the token id {max(tokens):,}, and the model has {size:,} embeddings"
        )
    every = [tokens.get(id, (f"[PAD{id}]", UNUSED)) for id in range(size)]
    texts = tuple(text for text, _ in every)
    if len(set(texts)) < size:  # llama.cpp ends the process then
        twice = Counter(texts).most_common(1)[0][0]
        raise Malformed(tokenizer.source.name, f"two ids have the token {twice!r}")
    return texts, tuple(type for _, type in every)


def _special(
    tokenizer: _Tokenizer, settings: Mapping[str, Any], config: Mapping[str, Any], size: int
) -> dict[str, int]:
    special: dict[str, int] = {}
    for kind in SPECIAL:
        named = settings.get(f"{kind}_token")
        text = named.get("content") if isinstance(named, dict) else named
        id = tokenizer.added[text][0] if isinstance(text, str) and text in tokenizer.added else None
        if id is None:
            id = config.get(f"{kind}_token_id")
        if type(id) is int:
            if not 0 <= id < size:
                raise Malformed(tokenizer.source.name, f"its `{kind}` token would be {id:,}, and there are {size:,}")
            special[kind] = id
    for kind, text in tokenizer.around.items():
        around = tokenizer.added.get(text, (None, True))[0]
        if around is None or special.setdefault(kind, around) != around:
            raise _unknown(tokenizer.source, f"its template has `{text}` where the `{kind}` token belongs")
    return special


def _chat_template(files: Files, settings: Mapping[str, Any]) -> str:
    found = settings.get("chat_template")
    if found is None and "chat_template.jinja" in files:
        source = files["chat_template.jinja"]
        try:
            return source.place.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Malformed(source.name, f"it cannot be read: {error}") from None
    if isinstance(found, list):  # several by name; the one that is used when nothing is said is `default`
        found = next((each.get("template") for each in map(_object, found) if each.get("name") == "default"), None)
    return found if isinstance(found, str) else ""


def _list(source: Source, found: Any, key: str) -> list[Any]:
    if not isinstance(found, list | None):
        raise Malformed(source.name, f"`{key}` is no list")
    return found or []


def _object(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _unknown(source: Source, what: str) -> Unsupported:
    return Unsupported(f"the tokenizer in `{source.name}` is not one that can be converted here: {what}", hint=_HINT)
