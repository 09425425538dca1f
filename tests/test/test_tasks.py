"""The tasks of tests, through plain doit, and what they need."""

from pathlib import Path

from llorch.models.tasks import models, task_models
from llorch.session import session
from tests.conftest import program, write_catalog, write_dodo
from tests.rust import needs_cargo
from tests.test.conftest import Llorch


def test_groups(workspace: Path, llorch: Llorch) -> None:
    """`test:all` has what is declared and, of the defaults, what is there; or else all of these."""
    Path("Cargo.toml").touch()
    needs = {each["name"]: each["needs"] for each in llorch("graph", "--json").json["tasks"]}
    assert needs["test:all"] == ["test:unit", "test:integration", "test:smoke"]
    Path("llorch.toml").write_text('[test.page]\ncommand = ["true"]\nneeds = ["models"]\n')
    needs = {each["name"]: each["needs"] for each in llorch("graph", "--json").json["tasks"]}
    assert (needs["test:all"], needs["test:page"], needs["test:unit"]) == (["test:page"], ["models"], [])
    Path("Cargo.toml").unlink()
    needs = {each["name"]: each["needs"] for each in llorch("graph", "--json").json["tasks"]}
    assert [name for name in needs if name.startswith("test")] == ["test", "test:page", "test:all"]


def test_no_suites_no_tasks(workspace: Path, llorch: Llorch) -> None:
    """Where nothing can be tested there is nothing in the group."""
    found = [each["name"] for each in llorch("list", "--json").json["tasks"] if each["name"].startswith("test")]
    assert found == ["test"]


def test_what_is_needed_is_made_first(workspace: Path) -> None:
    """A model is downloaded and verified, and its path is in the environment of the command, in one run."""
    write_catalog(workspace, {"tiny": {"readme.md": b"#", "a.gguf": b"data"}}, pinned=True)
    toml = '[test.page]\ncommand = ["sh", "-c", "cat \\"$LLORCH_TEST_MODEL_PATH\\""]\nneeds = ["models:tiny"]\n'
    Path("llorch.toml").write_text(toml)
    write_dodo(workspace)
    for run in range(2):
        done = program("doit", "test:page")
        assert (done.code, "1 passed" in done.err, "fetch:tiny" in done.err) == (0, True, run == 0)
    (workspace / "sources/tiny/a.gguf").write_bytes(b"tada")
    (workspace / ".test-models/tiny/a.gguf").unlink()
    assert (program("doit", "test:page").code, program("doit", "test:page").err.count("1 passed")) == (1, 0)


def test_the_file_of_a_model(workspace: Path) -> None:
    """It is what was made last, else the first GGUF, else the first file."""
    write_catalog(workspace, {"two": {"a.bin": b"", "b.gguf": b"", "c.gguf": b""}, "made": {"a.bin": b""}})
    with open("catalog.toml", "a") as file:
        file.write('convert = { to = "m.gguf" }\nquantize = { to = "q.gguf", type = "Q8_0" }\n')
    assert list(models()) == ["two", "made"]
    list(task_models())
    found = {name: path.rsplit("/", 1)[1] for name, path in session().products.items()}
    assert found == {"models:two": "b.gguf", "models:made": "q.gguf"}


@needs_cargo
def test_a_failing_test_fails_the_task(tested: Path) -> None:
    """Plain doit exits with 1, and shows which test failed and what it wrote, in few lines."""
    write_catalog(tested, {"tiny": {"a.gguf": b"data"}})
    write_dodo(tested)
    done = program("doit", "test:unit", env={"WANTED": "cuda"})
    assert done.code == 1
    assert "error: 1 of 2 tests failed\n\n---- tests::is_of_the_backend\nsaid by the test\n" in done.err
    assert "hint: `llorch test unit -v` shows all that it writes" in done.err
    assert len(done.err.splitlines()) < 30
    assert program("doit", "test:smoke", "test:unit").code == 0
