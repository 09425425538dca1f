"""JUnit XML, as CI services read it (https://github.com/testmoapp/junitxml)."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from llorch.test.results import Result

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot have, not even escaped (https://www.w3.org/TR/xml/#charsets)."""


def render_junit(results: Sequence[Result]) -> str:
    """Return the document of these suites."""
    root = ElementTree.Element("testsuites")
    for result in results:
        counts = {"tests": result.passed + result.failed + result.ignored, "failures": result.failed}
        counts |= {"skipped": result.ignored, "errors": 0}
        attributes = {key: str(value) for key, value in counts.items()}
        attributes |= {"name": result.name, "time": f"{result.seconds:.3f}"}
        suite = ElementTree.SubElement(root, "testsuite", attributes)
        messages = dict(result.failures)
        for case in result.cases:
            place = _clean(case.binary or result.name)
            element = ElementTree.SubElement(suite, "testcase", name=_clean(case.name), classname=place)
            if case.outcome == "failed":
                message = _clean(messages.get(case.name, ""))
                first = next(iter(message.splitlines()), "failed")
                ElementTree.SubElement(element, "failure", message=first).text = message
            elif case.outcome == "ignored":
                ElementTree.SubElement(element, "skipped")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
