"""Settings and tensors of a checkpoint, taken one by one."""

from pathlib import Path
from typing import Any

import pytest

from llorch.errors import Malformed, Unsupported
from llorch.models.checkpoint import CONFIG, Checkpoint, Source, Stored
from llorch.models.reader import Config, Tensors

FILE = Source(Path("w"), "weights")


def checkpoint(config: dict[str, Any] | None = None, **tensors: tuple[int, ...]) -> Checkpoint:
    """Return a checkpoint with these settings, and tensors of these shapes."""
    stored = {
        name: Stored(file=FILE, shape=shape, dtype="F32", offset=0, size=0)
        for name, shape in {name.replace("_", "."): shape for name, shape in tensors.items()}.items()
    }
    return Checkpoint(files={CONFIG: Source(Path(CONFIG), CONFIG)}, config=config or {}, tensors=stored)


def test_settings_are_what_they_have_to_be() -> None:
    """Each is found under the first of its names, and what is not there has the default if there is one."""
    config = Config(checkpoint({"second": 7, "rate": 1, "off": False, "act": "gelu", "none": None}))
    assert config.count("first", "second") == 7
    assert config.count("none", default=4) == 4
    assert config.number("rate") == 1.0
    assert (config.flag("off", True), config.flag("none", True)) == (False, True)
    for key in ("act", "none", "missing"):
        config.must(key, "silu", "gelu")


@pytest.mark.parametrize("value", [0, -1, "2", True, 2.0, 1 << 31, None])
def test_a_count_is_a_whole_number_above_0(value: Any) -> None:
    """What is none, or too many for any model, is refused with what is there."""
    with pytest.raises(Malformed) as caught:
        Config(checkpoint({"n": value})).count("n")
    assert caught.value.message.endswith(f"`n` is to be a number above 0, and is {value!r}")


@pytest.mark.parametrize("value", [0, -1, "1e-5", True, float("nan"), float("inf"), 1e-60, 1e60, 10**400, None])
def test_a_number_is_one_that_a_gguf_file_can_have(value: Any) -> None:
    """It is above 0, and neither 0 nor infinite as an F32."""
    with pytest.raises(Malformed, match="`n` is to be a number above 0, and is "):
        Config(checkpoint({"n": value})).number("n")


@pytest.mark.parametrize("value", ["yes", 0, []])
def test_a_flag_is_true_or_false(value: Any) -> None:
    """Nothing else is taken for either."""
    with pytest.raises(Malformed) as caught:
        Config(checkpoint({"tied": value})).flag("tied", True)
    assert caught.value.message.endswith(f"`tied` is to be true or false, and is {value!r}")


def test_what_is_not_known_to_be_the_same_is_refused() -> None:
    """The error has the setting, cut if it is long, and llama.cpp's converter as a way out."""
    with pytest.raises(Unsupported) as caught:
        Config(checkpoint({"act": "x" * 1000})).must("act", "silu")
    assert f"`config.json` has `act` = '{'x' * 60}'…" in caught.value.message
    assert 'engine = "llama.cpp"' in str(caught.value.hint)


def test_a_tensor_is_taken_once() -> None:
    """What is not there, or no more, is refused, and so is another shape, each with what is needed."""
    tensors = Tensors(checkpoint(a=(2, 3), b=()))
    assert "a" in tensors
    assert tensors.take("a", 2, 3).shape == (2, 3)
    assert "a" not in tensors
    with pytest.raises(Malformed, match="the model needs a tensor `a`, and the weights have none"):
        tensors.take("a", 2, 3)
    with pytest.raises(Malformed, match=r"tensor `b` is one number, and by `config.json` it is 4 x 5"):
        tensors.take("b", 4, 5)


def test_what_was_not_taken_is_refused() -> None:
    """It would be another model without it, unless it is said to be no part of any."""
    tensors = Tensors(checkpoint(h_0_mask=(1,), h_x_mask=(1,)))
    tensors.drop(r"h\.\d+\.mask")
    with pytest.raises(Unsupported, match=r"`weights` has a tensor `h\.x\.mask`, which is not known here"):
        tensors.finish()
    tensors.drop(r"h\.x\.mask")
    tensors.finish()


def test_a_prefix_is_left_out() -> None:
    """Tensors with it and without it are called alike; two of one name are refused."""
    tensors = Tensors(checkpoint(t_a=(1,), b=(2,)))
    tensors.shorten("t.")
    assert (tensors.take("a", 1).shape, tensors.take("b", 2).shape) == ((1,), (2,))
    with pytest.raises(Malformed, match=r"there is a tensor `t\.a` and a tensor `a`"):
        Tensors(checkpoint(t_a=(1,), a=(1,))).shorten("t.")
