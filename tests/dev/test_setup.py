"""Which models a new clone is to have."""

from llorch.dev.setup import choose_fitting, recommend

SIZES = {"large": 90, "tinyllama": 50, "tiny": 5, "smollm2": 10}


def test_what_tests_need_is_recommended() -> None:
    """Each model of which a step is needed, once, in this order; what is no model's task, or no model, is not."""
    needs = ["build:tiny", "verify:tiny", "models:large", "fetch:tiny", "models:gone", "house:tinyllama"]
    assert recommend(needs, SIZES) == ("tiny", "large")
    assert recommend(["convert:tinyllama", "quantize:tiny"], SIZES) == ("tinyllama", "tiny")
    assert recommend(["build:worker", "models"], SIZES) == tuple(SIZES)


def test_else_a_small_one_is_recommended() -> None:
    """smollm2, else tinyllama, else the smallest that the catalog has."""
    assert recommend(["build:worker"], SIZES) == ("smollm2",)
    assert recommend([], {"tiny": 5, "tinyllama": 50}) == ("tinyllama",)
    assert recommend([], {"large": 90, "tiny": 5}) == ("tiny",)
    assert recommend([], {}) == ()


def test_what_does_not_fit_is_left_out() -> None:
    """The first ones have the room, and a smaller one may still fit behind a larger one that does not."""
    assert choose_fitting(SIZES, 99) == ("large", "tiny")
    assert choose_fitting(SIZES, 155) == tuple(SIZES)
    assert choose_fitting({"there": 0}, 0) == ("there",)
