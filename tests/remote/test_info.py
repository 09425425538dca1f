"""What a host says of itself: asked on a real one, and read from what others said."""

import json
from pathlib import Path

import pytest

from llorch.remote.facts import Facts
from llorch.remote.info import parse_info
from llorch.remote.info_cli import render

CASES = sorted((Path(__file__).parent / "cases/info").glob("*.json"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases(path: Path) -> None:
    """What machines of each kind say is read into the same document and told in words."""
    case = json.loads(path.read_text())
    info = parse_info(Facts([(name, value) for name, value in case["facts"]]))
    assert json.loads(json.dumps(info.as_json())) == case["info"]
    assert list(render(info)) == case["text"]
