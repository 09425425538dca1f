"""Room on the disk for the models that are wanted and not there yet."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from llorch.dev.finding import Finding, Severity, listing, own
from llorch.dev.needs import Needs


def needs_disk(needs: Needs) -> str:
    """Return the models that are wanted, and are not all there."""
    return listing([f"models:{id}" for id, model in needs.models.items() if needs.absent(model)])


def check_disk(needs: Needs, need: str) -> Iterator[Finding]:
    """Compare what is still to come with what is free: no failure as long as each model fits by itself."""
    from llorch.ui import bytes_text

    folder = needs.workspace.path(needs.settings.paths.models)
    place = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(place).free
    found = f"{bytes_text(free)} free at {place}"
    sizes = missing_sizes(needs)
    total = sum(sizes.values())
    largest = max(sizes, key=sizes.__getitem__, default="")
    if total <= free:
        text = f"{bytes_text(total)} are still to come" if total else ""
        yield Finding(id="disk", found=found, needed_for=need, text=text)
        return
    severity: Severity = "error" if sizes[largest] > free else "warn"
    text = f"all models that are not here yet take {bytes_text(total)}, and are not all going to fit"
    if severity == "error":
        text = f"`{largest}` alone takes {bytes_text(sizes[largest])} more"
    yield Finding(id="disk", severity=severity, found=found, needed_for=need, text=text, fix=make_room())


def make_room() -> tuple[str, ...]:
    """Return the commands by which room is made."""
    return own("llorch", "models", "disk-usage"), own("llorch", "models", "gc")


def missing_sizes(needs: Needs) -> Mapping[str, int]:
    """Return how many bytes of each model are still to come, as far as sizes are known; what is made of them not."""
    from llorch.models.space import outstanding

    sizes = {}
    for id, model in needs.models.items():
        files: dict[Path, int] = {
            needs.workspace.path(model.path(file)): file.size or 0 for file in needs.absent(model)
        }
        sizes[id] = outstanding(files)
    return sizes
