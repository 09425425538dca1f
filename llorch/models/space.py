"""Room on the disk, claimed before work begins: runs in threads share one disk, and each must know of the others."""

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from llorch.errors import DiskFull
from llorch.models.catalog import PART

# What is still to be written, in bytes by the file's place.
_claims: dict[Path, int] = {}
_lock = threading.Lock()


@contextmanager
def room(what: str, files: Mapping[Path, int]) -> Iterator[None]:
    """Claim room on the disk for files of these sizes, together with all that other tasks still have to write.

    Args:
        what: the model that the files are of, for messages.

    Raises:
        DiskFull: there is not enough.
    """
    folder = next(iter(files), Path()).parent
    while not folder.exists():
        folder = folder.parent
    with _lock:
        needed, others = outstanding(files), outstanding(_claims)
        free = shutil.disk_usage(folder).free
        if needed + others > free:
            also = f", other tasks of this run {others:,}" if others else ""
            raise DiskFull(
                f"`{what}` needs {needed:,} bytes{also}, and `{folder}` has {free:,} left",
                hint="make room (`llorch models disk-usage`), or set LLORCH_MODEL_BASE_DIR to another disk",
            )
        _claims.update(files)
    try:
        yield
    finally:
        for place in files:
            release(place)


def release(place: Path) -> None:
    """Give up the claim for a file, which is there now."""
    with _lock:
        _claims.pop(place, None)


def outstanding(files: Mapping[Path, int]) -> int:
    """Return how many bytes of files with these sizes are still to be written: a `.part` has some already."""
    total = 0
    for place, size in files.items():
        part = place.with_name(place.name + PART)
        try:
            total += max(0, size - os.stat(part).st_blocks * 512)
        except (FileNotFoundError, NotADirectoryError):  # the latter is said when it is to be written
            total += size
    return total
