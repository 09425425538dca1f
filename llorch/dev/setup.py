"""What a new clone is to have: which models, and what there is to ask about. Having it is the tasks' business."""

from collections.abc import Iterable, Mapping

FIRST = ("smollm2", "tinyllama")
"""To try everything with, the first that the catalog has."""
STEPS = ("models", "fetch", "convert", "quantize", "verify")
"""The tasks of a model."""


def recommend(needs: Iterable[str], sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Return the models to begin with: those that test suites need, else one to try everything with.

    Args:
        needs: tasks.
        sizes: the models that there are, by the bytes that they take.

    >>> recommend(["fetch:b", "build:x", "models:b"], {"a": 1, "b": 2})
    ('b',)
    >>> recommend([], {"big": 9, "small": 1}), recommend([], {"big": 9, "tinyllama": 5, "small": 1})
    (('small',), ('tinyllama',))
    """
    wanted: dict[str, None] = {}
    for need in needs:
        step, _, id = need.partition(":")
        if step in STEPS:
            wanted |= dict.fromkeys(other for other in sizes if id in (other, ""))
    first = [id for id in FIRST if id in sizes] or sorted(sizes, key=sizes.__getitem__)
    return tuple(wanted) or tuple(first[:1])


def choose_fitting(sizes: Mapping[str, int], free: int) -> tuple[str, ...]:
    """Return the models that fit on the disk together; those that come first go first.

    >>> choose_fitting({"a": 3, "b": 9, "c": 2}, 6)
    ('a', 'c')
    """
    chosen = []
    for id, size in sizes.items():
        if size <= free:
            free -= size
            chosen.append(id)
    return tuple(chosen)
