"""From a model on a Hub to a test that uses it: the plan's way through several rooms, with the real programs."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import program, sha256
from tests.hub import Hub
from tests.models.gguf_files import gguf_around
from tests.rust import SYSROOT, needs_cargo

WEIGHTS = gguf_around(bytes(range(256)) * 4096)
CATALOG = """
version = 1
[models.m]
repo = "org/model"
revision = "{commit}"
files = [{{ path = "model.gguf", size = {size}, sha256 = "{sha256}" }}]
"""
SETTINGS = """
version = 1
[test.reads-it]
manifest = "Cargo.toml"
needs = ["models:m"]
"""
TEST = """
#[test]
fn it_is_a_model() {
    let path = std::env::var("LLORCH_TEST_MODEL_PATH").unwrap();
    assert_eq!(&std::fs::read(path).unwrap()[..4], b"GGUF");
}
"""


@needs_cargo
def test_a_model_is_downloaded_verified_and_used(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test gets the file; damaged, it is named by `verify`, and is right again before the test runs."""
    for name, text in {
        "llorch.toml": SETTINGS,
        "Cargo.toml": '[package]\nname = "reads"\nversion = "0.1.0"\nedition = "2021"\n',
        "src/lib.rs": TEST,
    }.items():
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(text)
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("PATH", f"{SYSROOT}/bin:{os.environ['PATH']}")
        monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))
        hub.add("org/model", {"model.gguf": WEIGHTS}, lfs=["model.gguf"])
        values = {"commit": hub.commit("org/model", "main")[0], "size": len(WEIGHTS), "sha256": sha256(WEIGHTS)}
        (workspace / "catalog.toml").write_text(CATALOG.format(**values))
        assert program("llorch", "models", "download", "m").code == 0
        assert program("llorch", "models", "verify", "m", "--json").json["ok"]
        used = program("llorch", "test", "reads-it", "--json")
        assert (used.code, used.json["suites"][0]["passed"]) == (0, 1), used.err
        model = workspace / ".test-models/m/model.gguf"
        model.write_bytes(b"XXXX" + WEIGHTS[4:])
        verified = program("llorch", "models", "verify", "m", "--json")
        assert (verified.code, verified.json["models"][0]["files"][0]["state"]) == (6, "corrupt")
        used = program("llorch", "test", "reads-it", "--json")
        assert (used.code, used.json["suites"][0]["passed"]) == (0, 1), used.err
        assert model.read_bytes() == WEIGHTS
        assert hub.bytes_sent("model.gguf") == 2 * len(WEIGHTS)
    assert json.loads((workspace / ".test-models/m/receipt.json").read_text())["id"] == "m"
