"""`llorch test …`, in this process."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from huggingface_hub import constants

from tests.conftest import write_catalog
from tests.rust import needs_cargo
from tests.test.conftest import Llorch


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("pgae",), 3, "there is no test suite `pgae`; did you mean `page`?"),
        (("page", "--backend", "cpu"), 3, "there is no backend `cpu`"),
        (("unit",), 3, "there is nothing to test as `unit` in this workspace"),
        ((), 2, "missing argument `SUITE`"),
    ],
)
def test_wrong_names(workspace: Path, llorch: Llorch, arguments: tuple[str, ...], code: int, said: str) -> None:
    """What is not declared is told with what may be meant."""
    Path("llorch.toml").write_text('[test.page]\ncommand = ["true"]\n')
    done = llorch("test", *arguments)
    assert (done.code, said in done.err) == (code, True), done.err


def test_a_backend_is_no_suite_and_no_filter(workspace: Path, llorch: Llorch) -> None:
    """As the scripts had it, `unit cpu` would run the tests with `cpu` in their names: none, and all is well."""
    Path("Cargo.toml").write_text("[workspace]\n")
    done = llorch("test", "cpu")
    assert (done.code, done.err.splitlines()[-1]) == (3, "hint: `llorch test all --backend cpu` tests it")
    done = llorch("test", "unit", "cpu", "--json")
    assert (done.code, done.json["error"]["message"]) == (2, "`cpu` is a backend: give it as `--backend cpu`")
    assert llorch("test", "unit", "--", "cpu").code == 3  # a filter; and there is no such package


def test_nothing_to_test(workspace: Path, llorch: Llorch) -> None:
    """Without any suite there is none to run, not even all."""
    done = llorch("test", "all", "--json")
    assert (done.code, done.json["error"]["code"]) == (3, "not-in-workspace")


@needs_cargo
def test_all_suites_with_what_they_need(tested: Path, llorch: Llorch, tmp_path: Path) -> None:
    """One command downloads, verifies and tests; the summary has each suite, the document and the XML the same."""
    write_catalog(tested, {"tiny": {"a.gguf": b"data"}})
    done = llorch("test", "all")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.err.splitlines()]
    for said in ("test:unit done 2 passed, 1 ignored", "test:smoke done 1 passed", "test:page done 1 passed"):
        assert any(line[:-2] == said.split() for line in lines), said
    report = tmp_path / "new/report.xml"
    document = llorch("test", "all", "--json", "--junit", str(report)).json
    assert document["ok"] is True
    keys = ("name", "passed", "failed", "ignored", "error")
    suites = [tuple(each[key] for key in keys) for each in document["suites"]]
    assert suites == [("unit", 2, 0, 1, None), ("smoke", 1, 0, 0, None), ("page", 1, 0, 0, None)]
    found = ElementTree.parse(report).getroot()
    assert [(suite.get("name"), len(suite)) for suite in found] == [("unit", 3), ("smoke", 1), ("page", 1)]


@needs_cargo
def test_a_failure_does_not_stop_the_others(tested: Path, llorch: Llorch) -> None:
    """The exit code is 1, the document has what failed and why, and a suite whose model is missing has that error."""
    write_catalog(tested, {"tiny": {"a.gguf": b"data"}})
    (tested / "sources/tiny/a.gguf").write_bytes(b"tada")
    done = llorch("test", "all", "--json", env={"PAGE": "7", "WANTED": "cuda"})
    unit, smoke, page = done.json["suites"]
    assert (done.json["ok"], unit["failed"], unit["failures"][0]["test"]) == (False, 1, "tests::is_of_the_backend")
    assert (smoke["failed"], smoke["error"]["code"]) == (0, "integrity")
    assert page["failures"] == [{"test": "page", "message": "`sh` exited with 7:\na page"}]
    assert "error" not in done.json


@needs_cargo
def test_a_backend_and_filters(tested: Path, llorch: Llorch) -> None:
    """The backend's features are compiled in, and what is after `--` reaches the test program."""
    write_catalog(tested, {"tiny": {"a.gguf": b"data"}})
    done = llorch("test", "unit", "--backend", "cuda", "--json", "--", "backend", env={"WANTED": "cuda"})
    assert (done.code, done.json["suites"][0]["passed"], done.json["suites"][0]["ignored"]) == (0, 1, 0)
    done = llorch("test", "all", "--backend", "cuda", "--json", env={"WANTED": "cuda"})  # one has no backends
    assert (done.code, [each["passed"] for each in done.json["suites"]]) == (0, [2, 1, 1])


@needs_cargo
def test_filters_that_leave_nothing(tested: Path, llorch: Llorch) -> None:
    """No test having run is no failure, as of cargo, but it is said."""
    write_catalog(tested, {"tiny": {"a.gguf": b"data"}})
    done = llorch("test", "unit", "--", "no such", "--nocapture")
    said = "warning: no test was run: `'no such' --nocapture` leaves none\n"
    assert (done.code, done.err.endswith(said)) == (0, True), done.err
    assert "no test was run" not in llorch("test", "unit", "--", "adds").err


def test_verbose_shows_all_that_is_written(tested: Path, llorch: Llorch) -> None:
    """Else nothing of a suite that passes is shown."""
    write_catalog(tested, {"tiny": {"a.gguf": b"data"}})
    assert "a page" not in llorch("test", "page").err
    assert "\na page\n" in "\n" + llorch("test", "page", "-v").err


def test_a_report_that_cannot_be_written(tested: Path, llorch: Llorch) -> None:
    """It is an error of its own, after the tests."""
    write_catalog(tested, {"tiny": {"a.gguf": b"data"}})
    done = llorch("test", "page", "--junit", str(tested))
    assert (done.code, "cannot be written: Is a directory" in done.err) == (1, True)


def test_a_suite_that_cannot_run(workspace: Path, llorch: Llorch) -> None:
    """Its error is in the document, and its code is the command's."""
    Path("llorch.toml").write_text('[test.page]\ncommand = ["no-such"]\n')
    done = llorch("test", "page", "--json", "--junit", "report.xml")
    (page,) = done.json["suites"]
    (suite,) = ElementTree.parse("report.xml").getroot()
    assert (suite.get("failures"), suite[0][0].get("message")) == ("1", "`no-such` is not installed, or not in PATH")
    assert (done.code, done.json["ok"], page["passed"], page["error"]["code"]) == (4, False, 0, "tool-missing")


@pytest.mark.parametrize("words", [("test", "page"), ("list",), ("why", "test:page")])
def test_a_need_that_is_no_task(
    workspace: Path, llorch: Llorch, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Whoever loads the tasks says where the name stands that is none; `dev check` says what may be meant."""
    Path("llorch.toml").write_text('[test.page]\ncommand = ["true"]\nneeds = [\n  "models",\n  "modles:x",\n]\n')
    done = llorch(*words)
    said = "error: llorch.toml:5: test.page.needs[1]: there is no task `modles:x` (`llorch dev check` says all)"
    assert (done.code, done.err[: len(said)]) == (3, said)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = llorch("dev", "check").out
    assert "llorch.toml:5: error: test.page.needs[1]: there is no task `modles:x`\n    hint: did you mean" in found
