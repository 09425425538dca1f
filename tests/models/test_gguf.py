"""Reading GGUF headers: right files, every way to be wrong, random faults, and the memory that it takes."""

import random
import tracemalloc
from pathlib import Path

import pytest

from llorch.errors import Malformed
from llorch.models.gguf import Gguf, Quantization, Share, Tensor, Tokenizer, load_gguf
from tests.models.gguf_cases import GOOD, HOSTILE, SPARSE, Change, attribute, both, changed, put
from tests.models.gguf_files import F32, I32, TOKENS, U32, WIDTH, array, good_gguf, scalar, spoil, strings

MB = 1 << 20


def load(path: Path, data: bytes, *, size: int | None = None) -> Gguf:
    """Read a file that has this content, and holes up to a size."""
    path.unlink(missing_ok=True)  # ext4 waits for the disk when a file is emptied and written anew
    path.write_bytes(data)
    if size is not None:
        with open(path, "r+b") as file:
            file.truncate(size)
    return load_gguf(path, "a.gguf")


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """All that a header says of the model is there."""
    found = load(tmp_path / "a", good_gguf().render())
    assert (found.version, found.architecture, found.context_length, found.split) == (3, "llama", 64, None)
    assert found.tokenizer == Tokenizer(model="gpt2", pre="smollm", vocabulary=TOKENS)
    assert found.chat_template == "{% for message in messages %}\n{{ message }}{% endfor %}"
    assert found.parameters == WIDTH * (TOKENS + 5 + 5) + WIDTH + 1
    assert found.tensors[0] == Tensor(name="token_embd.weight", shape=(WIDTH, TOKENS), type="Q8_0", offset=0, size=272)
    assert found.tensors[1].offset == 288
    assert found.quantization == Quantization(
        name="Q8_0",
        types=(Share(type="Q8_0", tensors=3, size=272 + 170 + 170), Share(type="F32", tensors=1, size=132)),
    )
    assert found.data_offset % 32 == 0


@pytest.mark.parametrize("change", [change for _, change in GOOD], ids=[name for name, _ in GOOD])
def test_what_may_be_is_taken(tmp_path: Path, change: Change) -> None:
    """Files that are rare, and right, are no error."""
    assert load(tmp_path / "a", changed(change)).version in (2, 3)


def test_the_main_name_of_a_quantization(tmp_path: Path) -> None:
    """It is what the file says, without the mark of a guess; else the type that most bytes are of."""
    for value, name in ((15, "Q4_K_M"), (1024 + 15, "Q4_K_M"), (5, "Q8_0"), (99, "Q8_0")):
        data = changed(put("general.file_type", scalar(U32, value)))
        assert load(tmp_path / "a", data).quantization.name == name
    nothing = changed(both(attribute("tensors", []), lambda file: file.drop("general.file_type")))
    assert load(tmp_path / "a", nothing).quantization == Quantization(name="", types=())


def test_parts_of_a_split_model(tmp_path: Path) -> None:
    """The first part has what the model is and some of its blocks, a later one tensors only."""
    first = both(
        put("split.no", scalar(U32, 0)), put("split.count", scalar(U32, 2)), lambda file: file.tensors.__delitem__(2)
    )
    assert load(tmp_path / "a", changed(first)).split == (0, 2)
    later = both(lambda file: file.keys.clear(), put("split.no", scalar(U32, 1)), put("split.count", scalar(U32, 2)))
    found = load(tmp_path / "a", changed(later))
    assert (found.split, found.architecture, found.tokenizer, len(found.tensors)) == ((1, 2), "", None, 4)


@pytest.mark.parametrize(("change", "reason"), HOSTILE, ids=[f"{n}: {reason}" for n, (_, reason) in enumerate(HOSTILE)])
def test_a_wrong_file_is_refused(tmp_path: Path, change: Change, reason: str) -> None:
    """Each fault has one reason, on one line and without control characters."""
    with pytest.raises(Malformed) as caught:
        load(tmp_path / "a", changed(change))
    assert reason in caught.value.reason
    assert caught.value.message == f"`a.gguf` is malformed: {caught.value.reason}"
    assert caught.value.message.isprintable()


def test_there_are_sixty_cases_and_more() -> None:
    """The table is as long as it is meant to be."""
    assert len(HOSTILE) >= 60


def test_the_memory_is_bounded(tmp_path: Path) -> None:
    """No wrong file takes 100 MB, not even one that claims a lot and is as big as it says."""
    cases: list[tuple[bytes, int | None, str]] = [(changed(change), None, reason) for change, reason in HOSTILE]
    cases += [(changed(change), 1 << 36, reason) for change, reason in SPARSE]
    tracemalloc.start()
    try:
        for data, size, reason in cases:
            with pytest.raises(Malformed) as caught:
                load(tmp_path / "a", data, size=size)
            assert reason in caught.value.reason
        assert tracemalloc.get_traced_memory()[1] < 20 * MB
    finally:
        tracemalloc.stop()


def test_random_faults_end_in_our_error(tmp_path: Path) -> None:
    """Of 10,000 spoiled files each is read or refused, and nothing else happens."""
    chance, data = random.Random(4), good_gguf().render()
    refused = []
    for _ in range(10_000):
        try:
            load(tmp_path / "a", spoil(data, chance))
        except Malformed as error:
            refused.append(error.message)
    assert 5_000 < len(refused) < 10_000
    assert all(map(str.isprintable, refused))


def test_a_big_vocabulary_costs_little(tmp_path: Path) -> None:
    """With 250,000 tokens and as many merges the header takes a few chunks' memory."""
    count = 250_000
    file = good_gguf()
    file.put("tokenizer.ggml.tokens", strings(*(f"token{number}" for number in range(count))))
    file.put("tokenizer.ggml.merges", strings(*(f"to ken{number}" for number in range(count))))
    file.put("tokenizer.ggml.scores", array(F32, bytes(4 * count), count))
    file.put("tokenizer.ggml.token_type", array(I32, bytes(4 * count), count))
    file.tensors.pop(0)
    data = file.render()
    (tmp_path / "a").write_bytes(data)
    tracemalloc.start()
    try:
        found = load_gguf(tmp_path / "a", "a.gguf")
        assert tracemalloc.get_traced_memory()[1] < 10 * MB
    finally:
        tracemalloc.stop()
    assert len(data) > 10 * MB
    assert found.tokenizer is not None
    assert found.tokenizer.vocabulary == count


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in its place, or nothing, is our error too."""
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(Malformed) as caught:
            load_gguf(path, "a.gguf")
        assert caught.value.reason == f"it cannot be read: {why}"


def test_a_real_model(smollm2: Path) -> None:
    """SmolLM2's header says what is known of it."""
    found = load_gguf(smollm2, smollm2.name)
    assert (found.version, found.architecture, found.parameters) == (3, "llama", 134_515_008)
    assert (len(found.tensors), found.context_length) == (272, 8192)
    assert found.tokenizer == Tokenizer(model="gpt2", pre="smollm", vocabulary=49152)
    assert [(share.type, share.tensors) for share in found.quantization.types] == [
        ("Q4_1", 210),
        ("Q8_0", 1),
        ("F32", 61),
    ]
    assert found.quantization.name == "Q4_1"
    last = found.tensors[-1]
    assert found.data_offset + last.offset + last.size == smollm2.stat().st_size
