"""Room on the disk: what is still to be written counts, of this task and of all others."""

from pathlib import Path

import pytest

from llorch.errors import DiskFull
from llorch.models.space import release, room


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 100 bytes left."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 100}))


@pytest.mark.usefixtures("disk")
def test_tasks_know_of_each_other(tmp_path: Path) -> None:
    """Two tasks together may not take more than there is; what is done or given up is no longer in the way."""
    first, second = tmp_path / "new/a", tmp_path / "b"
    with room("one", {first: 60}):
        with pytest.raises(DiskFull) as caught, room("two", {second: 50}):
            raise AssertionError("no room")
        assert (
            caught.value.message == f"`two` needs 50 bytes, other tasks of this run 60, and `{tmp_path}` has 100 left"
        )
        release(first)
        with room("two", {second: 50}):
            pass
    with room("two", {second: 100}):
        pass


@pytest.mark.usefixtures("disk")
def test_a_file_in_place_of_a_folder_is_not_met_here(tmp_path: Path) -> None:
    """Who writes there says what is in the way."""
    (tmp_path / "m").touch()
    with room("it", {tmp_path / "m/a": 100}):
        pass


@pytest.mark.usefixtures("disk")
def test_what_a_part_takes_already_is_not_needed_again(tmp_path: Path) -> None:
    """A `.part` that is there takes its room already, whatever the file is to have in the end."""
    (tmp_path / "a.part").write_bytes(bytes(100_000))
    with room("it", {tmp_path / "a": 100_050}):
        pass
    with pytest.raises(DiskFull, match="has 100 left"), room("it", {tmp_path / "a": 300_000}):
        raise AssertionError("no room")
