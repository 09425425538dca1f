"""What scripts on hosts tell."""

import subprocess

import pytest

from llorch.remote.facts import PUT, TRY, parse_facts


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_values_are_any_text(shell: str) -> None:
    """Lines, quotes and percent signs are kept; a program that fails, or is not there, tells nothing."""
    script = (
        PUT + TRY + " put text 'a\n%s \"ü\\0'; try fails false; try gone ./gone; try echo echo -n; put text b; printf x"
    )
    done = subprocess.run([shell, "-c", script], capture_output=True, check=True)
    facts = parse_facts(done.stdout)
    assert facts.all("text") == ['a\n%s "ü\\0', "b"]
    assert (facts["text"], facts["fails"], facts["gone"], facts["x"]) == ("b", "", "", "")
    assert done.stderr == b""
