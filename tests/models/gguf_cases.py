"""GGUF files with one thing changed: what may be so, and what is wrong, with what is said of it."""

from collections.abc import Callable

from tests.models.gguf_files import (
    ARRAY,
    BOOL,
    F32,
    I32,
    STRING,
    TOKENS,
    U8,
    U32,
    U64,
    WIDTH,
    GgufFile,
    Plan,
    array,
    good_gguf,
    numbers,
    scalar,
    string,
    strings,
    text,
)

Change = Callable[[GgufFile], object]


def changed(change: Change) -> bytes:
    """Return the good file after a change."""
    file = good_gguf()
    change(file)
    return file.render()


def attention(block: int) -> Change:
    """Return the change that gives a block keys to attend to."""
    return lambda file: file.tensors.append(Plan(f"blk.{block}.attn_k.weight", (WIDTH, 4), 8))


def put(key: str, value: bytes) -> Change:
    """Return the change that sets a key."""
    return lambda file: file.put(key, value)


def shape(name: str, *lengths: int, rank: int | None = None) -> Change:
    """Return the change that gives a tensor another shape."""

    def change(file: GgufFile) -> None:
        file.tensor(name).shape = lengths
        file.tensor(name).rank = rank

    return change


def offset(name: str, value: int) -> Change:
    """Return the change that puts a tensor somewhere else."""
    return lambda file: setattr(file.tensor(name), "offset", value)


def attribute(name: str, value: object) -> Change:
    """Return the change that sets something of the file itself."""
    return lambda file: setattr(file, name, value)


def both(*changes: Change) -> Change:
    """Return all these changes as one."""
    return lambda file: [change(file) for change in changes]


EMBEDDING, NORM, UP = "token_embd.weight", "output_norm.weight", "blk.1.ffn_up.weight"
TOKENIZER = "tokenizer.ggml."
GIGABYTE = (1 << 30).to_bytes(8, "little")


def nested(depth: int) -> bytes:
    """Return arrays in each other."""
    inner = numbers(U8, 1)
    for _ in range(depth):
        inner = array(ARRAY, inner[4:], 1)
    return inner


def spare(key: str) -> Change:
    """Return the change that leaves a key out."""
    return lambda file: file.drop(key)


def tail(file: GgufFile) -> None:
    """Leave the padding behind the last tensor out."""
    file.end = len(file.render()) - 28


