"""A progress that nobody watches."""

from pathlib import Path

import pytest

from llorch.progress import Progress, Silent
from llorch.state import sha256_of
from tests.conftest import sha256


def test_silence_takes_every_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Rules can be used without anybody watching, and nothing is written."""
    progress: Progress = Silent()
    file = tmp_path / "file"
    file.write_bytes(b"data")
    progress.total(4)
    progress.say("reading")
    progress.pause(0, "again")
    with progress.child("part") as part:
        assert sha256_of(file, part.advance) == sha256(b"data")
    assert capfd.readouterr() == ("", "")
