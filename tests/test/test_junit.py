"""JUnit XML: what is in it, and that any XML reader takes it."""

from xml.etree import ElementTree

from llorch.test.junit import render_junit
from llorch.test.results import Case, Failure, Result


def test_suites_cases_and_what_failed() -> None:
    """Counts, each test with its binary, what a failing one wrote, and no character that XML does not have."""
    result = Result(
        name="unit",
        passed=1,
        failed=1,
        ignored=1,
        seconds=1.5,
        failures=(Failure("bad<1>", "first & last\n\x1b[31mred\x00"),),
        cases=(Case("src/lib.rs", "good", "passed"), Case("", "bad<1>", "failed"), Case("b", "later", "ignored")),
    )
    (suite,) = ElementTree.fromstring(render_junit([result]))
    expected = {"name": "unit", "tests": "3", "failures": "1", "skipped": "1", "errors": "0", "time": "1.500"}
    assert suite.attrib == expected
    good, bad, later = suite
    assert (good.attrib, len(good)) == ({"name": "good", "classname": "src/lib.rs"}, 0)
    assert (bad.attrib["classname"], bad[0].tag, bad[0].attrib["message"]) == ("unit", "failure", "first & last")
    assert bad[0].text == "first & last\n\ufffd[31mred\ufffd"
    assert later[0].tag == "skipped"