GOOD: list[tuple[str, Change]] = [
    ("version 2", attribute("version", 2)),
    ("no padding at the end", tail),
    ("padding at the end", attribute("tail", bytes(3))),
    ("no tensors", both(attribute("tensors", []), lambda file: file.drop("general.file_type"))),
    ("another alignment", both(attribute("alignment", 64), put("general.alignment", scalar(U32, 64)))),
    ("no tokenizer", lambda file: file.drop(f"{TOKENIZER}model", f"{TOKENIZER}tokens")),
    (
        "a tokenizer without tokens that says so",
        both(put(f"{TOKENIZER}model", string("no_vocab")), lambda file: file.drop(f"{TOKENIZER}tokens")),
    ),
    ("no scores", lambda file: file.drop(f"{TOKENIZER}scores", f"{TOKENIZER}pre")),
    (
        "no merges where none are needed",
        both(put(f"{TOKENIZER}model", string("llama")), lambda file: file.drop(f"{TOKENIZER}merges")),
    ),
    ("no block count", lambda file: file.drop("llama.block_count")),
    ("heads said of each block", put("llama.attention.head_count_kv", numbers(U32, 0, 1))),
    ("heads said of fewer blocks", both(attention(1), put("llama.attention.head_count_kv", numbers(U32, 1)))),
    ("no width", lambda file: file.drop("llama.embedding_length")),
    ("no embedding", lambda file: file.tensors.pop(0)),
    ("a width of its own for the embedding", put("llama.features_length", scalar(U32, 64))),
    ("a list of tensors in another order", lambda file: file.tensors.reverse()),
    ("empty blocks", both(put("llama.block_count", scalar(U32, 3)), put("llama.feed_forward_length", numbers(U32, 1)))),
    (
        "blocks for further tokens left out",
        both(put("llama.block_count", scalar(U32, 3)), put("llama.nextn_predict_layers", scalar(U32, 1))),
    ),
    ("a guessed file type", put("general.file_type", scalar(U32, 1024 + 7))),
    ("an unknown file type", put("general.file_type", scalar(U32, 5))),
    ("an importance matrix", both(lambda file: file.keys.clear(), put("general.type", string("imatrix")))),
    ("one part of one", put("split.count", scalar(U32, 1))),
    ("arrays in arrays", put("x", nested(3))),
    ("four dimensions", shape(NORM, 1, 1, 1, WIDTH + 1)),
]
HOSTILE: list[tuple[Change, str]] = [
    # the beginning
    (attribute("end", 0), "ends within its first bytes"),
    (attribute("end", 3), "ends within its first bytes"),
    (attribute("end", 7), "ends within its first bytes"),
    (attribute("end", 20), "ends within its counts"),
    (attribute("magic", b"GGML"), "begins with b'GGML'"),
    (attribute("magic", b"\x1b[2J"), r"begins with b'\x1b[2J'"),
    (attribute("version", 0), "version is 0"),
    (attribute("version", 1), "version is 1"),
    (attribute("version", 4), "version is 4"),
    (attribute("version", 3 << 24), "is big-endian"),
    (attribute("counts", (1 << 63, 1)), "tensors, more than fit in the file"),
    (attribute("counts", ((1 << 64) - 1, 1)), "tensors, more than fit in the file"),
    (attribute("counts", (4, 1 << 40)), "keys, more than fit in the file"),
    (attribute("counts", (4, 30)), "ends within key 21"),
    (attribute("counts", (5, 19)), "tensor 5 is called ''"),
    (lambda file: setattr(file, "end", len(file.header()) - 3), "ends within the description of tensor `output_norm"),
    (attribute("end", 500), "ends within `tokenizer.ggml."),
    # keys
    (lambda file: file.keys.append(file.keys[0]), "two keys `general.architecture`"),
    (put("", scalar(U8, 1)), "is called ''"),
    (put("a\x1b[2Jb", scalar(U8, 1)), r"is called 'a\x1b[2Jb'"),
    (put("x" * 300, scalar(U8, 1)), "has 300 bytes, more than 256"),
    (lambda file: file.keys.append((b"\xff\xfe", scalar(U8, 1))), "is not UTF-8"),
    (put("x", scalar(BOOL, 2)), "neither true nor false"),
    (put("x", b"\x0d\0\0\0"), "unknown type 13"),
    (put("x", b"\xff\xff\xff\xff"), "unknown type 4294967295"),
    (put("x", b"\x08\0\0\0" + b"\xff" * 8), "ends within `x`"),
    (put("general.type", b"\x08\0\0\0" + b"\xff" * 8), "ends within `general.type`"),
    (put("x", array(U64, b"", 1 << 61)), "ends within `x`"),
    (put("x", array(U64, b"", (1 << 64) - 1)), "ends within `x`"),
    (put("x", array(STRING, b"", 1 << 60)), "ends within `x`"),
    (put("x", array(STRING, text("y") + b"\xff" * 8, 2)), "ends within `x`"),
    (put("x", array(STRING, b"\xff" * 8, 1)), "ends within `x`"),
    (put("x", array(ARRAY, b"", 1 << 60)), "ends within `x`"),
    (put("x", array(77, b"", 1)), "array of the unknown type 77"),
    (put("x", nested(4)), "arrays more than 4 deep"),
    (put("x", nested(1000)), "arrays more than 4 deep"),
    (put("tokenizer.chat_template", string("x" * ((1 << 20) + 1))), "has 1,048,577 bytes, more than 1,048,576"),
    (put("tokenizer.chat_template", string(b"\xff")), "is not UTF-8"),
    # alignment
    (put("general.alignment", scalar(U32, 0)), "must be a power of two"),
    (put("general.alignment", scalar(U32, 48)), "must be a power of two"),
    (put("general.alignment", scalar(U32, 1 << 31)), "must be a power of two"),
    (put("general.alignment", string("32")), "`general.alignment` is no count"),
    (put("general.alignment", scalar(I32, -32)), "`general.alignment` is no count"),
    (put("general.alignment", scalar(F32, 32.0)), "`general.alignment` is no count"),
    # tensors
    (lambda file: file.tensors.append(Plan(NORM, (1,))), "two tensors `output_norm.weight`"),
    (lambda file: file.tensors.append(Plan(b"\x1b]0;x", (1,))), "is called"),
    (shape(NORM, rank=0), "has 0 dimensions"),
    (shape(NORM, 1, 1, 1, 1, 1), "has 5 dimensions"),
    (shape(NORM, 1, rank=1 << 31), "has 2,147,483,648 dimensions"),
    (shape(NORM, 0), "impossible shape, 0"),
    (shape(NORM, 1 << 62, 1 << 62), "impossible shape"),
    (shape(NORM, (1 << 64) - 1, 1, 1, 1), "impossible shape"),
    (shape(NORM, 1 << 32, 1 << 32), "impossible shape"),
    (shape(NORM, 1 << 40), "the file ends"),
    (shape(EMBEDDING, WIDTH + 1, TOKENS), "rows of 33, and Q8_0 needs a multiple of 32"),
    (lambda file: setattr(file.tensor(NORM), "type", 4), "unknown type 4"),
    (lambda file: setattr(file.tensor(NORM), "type", 1 << 31), "unknown type 2147483648"),
    (offset(NORM, 33), "no multiple of 32"),
    (offset(NORM, 1 << 40), "the file ends"),
    (offset(NORM, (1 << 64) - 32), "the file ends"),
    (offset(NORM, 0), "overlap"),
    (offset(UP, 288), "`blk.0.ffn_up.weight` and `blk.1.ffn_up.weight` overlap"),
    (offset(EMBEDDING, 32), "32 bytes before tensor `token_embd.weight` belong to nothing"),
    (offset(UP, 544), "86 bytes before tensor `blk.1.ffn_up.weight` belong to nothing"),
    (attribute("tail", bytes(64)), "bytes at the end belong to nothing"),
    (both(attribute("tensors", []), attribute("tail", bytes(32))), "32 bytes at the end belong to nothing"),
    (lambda file: setattr(file, "end", len(file.render()) - 29), "the file ends 1 bytes before the end of tensor"),
    # the model
    (spare("general.architecture"), "no `general.architecture`"),
    (put("general.architecture", string("")), "no `general.architecture`"),
    (put("general.architecture", scalar(U32, 1)), "`general.architecture` is no text"),
    (put("general.architecture", string("a\nb")), "`general.architecture` is no name"),
    (put("general.architecture", string("a" * 300)), "`general.architecture` is no name"),
    (put("tokenizer.chat_template", strings("x")), "`tokenizer.chat_template` is no text"),
    (put("llama.context_length", string("64")), "`llama.context_length` is no count"),
    (put("llama.context_length", scalar(BOOL, 1)), "`llama.context_length` is no count"),
    (put("llama.block_count", scalar(U32, 1 << 31)), "more than 512"),
    (put("llama.block_count", scalar(I32, -1)), "`llama.block_count` is no count"),
    (put("llama.block_count", scalar(U32, 1)), "there are tensors of block 1"),
    (put("llama.block_count", scalar(U32, 3)), "there are no tensors of block 2"),
    (
        both(attention(1), put("llama.attention.head_count_kv", numbers(U32, 4, 0))),
        "says that block 1 has no attention, and there is tensor `blk.1.attn_k.weight`",
    ),
    (put("llama.embedding_length", scalar(U32, 64)), "has rows of 32, not of 64"),
    (shape(EMBEDDING, WIDTH, TOKENS + 1), "has 9 rows, and there are 8 tokens"),
    (shape(EMBEDDING, WIDTH), "has 1 rows, and there are 8 tokens"),
    (put("general.file_type", scalar(F32, 1.0)), "`general.file_type` is no count"),
    (both(put("split.no", scalar(U32, 2)), put("split.count", scalar(U32, 2))), "part 3 of 2"),
    # the tokenizer
    (spare(f"{TOKENIZER}tokens"), "`gpt2` has no tokens"),
    (put(f"{TOKENIZER}tokens", strings()), "has no tokens"),
    (put(f"{TOKENIZER}tokens", numbers(U8, 1)), "tokens` is of the wrong type"),
    (put(f"{TOKENIZER}tokens", scalar(U8, 1)), "tokens` is of the wrong type"),
    (spare(f"{TOKENIZER}model"), "no `tokenizer.ggml.model`"),
    (put(f"{TOKENIZER}scores", numbers(F32, 1.0)), "8 tokens, and 1 in `tokenizer.ggml.scores`"),
    (put(f"{TOKENIZER}scores", numbers(U32, 1)), "scores` is of the wrong type"),
    (put(f"{TOKENIZER}token_type", numbers(I32, *range(9))), "8 tokens, and 9 in `tokenizer.ggml.token_type`"),
    (put(f"{TOKENIZER}token_type", numbers(F32, 1.0)), "token_type` is of the wrong type"),
    (spare(f"{TOKENIZER}merges"), "has no merges"),
    (put(f"{TOKENIZER}merges", strings()), "has no merges"),
    (put(f"{TOKENIZER}merges", string("a b")), "merges` is of the wrong type"),
    (put(f"{TOKENIZER}bos_token_id", scalar(U32, TOKENS)), "bos_token_id` is 8, and there are 8 tokens"),
    (put(f"{TOKENIZER}fim_pre_token_id", scalar(U32, 1 << 31)), "fim_pre_token_id` is 2,147,483,648"),
    (put(f"{TOKENIZER}eos_token_id", string("1")), "eos_token_id` is no count"),
]
SPARSE: list[tuple[Change, str]] = [
    (attribute("counts", (1 << 30, 19)), "it has 1,073,741,824 tensors, more than 100,000"),
    (attribute("counts", (4, 1 << 30)), "it has 1,073,741,824 keys, more than 65,536"),
    (put("x", array(STRING, b"", 1 << 24)), "more than 4,194,304 strings"),
    (put("x", array(ARRAY, b"", 1 << 24)), "more than 4,194,304 strings"),
    (put("x", array(U64, b"", 1 << 30)), "the header has more than 256 MiB"),
    (put("x", array(STRING, GIGABYTE, 1)), "the header has more than 256 MiB"),
    (put("x", array(STRING, GIGABYTE, 1 << 20)), "the header has more than 256 MiB"),
    (put("general.architecture", b"\x08\0\0\0" + GIGABYTE), "the header has more than 256 MiB"),
]
