"""Reading what libtest writes."""

from llorch.test.results import Case, Failure, Reader, Result

SAID = """\
   Compiling a v0.1.0 (/w)
     Running unittests src/lib.rs (target/debug/deps/a-0123)

running 4 tests
test tests::good ... ok
test tests::bad ... FAILED
test tests::later ... ignored, not yet
test tests::panics - should panic ... ok

failures:

---- tests::bad stdout ----

thread 'tests::bad' panicked at src/lib.rs:9:9:
test tests::fake ... ok
failures in here are text


failures:
    tests::bad

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

error: test failed, to rerun pass `--lib`
     Running tests/crash.rs (target/debug/deps/crash-0123)

running 1 test
going down
error: test failed, to rerun pass `--test crash`

Caused by:
  process didn't exit successfully: `crash` (signal: 6, SIGABRT: process abort signal)
   Doc-tests a

running 1 test
test src/lib.rs - f (line 1) ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
"""


def read(text: str) -> Result:
    """Read all lines of a run."""
    reader = Reader()
    for line in text.splitlines():
        reader(line)
    return reader.finish("unit", 1.0)


def test_a_run_is_read() -> None:
    """Counts are added up over the binaries; a failing test has what it wrote; one that aborts its binary counts."""
    result = read(SAID)
    crash = "tests/crash.rs (ended before its tests did)"
    assert (result.passed, result.failed, result.ignored) == (3, 2, 1)
    assert result.cases == (
        Case("src/lib.rs", "tests::good", "passed"),
        Case("src/lib.rs", "tests::bad", "failed"),
        Case("src/lib.rs", "tests::later", "ignored"),
        Case("src/lib.rs", "tests::panics", "passed"),
        Case("tests/crash.rs", crash, "failed"),
        Case("doc-tests a", "src/lib.rs - f (line 1)", "passed"),
    )
    bad, crashed = result.failures
    text = "thread 'tests::bad' panicked at src/lib.rs:9:9:\ntest tests::fake ... ok\nfailures in here are text"
    assert bad == Failure("tests::bad", text)
    assert crashed.test == crash
    assert crashed.message.startswith("running 1 test\ngoing down\n")
    assert crashed.message.endswith("(signal: 6, SIGABRT: process abort signal)")
    assert result.summary == "3 passed, 2 failed, 1 ignored"


def test_the_last_binary_may_abort() -> None:
    """One that ends without a result at the very end counts too."""
    result = read("     Running tests/a.rs (x)\nrunning 1 test\n")
    assert (result.failed, result.failures[0].test) == (1, "tests/a.rs (ended before its tests did)")


def test_nothing_ran() -> None:
    """Without any test the summary says so."""
    assert read("").summary == "0 passed"


def test_a_report_is_short() -> None:
    """Of what a failing test wrote, the end is shown, and how much there was before it."""
    lines = "\n".join(map(str, range(1000)))
    result = read(
        f"---- a stdout ----\n{lines}\n\nfailures:\n    a\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored;"
    )
    assert result.report.splitlines()[:4] == ["1 of 1 tests failed", "", "---- a", "… 960 lines before"]
    assert result.report.splitlines()[-1] == "999"
    assert len(result.report.splitlines()) == 44


def test_a_report_of_many_has_the_names_of_the_rest() -> None:
    """Of the first ten failing tests the output is shown, of the others the names."""
    names = "\n".join(f"    t{number}" for number in range(12))
    result = read(f"failures:\n{names}\n\ntest result: FAILED. 0 passed; 12 failed; 0 ignored;")
    assert "---- t9" in result.report
    assert result.report.endswith("\n\nalso failed: t10, t11")


def test_the_document() -> None:
    """As JSON it has counts, time and failures."""
    assert read(SAID).as_json() == {
        "name": "unit",
        "passed": 3,
        "failed": 2,
        "ignored": 1,
        "seconds": 1.0,
        "failures": [failure._asdict() for failure in read(SAID).failures],
    }
