"""How a task is shared where its inputs and its definition are all there is to it."""

import pytest

from llorch.progress import Silent
from llorch.share import Maker, Share
from llorch.state import Recipe, Target


def test_inputs_and_definition_say_it_all() -> None:
    """What would make it, and what has, is the definition; nothing is left out, looked around for or noted."""
    recipe = Recipe("convert:m", (Target("m.gguf"),), ("source",), {"version": 1})
    share = Share(recipe)
    assert share.here() == share.made({"definition": {"version": 1}}) == Maker({"definition": {"version": 1}}, {})
    assert share.here() != share.made({"definition": {"version": 2}})
    record = {"definition": {}, "inputs": {"source": "digest"}}
    assert share.vouched(record) == share.around() == share.sources() == share.folders() == set()
    assert (share.bound(record), share.begin({"source"}), share.values(share.here(), ())) == ((), {}, {})
    assert share.watched({"source"}) == {"source"}
    share.take(Silent())


@pytest.mark.parametrize(("settings", "said"), [(None, {"version": 1}), ({"to": "m.gguf"}, {"to": "m.gguf"})])
def test_settings_are_the_definition_unless_told(settings: dict[str, str] | None, said: dict[str, object]) -> None:
    """What the user's files say may be another thing than what it comes to on this machine."""
    share = Share(Recipe("convert:m", definition={"version": 1}), settings=settings)
    assert (share.settings, share.anywhere) == (said, False)
