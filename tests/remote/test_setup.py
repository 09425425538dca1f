"""What is missing on a host, read from what it says; `test_setup_cli` installs it."""

from pathlib import Path
from typing import cast

import pytest

from llorch import __version__
from llorch.errors import Refused
from llorch.remote.hosts import Host
from llorch.remote.setup import digest_of, plan_setup
from llorch.remote.there import There


class Says:
    """A host that says what it is told to."""

    def __init__(self, **facts: str) -> None:
        self.facts = facts
        self.host = Host(name="box", host="box", llorch="/r/.venv/bin/llorch")

    def run(self, *_: str) -> bytes:
        """Return the facts."""
        return "".join(f"{name}\0{value}\0" for name, value in self.facts.items()).encode()


INSTALL = f"install llorch {__version__} there"
MAKE = "make `/r/.venv` with Python 3.14.0, `/opt/home brew/python3`"


@pytest.mark.parametrize(
    ("facts", "steps"),
    [
        ({"usable": "yes", "version": f"llorch {__version__}", "installed": "same"}, []),
        ({"usable": "yes", "version": f"llorch {__version__}"}, [f"{INSTALL} in place of {__version__}"]),
        ({"usable": "yes", "installed": "same"}, [INSTALL]),
        ({"python": "3.14.0 /opt/home brew/python3", "unfit": "3.9.2 /usr/bin/python3"}, [MAKE, INSTALL]),
    ],
)
def test_what_is_missing_is_planned(tmp_path: Path, facts: dict[str, str], steps: list[str]) -> None:
    """Only that: an environment that works stays, and so does the very llorch that would be installed."""
    wheel = tmp_path / "llorch.whl"
    wheel.write_bytes(b"wheel")
    if "installed" in facts:
        facts = {**facts, "installed": digest_of(wheel)}
    plan = plan_setup(cast(There, Says(folder="/r", **facts)), wheel)
    assert list(plan.steps) == steps
    assert plan.as_json()["llorch"] == "/r/.venv/bin/llorch"
    assert (plan.python is None) == ("usable" in facts)


@pytest.mark.parametrize("character", ["$", "`", '"', "\\"])
def test_names_that_programs_of_pip_do_not_stand(tmp_path: Path, character: str) -> None:
    """What would not run is not installed."""
    wheel = tmp_path / "llorch.whl"
    wheel.write_bytes(b"wheel")
    with pytest.raises(Refused, match="no program that pip installs runs in `/it's"):
        plan_setup(cast(There, Says(folder=f"/it's {character}x ü", python="3.14.0 /p")), wheel)
