"""The tables of types: each is possible, and none is there twice."""

from llorch.models.ggml import FILE_TYPES, GUESSED, NEED_MATRIX, TYPES, check_quantize_type


def test_types_are_possible() -> None:
    """A block has a power of two of elements, between one bit and eight bytes each; what is not quantized has one."""
    assert len({name for name, _, _ in TYPES.values()}) == len(TYPES)
    for name, elements, size in TYPES.values():
        assert elements.bit_count() == 1
        assert 1 <= 8 * size / elements <= 64
        assert (elements == 1) == (name in {"F64", "F32", "F16", "BF16", "I8", "I16", "I32", "I64"})


def test_file_types_are_of_known_types() -> None:
    """What a file calls its quantization is a type, or one with the mix behind it."""
    known = {name for name, _, _ in TYPES.values()}
    mixes = {"IQ3_XS", "IQ3_M", "IQ2_M", "MXFP4_MOE"}
    for name in set(FILE_TYPES.values()) - mixes:
        assert name in known or name.rsplit("_", 1)[0] in known
    assert max(FILE_TYPES) < GUESSED


def test_types_to_quantize_to() -> None:
    """A file type that needs no importance matrix will do; of others it is said what is wrong with them."""
    right = {name for name in FILE_TYPES.values() if check_quantize_type(name) is None}
    assert right == {*FILE_TYPES.values()} - {*NEED_MATRIX}
    assert check_quantize_type("IQ1_S") == (
        "`IQ1_S` needs an importance matrix, which llorch does not make; the smallest without one is `Q2_K`"
    )
    assert check_quantize_type("q4_k_m") == "`q4_k_m` is not a type; did you mean `Q4_K_M`?"
